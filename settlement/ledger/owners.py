"""Who had which terminal when, as the card registry says: what clearing goes by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from settlement.ledger.clearing import Owner
from settlement.onecard.outlets import Merchant, OutletBook, read_book, read_merchants
from settlement.store.database import Database
from wire.ids import CONSUMPTION_STREAMS, TerminalId


@dataclass(frozen=True, slots=True)
class RegistryOwners:
    """All outlets, assignments and merchants at one moment."""

    book: OutletBook
    merchants: dict[int, Merchant]

    @classmethod
    def read(cls, db: Database) -> Self:
        """What the registry says now."""
        with db.transaction():
            return cls(read_book(db), read_merchants(db))

    def owner_of(self, source: str, terminal: bytes, utc_s: int) -> Owner:
        """See `Owners` of clearing."""
        (stream,) = (stream for stream in CONSUMPTION_STREAMS if stream.label == source)
        outlet = self.book.outlet_at(TerminalId(terminal), stream, utc_s)
        return Owner(outlet.number, outlet.merchant, self.merchants[outlet.merchant].name.zh)

    def is_same(self, source: str, terminal: bytes, first_utc_s: int, last_utc_s: int) -> bool:
        """See `Owners` of clearing."""
        moved = self.book.assignments.get(TerminalId(terminal), ())
        return not any(first_utc_s < assignment.from_utc_s <= last_utc_s for assignment in moved)
