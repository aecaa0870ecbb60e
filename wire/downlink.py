"""What comes down to a terminal besides receipts: the hotlist's changes.

Left out: the whole hotlist (`wire.hotlist`), and keeping any of it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar, Final, Self

from wire.errors import CampusError
from wire.fields import FieldReader, FormatError
from wire.hotlist import CARDS_MAX, MARK_BYTES, Hotlist
from wire.ids import ASN_BYTES, ISSUER_ID_BYTES, CardId

NO_MARK: Final = bytes(MARK_BYTES)  # names nothing: whoever says this is sent all
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
    _check_ascending(cards, "a hotlist delta's cards")
    return frozenset(cards)


def _check_ascending(keys: Iterable[CardId], what: str) -> None:
    if any(first >= second for first, second in pairwise(keys)):
        raise FormatError(f"{what} are not in ascending order")
