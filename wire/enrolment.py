"""The ticket with which a new terminal is let in: made by the school's operator, good once, good for one stream."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from wire import signature
from wire.errors import CampusError
from wire.fields import FieldReader, FormatError
from wire.ids import TERMINAL_ID_BYTES, Stream, TerminalId

TICKET_VERSION: Final = 1


class TicketUnreadable(CampusError):
    """The text is not an enrolment ticket, or was damaged in copying."""

    code = "ticket-unreadable"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticket:
    """Leave for one terminal to enrol with one stream until `expires_utc_s`, and to start its journal `epoch`.

    The operator gives out each epoch of a terminal once, over all streams, so that a tap's id is unique for ever.
    """

    terminal: TerminalId
    stream: Stream
    epoch: int
    expires_utc_s: int

    def issue(self, key: Ed25519PrivateKey) -> bytes:
        """The ticket's bytes with the operator's signature: what a technician carries to the terminal."""
        head = bytes((TICKET_VERSION, self.stream)) + self.terminal
        body = head + self.epoch.to_bytes(2, "big") + self.expires_utc_s.to_bytes(4, "big")
        return body + signature.sign(key, signature.TICKET, body)

    @classmethod
    def open(cls, data: bytes, public_key: bytes) -> Ticket:
        """Read and check a ticket; raises `FormatError` or `SignatureInvalid`. Expiry is the caller's to check."""
        ticket = cls.read(data)
        body, proof = data[: -signature.SIGNATURE_BYTES], data[-signature.SIGNATURE_BYTES :]
        signature.verify(public_key, signature.TICKET, body, proof)
        return ticket

    @classmethod
    def read(cls, data: bytes) -> Ticket:
        """What a ticket says, unproven, for a terminal that has not the operator's key; `FormatError` otherwise."""
        reader = FieldReader(data)
        if (version := reader.uint(1)) != TICKET_VERSION:
            raise FormatError(f"ticket version {version} is not known here")
        try:
            stream = Stream(reader.uint(1))
        except ValueError as error:
            raise FormatError("the ticket is for a stream not known here") from error
        ticket = cls(
            stream=stream,
            terminal=TerminalId(reader.take(TERMINAL_ID_BYTES)),
            epoch=reader.uint(2),
            expires_utc_s=reader.uint(4),
        )
        reader.take(signature.SIGNATURE_BYTES)
        reader.finish()
        if ticket.epoch == 0:
            raise FormatError("epochs start at 1")
        return ticket


def ticket_text(ticket: bytes) -> str:
    """A ticket as text: base32 of the bytes and their CRC-32, in groups of five that survive being read aloud."""
    raw = ticket + binascii.crc32(ticket).to_bytes(4, "big")
    text = base64.b32encode(raw).decode().rstrip("=")
    return "-".join(text[at : at + 5] for at in range(0, len(text), 5))


def parse_ticket_text(text: str) -> bytes:
    """The inverse, forgiving about case, spaces and line breaks; `TicketUnreadable` when a character went wrong."""
    symbols = "".join(text.split()).replace("-", "").upper()
    try:
        raw = base64.b32decode(symbols + "=" * (-len(symbols) % 8))
    except (binascii.Error, ValueError) as error:
        raise TicketUnreadable("this is not an enrolment ticket") from error
    if len(raw) <= 4 or binascii.crc32(raw[:-4]).to_bytes(4, "big") != raw[-4:]:
        raise TicketUnreadable("the ticket was damaged in copying; copy it once more")
    return raw[:-4]
