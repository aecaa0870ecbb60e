"""One PostgreSQL server for all tests of a session; each finds the databases as `init` makes them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import psycopg

from settlement.settings import Home
from settlement.store.database import Database, Value
from settlement.store.place import ServerPlace
from settlement.store.postgres import PostgresConnection, admin_conninfo
from settlement.store.router import ALIASES
from settlement.store.server import make_databases
from sim.postgres import PostgresServer

_END_OTHERS = (
    b"SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    b" WHERE datname = current_database() AND pid <> pg_backend_pid()"
)
_RESTARTS = (
    b"SELECT format('ALTER TABLE %%I ALTER COLUMN id RESTART', table_name) FROM information_schema.columns"
    b" WHERE table_schema = 'public' AND table_name = %s AND column_name = 'id' AND is_identity = 'YES'"
)
_MENDS = b"""
    SELECT CASE WHEN tgname LIKE 'tampered_%' THEN format('DROP TRIGGER %I ON %s', tgname, tgrelid::regclass)
                ELSE format('ALTER TABLE %s ENABLE TRIGGER %I', tgrelid::regclass, tgname) END
    FROM pg_trigger WHERE NOT tgisinternal AND (tgname LIKE 'tampered_%' OR tgenabled = 'D')
"""


class TamperedDatabase(Database):
    """Lets tests tamper with the rules in SQLite's words; on a server that is the administrator's."""

    def __init__(self, place: ServerPlace, admin: psycopg.Connection[tuple[str, ...]]) -> None:
        super().__init__(PostgresConnection(place, writes=True))
        self._admin = admin

    def execute(self, sql: str, params: Sequence[Value] = ()) -> int:
        match sql.split():
            case ["CREATE", "TRIGGER", rule, when, event, "ON", table, *_]:
                words = re.findall("'(.*?)'", sql)[0]
                made = (
                    f"CREATE OR REPLACE FUNCTION tampered_{rule}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
                    f" RAISE EXCEPTION '{words}' USING ERRCODE = 'integrity_constraint_violation'; END $$;"
                    f" CREATE TRIGGER tampered_{rule} {when} {event} ON {table} EXECUTE FUNCTION tampered_{rule}()"
                )
                self._admin.execute(made.encode())
                return 0
            case ["DROP", "TRIGGER", rule]:
                for name, statement in (
                    (f"tampered_{rule}", "DROP TRIGGER {0} ON {1}"),
                    (rule, "ALTER TABLE {1} DISABLE TRIGGER {0}"),
                ):
                    asked = "SELECT tgrelid::regclass::text FROM pg_trigger WHERE tgname = %s"
                    for (table,) in self._admin.execute(asked, (name,)).fetchall():
                        self._admin.execute(statement.format(name, table).encode())
                return 0
        return super().execute(re.sub(r"\bx'([0-9a-f]*)'", r"'\\x\1'::bytea", sql), params)


class PooledServer:
    """A PostgreSQL server for all tests of a session; each finds the databases as `init` makes them."""

    def __init__(self, server: PostgresServer, folder: Path) -> None:
        self.server = server
        self.home = Home(folder, server.url)
        self.passwords = folder / "settlement" / "database"
        places = [self.home.place(alias) for alias in ALIASES]
        self.places = [place for place in places if isinstance(place, ServerPlace)]
        make_databases(self.places)
        self.admins = {place.alias: self._admin(place) for place in self.places}
        self._empty = {alias: self._tables(alias, filled=False) for alias in self.admins}
        self._filled = {alias: self._tables(alias, filled=True) for alias in self.admins}
        for alias, admin in self.admins.items():
            copies = [f"CREATE TABLE template.{table} AS TABLE {table}" for table in self._filled[alias]]
            admin.execute("; ".join(["CREATE SCHEMA template", *copies]).encode())

    def reset(self) -> None:
        """Drop every other connection, every row that a test made, and what it did to the rules."""
        for alias, admin in self.admins.items():
            admin.execute(_END_OTHERS)
            made = self._empty[alias] & self._tables(alias, filled=True)
            statements = [f"DELETE FROM {table}" for table in made]
            for table in self._filled[alias]:  # rows that came with the tables
                asked = f"SELECT EXISTS (TABLE {table} EXCEPT TABLE template.{table})"
                if any(differs for (differs,) in admin.execute(asked.encode())):
                    statements += [f"DELETE FROM {table}", f"INSERT INTO {table} TABLE template.{table}"]
            statements += [sql for table in made for (sql,) in admin.execute(_RESTARTS, (table,)).fetchall()]
            statements += [sql for (sql,) in admin.execute(_MENDS).fetchall()]
            if statements:
                # As a replica applies them: without triggers.
                admin.execute("; ".join(["SET session_replication_role = replica", *statements]).encode())
                admin.execute(b"RESET session_replication_role")

    def close(self) -> None:
        for admin in self.admins.values():
            admin.close()
        self.server.remove()

    def _admin(self, place: ServerPlace) -> psycopg.Connection[tuple[str, ...]]:
        return psycopg.connect(admin_conninfo(place.url, place.name), autocommit=True)

    def _tables(self, alias: str, *, filled: bool) -> set[str]:
        admin = self.admins[alias]
        tables = [
            str(name) for (name,) in admin.execute(b"SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        ]
        asked = " UNION ALL ".join(f"SELECT '{name}', EXISTS (SELECT 1 FROM {name})" for name in tables)
        return {str(name) for name, has_rows in admin.execute(asked.encode()) if bool(has_rows) == filled}
