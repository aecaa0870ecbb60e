"""A tiny term goes through the server, and every day of it is closed."""

from __future__ import annotations

import time
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import pytest

from settlement.__main__ import main as settlement
from settlement.settings import Home
from settlement.store.database import open_reader
from sim import term


def test_every_day_is_closed_with_all_of_its_taps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(term, "STUDENTS", 40)
    monkeypatch.setattr(term, "DAYS", 3)
    home = Home(tmp_path / "home")
    with redirect_stdout(StringIO()):
        assert settlement(["init", "--home", str(home.root)]) == 0
    [(total, spent)] = term.load(home, taps=90, seed=7, clock=time.monotonic)
    assert (total, spent.taps, spent.days) == (90, 90, 3)
    with open_reader(home.place("ledger"), "ledger") as db:
        assert db.number("SELECT count(*) FROM entry WHERE ttsn IS NOT NULL") == 90
        assert db.number("SELECT count(*) FROM day_close") == 3
        assert db.number("SELECT count(*) FROM suspense_item") == 0
    assert "90     3" in term.line(total, spent, home)
