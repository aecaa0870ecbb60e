"""A stream's door for short messages: the spool folders of smstools, which any SMS gateway can be made to fill.

A file whose datagram names this stream is claimed by renaming it, taken in like a batch, answered into the outgoing
folder, and removed. All streams share the folders. Left out: modems and networks (smstools), what is said (`contacts`).
"""

from __future__ import annotations

import asyncio
import logging
import os
from contextlib import suppress
from pathlib import Path
from typing import Final

from settlement.settings import SmsSettings
from settlement.store.database import StoreFault
from settlement.streams.contacts import Outgoing
from settlement.streams.desk import Desk, TooBusy, WriterThread
from wire.ids import Stream
from wire.sms import Envelope, SmsInvalid

_POLL_S: Final = 1.0  # a message takes seconds to get here; the spool folder tells nobody of a new file
_FILES_MAX: Final = 50  # at once, so that a flood of messages keeps no batch waiting
_FILE_BYTES_MAX: Final = 4_096

_log: Final = logging.getLogger(__name__)


class NotOurs(ValueError):
    """The file holds no datagram for this stream."""


def read_message(content: bytes) -> tuple[str, bytes]:
    """Sender and octets of a message as smstools files it; `NotOurs` unless it is a binary one without a header."""
    head, gap, body = content.partition(b"\n\n")
    fields = {}
    for line in head.decode("latin-1").splitlines():
        name, _, value = line.partition(":")
        fields[name.strip().lower()] = value.strip()
    sender = fields.get("from", "").removeprefix("+")
    if not gap or not sender.isascii() or not sender.isdigit():
        raise NotOurs("it has no sender")
    if not fields.get("alphabet", "").lower().startswith("bin") or fields.get("udh", "false").lower() in (
        "true",
        "yes",
    ):
        raise NotOurs("it is not binary, or one of several parts")
    return f"+{sender}", body


def write_message(outgoing: Outgoing) -> bytes:
    """The file that smstools sends as one binary message."""
    head = f"To: {outgoing.phone.removeprefix('+')}\nAlphabet: binary\nUDH: false\n\n"
    return head.encode() + outgoing.data


class SmsDoor:
    """One stream's side of the spool."""

    def __init__(self, *, stream: Stream, settings: SmsSettings, writer: WriterThread) -> None:
        self._stream = stream
        self._incoming = Path(settings.incoming)
        self._outgoing = Path(settings.outgoing)
        self._writer = writer
        self._suffix = f".{stream.label}"
        self._passed: set[str] = set()
        self._told = b""
        self._sent = 0

    async def run(self) -> None:
        """Serve until cancelled. What is busy, or a disk that is full, is tried again."""
        while True:
            try:
                await self.turn()
            except (TooBusy, StoreFault, OSError) as error:
                _log.warning("%s: short messages wait: %s", self._stream.label, error)
            await asyncio.sleep(_POLL_S)

    async def turn(self) -> None:
        """Take in what is there, and push what is new."""
        names = sorted(path.name for path in self._incoming.iterdir() if path.name[0] != "." and path.is_file())
        self._passed &= set(names)
        for name in [name for name in names if name not in self._passed][:_FILES_MAX]:
            await self._take(self._incoming / name)
        hotlist = await self._writer.ask(Desk.hotlist)
        if hotlist.mark != self._told:
            self._send(await self._writer.ask(Desk.push_hotlist))
            self._told = hotlist.mark

    async def _take(self, path: Path) -> None:
        try:
            with path.open("rb") as file:
                phone, data = read_message(file.read(_FILE_BYTES_MAX))
            if Envelope.of(data).stream is not self._stream:
                raise NotOurs("it is for another stream")
        except FileNotFoundError:
            return  # another stream has claimed it
        except (NotOurs, SmsInvalid):
            self._passed.add(path.name)
            return
        if path.suffix != self._suffix:
            claimed = path.with_name(path.name + self._suffix)
            try:
                path.rename(claimed)
            except FileNotFoundError:
                return
            path = claimed
        try:
            self._send(await self._writer.ask(lambda desk: desk.answer_datagram(data, phone)))
        except SmsInvalid as error:
            _log.warning("%s: a message from %s is refused: %s", self._stream.label, _masked(phone), error)
        path.unlink()  # last: a crash before it takes the same message in again, which changes nothing

    def _send(self, messages: list[Outgoing]) -> None:
        """Put messages where smstools finds them whole."""
        for message in messages:
            self._sent += 1
            name = f"{self._stream.label}-{os.getpid()}-{self._sent}"
            draft = self._incoming / f".{name}"
            with suppress(FileNotFoundError):
                draft.unlink()
            draft.write_bytes(write_message(message))
            draft.rename(self._outgoing / name)


def _masked(phone: str) -> str:
    return f"...{phone[-4:]}"
