"""Every SQL statement on a stream's database, and the hash chain over its journal. Left out: what may be written."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from settlement.store.database import Database, StoreFault
from wire.batch import TAPS_MAX
from wire.ids import Stream, TerminalId
from wire.receipt import Cursor, Suspense
from wire.record import RECORD_BYTES, chain_hashes, genesis_hash
from wire.shift import ShiftReport

_TERMINAL_COLUMNS: Final = (
    "id, terminal, epoch, public_key, enrolled_at_utc_s, next_seq, head_hash, total_fen, "
    "heard_seq, heard_total_fen, heard_at_utc_s, quarantined_because, rolled_back_to_seq"
)
_FIND_TERMINAL: Final = f"SELECT {_TERMINAL_COLUMNS} FROM terminal WHERE terminal = %s AND epoch = %s"
_ALL_TERMINALS: Final = f"SELECT {_TERMINAL_COLUMNS} FROM terminal ORDER BY terminal, epoch"
_OWED: Final = "SELECT terminal, epoch FROM terminal WHERE heard_seq >= next_seq OR quarantined_because IS NOT NULL"
_LAST_EPOCH: Final = "SELECT coalesce(max(epoch), 0) FROM terminal WHERE terminal = %s"
_ADD_TERMINAL: Final = """
    INSERT INTO terminal (terminal, epoch, public_key, enrolled_at_utc_s, next_seq, head_hash, total_fen,
                          heard_seq, heard_total_fen, heard_at_utc_s)
    VALUES (%s, %s, %s, %s, 1, %s, 0, 0, 0, %s)
"""
_MOVE_CURSOR: Final = """
    UPDATE terminal SET next_seq = %s, head_hash = %s, total_fen = %s, heard_seq = %s, heard_total_fen = %s,
                        heard_at_utc_s = %s WHERE id = %s
"""
_HEAR: Final = "UPDATE terminal SET heard_seq = %s, heard_total_fen = %s, heard_at_utc_s = %s WHERE id = %s"
_QUARANTINE: Final = "UPDATE terminal SET quarantined_because = %s WHERE id = %s"
_ROLL_BACK: Final = "UPDATE terminal SET rolled_back_to_seq = %s WHERE id = %s"
_FIND_RECEIPT: Final = "SELECT receipt FROM batch WHERE digest = %s"
_ADD_BATCH: Final = """
    INSERT INTO batch (digest, terminal, epoch, first_seq, next_seq, raw, receipt, received_at_utc_s)
    VALUES (%s, %s, %s, %s, %s, %s, %s, %s)
"""
_ADD_FORK: Final = "INSERT INTO fork (terminal, epoch, seq, raw, received_at_utc_s) VALUES (%s, %s, %s, %s, %s)"
_INTAKES_OF: Final = """
    SELECT position, first_seq, next_seq, records, hash_before FROM intake
    WHERE terminal = %s AND epoch = %s AND next_seq > %s AND first_seq < %s AND first_seq > %s ORDER BY first_seq
"""
_KEPT_HASH: Final = "SELECT hash_before FROM intake WHERE terminal = %s AND epoch = %s AND first_seq = %s"
_HEAD: Final = "SELECT next_position - 1, stream_hash FROM intake ORDER BY position DESC LIMIT 1"
_INTAKE_COLUMNS: Final = (
    "position", "next_position", "terminal", "epoch", "first_seq", "next_seq", "hash_before", "stream_hash",
    "received_at_utc_s", "records",
)  # fmt: skip
_INTAKES_BETWEEN: Final = """
    SELECT position, next_position, records, stream_hash, received_at_utc_s FROM intake
    WHERE position >= %s AND position < %s ORDER BY position
"""
_HEAD_BEFORE: Final = """
    SELECT next_position - 1, stream_hash FROM intake WHERE position < %s ORDER BY position DESC LIMIT 1
"""
_SUSPENDED: Final = "SELECT position, reason FROM suspended_tap WHERE position >= %s AND position < %s"
_ANSWERED_SINCE: Final = "SELECT number FROM answer WHERE number >= %s"
_ADD_ANSWER: Final = "INSERT INTO answer (number, terminal, text, received_at_utc_s) VALUES (%s, %s, %s, %s)"
_FIND_ANSWER: Final = "SELECT text, received_at_utc_s FROM answer WHERE number = %s AND terminal = %s"
_LAST_SHIFT: Final = """
    SELECT number, hash FROM shift_report WHERE terminal = %s AND epoch = %s ORDER BY number DESC LIMIT 1
"""
_FIND_SHIFT: Final = """
    SELECT number, hash FROM shift_report WHERE terminal = %s AND epoch = %s AND number = %s
"""
_REPORTED: Final = "SELECT coalesce(max(next_seq), 1) FROM shift_report WHERE terminal = %s AND epoch = %s"
_ADD_SHIFT: Final = """
    INSERT INTO shift_report (terminal, epoch, number, first_seq, next_seq, hash, raw, alarms, received_at_utc_s)
    VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)
"""
_ADD_SHIFT_CONFLICT: Final = """
    INSERT INTO shift_conflict (terminal, epoch, number, hash, raw, received_at_utc_s)
    SELECT %s, %s, %s, %s, %s, %s WHERE NOT EXISTS (
        SELECT 1 FROM shift_conflict WHERE terminal = %s AND epoch = %s AND number = %s AND hash = %s
    )
"""
_ALARMED_SHIFTS: Final = """
    SELECT terminal, epoch, number, sum(alarms), max(received_at_utc_s) FROM (
        SELECT terminal, epoch, number, alarms, received_at_utc_s FROM shift_report WHERE alarms <> 0
        UNION ALL SELECT terminal, epoch, number, {contradicted}, max(received_at_utc_s) FROM shift_conflict
        GROUP BY terminal, epoch, number
    ) AS alarmed GROUP BY terminal, epoch, number ORDER BY 5, 1, 2, 3
"""
_SHIFTS_BETWEEN: Final = """
    SELECT raw FROM shift_report WHERE received_at_utc_s >= %s AND received_at_utc_s < %s ORDER BY id
"""


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
class IntakeRow:
    """A piece of the stream's journal as the ledger reads it: canonical records, one behind the other."""

    position: int
    next_position: int
    records: bytes
    stream_hash: bytes
    received_at_utc_s: int


@dataclass(frozen=True, slots=True)
class AnswerRow:
    """What a terminal answered to a request."""

    text: str
    received_at_utc_s: int


@dataclass(frozen=True, slots=True)
class ShiftRow:
    """A closed shift, as the next one has to follow from it."""

    number: int
    hash: bytes


@dataclass(frozen=True, slots=True)
class JournalHead:
    """The last position (0 for an empty journal) and the chain's hash there."""

    position: int
    stream_hash: bytes


def stream_genesis(stream: Stream) -> bytes:
    """The chain's start for one stream's journal."""
    return hashlib.sha256(b"campus stream v1" + bytes((stream,))).digest()


def next_stream_hash(
    before: bytes, records: bytes, suspended: Sequence[tuple[int, int]], received_at_utc_s: int
) -> bytes:
    """SHA-256(before | length | records | place and reason of each suspended one | time received).

    None of it can change unseen. `suspended` has places from 0 on, in order.
    """
    verdicts = b"".join(place.to_bytes(2) + bytes((reason,)) for place, reason in suspended)
    parts = (before, len(records).to_bytes(4), records, verdicts, received_at_utc_s.to_bytes(8))
    return hashlib.sha256(b"".join(parts)).digest()


def find_terminal(db: Database, terminal: TerminalId, epoch: int) -> TerminalRow | None:
    """One journal's row."""
    return next(iter(db.query(_FIND_TERMINAL, (terminal, epoch), into=TerminalRow)), None)


def all_terminals(db: Database) -> list[TerminalRow]:
    """Every journal, by terminal and epoch."""
    return db.query(_ALL_TERMINALS, into=TerminalRow)


def journals_owed(db: Database) -> frozenset[tuple[bytes, int]]:
    """The journals whose terminals say that they have taps which are not here, or are quarantined and may have some."""
    return frozenset(db.query(_OWED, into=lambda terminal, epoch: (bytes(terminal), epoch)))


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


def move_cursor(db: Database, row: TerminalRow, cursor: Cursor, *, total_fen: int, now_utc_s: int) -> None:
    """The stream has this journal up to the cursor, and so heard of as much."""
    heard = _heard(row, cursor.next_seq - 1, total_fen)
    db.execute(_MOVE_CURSOR, (cursor.next_seq, cursor.head_hash, total_fen, *heard, now_utc_s, row.id))


def hear(db: Database, row: TerminalRow, *, seq: int, total_fen: int, now_utc_s: int) -> None:
    """Note that the terminal was heard now, and how far it says its journal goes."""
    db.execute(_HEAR, (*_heard(row, seq, total_fen), now_utc_s, row.id))


def _heard(row: TerminalRow, seq: int, total_fen: int) -> tuple[int, int]:
    """The most that was ever claimed stays: a journal that shrank has lost taps, which must not drop from sight."""
    return (seq, total_fen) if seq > row.heard_seq else (row.heard_seq, row.heard_total_fen)


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
    taps: list[KnownTap] = []
    for position, start, end, records, before in _intakes_of(db, row, first_seq, next_seq):
        reasons = suspended(db, position, position + end - start)
        hashes = chain_hashes(before, _each(records))
        if hashes[-1] != (row.head_hash if end == row.next_seq else _hash_before_intake(db, row, end)):
            raise StoreFault(f"the taps from position {position} on do not lead to what follows them: damaged")
        taps += [
            KnownTap(seq, hashes[seq - start], reasons.get(position + seq - start))
            for seq in range(max(first_seq, start), min(next_seq, end))
        ]
    return taps


def hash_before(db: Database, row: TerminalRow, seq: int) -> bytes:
    """The chain's hash before record `seq`, which is at most the next one."""
    if seq == row.next_seq:
        return row.head_hash
    if seq == 1:
        return genesis_hash(row.terminal, row.epoch)
    [before] = known_taps(db, row, seq - 1, seq)
    return before.chain_hash


def _hash_before_intake(db: Database, row: TerminalRow, first_seq: int) -> bytes:
    """The chain's hash where an intake begins, as it is kept."""
    return next(iter(db.query(_KEPT_HASH, (row.terminal, row.epoch, first_seq), into=bytes)), b"")


def records_between(db: Database, row: TerminalRow, first_seq: int, next_seq: int) -> list[bytes]:
    """The canonical records of these numbers."""
    found: list[bytes] = []
    for _, start, end, records, _ in _intakes_of(db, row, first_seq, next_seq):
        found += _each(records)[max(first_seq, start) - start : min(next_seq, end) - start]
    return found


def _each(records: bytes) -> list[bytes]:
    return [records[at : at + RECORD_BYTES] for at in range(0, len(records), RECORD_BYTES)]


def _intakes_of(
    db: Database, row: TerminalRow, first_seq: int, next_seq: int
) -> list[tuple[int, int, int, bytes, bytes]]:
    """Position, numbers, records and the hash before them, of what has any of these numbers."""
    key = (row.terminal, row.epoch, first_seq, next_seq, first_seq - TAPS_MAX)
    return db.query(_INTAKES_OF, key, into=lambda *intake: intake)


def journal_head(db: Database, stream: Stream) -> JournalHead:
    """Where the stream's journal ends."""
    return next(iter(db.query(_HEAD, into=JournalHead)), JournalHead(0, stream_genesis(stream)))


def add_intake(
    db: Database,
    row: TerminalRow,
    head: JournalHead,
    *,
    first_seq: int,
    records: Sequence[bytes],
    hash_before: bytes,
    suspended: Sequence[tuple[int, int]],
    now_utc_s: int,
) -> None:
    """Append taps to the journal whose end is `head`; `suspended` has places among them, from 0 on, with the reason."""
    position, count, joined = head.position + 1, len(records), b"".join(records)
    db.append("intake", _INTAKE_COLUMNS, [(
        position, position + count, row.terminal, row.epoch, first_seq, first_seq + count, hash_before,
        next_stream_hash(head.stream_hash, joined, suspended, now_utc_s), now_utc_s, joined,
    )])  # fmt: skip
    if suspended:
        reasons = [(position + place, int(reason)) for place, reason in suspended]
        db.append("suspended_tap", ("position", "reason"), reasons)


def intakes_after(db: Database, position: int, taps_max: int) -> list[IntakeRow]:
    """What comes after this position: the intakes that begin within so many taps."""
    return db.query(_INTAKES_BETWEEN, (position + 1, position + 1 + taps_max), into=IntakeRow)


def head_at(db: Database, position: int) -> JournalHead | None:
    """Where the intake ends that begins last up to this position, with the chain's hash there."""
    return next(iter(db.query(_HEAD_BEFORE, (position + 1,), into=JournalHead)), None)


def suspended(db: Database, position: int, next_position: int) -> dict[int, int]:
    """Which taps at these positions are suspended, and why."""
    return dict(db.query(_SUSPENDED, (position, next_position), into=lambda *row: row))


def answered_since(db: Database, number: int) -> set[int]:
    """Which requests from this number on have their answer."""
    return set(db.query(_ANSWERED_SINCE, (number,), into=int))


def add_answer(db: Database, number: int, terminal: TerminalId, text: str, *, now_utc_s: int) -> None:
    """Keep a terminal's answer to a request."""
    db.execute(_ADD_ANSWER, (number, terminal, text, now_utc_s))


def find_answer(db: Database, number: int, terminal: TerminalId) -> AnswerRow | None:
    """What this terminal answered to this request."""
    return next(iter(db.query(_FIND_ANSWER, (number, terminal), into=AnswerRow)), None)


def last_shift(db: Database, row: TerminalRow) -> ShiftRow | None:
    """The journal's newest report here."""
    return next(iter(db.query(_LAST_SHIFT, (row.terminal, row.epoch), into=ShiftRow)), None)


def find_shift(db: Database, row: TerminalRow, number: int) -> ShiftRow | None:
    """The report with this number."""
    return next(iter(db.query(_FIND_SHIFT, (row.terminal, row.epoch, number), into=ShiftRow)), None)


def reported_up_to(db: Database, row: TerminalRow) -> int:
    """The first tap that is behind all of the journal's reports here."""
    return db.number(_REPORTED, (row.terminal, row.epoch))


def add_shift(db: Database, row: TerminalRow, report: ShiftReport, *, alarms: int, now_utc_s: int) -> None:
    """Keep a report."""
    key = (row.terminal, row.epoch, report.number, report.first_seq, report.next_seq)
    db.execute(_ADD_SHIFT, (*key, report.hash, report.to_bytes(), alarms, now_utc_s))


def add_shift_conflict(db: Database, row: TerminalRow, report: ShiftReport, *, now_utc_s: int) -> None:
    """Keep the other version; one that is there already is left alone."""
    key = (row.terminal, row.epoch, report.number, report.hash)
    db.execute(_ADD_SHIFT_CONFLICT, (*key, report.to_bytes(), now_utc_s, *key))


def alarmed_shifts(db: Database, *, contradicted: int) -> list[tuple[bytes, int, int, int, int]]:
    """Terminal, epoch, number, alarms and time of reports with an alarm; `contradicted` is the bit of the others."""
    sql = _ALARMED_SHIFTS.format(contradicted=contradicted)
    return db.query(sql, into=lambda terminal, epoch, number, *rest: (terminal, epoch, number, int(rest[0]), rest[1]))


def shifts_between(db: Database, since_utc_s: int, until_utc_s: int) -> list[ShiftReport]:
    """The reports that came from then on and before the other time, in the order in which they came."""
    return db.query(_SHIFTS_BETWEEN, (since_utc_s, until_utc_s), into=ShiftReport.from_bytes)


def suspended_of(taps: Sequence[KnownTap]) -> tuple[tuple[int, Suspense], ...]:
    """The suspended ones, as a receipt lists them."""
    return tuple((tap.seq, Suspense(tap.suspense)) for tap in taps if tap.suspense is not None)
