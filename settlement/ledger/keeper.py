"""The ledger's turn: pull, settle what is proven, try again what waits, close days that are over.

Left out: the loop around it, and what it prints.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from settlement.ledger import days
from settlement.ledger.clearing import Owners
from settlement.ledger.days import Close
from settlement.ledger.decide import close_asked_for
from settlement.ledger.entries import accounting_day
from settlement.ledger.pull import JournalSource, Round, pull_round
from settlement.ledger.retries import Retries
from settlement.ledger.store import Posted
from settlement.ledger.unknown import Unsettled
from settlement.store.database import Database
from wire.errors import CampusError

# What was received before midnight is in its stream's journal by then: a gateway gives up on a batch after 20 s.
GRACE_S: Final = 60
_DAY_S: Final = 86_400


@dataclass(frozen=True, slots=True)
class Turn:
    """What one turn did."""

    round: Round
    settled: int = 0
    booked_later: int = 0
    closed: list[Close] = field(default_factory=list)


class Keeper:
    """Keeps one set of books, turn after turn."""

    def __init__(
        self,
        openings: JournalSource,
        sources: Sequence[JournalSource],
        *,
        outage_s: int,
        close_at_s: int,
        fee_per_10000: int,
        owners: Callable[[], Owners],
    ) -> None:
        """`close_at_s`: so long after midnight the day before is closed by itself; `owners` is asked at each close."""
        self._openings = openings
        self._sources = sources
        self._unsettled = Unsettled(outage_s=outage_s)
        self._retries = Retries()
        self._close_at_s = max(close_at_s, GRACE_S)
        self._fee_per_10000 = fee_per_10000
        self._owners = owners

    def turn(self, db: Database, *, now_utc_s: int) -> Turn:
        """One turn. What cannot be read or done is in the round's faults, and is tried again in the next."""
        outcome = pull_round(db, self._openings, self._sources)
        settled = booked_later = 0
        closed: list[Close] = []
        try:
            settled = self._unsettled.settle(db, now_utc_s=now_utc_s, complete=outcome.complete)
            news = bool(outcome.posted[Posted.CREATED] or settled)
            booked_later = self._retries.book(db, now_utc_s=now_utc_s, news=news)
        except CampusError as error:
            outcome.faults["suspense"] = error
        if outcome.drained:
            try:
                closed = self._close(db, now_utc_s)
            except CampusError as error:
                outcome.faults["day close"] = error
        return Turn(outcome, settled, booked_later, closed)

    def _close(self, db: Database, now_utc_s: int) -> list[Close]:
        over = accounting_day(now_utc_s - GRACE_S - _DAY_S)
        through = max(min(close_asked_for(db), over), accounting_day(now_utc_s - self._close_at_s - _DAY_S))
        if not days.is_open(db, through):
            return []
        return days.close_days(
            db,
            through=through,
            now_utc_s=now_utc_s,
            owners=self._owners(),
            fee_per_10000=self._fee_per_10000,
            count_max=1,  # taps are not kept waiting for a month of days
        )

    @property
    def sources(self) -> int:
        """How many journals it reads."""
        return 1 + len(self._sources)

    def close(self) -> None:
        """Let go of the sources."""
        for source in (self._openings, *self._sources):
            source.close()
