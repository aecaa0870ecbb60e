"""One connection to one database on a PostgreSQL server, by psycopg, with the faults typed; it heals by itself.

A connection that was lost is a `StoreFault` to whoever used it, and is made anew for the next one. Left out: making
databases and roles (`settlement.store.server`).
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

import psycopg
from psycopg.adapt import Buffer, Loader
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.pq import TransactionStatus

from settlement.store.faults import Collision, RuleBroken, SchemaMissing, StoreFault
from settlement.store.lock import DatabaseInUse
from settlement.store.place import ServerPlace
from settlement.store.sqlite import Value

CONNECT_TIMEOUT_S: Final = 5  # a server that does not answer for so long is down
LOCK_TIMEOUT_S: Final = 5  # nobody holds a row or table of ours for longer, but a migration
TAKEOVER_S: Final = 2  # the session of a writer that was killed ends with the statement that it was in
_ADMIN_DATABASE: Final = "postgres"  # every server has it; databases and roles are made from there
_DURABLE: Final = {"fsync": ("on",), "full_page_writes": ("on",), "synchronous_commit": ("on", "remote_apply")}

# The writer whose host vanished holds its lock until the server finds out: after 10 + 3 x 5 s.
_TIMEOUTS: Final = {
    "connect_timeout": CONNECT_TIMEOUT_S,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
}

# One writer for each database: an advisory lock of the very session that writes, taken once when it begins, dropped by
# the server when it ends, however that comes about. So nobody who lost it can still write, and posting knows no lock.
_WRITER_KEY: Final = int.from_bytes(b"campus")
_TAKE_LOCK: Final = b"SELECT pg_advisory_lock(%s)"
_LOCK_HOLDER: Final = """
    SELECT coalesce(max(application_name), '') FROM pg_locks JOIN pg_stat_activity USING (pid)
    WHERE locktype = 'advisory' AND granted AND objsubid = 1 AND (classid::bigint << 32 | objid::bigint) = %s
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""


class PostgresConnection:
    """See `settlement.store.database.Connection`; the one that writes holds the database's lock."""

    def __init__(self, place: ServerPlace, *, writes: bool) -> None:
        self._place = place
        self._writes = writes
        self._begun = False
        self.session = 1
        self._raw = self._open()

    def execute(self, sql: str, params: Sequence[Value]) -> int:
        """Run one statement; the number of rows it touched."""
        with self._cursor() as cursor:
            cursor.execute(sql.encode(), params or None)
            return cursor.rowcount

    def execute_many(self, sql: str, rows: Sequence[Sequence[Value]]) -> None:
        """Run one statement for each row of parameters; they go to the server together."""
        with self._cursor() as cursor:
            cursor.executemany(sql.encode(), rows)

    def append(self, table: str, columns: Sequence[str], rows: Iterable[Sequence[Value]]) -> None:
        """Add rows, by COPY."""
        with self._cursor() as cursor, cursor.copy(f"COPY {table} ({', '.join(columns)}) FROM STDIN".encode()) as copy:
            for row in rows:
                copy.write_row(row)

    def fetch(self, sql: str, params: Sequence[Value]) -> list[tuple[Value, ...]]:
        """All rows."""
        with self._cursor() as cursor:
            cursor.execute(sql.encode(), params or None)
            return cursor.fetchall()

    def portions(self, sql: str, rows_max: int) -> Iterator[list[tuple[Value, ...]]]:
        """All rows of a query within a transaction, so many at a time."""
        with typed_faults(), self._raw.cursor("portions") as cursor:
            cursor.execute(sql.encode())
            while rows := cursor.fetchmany(rows_max):
                yield rows

    def begin(self) -> None:
        """Begin a transaction; a reader's sees one state of the database throughout, as SQLite's does."""
        self.execute("BEGIN" if self._writes else "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", ())
        self._begun = True

    def commit(self) -> None:
        """Keep it; it is on the server's disk then."""
        self.execute("COMMIT", ())
        self._begun = False

    def roll_back(self) -> None:
        """Undo it; a connection that was lost has done so."""
        self._begun = False
        if self._raw.info.transaction_status in (TransactionStatus.INTRANS, TransactionStatus.INERROR):
            self.execute("ROLLBACK", ())

    def close(self) -> None:
        """Close the connection and with it give up the right to write."""
        self._raw.close()

    @contextmanager
    def _cursor(self) -> Iterator[psycopg.Cursor[tuple[Value, ...]]]:
        if self._raw.closed and not self._begun:
            try:
                self._raw = self._open()
                self.session += 1
            except DatabaseInUse as error:
                raise StoreFault(str(error)) from error  # the server has not noticed yet that the old session is dead
        with typed_faults(), self._raw.cursor() as cursor:
            yield cursor

    def _open(self) -> psycopg.Connection[tuple[Value, ...]]:
        with typed_faults():
            raw = connect(conninfo_of(self._place), read_only=not self._writes, label=self._place.alias)
            try:
                _read_as_sqlite_does(raw)
                if self._writes:
                    _assert_durable(raw)
                    take_writer_lock(raw, self._place.name)
            except BaseException:
                raw.close()
                raise
        return raw


def conninfo_of(place: ServerPlace) -> str:
    """How the place's role comes to its database; without its password file the server has to let it in by `peer`."""
    parts = {key: value for key, value in conninfo_to_dict(place.url).items() if key not in ("user", "password")}
    if place.password_file.exists():
        parts["passfile"] = str(place.password_file)
    return make_conninfo("", **{**parts, **_TIMEOUTS, "dbname": place.name, "user": place.role_name})


def admin_conninfo(url: str, database: str = _ADMIN_DATABASE) -> str:
    """How the administrator comes to a database: by what the setting says, or libpq's own defaults."""
    return make_conninfo("", **{**conninfo_to_dict(url), **_TIMEOUTS, "dbname": database})


def connect(conninfo: str, *, label: str, read_only: bool = False) -> psycopg.Connection[tuple[Value, ...]]:
    """A session without a transaction of its own making; raises psycopg's errors."""
    options = {
        "default_transaction_read_only": "on" if read_only else "off",
        "synchronous_commit": "on",
        "lock_timeout": f"{LOCK_TIMEOUT_S}s",
        "TimeZone": "UTC",
    }
    return psycopg.connect(
        conninfo,
        autocommit=True,
        application_name=f"campus {label} {os.getpid()}",
        options=" ".join(f"-c {name}={value}" for name, value in options.items()),
    )


def take_writer_lock(raw: psycopg.Connection[tuple[Value, ...]], database: str) -> None:
    """Become the one session that writes this database, until it ends; raises `DatabaseInUse`."""
    raw.execute(f"SET lock_timeout = '{TAKEOVER_S}s'".encode())
    try:
        raw.execute(_TAKE_LOCK, (_WRITER_KEY,))
    except psycopg.errors.LockNotAvailable:
        pass
    else:
        raw.execute(f"SET lock_timeout = '{LOCK_TIMEOUT_S}s'".encode())
        return
    ((holder,),) = raw.execute(_LOCK_HOLDER.encode(), (_WRITER_KEY,)).fetchall()
    process = str(holder).rpartition(" ")[2] or "unknown"
    raise DatabaseInUse(f"{database} is written by process {process}; end it first")


def _assert_durable(raw: psycopg.Connection[tuple[Value, ...]]) -> None:
    for name, good in _DURABLE.items():
        ((value,),) = raw.execute(b"SELECT current_setting(%s)", (name,)).fetchall()
        if value not in good:
            raise StoreFault(f"the database server has {name} = {value!r}: a power cut loses what was acknowledged")


def _read_as_sqlite_does(raw: psycopg.Connection[tuple[Value, ...]]) -> None:
    raw.adapters.register_loader("numeric", _WholeLoader)  # what sum() makes of whole numbers
    raw.adapters.register_loader("date", _TextLoader)


class _WholeLoader(Loader):
    def load(self, data: Buffer) -> int:
        """The integer."""
        return int(bytes(data))


class _TextLoader(Loader):
    def load(self, data: Buffer) -> str:
        """As the server writes it: YYYY-MM-DD."""
        return bytes(data).decode()


@contextmanager
def typed_faults() -> Iterator[None]:
    """psycopg's exceptions as ours. The details are left out: they hold a row's values, and so card numbers."""
    try:
        yield
    except (psycopg.IntegrityError, psycopg.DataError) as error:
        raise RuleBroken(error.diag.constraint_name or _words(error)) from error
    except (psycopg.errors.SerializationFailure, psycopg.errors.DeadlockDetected) as error:
        raise Collision(_words(error)) from error
    except (psycopg.errors.UndefinedTable, psycopg.errors.InvalidCatalogName) as error:
        raise SchemaMissing(f"{_words(error)}; `campus-settlement init` makes it") from error
    except psycopg.Error as error:
        raise StoreFault(_words(error)) from error


def _words(error: psycopg.Error) -> str:
    return error.diag.message_primary or str(error).partition("\n")[0]
