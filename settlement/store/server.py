"""Databases, roles and rights on a PostgreSQL server, made by its administrator; what is there already stays.

A role owns nothing: it may read and write the rows of its own database, and can neither switch off a trigger nor make
a table. Left out: how a role opens its database (`settlement.store.postgres`).
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from typing import Final

import psycopg
from django.db.utils import ConnectionHandler
from psycopg.conninfo import conninfo_to_dict
from psycopg.sql import SQL, Composed, Identifier, Literal

from settlement.secretfile import write_secret
from settlement.store import sqlite
from settlement.store.database import configure, migrations_of, run_migrations
from settlement.store.place import ServerPlace
from settlement.store.postgres import admin_conninfo, connect, take_writer_lock, typed_faults
from settlement.store.router import LEDGER, OFFICE, ONECARD, STREAM_ALIASES, TOPUP, app_of
from settlement.store.sqlite import Value

_Session = psycopg.Connection[tuple[Value, ...]]

_HAS_ROLE: Final = b"SELECT 1 FROM pg_roles WHERE rolname = %s"
_HAS_DATABASE: Final = b"SELECT 1 FROM pg_database WHERE datname = %s"
_APPLIED: Final = b"SELECT name FROM django_migrations WHERE app = %s"
_FLAGS: Final = b"""
    SELECT column_name FROM information_schema.columns WHERE table_name = %s AND data_type = 'boolean'
"""
_UNNUMBERED: Final = b"""
    SELECT table_name FROM information_schema.columns JOIN information_schema.tables USING (table_schema, table_name)
    WHERE table_schema = 'public' AND column_name = 'id' AND data_type IN ('integer', 'bigint') AND is_identity = 'NO'
    AND table_type = 'BASE TABLE'
"""

_NUMBERED: Final = b"""
    SELECT table_name FROM information_schema.columns
    WHERE table_schema = 'public' AND column_name = 'id' AND is_identity = 'YES' AND table_name <> 'django_migrations'
"""


def readers_of(alias: str) -> list[str]:
    """The other roles that may read this database: the ledger all it pulls from, the desks the card registry,
    the top-up desk the ledger, for what it owes to holders.
    """
    if alias == ONECARD:
        return [LEDGER, TOPUP, *sorted(STREAM_ALIASES)]
    if alias == LEDGER:
        return [TOPUP]
    return [LEDGER] if alias in STREAM_ALIASES or alias in (TOPUP, OFFICE) else []


def make_databases(places: Sequence[ServerPlace]) -> list[str]:
    """Make roles, databases and tables, or bring them to this version; the aliases of those that were not there.

    Raises `StoreFault`, or `DatabaseInUse` for one whose tables are of another version while a process writes it.
    """
    configure()
    made = [place.alias for place in places if _make_database(place)]
    for place in places:  # when all roles are there
        _grant(place)
    return made


def _make_database(place: ServerPlace) -> bool:
    made = _make_role(place)
    with typed_faults(), closing(connect(admin_conninfo(place.url), label="init")) as admin:
        if admin.execute(_HAS_DATABASE, (place.name,)).fetchone() is None:
            # The C locale sorts by bytes, as SQLite does, and no update of the system changes it under an index.
            admin.execute(
                SQL("CREATE DATABASE {} TEMPLATE template0 ENCODING 'UTF8' LOCALE 'C'").format(Identifier(place.name))
            )
            made = True
    with typed_faults(), closing(connect(admin_conninfo(place.url, place.name), label="init")) as admin:
        if _applied(admin, place) != sorted(migrations_of(place.alias)):
            take_writer_lock(admin, place.name)
            _migrate(place)
            made = True
        _number_rows(admin)
    return made


def _grant(place: ServerPlace) -> None:
    """Give the rights on one database, and take all others; again without harm."""
    database, owner = Identifier(place.name), Identifier(place.role_name)
    readers = [Identifier(_as(place, role).role_name) for role in readers_of(place.alias)]
    statements: list[Composed] = [
        SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(database),
        SQL("REVOKE ALL ON SCHEMA public FROM PUBLIC").format(),
        SQL("REVOKE ALL ON ALL TABLES IN SCHEMA public FROM PUBLIC").format(),
        SQL("GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {}").format(owner),
        SQL("REVOKE INSERT, UPDATE, DELETE ON django_migrations FROM {}").format(owner),
        *(SQL("GRANT SELECT ON ALL TABLES IN SCHEMA public TO {}").format(role) for role in readers),
    ]
    for role in (owner, *readers):
        statements.append(SQL("GRANT CONNECT ON DATABASE {} TO {}").format(database, role))
        statements.append(SQL("GRANT USAGE ON SCHEMA public TO {}").format(role))
    with (
        typed_faults(),
        closing(connect(admin_conninfo(place.url, place.name), label="init")) as admin,
        admin.transaction(),
    ):
        for statement in statements:
            admin.execute(statement)


def replace_rows(
    place: ServerPlace, tables: Mapping[str, Sequence[str]], rows_of: Callable[[str], Iterable[Sequence[Value]]]
) -> None:
    """Put other rows in the place of all, in one transaction, past the rules; each as long as the table's columns.

    Raises `DatabaseInUse` while a process writes there, `StoreFault`, `RuleBroken`.
    """
    with typed_faults(), closing(connect(admin_conninfo(place.url, place.name), label="restore")) as admin:
        take_writer_lock(admin, place.name)
        with admin.transaction(), admin.cursor() as cursor:
            names = [Identifier(table) for table in tables]
            for name in names:
                cursor.execute(SQL("ALTER TABLE {} DISABLE TRIGGER USER").format(name))
            cursor.execute(SQL("TRUNCATE {}").format(SQL(", ").join(names)))
            for table, columns in tables.items():
                flags = {str(name) for (name,) in cursor.execute(_FLAGS, (table,)).fetchall()}
                listed = SQL(", ").join(map(Identifier, columns))
                with cursor.copy(SQL("COPY {} ({}) FROM STDIN").format(Identifier(table), listed)) as copy:
                    for row in rows_of(table):
                        cells = zip(columns, row, strict=True)
                        copy.write_row([bool(cell) if name in flags else cell for name, cell in cells])
            cursor.execute(b"SET CONSTRAINTS ALL IMMEDIATE")
            for name in names:
                cursor.execute(SQL("ALTER TABLE {} ENABLE TRIGGER USER").format(name))
            _number_on(admin)
            for name in names:  # until the server looks by itself it would plan for empty tables
                cursor.execute(SQL("ANALYZE {}").format(name))


def _make_role(place: ServerPlace) -> bool:
    made = not place.password_file.exists()
    if made:
        place.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_secret(place.password_file, f"*:*:*:{place.role_name}:{secrets.token_hex(24)}\n".encode())
    password = place.password_file.read_text(encoding="ascii").strip().rpartition(":")[2]
    with typed_faults(), closing(connect(admin_conninfo(place.url), label="init")) as admin:
        there = admin.execute(_HAS_ROLE, (place.role_name,)).fetchone() is not None
        # What the server gets, and may log, is the proof of the password, not the password.
        verifier = admin.pgconn.encrypt_password(password.encode(), place.role_name.encode(), b"scram-sha-256")
        admin.execute(
            SQL("{} ROLE {} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOINHERIT PASSWORD {}").format(
                SQL("ALTER" if there else "CREATE"), Identifier(place.role_name), Literal(verifier.decode())
            )
        )
    return made or not there


def _applied(admin: _Session, place: ServerPlace) -> list[str]:
    if admin.execute(b"SELECT to_regclass('django_migrations') IS NULL").fetchone() == (True,):
        return []
    return sorted(str(name) for (name,) in admin.execute(_APPLIED, (app_of(place.alias),)).fetchall())


def _migrate(place: ServerPlace) -> None:
    options = conninfo_to_dict(admin_conninfo(place.url, place.name))
    entry = {"ENGINE": "django.db.backends.postgresql", "NAME": options.pop("dbname"), "OPTIONS": options}
    connection = ConnectionHandler({"default": {}, place.alias: entry})[place.alias]
    try:
        with sqlite.typed_faults():
            run_migrations(connection, place.alias)
    finally:
        connection.close()


def _number_rows(admin: _Session) -> None:
    """SQLite numbers an integer key by itself; PostgreSQL has to be told to."""
    for (table,) in admin.execute(_UNNUMBERED).fetchall():
        name = Identifier(str(table))
        admin.execute(SQL("ALTER TABLE {} ALTER COLUMN id ADD GENERATED BY DEFAULT AS IDENTITY").format(name))
    _number_on(admin)


def _number_on(admin: _Session) -> None:
    """Where rows have numbers that were not drawn."""
    for (table,) in admin.execute(_NUMBERED).fetchall():
        name = Identifier(str(table))
        ((last,),) = admin.execute(SQL("SELECT coalesce(max(id), 0) FROM {}").format(name)).fetchall()
        assert isinstance(last, int), "a number"
        admin.execute(SQL("ALTER TABLE {} ALTER COLUMN id RESTART WITH {}").format(name, Literal(last + 1)))


def _as(place: ServerPlace, role: str) -> ServerPlace:
    return ServerPlace(place.url, place.alias, role, place.folder)
