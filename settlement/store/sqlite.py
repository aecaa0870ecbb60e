"""One connection to one SQLite file, by Django, with the faults typed."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from itertools import chain, islice
from pathlib import Path
from typing import Final

from django.db import DatabaseError, IntegrityError
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.utils import ConnectionHandler

from settlement.store.faults import RuleBroken, StoreFault
from settlement.store.lock import WriterLock
from settlement.store.router import LEDGER

Value = int | str | bytes | None

BUSY_TIMEOUT_S: Final = 5  # only a reader's recovery or a checkpoint ever holds the file; longer than that is a fault
_SYNCHRONOUS_FULL: Final = 2
_ROWS_AT_ONCE: Final = 50

# In WAL with FULL a commit survives a power cut; the defaults lose acknowledged commits.
_WRITER_PRAGMAS: Final = (
    "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON; PRAGMA temp_store=MEMORY;"
)
_READER_PRAGMA: Final = "PRAGMA query_only=ON;"
# What the ledger writes now lies together in its index of sales, but is more than SQLite's own 2 MiB: its pages would
# be read again and again, and with a checkpoint every 4 MiB be written again and again.
_LEDGER_PRAGMAS: Final = "PRAGMA cache_size=-65536; PRAGMA wal_autocheckpoint=8000;"


class SqliteConnection:
    """See `settlement.store.database.Connection`; the one that writes holds the file's lock."""

    def __init__(self, path: Path, alias: str, *, writes: bool) -> None:
        self._lock = WriterLock(path) if writes else None
        try:
            self.wrapper = _connect(path, alias, writes=writes)
            # Django makes the connection and the tables; what is asked every moment goes past its cursors, which cost
            # a statement more than SQLite does.
            self._raw: sqlite3.Connection = self.wrapper.connection
            if writes:
                self._assert_durable()
        except BaseException:
            if self._lock is not None:
                self._lock.close()
            raise

    def execute(self, sql: str, params: Sequence[Value]) -> int:
        """Run one statement; the number of rows it touched."""
        with typed_faults():
            return self._raw.execute(_as_sqlite(sql), params).rowcount

    def execute_many(self, sql: str, rows: Iterable[Sequence[Value]]) -> None:
        """Run one statement for each row of parameters."""
        with typed_faults():
            self._raw.executemany(_as_sqlite(sql), rows)

    def append(self, table: str, columns: Sequence[str], rows: Iterable[Sequence[Value]]) -> None:
        """Add rows; many in one statement, since a statement costs as much as a row."""
        # OR FAIL for the reason of `triggers`' rules: a row costs half as much, and the transaction is undone anyhow.
        head = f"INSERT OR FAIL INTO {table} ({', '.join(columns)}) VALUES "
        one = f"({', '.join('?' * len(columns))})"
        left = iter(rows)
        with typed_faults():
            while len(some := list(islice(left, _ROWS_AT_ONCE))) == _ROWS_AT_ONCE:
                self._raw.execute(head + ", ".join([one] * _ROWS_AT_ONCE), list(chain.from_iterable(some)))
            self._raw.executemany(head + one, some)

    def fetch(self, sql: str, params: Sequence[Value]) -> list[tuple[Value, ...]]:
        """All rows."""
        with typed_faults():
            rows: list[tuple[Value, ...]] = self._raw.execute(_as_sqlite(sql), params).fetchall()
            return rows

    def begin(self) -> None:
        """Begin a transaction."""
        # IMMEDIATE takes the write lock first: upgrading a read later could only fail.
        self.execute("BEGIN IMMEDIATE" if self._lock is not None else "BEGIN", ())

    def commit(self) -> None:
        """Keep it; it is on the disk then."""
        self.execute("COMMIT", ())

    def roll_back(self) -> None:
        """Undo it."""
        # A full disk makes SQLite roll back by itself; then there is nothing left to undo.
        if self._raw.in_transaction:
            self.execute("ROLLBACK", ())

    @property
    def session(self) -> int:
        """A file is opened once."""
        return 1

    def close(self) -> None:
        """Close the connection and give up the right to write."""
        try:
            with typed_faults():
                self.wrapper.close()
        finally:
            if self._lock is not None:
                self._lock.close()

    def _assert_durable(self) -> None:
        ((mode,),) = self.fetch("PRAGMA journal_mode", ())
        ((synchronous,),), ((foreign_keys,),) = (
            self.fetch("PRAGMA synchronous", ()),
            self.fetch("PRAGMA foreign_keys", ()),
        )
        if (mode, synchronous, foreign_keys) != ("wal", _SYNCHRONOUS_FULL, 1):
            self.wrapper.close()
            raise StoreFault(f"the database's mode is {mode!r}, its synchronous {synchronous!r}, not WAL and FULL")


@lru_cache(200)
def _as_sqlite(sql: str) -> str:
    """With SQLite's own placeholders; no statement has a percent sign of its own."""
    return sql.replace("%s", "?")


def sync_folder(path: Path) -> None:
    """A file's name must survive a power cut, too."""
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _connect(path: Path, alias: str, *, writes: bool) -> BaseDatabaseWrapper:
    """Django's connection, apart from the global ones: a process may read what another thread of it writes."""
    options = {
        "uri": True,
        "timeout": BUSY_TIMEOUT_S,
        "transaction_mode": "IMMEDIATE" if writes else "DEFERRED",
        "init_command": _WRITER_PRAGMAS + (_LEDGER_PRAGMAS if alias == LEDGER else "") if writes else _READER_PRAGMA,
    }
    name = f"{path.resolve().as_uri()}?mode={'rwc' if writes else 'ro'}"
    entry = {"ENGINE": "django.db.backends.sqlite3", "NAME": name, "OPTIONS": options}
    connection = ConnectionHandler({"default": {}, alias: entry})[alias]
    with typed_faults():
        connection.ensure_connection()
    return connection


@contextmanager
def typed_faults() -> Iterator[None]:
    """Django's exceptions, and those of the library below it, as ours."""
    try:
        yield
    except (IntegrityError, sqlite3.IntegrityError) as error:
        raise RuleBroken(str(error)) from error
    except (DatabaseError, sqlite3.DatabaseError) as error:
        raise StoreFault(str(error)) from error
