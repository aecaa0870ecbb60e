"""`uplink.db`: the cursor that the server acknowledged, the batch under way, receipts, and what came down.

The sync daemon alone writes it (`UplinkStore`); the till and `status` only read it. Every method that writes is one
commit, and what it returned from survives a power cut. Deciding what to send is `sync.outbox`'s matter.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import BinaryIO, Final, Self

from sqlite_utils import Database

from sync import storefile
from sync.policy import DAY_S, Strain
from sync.storefile import StoreDamaged, StoreMissing
from wire.batch import SignedBatch
from wire.configuration import Configuration
from wire.downlink import NO_MARK
from wire.errors import CampusError
from wire.fields import FormatError
from wire.hotlist import EMPTY_HOTLIST, Hotlist
from wire.ids import Stream, TerminalId
from wire.load import LoadGrant, LoadRequest
from wire.receipt import BatchReceipt, Cursor, Suspense
from wire.record import genesis_hash

ANSWERED_KEPT: Final = 20  # enough to see what was said lately; the server keeps all


class AlreadyEnrolled(CampusError):
    """Another ticket let this terminal in; its journal belongs to that enrolment."""

    code = "already-enrolled"


class NotEnrolled(CampusError):
    """This terminal has to be enrolled with a ticket first."""

    code = "not-enrolled"


@dataclass(frozen=True, slots=True, kw_only=True)
class Enrolment:
    """Who this terminal is; `ticket_digest` (SHA-256) tells whether a ticket is the one that made it so."""

    terminal: TerminalId
    epoch: int
    stream: Stream
    enrolled_at_utc_s: int
    ticket_digest: bytes


@dataclass(frozen=True, slots=True)
class Counters:
    """What all sessions so far weighed, and the batches that got their receipt."""

    bytes_sent: int
    bytes_received: int
    batches: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """Why the server takes nothing more from this terminal until a person has helped; `code` is for programs."""

    code: str
    words: str
    since_utc_s: int


class LoadEnd(IntEnum):
    """How a load ended for the point that asked for it; a desk's words but for the last."""

    POSTED = 1
    VOIDED = 2
    NOT_BEGUN = 3  # no grant came before the card was gone: CREDIT was never sent, and never will be


@dataclass(frozen=True, slots=True)
class KeptLoad:
    """A granted load of this point without an end; `tac` is the card's answer, None while nobody has heard it."""

    request: LoadRequest
    tac: bytes | None


@dataclass(frozen=True, slots=True)
class KeptDatagram:
    """Taps sealed for a short message, and the number that they were sealed with."""

    number: int
    first_seq: int
    next_seq: int
    raw: bytes


class UplinkReader:
    """A read-only view; every call sees all that is committed by then."""

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self._db = Database(connection)
        self._path = path

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open an existing database; `StoreMissing` or `StoreDamaged` otherwise."""
        if not path.exists():
            raise StoreMissing(f"there is no {path}")
        return cls(storefile.connect(path, "ro"), path)

    def close(self) -> None:
        """Close the file."""
        self._db.conn.close()

    def enrolment(self) -> Enrolment | None:
        """Who this terminal is; None before its first enrolment."""
        row = self._one("SELECT terminal, epoch, stream, enrolled_at_utc_s, ticket_digest FROM enrolment")
        if row is None:
            return None
        terminal, epoch, stream, enrolled_at_utc_s, digest = row
        return Enrolment(
            terminal=TerminalId(_blob(terminal)),
            epoch=_number(epoch),
            stream=Stream(_number(stream)),
            enrolled_at_utc_s=_number(enrolled_at_utc_s),
            ticket_digest=_blob(digest),
        )

    def enrolled(self) -> Enrolment:
        """Who this terminal is, or `NotEnrolled`."""
        if (enrolment := self.enrolment()) is None:
            raise NotEnrolled("this terminal is not enrolled; run campus-syncd enrol with a ticket first")
        return enrolment

    def cursor(self) -> Cursor:
        """What the server acknowledged; `NotEnrolled` before the first enrolment."""
        row = self._one("SELECT epoch, next_seq, head_hash FROM cursor")
        if row is None:
            raise NotEnrolled("this terminal is not enrolled; run campus-syncd enrol with a ticket first")
        return Cursor(_number(row[0]), _number(row[1]), _blob(row[2]))

    def heard_at_utc_s(self) -> int | None:
        """When the server last said where it stands; None: never."""
        row = self._one("SELECT heard_at_utc_s FROM cursor")
        return None if row is None or row[0] is None else _number(row[0])

    def shifts_acknowledged(self) -> int:
        """The number up to which the server has every report of a closed shift; 0: none."""
        row = self._one("SELECT number FROM shifts_acknowledged") if self._has("shifts_acknowledged") else None
        return 0 if row is None else _number(row[0])

    def unanswered(self) -> bytes | None:
        """The bytes of the batch that was cut and has no receipt yet."""
        row = self._one("SELECT raw FROM batches WHERE receipt IS NULL")
        return None if row is None else _blob(row[0])

    def suspended(self) -> list[tuple[int, Suspense]]:
        """Every tap whose money the server parked, with its reason, by number."""
        rows = self._all("SELECT seq, reason FROM suspended ORDER BY seq")
        return [(_number(seq), Suspense(_number(reason))) for seq, reason in rows]

    def hotlist(self) -> Hotlist:
        """The newest hotlist that came down; the empty one before that."""
        row = self._one("SELECT body FROM hotlist")
        try:
            return EMPTY_HOTLIST if row is None else Hotlist.from_bytes(_blob(row[0]))
        except FormatError as error:
            raise StoreDamaged(f"the hotlist in {self._path.name} is damaged: {error}") from error

    def configuration(self) -> Configuration | None:
        """What the operator set for this terminal's stream; None: nothing came down yet."""
        row = self._one("SELECT body FROM configuration") if self._has("configuration") else None
        return None if row is None else Configuration.from_bytes(_blob(row[0]))

    def counters(self) -> Counters:
        """What was carried so far."""
        row = self._one("SELECT bytes_sent, bytes_received, batches FROM counters")
        if row is None:
            raise StoreDamaged(f"{self._path.name} has no counters")
        return Counters(*(_number(value) for value in row))

    def verdict(self) -> Verdict | None:
        """What stands against this terminal; None: nothing."""
        row = self._one("SELECT code, words, since_utc_s FROM verdict") if self._has("verdict") else None
        return None if row is None else Verdict(_text(row[0]), _text(row[1]), _number(row[2]))

    def server_ahead_s(self) -> int | None:
        """By how much the server's clock was ahead of this terminal's when they last met; None: never."""
        row = self._one("SELECT ahead_s FROM server_clock") if self._has("server_clock") else None
        return None if row is None else _number(row[0])

    def tls_session(self, owner: bytes) -> bytes | None:
        """The TLS session that was made with this server and authority, and is not known to be over."""
        row = self._one("SELECT session FROM tls_session WHERE owner = ?", (owner,))
        return None if row is None else _blob(row[0])

    def last_load_number(self) -> int:
        """The highest number that a load of this point ever had; 0: none."""
        row = self._one("SELECT coalesce(max(number), 0) FROM loads") if self._has("loads") else None
        return 0 if row is None else _number(row[0])

    def open_loads(self) -> list[KeptLoad]:
        """The granted loads whose end the desk has not told, oldest first."""
        sql = "SELECT request, tac FROM loads WHERE granted IS NOT NULL AND ended IS NULL ORDER BY number"
        rows = self._all(sql) if self._has("loads") else []
        try:
            return [
                KeptLoad(LoadRequest.from_bytes(_blob(request)), None if tac is None else _blob(tac))
                for request, tac in rows
            ]
        except FormatError as error:
            raise StoreDamaged(f"a load in {self._path.name} is damaged: {error}") from error

    def strain(self) -> Strain:
        """What the modem was put through lately."""
        row = self._one("SELECT rounds, last_at_utc_s FROM strain") if self._has("strain") else None
        return Strain() if row is None else Strain(_number(row[0]), _number(row[1]))

    def sms_sent_at_utc_s(self) -> list[int]:
        """When the messages of the last day were sent."""
        rows = self._all("SELECT at_utc_s FROM sms_sent ORDER BY at_utc_s") if self._has("sms_sent") else []
        return [_number(at_utc_s) for (at_utc_s,) in rows]

    def refused_pin(self, iccid: str) -> tuple[bytes, int | None] | None:
        """The digest of the PIN that did not open this SIM, and how many tries it had before; None: there is none."""
        row = self._one("SELECT pin_digest, tries_before FROM refused_pins WHERE iccid = ?", (iccid,))
        return None if row is None else (_blob(row[0]), None if row[1] is None else _number(row[1]))

    def last_datagram(self) -> KeptDatagram | None:
        """The last one that was sealed; its number is not given again."""
        row = self._one("SELECT last_number, first_seq, next_seq, raw FROM datagrams")
        return None if row is None else KeptDatagram(_number(row[0]), _number(row[1]), _number(row[2]), _blob(row[3]))

    def links_seen(self) -> str | None:
        """How the links stood when the daemon last looked, as it wrote it down."""
        row = self._one("SELECT body FROM links_seen") if self._has("links_seen") else None
        return None if row is None else _text(row[0])

    def _has(self, table: str) -> bool:
        """Whether the file has this table; one that no newer daemon opened yet lacks the later ones."""
        return self._one("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?", (table,)) is not None

    def _one(self, sql: str, values: tuple[int | bytes | str | None, ...] = ()) -> tuple[object, ...] | None:
        return next(iter(self._all(sql, values)), None)

    def _all(self, sql: str, values: tuple[int | bytes | str | None, ...] = ()) -> list[tuple[object, ...]]:
        try:
            return [tuple(row.values()) for row in self._db.query(sql, values)]
        except sqlite3.DatabaseError as error:
            raise StoreDamaged(f"{self._path.name} cannot be read: {error}") from error


class UplinkStore(UplinkReader):
    """The one writer, by a lock beside the file."""

    def __init__(self, connection: sqlite3.Connection, path: Path, lock: BinaryIO) -> None:
        super().__init__(connection, path)
        self._lock = lock
        self.wants_whole_hotlist = False  # forgotten with the process: then changes prove unfit once more

    @classmethod
    def open_or_make(cls, path: Path) -> Self:
        """Open the database for writing, made first if there is none.

        Raises `StoreInUse`, `StoreUnwritable` or `StoreDamaged`.
        """
        lock = storefile.lock(path)
        try:
            if not path.exists():
                storefile.create(path)
            connection = storefile.connect(path, "rw")
            try:
                storefile.migrate(connection, path)
            except BaseException:
                connection.close()
                raise
            return cls(connection, path, lock)
        except BaseException:
            lock.close()
            raise

    def close(self) -> None:
        """Close the file and let another process have it."""
        super().close()
        self._lock.close()

    def enrol(self, who: Enrolment) -> None:
        """Keep who this terminal is now, with a cursor at its journal's start."""
        with self._commit():
            self._write(
                "INSERT INTO enrolment VALUES (1, ?, ?, ?, ?, ?)",
                (who.terminal, who.epoch, who.stream, who.enrolled_at_utc_s, who.ticket_digest),
            )
            genesis = genesis_hash(who.terminal, who.epoch)
            self._write("INSERT INTO cursor VALUES (1, ?, 1, ?, NULL)", (who.epoch, genesis))

    def save_cut(self, signed: SignedBatch) -> None:
        """Keep a batch before it is sent: until it is answered, these very bytes are what is sent."""
        assert self.unanswered() is None, "one batch is under way at a time"
        with self._commit():
            self._write(
                "INSERT INTO batches VALUES (?, ?, ?, NULL)",
                (signed.first_seq, signed.next_seq, signed.raw),
            )

    def drop_cut(self) -> None:
        """Forget the batch under way, so that it is cut anew; the cursor stays."""
        with self._commit():
            self._write("DELETE FROM batches WHERE receipt IS NULL")

    def mark(self, receipt: BatchReceipt, *, heard_at_utc_s: int) -> bool:
        """Keep what a receipt says; True when it moved the cursor. A late or repeated receipt changes nothing back.

        A server that gives receipts holds nothing against this terminal: the verdict is cleared.
        """
        before = self.cursor()
        moves = receipt.cursor.epoch == before.epoch and receipt.cursor.next_seq > before.next_seq
        with self._commit():
            if moves:
                self._set_cursor(receipt.cursor, heard_at_utc_s)
            self._write("DELETE FROM verdict")
            for seq, why in receipt.suspended:
                self._write("INSERT INTO suspended VALUES (?, ?) ON CONFLICT DO NOTHING", (seq, why))
            self._write(
                "UPDATE batches SET receipt = ? WHERE receipt IS NULL AND next_seq <= ?",
                (receipt.to_bytes(), receipt.cursor.next_seq),
            )
            self._write(
                "DELETE FROM batches WHERE receipt IS NOT NULL AND first_seq NOT IN "
                "(SELECT first_seq FROM batches WHERE receipt IS NOT NULL ORDER BY first_seq DESC LIMIT ?)",
                (ANSWERED_KEPT,),
            )
        return moves

    def mark_shifts(self, number: int) -> None:
        """Keep up to which number the server says that it has the shift reports, forward or back."""
        with self._commit():
            self._write("UPDATE shifts_acknowledged SET number = ?", (number,))

    def follow(self, cursor: Cursor, *, heard_at_utc_s: int) -> None:
        """Take over where the server says it stands, forward or back; batches beyond that are cut anew from there.

        A server that says so holds nothing against this terminal: the verdict is cleared.
        """
        with self._commit():
            self._set_cursor(cursor, heard_at_utc_s)
            self._write("DELETE FROM verdict")
            self._write("DELETE FROM batches WHERE receipt IS NULL OR next_seq > ?", (cursor.next_seq,))
            self._write("DELETE FROM suspended WHERE seq >= ?", (cursor.next_seq,))

    def save_hotlist(self, hotlist: Hotlist, *, received_at_utc_s: int) -> None:
        """Put a hotlist in place of the one before, whole."""
        with self._commit():
            self._write("INSERT OR REPLACE INTO hotlist VALUES (1, ?, ?)", (hotlist.to_bytes(), received_at_utc_s))
        self.wants_whole_hotlist = False

    def save_configuration(self, configuration: Configuration) -> None:
        """Put a configuration in place of the one before, whole."""
        with self._commit():
            self._write("INSERT OR REPLACE INTO configuration VALUES (1, ?)", (configuration.to_bytes(),))
            self._write(
                "INSERT OR REPLACE INTO configuration_versions VALUES (?, ?)",
                (configuration.outlet, configuration.version),
            )

    def newest_version(self, outlet: int) -> int:
        """The newest configuration of this outlet that was ever kept here; 0: none."""
        row = self._one("SELECT newest FROM configuration_versions WHERE outlet = ?", (outlet,))
        return 0 if row is None else _number(row[0])

    def configuration_mark(self) -> bytes:
        """What tells the server which configuration is here."""
        return NO_MARK if (configuration := self.configuration()) is None else configuration.mark

    def hotlist_mark(self) -> bytes:
        """What tells the server which hotlist is here, or that all of it is wanted."""
        return NO_MARK if self.wants_whole_hotlist else self.hotlist().mark

    def save_verdict(self, verdict: Verdict) -> None:
        """Keep what stands against this terminal; the same code again stands since it first came."""
        with self._commit():
            self._write(
                "INSERT INTO verdict VALUES (1, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET "
                "since_utc_s = iif(code = excluded.code, since_utc_s, excluded.since_utc_s), "
                "code = excluded.code, words = excluded.words",
                (verdict.code, verdict.words, verdict.since_utc_s),
            )

    def save_server_clock(self, *, ahead_s: int, heard_at_utc_s: int) -> None:
        """Keep by how much the server's clock is ahead of this terminal's."""
        with self._commit():
            self._write("INSERT OR REPLACE INTO server_clock VALUES (1, ?, ?)", (ahead_s, heard_at_utc_s))

    def save_tls_session(self, owner: bytes, session: bytes | None) -> None:
        """Keep this TLS session in place of any other; None: keep none."""
        with self._commit():
            if session is None:
                self._write("DELETE FROM tls_session")
            else:
                self._write("INSERT OR REPLACE INTO tls_session VALUES (1, ?, ?)", (owner, session))

    def begin_load(self, request: LoadRequest) -> None:
        """Keep a request before it is sent."""
        with self._commit():
            self._write("INSERT INTO loads (number, request) VALUES (?, ?)", (request.number, request.to_bytes()))

    def save_grant(self, grant: LoadGrant) -> None:
        """Keep a grant before the card hears of it."""
        with self._commit():
            self._write("UPDATE loads SET granted = ? WHERE number = ?", (grant.to_bytes(), grant.number))

    def save_tac(self, number: int, tac: bytes) -> None:
        """Keep the card's proof until the desk has taken it."""
        with self._commit():
            self._write("UPDATE loads SET tac = ? WHERE number = ?", (tac, number))

    def end_load(self, number: int, end: LoadEnd) -> None:
        """This load needs nothing more; an end that was kept stays."""
        with self._commit():
            self._write("UPDATE loads SET ended = ? WHERE number = ? AND ended IS NULL", (int(end), number))

    def save_strain(self, strain: Strain) -> None:
        """Keep what the modem is put through, before it is."""
        with self._commit():
            self._write("INSERT OR REPLACE INTO strain VALUES (1, ?, ?)", (strain.rounds, strain.last_at_utc_s))

    def note_sms_sent(self, at_utc_s: int) -> None:
        """Count a message, before it is sent; what is a day old, or of a clock that was wrong, is forgotten."""
        with self._commit():
            self._write("DELETE FROM sms_sent WHERE at_utc_s <= ? OR at_utc_s > ?", (at_utc_s - DAY_S, at_utc_s))
            self._write("INSERT INTO sms_sent VALUES (?)", (at_utc_s,))

    def save_datagram(self, datagram: KeptDatagram) -> None:
        """Keep a datagram before it is sent: until it is answered, these very bytes are what is sent."""
        with self._commit():
            self._write(
                "INSERT OR REPLACE INTO datagrams VALUES (1, ?, ?, ?, ?)",
                (datagram.number, datagram.first_seq, datagram.next_seq, datagram.raw),
            )

    def save_refused_pin(self, iccid: str, pin_digest: bytes, tries_before: int | None) -> None:
        """Remember for good that this PIN is tried on this SIM, as if it had been refused."""
        with self._commit():
            self._write("INSERT OR REPLACE INTO refused_pins VALUES (?, ?, ?)", (iccid, pin_digest, tries_before))

    def forget_refused_pin(self, iccid: str) -> None:
        """It was taken after all."""
        with self._commit():
            self._write("DELETE FROM refused_pins WHERE iccid = ?", (iccid,))

    def save_links_seen(self, body: str) -> None:
        """Keep how the links stand, for whoever asks."""
        with self._commit():
            self._write("INSERT OR REPLACE INTO links_seen VALUES (1, ?)", (body,))

    def count(self, *, bytes_sent: int, bytes_received: int, batches: int) -> None:
        """Add to the counters."""
        with self._commit():
            self._write(
                "UPDATE counters SET bytes_sent = bytes_sent + ?, bytes_received = bytes_received + ?, "
                "batches = batches + ?",
                (bytes_sent, bytes_received, batches),
            )

    def _set_cursor(self, cursor: Cursor, heard_at_utc_s: int) -> None:
        self._write(
            "UPDATE cursor SET epoch = ?, next_seq = ?, head_hash = ?, heard_at_utc_s = ?",
            (cursor.epoch, cursor.next_seq, cursor.head_hash, heard_at_utc_s),
        )

    def _write(self, sql: str, values: tuple[int | bytes | str | None, ...] = ()) -> None:
        self._db.execute(sql, values)

    @contextmanager
    def _commit(self) -> Iterator[None]:
        """All that is written in here becomes true at its end, or nothing of it does, as `StoreUnwritable` says."""
        connection = self._db.conn
        try:
            connection.execute("BEGIN IMMEDIATE")
            yield
            connection.execute("COMMIT")
        except BaseException as error:
            if connection.in_transaction:  # SQLite itself takes back some of what a full disk stopped
                connection.execute("ROLLBACK")
            if isinstance(error, sqlite3.DatabaseError) and not isinstance(error, sqlite3.IntegrityError):
                raise storefile.fault(f"{self._path.name} cannot be written", error) from error
            raise


def _number(value: object) -> int:
    if not isinstance(value, int):
        raise StoreDamaged("the uplink database has text or nothing where a number belongs")
    return value


def _blob(value: object) -> bytes:
    if not isinstance(value, bytes):
        raise StoreDamaged("the uplink database has no bytes where bytes belong")
    return value


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise StoreDamaged("the uplink database has no text where text belongs")
    return value
