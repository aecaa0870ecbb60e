"""Suspended taps that lack something which may still come: the card's opening, or the sale that they take back.

They are tried again whenever something was booked. Left out: what only people can resolve (`settlement.ledger.decide`).
"""

from __future__ import annotations

from collections import deque
from typing import Final

from settlement.ledger.booked import placeholders
from settlement.ledger.entries import Entry, settled_tap
from settlement.ledger.store import ITEM_COLUMNS, Posted, judge, origin_key, post, read_item
from settlement.store.database import Database

PORTION_MAX: Final = 200  # items tried in a turn; the others have theirs in the next ones
BOOKED_LATER: Final = 3  # a suspense item's outcome

_NEW: Final = """
    SELECT id FROM suspense_item WHERE id > %s AND reason IN (7, 11) AND kind NOT IN (3, 9)
    AND NOT EXISTS (SELECT 1 FROM suspense_resolution WHERE suspense_item_id = suspense_item.id) ORDER BY id
"""
_LAST: Final = "SELECT coalesce(max(id), 0) FROM suspense_item"
_ITEMS: Final = f"""
    SELECT {ITEM_COLUMNS} FROM suspense_item item WHERE id IN (VALUES {{rows}})
    AND NOT EXISTS (SELECT 1 FROM suspense_resolution WHERE suspense_item_id = item.id) ORDER BY id
"""
_ENTRY_OF: Final = "SELECT id FROM other_entry WHERE terminal = %s AND epoch = %s AND seq = %s"
_RESOLVE: Final = """
    INSERT INTO suspense_resolution (suspense_item_id, outcome, evidence_id, entry_id, resolved_at_utc_s)
    VALUES (%s, %s, NULL, %s, %s)
"""


class Retries:
    """The items that wait for something, remembered by number: a ledger without any has next to nothing to do."""

    def __init__(self) -> None:
        self._items: deque[int] = deque()
        self._seen = 0
        self._left = 0

    def book(self, db: Database, *, now_utc_s: int, news: bool) -> int:
        """Try some again, each once after there was news; how many were booked, in one transaction."""
        last = db.number(_LAST)
        if last > self._seen:
            self._items.extend(db.query(_NEW, (self._seen,), into=int))
            self._seen, news = last, True
        if news:
            self._left = len(self._items)
        turn = [self._items.popleft() for _ in range(min(PORTION_MAX, self._left))]
        self._left -= len(turn)
        if not turn:
            return 0
        kept = set(turn)
        try:
            sql = _ITEMS.format(rows=placeholders(1, len(turn)))
            found = db.query(sql, turn, into=read_item)
            waiting = {number: settled_tap(item, decided_at_utc_s=now_utc_s) for number, item in found}
            booked = self._book(db, waiting, now_utc_s)
            kept = set(waiting) - booked
        finally:
            self._items.extend(item for item in turn if item in kept)
        if booked:  # what is in the books now may be what others lack
            self._left = len(self._items)
        return len(booked)

    def _book(self, db: Database, items: dict[int, Entry], now_utc_s: int) -> set[int]:
        judged = judge(db, list(items.values()))
        ready = {
            number: entry
            for (number, entry), (result, _) in zip(items.items(), judged, strict=True)
            if result is Posted.CREATED
        }
        if not ready:
            return set()
        with db.transaction():
            results = post(db, list(ready.values()))
            assert set(results) == {Posted.CREATED}, "it was judged so"
            for number, entry in ready.items():
                assert entry.origin is not None, "it comes from a tap"
                booked = db.number(_ENTRY_OF, origin_key(entry.origin))
                db.execute(_RESOLVE, (number, BOOKED_LATER, booked, now_utc_s))
        return set(ready)
