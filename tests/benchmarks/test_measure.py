"""The stopwatch's arithmetic and the floors."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from benchmarks.measure import PAGE, BareFile, BareServer, BareTill, middle_and_p95, table


def test_middle_and_p95_of_a_hundred() -> None:
    assert middle_and_p95([float(value) for value in range(101)]) == pytest.approx((50.0, 95.0))


def test_table_puts_names_to_the_left_and_numbers_to_the_right() -> None:
    assert table([("what", "ms"), ("a", "1.25")]) == "what    ms\na     1.25"


def test_bare_commits_leave_their_rows(tmp_path: Path) -> None:
    with closing(BareTill(tmp_path / "till")) as till, closing(BareServer(tmp_path / "server")) as server:
        till.commit()
        till.commit()
        server.commit(5)
    for name, rows in (("till", 2), ("server", 5)):
        with closing(sqlite3.connect(tmp_path / name)) as db:
            assert db.execute("SELECT count(*) FROM bare").fetchone() == (rows,)
            assert db.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_bare_file_grows_by_pages(tmp_path: Path) -> None:
    with closing(BareFile(tmp_path / "file")) as file:
        file.append()
        file.append()
    assert (tmp_path / "file").read_bytes() == PAGE * 2
