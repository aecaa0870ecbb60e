"""What the finance office asks of closed days: the trial balance, and the float's roll-forward.

Both are sums of the days' own totals. Left out: the merchants' statements (`settlement.ledger.clearing`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from settlement.ledger.days import closes, last_close
from settlement.ledger.entries import Account, EntryKind
from settlement.store.database import Database

_TRIAL: Final = """
    SELECT account.number, account.name, coalesce(opening.balance_fen, 0),
           coalesce((SELECT CAST(sum(debit_fen) AS bigint) FROM day_total moved
                     WHERE moved.day >= %s AND moved.day <= %s AND moved.account_id = account.number), 0),
           coalesce((SELECT CAST(sum(credit_fen) AS bigint) FROM day_total moved
                     WHERE moved.day >= %s AND moved.day <= %s AND moved.account_id = account.number), 0),
           coalesce(closing.balance_fen, 0)
    FROM account
    LEFT JOIN day_balance opening ON opening.account_id = account.number
         AND opening.day = (SELECT max(day) FROM day_close WHERE day < %s)
    LEFT JOIN day_balance closing ON closing.account_id = account.number
         AND closing.day = (SELECT max(day) FROM day_close WHERE day <= %s)
    ORDER BY account.number
"""
_MOVED: Final = """
    SELECT kind, CAST(sum(debit_fen) AS bigint), CAST(sum(credit_fen) AS bigint) FROM day_total
    WHERE day >= %s AND day <= %s AND account_id = %s GROUP BY kind
"""
_PURSES: Final = """
    SELECT coalesce(CAST(sum(balance_fen) AS bigint), 0),
           coalesce(sum(CASE WHEN balance_fen < 0 THEN 1 ELSE 0 END), 0),
           coalesce(CAST(sum(CASE WHEN balance_fen < 0 THEN balance_fen ELSE 0 END) AS bigint), 0)
    FROM purse_balance
"""
_PENDING: Final = """
    SELECT count(*), coalesce(CAST(sum(amount_fen) AS bigint), 0)
    FROM pending_load CROSS JOIN other_entry entry WHERE entry.id = pending_load.entry_id
"""
_SUSPENDED: Final = """
    SELECT count(*), coalesce(CAST(sum(amount_fen) AS bigint), 0) FROM suspense_item
    WHERE NOT EXISTS (SELECT 1 FROM suspense_resolution WHERE suspense_item_id = suspense_item.id)
"""


@dataclass(frozen=True, slots=True)
class TrialLine:
    """An account over the period; balances are debits above zero."""

    account: int
    name: str
    opening_fen: int
    debit_fen: int
    credit_fen: int
    closing_fen: int

    @property
    def is_right(self) -> bool:
        """Whether the closing balance is what the movements lead to."""
        return self.opening_fen + self.debit_fen - self.credit_fen == self.closing_fen


@dataclass(frozen=True, slots=True, kw_only=True)
class RollForward:
    """The card float over the period: what the school owes on all purses, above zero here.

    `purses_fen` is the purses' own sum, which is kept as of the last closed day; None if that is not the period's last.
    The rest is as of now: money on its way to cards, and suspense, both in no balance; purses below zero are owed by
    their holders.
    """

    first_day: int
    last_day: int
    opening_fen: int
    taken_over_fen: int
    loads_fen: int
    collected_fen: int
    subsidies_fen: int
    purchases_fen: int
    adjustments_fen: int
    closing_fen: int
    purses_fen: int | None
    overdrawn: int
    overdrawn_fen: int
    refunds_payable_fen: int
    pending: int
    pending_fen: int
    suspended: int
    suspended_fen: int

    @property
    def is_right(self) -> bool:
        """Whether the float is what the movements lead to, and what the purses sum to."""
        in_fen = self.taken_over_fen + self.loads_fen + self.collected_fen + self.subsidies_fen
        return (
            self.opening_fen + in_fen - self.purchases_fen + self.adjustments_fen == self.closing_fen
            and self.purses_fen in (None, self.closing_fen)
        )


def trial_balance(db: Database, first_day: int, last_day: int) -> list[TrialLine]:
    """Every account of the chart over these closed days."""
    days = (first_day, last_day)
    return db.query(_TRIAL, (*days, *days, *days), into=TrialLine)


def roll_forward(db: Database, first_day: int, last_day: int) -> RollForward:
    """The float over these closed days."""
    lines = {line.account: line for line in trial_balance(db, first_day, last_day)}
    moved = {
        EntryKind(kind): (debit_fen, credit_fen)
        for kind, debit_fen, credit_fen in db.query(
            _MOVED, (first_day, last_day, int(Account.CARD_FLOAT)), into=lambda *row: row
        )
    }
    kinds = (EntryKind.OPENING, EntryKind.LOAD, EntryKind.COLLECTION, EntryKind.PURCHASE)
    opened, loaded, collected, bought = (moved.get(kind, (0, 0)) for kind in kinds)
    adjusted = moved.get(EntryKind.ADJUSTMENT, (0, 0))
    ((purses_fen, overdrawn, overdrawn_fen),) = db.query(_PURSES, into=lambda *row: row)
    ((pending, pending_fen),) = db.query(_PENDING, into=lambda *row: row)
    ((suspended, suspended_fen),) = db.query(_SUSPENDED, into=lambda *row: row)
    last = last_close(db)
    made = closes(db, first_day, last_day)
    return RollForward(
        first_day=first_day,
        last_day=last_day,
        opening_fen=-lines[Account.CARD_FLOAT].opening_fen,
        taken_over_fen=opened[1] - opened[0],
        loads_fen=loaded[1] - loaded[0],
        collected_fen=collected[1] - collected[0],
        subsidies_fen=bought[1],
        purchases_fen=bought[0],
        adjustments_fen=adjusted[1] - adjusted[0],
        closing_fen=-lines[Account.CARD_FLOAT].closing_fen,
        purses_fen=purses_fen if made and last is not None and made[-1].number == last.number else None,
        overdrawn=overdrawn,
        overdrawn_fen=overdrawn_fen,
        refunds_payable_fen=-lines[Account.REFUNDS_PAYABLE].closing_fen,
        pending=pending,
        pending_fen=pending_fen,
        suspended=suspended,
        suspended_fen=suspended_fen,
    )
