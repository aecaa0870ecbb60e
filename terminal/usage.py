"""What each card has spent at this till, and of the school's money: for limits, subsidies and the double tap. Pure.

It is told every sealed record, in order, at the start and then one by one. A sale counts when it took money or may have
(DEBITED, also when the card's proof was refused, and UNKNOWN); its reversal gives back what it counted for, when it is
certain; a refund gives nothing back. REFUSED and VOIDED count for nothing. What other tills took is not known here.

Whatever began since the start of a day, month or meal counts, without an upper end: a clock that was set back gives
nobody a second allowance.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from typing import Final

from wire.ids import CardId
from wire.money import Fen
from wire.record import Mac2, Outcome, TapKind, TapRecord, TapTime

TAPS_SHOWN: Final = 10  # what a customer at the till reads
_DAY_S: Final = 86_400
_RECENT_S: Final = 3 * _DAY_S  # no limit looks further back; what the school paid is kept, since it may accumulate


def day_and_minute(at: TapTime) -> tuple[date, int]:
    """The campus's day, and the minute of it."""
    local = at.local()
    return local.date(), local.hour * 60 + local.minute


@dataclass(frozen=True, slots=True)
class Spent:
    """One sale that counts."""

    seq: int
    at: TapTime
    day: date  # as the campus reads the clock; kept, for it takes longer to find out than to compare
    minute: int
    amount_fen: Fen
    subsidy_fen: Fen
    meals: int

    @property
    def price_fen(self) -> int:
        """What was bought for, whoever paid."""
        return self.amount_fen + self.subsidy_fen


@dataclass(frozen=True, slots=True)
class Spending:
    """What counts since some moment."""

    meals: int
    fen: int


class Usage:
    """The sales of every card. `add` is cheap, and so is every question about one card."""

    def __init__(self) -> None:
        self._recent: dict[CardId, list[Spent]] = {}
        self._subsidised: dict[CardId, list[Spent]] = {}
        self._credited: dict[int, int] = {}
        self._taps: dict[CardId, list[int]] = {}

    def add(self, record: TapRecord, meals: int = 1) -> None:
        """One sealed record more; `meals`: how many this sale is, if it is one."""
        certain = record.outcome is Outcome.DEBITED and record.mac2 is not Mac2.REFUSED
        if record.kind is TapKind.SALE and record.outcome in (Outcome.DEBITED, Outcome.UNKNOWN):
            self._count(record, meals)
        elif record.kind is TapKind.REVERSAL and certain:
            self._give_back(record)
        if record.refers_to and record.outcome in (Outcome.DEBITED, Outcome.UNKNOWN):
            self._credited[record.refers_to] = self.credited_fen(record.refers_to) + record.credit_fen
        if record.outcome is Outcome.DEBITED and record.kind is not TapKind.SIGN_ON:
            taps = self._taps.setdefault(record.card, [])
            taps.append(record.tap_id.seq)
            del taps[:-TAPS_SHOWN]

    def last(self, card: CardId) -> Spent | None:
        """The card's last sale here that counts."""
        recent = self._recent.get(card)
        return recent[-1] if recent else None

    def since(self, card: CardId, utc_s: int) -> Spending:
        """What the card has spent here from this moment on, or later by a clock that was ahead."""
        counted = [one for one in self._recent.get(card, ()) if one.at.utc_s >= utc_s]
        return Spending(sum(one.meals for one in counted), sum(one.price_fen for one in counted))

    def subsidised(self, card: CardId, utc_s: int) -> Iterator[Spent]:
        """The card's sales from this moment on to which the school has paid."""
        return (one for one in self._subsidised.get(card, ()) if one.at.utc_s >= utc_s)

    def is_credited(self, seq: int) -> bool:
        """Whether a sale was taken back, or something was given back for it, or may have been."""
        return seq in self._credited

    def credited_fen(self, seq: int) -> int:
        """How much of a sale was given back, or may have been."""
        return self._credited.get(seq, 0)

    def last_seqs(self, card: CardId) -> tuple[int, ...]:
        """The numbers of the card's last taps here, newest first."""
        return tuple(reversed(self._taps.get(card, ())))

    def _count(self, record: TapRecord, meals: int) -> None:
        recent = self._recent.setdefault(record.card, [])
        oldest_s = record.opened_at.utc_s - _RECENT_S
        while recent and recent[0].at.utc_s < oldest_s:
            del recent[0]
        day, minute = day_and_minute(record.opened_at)
        spent = Spent(record.tap_id.seq, record.opened_at, day, minute, record.amount_fen, record.subsidy_fen, meals)
        recent.append(spent)
        if record.subsidy_fen:
            self._subsidised.setdefault(record.card, []).append(spent)

    def _give_back(self, record: TapRecord) -> None:
        for kept in (self._recent.get(record.card, []), self._subsidised.get(record.card, [])):
            kept[:] = [one for one in kept if one.seq != record.refers_to]
