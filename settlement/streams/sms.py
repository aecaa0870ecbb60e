"""A stream's door for short messages: the spool folders of smstools, which any SMS gateway can be made to fill.

A file whose datagram names this stream is claimed by renaming it, taken in like a batch, answered into the outgoing
folder, and removed; what no terminal can have sent is put aside, without an answer. All streams share the folders.
Left out: modems and networks (smstools), what is said (`contacts`).
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from settlement.settings import SmsSettings
from settlement.store.database import RuleBroken, StoreFault
from settlement.streams.desk import TooBusy, WriterThread
from settlement.streams.smsfile import FILE_BYTES_MAX, Message, masked, read_message
from wire.ids import Stream
from wire.sms import Envelope, SmsInvalid

_POLL_S: Final = 1.0  # a message takes seconds to get here; the spool folder tells nobody of a new file
_FILES_MAX: Final = 50  # at once, so that a flood of messages keeps no batch waiting
_LOOKS_MAX: Final = 5  # smstools may be writing the file just now: nothing is put aside at first sight
_ASIDE_MAX: Final = 200
_MINUTE_S: Final = 60.0

_log: Final = logging.getLogger(__name__)


class SmsDoor:
    """One stream's side of the spool; `served` are the streams that this installation runs."""

    def __init__(
        self,
        *,
        stream: Stream,
        served: frozenset[Stream],
        settings: SmsSettings,
        aside: Path,
        writer: WriterThread,
        monotonic: Callable[[], float],
    ) -> None:
        self._stream = stream
        self._served = served
        self._incoming = Path(settings.incoming)
        self._outgoing = Path(settings.outgoing)
        self._per_minute = settings.per_minute
        self._aside = aside
        self._writer = writer
        self._monotonic = monotonic
        self._suffix = f".{stream.label}"
        self._passed: set[str] = set()
        self._looks: dict[str, int] = {}
        self._sent_at_s: deque[float] = deque()
        self._answered_at_s: dict[bytes, float] = {}

    async def run(self) -> None:
        """Serve until cancelled. What is busy, or a disk that is full, is tried again."""
        told = ""
        while True:
            try:
                await self.turn()
                told = ""
            except (TooBusy, StoreFault, OSError) as error:
                if str(error) != told:
                    _log.warning("%s: short messages wait: %s", self._stream.label, error)
                told = str(error)
            await asyncio.sleep(_POLL_S)

    async def turn(self) -> None:
        """Take in what is there, and push what is due, as far as the minute's messages reach."""
        names = sorted(path.name for path in self._incoming.iterdir() if path.name[0] != "." and path.is_file())
        self._passed &= set(names)
        self._looks = {name: looks for name, looks in self._looks.items() if name in names}
        for name in [name for name in names if name not in self._passed][:_FILES_MAX]:
            if self._room() > 0:
                await self._take(self._incoming / name)
        if (room := self._room()) > 0:
            self._send(await self._writer.ask(lambda desk: desk.push_hotlist(room)))

    async def _take(self, path: Path) -> None:
        try:
            with path.open("rb") as file:
                content = file.read(FILE_BYTES_MAX)
        except FileNotFoundError:
            return  # another stream has claimed it
        except OSError as error:
            _log.error("%s: %s cannot be read: %s", self._stream.label, path, error.strerror)
            self._passed.add(path.name)
            return
        try:
            message = read_message(content)
            envelope = Envelope.of(message.data)
        except SmsInvalid as error:
            self._looks[path.name] = self._looks.get(path.name, 0) + 1
            if self._looks[path.name] >= _LOOKS_MAX and (claimed := self._claim(path)) is not None:
                self._put_aside(claimed, content, str(error))
            return
        if envelope.stream is not self._stream and envelope.stream in self._served:
            self._passed.add(path.name)
        elif (claimed := self._claim(path)) is not None:
            await self._answer(claimed, content, message)

    async def _answer(self, claimed: Path, content: bytes, message: Message) -> None:
        if message.data in self._answered_at_s:  # doubled on its way; a terminal waits three minutes before it repeats
            claimed.unlink()
            return
        try:
            answer = await self._writer.ask(lambda desk: desk.answer_datagram(message))
        except (SmsInvalid, RuleBroken) as error:
            _log.warning("%s: a message from %s: %s", self._stream.label, masked(message.phone), error)
            self._put_aside(claimed, content, str(error))
            return
        self._send([answer])
        self._answered_at_s[message.data] = self._monotonic()
        claimed.unlink()  # last: a crash before it takes the same message in again, which changes nothing

    def _claim(self, path: Path) -> Path | None:
        """The file under a name that no other stream takes; None if one was faster."""
        if path.suffix == self._suffix:  # before a crash, or a fault
            return path
        try:
            return path.rename(path.with_name(path.name + self._suffix))
        except FileNotFoundError:
            return None

    def _put_aside(self, claimed: Path, content: bytes, reason: str) -> None:
        """Keep it for a person to look at; of many the newest ones."""
        self._aside.mkdir(mode=0o700, exist_ok=True)
        kept = sorted(self._aside.glob(f"*{self._suffix}"), key=lambda path: path.stat().st_mtime)
        for old in kept[: max(0, len(kept) + 1 - _ASIDE_MAX)]:
            old.unlink()
        (self._aside / claimed.name).write_bytes(f"Refused: {reason}\n".encode() + content)
        claimed.unlink(missing_ok=True)

    def _send(self, messages: Sequence[Message]) -> None:
        """Put messages where smstools finds them whole, under names that never come again."""
        for message in messages:
            self._sent_at_s.append(self._monotonic())
            envelope = Envelope.of(message.data)
            name = f"{self._stream.label}-{envelope.terminal.hex()}-{envelope.number}"
            draft = self._incoming / f".{self._stream.label}-draft"
            draft.write_bytes(message.to_bytes())
            draft.rename(self._outgoing / name)

    def _room(self) -> int:
        """How many messages may be sent now."""
        since_s = self._monotonic() - _MINUTE_S
        while self._sent_at_s and self._sent_at_s[0] <= since_s:
            self._sent_at_s.popleft()
        self._answered_at_s = {data: at_s for data, at_s in self._answered_at_s.items() if at_s > since_s}
        return self._per_minute - len(self._sent_at_s)
