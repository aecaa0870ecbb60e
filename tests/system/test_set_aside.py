"""A damaged journal is set aside, what it proves comes to the server, and the terminal sells on in a new epoch."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from sim.campus import TERMINAL, Campus
from sim.process import ChildFailed
from sim.report import uplink_status, wait_until_booked
from sim.taps import run_taps

SENT, DAMAGED = 4, 8


def campus_in(home: Path) -> Campus:
    return Campus(home, monotonic_s=time.monotonic, say=print)


def sell(campus: Campus, count: int) -> None:
    run_taps(campus, count=count, seed=5, progress=lambda done, tally: None)


def sell_and_kill_the_daemon(home: Path) -> None:
    """Four taps that the server has, and more that the daemon never sees."""
    with campus_in(home) as campus:
        sell(campus, SENT)
        assert wait_until_booked(campus, monotonic_s=time.monotonic)
        [daemon] = [child for child in campus.children if child.name == "syncd"]
        os.kill(daemon.pid, signal.SIGSTOP)
        try:
            sell(campus, 8)
        finally:
            os.kill(daemon.pid, signal.SIGKILL)


def damage(journal: Path) -> None:
    """A byte in every copy of one tap, once SQLite has brought all of it into the file."""
    with closing(sqlite3.connect(journal)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    content, name = journal.read_bytes(), TERMINAL + b"\x00\x01" + DAMAGED.to_bytes(4, "big")
    assert name in content
    journal.write_bytes(content.replace(name, TERMINAL + b"\x00\x02" + DAMAGED.to_bytes(4, "big")))


def run(*words: str, home: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", *words, "--home", str(home)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_terminal_with_a_damaged_journal_sells_on_in_a_new_epoch_and_nothing_proven_is_lost(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with pytest.raises(ChildFailed, match="signal 9"):
        sell_and_kill_the_daemon(home)
    assert "[journal-whole]" in run("terminal", "journal", "set-aside", home=home).stderr
    damage(home / "terminal" / "journal.db")
    assert "[journal-damaged]" in run("terminal", "run", "--json", home=home).stderr

    done = run("terminal", "journal", "set-aside", "--json", home=home)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    sent = found["acknowledged_taps"]
    assert (found["epoch"], found["proven_taps"], found["lost_from"]) == (1, DAMAGED - 1, DAMAGED)
    assert SENT <= sent < DAMAGED - 1
    assert found["exported_new_taps"] == DAMAGED - 1 - sent
    assert len(found["evidence"]) > 0
    assert "[not-enrolled]" in run("terminal", "run", "--json", home=home).stderr

    with campus_in(home) as campus:  # enrols with a new ticket, for there is no enrolment
        file = Path(found["folder"]) / found["export"]
        imported = run("settlement", "import-journal", str(file), "--json", home=home)
        assert json.loads(imported.stdout)["new_taps"] == found["exported_new_taps"], imported.stderr
        sell(campus, 5)
        assert wait_until_booked(campus, monotonic_s=time.monotonic)
        status = uplink_status(campus)
        assert status.enrolment is not None
        assert (status.enrolment.epoch, status.backlog_taps) == (2, 0)
    report = json.loads(run("settlement", "report", "--json", home=home).stdout)
    epochs = {item["epoch"]: item["last_seq"] for item in report["terminals"] if item["terminal"] == TERMINAL.hex()}
    assert epochs == {1: DAMAGED - 1, 2: status.next_seq - 1}
