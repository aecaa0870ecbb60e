"""One connection to one database, with typed rows and typed faults: all that the rest of the server sees of it.

SQL is written with `%s` and holds on SQLite and PostgreSQL alike. A `Database` belongs to the thread that opened it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Final, Protocol, Self, TypeVar

import django
from django.apps import apps
from django.conf import settings
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations.executor import MigrationExecutor

from settlement.store import sqlite
from settlement.store.faults import Collision, RuleBroken, SchemaMissing, StoreFault
from settlement.store.place import Place
from settlement.store.postgres import PostgresConnection
from settlement.store.router import app_of
from settlement.store.sqlite import SqliteConnection, Value, sync_folder

__all__ = [
    "Collision",
    "Database",
    "Place",
    "RuleBroken",
    "SchemaMissing",
    "StoreFault",
    "Value",
    "configure",
    "migrate",
    "open_reader",
    "open_writer",
]

Row = TypeVar("Row")

_APPLIED: Final = "SELECT name FROM django_migrations WHERE app = %s"


class Connection(Protocol):
    """What differs between the two databases. Raises `StoreFault` and `RuleBroken`."""

    def execute(self, sql: str, params: Sequence[Value]) -> int:
        """Run one statement; the number of rows it touched."""

    def execute_many(self, sql: str, rows: Sequence[Sequence[Value]]) -> None:
        """Run one statement for each row of parameters."""

    def append(self, table: str, columns: Sequence[str], rows: Iterable[Sequence[Value]]) -> None:
        """Add rows."""

    def fetch(self, sql: str, params: Sequence[Value]) -> list[tuple[Value, ...]]:
        """All rows."""

    def begin(self) -> None:
        """Begin a transaction: of the one writer, or over one state of the database."""

    def commit(self) -> None:
        """Keep it, durably."""

    def roll_back(self) -> None:
        """Undo it, if it is not undone already."""

    @property
    def session(self) -> int:
        """Another number whenever the connection had to be made anew: the database may be another one since then."""

    def close(self) -> None:
        """Close, and give up the right to write."""


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
            "settlement.store.office",
        ],
        DATABASES={"default": {}},
        DATABASE_ROUTERS=["settlement.store.router.OneAppEach"],
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
        USE_TZ=True,
    )
    django.setup()


class Database:
    """An open database; make one with `open_writer` or `open_reader`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._grouped = False

    def execute(self, sql: str, params: Sequence[Value] = ()) -> int:
        """Run one statement; the number of rows it touched."""
        return self._connection.execute(sql, params)

    def execute_many(self, sql: str, rows: Sequence[Sequence[Value]]) -> None:
        """Run one statement for each row of parameters."""
        self._connection.execute_many(sql, rows)

    def append(self, table: str, columns: Sequence[str], rows: Iterable[Sequence[Value]]) -> None:
        """Add rows to a table, as fast as the database takes them; each has the values of `columns` in their order."""
        self._connection.append(table, columns, rows)

    def query(self, sql: str, params: Sequence[Value] = (), *, into: Callable[..., Row]) -> list[Row]:
        """All rows, each given to `into` column by column."""
        return [into(*row) for row in self._connection.fetch(sql, params)]

    def number(self, sql: str, params: Sequence[Value] = ()) -> int:
        """The one integer that the query answers."""
        ((value,),) = self._connection.fetch(sql, params)
        assert isinstance(value, int), "the query answers one integer"
        return value

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Everything inside is committed together, or nothing is; no nesting. After a fault nothing more runs in it.

        Within a `group` it is undone by itself, but kept only when the group is.
        """
        if self._grouped:
            with self._undone_alone(BaseException):
                yield
            return
        self._connection.begin()
        try:
            yield
            self._connection.commit()
        except BaseException:
            self._connection.roll_back()
            raise

    @contextmanager
    def group(self) -> Iterator[None]:
        """All transactions inside are committed together, with one sync; nothing of them is true before this ends.

        After a `StoreFault` in one of them the group is to be left by it: nothing of any is kept then.
        """
        with self.transaction():
            self._grouped = True
            try:
                yield
            finally:
                self._grouped = False

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        """Inside a transaction: what a rule refuses undoes all that is inside of this, and the transaction goes on."""
        with self._undone_alone(RuleBroken):
            yield

    @contextmanager
    def _undone_alone(self, kind: type[BaseException]) -> Iterator[None]:
        self.execute("SAVEPOINT here")
        try:
            yield
        except StoreFault:
            raise  # the database has undone more than this, or cannot say
        except kind:
            self.execute("ROLLBACK TO SAVEPOINT here")
            raise
        self.execute("RELEASE SAVEPOINT here")

    @property
    def session(self) -> int:
        """Another number whenever the connection had to be made anew: what was read before may not hold any more."""
        return self._connection.session

    def close(self) -> None:
        """Close the connection and give up the right to write."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def open_writer(place: Place, alias: str) -> Database:
    """The one writing connection; raises `DatabaseInUse`, `StoreFault` or `SchemaMissing`."""
    return _open(place, alias, writes=True)


def open_reader(place: Place, alias: str) -> Database:
    """A connection that cannot write; raises `StoreFault` or `SchemaMissing`."""
    return _open(place, alias, writes=False)


def _open(place: Place, alias: str, *, writes: bool) -> Database:
    configure()
    if not isinstance(place, Path):
        database = Database(PostgresConnection(place, writes=writes))
    elif place.is_file():
        database = Database(SqliteConnection(place, alias, writes=writes))
    else:
        raise SchemaMissing(f"there is no database {place}; `campus-settlement init` makes it")
    try:
        if is_pending(database, alias):
            raise SchemaMissing(
                f"{place.name} has other tables than this version; `campus-settlement init` brings it up to date"
            )
    except BaseException:
        database.close()
        raise
    return database


def migrate(path: Path, alias: str) -> bool:
    """Make the file or bring it to this version; False if it was there already. Takes the writer's lock for it."""
    configure()
    if path.exists():
        with closing(Database(SqliteConnection(path, alias, writes=False))) as reader:
            if not is_pending(reader, alias):
                return False
    path.parent.mkdir(parents=True, exist_ok=True)
    with closing(SqliteConnection(path, alias, writes=True)) as connection, sqlite.typed_faults():
        run_migrations(connection.wrapper, alias)
    sync_folder(path.parent)
    return True


def run_migrations(connection: BaseDatabaseWrapper, alias: str) -> None:
    """Bring a database's tables to this version, by Django; raises Django's errors."""
    connections[alias] = connection  # the executor looks its connection up by alias
    try:
        executor = MigrationExecutor(connection)
        executor.migrate([key for key in executor.loader.graph.leaf_nodes() if key[0] == app_of(alias)])
    finally:
        del connections[alias]


def is_pending(database: Database, alias: str) -> bool:
    """Whether the tables are of another version, or not there."""
    try:
        applied = database.query(_APPLIED, (app_of(alias),), into=str)
    except SchemaMissing:
        return True
    except StoreFault as error:
        if "no such table" in str(error):  # SQLite has no code of its own for it
            return True
        raise
    return migrations_of(alias) != set(applied)


def migrations_of(alias: str) -> set[str]:
    """The names of the steps to this version's tables."""
    folder = Path(apps.get_app_config(app_of(alias)).path) / "migrations"
    return {file.stem for file in folder.glob("[0-9]*.py")}
