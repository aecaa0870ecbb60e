"""The ledger's tables: a portion of events is posted by a few set-based statements; cursors, balances, suspense.

Left out: how loads end (`settlement.ledger.pending`) and how unknown taps are settled (`settlement.ledger.unknown`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Final

from settlement.ledger.booked import (
    Facts,
    TapKey,
    asked,
    counts_taken,
    facts_of_taps,
    serials_taken,
)
from settlement.ledger.entries import (
    CREDITS,
    LOADS,
    Entry,
    EntryKind,
    Posting,
    Source,
    SuspenseItem,
    next_day,
    suspend_entry,
)
from settlement.store.database import Database, Value
from settlement.store.router import TOPUP
from wire.ids import CardId, LoadId, TapId, TerminalId
from wire.money import Fen
from wire.receipt import Suspense
from wire.record import ClockQuality

CHECKPOINT_ROWS: Final = 500  # rows of a source between two checkpoints: so much is read again when it was restored

# CROSS JOIN keeps SQLite to one index look-up for each row of a portion; asked with IN, it scans all entries.
_CREDITS_KNOWN: Final = """
    WITH asked (terminal, epoch, seq) AS (VALUES {rows})
    SELECT entry.terminal, entry.epoch, entry.refers_to, entry.kind, entry.amount_fen
    FROM asked CROSS JOIN other_entry entry
    WHERE entry.refers_to IS NOT NULL
    AND entry.terminal = asked.terminal AND entry.epoch = asked.epoch AND entry.refers_to = asked.seq
"""
_OPENINGS_KNOWN: Final = "SELECT card, counter, amount_fen FROM other_entry WHERE kind = 1 AND card IN (VALUES {rows})"
_LAST_OTHER: Final = "SELECT coalesce(max(id), 0) FROM other_entry"
_LAST_SALE: Final = "SELECT coalesce((SELECT id + taps - 1 FROM sale_run ORDER BY id DESC LIMIT 1), 0)"
_LAST_POSTING: Final = "SELECT coalesce(max(id), 0) FROM other_posting"
_LAST_CLOSED: Final = "SELECT coalesce(max(day), 0) FROM day_close"
_ENTRY_COLUMNS: Final = (
    "id",
    "kind",
    "source",
    "source_position",
    "terminal",
    "epoch",
    "seq",
    "card",
    "counter",
    "ttsn",
    "amount_fen",
    "subsidy_fen",
    "refers_to",
    "balance_before_fen",
    "happened_at_utc_s",
    "clock_quality",
    "received_at_utc_s",
    "accounting_day",
)
_POSTING_COLUMNS: Final = ("id", "entry_id", "account_id", "purse", "amount_fen", "accounting_day")
_RUN_COLUMNS: Final = (
    "id",
    "taps",
    "source",
    "source_position",
    "terminal",
    "epoch",
    "first_seq",
    "first_ttsn",
    "clock_quality",
    "received_at_utc_s",
    "accounting_day",
    "amount_fen",
    "subsidy_fen",
)
_SALE_COLUMNS: Final = (
    "id",
    "run_id",
    "purse_id",
    "counter",
    "amount_fen",
    "subsidy_fen",
    "balance_before_fen",
    "happened_at_utc_s",
)
_ADD_SUSPENSE: Final = """
    INSERT INTO suspense_item (id, source_position, since_utc_s, balance_before_fen, happened_at_utc_s, clock_quality,
                               terminal, epoch, seq, source, reason, kind, card, counter, ttsn, amount_fen, subsidy_fen,
                               refers_to)
    SELECT (SELECT coalesce(max(id), 0) + 1 FROM suspense_item),
           %s, %s, CAST(%s AS bigint), %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s
    WHERE NOT EXISTS (
        SELECT 1 FROM suspense_item
        WHERE (terminal, epoch, seq, source, reason, kind, card, counter, ttsn, amount_fen, subsidy_fen, refers_to)
            = (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
    )
"""
# What `read_item` reads.
ITEM_COLUMNS: Final = """
    item.id, item.source, item.source_position, item.terminal, item.epoch, item.seq, item.balance_before_fen,
    item.reason, item.kind, item.card, item.counter, item.ttsn, item.amount_fen, item.subsidy_fen, item.refers_to,
    item.happened_at_utc_s, item.clock_quality, item.since_utc_s
"""
_CURSOR: Final = "SELECT position, head_hash, lineage FROM source_cursor WHERE source = %s"
_SET_CURSOR: Final = """
    INSERT INTO source_cursor (source, position, head_hash, lineage) VALUES (%s, %s, %s, %s)
    ON CONFLICT (source) DO UPDATE
    SET position = excluded.position, head_hash = excluded.head_hash, lineage = excluded.lineage
"""
_ADD_CHECKPOINT: Final = f"""
    INSERT INTO source_checkpoint (id, source, position, head_hash, lineage)
    SELECT (SELECT coalesce(max(id), 0) + 1 FROM source_checkpoint), %s, %s, %s, %s
    WHERE NOT EXISTS (SELECT 1 FROM source_checkpoint
                      WHERE source = %s AND lineage = %s AND position > %s - {CHECKPOINT_ROWS})
"""
_CHECKPOINTS: Final = """
    SELECT position, head_hash FROM source_checkpoint WHERE source = %s AND position < %s
    ORDER BY position DESC, id DESC
"""
# What was posted since the last close is at the end of the table: how long the books are kept does not matter.
_BALANCES: Final = """
    SELECT account.number, account.name, coalesce(closed.balance_fen, 0) + coalesce(since.amount_fen, 0)
    FROM account
    LEFT JOIN day_balance closed ON closed.account_id = account.number
         AND closed.day = (SELECT day FROM day_close ORDER BY number DESC LIMIT 1)
    LEFT JOIN (SELECT account_id, CAST(sum(amount_fen) AS bigint) amount_fen FROM (
        SELECT account_id, amount_fen FROM other_posting
        WHERE id > (SELECT coalesce(max(postings_seen), 0) FROM day_close)
        AND accounting_day > (SELECT coalesce(max(day), 0) FROM day_close)
        UNION ALL SELECT 2001, amount_fen FROM sale_run
        WHERE id > (SELECT coalesce(max(entries_seen), 0) FROM day_close)
        AND accounting_day > (SELECT coalesce(max(day), 0) FROM day_close)
        UNION ALL SELECT 2002, -(amount_fen + subsidy_fen) FROM sale_run
        WHERE id > (SELECT coalesce(max(entries_seen), 0) FROM day_close)
        AND accounting_day > (SELECT coalesce(max(day), 0) FROM day_close)
        UNION ALL SELECT 5003, subsidy_fen FROM sale_run
        WHERE id > (SELECT coalesce(max(entries_seen), 0) FROM day_close)
        AND accounting_day > (SELECT coalesce(max(day), 0) FROM day_close)
    ) moved GROUP BY account_id) since ON since.account_id = account.number
    ORDER BY account.number
"""
# The sign keeps SQLite from walking the index of all entries instead of the end of the table.
_UNBALANCED: Final = """
    SELECT run.id FROM sale_run run WHERE run.id > (SELECT coalesce(max(entries_seen), 0) FROM day_close)
    AND (run.amount_fen, run.subsidy_fen) <> (
        SELECT coalesce(sum(sale.amount_fen), 0), coalesce(sum(sale.subsidy_fen), 0) FROM sale
        WHERE sale.id >= run.id AND sale.id < run.id + run.taps)
    UNION ALL
    SELECT +entry_id FROM other_posting WHERE id > (SELECT coalesce(max(postings_seen), 0) FROM day_close)
    GROUP BY +entry_id HAVING sum(amount_fen) <> 0 ORDER BY 1
"""
_SUSPENSE: Final = f"""
    SELECT id, source, terminal, epoch, seq, reason, card, counter, amount_fen, since_utc_s,
           (SELECT entry.id FROM other_entry entry JOIN suspense_resolution settled ON settled.entry_id = entry.id
            WHERE settled.outcome IN (1, 4) AND reason = 4 AND suspense_item.source <> '{TOPUP}'
            AND entry.ttsn IS NOT NULL
            AND entry.card = suspense_item.card AND entry.counter = suspense_item.counter) AS contradicts
    FROM suspense_item
    WHERE NOT EXISTS (SELECT 1 FROM suspense_resolution WHERE suspense_item_id = suspense_item.id)
    ORDER BY since_utc_s, id
"""


class Posted(Enum):
    """What became of one event."""

    CREATED = auto()
    EXISTS = auto()
    EXISTS_WITH_DIFFERENT_AMOUNT = auto()
    SUSPENDED = auto()


@dataclass(frozen=True, slots=True)
class SourceCursor:
    """How far a source was read, and its chain's hash there; `lineage` counts on whenever the source was restored."""

    position: int
    head_hash: bytes
    lineage: int = 1


@dataclass(frozen=True, slots=True)
class AccountBalance:
    """The sum of an account's postings: a debit balance above zero, a credit balance below."""

    number: int
    name: str
    balance_fen: int


@dataclass(frozen=True, slots=True)
class OpenSuspense:
    """A suspense item as reports show it; `contradicts` is the entry with its count, settled from counters before."""

    id: int
    origin: TapId | LoadId
    reason: Suspense
    card: CardId = field(repr=False)
    counter: int
    amount_fen: Fen
    since_utc_s: int
    contradicts: int | None


def post(db: Database, items: Sequence[Entry | SuspenseItem]) -> list[Posted]:
    """Post events, inside the caller's transaction; the answer to each in its place. A repeat changes nothing.

    The ledger takes a tap of a purse whose opening it has, from the opening's counter on, and each tap, each count of a
    card and each serial of a terminal (which the TAC is made over) once; a reversal or refund if its sale is there and
    was not taken back before. The first to come is posted; whatever else claims the same is suspended.
    """
    results: list[Posted] = []
    entries: list[Entry] = []
    suspense: list[SuspenseItem] = []
    for item, (result, reason) in zip(items, judge(db, items), strict=True):
        results.append(result)
        if isinstance(item, SuspenseItem):
            suspense.append(item)
        elif result is Posted.CREATED:
            entries.append(item)
        elif reason is not None:
            suspense.append(suspend_entry(item, reason))
    add_entries(db, entries)
    suspend(db, suspense)
    return results


def judge(db: Database, items: Sequence[Entry | SuspenseItem]) -> list[tuple[Posted, Suspense | None]]:
    """What `post` would do with each, one after the other, and why not; nothing is written."""
    known = _Known.of(db, [item for item in items if isinstance(item, Entry)])
    return [(Posted.SUSPENDED, None) if isinstance(item, SuspenseItem) else known.place(item) for item in items]


class _Known:
    """What the ledger has of the keys in one portion, and what the portion itself has added so far."""

    def __init__(self) -> None:
        self._taps: dict[TapKey, Facts] = {}
        self._counters: set[tuple[bytes, int]] = set()
        self._serials: set[tuple[bytes, int]] = set()
        self._openings: dict[bytes, tuple[int, int]] = {}
        self._credits: dict[TapKey, list[tuple[int, int]]] = defaultdict(list)

    @classmethod
    def of(cls, db: Database, entries: Sequence[Entry]) -> _Known:
        known = cls()
        taps = [entry for entry in entries if entry.ttsn is not None]
        if taps:
            sales = {_sale_key(entry) for entry in taps if entry.refers_to is not None}
            known._taps = facts_of_taps(db, [*(_tap_key(entry) for entry in taps), *sales])
            known._counters = counts_taken(db, [_count_key(entry) for entry in taps])
            known._serials = serials_taken(db, [_serial_key(entry) for entry in taps])
            known._read_credits(db, list(sales))
        cards = [(card,) for card in {_card(entry) for entry in entries}]
        found = asked(db, _OPENINGS_KNOWN, cards, into=lambda card, counter, amount: (card, (counter, amount)))
        known._openings = dict(found)
        return known

    def _read_credits(self, db: Database, sales: Sequence[TapKey]) -> None:
        for terminal, epoch, seq, *credit in asked(db, _CREDITS_KNOWN, sales, into=lambda *row: row):
            kind, amount_fen = credit
            self._credits[terminal, epoch, seq].append((kind, amount_fen))

    def place(self, entry: Entry) -> tuple[Posted, Suspense | None]:
        card = _card(entry)
        opening = self._openings.get(card)
        if entry.kind is EntryKind.OPENING:
            assert entry.counter is not None, "an opening has the purse's counter"
            if opening is None:
                self._openings[card] = (entry.counter, entry.amount_fen)
                return Posted.CREATED, None
            same = opening == (entry.counter, entry.amount_fen)
            return (Posted.EXISTS if same else Posted.EXISTS_WITH_DIFFERENT_AMOUNT), None
        tap, count, facts = _tap_key(entry), _count_key(entry), _facts(entry)
        if tap in self._taps:
            if _is_repeat(self._taps[tap], facts):
                return Posted.EXISTS, None
            return Posted.EXISTS_WITH_DIFFERENT_AMOUNT, Suspense.TAP_DIFFERS
        if opening is None:
            return Posted.SUSPENDED, Suspense.CARD_UNKNOWN
        if count[1] < opening[0]:
            return Posted.SUSPENDED, Suspense.BEFORE_OPENING
        if count in self._counters:
            return Posted.SUSPENDED, Suspense.COUNTER_TAKEN
        if _serial_key(entry) in self._serials:
            return Posted.SUSPENDED, Suspense.TTSN_TAKEN
        if entry.kind in CREDITS:
            if (doubt := self._doubt(entry, facts)) is not None:
                return Posted.SUSPENDED, doubt
            self._credits[_sale_key(entry)].append((int(entry.kind), int(entry.amount_fen)))
        self._taps[tap] = facts
        self._counters.add(count)
        self._serials.add(_serial_key(entry))
        return Posted.CREATED, None

    def _doubt(self, credit: Entry, facts: Facts) -> Suspense | None:
        """What speaks against taking a sale back: it is not there, or another card's, or was taken back, or is less."""
        sale = None if credit.refers_to is None else self._taps.get(_sale_key(credit))
        if sale is None or sale[0] != EntryKind.PURCHASE or sale[1] != facts[1]:
            return Suspense.CREDIT_UNFOUNDED
        earlier = self._credits.get(_sale_key(credit), [])
        sold_fen, subsidy_fen = sale[4:6]
        if credit.kind is EntryKind.REVERSAL:
            if earlier:
                return Suspense.CREDIT_DOUBLED
            if (credit.amount_fen, credit.subsidy_fen) == (sold_fen, subsidy_fen):
                return None
            more = credit.amount_fen > sold_fen or credit.subsidy_fen > subsidy_fen
            return Suspense.CREDIT_EXCEEDS_SALE if more else Suspense.CREDIT_UNFOUNDED
        if any(kind == EntryKind.REVERSAL for kind, _ in earlier):
            return Suspense.CREDIT_DOUBLED
        total_fen = sum(amount_fen for _, amount_fen in earlier) + credit.amount_fen
        return Suspense.CREDIT_EXCEEDS_SALE if total_fen > sold_fen else None


def open_day(db: Database) -> int:
    """The first day that is not closed; 0 while none ever was."""
    closed = db.number(_LAST_CLOSED)
    return next_day(closed) if closed else 0


def add_entries(db: Database, entries: Sequence[Entry]) -> list[int]:
    """Add entries and, but for pending ones, their postings; their numbers.

    What comes when its day is closed already is booked on the open one, and keeps its own times.
    """
    if not entries:
        return []
    first, day_min = last_entry(db) + 1, open_day(db)
    rows: list[tuple[Value, ...]] = []
    postings: list[tuple[Value, ...]] = []
    for number, entry in enumerate(entries, start=first):
        origin = (entry.terminal, None, None) if entry.origin is None else origin_key(entry.origin)
        source = (number, int(entry.kind), entry.source.name, entry.source.position)
        card = None if entry.card is None else entry.card.to_bytes()
        amounts = (int(entry.amount_fen), int(entry.subsidy_fen), entry.refers_to, entry.balance_before_fen)
        dates = (entry.happened_at_utc_s, int(entry.clock_quality), entry.received_at_utc_s)
        day = max(entry.accounting_day, day_min)
        rows.append((*source, *origin, card, entry.counter, entry.ttsn, *amounts, *dates, day))
        if entry.kind not in LOADS.values():
            postings += posting_rows(number, entry.postings, day)
    db.append("other_entry", _ENTRY_COLUMNS, rows)
    add_postings(db, postings)
    return list(range(first, first + len(entries)))


def append_runs(db: Database, runs: Sequence[Sequence[Value]], sales: Iterable[Sequence[Value]]) -> None:
    """Add rows that are ready, with their numbers: the sales first, since a run is checked against them."""
    db.append("sale", _SALE_COLUMNS, sales)
    db.append("sale_run", _RUN_COLUMNS, runs)


def last_entry(db: Database) -> int:
    """The highest number of an entry, 0 for none."""
    return max(db.number(_LAST_OTHER), db.number(_LAST_SALE))


def last_posting(db: Database) -> int:
    """The highest number of a posting that has one, 0 for none: those of usual sales follow from these."""
    return db.number(_LAST_POSTING)


def posting_rows(entry: int, postings: Sequence[Posting], day: int) -> list[tuple[Value, ...]]:
    """An entry's postings as `add_postings` wants them."""
    assert sum(posting.amount_fen for posting in postings) == 0, "an entry's postings sum to zero"
    return [
        (
            entry,
            int(posting.account),
            None if posting.purse is None else posting.purse.to_bytes(),
            posting.amount_fen,
            day,
        )
        for posting in postings
    ]


def add_postings(db: Database, rows: Sequence[Sequence[Value]]) -> None:
    """Add postings; all of an entry's in the transaction that makes them count."""
    if rows:
        first = last_posting(db) + 1
        db.append("other_posting", _POSTING_COLUMNS, [(number, *row) for number, row in enumerate(rows, start=first)])


def suspend(db: Database, items: Sequence[SuspenseItem]) -> None:
    """Add items to explain; one that is there already is left alone."""
    if items:
        db.execute_many(_ADD_SUSPENSE, [_suspense_row(item) for item in items])


def _suspense_row(item: SuspenseItem) -> tuple[Value, ...]:
    read = (item.source.position, item.since_utc_s, item.balance_before_fen)
    at = (item.happened_at_utc_s, int(item.clock_quality))
    origin = (*origin_key(item.origin), item.source.name, int(item.reason), int(item.kind))
    amounts = (int(item.amount_fen), int(item.subsidy_fen), item.refers_to)
    claim = (*origin, item.card.to_bytes(), item.counter, item.ttsn, *amounts)
    return (*read, *at, *claim, *claim)


def origin_key(origin: TapId | LoadId) -> tuple[bytes, int, int]:
    """The three columns that name a tap or a load; no terminal is both a till and a top-up point in one epoch."""
    return origin.terminal, origin.epoch, origin.seq if isinstance(origin, TapId) else origin.number


def read_origin(source: str, terminal: bytes, epoch: int, number: int) -> TapId | LoadId:
    """The inverse: what the desk's journal tells of are loads."""
    return (LoadId if source == TOPUP else TapId)(TerminalId(terminal), epoch, number)


def read_item(
    number: int,
    source: str,
    position: int,
    terminal: bytes,
    epoch: int,
    seq: int,
    balance_fen: int | None,
    reason: int,
    kind: int,
    card: bytes,
    counter: int,
    ttsn: int,
    *rest: int,
) -> tuple[int, SuspenseItem]:
    """An item, from the columns `ITEM_COLUMNS` of a table named `item`, with its number."""
    amount_fen, subsidy_fen, refers_to, happened_at_utc_s, quality, since_utc_s = rest
    return number, SuspenseItem(
        source=Source(source, position),
        origin=read_origin(source, terminal, epoch, seq),
        reason=Suspense(reason),
        kind=EntryKind(kind),
        card=CardId.from_bytes(card),
        counter=counter,
        ttsn=ttsn,
        amount_fen=Fen(amount_fen),
        subsidy_fen=Fen(subsidy_fen),
        refers_to=refers_to,
        balance_before_fen=None if balance_fen is None else Fen(balance_fen),
        happened_at_utc_s=happened_at_utc_s,
        clock_quality=ClockQuality(quality),
        since_utc_s=since_utc_s,
    )


def _tap_key(entry: Entry) -> TapKey:
    assert entry.origin is not None, "it comes from a tap"
    return origin_key(entry.origin)


def _sale_key(entry: Entry) -> TapKey:
    """The sale that it takes back, which is in the same journal."""
    terminal, epoch, _ = _tap_key(entry)
    return terminal, epoch, entry.refers_to or 0


def _card(entry: Entry) -> bytes:
    assert entry.card is not None, "taps, loads and openings are a card's"
    return entry.card.to_bytes()


def _count_key(entry: Entry) -> tuple[bytes, int]:
    assert entry.counter is not None, "a tap has its count"
    return _card(entry), entry.counter


def _serial_key(entry: Entry) -> tuple[bytes, int]:
    assert entry.ttsn is not None, "a tap has its serial"
    return _tap_key(entry)[0], entry.ttsn


def _facts(entry: Entry) -> Facts:
    """What a repeat has to agree with."""
    card = (int(entry.kind), _card(entry), entry.counter, entry.ttsn)
    return *card, int(entry.amount_fen), int(entry.subsidy_fen), entry.refers_to or 0


def _is_repeat(known: Facts, facts: Facts) -> bool:
    """Whether it is the tap that the books have, be it that people decided about it."""
    if known[0] == EntryKind.ADJUSTMENT:
        same_purse = known[3] is None or known[1] == facts[1]  # it is another one's that people assigned it to
        return same_purse and (known[2], known[4:6]) == (facts[2], facts[4:6])
    return known == facts


def read_cursor(db: Database, source: str) -> SourceCursor | None:
    """How far the source was read; None if never."""
    return next(iter(db.query(_CURSOR, (source,), into=SourceCursor)), None)


def set_cursor(db: Database, source: str, cursor: SourceCursor) -> None:
    """Move the cursor, inside the transaction of what was posted."""
    place = (source, cursor.position, cursor.head_hash, cursor.lineage)
    db.execute(_SET_CURSOR, place)
    db.execute(_ADD_CHECKPOINT, (*place, source, cursor.lineage, cursor.position))


def checkpoints(db: Database, source: str, before: int) -> list[SourceCursor]:
    """Where the cursor stood before that position, in whatever lineage, the furthest first."""
    return db.query(_CHECKPOINTS, (source, before), into=SourceCursor)


def balances(db: Database) -> list[AccountBalance]:
    """Every account of the chart; the balances sum to zero."""
    return db.query(_BALANCES, into=AccountBalance)


def open_suspense(db: Database) -> list[OpenSuspense]:
    """Everything that waits for an explanation, oldest first."""
    return db.query(
        _SUSPENSE,
        into=lambda item, source, terminal, epoch, seq, reason, card, counter, amount_fen, *rest: OpenSuspense(
            item,
            read_origin(source, terminal, epoch, seq),
            Suspense(reason),
            CardId.from_bytes(card),
            counter,
            Fen(amount_fen),
            *rest,
        ),
    )


def unbalanced_entries(db: Database) -> list[int]:
    """Entries of open days whose postings do not sum to zero, or whose sales not to their run's sums.

    There is none, or the database was tampered with.
    """
    return db.query(_UNBALANCED, into=int)
