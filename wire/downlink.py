"""What comes down to a terminal besides receipts: the hotlist's changes, what the operator set for its stream, and what
the operator asks of it, with the answer.

Left out: the whole hotlist (`wire.hotlist`), and keeping any of it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from itertools import pairwise
from typing import ClassVar, Final, Self, TypeVar

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from wire import signature
from wire.errors import CampusError
from wire.fields import FieldReader, FormatError
from wire.hotlist import CARDS_MAX, MARK_BYTES, Hotlist
from wire.ids import ASN_BYTES, CONSUMPTION_STREAMS, ISSUER_ID_BYTES, CardId, Stream
from wire.money import Fen

NO_MARK: Final = bytes(MARK_BYTES)  # names nothing: whoever says this is sent all
CONFIGURATION_VERSION: Final = 1
PRICED_MAX: Final = 500
PERIODS_MAX: Final = 24
NAME_BYTES_MAX: Final = 60
DAY_MINUTES_MAX: Final = 24 * 60
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


@dataclass(frozen=True, slots=True)
class Price:
    """What the till's key or menu line `number` sells, and for how much."""

    number: int
    name: str
    amount_fen: Fen

    def to_bytes(self) -> bytes:
        """number 2, amount 4, length 1, name in UTF-8."""
        name = self.name.encode()
        return self.number.to_bytes(2, "big") + self.amount_fen.to_bytes(4, "big") + bytes((len(name),)) + name

    @classmethod
    def read(cls, reader: FieldReader) -> Self:
        """The inverse; `FormatError` for a name that is not UTF-8, empty, too long, or with characters not to print."""
        number, amount_fen = reader.uint(2), Fen(reader.uint(4))
        try:
            name = reader.take(reader.uint(1)).decode()
        except UnicodeDecodeError as error:
            raise FormatError("a price's name is not UTF-8") from error
        check_name(name)
        return cls(number, name, amount_fen)


@dataclass(frozen=True, slots=True)
class MealPeriod:
    """Minutes of the day, campus time: from the first on, and before the second."""

    number: int
    from_min: int
    to_min: int

    def to_bytes(self) -> bytes:
        """number 1, from 2, to 2."""
        return bytes((self.number,)) + self.from_min.to_bytes(2, "big") + self.to_min.to_bytes(2, "big")

    @classmethod
    def read(cls, reader: FieldReader) -> Self:
        """The inverse; `FormatError` for a period that ends before it begins, or after the day."""
        period = cls(reader.uint(1), reader.uint(2), reader.uint(2))
        if not period.from_min < period.to_min <= DAY_MINUTES_MAX:
            raise FormatError(f"meal period {period.number} does not end after it begins, on the same day")
        return period


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """Server: what the operator set for all terminals of a stream; replaces what was set before, whole."""

    kind: ClassVar[int] = 11
    version: int
    stream: Stream
    tap_fen_max: Fen
    prices: tuple[Price, ...] = ()
    periods: tuple[MealPeriod, ...] = ()
    proof: bytes = b""

    @property
    def mark(self) -> bytes:
        """4 bytes that tell this configuration from any other, also from one of the same version after a restore."""
        return hashlib.sha256(self.to_bytes()).digest()[:MARK_BYTES]

    def signed(self, operator: Ed25519PrivateKey) -> Configuration:
        """The same with the operator's signature over every field."""
        return replace(self, proof=signature.sign(operator, signature.CONFIGURATION, self._fields()))

    def verify(self, operator_key: bytes) -> None:
        """Raise `SignatureInvalid` unless the operator with this key signed it."""
        signature.verify(operator_key, signature.CONFIGURATION, self._fields(), self.proof)

    def _fields(self) -> bytes:
        head = bytes((CONFIGURATION_VERSION, self.stream)) + self.version.to_bytes(4, "big")
        prices = len(self.prices).to_bytes(2, "big") + b"".join(price.to_bytes() for price in self.prices)
        periods = bytes((len(self.periods),)) + b"".join(period.to_bytes() for period in self.periods)
        return head + self.tap_fen_max.to_bytes(4, "big") + prices + periods

    def to_bytes(self) -> bytes:
        """layout 1, stream 1, version 4, limit 4, count 2, prices, count 1, periods, signature 64."""
        return self._fields() + self.proof

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """The inverse; `FormatError` for another layout, or what `wire/FORMAT.md` does not allow."""
        reader = FieldReader(data)
        if (layout := reader.uint(1)) != CONFIGURATION_VERSION:
            raise FormatError(f"configuration layout {layout} is not known here")
        if (stream := reader.uint(1)) not in CONSUMPTION_STREAMS:
            raise FormatError("the configuration is for a stream that takes no taps")
        configuration = cls(
            stream=Stream(stream),
            version=reader.uint(4),
            tap_fen_max=Fen(reader.uint(4)),
            prices=_read_numbered(reader, Price.read, reader.uint(2), PRICED_MAX),
            periods=_read_numbered(reader, MealPeriod.read, reader.uint(1), PERIODS_MAX),
            proof=reader.take(signature.SIGNATURE_BYTES),
        )
        reader.finish()
        if configuration.version == 0 or configuration.tap_fen_max == 0:
            raise FormatError("versions start at 1, and a tap may take something")
        return configuration


_Numbered = TypeVar("_Numbered", Price, MealPeriod)


def check_name(name: str) -> None:
    """`FormatError` unless a till can show it: something to print, at most `NAME_BYTES_MAX` bytes of UTF-8."""
    if not name or not name.isprintable() or len(name.encode()) > NAME_BYTES_MAX:
        raise FormatError(f"a name is 1 to {NAME_BYTES_MAX} bytes of printable text")


def check_numbers(entries: Sequence[Price | MealPeriod], count_max: int) -> None:
    """`FormatError` unless there are at most so many, and their numbers ascend."""
    if len(entries) > count_max:
        raise FormatError(f"there are more than {count_max} of one kind")
    if any(first.number >= second.number for first, second in pairwise(entries)):
        raise FormatError("numbers ascend, and each stands once")


def _read_numbered(
    reader: FieldReader, read: Callable[[FieldReader], _Numbered], count: int, count_max: int
) -> tuple[_Numbered, ...]:
    entries = tuple(read(reader) for _ in range(count))
    check_numbers(entries, count_max)
    return entries


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
