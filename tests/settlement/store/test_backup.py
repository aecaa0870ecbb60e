"""A copy of a database holds what was committed, from either database and into either, rules and all."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from settlement.settings import Home
from settlement.store.backup import back_up, restore
from settlement.store.database import RuleBroken, SchemaMissing, StoreFault, open_reader, open_writer
from settlement.store.lock import DatabaseInUse
from settlement.store.router import ALIASES

if TYPE_CHECKING:
    from tests.settlement.conftest import FakeTill, StreamDriver
    from tests.settlement.pooled import PooledServer

ADD = "INSERT INTO card VALUES (1, '', '', 1)"
COUNT = "SELECT count(*) FROM card"
TAPS = "SELECT count(*) FROM tap"


def test_restored_stream_has_the_taps_of_the_backup_and_takes_the_others_again(
    canteen: StreamDriver, till: FakeTill, home: Home, tmp_path: Path
) -> None:
    canteen.enrol(till)
    till.tap()
    canteen.accept(first := till.batch())
    back_up(home.place("canteen"), "canteen", tmp_path / "canteen.db")
    till.tap()
    canteen.accept(second := till.batch(2))
    with pytest.raises(DatabaseInUse):
        restore(tmp_path / "canteen.db", home.place("canteen"), "canteen")
    canteen.db.close()
    for _ in range(2):  # one that was cut short is repeated
        restore(tmp_path / "canteen.db", home.place("canteen"), "canteen")
    with open_writer(home.place("canteen"), "canteen") as canteen.db:
        assert canteen.db.number(TAPS) == 1
        canteen.states.__init__()  # type: ignore[misc]  # the process that had read further has ended
        assert canteen.accept(first) == canteen.accept(first)
        canteen.accept(second)
        assert canteen.db.number(TAPS) == 2
        with pytest.raises(RuleBroken, match="batch_is_never_deleted"):
            canteen.db.execute("DELETE FROM batch")


def test_every_database_goes_from_files_to_a_server_and_back_unchanged(
    template_home: Path, pooled_server: PooledServer, tmp_path: Path, canteen: StreamDriver, till: FakeTill
) -> None:
    canteen.enrol(till)
    till.tap()
    till.tap(wrong_tac=True)
    canteen.accept(till.batch())
    with open_writer(canteen.home.place("onecard"), "onecard") as db:
        db.execute("INSERT INTO hotlist_entry VALUES (1, %s, %s, %s, 'lost', 5)", (b"\0\xff", b"\x01", True))
    pooled_server.reset()
    for alias in ALIASES:
        there, back, server = tmp_path / f"{alias}.db", tmp_path / f"{alias}-back.db", pooled_server.home.place(alias)
        back_up(canteen.home.place(alias), alias, there)
        restore(there, server, alias)
        back_up(server, alias, back)
        assert rows_of(back) == rows_of(there)
    with open_writer(pooled_server.home.place("canteen"), "canteen") as db:
        columns = "terminal, epoch, seq, raw, received_at_utc_s"
        db.execute(f"INSERT INTO fork ({columns}) VALUES ('', 1, 1, '', 1)")  # numbered on from what was put in


def rows_of(path: Path) -> dict[str, list[tuple[object, ...]]]:
    with closing(sqlite3.connect(path)) as db:
        tables = "SELECT name FROM sqlite_master WHERE type IN ('table', 'trigger') AND name NOT LIKE 'sqlite_%'"
        names = [name for (name,) in db.execute(tables)]
        rules = db.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger' ORDER BY name").fetchall()
        held = {name: db.execute(f"SELECT * FROM {name}").fetchall() for name in names if name not in dict(rules)}
    return {**held, "rules": rules, "django_migrations": []}


def test_copy_of_another_version_or_a_damaged_one_changes_nothing(home: Home, tmp_path: Path) -> None:
    copy = tmp_path / "onecard.db"
    back_up(home.place("onecard"), "onecard", copy)
    shutil.copy(copy, tmp_path / "damaged.db")
    with closing(sqlite3.connect(copy)) as db, db:
        db.execute("INSERT INTO django_migrations (app, name, applied) VALUES ('onecard', '0099_later', '')")
    with (tmp_path / "damaged.db").open("r+b") as file:
        file.write(b"no database at all" * 100)
    with open_writer(home.place("onecard"), "onecard") as db_:
        db_.execute(ADD)
    for wrong in (copy, tmp_path / "damaged.db", tmp_path / "missing.db"):
        with pytest.raises((SchemaMissing, StoreFault)):
            restore(wrong, home.place("onecard"), "onecard")
    with open_reader(home.place("onecard"), "onecard") as reader:
        assert reader.number(COUNT) == 1


def test_copy_is_taken_while_its_writer_is_within_a_transaction(home: Home, tmp_path: Path) -> None:
    with open_writer(home.place("onecard"), "onecard") as db, db.transaction():
        db.execute(ADD)
        back_up(home.place("onecard"), "onecard", tmp_path / "onecard.db")
    with open_reader(tmp_path / "onecard.db", "onecard") as copy:
        assert copy.number(COUNT) == 0
