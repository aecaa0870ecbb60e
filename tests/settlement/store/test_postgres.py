"""What only a PostgreSQL server can do to us: roles, lost connections, another writer, settings that lose commits."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest

from settlement.settings import Home
from settlement.store.database import Database, RuleBroken, SchemaMissing, StoreFault, open_reader, open_writer
from settlement.store.lock import DatabaseInUse
from settlement.store.place import ServerPlace
from settlement.store.postgres import admin_conninfo, conninfo_of
from settlement.store.router import ALIASES
from settlement.store.server import make_databases, readers_of

if TYPE_CHECKING:
    from tests.settlement.pooled import PooledServer

ADD = "INSERT INTO card VALUES (%s, %s, '', 1)"
COUNT = "SELECT count(*) FROM card"


@pytest.fixture
def server(pooled_server: PooledServer) -> Home:
    """Databases as `init` makes them, on the session's server."""
    pooled_server.reset()
    return pooled_server.home


@pytest.fixture
def registry(server: Home) -> Iterator[Database]:
    with open_writer(server.place("onecard"), "onecard") as db:
        yield db


def place(home: Home, alias: str, role: str | None = None) -> ServerPlace:
    found = home.place(alias, role=role)
    assert isinstance(found, ServerPlace)
    return found


@pytest.mark.parametrize("alias", ALIASES)
def test_role_reads_what_it_needs_and_writes_nothing_but_its_own(server: Home, alias: str) -> None:
    for role in ALIASES:
        seen = place(server, alias, role)
        if role != alias and role not in readers_of(alias):
            with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
                psycopg.connect(conninfo_of(seen))
            continue
        with closing(psycopg.connect(conninfo_of(seen), autocommit=True)) as raw:
            tables = [name for (name,) in raw.execute(b"SELECT tablename FROM pg_tables WHERE schemaname = 'public'")]
            assert tables
            for table in tables:
                raw.execute(f"SELECT 1 FROM {table} LIMIT 1".encode())
                forbidden = [f"TRUNCATE {table}", f"ALTER TABLE {table} DISABLE TRIGGER ALL", f"DROP TABLE {table}"]
                if role != alias or table == "django_migrations":
                    forbidden += [f"DELETE FROM {table}", f"INSERT INTO {table} DEFAULT VALUES"]
                for sql in (*forbidden, "CREATE TABLE mine (id int)", "CREATE TEMP TABLE mine (id int)"):
                    with pytest.raises(psycopg.errors.InsufficientPrivilege):
                        raw.execute(sql.encode())


def test_password_files_are_for_their_owner_alone_and_the_setting_holds_none(server: Home) -> None:
    for alias in ALIASES:
        found = place(server, alias)
        assert found.password_file.stat().st_mode & 0o777 == 0o600
        assert found.role_name in conninfo_of(found)
        assert "admin" not in conninfo_of(found)
    wrong = ServerPlace(server.database_url or "", "ledger", "ledger", Path("/nonexistent"))
    with pytest.raises(StoreFault, match="password"):
        open_reader(wrong, "ledger")


def test_init_again_changes_nothing_and_mends_what_is_missing(server: Home) -> None:
    places = [place(server, alias) for alias in ALIASES]
    assert make_databases(places) == []
    with closing(psycopg.connect(admin_conninfo(places[0].url, places[0].name), autocommit=True)) as admin:
        admin.execute(f"REVOKE CONNECT ON DATABASE {places[0].name} FROM {places[0].role_name}".encode())
    assert make_databases(places) == []
    open_reader(places[0], places[0].alias).close()


def test_second_writer_is_told_who_writes_and_a_killed_ones_lock_goes_with_its_session(server: Home) -> None:
    with (
        open_writer(server.place("onecard"), "onecard"),
        pytest.raises(DatabaseInUse, match=f"campus_onecard is written by process {os.getpid()}"),
    ):
        open_writer(server.place("onecard"), "onecard")
    open_writer(server.place("onecard"), "onecard").close()


def test_database_of_another_version_or_none_is_refused(server: Home, pooled_server: PooledServer) -> None:
    admin = pooled_server.admins["onecard"]
    admin.execute(b"INSERT INTO django_migrations (app, name, applied) VALUES ('onecard', '0099_later', now())")
    try:
        for open_it in (open_reader, open_writer):
            with pytest.raises(SchemaMissing, match="campus_onecard has other tables"):
                open_it(server.place("onecard"), "onecard")
    finally:
        admin.execute(b"DELETE FROM django_migrations WHERE name = '0099_later'")
    nowhere = ServerPlace(pooled_server.server.url.replace("/campus?", "/nowhere?"), "ledger", "ledger", server.folder)
    with pytest.raises(StoreFault):
        open_reader(nowhere, "ledger")


def test_reader_cannot_write_and_sees_one_state_in_a_transaction(server: Home, registry: Database) -> None:
    with open_reader(server.place("onecard"), "onecard") as reader:
        with reader.transaction():
            assert reader.number(COUNT) == 0
            registry.execute(ADD, (1, b"x"))
            assert reader.number(COUNT) == 0
        assert reader.number(COUNT) == 1
        with pytest.raises(StoreFault, match="read-only"):
            reader.execute(ADD, (2, b"y"))


def test_broken_rule_is_told_by_its_name_without_the_rows_values(registry: Database) -> None:
    columns = ("id", "issuer", "asn", "registered_at_utc_s")
    registry.append("card", columns, [(1, b"\x12", b"\x34", 5), (2, b"\x12", b"\x35", 6)])
    with pytest.raises(RuleBroken) as told:
        registry.append("card", columns, [(3, b"\x12", b"\x34", 7)])
    assert str(told.value) == "a_card_is_registered_once"
    read = "SELECT issuer, sum(registered_at_utc_s), date '2025-01-01' FROM card GROUP BY issuer"
    assert registry.query(read, into=lambda *row: row) == [(b"\x12", 11, "2025-01-01")]


@pytest.mark.parametrize(("what", "reason"), [(1, "nul \0 within"), (2**40, "lost"), (1, None)])
def test_value_that_the_column_cannot_hold_is_a_broken_rule_and_not_tried_again(
    registry: Database, what: int, reason: str | None
) -> None:
    with pytest.raises(RuleBroken):
        registry.execute("INSERT INTO hotlist_entry VALUES (%s, '', '', true, %s, 1)", (what, reason))


def lose_connections(pooled: PooledServer) -> None:
    pooled.admins["onecard"].execute(
        b"SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
        b" WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )


def test_lost_connection_is_a_fault_and_heals_at_the_next_transaction(
    registry: Database, pooled_server: PooledServer
) -> None:
    lose_connections(pooled_server)
    with pytest.raises(StoreFault) as told:
        registry.execute(ADD, (1, b"x"))
    assert told.value.retryable
    with registry.transaction():
        registry.execute(ADD, (1, b"x"))
    assert registry.number(COUNT) == 1


def test_connection_lost_within_a_transaction_keeps_nothing_and_never_goes_on_in_the_middle(
    registry: Database, pooled_server: PooledServer
) -> None:
    def write() -> None:
        with registry.transaction():
            registry.execute(ADD, (1, b"x"))
            lose_connections(pooled_server)
            with suppress(StoreFault):
                registry.execute(ADD, (2, b"y"))
            registry.execute(ADD, (3, b"z"))

    with pytest.raises(StoreFault):
        write()
    assert registry.number(COUNT) == 0


def test_writer_that_lost_its_place_to_another_is_refused_until_that_one_ends(
    server: Home, registry: Database, pooled_server: PooledServer
) -> None:
    lose_connections(pooled_server)
    with pytest.raises(StoreFault):
        registry.execute(ADD, (1, b"x"))
    with open_writer(server.place("onecard"), "onecard") as other:
        other.execute(ADD, (1, b"x"))
        with pytest.raises(StoreFault, match="written by process"):
            registry.execute(ADD, (9, b"9"))
    registry.execute(ADD, (2, b"y"))
    assert registry.number(COUNT) == 2


@pytest.mark.slow
def test_server_that_was_killed_and_started_again_is_written_on_and_has_what_was_committed(
    own_server: PooledServer,
) -> None:
    with open_writer(own_server.home.place("onecard"), "onecard") as db:
        for number, how in enumerate((signal.SIGINT, signal.SIGKILL, signal.SIGQUIT)):
            db.execute(ADD, (number, bytes((number,))))
            own_server.server.stop(how)
            for _ in range(2):
                with pytest.raises(StoreFault):
                    db.execute(ADD, (9, b"lost"))
            own_server.server.start()
            assert db.number(COUNT) == number + 1


@pytest.mark.slow
@pytest.mark.parametrize("setting", ["fsync", "full_page_writes"])
def test_server_that_would_lose_what_was_acknowledged_is_not_used(own_server: PooledServer, setting: str) -> None:
    own_server.server.stop()
    own_server.server.start(**{setting: "off"})
    with pytest.raises(StoreFault, match=f"{setting} = 'off'"):
        open_writer(own_server.home.place("onecard"), "onecard")
