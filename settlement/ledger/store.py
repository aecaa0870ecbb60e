"""Every SQL statement on the ledger's database. A portion of events is posted by a few set-based ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Final

from settlement.ledger.entries import Entry, EntryKind, SuspenseItem, suspend_entry
from settlement.store.database import Database, Value
from wire.ids import CardId, TapId, TerminalId
from wire.money import Fen
from wire.receipt import Suspense

_TAPS_KNOWN: Final = """
    SELECT terminal, epoch, seq, card, counter, ttsn, amount_fen FROM entry
    WHERE (terminal, epoch, seq) IN (VALUES {rows})
"""
_COUNTERS_KNOWN: Final = "SELECT card, counter FROM entry WHERE kind = 2 AND (card, counter) IN (VALUES {rows})"
_SERIALS_KNOWN: Final = "SELECT terminal, ttsn FROM entry WHERE kind = 2 AND (terminal, ttsn) IN (VALUES {rows})"
_OPENINGS_KNOWN: Final = "SELECT card, counter, amount_fen FROM entry WHERE kind = 1 AND card IN (VALUES {rows})"
_LAST_ENTRY: Final = "SELECT coalesce(max(id), 0) FROM entry"
_ADD_ENTRY: Final = """
    INSERT INTO entry (id, kind, source, source_position, terminal, epoch, seq, card, counter, ttsn, amount_fen,
                       happened_at_utc_s, clock_quality, received_at_utc_s, accounting_day)
    VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
"""
_ADD_POSTING: Final = "INSERT INTO posting (entry_id, account_id, purse, amount_fen) VALUES (%s, %s, %s, %s)"
_ADD_SUSPENSE: Final = """
    INSERT INTO suspense_item (source, source_position, terminal, epoch, seq, reason, card, counter, ttsn,
                               amount_fen, since_utc_s)
    SELECT %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s
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
_SUSPENSE: Final = """
    SELECT terminal, epoch, seq, reason, card, counter, amount_fen, since_utc_s FROM suspense_item
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
    """A suspense item as reports show it."""

    tap_id: TapId
    reason: Suspense
    card: CardId = field(repr=False)
    counter: int
    amount_fen: Fen
    since_utc_s: int


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
    _add_entries(db, entries)
    if suspense:
        db.execute_many(_ADD_SUSPENSE, [_suspense_row(item) * 2 for item in suspense])
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
            sql = _TAPS_KNOWN.format(rows=_placeholders(3, len(purchases)))
            for terminal, epoch, seq, *facts in db.query(sql, keys, into=lambda *row: row):
                card, counter, ttsn, amount_fen = facts
                known._taps[terminal, epoch, seq] = (card, counter, ttsn, amount_fen)
            counters: list[Value] = [value for entry in purchases for value in (entry.card.to_bytes(), entry.counter)]
            sql = _COUNTERS_KNOWN.format(rows=_placeholders(2, len(purchases)))
            known._counters = set(db.query(sql, counters, into=lambda card, counter: (card, counter)))
            serials: list[Value] = [value for entry in purchases for value in _serial_key(entry)]
            sql = _SERIALS_KNOWN.format(rows=_placeholders(2, len(purchases)))
            known._serials = set(db.query(sql, serials, into=lambda terminal, ttsn: (terminal, ttsn)))
        cards: list[Value] = list({entry.card.to_bytes() for entry in entries})
        if cards:
            sql = _OPENINGS_KNOWN.format(rows=_placeholders(1, len(cards)))
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


def _add_entries(db: Database, entries: Sequence[Entry]) -> None:
    if not entries:
        return
    rows: list[tuple[Value, ...]] = []
    postings: list[tuple[Value, ...]] = []
    for number, entry in enumerate(entries, start=db.number(_LAST_ENTRY) + 1):
        tap = (None, None, None) if entry.tap_id is None else _tap_key(entry)
        origin = (number, int(entry.kind), entry.source.name, entry.source.position)
        purse = (entry.card.to_bytes(), entry.counter, entry.ttsn, int(entry.amount_fen))
        dates = (entry.happened_at_utc_s, int(entry.clock_quality), entry.received_at_utc_s)
        rows.append((*origin, *tap, *purse, *dates, entry.accounting_day.isoformat()))
        assert sum(posting.amount_fen for posting in entry.postings) == 0, "an entry's postings sum to zero"
        for posting in entry.postings:
            owner = None if posting.purse is None else posting.purse.to_bytes()
            postings.append((number, int(posting.account), owner, posting.amount_fen))
    db.execute_many(_ADD_ENTRY, rows)
    db.execute_many(_ADD_POSTING, postings)


def _suspense_row(item: SuspenseItem) -> tuple[Value, ...]:
    tap = item.tap_id
    origin = (item.source.name, item.source.position, tap.terminal, tap.epoch, tap.seq, int(item.reason))
    return (*origin, item.card.to_bytes(), item.counter, item.ttsn, int(item.amount_fen), item.since_utc_s)


def _tap_key(entry: Entry) -> tuple[bytes, int, int]:
    assert entry.tap_id is not None, "a purchase comes from a tap"
    return entry.tap_id.terminal, entry.tap_id.epoch, entry.tap_id.seq


def _serial_key(entry: Entry) -> tuple[bytes, int]:
    assert entry.tap_id is not None, "a purchase comes from a tap"
    assert entry.ttsn is not None, "a purchase has its serial"
    return entry.tap_id.terminal, entry.ttsn


def _placeholders(columns: int, rows: int) -> str:
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
        into=lambda terminal, epoch, seq, reason, card, counter, amount_fen, since_utc_s: OpenSuspense(
            TapId(TerminalId(terminal), epoch, seq),
            Suspense(reason),
            CardId.from_bytes(card),
            counter,
            Fen(amount_fen),
            since_utc_s,
        ),
    )


def unbalanced_entries(db: Database) -> list[int]:
    """Entries whose postings do not sum to zero: none, or the database was tampered with."""
    return db.query(_UNBALANCED, into=int)
