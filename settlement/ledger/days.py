"""Days are closed one after the other: totals, balances and clearing are kept, and a hash chain over all entries.

A close reads what was booked since the one before, however long the books are. Left out: who may close, and when
(`settlement.ledger.keeper`).
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from settlement.ledger import clearing, store
from settlement.ledger.clearing import Owners
from settlement.ledger.entries import Account, next_day
from settlement.store.database import Database, Value
from wire.errors import CampusError

_CHUNK: Final = 5_000  # rows hashed at a time
_FIRST_OF_ALL: Final = 19_700_102

_LAST: Final = """
    SELECT number, day, closed_at_utc_s, entries, entries_seen, postings_seen, entries_last, postings_last,
           entries_hash, chain_hash FROM day_close ORDER BY number DESC LIMIT 1
"""
_CLOSES: Final = """
    SELECT number, day, closed_at_utc_s, entries, entries_seen, postings_seen, entries_last, postings_last,
           entries_hash, chain_hash FROM day_close WHERE day >= %s AND day <= %s ORDER BY number
"""
_BEFORE: Final = """
    SELECT number, day, closed_at_utc_s, entries, entries_seen, postings_seen, entries_last, postings_last,
           entries_hash, chain_hash FROM day_close WHERE number = %s - 1
"""
_OPEN_DAYS: Final = """
    SELECT accounting_day FROM other_entry WHERE id > %s AND accounting_day > %s AND accounting_day <= %s
    UNION SELECT accounting_day FROM sale_run WHERE id > %s AND accounting_day > %s AND accounting_day <= %s
    UNION SELECT accounting_day FROM other_posting WHERE id > %s AND accounting_day > %s AND accounting_day <= %s
    ORDER BY 1
"""
_LATER_IDS: Final = """
    SELECT (SELECT min(id) FROM (
                SELECT min(id) AS id FROM other_entry WHERE id > %s AND accounting_day > %s
                UNION ALL SELECT min(id) FROM sale_run WHERE id > %s AND accounting_day > %s) AS entries),
           (SELECT min(id) FROM other_posting WHERE id > %s AND accounting_day > %s)
"""
# What runs of usual sales moved follows from their sums: the school's part goes through the purses.
_ADD_TOTALS: Final = """
    INSERT INTO day_total (id, day, account_id, kind, debit_fen, credit_fen)
    SELECT (SELECT coalesce(max(id), 0) FROM day_total) + row_number() OVER (ORDER BY account_id, kind), *
    FROM (SELECT day, account_id, kind, CAST(sum(debit_fen) AS bigint), CAST(sum(credit_fen) AS bigint) FROM (
              SELECT posting.accounting_day AS day, posting.account_id, entry.kind,
                     CASE WHEN posting.amount_fen > 0 THEN posting.amount_fen ELSE 0 END AS debit_fen,
                     CASE WHEN posting.amount_fen < 0 THEN -posting.amount_fen ELSE 0 END AS credit_fen
              FROM other_posting posting JOIN other_entry entry ON entry.id = posting.entry_id
              WHERE posting.id > %s AND posting.accounting_day = %s
              UNION ALL SELECT accounting_day, 2001, 2, amount_fen + subsidy_fen, subsidy_fen FROM sale_run
              WHERE id > %s AND accounting_day = %s AND amount_fen + subsidy_fen > 0
              UNION ALL SELECT accounting_day, 2002, 2, 0, amount_fen + subsidy_fen FROM sale_run
              WHERE id > %s AND accounting_day = %s AND amount_fen + subsidy_fen > 0
              UNION ALL SELECT accounting_day, 5003, 2, subsidy_fen, 0 FROM sale_run
              WHERE id > %s AND accounting_day = %s AND subsidy_fen > 0
          ) sides GROUP BY day, account_id, kind) moved
"""
_ADD_BALANCES: Final = """
    INSERT INTO day_balance (id, day, account_id, balance_fen)
    SELECT (SELECT coalesce(max(id), 0) FROM day_balance) + row_number() OVER (ORDER BY account.number),
           CAST(%s AS integer), account.number,
           coalesce((SELECT balance_fen FROM day_balance before
                     WHERE before.account_id = account.number AND before.day = %s), 0)
           + coalesce((SELECT CAST(sum(debit_fen - credit_fen) AS bigint) FROM day_total moved
                       WHERE moved.account_id = account.number AND moved.day = %s), 0)
    FROM account
"""
_ROLL_UP: Final = """
    INSERT INTO purse_balance (purse, balance_fen)
    SELECT purse, CAST(-sum(amount_fen) AS bigint) FROM (
        SELECT purse, amount_fen FROM other_posting WHERE id > %s AND accounting_day = %s AND purse IS NOT NULL
        UNION ALL SELECT opening.card, paid.amount_fen FROM (
            SELECT sale.purse_id, sum(sale.amount_fen) AS amount_fen
            FROM sale_run run CROSS JOIN sale
            WHERE run.id > %s AND run.accounting_day = %s AND sale.id >= run.id AND sale.id < run.id + run.taps
            GROUP BY sale.purse_id
        ) paid JOIN other_entry opening ON opening.id = paid.purse_id
    ) moved GROUP BY purse
    ON CONFLICT (purse) DO UPDATE SET balance_fen = purse_balance.balance_fen + excluded.balance_fen
"""
_PURSES: Final = "SELECT coalesce(CAST(sum(balance_fen) AS bigint), 0) FROM purse_balance"
_BALANCES: Final = "SELECT account_id, balance_fen FROM day_balance WHERE day = %s ORDER BY account_id"
_ADD_CLOSE: Final = """
    INSERT INTO day_close (number, day, closed_at_utc_s, entries, entries_seen, postings_seen, entries_last,
                           postings_last, entries_hash, chain_hash)
    VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
"""
_ENTRIES: Final = """
    SELECT id, kind, source, source_position, terminal, epoch, seq, card, counter, ttsn, amount_fen, subsidy_fen,
           refers_to, balance_before_fen, happened_at_utc_s, clock_quality, received_at_utc_s, accounting_day
    FROM other_entry WHERE id > %s AND id <= %s AND accounting_day = %s ORDER BY id LIMIT %s
"""
_POSTINGS: Final = """
    SELECT id, entry_id, account_id, purse, amount_fen, accounting_day
    FROM other_posting WHERE id > %s AND id <= %s AND accounting_day = %s ORDER BY id LIMIT %s
"""
_RUNS: Final = """
    SELECT id, taps, source, source_position, terminal, epoch, first_seq, first_ttsn, clock_quality,
           received_at_utc_s, accounting_day, amount_fen, subsidy_fen
    FROM sale_run WHERE id > %s AND id <= %s AND accounting_day = %s ORDER BY id LIMIT %s
"""
_SALES: Final = """
    SELECT id, run_id, purse_id, counter, amount_fen, subsidy_fen, balance_before_fen, happened_at_utc_s
    FROM sale WHERE id >= %s AND id < (SELECT sale_run.id + taps FROM sale_run WHERE sale_run.id = %s) ORDER BY id
"""
_FIRST_DAY: Final = "SELECT coalesce(min(accounting_day), 0) FROM other_entry WHERE id <= 1000"  # openings come first
_SALE: Final = struct.Struct(">8q")  # a sale as it enters a day's hash
_GENESIS: Final = hashlib.sha256(b"campus days v1").digest()


class BooksUnbalanced(CampusError):
    """The day cannot be closed: accounts do not sum to zero, or the purses to the float. Somebody changed the books."""

    code = "books-unbalanced"


@dataclass(frozen=True, slots=True)
class Close:
    """A closed day; see `DayClose` of the tables."""

    number: int
    day: int
    closed_at_utc_s: int
    entries: int
    entries_seen: int
    postings_seen: int
    entries_last: int
    postings_last: int
    entries_hash: bytes
    chain_hash: bytes


_NONE: Final = Close(0, 0, 0, 0, 0, 0, 0, 0, b"", _GENESIS)


def last_close(db: Database) -> Close | None:
    """The last closed day."""
    return next(iter(db.query(_LAST, into=Close)), None)


def closes(db: Database, first_day: int, last_day: int) -> list[Close]:
    """The closed days in between, both included."""
    return db.query(_CLOSES, (first_day, last_day), into=Close)


def close_days(
    db: Database,
    *,
    through: int,
    now_utc_s: int,
    owners: Owners,
    fee_per_10000: int = 0,
    count_max: int = 1_000_000,
) -> list[Close]:
    """Close what is open up to that day, each day that something was booked on and that day itself, in their order.

    Each is a transaction of its own; so many at the most. The caller has seen to it that everything of these days is
    in the books. Raises `BooksUnbalanced`.
    """
    made = []
    last = last_close(db) or _NONE
    if through <= last.day:
        return []
    entries = (last.entries_seen, last.day, through)
    bounds = (*entries, *entries, last.postings_seen, last.day, through)
    days = db.query(_OPEN_DAYS, bounds, into=int)
    for day in sorted({*days, through})[:count_max]:
        with db.transaction():
            last = _close(db, last, day, now_utc_s, owners, fee_per_10000)
        made.append(last)
    return made


def _close(db: Database, before: Close, day: int, now_utc_s: int, owners: Owners, fee_per_10000: int) -> Close:
    clearing.clear_day(
        db,
        day,
        after_entry=before.entries_seen,
        after_posting=before.postings_seen,
        owners=owners,
        fee_per_10000=fee_per_10000,
        now_utc_s=now_utc_s,
    )
    entries_last, postings_last = store.last_entry(db), store.last_posting(db)
    postings, runs = (before.postings_seen, day), (before.entries_seen, day)
    db.execute(_ADD_TOTALS, (*postings, *runs, *runs, *runs))
    db.execute(_ADD_BALANCES, (day, before.day, day))
    db.execute(_ROLL_UP, (*postings, *runs))
    balances = dict(db.query(_BALANCES, (day,), into=lambda account, fen: (account, fen)))
    purses_fen = db.number(_PURSES)
    if sum(balances.values()) or purses_fen != -balances[Account.CARD_FLOAT]:
        raise BooksUnbalanced(
            f"{day} cannot be closed: all accounts sum to {sum(balances.values())} fen, purses to {purses_fen}, "
            f"the card float is {-balances[Account.CARD_FLOAT]}"
        )
    entries, entries_hash = hash_day(db, day, before=before, entries_last=entries_last, postings_last=postings_last)
    later = (*runs, *runs, *postings)
    ((next_entry, next_posting),) = db.query(_LATER_IDS, later, into=lambda *row: row)
    close = Close(
        number=before.number + 1,
        day=day,
        closed_at_utc_s=now_utc_s,
        entries=entries,
        entries_seen=entries_last if next_entry is None else next_entry - 1,
        postings_seen=postings_last if next_posting is None else next_posting - 1,
        entries_last=entries_last,
        postings_last=postings_last,
        entries_hash=entries_hash,
        chain_hash=_chain_hash(before.chain_hash, day, entries, entries_hash, balances),
    )
    seen = (close.entries_seen, close.postings_seen, entries_last, postings_last)
    head = (close.number, day, now_utc_s, entries)
    db.execute(_ADD_CLOSE, (*head, *seen, entries_hash, close.chain_hash))
    return close


def hash_day(db: Database, day: int, *, before: Close, entries_last: int, postings_last: int) -> tuple[int, bytes]:
    """How many entries the day has, and the hash over them and their postings, each in the order of their numbers.

    Usual sales come last: their runs line by line, and behind each its sales as they are kept.
    """
    digest, entries = hashlib.sha256(), 0
    for row in _rows(db, _ENTRIES, before.entries_seen, entries_last, day):
        digest.update(_line(row))
        entries += 1
    digest.update(b"\n")
    for row in _rows(db, _POSTINGS, before.postings_seen, postings_last, day):
        digest.update(_line(row))
    digest.update(b"\n")
    for run in _rows(db, _RUNS, before.entries_seen, entries_last, day):
        digest.update(_line(run))
        sales = db.query(_SALES, (run[0], run[0]), into=_SALE.pack)
        digest.update(b"".join(sales))
        entries += len(sales)
    return entries, digest.digest()


def first_day_of(db: Database, close: Close) -> int:
    """The first day that the close is of: it follows the one that was closed before."""
    before = next(iter(db.query(_BEFORE, (close.number,), into=Close)), None)
    return _FIRST_OF_ALL if before is None else next_day(before.day)


def wrong_closes(db: Database, first_day: int = 0, last_day: int = 99_999_999) -> list[str]:
    """What is wrong with closed days: recomputed from entries and postings, none of them can have changed unseen."""
    wrong = []
    for close in closes(db, first_day, last_day):
        before = next(iter(db.query(_BEFORE, (close.number,), into=Close)), _NONE)
        entries, entries_hash = hash_day(
            db, close.day, before=before, entries_last=close.entries_last, postings_last=close.postings_last
        )
        if (entries, entries_hash) != (close.entries, close.entries_hash):
            wrong.append(f"{close.day}: its {entries} entries are not the {close.entries} that it was closed with")
        balances = dict(db.query(_BALANCES, (close.day,), into=lambda account, fen: (account, fen)))
        if _chain_hash(before.chain_hash, close.day, entries, entries_hash, balances) != close.chain_hash:
            wrong.append(f"{close.day}: the chain of closes breaks here")
        if before.number + 1 != close.number:
            wrong.append(f"{close.day}: close {close.number} follows close {before.number}")
    return wrong


def is_open(db: Database, through: int) -> bool:
    """Whether something up to that day can be closed: there are books by then, and no later close."""
    last = last_close(db)
    if last is not None:
        return last.day < through
    first = db.number(_FIRST_DAY)
    return 0 < first <= through


def _rows(db: Database, sql: str, after: int, last: int, day: int) -> Iterator[Sequence[Value]]:
    while True:
        rows = db.query(sql, (after, last, day, _CHUNK), into=lambda *row: row)
        yield from rows
        if len(rows) < _CHUNK:
            return
        after = rows[-1][0]


def _line(row: Sequence[Value]) -> bytes:
    """A row as it enters the hash: numbers in digits, bytes in hex, nothing as a dash."""
    words = ("-" if value is None else value.hex() if isinstance(value, bytes) else str(value) for value in row)
    return "|".join(words).encode() + b"\n"


def _chain_hash(before: bytes, day: int, entries: int, entries_hash: bytes, balances: dict[int, int]) -> bytes:
    digest = hashlib.sha256(before)
    digest.update(_line((day, entries, entries_hash)))
    for account, fen in sorted(balances.items()):
        digest.update(_line((account, fen)))
    return digest.digest()
