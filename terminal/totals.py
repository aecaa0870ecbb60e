"""What a shift comes to: counts and sums of its taps and its cash, added up tap by tap. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from wire.ids import CardId
from wire.money import Fen
from wire.record import Mac2, Outcome, TapKind, TapRecord, TapTime
from wire.shift import NO_TAPS, Sum, Sums


@dataclass(frozen=True, slots=True, kw_only=True)
class ShiftTotals:
    """One shift up to now; `taps` by kind and outcome, where there are any. Cash belongs to no tap."""

    number: int
    cashier: CardId
    opened_at: TapTime
    opening_cash_fen: Fen
    cash_count: int = 0
    cash_fen: int = 0
    taps: Sums = field(default_factory=dict)

    def of(self, kind: TapKind, outcome: Outcome) -> Sum:
        """The taps of this kind that ended so."""
        return self.taps.get((kind, outcome), NO_TAPS)

    @property
    def expected_cash_fen(self) -> int:
        """What should be in the drawer."""
        return self.opening_cash_fen + self.cash_fen

    def with_tap(self, record: TapRecord) -> ShiftTotals:
        """The same with one tap more."""
        key = record.kind, record.outcome
        return replace(self, taps={**self.taps, key: self.of(*key).plus(record)})

    def with_cash(self, amount_fen: Fen) -> ShiftTotals:
        """The same with one cash sale more."""
        return replace(self, cash_count=self.cash_count + 1, cash_fen=self.cash_fen + amount_fen)


def last_sale_after(before: TapRecord | None, record: TapRecord) -> TapRecord | None:
    """The sale that can be taken back next, once `record` is sealed: the last one, if it is certain and stands."""
    if record.kind is TapKind.SALE and record.outcome is Outcome.DEBITED and record.mac2 is not Mac2.REFUSED:
        return record
    doubtful = record.kind is TapKind.SALE and record.outcome in (Outcome.DEBITED, Outcome.UNKNOWN)
    taken_back = record.outcome in (Outcome.DEBITED, Outcome.UNKNOWN)
    gone = taken_back and before is not None and record.refers_to == before.tap_id.seq
    return None if doubtful or gone else before
