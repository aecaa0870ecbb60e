"""Usual sales, straight from a stream's canonical bytes to dense rows: nine hundred and ninety-nine of a thousand taps.

A usual sale is debited, judged by its stream to be right, and of a purse that is known; nothing else claims its number,
its count or its serial. Those that follow each other in a journal make a run: what they have in common is kept once,
and their postings follow from them. The views `entry` and `posting` show what `settlement.ledger.entries` and `store`
would make of each. Whatever is not usual is left to these: the rules are theirs, and the database's.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain, groupby, repeat
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

# Of a record (`wire.record.LAYOUT`): version, terminal and epoch; seq; card, amount, subsidy, balance before, counter,
# ttsn, time, clock quality.
_SALE: Final = struct.Struct(">9sI4x18sII4xIHI8xI8xB")
# What tells a usual sale: kind, outcome, reason, MAC2; no credit, and no sale that it takes back.
_MARKS: Final = struct.Struct(">13x4s26xI14xI13x")
assert _SALE.size == _MARKS.size == RECORD_BYTES, "each is a view of a whole record"
_USUAL: Final = frozenset((bytes((TapKind.SALE, Outcome.DEBITED, 0, mac2)), 0, 0) for mac2 in Mac2)
# The same byte by byte, for a look at all records at once; MAC2 is between them.
_USUAL_BYTES: Final = {
    13: int(TapKind.SALE), 14: int(Outcome.DEBITED), 15: 0, 43: 0, 44: 0, 45: 0, 46: 0, 61: 0, 62: 0, 63: 0, 64: 0,
}  # fmt: skip
_MAC2_AT: Final = 16

_VERSION: Final = bytes((RECORD_VERSION,))
_TERMINAL: Final = slice(1, 7)
_EPOCH: Final = slice(7, 9)
_NO_EPOCH: Final = bytes(2)
_QUALITY_MAX: Final = max(ClockQuality)


@dataclass(frozen=True, slots=True)
class Run:
    """Usual sales with what they have in common, and what is each one's own column by column; see `SaleRun`."""

    position: int
    journal: bytes  # version, terminal and epoch as they stand in each record
    first_seq: int
    first_ttsn: int
    clock_quality: int
    received_at_utc_s: int
    cards: Sequence[bytes]
    counters: Sequence[int]
    amounts_fen: Sequence[int]
    subsidies_fen: Sequence[int]
    balances_fen: Sequence[int]
    happened_at_utc_s: Sequence[int]


def usual_runs(intake: IntakeRow, doubted: frozenset[int]) -> Iterator[Run | int]:
    """The intake's records in their order: runs of usual sales, and for each other record its place in the intake.

    `doubted` are positions that are not usual whatever stands there. Most intakes are one run: nothing is done with
    each record of one but in the interpreter's own loops.
    """
    if not intake.records:
        return
    columns = _Columns(intake)
    count = len(columns.seqs)
    if columns.are_one_run() and doubted.isdisjoint(range(intake.position, intake.position + count)):
        yield columns.run(0, count)
        return
    start = None
    for at, marks in enumerate(_MARKS.iter_unpack(intake.records)):
        usual = marks in _USUAL and columns.can_be_usual(at) and intake.position + at not in doubted
        if start is not None and not (usual and columns.follow(start, at)):
            yield columns.run(start, at)
            start = None
        if not usual:
            yield at
        elif start is None:
            start = at
    if start is not None:
        yield columns.run(start, count)


class _Columns:
    """An intake's records column by column."""

    def __init__(self, intake: IntakeRow) -> None:
        self._intake = intake
        self._journals: tuple[bytes, ...]
        self._qualities: tuple[int, ...]
        self.seqs: tuple[int, ...]
        self._ttsns: tuple[int, ...]
        columns = zip(*_SALE.iter_unpack(intake.records), strict=True)
        self._journals, self.seqs, self._cards, self._amounts_fen, self._subsidies_fen, *rest = columns
        self._balances_fen, self._counters, self._ttsns, self._times, self._qualities = rest

    def run(self, start: int, end: int) -> Run:
        """Those from place `start` up to `end`, which are usual and follow each other."""
        return Run(
            self._intake.position + start,
            self._journals[start],
            self.seqs[start],
            self._ttsns[start],
            self._qualities[start],
            self._intake.received_at_utc_s,
            self._cards[start:end],
            self._counters[start:end],
            self._amounts_fen[start:end],
            self._subsidies_fen[start:end],
            self._balances_fen[start:end],
            self._times[start:end],
        )

    def are_one_run(self) -> bool:
        """Whether all of them are usual and follow each other; a price beyond all bounds is looked at one by one."""
        count, seq, ttsn = len(self.seqs), self.seqs[0], self._ttsns[0]
        return (
            _are_usual(self._intake.records, count)
            and max(self._amounts_fen) + max(self._subsidies_fen) <= FEN_MAX
            and self.can_be_usual(0)
            and self._journals.count(self._journals[0]) == self._qualities.count(self._qualities[0]) == count
            and self.seqs == tuple(range(seq, seq + count))
            and self._ttsns == tuple(range(ttsn, ttsn + count))
        )

    def can_be_usual(self, at: int) -> bool:
        """Whether this one's fields are within their bounds."""
        journal = self._journals[at]
        return (
            journal[:1] == _VERSION
            and journal[_EPOCH] != _NO_EPOCH
            and self.seqs[at] > 0
            and self._qualities[at] <= _QUALITY_MAX
            and self._amounts_fen[at] + self._subsidies_fen[at] <= FEN_MAX
        )

    def follow(self, start: int, at: int) -> bool:
        """Whether this one goes on with a run that began at `start`."""
        return (self._journals[at], self._qualities[at], self.seqs[at] - at, self._ttsns[at] - at) == (
            self._journals[start],
            self._qualities[start],
            self.seqs[start] - start,
            self._ttsns[start] - start,
        )


def _are_usual(records: bytes, count: int) -> bool:
    same = all(records[at::RECORD_BYTES].count(value) == count for at, value in _USUAL_BYTES.items())
    return same and max(records[_MAC2_AT::RECORD_BYTES]) <= max(Mac2)


class Openings:
    """The numbers of the purses' openings, as far as they were asked for; they never change in one database."""

    def __init__(self) -> None:
        self._purses: dict[bytes, int] = {}
        self._session = 0

    def of(self, db: Database, cards: set[bytes]) -> Mapping[bytes, int]:
        """Those of these cards, and of others; a purse that was never opened is not there."""
        if db.session != self._session:  # a server that failed over may have numbered them otherwise
            self._purses.clear()
            self._session = db.session
        if unknown := cards - self._purses.keys():
            self._purses.update(purses_of(db, list(unknown)))
        return self._purses


_Step = Run | Entry | SuspenseItem


def _cards_of(steps: Sequence[_Step]) -> set[bytes]:
    return {card for step in steps if isinstance(step, Run) for card in step.cards}


class Taps:
    """What a stream's next intakes mean, in order: runs of usual sales, and whatever else there is one by one.

    `reasons` tells why those at some positions are suspended. `read` raises `FormatError` for what is no record.
    """

    def __init__(self, source: str, reasons: dict[int, int]) -> None:
        self._source = source
        self._reasons = reasons
        self._doubted = frozenset(reasons)
        self._intakes: list[tuple[IntakeRow, list[_Step]]] = []

    def read(self, intake: IntakeRow) -> None:
        """The next one."""
        if len(intake.records) % RECORD_BYTES:
            raise FormatError("an intake holds whole records")
        steps: list[_Step] = []
        for step in usual_runs(intake, self._doubted):
            if isinstance(step, Run):
                steps.append(step)
            elif (item := self._item(intake, step)) is not None:
                steps.append(item)
        self._intakes.append((intake, steps))

    def post(self, db: Database, openings: Openings) -> list[Posted]:
        """As `store.post` would post them one after the other; that does where what looked usual is not.

        The database's own rules find what speaks against a sale, and undo all of this: nothing is asked before. Then
        each intake is tried by itself, so that one tap sends those that came with it the straight way, and no others.
        """
        steps = [step for _, its in self._intakes for step in its]
        purses = openings.of(db, _cards_of(steps))
        if (results := self._post_short(db, steps, purses)) is not None:
            return results
        results = []
        for intake, its in self._intakes:
            short = self._post_short(db, its, purses)
            results += self._post_straight(db, [intake]) if short is None else short
        return results

    def post_straight(self, db: Database) -> list[Posted]:
        """Without the short way."""
        return self._post_straight(db, [intake for intake, _ in self._intakes])

    def _post_straight(self, db: Database, intakes: Sequence[IntakeRow]) -> list[Posted]:
        items = (self._item(row, at) for row in intakes for at in range(row.next_position - row.position))
        return store.post(db, [item for item in items if item is not None])

    def _post_short(self, db: Database, steps: Sequence[_Step], purses: Mapping[bytes, int]) -> list[Posted] | None:
        """None, and nothing is kept, if some of them is not usual."""
        if not _cards_of(steps) <= purses.keys():
            return None
        with suppress(RuleBroken), db.savepoint():
            results: list[Posted] = []
            for usual, alike in groupby(steps, lambda step: isinstance(step, Run)):
                if usual:
                    runs = [step for step in alike if isinstance(step, Run)]
                    add_runs(db, self._source, runs, purses)
                    results += [Posted.CREATED] * sum(len(run.cards) for run in runs)
                else:
                    results += store.post(db, [step for step in alike if not isinstance(step, Run)])
            return results
        return None

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
    first, day_min = store.last_entry(db) + 1, store.open_day(db)
    sales: list[Iterable[tuple[Value, ...]]] = []
    heads: list[tuple[Value, ...]] = []
    for run in runs:
        count = len(run.cards)
        sales.append(zip(
            range(first, first + count), repeat(first, count), map(purses.__getitem__, run.cards), run.counters,
            run.amounts_fen, run.subsidies_fen, run.balances_fen, run.happened_at_utc_s, strict=True,
        ))  # fmt: skip
        heads.append((
            first, count, source, run.position, run.journal[_TERMINAL], int.from_bytes(run.journal[_EPOCH]),
            run.first_seq, run.first_ttsn, run.clock_quality, run.received_at_utc_s,
            max(accounting_day(run.received_at_utc_s), day_min), sum(run.amounts_fen), sum(run.subsidies_fen),
        ))  # fmt: skip
        first += count
    store.append_runs(db, heads, chain.from_iterable(sales))
