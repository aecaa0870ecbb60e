"""One connection to one database, with typed rows and typed faults: all that the rest of the server sees of Django.

SQL is written with `%s` and holds on SQLite and PostgreSQL alike. A `Database` belongs to the thread that opened it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Final, Self, TypeVar

import django
from django.apps import apps
from django.conf import settings
from django.db import DatabaseError, IntegrityError, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations.executor import MigrationExecutor
from django.db.utils import ConnectionHandler

from settlement.store.lock import WriterLock
from settlement.store.router import app_of
from wire.errors import CampusError

Value = int | str | bytes | None
Row = TypeVar("Row")

BUSY_TIMEOUT_S: Final = 5  # only a reader's recovery or a checkpoint ever holds the file; longer than that is a fault
_SYNCHRONOUS_FULL: Final = 2

# In WAL with FULL a commit survives a power cut; the defaults lose acknowledged commits.
_WRITER_PRAGMAS: Final = (
    "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON; PRAGMA temp_store=MEMORY;"
)


class StoreFault(CampusError):
    """The database could not do what it was asked: disk full, damaged, locked. Nothing of the transaction was kept."""

    code = "store-fault"
    retryable = True


class RuleBroken(CampusError):
    """The database refused a row because of one of its rules; the text names the rule."""

    code = "store-rule-broken"


class SchemaMissing(CampusError):
    """The database was not made, or not migrated to this version."""

    code = "store-schema-missing"


def configure() -> None:
    """Make Django ready for tables and migrations, without web; may be called again."""
    if settings.configured:
        return
    settings.configure(
        INSTALLED_APPS=[
            "settlement.store.stream",
            "settlement.store.ledger",
            "settlement.store.onecard",
            "settlement.store.topup",
        ],
        DATABASES={"default": {}},
        DATABASE_ROUTERS=["settlement.store.router.OneAppEach"],
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
        USE_TZ=True,
    )
    django.setup()


class Database:
    """An open database; make one with `open_writer` or `open_reader`."""

    def __init__(self, connection: BaseDatabaseWrapper, lock: WriterLock | None) -> None:
        self._connection = connection
        self._lock = lock

    def execute(self, sql: str, params: Sequence[Value] = ()) -> int:
        """Run one statement; the number of rows it touched."""
        with _typed_faults(), self._connection.cursor() as cursor:
            cursor.execute(sql, params)
            return int(cursor.rowcount)

    def execute_many(self, sql: str, rows: Sequence[Sequence[Value]]) -> None:
        """Run one statement for each row of parameters."""
        with _typed_faults(), self._connection.cursor() as cursor:
            cursor.executemany(sql, rows)

    def query(self, sql: str, params: Sequence[Value] = (), *, into: Callable[..., Row]) -> list[Row]:
        """All rows, each given to `into` column by column."""
        with _typed_faults(), self._connection.cursor() as cursor:
            cursor.execute(sql, params)
            return [into(*row) for row in cursor.fetchall()]

    def number(self, sql: str, params: Sequence[Value] = ()) -> int:
        """The one integer that the query answers."""
        ((value,),) = self.query(sql, params, into=lambda value: (value,))
        assert isinstance(value, int), "the query answers one integer"
        return value

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Everything inside is committed together, or nothing is; no nesting."""
        # IMMEDIATE takes the write lock first: upgrading a read later could only fail.
        self.execute("BEGIN IMMEDIATE" if self._lock is not None else "BEGIN")
        try:
            yield
            self.execute("COMMIT")
        except BaseException:
            # A full disk makes SQLite roll back by itself; then there is nothing left to undo.
            raw = self._connection.connection
            if raw is not None and raw.in_transaction:
                self.execute("ROLLBACK")
            raise

    def close(self) -> None:
        """Close the connection and give up the right to write."""
        try:
            with _typed_faults():
                self._connection.close()
        finally:
            if self._lock is not None:
                self._lock.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def open_writer(path: Path, alias: str) -> Database:
    """The one writing connection; raises `DatabaseInUse`, `StoreFault` or `SchemaMissing`."""
    _require(path)
    lock = WriterLock(path)
    try:
        database = Database(_connect(path, alias, writes=True), lock)
    except BaseException:
        lock.close()
        raise
    try:
        _assert_durable(database)
        _require_schema(database, path, alias)
    except BaseException:
        database.close()
        raise
    return database


def open_reader(path: Path, alias: str) -> Database:
    """A connection that cannot write; raises `StoreFault` or `SchemaMissing`."""
    _require(path)
    database = Database(_connect(path, alias, writes=False), None)
    try:
        _require_schema(database, path, alias)
    except BaseException:
        database.close()
        raise
    return database


def migrate(path: Path, alias: str) -> bool:
    """Make the database or bring it to this version; False if it was there already. Takes the writer's lock for it."""
    configure()
    if path.exists():
        with closing(Database(_connect(path, alias, writes=False), None)) as reader:
            if not _pending(reader, alias):
                return False
    path.parent.mkdir(parents=True, exist_ok=True)
    with WriterLock(path):
        connection = _connect(path, alias, writes=True)
        connections[alias] = connection  # the executor looks its connection up by alias
        try:
            with _typed_faults():
                executor = MigrationExecutor(connection)
                executor.migrate([key for key in executor.loader.graph.leaf_nodes() if key[0] == app_of(alias)])
        finally:
            del connections[alias]
            connection.close()
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)  # the file's name must survive a power cut, too
    finally:
        os.close(folder)
    return True


def _pending(database: Database, alias: str) -> bool:
    label = app_of(alias)
    try:
        applied = database.query("SELECT name FROM django_migrations WHERE app = %s", (label,), into=str)
    except StoreFault:
        return True
    folder = Path(apps.get_app_config(label).path) / "migrations"
    return {file.stem for file in folder.glob("[0-9]*.py")} != set(applied)


def _require(path: Path) -> None:
    configure()
    if not path.is_file():
        raise SchemaMissing(f"there is no database {path}; `campus-settlement init` makes it")


def _require_schema(database: Database, path: Path, alias: str) -> None:
    if _pending(database, alias):
        raise SchemaMissing(
            f"{path.name} has other tables than this version; `campus-settlement init` brings it up to date"
        )


def _connect(path: Path, alias: str, *, writes: bool) -> BaseDatabaseWrapper:
    """Django's connection, apart from the global ones: a process may read what another thread of it writes."""
    configure()
    options = {
        "uri": True,
        "timeout": BUSY_TIMEOUT_S,
        "transaction_mode": "IMMEDIATE" if writes else "DEFERRED",
        "init_command": _WRITER_PRAGMAS if writes else "PRAGMA query_only=ON;",
    }
    name = f"{path.resolve().as_uri()}?mode={'rwc' if writes else 'ro'}"
    entry = {"ENGINE": "django.db.backends.sqlite3", "NAME": name, "OPTIONS": options}
    connection = ConnectionHandler({"default": {}, alias: entry})[alias]
    with _typed_faults():
        connection.ensure_connection()
    return connection


def _assert_durable(database: Database) -> None:
    (mode,) = database.query("PRAGMA journal_mode", into=str)
    synchronous, foreign_keys = database.number("PRAGMA synchronous"), database.number("PRAGMA foreign_keys")
    if (mode, synchronous, foreign_keys) != ("wal", _SYNCHRONOUS_FULL, 1):
        raise StoreFault(f"the database is in mode {mode}, synchronous {synchronous}, foreign keys {foreign_keys}")


@contextmanager
def _typed_faults() -> Iterator[None]:
    try:
        yield
    except IntegrityError as error:
        raise RuleBroken(str(error)) from error
    except DatabaseError as error:
        raise StoreFault(str(error)) from error
