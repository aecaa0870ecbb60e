"""A terminal that no network reaches: its journal comes on a USB stick, and the network goes on behind it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from settlement.audit.auditor import findings_text
from sim.campus import TERMINAL, Campus
from sim.process import ChildFailed
from sim.report import audit_campus, uplink_status, wait_until_booked
from sim.taps import run_taps
from terminal.journal import Journal
from terminal.shiftbook import Shiftbook
from wire.ids import CardId
from wire.money import Fen
from wire.record import ClockQuality, TapTime

WAIT_S_MAX = 30.0
SEED = 5


def campus_in(home: Path) -> Campus:
    return Campus(home, monotonic_s=time.monotonic, say=print)


def sell(campus: Campus, count: int) -> None:
    run_taps(campus, count=count, seed=SEED, progress=lambda done, tally: None)


def sell_and_kill_the_daemon(home: Path, carried: list[int]) -> None:
    """Four taps that the server hears of, in so many batches, and six that the daemon never sees."""
    with campus_in(home) as campus:
        sell(campus, 4)
        assert wait_until_booked(campus, monotonic_s=time.monotonic)
        carried.append(uplink_status(campus).batches)
        [daemon] = [child for child in campus.children if child.name == "syncd"]
        os.kill(daemon.pid, signal.SIGSTOP)
        try:
            sell(campus, 6)
        finally:
            os.kill(daemon.pid, signal.SIGKILL)


def close_shift(folder: Path) -> None:
    """What the till does at closing time."""
    at = TapTime(utc_s=int(time.time()), boot=1, uptime_s=1, quality=ClockQuality.NETWORK)
    journal = Journal.open_for(folder / "journal.db", terminal=TERMINAL, epoch=1, acknowledged=None)
    shifts = Shiftbook(journal)
    shifts.open(CardId.from_bytes(bytes(18)), Fen(0), at)
    shifts.close(Fen(0), at)
    journal.close()


def command(*words: str) -> str:
    """One production command; what it printed."""
    done = subprocess.run([sys.executable, "-m", *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def wait_until(condition: Callable[[], bool]) -> None:
    deadline_s, pause = time.monotonic() + WAIT_S_MAX, threading.Event()
    while not condition():
        assert time.monotonic() < deadline_s, "it did not happen in time"
        pause.wait(0.1)


@pytest.mark.slow
def test_stick_brings_what_the_network_could_not_and_the_network_goes_on_behind_it(tmp_path: Path) -> None:
    home, stick = tmp_path / "home", tmp_path / "stick"
    stick.mkdir()
    carried: list[int] = []
    with pytest.raises(ChildFailed, match="signal 9"):
        sell_and_kill_the_daemon(home, carried)
    close_shift(home / "terminal")

    words = ["journal", "export", str(stick), "--json", "--home", str(home)]
    exported = json.loads(command("terminal", *words))
    taps = exported["taps"]
    assert (taps >= 10, exported["shift_reports"]) == (True, 1)
    words = ["import-journal", exported["file"], "--json", "--home", str(home)]
    assert json.loads(command("settlement", *words))["new_taps"] == taps - 4
    assert json.loads(command("settlement", *words))["new_taps"] == 0

    with campus_in(home) as campus:
        wait_until(lambda: uplink_status(campus).next_seq == taps + 1)
        status = uplink_status(campus)
        assert (status.backlog_taps, status.backlog_shifts) == (0, 0)
        # One batch may go with the greeting, before the terminal hears what is there: it is a repeat.
        assert status.batches <= carried[0] + 1
        sell(campus, 3)
        assert wait_until_booked(campus, monotonic_s=time.monotonic)
        findings = audit_campus(campus)
        assert all(finding.holds for finding in findings), findings_text(findings)
    report = json.loads(command("settlement", "report", "--json", "--home", str(home)))
    assert report["shift_alarms"] == []


@pytest.mark.slow
def test_report_of_a_shift_goes_up_with_the_real_daemon_to_the_real_stream(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with campus_in(home) as campus:
        sell(campus, 3)
    close_shift(home / "terminal")
    with campus_in(home) as campus:
        wait_until(lambda: uplink_status(campus).backlog_shifts == 0)
        assert wait_until_booked(campus, monotonic_s=time.monotonic)
        log = campus.log("syncd").read_text()
        assert "receipt for the report of shift 1" in log
    report = json.loads(command("settlement", "report", "--json", "--home", str(home)))
    assert report["shift_alarms"] == []
