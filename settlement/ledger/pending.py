"""Loads in the ledger: pending when granted, posted when confirmed, voided when not; each at its time a few statements.

A pending or voided entry has no postings, so no balance counts it. Left out: what proves a load's end, which is the
top-up desk's to decide.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from settlement.ledger.entries import (
    LOADS,
    Entry,
    EntryKind,
    LoadEnd,
    Resolved,
    accounting_day,
    load_postings,
    suspend_end,
    suspend_entry,
)
from settlement.ledger.store import Posted, add_entries, add_postings, open_day, origin_key, posting_rows, suspend
from settlement.store.database import Database
from wire.ids import CardId, LoadId, TerminalId
from wire.money import Fen
from wire.receipt import Suspense

_KNOWN: Final = """
    SELECT entry.id, entry.kind, entry.card, entry.counter, entry.amount_fen, entry_resolution.outcome
    FROM other_entry entry LEFT JOIN entry_resolution ON entry_resolution.entry_id = entry.id
    WHERE entry.terminal = %s AND entry.epoch = %s AND entry.seq = %s
"""
_OPENED: Final = "SELECT count(*) FROM other_entry WHERE kind = 1 AND card = %s"
_LIVE_AT_COUNT: Final = """
    SELECT count(*) FROM other_entry entry WHERE kind IN (3, 9) AND card = %s AND counter = %s
    AND NOT EXISTS (SELECT 1 FROM entry_resolution WHERE entry_id = entry.id AND outcome = 2)
"""
_RESOLVE: Final = """
    INSERT INTO entry_resolution (entry_id, outcome, source, source_position, happened_at_utc_s, accounting_day)
    VALUES (%s, %s, %s, %s, %s, %s)
"""
_ADD_PENDING: Final = "INSERT INTO pending_load (entry_id) VALUES (%s)"
_END_PENDING: Final = "DELETE FROM pending_load WHERE entry_id = %s"
_PENDING: Final = """
    SELECT terminal, epoch, seq, kind, card, counter, amount_fen, received_at_utc_s
    FROM pending_load CROSS JOIN other_entry entry WHERE entry.id = pending_load.entry_id ORDER BY received_at_utc_s, id
"""


@dataclass(frozen=True, slots=True)
class PendingLoad:
    """Money on its way to a card, as reports show it."""

    load_id: LoadId
    kind: EntryKind
    card: CardId = field(repr=False)
    counter: int
    amount_fen: Fen
    since_utc_s: int


def post_loads(db: Database, items: Sequence[Entry | LoadEnd]) -> list[Posted]:
    """Post grants and ends in their order, inside the caller's transaction; a repeat changes nothing.

    A grant needs the purse's opening and a count that no other load of the card holds; an end needs its grant, with the
    same funding, card, count and amount, and is the only one. Whatever else comes is suspended.
    """
    return [_end(db, item) if isinstance(item, LoadEnd) else _grant(db, item) for item in items]


def pending_loads(db: Database) -> list[PendingLoad]:
    """Everything that was granted and has not ended, oldest first."""
    return db.query(
        _PENDING,
        into=lambda terminal, epoch, number, kind, card, counter, amount_fen, since_utc_s: PendingLoad(
            LoadId(TerminalId(terminal), epoch, number),
            EntryKind(kind),
            CardId.from_bytes(card),
            counter,
            Fen(amount_fen),
            since_utc_s,
        ),
    )


@dataclass(frozen=True, slots=True)
class _Known:
    entry: int
    kind: int
    card: bytes
    counter: int
    amount_fen: int
    outcome: int | None

    def is_of(self, item: Entry | LoadEnd) -> bool:
        card = None if item.card is None else item.card.to_bytes()
        kind = item.kind if isinstance(item, Entry) else LOADS[item.funding]
        facts = (self.kind, self.card, self.counter, self.amount_fen)
        return facts == (kind, card, item.counter, item.amount_fen)


def _grant(db: Database, entry: Entry) -> Posted:
    assert isinstance(entry.origin, LoadId), "a grant is of a load"
    assert entry.card is not None, "a load is a card's"
    known, card = _find(db, entry.origin), entry.card.to_bytes()
    if known is not None and known.is_of(entry):
        return Posted.EXISTS
    if known is not None:
        suspend(db, [suspend_entry(entry, Suspense.TAP_DIFFERS)])
        return Posted.EXISTS_WITH_DIFFERENT_AMOUNT
    reason = None
    if db.number(_OPENED, (card,)) == 0:
        reason = Suspense.CARD_UNKNOWN
    elif db.number(_LIVE_AT_COUNT, (card, entry.counter)):
        reason = Suspense.COUNTER_TAKEN
    if reason is not None:
        suspend(db, [suspend_entry(entry, reason)])
        return Posted.SUSPENDED
    (number,) = add_entries(db, [entry])
    db.execute(_ADD_PENDING, (number,))
    return Posted.CREATED


def _end(db: Database, end: LoadEnd) -> Posted:
    known, posted = _find(db, end.load_id), end.resolved is Resolved.POSTED
    if known is not None and not known.is_of(end):
        suspend(db, [suspend_end(end, Suspense.TAP_DIFFERS)])
        return Posted.EXISTS_WITH_DIFFERENT_AMOUNT
    if known is not None and known.outcome == end.resolved:
        return Posted.EXISTS
    if known is None or known.outcome is not None:
        suspend(db, [suspend_end(end, Suspense.CONFIRMED_NOT_PENDING if posted else Suspense.VOIDED_NOT_PENDING)])
        return Posted.SUSPENDED
    source = (end.source.name, end.source.position)
    day = max(accounting_day(end.happened_at_utc_s), open_day(db))
    db.execute(_RESOLVE, (known.entry, int(end.resolved), *source, end.happened_at_utc_s, day))
    db.execute(_END_PENDING, (known.entry,))
    if posted:
        add_postings(db, posting_rows(known.entry, load_postings(LOADS[end.funding], end.card, end.amount_fen), day))
    return Posted.CREATED


def _find(db: Database, load_id: LoadId) -> _Known | None:
    return next(iter(db.query(_KNOWN, origin_key(load_id), into=_Known)), None)
