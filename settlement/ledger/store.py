"""The ledger's tables: a portion of events is posted by a few set-based statements; cursors, balances, suspense.

Left out: how loads end (`settlement.ledger.pending`) and how unknown taps are settled (`settlement.ledger.unknown`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Final

from settlement.ledger.entries import Entry, EntryKind, Posting, SuspenseItem, suspend_entry
from settlement.store.database import Database, Value
from settlement.store.router import TOPUP
from wire.ids import CardId, LoadId, TapId, TerminalId
from wire.money import Fen
from wire.receipt import Suspense

# CROSS JOIN keeps SQLite to one index look-up for each row of a portion; asked with IN, it scans all entries.
_TAPS_KNOWN: Final = """
    WITH asked (terminal, epoch, seq) AS (VALUES {rows})
    SELECT entry.terminal, entry.epoch, entry.seq, card, counter, ttsn, amount_fen FROM asked CROSS JOIN entry
    WHERE entry.terminal = asked.terminal AND entry.epoch = asked.epoch AND entry.seq = asked.seq
"""
_COUNTERS_KNOWN: Final = """
    WITH asked (card, counter) AS (VALUES {rows})
    SELECT entry.card, entry.counter FROM asked CROSS JOIN entry
    WHERE kind = 2 AND entry.card = asked.card AND entry.counter = asked.counter
"""
_SERIALS_KNOWN: Final = """
    WITH asked (terminal, ttsn) AS (VALUES {rows})
    SELECT entry.terminal, entry.ttsn FROM asked CROSS JOIN entry
    WHERE kind = 2 AND entry.terminal = asked.terminal AND entry.ttsn = asked.ttsn
"""
_OPENINGS_KNOWN: Final = "SELECT card, counter, amount_fen FROM entry WHERE kind = 1 AND card IN (VALUES {rows})"
_LAST_ENTRY: Final = "SELECT coalesce(max(id), 0) FROM entry"
_ADD_ENTRY: Final = """
    INSERT INTO entry (id, kind, source, source_position, terminal, epoch, seq, card, counter, ttsn, amount_fen,
                       balance_before_fen, happened_at_utc_s, clock_quality, received_at_utc_s, accounting_day)
    VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
"""
_ADD_POSTING: Final = "INSERT INTO posting (entry_id, account_id, purse, amount_fen) VALUES (%s, %s, %s, %s)"
_ADD_SUSPENSE: Final = """
    INSERT INTO suspense_item (source, source_position, terminal, epoch, seq, reason, card, counter, ttsn,
                               amount_fen, since_utc_s, balance_before_fen, happened_at_utc_s, clock_quality)
    SELECT %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s
    WHERE NOT EXISTS (
        SELECT 1 FROM suspense_item
        WHERE (source, source_position, terminal, epoch, seq, reason, card, counter, ttsn, amount_fen, since_utc_s)
            = (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
    )
"""
_CURSOR: Final = "SELECT position, head_hash FROM source_cursor WHERE source = %s"
_SET_CURSOR: Final = """
    INSERT INTO source_cursor (source, position, head_hash) VALUES (%s, %s, %s)
    ON CONFLICT (source) DO UPDATE SET position = excluded.position, head_hash = excluded.head_hash
"""
_BALANCES: Final = """
    SELECT account.number, account.name, coalesce(sum(posting.amount_fen), 0)
    FROM account LEFT JOIN posting ON posting.account_id = account.number
    GROUP BY account.number, account.name ORDER BY account.number
"""
_UNBALANCED: Final = "SELECT entry_id FROM posting GROUP BY entry_id HAVING sum(amount_fen) <> 0 ORDER BY entry_id"
_SUSPENSE: Final = f"""
    SELECT id, source, terminal, epoch, seq, reason, card, counter, amount_fen, since_utc_s,
           (SELECT entry.id FROM entry JOIN suspense_resolution settled ON settled.entry_id = entry.id
            WHERE reason = 4 AND suspense_item.source <> '{TOPUP}' AND entry.kind = 2
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
    """How far a source was read, and its chain's hash there."""

    position: int
    head_hash: bytes


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

    The ledger takes a purchase of a purse whose opening it has, from the opening's counter on, and each tap, each count
    of a card and each serial of a terminal (which the TAC is made over) once. The first to come is posted; whatever
    else claims the same is suspended.
    """
    known = _Known.of(db, [item for item in items if isinstance(item, Entry)])
    results: list[Posted] = []
    entries: list[Entry] = []
    suspense: list[SuspenseItem] = []
    for item in items:
        if isinstance(item, SuspenseItem):
            suspense.append(item)
            results.append(Posted.SUSPENDED)
            continue
        result, reason = known.place(item)
        results.append(result)
        if result is Posted.CREATED:
            entries.append(item)
        elif reason is not None:
            suspense.append(suspend_entry(item, reason))
    add_entries(db, entries)
    suspend(db, suspense)
    return results


class _Known:
    """What the ledger has of the keys in one portion, and what the portion itself has added so far."""

    def __init__(self) -> None:
        self._taps: dict[tuple[bytes, int, int], tuple[bytes, int, int | None, int]] = {}
        self._counters: set[tuple[bytes, int]] = set()
        self._serials: set[tuple[bytes, int]] = set()
        self._openings: dict[bytes, tuple[int, int]] = {}

    @classmethod
    def of(cls, db: Database, entries: Sequence[Entry]) -> _Known:
        known = cls()
        purchases = [entry for entry in entries if entry.kind is EntryKind.PURCHASE]
        if purchases:
            keys = [key for entry in purchases for key in _tap_key(entry)]
            sql = _TAPS_KNOWN.format(rows=placeholders(3, len(purchases)))
            for terminal, epoch, seq, *facts in db.query(sql, keys, into=lambda *row: row):
                card, counter, ttsn, amount_fen = facts
                known._taps[terminal, epoch, seq] = (card, counter, ttsn, amount_fen)
            counters: list[Value] = [value for entry in purchases for value in (entry.card.to_bytes(), entry.counter)]
            sql = _COUNTERS_KNOWN.format(rows=placeholders(2, len(purchases)))
            known._counters = set(db.query(sql, counters, into=lambda card, counter: (card, counter)))
            serials: list[Value] = [value for entry in purchases for value in _serial_key(entry)]
            sql = _SERIALS_KNOWN.format(rows=placeholders(2, len(purchases)))
            known._serials = set(db.query(sql, serials, into=lambda terminal, ttsn: (terminal, ttsn)))
        cards: list[Value] = list({entry.card.to_bytes() for entry in entries})
        if cards:
            sql = _OPENINGS_KNOWN.format(rows=placeholders(1, len(cards)))
            known._openings = dict(db.query(sql, cards, into=lambda card, counter, amount: (card, (counter, amount))))
        return known

    def place(self, entry: Entry) -> tuple[Posted, Suspense | None]:
        card = entry.card.to_bytes()
        opening = self._openings.get(card)
        if entry.kind is EntryKind.OPENING:
            if opening is None:
                self._openings[card] = (entry.counter, entry.amount_fen)
                return Posted.CREATED, None
            same = opening == (entry.counter, entry.amount_fen)
            return (Posted.EXISTS if same else Posted.EXISTS_WITH_DIFFERENT_AMOUNT), None
        tap, facts = _tap_key(entry), (card, entry.counter, entry.ttsn, int(entry.amount_fen))
        if tap in self._taps:
            if self._taps[tap] == facts:
                return Posted.EXISTS, None
            return Posted.EXISTS_WITH_DIFFERENT_AMOUNT, Suspense.TAP_DIFFERS
        if opening is None:
            return Posted.SUSPENDED, Suspense.CARD_UNKNOWN
        if entry.counter < opening[0]:
            return Posted.SUSPENDED, Suspense.BEFORE_OPENING
        if (card, entry.counter) in self._counters:
            return Posted.SUSPENDED, Suspense.COUNTER_TAKEN
        if _serial_key(entry) in self._serials:
            return Posted.SUSPENDED, Suspense.TTSN_TAKEN
        self._taps[tap] = facts
        self._counters.add((card, entry.counter))
        self._serials.add(_serial_key(entry))
        return Posted.CREATED, None


def add_entries(db: Database, entries: Sequence[Entry]) -> list[int]:
    """Add entries and, but for pending ones, their postings; their numbers."""
    if not entries:
        return []
    first = db.number(_LAST_ENTRY) + 1
    rows: list[tuple[Value, ...]] = []
    postings: list[tuple[Value, ...]] = []
    for number, entry in enumerate(entries, start=first):
        origin = (None, None, None) if entry.origin is None else origin_key(entry.origin)
        source = (number, int(entry.kind), entry.source.name, entry.source.position)
        purse = (entry.card.to_bytes(), entry.counter, entry.ttsn, int(entry.amount_fen))
        dates = (entry.happened_at_utc_s, int(entry.clock_quality), entry.received_at_utc_s)
        rows.append((*source, *origin, *purse, entry.balance_before_fen, *dates, entry.accounting_day.isoformat()))
        if entry.kind is not EntryKind.LOAD:
            postings += posting_rows(number, entry.postings)
    db.execute_many(_ADD_ENTRY, rows)
    add_postings(db, postings)
    return list(range(first, first + len(entries)))


def posting_rows(entry: int, postings: Sequence[Posting]) -> list[tuple[Value, ...]]:
    """An entry's postings as `add_postings` wants them."""
    assert sum(posting.amount_fen for posting in postings) == 0, "an entry's postings sum to zero"
    return [
        (entry, int(posting.account), None if posting.purse is None else posting.purse.to_bytes(), posting.amount_fen)
        for posting in postings
    ]


def add_postings(db: Database, rows: Sequence[Sequence[Value]]) -> None:
    """Add postings; all of an entry's in the transaction that makes them count."""
    db.execute_many(_ADD_POSTING, rows)


def suspend(db: Database, items: Sequence[SuspenseItem]) -> None:
    """Add items to explain; one that is there already is left alone."""
    if items:
        db.execute_many(_ADD_SUSPENSE, [_suspense_row(item) for item in items])


def _suspense_row(item: SuspenseItem) -> tuple[Value, ...]:
    origin = (item.source.name, item.source.position, *origin_key(item.origin), int(item.reason))
    claim = (*origin, item.card.to_bytes(), item.counter, item.ttsn, int(item.amount_fen), item.since_utc_s)
    return (*claim, item.balance_before_fen, item.happened_at_utc_s, int(item.clock_quality), *claim)


def origin_key(origin: TapId | LoadId) -> tuple[bytes, int, int]:
    """The three columns that name a tap or a load; no terminal is both a till and a top-up point in one epoch."""
    return origin.terminal, origin.epoch, origin.seq if isinstance(origin, TapId) else origin.number


def read_origin(source: str, terminal: bytes, epoch: int, number: int) -> TapId | LoadId:
    """The inverse: what the desk's journal tells of are loads."""
    return (LoadId if source == TOPUP else TapId)(TerminalId(terminal), epoch, number)


def _tap_key(entry: Entry) -> tuple[bytes, int, int]:
    assert entry.origin is not None, "a purchase comes from a tap"
    return origin_key(entry.origin)


def _serial_key(entry: Entry) -> tuple[bytes, int]:
    assert entry.origin is not None, "a purchase comes from a tap"
    assert entry.ttsn is not None, "a purchase has its serial"
    return entry.origin.terminal, entry.ttsn


def placeholders(columns: int, rows: int) -> str:
    """So many rows of so many parameters, for VALUES."""
    return ",".join(["(" + ",".join(["%s"] * columns) + ")"] * rows)


def read_cursor(db: Database, source: str) -> SourceCursor | None:
    """How far the source was read; None if never."""
    return next(iter(db.query(_CURSOR, (source,), into=SourceCursor)), None)


def set_cursor(db: Database, source: str, cursor: SourceCursor) -> None:
    """Move the cursor, inside the transaction of what was posted."""
    db.execute(_SET_CURSOR, (source, cursor.position, cursor.head_hash))


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
    """Entries whose postings do not sum to zero: none, or the database was tampered with."""
    return db.query(_UNBALANCED, into=int)
