"""Taps with an unknown outcome are settled from what the ledger has of their cards' counters since.

`settlement.ledger.counters` decides; here is what it is asked with, and the booking of what it says.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Final

from settlement.ledger.booked import BANDS, SALES_OF_CARD, BookedTap, at_count, band_of, placeholders, taps_numbered
from settlement.ledger.counters import (
    Decision,
    Executed,
    Held,
    Later,
    Line,
    Load,
    NotExecuted,
    UnknownTap,
    Waiting,
    decide,
)
from settlement.ledger.entries import EntryKind, SuspenseItem, settled_tap
from settlement.ledger.store import ITEM_COLUMNS, Posted, post, read_item, read_origin
from settlement.store.database import Database, Value
from settlement.store.router import TOPUP
from wire.batch import TAPS_MAX
from wire.ids import CardId, LoadId, TapId
from wire.money import Fen

PORTION_MAX: Final = 200  # items looked at in a round; the others have their turn in the next ones

_NEW: Final = """
    SELECT id FROM suspense_item WHERE id > %s AND reason = 3
    AND NOT EXISTS (SELECT 1 FROM suspense_resolution WHERE suspense_item_id = suspense_item.id) ORDER BY id
"""
_LAST: Final = "SELECT coalesce(max(id), 0) FROM suspense_item"
_COUNTS: Final = "SELECT DISTINCT card, counter FROM suspense_item WHERE id IN (VALUES {rows})"
# An item is claimed, too, when its count was settled from counters without it: of what it says nothing was known then;
# and when people said that something else with its count was paid.
_ITEMS: Final = f"""
    WITH line (card, counter) AS (VALUES {{rows}})
    SELECT EXISTS (SELECT 1 FROM other_entry entry WHERE entry.ttsn IS NOT NULL
                          AND entry.terminal = item.terminal AND entry.ttsn = item.ttsn)
           OR EXISTS (SELECT 1 FROM sale_run run WHERE run.terminal = item.terminal AND run.first_ttsn <= item.ttsn
                      AND run.first_ttsn > item.ttsn - {TAPS_MAX} AND run.first_ttsn + run.taps > item.ttsn)
           OR EXISTS (SELECT 1 FROM other_entry WHERE (terminal, epoch, seq) = (item.terminal, item.epoch, item.seq))
           OR EXISTS (SELECT 1 FROM sale_run run WHERE (run.terminal, run.epoch) = (item.terminal, item.epoch)
                      AND run.first_seq <= item.seq AND run.first_seq > item.seq - {TAPS_MAX}
                      AND run.first_seq + run.taps > item.seq)
           OR EXISTS (SELECT 1 FROM other_entry entry JOIN suspense_resolution settled ON settled.entry_id = entry.id
                      WHERE entry.ttsn IS NOT NULL AND entry.card = item.card AND entry.counter = item.counter
                      AND (settled.outcome = 4 OR settled.outcome = 1
                      AND NOT (entry.terminal = item.terminal AND entry.epoch = item.epoch AND entry.seq > item.seq))),
           {ITEM_COLUMNS}
    FROM line CROSS JOIN suspense_item item
    WHERE item.card = line.card AND item.counter = line.counter AND reason = 3
    AND NOT EXISTS (SELECT 1 FROM suspense_resolution WHERE suspense_item_id = item.id)
"""
# What was settled from counters or by people is no proof for others, nor is a tap whose TAC is not there.
_IS_PROOF: Final = "NOT EXISTS (SELECT 1 FROM suspense_resolution WHERE entry_id = entry.id AND outcome IN (1, 4))"
_SALE_OF_CARD: Final = """
    other_entry opening CROSS JOIN sale
    WHERE opening.kind = 1 AND opening.card = line.card AND sale.purse_id = opening.id
"""
# The taps on a card's line by their numbers: with the count itself, the next one, and the one before or the opening.
_LINES: Final = f"""
    WITH RECURSIVE line (card, counter) AS (VALUES {{rows}}), {BANDS}
    SELECT line.card, line.counter,
           coalesce((SELECT entry.id FROM other_entry entry
                     WHERE ttsn IS NOT NULL AND entry.card = line.card AND entry.counter = line.counter),
                    (SELECT sale.id FROM {_SALE_OF_CARD} AND {at_count("line.counter")})),
           (SELECT entry.id FROM other_entry entry
            WHERE ttsn IS NOT NULL AND entry.card = line.card AND entry.counter > line.counter AND {_IS_PROOF}
            ORDER BY entry.counter LIMIT 1),
           (SELECT sale.id FROM {SALES_OF_CARD.format(card="line.card")} AND band.number >= {band_of("line.counter")}
            AND sale.counter > line.counter ORDER BY sale.counter LIMIT 1),
           coalesce(
               (SELECT entry.id FROM other_entry entry
                WHERE kind = 1 AND entry.card = line.card AND entry.counter = line.counter),
               (SELECT entry.id FROM other_entry entry WHERE ttsn IS NOT NULL AND entry.card = line.card
                AND entry.counter = line.counter - 1 AND {_IS_PROOF}),
               (SELECT sale.id FROM {_SALE_OF_CARD} AND {at_count("line.counter - 1")})),
           EXISTS (SELECT 1 FROM suspense_item other WHERE other.card = line.card AND other.counter = line.counter
                   AND other.reason <> 3 AND other.source <> '{TOPUP}')
           OR EXISTS (SELECT 1 FROM other_entry entry
                      WHERE kind = 1 AND entry.card = line.card AND entry.counter > line.counter)
    FROM line
"""
# A load that was torn is confirmed late; its money came on the card when it was granted.
_LOADS: Final = """
    WITH line (card, counter, since, until) AS (VALUES {rows})
    SELECT line.card, line.counter, load.amount_fen, load.happened_at_utc_s FROM line CROSS JOIN other_entry load
    WHERE load.kind IN (3, 9) AND load.card = line.card
    AND load.happened_at_utc_s > line.since AND load.happened_at_utc_s <= line.until
    AND EXISTS (SELECT 1 FROM entry_resolution WHERE entry_id = load.id AND outcome = 1)
"""
_RESOLVE: Final = """
    INSERT INTO suspense_resolution (suspense_item_id, outcome, evidence_id, entry_id, resolved_at_utc_s)
    VALUES (%s, %s, %s, %s, %s)
"""
_ENTRY_OF: Final = "SELECT id FROM other_entry WHERE terminal = %s AND epoch = %s AND seq = %s"
_SETTLED: Final = """
    SELECT item.source, item.terminal, item.epoch, item.seq, item.card, item.counter, item.amount_fen,
           resolution.outcome, resolution.evidence_id, resolution.entry_id, resolution.resolved_at_utc_s
    FROM suspense_resolution resolution
    JOIN suspense_item item ON item.id = resolution.suspense_item_id
    WHERE resolution.evidence_id IS NOT NULL ORDER BY resolution.resolved_at_utc_s, item.id
"""


class Settled(IntEnum):
    """What a tap was settled as."""

    EXECUTED = 1
    NOT_EXECUTED = 2


@dataclass(frozen=True, slots=True)
class Settlement:
    """A settled tap with its evidence, as reports show it; `entry` is what was booked for it, if it was executed."""

    origin: TapId | LoadId
    card: CardId
    counter: int
    amount_fen: Fen
    outcome: Settled
    evidence: int
    evidence_tap: TapId | LoadId
    evidence_counter: int
    entry: int | None
    resolved_at_utc_s: int


class Unsettled:
    """The unknown taps that wait, remembered by number, so that a ledger without any has next to nothing to do."""

    def __init__(self, *, outage_s: int) -> None:
        self._outage_s = outage_s
        self._items: deque[int] = deque()
        self._seen = 0

    def settle(self, db: Database, *, now_utc_s: int, complete: bool) -> int:
        """Look at some that wait and settle what is proven, in one transaction; how many were settled.

        Nothing is booked as executed unless `complete`: what is not in the books yet may have the count.
        """
        last = db.number(_LAST)
        if last > self._seen:
            self._items.extend(db.query(_NEW, (self._seen,), into=int))
            self._seen = last
        turn = [self._items.popleft() for _ in range(min(PORTION_MAX, len(self._items)))]
        if not turn:
            return 0
        settled: set[int] = set()
        try:
            with db.transaction():
                groups = _groups(db, turn)
                for group, decision in _decisions(
                    groups, now_utc_s=now_utc_s, outage_s=self._outage_s, complete=complete
                ):
                    if not isinstance(decision, Waiting):
                        settled |= _settle(db, group, decision, now_utc_s)
        finally:
            self._items.extend(item for item in turn if item not in settled)
        return len(settled)


def awaited(db: Database, *, now_utc_s: int, outage_s: int, complete: bool) -> dict[int, Waiting]:
    """What each unsettled item waits for; what the next turn of the ledger settles is not in it."""
    found: dict[int, Waiting] = {}
    items = db.query(_NEW, (0,), into=int)
    for start in range(0, len(items), PORTION_MAX):
        groups = _groups(db, items[start : start + PORTION_MAX])
        for group, decision in _decisions(groups, now_utc_s=now_utc_s, outage_s=outage_s, complete=complete):
            if isinstance(decision, Waiting):
                found |= {item.id: decision for item in group.items}
    return found


def settlements(db: Database) -> list[Settlement]:
    """Everything that was settled, in that order."""
    rows = db.query(_SETTLED, into=lambda *row: row)
    evidence = taps_numbered(db, {row[8] for row in rows})
    return [_settlement(evidence[row[8]], *row) for row in rows]


@dataclass(frozen=True, slots=True)
class _Item:
    id: int
    claimed: bool
    suspended: SuspenseItem

    @property
    def debited_fen(self) -> int:
        """What the card would have lost: a tap that takes a sale back takes nothing."""
        return self.suspended.amount_fen if self.suspended.kind is EntryKind.PURCHASE else 0


@dataclass(frozen=True, slots=True)
class _Group:
    """All unsettled items of one card at one count, and its line around it."""

    items: list[_Item]
    line: Line


def _groups(db: Database, items: Sequence[int]) -> list[_Group]:
    if not items:
        return []
    counts = db.query(_COUNTS.format(rows=placeholders(1, len(items))), items, into=lambda *count: count)
    params: list[Value] = [value for count in counts for value in count]
    rows = placeholders(2, len(counts))
    by_count: dict[tuple[bytes, int], list[_Item]] = defaultdict(list)
    sql = _ITEMS.format(rows=rows)
    read = db.query(sql, params, into=lambda claimed, *item: (bool(claimed), read_item(*item))) if counts else []
    for item in [_Item(number, claimed, suspended) for claimed, (number, suspended) in read]:
        by_count[item.suspended.card.to_bytes(), item.suspended.counter].append(item)
    lines = _lines(db, _LINES.format(rows=rows), params) if counts else []
    return _with_loads(db, [(count, _Group(by_count[count], line)) for count, line in lines if count in by_count])


def _with_loads(db: Database, groups: Sequence[tuple[tuple[bytes, int], _Group]]) -> list[_Group]:
    params: list[Value] = []
    for count, group in groups:
        line = group.line
        if line.before is not None and line.later is not None and line.later.held is not None:
            since = min(line.before.at_utc_s, *(item.suspended.happened_at_utc_s for item in group.items))
            params += [*count, since, line.later.held.at_utc_s]
    loads: dict[tuple[bytes, int], list[Load]] = defaultdict(list)
    if params:
        sql = _LOADS.format(rows=placeholders(4, len(params) // 4))
        for card, counter, *load in db.query(sql, params, into=lambda *row: row):
            loads[card, counter].append(Load(*load))
    return [_Group(group.items, replace(group.line, loads=tuple(loads[count]))) for count, group in groups]


def _decisions(
    groups: Sequence[_Group], *, now_utc_s: int, outage_s: int, complete: bool
) -> list[tuple[_Group, Decision]]:
    decided = []
    for group in groups:
        taps = [_unknown_tap(item) for item in group.items]
        decision = decide(taps, group.line, now_utc_s=now_utc_s, outage_s=outage_s, complete=complete)
        decided.append((group, decision))
    return decided


def _unknown_tap(item: _Item) -> UnknownTap:
    suspended = item.suspended
    origin = suspended.origin
    assert isinstance(origin, TapId), "only taps end unknown"
    return UnknownTap(
        item=item.id,
        journal=(bytes(origin.terminal), origin.epoch),
        seq=origin.seq,
        amount_fen=item.debited_fen,
        balance_fen=suspended.balance_before_fen,
        at_utc_s=suspended.happened_at_utc_s,
        claimed=item.claimed,
    )


def _settle(db: Database, group: _Group, decision: NotExecuted | Executed, now_utc_s: int) -> set[int]:
    """Book the decision; the items that it settles. The others at an executed one's count are next turn's."""
    if isinstance(decision, NotExecuted):
        rows = [(item.id, int(Settled.NOT_EXECUTED), decision.evidence, None, now_utc_s) for item in group.items]
        db.execute_many(_RESOLVE, rows)
        return {item.id for item in group.items}
    (executed,) = (item.suspended for item in group.items if item.id == decision.item)
    (result,) = post(db, [settled_tap(executed, decided_at_utc_s=now_utc_s)])
    if result is not Posted.CREATED:
        return set()  # another one settled in this turn has its serial; from now on it is claimed, and a person's
    origin = executed.origin
    assert isinstance(origin, TapId), "only taps end unknown"
    entry = db.number(_ENTRY_OF, (origin.terminal, origin.epoch, origin.seq))
    db.execute(_RESOLVE, (decision.item, int(Settled.EXECUTED), decision.evidence, entry, now_utc_s))
    return {decision.item}


def _lines(db: Database, sql: str, params: Sequence[Value]) -> list[tuple[tuple[bytes, int], Line]]:
    rows = db.query(sql, params, into=lambda *row: row)
    taps = taps_numbered(db, {number for row in rows for number in row[3:6] if number is not None})
    found = []
    for card, counter, same, *nearby, contested in rows:
        laters = [taps[number] for number in nearby[:2] if number is not None]
        later = min(laters, key=lambda tap: tap.counter, default=None)
        before = None if nearby[2] is None else _held_after(taps[nearby[2]])
        line = Line(
            counter=counter,
            same=same,
            later=None if later is None else _later(later),
            before=before,
            contested=bool(contested),
        )
        found.append(((card, counter), line))
    return found


def _later(tap: BookedTap) -> Later:
    held = None
    if tap.balance_before_fen is not None:
        held = Held(tap.balance_before_fen, tap.happened_at_utc_s, tap.terminal)
    return Later(tap.id, tap.received_at_utc_s, tap.counter, held)


def _held_after(tap: BookedTap) -> Held | None:
    """What the purse held after a tap, or when it was taken over; None where balances were not kept yet."""
    if tap.kind == EntryKind.OPENING:
        return Held(tap.amount_fen, tap.happened_at_utc_s, None)
    if tap.balance_before_fen is None:
        return None
    spent_fen = tap.amount_fen if tap.kind == EntryKind.PURCHASE else 0
    return Held(tap.balance_before_fen - spent_fen, tap.happened_at_utc_s, tap.terminal)


def _settlement(
    evidence: BookedTap,
    source: str,
    terminal: bytes,
    epoch: int,
    seq: int,
    card: bytes,
    counter: int,
    amount_fen: int,
    outcome: int,
    *booked: int,
) -> Settlement:
    _, entry, resolved_at_utc_s = booked
    return Settlement(
        read_origin(source, terminal, epoch, seq),
        CardId.from_bytes(card),
        counter,
        Fen(amount_fen),
        Settled(outcome),
        evidence.id,
        read_origin(evidence.source, evidence.terminal, evidence.epoch, evidence.seq),
        evidence.counter,
        entry,
        resolved_at_utc_s,
    )
