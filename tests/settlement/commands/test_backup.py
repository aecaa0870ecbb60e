"""`backup` and `restore` as an operator runs them, and what they refuse."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from settlement.__main__ import main
from settlement.onecard.restoration import numbers_lost
from settlement.settings import Home
from settlement.store.database import open_reader, open_writer
from settlement.store.router import ALIASES
from sim.postgres import PostgresServer

ADD = "INSERT INTO card VALUES (%s, %s, '', 1)"
COUNT = "SELECT count(*) FROM card"
DAY_S = 86_400


def backup(home: Home, folder: Path, *arguments: str) -> int:
    return main(["backup", str(folder), "--home", str(home.root), *arguments])


def restore(home: Home, folder: Path, *names: str) -> int:
    return main(["restore", str(folder), *names, "--home", str(home.root)])


def cards(home: Home) -> int:
    with open_reader(home.place("onecard"), "onecard") as db:
        return db.number(COUNT)


def add_card(home: Home, number: int) -> None:
    with open_writer(home.place("onecard"), "onecard") as db:
        db.execute(ADD, (number, bytes((number,))))


def test_installation_is_as_of_the_backup_again(home: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    add_card(home, 1)
    assert backup(home, tmp_path / "b", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert sorted(told["sha256"]) == sorted(ALIASES)
    assert (tmp_path / "b").stat().st_mode & 0o777 == 0o700
    add_card(home, 2)
    assert restore(home, tmp_path / "b") == 0
    assert capsys.readouterr().out.count("as of the backup") == len(ALIASES)
    assert cards(home) == 1


def test_only_what_is_named_is_put_back(home: Home, tmp_path: Path) -> None:
    assert backup(home, tmp_path / "b") == 0
    add_card(home, 1)
    assert restore(home, tmp_path / "b", "canteen", "ledger") == 0
    assert cards(home) == 1
    assert restore(home, tmp_path / "b", "bakery") == 2


def test_registry_leaves_out_what_it_may_have_given_out_since_the_backup(home: Home, tmp_path: Path) -> None:
    assert backup(home, tmp_path / "b") == 0
    manifest = tmp_path / "b" / "backup.json"
    content = json.loads(manifest.read_bytes())
    content["taken_at_utc_s"] -= DAY_S  # it was last night's
    manifest.write_text(json.dumps(content))
    lost: list[int] = []
    for _ in range(2):
        with open_reader(home.place("onecard"), "onecard") as db:
            assert numbers_lost(db, given_at_utc_s=content["taken_at_utc_s"], each_s=3_600) == 0 or lost
        assert restore(home, tmp_path / "b") == 0
        with open_reader(home.place("onecard"), "onecard") as db:
            lost.append(numbers_lost(db, given_at_utc_s=content["taken_at_utc_s"] - 5, each_s=3_600))
            assert numbers_lost(db, given_at_utc_s=content["taken_at_utc_s"] + 2 * DAY_S, each_s=3_600) == 0
    assert lost == [25, 25]


def test_nothing_is_put_back_while_a_process_writes(
    home: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert backup(home, tmp_path / "b") == 0
    add_card(home, 1)
    with open_writer(home.place("tuition"), "tuition"):
        assert restore(home, tmp_path / "b", "onecard") == 1
    assert "[database-in-use]" in capsys.readouterr().err
    assert cards(home) == 1


def test_backup_that_is_not_whole_is_refused(home: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert backup(home, tmp_path / "b") == 0
    assert backup(home, tmp_path / "b") == 1
    with (tmp_path / "b" / "shops.db").open("ab") as file:
        file.write(b"x")
    assert restore(home, tmp_path / "b") == 1
    (tmp_path / "b" / "shops.db").unlink()
    assert restore(home, tmp_path / "b") == 1
    (tmp_path / "b" / "backup.json").write_text("{}")
    assert restore(home, tmp_path / "b") == 1
    assert capsys.readouterr().err.count("[backup-unusable]") == 4


@pytest.mark.slow
def test_new_installation_on_a_server_takes_over_one_from_files(home: Home, tmp_path: Path) -> None:
    server = PostgresServer.create()
    try:
        add_card(home, 1)
        assert backup(home, tmp_path / "b") == 0
        moved = Home(tmp_path / "moved", server.url)
        assert main(["init", "--home", str(moved.root), "--database", server.url]) == 0
        assert main(["init", "--home", str(moved.root)]) == 0
        assert restore(moved, tmp_path / "b") == 0
        assert cards(moved) == 1
        assert moved.settings.stat().st_mode & 0o777 == 0o600
        assert not list(moved.folder.glob("*.db"))
        assert main(["report", "--home", str(moved.root)]) == 0
    finally:
        server.remove()
