"""What comes down to a terminal besides receipts: the hotlist's changes, and what the operator asks, with the answer.

Left out: the whole hotlist (`wire.hotlist`), what the operator set (`wire.configuration`), and keeping any of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from itertools import pairwise
from typing import ClassVar, Final, Self

from wire.errors import CampusError
from wire.fields import FieldReader, FormatError
from wire.hotlist import CARDS_MAX, MARK_BYTES, Hotlist
from wire.ids import ASN_BYTES, ISSUER_ID_BYTES, CardId

NO_MARK: Final = bytes(MARK_BYTES)  # names nothing: whoever says this is sent all
ANSWER_BYTES_MAX: Final = 16_000  # some hundred lines; what a slow link carries within its deadlines
_CARD_BYTES: Final = ISSUER_ID_BYTES + ASN_BYTES


class DeltaUnfit(CampusError):
    """The changes are those of another hotlist, or do not lead to the one they name; the whole list will."""

    code = "delta-unfit"


@dataclass(frozen=True, slots=True, kw_only=True)
class HotlistDelta:
    """Server: what makes the hotlist with `from_mark` the one with `to_mark`."""

    kind: ClassVar[int] = 10
    from_mark: bytes
    to_mark: bytes
    version: int
    added: frozenset[CardId]
    removed: frozenset[CardId]

    @classmethod
    def between(cls, old: Hotlist, new: Hotlist) -> Self:
        """The changes from `old` to `new`."""
        return cls(
            from_mark=old.mark,
            to_mark=new.mark,
            version=new.version,
            added=new.cards - old.cards,
            removed=old.cards - new.cards,
        )

    def apply(self, old: Hotlist) -> Hotlist:
        """The list that comes of it; `DeltaUnfit` unless both marks are right."""
        if old.mark != self.from_mark:
            raise DeltaUnfit("the changes are to another hotlist than the one here")
        cards = (old.cards - self.removed) | self.added
        if len(cards) > CARDS_MAX or (new := Hotlist(self.version, cards)).mark != self.to_mark:
            raise DeltaUnfit(f"the changes do not lead to hotlist {self.version}")
        return new

    def to_bytes(self) -> bytes:
        """from 4, to 4, version 4, count 2, cards added, count 2, cards removed; cards in ascending order."""
        head = self.from_mark + self.to_mark + self.version.to_bytes(4, "big")
        return head + _cards_bytes(self.added) + _cards_bytes(self.removed)

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """The inverse; `FormatError` for a wrong length or cards out of order."""
        reader = FieldReader(data)
        delta = cls(
            from_mark=reader.take(MARK_BYTES),
            to_mark=reader.take(MARK_BYTES),
            version=reader.uint(4),
            added=_read_cards(reader),
            removed=_read_cards(reader),
        )
        reader.finish()
        return delta


def _cards_bytes(cards: frozenset[CardId]) -> bytes:
    return len(cards).to_bytes(2, "big") + b"".join(card.to_bytes() for card in sorted(cards))


def _read_cards(reader: FieldReader) -> frozenset[CardId]:
    cards = [CardId.from_bytes(reader.take(_CARD_BYTES)) for _ in range(reader.uint(2))]
    if any(first >= second for first, second in pairwise(cards)):
        raise FormatError("a hotlist delta's cards are not in ascending order")
    return frozenset(cards)


class Question(IntEnum):
    """What the operator may ask a terminal for."""

    STATUS = 1
    LOG = 2


@dataclass(frozen=True, slots=True)
class Request:
    """Server: the operator wants to know this; whoever does not answer is asked again in the next session."""

    kind: ClassVar[int] = 12
    number: int
    what: Question

    def to_bytes(self) -> bytes:
        """number 4, what 1."""
        return self.number.to_bytes(4, "big") + bytes((self.what,))

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """The inverse; `FormatError` for number 0, or a question that is not known here."""
        reader = FieldReader(data)
        number, what = reader.uint(4), reader.uint(1)
        reader.finish()
        if number == 0 or what not in list(Question):
            raise FormatError(f"request {number} for {what} means nothing here")
        return cls(number, Question(what))


@dataclass(frozen=True, slots=True)
class Answer:
    """Terminal: what the request with this number asked for, for a person to read."""

    kind: ClassVar[int] = 13
    number: int
    text: str

    def to_bytes(self) -> bytes:
        """number 4, text in UTF-8 up to the end, cut at a character if it is too long."""
        text = self.text.encode(errors="replace")[:ANSWER_BYTES_MAX].decode(errors="ignore").encode()
        return self.number.to_bytes(4, "big") + text

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """The inverse; `FormatError` for number 0, or a text that is too long or not UTF-8."""
        reader = FieldReader(data)
        number = reader.uint(4)
        if number == 0 or reader.remaining > ANSWER_BYTES_MAX:
            raise FormatError(f"answer {number} has {reader.remaining} bytes")
        try:
            return cls(number, reader.take(reader.remaining).decode())
        except UnicodeDecodeError as error:
            raise FormatError(f"answer {number} is not UTF-8") from error
