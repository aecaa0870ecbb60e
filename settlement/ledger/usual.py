"""Usual sales, straight from a stream's canonical bytes to rows: nine hundred and ninety-nine of a thousand taps.

A usual sale is debited, judged by its stream to be right, and of a purse that is known; nothing else claims its number,
its count or its serial. It gets the entry and the postings that `settlement.ledger.entries` and `store` would make of
it, without an object for each. Whatever is not usual is left to them: the rules are theirs, and the database's.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from settlement.ledger import store
from settlement.ledger.entries import Account, Entry, EntryKind, Source, SuspenseItem, accounting_day, entry_for
from settlement.ledger.store import Posted
from settlement.store.database import Database, RuleBroken, Value
from settlement.streams.store import IntakeRow
from wire.money import FEN_MAX
from wire.receipt import Suspense
from wire.record import LAYOUT, RECORD_BYTES, RECORD_VERSION, ClockQuality, Mac2, Outcome, TapKind, TapRecord

_SALE, _DEBITED = int(TapKind.SALE), int(Outcome.DEBITED)
_MAC2_MAX, _QUALITY_MAX = max(Mac2), max(ClockQuality)
_PURCHASE: Final = int(EntryKind.PURCHASE)
_FLOAT, _MERCHANT = int(Account.CARD_FLOAT), int(Account.MERCHANT_PAYABLE)
_SUBSIDIES: Final = int(Account.SUBSIDIES)

# Position, terminal, epoch, seq, card, counter, ttsn, amount, subsidy, balance before, time, clock quality.
Sale = tuple[int, bytes, int, int, bytes, int, int, int, int, int, int, int]


@dataclass(frozen=True, slots=True)
class Sales:
    """Usual sales that follow each other in a source, all received at one time."""

    source: str
    received_at_utc_s: int
    rows: list[Sale]


def usual_sales(records: bytes, position: int) -> Iterator[Sale | None]:
    """Each of these canonical records as a usual sale, None where it is none; the first stands at `position`."""
    for at, fields in enumerate(LAYOUT.iter_unpack(records), start=position):
        (
            version, terminal, epoch, seq, kind, outcome, reason, mac2, card, amount_fen, subsidy_fen, credit_fen,
            balance_fen, counter, ttsn, _, refers_to, utc_s, _, _, quality,
        ) = fields  # fmt: skip
        if (
            (version, kind, outcome, reason, credit_fen, refers_to) == (RECORD_VERSION, _SALE, _DEBITED, 0, 0, 0)
            and mac2 <= _MAC2_MAX
            and quality <= _QUALITY_MAX
            and epoch
            and seq
            and amount_fen + subsidy_fen <= FEN_MAX
        ):
            yield (
                at, terminal, epoch, seq, card, counter, ttsn, amount_fen, subsidy_fen, balance_fen, utc_s, quality,
            )  # fmt: skip
        else:
            yield None


class Openings:
    """With which count each purse was taken over, as far as it was asked for; they never change."""

    def __init__(self) -> None:
        self._counters: dict[bytes, int] = {}

    def cover(self, db: Database, sales: Sequence[Sale]) -> bool:
        """Whether every sale's purse is known, with a count from its opening on."""
        counters = self._counters
        if unknown := {sale[4] for sale in sales} - counters.keys():
            counters.update(store.openings_of(db, list(unknown)))
        return all(sale[5] >= counters.get(sale[4], FEN_MAX) for sale in sales)


class Taps:
    """What a stream's next intakes mean, in order: runs of usual sales, and whatever else there is one by one.

    `reasons` tells why those at some positions are suspended. `read` raises `FormatError` for what is no record.
    """

    def __init__(self, source: str, reasons: dict[int, int]) -> None:
        self._source = source
        self._reasons = reasons
        self._intakes: list[IntakeRow] = []
        self._steps: list[Sales | Entry | SuspenseItem] = []

    def read(self, intake: IntakeRow) -> None:
        """The next one."""
        self._intakes.append(intake)
        run: list[Sale] = []
        for at, sale in enumerate(usual_sales(intake.records, intake.position)):
            if sale is not None and intake.position + at not in self._reasons:
                if not run:
                    self._steps.append(Sales(self._source, intake.received_at_utc_s, run))
                run.append(sale)
            elif (item := self._item(intake, at)) is not None:
                self._steps.append(item)
                run = []

    def post(self, db: Database, openings: Openings) -> list[Posted]:
        """As `store.post` would post them one after the other; that does where what looked usual is not.

        The database's own rules find what speaks against a sale, and undo all of this: nothing is asked before.
        """
        if all(openings.cover(db, step.rows) for step in self._steps if isinstance(step, Sales)):
            with suppress(RuleBroken), db.savepoint():
                return self._post_steps(db)
        return self.post_straight(db)

    def post_straight(self, db: Database) -> list[Posted]:
        """Without the short way."""
        items = (self._item(row, at) for row in self._intakes for at in range(row.next_position - row.position))
        return store.post(db, [item for item in items if item is not None])

    def _post_steps(self, db: Database) -> list[Posted]:
        results: list[Posted] = []
        for step in self._steps:
            if isinstance(step, Sales):
                add_sales(db, step)
                results += [Posted.CREATED] * len(step.rows)
            else:
                results += store.post(db, [step])
        return results

    def _item(self, intake: IntakeRow, at: int) -> Entry | SuspenseItem | None:
        reason = self._reasons.get(intake.position + at)
        return entry_for(
            TapRecord.from_bytes(intake.records[RECORD_BYTES * at : RECORD_BYTES * (at + 1)]),
            suspense=None if reason is None else Suspense(reason),
            source=Source(self._source, intake.position + at),
            received_at_utc_s=intake.received_at_utc_s,
        )


def add_sales(db: Database, sales: Sales) -> None:
    """Add them as `store.add_entries` would; raises `RuleBroken` where something else claims what one of them does."""
    number, posting, day_min = store.last_entry(db), store.last_posting(db), store.open_day(db)
    day = max(accounting_day(sales.received_at_utc_s), day_min)
    source, received = sales.source, sales.received_at_utc_s
    rows: list[tuple[Value, ...]] = []
    postings: list[tuple[Value, ...]] = []
    for sale in sales.rows:
        position, terminal, epoch, seq, card, counter, ttsn, amount_fen, subsidy_fen, balance, utc_s, quality = sale
        number += 1
        rows.append((
            number, _PURCHASE, source, position, terminal, epoch, seq, card, counter, ttsn, amount_fen, subsidy_fen,
            None, balance, utc_s, quality, received, day,
        ))  # fmt: skip
        if subsidy_fen:
            postings.append((posting + 1, number, _SUBSIDIES, None, subsidy_fen, day))
            postings.append((posting + 2, number, _FLOAT, card, -subsidy_fen, day))
            posting += 2
        if price_fen := amount_fen + subsidy_fen:
            postings.append((posting + 1, number, _FLOAT, card, price_fen, day))
            postings.append((posting + 2, number, _MERCHANT, None, -price_fen, day))
            posting += 2
    store.append(db, rows, postings)
