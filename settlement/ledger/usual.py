"""Usual sales, straight from a stream's canonical bytes to dense rows: nine hundred and ninety-nine of a thousand taps.

A usual sale is debited, judged by its stream to be right, and of a purse that is known; nothing else claims its number,
its count or its serial. Those that follow each other in a journal make a run: what they have in common is kept once,
and their postings follow from them. The views `entry` and `posting` show what `settlement.ledger.entries` and `store`
would make of each. Whatever is not usual is left to these: the rules are theirs, and the database's.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import groupby
from typing import Final

from settlement.ledger import store
from settlement.ledger.booked import purses_of
from settlement.ledger.entries import Entry, Source, SuspenseItem, accounting_day, entry_for
from settlement.ledger.store import Posted
from settlement.store.database import Database, RuleBroken, Value
from settlement.streams.store import IntakeRow
from wire.fields import FormatError
from wire.money import FEN_MAX
from wire.receipt import Suspense
from wire.record import RECORD_BYTES, RECORD_VERSION, ClockQuality, Mac2, Outcome, TapKind, TapRecord

# Of a record (`wire.record.LAYOUT`): version, terminal and epoch; seq; kind, outcome, reason and MAC2; card, amount,
# subsidy, credit, balance before, counter, ttsn, refers_to, time, clock quality.
_SALE: Final = struct.Struct(">9sI4s18sIIIIHI4xII8xB")
assert _SALE.size == RECORD_BYTES, "it is a view of a whole record"

_VERSION: Final = bytes((RECORD_VERSION,))
_TERMINAL: Final = slice(1, 7)
_EPOCH: Final = slice(7, 9)
_NO_EPOCH: Final = bytes(2)
_DEBITED: Final = frozenset(bytes((TapKind.SALE, Outcome.DEBITED, 0, mac2)) for mac2 in Mac2)
_QUALITY_MAX: Final = max(ClockQuality)

# Card, counter, amount, subsidy, balance before, time.
Sale = tuple[bytes, int, int, int, int, int]


@dataclass(slots=True)
class Run:
    """Usual sales with what they have in common; see `SaleRun` of the tables."""

    position: int
    journal: bytes  # version, terminal and epoch as they stand in each record
    first_seq: int
    first_ttsn: int
    clock_quality: int
    received_at_utc_s: int
    sales: list[Sale] = field(default_factory=list)


def usual_runs(intake: IntakeRow, doubted: frozenset[int]) -> Iterator[Run | int]:
    """The intake's records in their order: runs of usual sales, and for each other record its place in the intake.

    `doubted` are positions that are not usual whatever stands there.
    """
    run: Run | None = None
    next_seq = next_ttsn = 0
    for at, (
        journal, seq, marks, card, amount_fen, subsidy_fen, credit_fen, balance_fen, counter, ttsn, refers_to, utc_s,
        quality,
    ) in enumerate(_SALE.iter_unpack(intake.records)):  # fmt: skip
        if (
            marks not in _DEBITED
            or credit_fen
            or refers_to
            or not seq
            or quality > _QUALITY_MAX
            or amount_fen + subsidy_fen > FEN_MAX
            or journal[:1] != _VERSION
            or journal[_EPOCH] == _NO_EPOCH
            or (doubted and intake.position + at in doubted)
        ):
            if run is not None:
                yield run
                run = None
            yield at
            continue
        if (
            run is None
            or (seq, ttsn) != (next_seq, next_ttsn)
            or (journal, quality) != (run.journal, run.clock_quality)
        ):
            if run is not None:
                yield run
            run = Run(intake.position + at, journal, seq, ttsn, quality, intake.received_at_utc_s)
            next_seq, next_ttsn = seq, ttsn
        run.sales.append((card, counter, amount_fen, subsidy_fen, balance_fen, utc_s))
        next_seq += 1
        next_ttsn += 1
    if run is not None:
        yield run


class Openings:
    """The numbers of the purses' openings, as far as they were asked for; they never change."""

    def __init__(self) -> None:
        self._purses: dict[bytes, int] = {}

    def of(self, db: Database, cards: set[bytes]) -> Mapping[bytes, int]:
        """Those of these cards, and of others; a purse that was never opened is not there."""
        if unknown := cards - self._purses.keys():
            self._purses.update(purses_of(db, list(unknown)))
        return self._purses


class Taps:
    """What a stream's next intakes mean, in order: runs of usual sales, and whatever else there is one by one.

    `reasons` tells why those at some positions are suspended. `read` raises `FormatError` for what is no record.
    """

    def __init__(self, source: str, reasons: dict[int, int]) -> None:
        self._source = source
        self._reasons = reasons
        self._doubted = frozenset(reasons)
        self._intakes: list[IntakeRow] = []
        self._steps: list[Run | Entry | SuspenseItem] = []

    def read(self, intake: IntakeRow) -> None:
        """The next one."""
        if len(intake.records) % RECORD_BYTES:
            raise FormatError("an intake holds whole records")
        self._intakes.append(intake)
        for step in usual_runs(intake, self._doubted):
            if isinstance(step, Run):
                self._steps.append(step)
            elif (item := self._item(intake, step)) is not None:
                self._steps.append(item)

    def post(self, db: Database, openings: Openings) -> list[Posted]:
        """As `store.post` would post them one after the other; that does where what looked usual is not.

        The database's own rules find what speaks against a sale, and undo all of this: nothing is asked before.
        """
        cards = {sale[0] for step in self._steps if isinstance(step, Run) for sale in step.sales}
        purses = openings.of(db, cards)
        if cards <= purses.keys():
            with suppress(RuleBroken), db.savepoint():
                return self._post_steps(db, purses)
        return self.post_straight(db)

    def post_straight(self, db: Database) -> list[Posted]:
        """Without the short way."""
        items = (self._item(row, at) for row in self._intakes for at in range(row.next_position - row.position))
        return store.post(db, [item for item in items if item is not None])

    def _post_steps(self, db: Database, purses: Mapping[bytes, int]) -> list[Posted]:
        results: list[Posted] = []
        for usual, steps in groupby(self._steps, lambda step: isinstance(step, Run)):
            if usual:
                runs = [step for step in steps if isinstance(step, Run)]
                add_runs(db, self._source, runs, purses)
                results += [Posted.CREATED] * sum(len(run.sales) for run in runs)
            else:
                results += store.post(db, [step for step in steps if not isinstance(step, Run)])
        return results

    def _item(self, intake: IntakeRow, at: int) -> Entry | SuspenseItem | None:
        reason = self._reasons.get(intake.position + at)
        return entry_for(
            TapRecord.from_bytes(intake.records[RECORD_BYTES * at : RECORD_BYTES * (at + 1)]),
            suspense=None if reason is None else Suspense(reason),
            source=Source(self._source, intake.position + at),
            received_at_utc_s=intake.received_at_utc_s,
        )


def add_runs(db: Database, source: str, runs: Sequence[Run], purses: Mapping[bytes, int]) -> None:
    """Add them with their sales, numbered on; raises `RuleBroken` where something else claims what one of them does.

    `purses` has every card's opening.
    """
    number, day_min = store.last_entry(db) + 1, store.open_day(db)
    sales: list[tuple[Value, ...]] = []
    heads: list[tuple[Value, ...]] = []
    for run in runs:
        first = number
        for card, counter, amount_fen, subsidy_fen, balance_fen, utc_s in run.sales:
            sales.append((number, first, purses[card], counter, amount_fen, subsidy_fen, balance_fen, utc_s))
            number += 1
        heads.append((
            first, number - first, source, run.position, run.journal[_TERMINAL], int.from_bytes(run.journal[_EPOCH]),
            run.first_seq, run.first_ttsn, run.clock_quality, run.received_at_utc_s,
            max(accounting_day(run.received_at_utc_s), day_min), sum(sale[2] for sale in run.sales),
            sum(sale[3] for sale in run.sales),
        ))  # fmt: skip
    store.append_runs(db, heads, sales)
