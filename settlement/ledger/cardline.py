"""One card's line of counters: every tap, load and claim in the order of the card, and where the line is broken.

A gap waits as long as a terminal may be cut off before anybody is alarmed: its record may still come.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from settlement.ledger.booked import BANDS, SALES_OF_CARD
from settlement.ledger.entries import LOADS, EntryKind
from settlement.ledger.store import ITEM_COLUMNS, read_item, read_origin
from settlement.store.database import Database
from wire.ids import CardId, LoadId, TapId
from wire.receipt import Suspense

_COLUMNS: Final = """
    id, kind, source, terminal, epoch, seq, counter, amount_fen, balance_before_fen, happened_at_utc_s,
    received_at_utc_s
"""
_SALES: Final = f"""
    WITH RECURSIVE {BANDS} SELECT sale.id FROM {SALES_OF_CARD.format(card="%s")}
"""
_TAPS: Final = f"""
    SELECT {_COLUMNS} FROM other_entry WHERE ttsn IS NOT NULL AND kind <> 7 AND card = %s
    UNION ALL SELECT {_COLUMNS} FROM sale_entry WHERE id IN ({_SALES}) ORDER BY counter
"""
_OPENING: Final = f"SELECT {_COLUMNS} FROM other_entry WHERE kind = 1 AND card = %s"
_ADJUSTMENTS: Final = f"SELECT {_COLUMNS} FROM other_entry WHERE kind = 7 AND ttsn IS NULL AND card = %s ORDER BY id"
_PAID: Final = f"SELECT {_COLUMNS} FROM other_entry WHERE kind = 7 AND ttsn IS NOT NULL AND card = %s ORDER BY id"
_LOADS: Final = f"""
    SELECT {_COLUMNS} FROM other_entry entry WHERE kind IN (3, 9) AND card = %s
    AND EXISTS (SELECT 1 FROM entry_resolution WHERE entry_id = entry.id AND outcome = 1) ORDER BY counter, id
"""
_ITEMS: Final = f"""
    SELECT {ITEM_COLUMNS} FROM suspense_item item WHERE card = %s
    AND NOT EXISTS (SELECT 1 FROM suspense_resolution WHERE suspense_item_id = item.id) ORDER BY counter, id
"""
_BALANCE: Final = f"""
    SELECT coalesce((SELECT balance_fen FROM purse_balance WHERE purse = %s), 0)
         - coalesce((SELECT CAST(sum(amount_fen) AS bigint) FROM other_posting
                     WHERE id > (SELECT coalesce(max(postings_seen), 0) FROM day_close)
                     AND accounting_day > (SELECT coalesce(max(day), 0) FROM day_close) AND purse = %s), 0)
         - coalesce((SELECT CAST(sum(amount_fen) AS bigint) FROM sale_entry
                     WHERE id > (SELECT coalesce(max(entries_seen), 0) FROM day_close)
                     AND accounting_day > (SELECT coalesce(max(day), 0) FROM day_close) AND id IN ({_SALES})), 0)
"""
# A copy of a genuine tap, or a tap of a card that is a copy: the stream found nothing wrong with the TAC.
_CLONES: Final = (Suspense.COUNTER_TAKEN, Suspense.TTSN_TAKEN)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """Something of the card: booked as `entry`, or waiting as suspense `item` for the reason in `words`.

    `counter` is the card's offline count, a load's online one; `before_fen` what the terminal read before it.
    """

    kind: str
    counter: int | None
    amount_fen: int
    before_fen: int | None
    happened_at_utc_s: int
    received_at_utc_s: int
    origin: TapId | LoadId | None
    entry: int | None = None
    item: int | None = None
    words: str = ""

    @property
    def taken_fen(self) -> int:
        """What left the purse."""
        return self.amount_fen if self.kind == EntryKind.PURCHASE.name else 0


@dataclass(frozen=True, slots=True)
class Problem:
    """Where the line is broken; `alarm`: nothing that may still come explains it."""

    words: str
    alarm: bool


@dataclass(frozen=True, slots=True)
class CardLine:
    """All of a card that the ledger has, in the order of its counts, openings first and loads where they came."""

    balance_fen: int
    steps: list[Step]
    problems: list[Problem]


def read_line(db: Database, card: CardId, *, now_utc_s: int, outage_s: int) -> CardLine:
    """One card's line."""
    key = card.to_bytes()
    taps = db.query(_TAPS, (key, key), into=_step)
    parts = (_OPENING, _LOADS, _ADJUSTMENTS, _PAID)
    opening, loads, adjusted, paid = (db.query(sql, (key,), into=_step) for sql in parts)
    items = [
        Step(
            kind=item.kind.name,
            counter=item.counter,
            amount_fen=item.amount_fen,
            before_fen=item.balance_before_fen,
            happened_at_utc_s=item.happened_at_utc_s,
            received_at_utc_s=item.since_utc_s,
            origin=item.origin,
            item=number,
            words=item.reason.name,
        )
        for number, item in db.query(_ITEMS, (key,), into=read_item)
    ]
    claims = [*paid, *(item for item in items if item.kind not in [kind.name for kind in LOADS.values()])]
    problems = [
        *_gaps(opening, taps, claims, now_utc_s - outage_s),
        *_clones([*taps, *paid], items),
        *_breaks(opening, taps, loads),
    ]
    unsorted = (*taps, *loads, *adjusted, *paid, *items)
    steps = sorted(unsorted, key=lambda step: (step.happened_at_utc_s, step.counter or 0))
    return CardLine(db.number(_BALANCE, (key, key, key)), [*opening, *steps], problems)


def _step(
    entry: int,
    kind: int,
    source: str,
    terminal: bytes | None,
    epoch: int | None,
    seq: int | None,
    *rest: int,
) -> Step:
    counter, amount_fen, before_fen, happened_at_utc_s, received_at_utc_s = rest
    origin = None if terminal is None or epoch is None or seq is None else read_origin(source, terminal, epoch, seq)
    return Step(
        kind=EntryKind(kind).name,
        counter=counter,
        amount_fen=amount_fen,
        before_fen=before_fen,
        happened_at_utc_s=happened_at_utc_s,
        received_at_utc_s=received_at_utc_s,
        origin=origin,
        entry=entry,
    )


def _gaps(opening: Sequence[Step], taps: Sequence[Step], claims: Sequence[Step], due_utc_s: int) -> Iterator[Problem]:
    """Counts that nobody brought, though the card went on, and that nothing in suspense or posted by people claims."""
    claimed = {claim.counter for claim in claims}
    expected = opening[0].counter if opening else None
    for tap in taps:
        assert tap.counter is not None, "a tap has its count"
        missing = [] if expected is None else [n for n in range(expected, tap.counter) if n not in claimed]
        if missing:
            counts = f"count {missing[0]}" if len(missing) == 1 else f"counts {missing[0]} to {missing[-1]}"
            ripe = tap.received_at_utc_s <= due_utc_s
            hope = "no terminal can be cut off for so long" if ripe else "a terminal that is cut off may have it"
            yield Problem(f"nobody brought {counts}, though the card went on to {tap.counter}: {hope}", ripe)
        expected = tap.counter + 1


def _clones(taps: Sequence[Step], items: Sequence[Step]) -> Iterator[Problem]:
    booked = {tap.counter: tap for tap in taps}
    for item in items:
        if item.words in [reason.name for reason in _CLONES]:
            other = booked.get(item.counter)
            beside = "" if other is None else f", beside entry {other.entry}"
            yield Problem(f"item {item.item} claims count {item.counter}, too{beside}: a cloned card, or a copy", True)


def _breaks(opening: Sequence[Step], taps: Sequence[Step], loads: Sequence[Step]) -> Iterator[Problem]:
    """Where the balance before a tap is not what the one before it left, with whole loads in between."""
    left = deque(loads)
    if opening and taps and taps[0].counter == opening[0].counter:
        yield from _break(opening[0], opening[0].amount_fen, taps[0], left)
    for before, tap in pairwise(taps):
        if before.before_fen is None or before.counter is None or tap.counter != before.counter + 1:
            # What lies in a gap is not known, so which loads came before its end is the clocks' word.
            left = deque(load for load in left if load.happened_at_utc_s > tap.happened_at_utc_s)
            continue
        yield from _break(before, before.before_fen - before.taken_fen, tap, left)


def _break(before: Step, held_fen: int, tap: Step, loads: deque[Step]) -> Iterator[Problem]:
    if tap.before_fen is None:
        return
    reached_fen = held_fen
    while reached_fen < tap.before_fen and loads:
        reached_fen += loads.popleft().amount_fen
    if reached_fen != tap.before_fen:
        yield Problem(
            f"the balance does not continue at count {tap.counter}: entry {before.entry} left {held_fen} fen, "
            f"entry {tap.entry} began with {tap.before_fen}",
            True,
        )
