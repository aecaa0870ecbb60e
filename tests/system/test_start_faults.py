"""The real till on a pseudo-terminal when it cannot start: the screen says why, and it starts when it can."""

from __future__ import annotations

import os
import select
import shutil
import time
from pathlib import Path

import pytest

from benchmarks.start import make_home, read_until_shown, till_on_screen

PATIENCE_S = 30.0


@pytest.fixture
def home(tmp_path: Path) -> Path:
    make_home(tmp_path / "home", taps=5)
    return tmp_path / "home"


def read_until(master: int, text: str) -> None:
    """Read the screen until it has `text`."""
    ends_s, seen = time.monotonic() + PATIENCE_S, b""
    while text.encode() not in seen:
        ready, _, _ = select.select([master], [], [], max(ends_s - time.monotonic(), 0))
        assert ready, f"{text!r} was not shown; the end of what was: {seen[-2_000:]!r}"
        seen += os.read(master, 65_536)


def test_damaged_journal_is_told_and_left_as_it_is_until_a_person_acts(home: Path, tmp_path: Path) -> None:
    journal = home / "terminal" / "journal.db"
    whole = tmp_path / "whole.db"
    shutil.copy(journal, whole)
    with journal.open("r+b") as file:
        file.seek(journal.stat().st_size - 3_000)
        file.write(bytes(2_000))
    damaged = journal.read_bytes()
    with till_on_screen(home) as (_, master):
        read_until(master, "411")
        assert journal.read_bytes() == damaged
        shutil.copy(whole, tmp_path / "back.db")
        (tmp_path / "back.db").replace(journal)
        read_until_shown(master)


@pytest.mark.slow
def test_terminal_that_is_not_enrolled_yet_starts_once_it_is(home: Path, tmp_path: Path) -> None:
    uplink = home / "terminal" / "uplink.db"
    uplink.rename(tmp_path / "uplink.db")
    with till_on_screen(home) as (_, master):
        read_until(master, "402")
        (tmp_path / "uplink.db").rename(uplink)
        read_until_shown(master)


def test_configuration_that_is_wrong_is_told(home: Path) -> None:
    (home / "terminal" / "terminal.toml").write_text("[reader]\n")
    with till_on_screen(home) as (_, master):
        read_until(master, "403")
