"""The hotlist: cards to refuse, as one numbered snapshot that replaces the one before."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from wire.fields import FieldReader, FormatError
from wire.ids import ASN_BYTES, ISSUER_ID_BYTES, CardId

CARDS_MAX: Final = 3_600  # what fits one frame; a campus of 30,000 has some hundreds of lost cards at a time
MARK_BYTES: Final = 4
_CARD_BYTES: Final = ISSUER_ID_BYTES + ASN_BYTES


@dataclass(frozen=True, slots=True)
class Hotlist:
    """Version 0 is the empty list that a new terminal starts with; higher versions replace lower ones."""

    version: int
    cards: frozenset[CardId]

    @property
    def mark(self) -> bytes:
        """4 bytes that tell this list from any other, also from one that got the same version after a restore."""
        return hashlib.sha256(self.to_bytes()).digest()[:MARK_BYTES]

    def to_bytes(self) -> bytes:
        """version 4, count 2, cards of 18 bytes in ascending order."""
        assert len(self.cards) <= CARDS_MAX, f"a snapshot holds at most {CARDS_MAX} cards"
        cards = b"".join(card.to_bytes() for card in sorted(self.cards))
        return self.version.to_bytes(4, "big") + len(self.cards).to_bytes(2, "big") + cards

    @classmethod
    def from_bytes(cls, data: bytes) -> Hotlist:
        """The inverse; `FormatError` for a wrong length or cards out of order."""
        reader = FieldReader(data)
        version, count = reader.uint(4), reader.uint(2)
        if count > CARDS_MAX:
            raise FormatError(f"a snapshot holds at most {CARDS_MAX} cards, not {count}")
        cards = [CardId.from_bytes(reader.take(_CARD_BYTES)) for _ in range(count)]
        reader.finish()
        if any(first >= second for first, second in pairwise(cards)):
            raise FormatError("the hotlist's cards are not in ascending order")
        return cls(version, frozenset(cards))


EMPTY_HOTLIST: Final = Hotlist(0, frozenset())
