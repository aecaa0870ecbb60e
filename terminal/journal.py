"""The till's journal: every tap, in order, for ever; also the outbox that the uplink reads.

Two insert-only tables. `opened` holds what is known before a debit, committed before the card is told to pay; `sealed`
holds the canonical record with its chain hash, committed before anybody is told that it worked. One process writes
(`Journal`), any number read (`JournalReader`). Getting taps to the server is `sync`'s matter.
"""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Self, cast

import apsw

from terminal.salvage import last_number
from terminal.schema import SCHEMA
from wire.errors import CampusError
from wire.fields import FormatError
from wire.ids import EPOCH_MAX, TERMINAL_ID_BYTES, CardId, TapId, TerminalId
from wire.money import Fen
from wire.receipt import Cursor
from wire.record import (
    HASH_BYTES,
    NO_TAC,
    RECORD_BYTES,
    RECORD_VERSION,
    TAC_BYTES,
    Mac2,
    Outcome,
    Refusal,
    TapKind,
    TapRecord,
    TapTime,
    VoidReason,
    genesis_hash,
    next_hash,
)
from wire.shift import ShiftReport, shift_genesis

_BUSY_MS: Final = 2_000  # only another opener's recovery ever holds the file; longer than that is a fault
_SYNCHRONOUS_FULL: Final = 2
_NAMED: Final = 13  # the first bytes of a record: version and the tap's own name
_REPORTS_PAGE: Final = 100
_NOT_TAKEN: Final = (apsw.FullError, apsw.IOError, apsw.ReadOnlyError, apsw.BusyError, apsw.CantOpenError)


class JournalMissing(CampusError):
    """There is no journal yet: the terminal was not enrolled, or the till has not started since."""

    code = "journal-missing"
    retryable = True


class JournalDamaged(CampusError):
    """The file is not a journal, or its records do not follow from each other. Nothing is written to it."""

    code = "journal-damaged"


class JournalForeign(CampusError):
    """The journal belongs to another terminal or epoch than this terminal is enrolled as."""

    code = "journal-foreign"


class JournalLost(CampusError):
    """The server has taps of this journal that are not in it: the file was lost, restored or exchanged."""

    code = "journal-lost"


class JournalInUse(CampusError):
    """Another till writes this journal, or another program keeps it locked."""

    code = "journal-in-use"


class JournalUnwritable(CampusError):
    """The disk did not take a record: full, read-only or failing. The till must not go on selling."""

    code = "journal-unwritable"


class DiskFull(JournalUnwritable):
    """There is no room for a record."""

    code = "disk-full"


class DiskReadOnly(JournalUnwritable):
    """The disk takes no writes at all: mounted read-only, often by the kernel after an error."""

    code = "disk-read-only"


class TapNotOpen(CampusError):
    """A tap was to be sealed or voided that is not the open one, or a new one opened while one is."""

    code = "tap-not-open"


@dataclass(frozen=True, slots=True)
class JournalHead:
    """The end of the sealed records: last number (0: none), the chain's hash after it, all debits so far."""

    seq: int
    hash: bytes
    total_fen: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TapIntent:
    """What is known of a tap before the card is told to pay; fields as in `TapRecord`."""

    kind: TapKind = TapKind.SALE
    card: CardId
    amount_fen: Fen
    subsidy_fen: Fen = Fen(0)
    credit_fen: Fen = Fen(0)
    balance_before_fen: Fen
    counter: int
    ttsn: int
    refers_to: int = 0
    opened_at: TapTime
    meals: int = 1


# Sees each sealed record, in order, and how many meals it was, if a sale.
Witness = Callable[[TapRecord, int], None]


class JournalReader:
    """A read-only view, safe beside the writing till; every call sees all that is committed by then."""

    def __init__(self, connection: apsw.Connection, path: Path) -> None:
        self._db = connection
        self._path = path
        match self._one("SELECT terminal, epoch FROM journal"):
            case (bytes(terminal), int(epoch)) if len(terminal) == TERMINAL_ID_BYTES and 0 < epoch <= EPOCH_MAX:
                self.terminal, self.epoch = TerminalId(terminal), epoch
            case _:
                raise JournalDamaged(f"{path.name} names no terminal")

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open an existing journal; `JournalMissing` or `JournalDamaged` otherwise."""
        if not path.exists():
            raise JournalMissing(f"there is no journal at {path}")
        return cls(_connect(path, apsw.SQLITE_OPEN_READONLY), path)

    def close(self) -> None:
        """Close the file; using the reader afterwards is a bug."""
        self._db.close()

    def head(self) -> JournalHead:
        """The end of the sealed records."""
        row = self._one("SELECT seq, hash, total_fen FROM sealed ORDER BY seq DESC LIMIT 1")
        if row is None:
            return JournalHead(0, genesis_hash(self.terminal, self.epoch), 0)
        return self._head(row)

    def records(self, first_seq: int, count_max: int) -> list[TapRecord]:
        """Sealed records from `first_seq` on, consecutive, at most `count_max`."""
        assert first_seq > 0, "records are numbered from 1"
        rows = self._all(
            "SELECT record, hash FROM sealed WHERE seq >= ? ORDER BY seq LIMIT ?",
            (first_seq, count_max),
        )
        if not rows:
            return []
        records, before = [], self.hash_before(first_seq)
        for seq, (raw, stored_hash) in enumerate(rows, first_seq):
            records.append(self._checked(raw, seq, before, stored_hash))
            before = cast(bytes, stored_hash)
        return records

    def canonical(self, first_seq: int, next_seq: int) -> list[bytes]:
        """The canonical bytes of sealed records, all of them there, each following from the one before."""
        rows = self._all("SELECT record FROM sealed WHERE seq >= ? AND seq < ? ORDER BY seq", (first_seq, next_seq))
        found = [raw for (raw,) in rows if isinstance(raw, bytes) and len(raw) == RECORD_BYTES]
        head_hash = self.hash_before(first_seq)
        for raw in found:
            head_hash = next_hash(head_hash, raw)
        if len(found) != next_seq - first_seq or head_hash != self.hash_before(next_seq):
            raise JournalDamaged(f"{self._path.name} has not the records from {first_seq} to {next_seq} that it sealed")
        return found

    def hash_before(self, seq: int) -> bytes:
        """The chain's hash before record `seq`, which may be the one after the last."""
        return self._before(seq).hash

    def total_before_fen(self, seq: int) -> int:
        """The sum of all debits before record `seq`, which may be the one after the last."""
        return self._before(seq).total_fen

    def opened_tap(self) -> TapRecord | None:
        """The tap that was opened and not sealed, as the record it becomes if no more is learnt; None: none is."""
        row = self._one("SELECT seq, intent, hash FROM opened WHERE seq > (SELECT coalesce(max(seq), 0) FROM sealed)")
        if row is None:
            return None
        seq, intent, stored_hash = row
        if not isinstance(seq, int):
            raise JournalDamaged(f"the open tap of {self._path.name} has no number")
        return self._checked(intent, seq, self.hash_before(seq), stored_hash)

    def verify(self, witness: Witness = lambda _record, _meals: None) -> JournalHead:
        """Recompute the whole chain and all totals; `JournalDamaged` names the first record that does not fit."""
        last_in_wal = self._last_in_wal()
        if self._all("PRAGMA quick_check(1)") != [("ok",)]:
            raise JournalDamaged(f"{self._path.name} is damaged in its structure")
        head = JournalHead(0, genesis_hash(self.terminal, self.epoch), 0)
        for row in self._rows(
            "SELECT s.seq, s.record, s.hash, s.total_fen, o.intent, o.hash, o.meals "
            "FROM sealed AS s LEFT JOIN opened AS o ON o.seq = s.seq ORDER BY s.seq"
        ):
            seq, raw, stored_hash, total_fen, intent, intent_hash, meals = row
            expected = head.seq + 1
            if seq != expected:
                raise JournalDamaged(f"{self._path.name} has no record {expected}")
            record = self._checked(raw, expected, head.hash, stored_hash)
            # What was known before is in the record too, so that the intent's own name is all that is left to be read.
            if intent is not None and self._chained(intent, expected, head.hash, intent_hash)[:_NAMED] != _name(record):
                raise JournalDamaged(f"record {seq} of {self._path.name} was opened as another tap")
            head = JournalHead(expected, cast(bytes, stored_hash), head.total_fen + record.debited_fen)
            if total_fen != head.total_fen:
                raise JournalDamaged(f"the total at record {seq} of {self._path.name} is wrong")
            witness(record, meals if isinstance(meals, int) else 1)
        self.opened_tap()
        number = 1
        while reports := self.reports(number, _REPORTS_PAGE):
            number += len(reports)
        # SQLite leaves out, in silence, what follows a damaged piece of the -wal, and would write over it. A torn
        # commit looks the same but for this: a tap is opened only once the one before is safely sealed.
        if last_in_wal > head.seq + 1:
            raise JournalDamaged(f"{self._path.name}-wal holds tap {last_in_wal}, but only {head.seq} can be read")
        return head

    def last_shift(self) -> int:
        """The number of the last shift that closed; 0: none did."""
        row = self._one("SELECT coalesce(max(number), 0) FROM shift_closed")
        assert row is not None, "a maximum is always answered"
        return cast(int, row[0])

    def reports(self, first_number: int, count_max: int) -> list[ShiftReport]:
        """Reports of closed shifts from `first_number` on, consecutive, at most `count_max`, unsigned."""
        before = self._report(first_number - 1) if first_number > 1 else None
        found: list[ShiftReport] = []
        while len(found) < count_max and (report := self._report(first_number + len(found))) is not None:
            self._must_follow(before, report)
            found.append(report)
            before = report
        return found

    def rows(self, sql: str, values: tuple[int | bytes | str, ...] = ()) -> list[tuple[object, ...]]:
        """What is committed in the shift tables by now."""
        return self._all(sql, values)

    def _last_in_wal(self) -> int:
        try:
            return last_number(self._path.with_name(f"{self._path.name}-wal").read_bytes(), self.terminal, self.epoch)
        except FileNotFoundError:
            return 0
        except OSError as error:
            raise JournalDamaged(f"{self._path.name}-wal cannot be read: {error}") from error

    def _report(self, number: int) -> ShiftReport | None:
        row = self._one("SELECT next_seq, report, hash FROM shift_closed WHERE number = ?", (number,))
        if row is None:
            return None
        match row:
            case (int(next_seq), bytes(raw), bytes(stored_hash)):
                try:
                    report = ShiftReport.from_canonical(raw)
                except FormatError as error:
                    raise JournalDamaged(f"shift {number} of {self._path.name} cannot be read: {error}") from error
                whose = (report.terminal, report.epoch, report.number, report.next_seq)
                if report.hash == stored_hash and whose == (self.terminal, self.epoch, number, next_seq):
                    return report
        raise JournalDamaged(f"shift {number} of {self._path.name} is not the one that was closed")

    def _must_follow(self, before: ShiftReport | None, report: ShiftReport) -> None:
        """Raise `JournalDamaged` unless a shift follows from the one before, and from the taps."""
        expected = (shift_genesis(self.terminal, self.epoch), 1) if before is None else (before.hash, before.next_seq)
        if (report.hash_before, report.first_seq) != expected or report.journal_hash != self.hash_before(
            report.next_seq
        ):
            raise JournalDamaged(f"shift {report.number} of {self._path.name} does not follow from what was before it")

    def _chained(self, raw: object, seq: int, before: bytes, stored_hash: object) -> bytes:
        """What is in `raw`, if its hash follows from the one before."""
        # A damaged page can give a column a value of any kind, STRICT or not.
        if not isinstance(raw, bytes) or next_hash(before, raw) != stored_hash:
            raise JournalDamaged(f"record {seq} of {self._path.name} does not follow from the one before")
        return raw

    def _checked(self, raw: object, seq: int, before: bytes, stored_hash: object) -> TapRecord:
        """The record in `raw`, if it is the one numbered `seq` and its hash follows from the one before."""
        try:
            record = TapRecord.from_bytes(self._chained(raw, seq, before, stored_hash))
        except FormatError as error:
            raise JournalDamaged(f"record {seq} of {self._path.name} cannot be read: {error}") from error
        if record.tap_id != TapId(self.terminal, self.epoch, seq):
            raise JournalDamaged(f"record {seq} of {self._path.name} is that of another tap")
        return record

    def _before(self, seq: int) -> JournalHead:
        if seq == 1:
            return JournalHead(0, genesis_hash(self.terminal, self.epoch), 0)
        row = self._one("SELECT seq, hash, total_fen FROM sealed WHERE seq = ?", (seq - 1,))
        if row is None:
            raise JournalDamaged(f"{self._path.name} has no record {seq - 1}")
        return self._head(row)

    def _head(self, row: tuple[object, ...]) -> JournalHead:
        match row:
            case (int(seq), bytes(hash_after), int(total_fen)) if len(hash_after) == HASH_BYTES:
                return JournalHead(seq, hash_after, total_fen)
        raise JournalDamaged(f"{self._path.name} has a record without a number, hash or total")

    def _one(self, sql: str, values: tuple[int | bytes | str, ...] = ()) -> tuple[object, ...] | None:
        return next(iter(self._all(sql, values)), None)

    def _all(self, sql: str, values: tuple[int | bytes | str, ...] = ()) -> list[tuple[object, ...]]:
        return list(self._rows(sql, values))

    def _rows(self, sql: str, values: tuple[int | bytes | str, ...] = ()) -> Iterator[tuple[object, ...]]:
        try:
            yield from self._db.execute(sql, values)
        except apsw.BusyError as error:
            raise JournalInUse(f"another program keeps {self._path.name} locked") from error
        except (apsw.Error, UnicodeDecodeError) as error:
            raise JournalDamaged(f"{self._path.name} cannot be read: {error}") from error


class Journal(JournalReader):
    """The one writer. WAL and synchronous=FULL are asserted at every open: what a method returned survives a cut."""

    def __init__(self, connection: apsw.Connection, path: Path, lock_fd: int, witness: Witness) -> None:
        super().__init__(connection, path)
        self._lock_fd: int | None = lock_fd
        self._witness = witness
        self._meals = 1  # of the open tap

    @classmethod
    def open_for(
        cls,
        path: Path,
        *,
        terminal: TerminalId,
        epoch: int,
        acknowledged: Cursor | None,
        witness: Witness = lambda _record, _meals: None,
    ) -> Self:
        """Open the journal of this enrolment, or make it; its chain is verified whole, and against what the server has.

        `witness` sees every sealed record, those that are there and each that comes. Raises `JournalForeign`,
        `JournalLost`, `JournalInUse`, `JournalDamaged` or `JournalUnwritable`, having changed nothing.
        """
        lock_fd = lock_journal(path)
        try:
            if not path.exists():
                _must_be_new(path, acknowledged)
                _create(path, terminal, epoch)
            journal = cls(_connect(path, apsw.SQLITE_OPEN_READWRITE), path, lock_fd, witness)
            if (journal.terminal, journal.epoch) != (terminal, epoch):
                raise JournalForeign(
                    f"{path.name} is epoch {journal.epoch} of terminal {journal.terminal.hex()}; "
                    f"this terminal is enrolled as {terminal.hex()}, epoch {epoch}"
                )
            journal.verify(witness)
            journal.must_hold(acknowledged)
            journal.remember_meals()
            journal._db.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0)
        except BaseException:
            os.close(lock_fd)
            raise
        return journal

    def close(self) -> None:
        """Close the file and let another till have it."""
        super().close()
        lock_fd, self._lock_fd = self._lock_fd, None
        if lock_fd is not None:
            os.close(lock_fd)

    def must_hold(self, acknowledged: Cursor | None) -> None:
        """Raise `JournalLost` unless everything that the server has from this journal is in it, the same."""
        if acknowledged is None:
            return
        kept = self.head().seq
        if acknowledged.next_seq > kept + 1 or self.hash_before(acknowledged.next_seq) != acknowledged.head_hash:
            raise JournalLost(
                f"the server has {acknowledged.next_seq - 1} taps of this journal, but {self._path.name} holds {kept} "
                "and not those: it is an older copy or another one; selling on would give numbers out twice"
            )

    def remember_meals(self) -> None:
        """Learn how many meals the tap was that an earlier run left open."""
        row = self._one("SELECT meals FROM opened ORDER BY seq DESC LIMIT 1")
        self._meals = row[0] if row is not None and isinstance(row[0], int) else 1

    def boot_number(self, boot_id: str) -> int:
        """The number of this boot of the machine, counted from 1; `boot_id` is the kernel's."""
        with self._writing():
            self._db.execute("INSERT INTO boot (boot_id) VALUES (?) ON CONFLICT DO NOTHING", (boot_id,))
        row = self._one("SELECT boot FROM boot WHERE boot_id = ?", (boot_id,))
        assert row is not None, "a boot that was inserted is there"
        return cast(int, row[0])

    def open_tap(self, intent: TapIntent) -> TapRecord:
        """Commit what is known before a debit; only then may the card be told to pay.

        Returns the record that this tap becomes if nothing more is ever learnt (outcome UNKNOWN). `TapNotOpen` while
        another tap is open.
        """
        if (left := self.opened_tap()) is not None:
            raise TapNotOpen(f"tap {left.tap_id.seq} is still open")
        tap = self._record(intent, Outcome.UNKNOWN, None)
        with self._writing():
            self._db.execute(
                "INSERT INTO opened VALUES (?, ?, ?, ?)",
                (tap.tap_id.seq, tap.to_bytes(), next_hash(self.head().hash, tap.to_bytes()), intent.meals),
            )
        self._meals = intent.meals
        return tap

    def seal_tap(self, tap: TapRecord, *, tac: bytes, mac2: Mac2) -> TapRecord:
        """Commit that the open tap's debit happened, with its proof; only then may anybody be told so."""
        assert len(tac) == TAC_BYTES, "a TAC has 4 bytes"
        return self._seal(tap, replace(tap, outcome=Outcome.DEBITED, tac=tac, mac2=mac2))

    def void_tap(self, tap: TapRecord, reason: VoidReason) -> TapRecord:
        """Commit that the open tap moved no money."""
        return self._seal(tap, replace(tap, outcome=Outcome.VOIDED, reason=reason))

    def seal_unknown(self, tap: TapRecord, *, tac: bytes = NO_TAC) -> TapRecord:
        """Commit that nobody here can tell whether the open tap moved money; the server can, if there is a TAC."""
        return self._seal(tap, replace(tap, tac=tac))

    def refuse_tap(self, intent: TapIntent, refusal: Refusal) -> TapRecord:
        """Record, in one commit, a card that the rules turned away. `TapNotOpen` while a tap is open."""
        if (left := self.opened_tap()) is not None:
            raise TapNotOpen(f"tap {left.tap_id.seq} is still open")
        return self._append(self._record(intent, Outcome.REFUSED, refusal))

    def keep(self, sql: str, values: tuple[int | bytes | str, ...]) -> None:
        """Commit one row of the shift tables."""
        with self._writing():
            self._db.execute(sql, values)

    def _record(self, intent: TapIntent, outcome: Outcome, reason: Refusal | None) -> TapRecord:
        record = TapRecord(
            tap_id=TapId(self.terminal, self.epoch, self.head().seq + 1),
            kind=intent.kind,
            outcome=outcome,
            reason=reason,
            mac2=Mac2.NOT_CHECKED,
            card=intent.card,
            amount_fen=intent.amount_fen,
            subsidy_fen=intent.subsidy_fen,
            credit_fen=intent.credit_fen,
            balance_before_fen=intent.balance_before_fen,
            counter=intent.counter,
            ttsn=intent.ttsn,
            tac=NO_TAC,
            refers_to=intent.refers_to,
            opened_at=intent.opened_at,
        )
        assert record.is_possible, f"no {intent.kind.name} can have these amounts, or refer to {intent.refers_to}"
        return record

    def _seal(self, tap: TapRecord, sealed: TapRecord) -> TapRecord:
        if (left := self.opened_tap()) != tap:
            raise TapNotOpen(f"tap {tap.tap_id.seq} is not the open one ({left and left.tap_id.seq})")
        return self._append(sealed)

    def _append(self, record: TapRecord) -> TapRecord:
        head, raw = self.head(), record.to_bytes()
        total_fen = head.total_fen + record.debited_fen
        with self._writing():
            self._db.execute(
                "INSERT INTO sealed VALUES (?, ?, ?, ?)",
                (record.tap_id.seq, raw, next_hash(head.hash, raw), total_fen),
            )
        self._witness(record, self._meals)
        return record

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Each statement in here is a commit of its own; what the disk refuses is `JournalUnwritable`."""
        try:
            yield
        except _NOT_TAKEN as error:
            raise unwritable(f"{self._path.name} could not be written", error) from error
        except (apsw.CorruptError, apsw.NotADBError) as error:
            raise JournalDamaged(f"{self._path.name} cannot be written: {error}") from error


def _name(record: TapRecord) -> bytes:
    """How a record's bytes begin: version, terminal, epoch, number."""
    tap = record.tap_id
    return bytes([RECORD_VERSION]) + tap.terminal + tap.epoch.to_bytes(2, "big") + tap.seq.to_bytes(4, "big")


def _connect(path: Path, flags: int) -> apsw.Connection:
    """Open an existing file and assert the one safe setting (see TERMINAL.md, "Power cuts")."""
    try:
        connection = apsw.Connection(str(path), flags=flags)
        # To close what turns out to be damaged must not write the -wal into it.
        connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
        connection.set_busy_timeout(_BUSY_MS)
        connection.execute("PRAGMA synchronous = FULL")
        mode = connection.pragma("journal_mode")
        synchronous = connection.pragma("synchronous")
        tables = connection.pragma("table_info", "sealed")
    except apsw.BusyError as error:
        raise JournalInUse(f"another program keeps {path.name} locked") from error
    except (apsw.Error, UnicodeDecodeError) as error:
        if flags & apsw.SQLITE_OPEN_READWRITE and isinstance(error, _NOT_TAKEN):
            raise unwritable(f"{path.name} cannot be opened for writing", error) from error
        raise JournalDamaged(f"{path.name} cannot be opened: {error}") from error
    if mode != "wal" or synchronous != _SYNCHRONOUS_FULL or not tables:
        connection.close()
        raise JournalDamaged(f"{path.name} is no journal (mode {mode}, synchronous {synchronous})")
    return connection


def unwritable(words: str, error: Exception) -> JournalUnwritable:
    """What a disk that took no write is called, by its error."""
    number = error.errno if isinstance(error, OSError) else None
    kind = JournalUnwritable
    if isinstance(error, apsw.FullError) or number == errno.ENOSPC:
        kind = DiskFull
    elif isinstance(error, apsw.ReadOnlyError) or number == errno.EROFS:
        kind = DiskReadOnly
    return kind(f"{words}: {error}")


def _must_be_new(path: Path, acknowledged: Cursor | None) -> None:
    """Raise `JournalLost` where a journal should be but is gone; a new one under the same epoch would contradict it."""
    left = path.with_name(path.name + "-wal")
    if left.exists() or (acknowledged is not None and acknowledged.next_seq > 1):
        raise JournalLost(f"{path.name} is gone from {path.parent}, though taps were recorded in it")


def _create(path: Path, terminal: TerminalId, epoch: int) -> None:
    """Make the file under another name and rename it, so that a journal is there whole or not at all."""
    draft = path.with_name(path.name + ".new")
    for leftover in (draft, draft.with_name(draft.name + "-wal"), draft.with_name(draft.name + "-shm")):
        leftover.unlink(missing_ok=True)
    try:
        connection = apsw.Connection(str(draft))
        connection.pragma("journal_mode", "wal")
        connection.execute("PRAGMA synchronous = FULL")
        with connection:
            connection.execute(SCHEMA)
            connection.execute("INSERT INTO journal VALUES (1, ?, ?)", (terminal, epoch))
        # Closing would do this too, but keep quiet when the disk is full, and half a journal would be renamed.
        connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
        connection.close()
        draft.rename(path)
        directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
    except (apsw.Error, OSError) as error:
        raise unwritable(f"no journal could be made in {path.parent}", error) from error


def lock_journal(path: Path) -> int:
    """Hold the lock file beside the journal until the process ends; `JournalInUse` if somebody else does."""
    try:
        lock_fd = os.open(path.with_name(path.name + ".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise unwritable(f"{path.parent} cannot be written", error) from error
    try:
        fcntl.flock(lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(lock_fd)
        raise JournalInUse(f"another till is writing {path}") from error
    return lock_fd
