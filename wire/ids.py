"""The identifiers that cross program boundaries, their sizes, and how a card's number may be shown."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Final, NewType

from wire.fields import FormatError

TerminalId = NewType("TerminalId", bytes)  # 6 bytes: the number in the PSAM's file 0016, part of every MAC and TAC
IssuerId = NewType("IssuerId", bytes)  # 8 bytes, BCD: bytes 1-8 of the card's file 0015
Asn = NewType("Asn", bytes)  # 10 bytes, BCD: the card application's serial number, bytes 11-20 of file 0015

TERMINAL_ID_BYTES: Final = 6
ISSUER_ID_BYTES: Final = 8
ASN_BYTES: Final = 10
EPOCH_MAX: Final = 0xFFFF
SEQ_MAX: Final = 0xFFFF_FFFF


class Stream(IntEnum):
    """Where a terminal belongs: a consumption system or the top-up desk; the number is what goes over the wire."""

    TUITION = 1
    CANTEEN = 2
    SUPERMARKET = 3
    SHOPS = 4
    TOP_UP = 5

    @property
    def label(self) -> str:
        """Name in commands, file names and reports."""
        return self.name.lower().replace("_", "-")


CONSUMPTION_STREAMS: Final[tuple[Stream, ...]] = tuple(stream for stream in Stream if stream is not Stream.TOP_UP)


@dataclass(frozen=True, slots=True, order=True)
class CardId:
    """A purse in the whole country: who issued it and its application serial number."""

    issuer: IssuerId
    asn: Asn

    def __post_init__(self) -> None:
        assert len(self.issuer) == ISSUER_ID_BYTES, "an issuer id has 8 bytes"
        assert len(self.asn) == ASN_BYTES, "an ASN has 10 bytes"

    def __str__(self) -> str:
        return mask_asn(self.asn)

    def to_bytes(self) -> bytes:
        """Issuer id and ASN, 18 bytes."""
        return self.issuer + self.asn

    @classmethod
    def from_bytes(cls, data: bytes) -> CardId:
        """The inverse of `to_bytes`; the caller has checked the length."""
        return cls(IssuerId(data[:ISSUER_ID_BYTES]), Asn(data[ISSUER_ID_BYTES:]))


@dataclass(frozen=True, slots=True, order=True)
class TapId:
    """One tap for ever: terminal, its journal's epoch, and the gapless number in that journal, from 1."""

    terminal: TerminalId
    epoch: int
    seq: int

    def __post_init__(self) -> None:
        assert len(self.terminal) == TERMINAL_ID_BYTES, "a terminal id has 6 bytes"
        assert 0 < self.epoch <= EPOCH_MAX, "an epoch fits 2 bytes and starts at 1"
        assert 0 < self.seq <= SEQ_MAX, "a sequence number fits 4 bytes and starts at 1"

    def __str__(self) -> str:
        return f"{self.terminal.hex()}-{self.epoch}-{self.seq}"


@dataclass(frozen=True, slots=True, order=True)
class LoadId:
    """One load for ever: the top-up point that asks for it, its epoch, and its own number for it, from 1."""

    terminal: TerminalId
    epoch: int
    number: int

    def __post_init__(self) -> None:
        assert len(self.terminal) == TERMINAL_ID_BYTES, "a terminal id has 6 bytes"
        assert 0 < self.epoch <= EPOCH_MAX, "an epoch fits 2 bytes and starts at 1"
        assert 0 < self.number <= SEQ_MAX, "a load's number fits 4 bytes and starts at 1"

    def __str__(self) -> str:
        return f"{self.terminal.hex()}-{self.epoch}-L{self.number}"


def load_id(terminal: bytes, epoch: int, number: int) -> LoadId:
    """A `LoadId` from untrusted numbers; `FormatError` when epoch or number is zero."""
    if epoch == 0 or number == 0:
        raise FormatError(f"epoch {epoch}, number {number} is no load's number")
    return LoadId(TerminalId(terminal), epoch, number)


def mask_asn(asn: bytes) -> str:
    """The last four digits of an ASN behind dots: enough for a person to compare, too little to make a card."""
    return "\N{BULLET}\N{BULLET}" + asn.hex()[-4:]
