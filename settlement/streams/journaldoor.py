"""Where a stream that runs finds journals from USB sticks: the folder of `campus-settlement import-journal`.

A journal goes through the writer's queue batch by batch, behind whoever is connected: sales come first. Its answer is a
file beside it, which tells that it is done; one that was cut short by the stream's end is taken up again, without harm.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from secrets import token_hex
from typing import Final, TypeVar

from settlement.settings import Home
from settlement.streams.desk import Desk, TooBusy, WriterThread
from settlement.streams.journalimport import Imported, Standing, import_journal, read_whole
from wire.batch import SignedBatch
from wire.errors import CampusError
from wire.ids import Stream, TerminalId
from wire.journalfile import read_journal_file
from wire.messages import Receipt, Refused
from wire.shift import ShiftReceipt, ShiftReport

_POLL_S: Final = 0.5  # a folder tells nobody of a new file
_TRIES: Final = 120  # so many pauses for a queue that is full; then somebody should ask why it is
_JOURNAL: Final = ".journal"
_ANSWER: Final = ".answer"
_KEPT_S: Final = 3600.0  # answers of commands that nobody waits for any more, and beginnings of files

Outcome = TypeVar("Outcome")

_log: Final = logging.getLogger(__name__)


class ImportFailed(CampusError):
    """The stream that runs did not take the journal in; the text has its code and words, or says that it is silent."""

    code = "import-failed"


class JournalDoor:
    """One stream's side of the folder."""

    def __init__(self, *, stream: Stream, folder: Path, writer: WriterThread, now_utc_s: Callable[[], int]) -> None:
        self._stream = stream
        self._folder = folder
        self._writer = writer
        self._now_utc_s = now_utc_s
        self._told: set[Path] = set()

    async def run(self) -> None:
        """Serve until cancelled; a journal that cannot be answered now holds up no other."""
        self._clear_up()
        while True:
            for path in sorted(filter(Path.is_file, self._folder.glob(f"*{_JOURNAL}"))):
                try:
                    await self._take(path)
                except OSError as error:
                    if path not in self._told:
                        _log.warning("%s: %s waits: %s", self._stream.label, path.name, error.strerror)
                    self._told.add(path)
            await asyncio.sleep(_POLL_S)

    def _clear_up(self) -> None:
        oldest_utc_s = self._now_utc_s() - _KEPT_S
        for path in self._folder.iterdir():
            if path.suffix != _JOURNAL and path.stat().st_mtime < oldest_utc_s:
                path.unlink(missing_ok=True)

    async def _take(self, path: Path) -> None:
        try:
            # Not in the loop: terminals are answered while a term's taps are read.
            file = await asyncio.to_thread(lambda: read_journal_file(read_whole(path)))
            found = await import_journal(_WriterIntake(self._writer), file)
            answer: dict[str, object] = {"imported": asdict(found)}
        except CampusError as error:
            answer = {"error": f"{error} [{error.code}]"}
        except OSError as error:
            answer = {"error": f"{self._stream.label} cannot read it: {error.strerror}"}
        _log.info("%s: %s: %s", self._stream.label, path.name, answer)
        draft = path.with_suffix(".draft")
        draft.write_text(json.dumps(answer), encoding="utf-8")
        draft.rename(path.with_suffix(_ANSWER))
        path.unlink()  # last: a crash before it takes the same journal in again, which changes nothing


class _WriterIntake:
    """The stream's writer, which others use at the same time; see `Intake`."""

    def __init__(self, writer: WriterThread) -> None:
        self._writer = writer

    async def standing(self, terminal: TerminalId, epoch: int) -> Standing:
        return await self._ask(lambda desk: desk.standing(terminal, epoch))

    async def accept(self, signed: SignedBatch) -> Receipt | Refused:
        return await self._ask(lambda desk: desk.accept(signed))

    async def take_shift(self, report: ShiftReport) -> ShiftReceipt:
        return await self._ask(lambda desk: desk.take_shift(report))

    async def _ask(self, work: Callable[[Desk], Outcome]) -> Outcome:
        for _ in range(_TRIES):
            try:
                return await self._writer.ask(work)
            except TooBusy:
                await asyncio.sleep(_POLL_S)
        return await self._writer.ask(work)


def journal_folder(home: Home, stream: Stream) -> Path:
    """Where a stream looks for journals; made if it is not there."""
    folder = home.folder / "journals" / stream.label
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


def put_journal(folder: Path, content: bytes) -> Path:
    """Put a journal where the stream finds it whole; where its answer will be, which nobody else waits for."""
    name = token_hex(8)
    draft = folder / f"{name}.part"
    draft.write_bytes(content)
    draft.rename(folder / f"{name}{_JOURNAL}")
    return folder / f"{name}{_ANSWER}"


def take_answer(path: Path) -> Imported | None:
    """The stream's answer, once it is there; raises `ImportFailed` with what it objected to."""
    try:
        answer = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    path.unlink()
    if "error" in answer:
        raise ImportFailed(str(answer["error"]))
    return Imported(**answer["imported"])
