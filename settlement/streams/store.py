"""Every SQL statement on a stream's database, and the hash chain over its journal. Left out: what may be written."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from settlement.store.database import Database, Value
from wire.ids import Stream, TerminalId
from wire.receipt import Cursor, Suspense

_TERMINAL_COLUMNS: Final = (
    "id, terminal, epoch, public_key, enrolled_at_utc_s, next_seq, head_hash, total_fen, "
    "heard_seq, heard_total_fen, heard_at_utc_s, quarantined_because, rolled_back_to_seq"
)
_FIND_TERMINAL: Final = f"SELECT {_TERMINAL_COLUMNS} FROM terminal WHERE terminal = %s AND epoch = %s"
_ALL_TERMINALS: Final = f"SELECT {_TERMINAL_COLUMNS} FROM terminal ORDER BY terminal, epoch"
_OWED: Final = "SELECT EXISTS (SELECT 1 FROM terminal WHERE heard_seq >= next_seq OR quarantined_because IS NOT NULL)"
_LAST_EPOCH: Final = "SELECT coalesce(max(epoch), 0) FROM terminal WHERE terminal = %s"
_ADD_TERMINAL: Final = """
    INSERT INTO terminal (terminal, epoch, public_key, enrolled_at_utc_s, next_seq, head_hash, total_fen,
                          heard_seq, heard_total_fen, heard_at_utc_s)
    VALUES (%s, %s, %s, %s, 1, %s, 0, 0, 0, %s)
"""
_MOVE_CURSOR: Final = "UPDATE terminal SET next_seq = %s, head_hash = %s, total_fen = %s WHERE id = %s"
_HEAR: Final = "UPDATE terminal SET heard_seq = %s, heard_total_fen = %s, heard_at_utc_s = %s WHERE id = %s"
_QUARANTINE: Final = "UPDATE terminal SET quarantined_because = %s WHERE id = %s"
_ROLL_BACK: Final = "UPDATE terminal SET rolled_back_to_seq = %s WHERE id = %s"
_FIND_RECEIPT: Final = "SELECT receipt FROM batch WHERE digest = %s"
_ADD_BATCH: Final = """
    INSERT INTO batch (digest, terminal, epoch, first_seq, next_seq, raw, receipt, received_at_utc_s)
    VALUES (%s, %s, %s, %s, %s, %s, %s, %s)
"""
_ADD_FORK: Final = "INSERT INTO fork (terminal, epoch, seq, raw, received_at_utc_s) VALUES (%s, %s, %s, %s, %s)"
_KNOWN_TAPS: Final = """
    SELECT seq, chain_hash, suspense FROM tap
    WHERE terminal = %s AND epoch = %s AND seq >= %s AND seq < %s ORDER BY seq
"""
_RECORDS_BETWEEN: Final = """
    SELECT record FROM tap WHERE terminal = %s AND epoch = %s AND seq >= %s AND seq < %s ORDER BY seq
"""
_HEAD: Final = "SELECT position, stream_hash FROM tap ORDER BY position DESC LIMIT 1"
_ADD_TAP: Final = """
    INSERT INTO tap (position, terminal, epoch, seq, record, chain_hash, stream_hash, outcome, card, counter,
                     amount_fen, suspense, received_at_utc_s)
    VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
"""
_TAPS_AFTER: Final = """
    SELECT position, record, stream_hash, suspense, received_at_utc_s FROM tap
    WHERE position > %s ORDER BY position LIMIT %s
"""
_ANSWERED_SINCE: Final = "SELECT number FROM answer WHERE number >= %s"
_ADD_ANSWER: Final = "INSERT INTO answer (number, terminal, text, received_at_utc_s) VALUES (%s, %s, %s, %s)"
_FIND_ANSWER: Final = "SELECT text, received_at_utc_s FROM answer WHERE number = %s AND terminal = %s"


@dataclass(frozen=True, slots=True)
class TerminalRow:
    """One journal as the stream knows it; `total_fen` are its debits before `next_seq`."""

    id: int
    terminal: TerminalId
    epoch: int
    public_key: bytes
    enrolled_at_utc_s: int
    next_seq: int
    head_hash: bytes
    total_fen: int
    heard_seq: int
    heard_total_fen: int
    heard_at_utc_s: int
    quarantined_because: str | None
    rolled_back_to_seq: int | None

    @property
    def cursor(self) -> Cursor:
        """What the terminal is told."""
        return Cursor(self.epoch, self.next_seq, self.head_hash)


@dataclass(frozen=True, slots=True)
class KnownTap:
    """What a batch that overlaps is compared with."""

    seq: int
    chain_hash: bytes
    suspense: int | None


@dataclass(frozen=True, slots=True)
class JournalRow:
    """One row of the stream's journal as the ledger reads it."""

    position: int
    record: bytes
    stream_hash: bytes
    suspense: int | None
    received_at_utc_s: int


@dataclass(frozen=True, slots=True)
class AnswerRow:
    """What a terminal answered to a request."""

    text: str
    received_at_utc_s: int


@dataclass(frozen=True, slots=True)
class JournalHead:
    """The last position (0 for an empty journal) and the chain's hash there."""

    position: int
    stream_hash: bytes


def stream_genesis(stream: Stream) -> bytes:
    """The chain's start for one stream's journal."""
    return hashlib.sha256(b"campus stream v1" + bytes((stream,))).digest()


def next_stream_hash(before: bytes, record: bytes, suspense: int | None, received_at_utc_s: int) -> bytes:
    """SHA-256(before | canonical record | suspense reason or 0 | time received), none of it can change unseen."""
    return hashlib.sha256(before + record + bytes((suspense or 0,)) + received_at_utc_s.to_bytes(8)).digest()


def find_terminal(db: Database, terminal: TerminalId, epoch: int) -> TerminalRow | None:
    """One journal's row."""
    return next(iter(db.query(_FIND_TERMINAL, (terminal, epoch), into=TerminalRow)), None)


def all_terminals(db: Database) -> list[TerminalRow]:
    """Every journal, by terminal and epoch."""
    return db.query(_ALL_TERMINALS, into=TerminalRow)


def taps_owed(db: Database) -> bool:
    """Whether a terminal says that it has taps which are not here, or is quarantined and may have some."""
    return bool(db.number(_OWED))


def last_epoch(db: Database, terminal: TerminalId) -> int:
    """The terminal's highest epoch, 0 if it is unknown."""
    return db.number(_LAST_EPOCH, (terminal,))


def add_terminal(
    db: Database,
    *,
    terminal: TerminalId,
    epoch: int,
    public_key: bytes,
    genesis: bytes,
    now_utc_s: int,
) -> None:
    """A new journal with its cursor at 1."""
    db.execute(_ADD_TERMINAL, (terminal, epoch, public_key, now_utc_s, genesis, now_utc_s))


def move_cursor(db: Database, row: TerminalRow, *, next_seq: int, head_hash: bytes, total_fen: int) -> None:
    """The stream has this journal up to before `next_seq`."""
    db.execute(_MOVE_CURSOR, (next_seq, head_hash, total_fen, row.id))


def hear(db: Database, row: TerminalRow, *, seq: int, total_fen: int, now_utc_s: int) -> None:
    """Note that the terminal was heard now, and how far it says its journal goes.

    The most that was ever claimed stays: a journal that shrank has lost taps, which must not drop from sight.
    """
    if seq <= row.heard_seq:
        seq, total_fen = row.heard_seq, row.heard_total_fen
    db.execute(_HEAR, (seq, total_fen, now_utc_s, row.id))


def quarantine(db: Database, row: TerminalRow, because: str) -> None:
    """Take nothing more of this journal."""
    db.execute(_QUARANTINE, (because, row.id))


def note_roll_back(db: Database, row: TerminalRow, seq: int) -> None:
    """Keep that the terminal's journal ended with `seq` when the stream had more of it already."""
    db.execute(_ROLL_BACK, (seq, row.id))


def find_receipt(db: Database, digest: bytes) -> bytes | None:
    """The receipt that this very batch got."""
    return next(iter(db.query(_FIND_RECEIPT, (digest,), into=bytes)), None)


def add_batch(
    db: Database,
    row: TerminalRow,
    *,
    digest: bytes,
    first_seq: int,
    next_seq: int,
    raw: bytes,
    receipt: bytes,
    now_utc_s: int,
) -> None:
    """Keep a batch and its receipt."""
    db.execute(_ADD_BATCH, (digest, row.terminal, row.epoch, first_seq, next_seq, raw, receipt, now_utc_s))


def add_fork(db: Database, row: TerminalRow, *, seq: int, raw: bytes, now_utc_s: int) -> None:
    """Keep the other version."""
    db.execute(_ADD_FORK, (row.terminal, row.epoch, seq, raw, now_utc_s))


def known_taps(db: Database, row: TerminalRow, first_seq: int, next_seq: int) -> list[KnownTap]:
    """What the stream has of these numbers."""
    return db.query(_KNOWN_TAPS, (row.terminal, row.epoch, first_seq, next_seq), into=KnownTap)


def records_between(db: Database, row: TerminalRow, first_seq: int, next_seq: int) -> list[bytes]:
    """The canonical records of these numbers."""
    return db.query(_RECORDS_BETWEEN, (row.terminal, row.epoch, first_seq, next_seq), into=bytes)


def journal_head(db: Database, stream: Stream) -> JournalHead:
    """Where the stream's journal ends."""
    return next(iter(db.query(_HEAD, into=JournalHead)), JournalHead(0, stream_genesis(stream)))


def add_taps(db: Database, rows: Sequence[Sequence[Value]]) -> None:
    """Append to the journal; columns as in `tap`, positions consecutive."""
    db.execute_many(_ADD_TAP, rows)


def taps_after(db: Database, position: int, count_max: int) -> list[JournalRow]:
    """The next rows of the journal."""
    return db.query(_TAPS_AFTER, (position, count_max), into=JournalRow)


def answered_since(db: Database, number: int) -> set[int]:
    """Which requests from this number on have their answer."""
    return set(db.query(_ANSWERED_SINCE, (number,), into=int))


def add_answer(db: Database, number: int, terminal: TerminalId, text: str, *, now_utc_s: int) -> None:
    """Keep a terminal's answer to a request."""
    db.execute(_ADD_ANSWER, (number, terminal, text, now_utc_s))


def find_answer(db: Database, number: int, terminal: TerminalId) -> AnswerRow | None:
    """What this terminal answered to this request."""
    return next(iter(db.query(_FIND_ANSWER, (number, terminal), into=AnswerRow)), None)


def suspended_of(taps: Sequence[KnownTap]) -> tuple[tuple[int, Suspense], ...]:
    """The suspended ones, as a receipt lists them."""
    return tuple((tap.seq, Suspense(tap.suspense)) for tap in taps if tap.suspense is not None)
