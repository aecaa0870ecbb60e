"""A journal's file from a USB stick becomes part of the stream by the same rules as an upload; overlap is harmless.

Left out: finding the file (`campus-settlement import-journal`), and the door of a stream that runs
(`settlement.streams.journaldoor`). The terminal learns by its next session what is here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from settlement.onecard.keys import KeyStore
from settlement.settings import Home
from settlement.store.database import Database, SchemaMissing, open_reader
from settlement.streams import ingest, shifts, store
from settlement.streams.coding import CodingStates
from wire.batch import SignedBatch
from wire.ids import CONSUMPTION_STREAMS, Stream, TerminalId
from wire.journalfile import JournalFile, JournalFileDamaged
from wire.messages import Receipt, Refused
from wire.receipt import Rejected, Rejection
from wire.shift import ShiftReceipt, ShiftReport

_FILE_BYTES_MAX: Final = 1 << 28  # some ten million taps


@dataclass(frozen=True, slots=True)
class Standing:
    """How far a stream has a journal: the first tap that it lacks, the debits before that, the last shift report."""

    next_seq: int
    total_fen: int
    shifts: int


class Intake(Protocol):
    """A stream that takes in one thing after the other."""

    async def standing(self, terminal: TerminalId, epoch: int) -> Standing:
        """How far it has this journal; `Rejected` if that is not its own."""

    async def accept(self, signed: SignedBatch) -> Receipt | Refused:
        """See `ingest.accept_batch`."""

    async def take_shift(self, report: ShiftReport) -> ShiftReceipt:
        """See `shifts.accept_report`."""


@dataclass(frozen=True, slots=True)
class Imported:
    """What was new: taps with their debits, and reports; `last_seq` is the last tap that is here now."""

    taps: int
    fen: int
    reports: int
    last_seq: int


class DirectIntake:
    """The stream's database, while no process serves it."""

    def __init__(self, db: Database, *, stream: Stream, keys: KeyStore, now_utc_s: int) -> None:
        self._db = db
        self._stream = stream
        self._keys = keys
        self._now_utc_s = now_utc_s
        self._states = CodingStates()

    async def standing(self, terminal: TerminalId, epoch: int) -> Standing:
        """See `Intake`."""
        return standing_of(self._db, terminal, epoch)

    async def accept(self, signed: SignedBatch) -> Receipt | Refused:
        """See `Intake`."""
        return ingest.accept_batch(
            self._db, signed, states=self._states, stream=self._stream, keys=self._keys, now_utc_s=self._now_utc_s
        )

    async def take_shift(self, report: ShiftReport) -> ShiftReceipt:
        """See `Intake`."""
        return shifts.accept_report(self._db, report, now_utc_s=self._now_utc_s)


def read_whole(path: Path) -> bytes:
    """The content of a journal's file; `OSError`, or `JournalFileDamaged` if it is longer than any is."""
    with path.open("rb") as file:
        content = file.read(_FILE_BYTES_MAX + 1)
    if len(content) > _FILE_BYTES_MAX:
        raise JournalFileDamaged(f"{path.name} is longer than any journal")
    return content


def standing_of(db: Database, terminal: TerminalId, epoch: int) -> Standing:
    """How far a stream's database has this journal; `Rejected` if it is not the stream's."""
    row = store.find_terminal(db, terminal, epoch)
    if row is None:
        raise Rejected(Rejection.UNKNOWN_TERMINAL, f"the stream has not enrolled terminal {terminal.hex()}-{epoch}")
    last = store.last_shift(db, row)
    return Standing(row.next_seq, row.total_fen, 0 if last is None else last.number)


def stream_of_journal(home: Home, terminal: TerminalId, epoch: int) -> Stream:
    """The stream that this journal was enrolled with; `Rejected` if none on this host knows it."""
    for stream in CONSUMPTION_STREAMS:
        try:
            with open_reader(home.place(stream.label), stream.label) as db:
                if store.find_terminal(db, terminal, epoch) is not None:
                    return stream
        except SchemaMissing:
            continue  # this host does not run that stream
    raise Rejected(Rejection.UNKNOWN_TERMINAL, f"no stream here enrolled terminal {terminal.hex()} with epoch {epoch}")


async def import_journal(
    intake: Intake, file: JournalFile, *, progress: Callable[[int, int], None] = lambda _done, _all: None
) -> Imported:
    """Take in what is not here yet, batch by batch; `progress` hears of batches done, of so many.

    `Rejected` with the reason as soon as one is not taken; what came before it stays. Raises what the intake raises.
    """
    before = await intake.standing(file.terminal, file.epoch)
    batches = list(_wanted(file.batches, before.next_seq))
    for done, signed in enumerate(batches):
        progress(done, len(batches))
        answer = await intake.accept(signed)
        if isinstance(answer, Refused):
            raise Rejected(answer.rejection, f"taps {signed.first_seq} to {signed.next_seq - 1}: {answer.detail}")
    progress(len(batches), len(batches))
    for report in file.reports:
        await intake.take_shift(report)
    after = await intake.standing(file.terminal, file.epoch)
    return Imported(
        after.next_seq - before.next_seq,
        after.total_fen - before.total_fen,
        after.shifts - before.shifts,
        after.next_seq - 1,
    )


def import_directly(
    intake: DirectIntake, file: JournalFile, *, progress: Callable[[int, int], None] = lambda _done, _all: None
) -> Imported:
    """The same without an event loop, in which Django lets nobody use a database: nothing in it ever waits."""
    try:
        import_journal(intake, file, progress=progress).send(None)
    except StopIteration as done:
        found: Imported = done.value
        return found
    raise AssertionError("a database of one's own answers at once")


def _wanted(batches: tuple[SignedBatch, ...], next_seq: int) -> Iterator[SignedBatch]:
    """The batches that bring something; of a file that brings nothing the last one, which proves the same history."""
    for place, signed in enumerate(batches, start=1):
        if signed.next_seq > next_seq or place == len(batches):
            yield signed
