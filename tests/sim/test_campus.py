"""Setting a campus up: once, again after an interruption, and never in a folder that is somebody else's."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from sim.campus import Campus, HomeInUse, HomeUnusable
from sim.process import ChildFailed

RunSim = Callable[[Path, int], subprocess.CompletedProcess[str]]


def campus(home: Path) -> Campus:
    return Campus(home, monotonic_s=time.monotonic, say=lambda line: None)


def test_set_up_that_was_cut_short_is_repeated_without_harm(copied_home: Path, run_sim: RunSim) -> None:
    for name in (
        "sim/set-up",
        "sim/cards.csv",
        "sim/cards/20.card",
        "terminal/ca.pem",
        "point/terminal/ca.pem",
        "settlement/settlement.toml",
    ):
        (copied_home / name).unlink()
    run = run_sim(copied_home, 1)
    assert run.returncode == 0, run.stdout + run.stderr
    assert "setting up" in run.stdout
    assert "enrolling" not in run.stdout
    assert "verdict: content" in run.stdout
    assert (copied_home / "sim" / "set-up").exists()


def test_program_that_ends_unasked_is_noticed_and_all_others_are_ended(copied_home: Path) -> None:
    running = campus(copied_home)
    children = []

    def lose_the_daemon() -> None:
        with running:
            running.check_children()
            children.extend(running.children)
            os.kill(children[3].pid, signal.SIGKILL)
            children[3].wait_for("something that it does not say")

    with pytest.raises(ChildFailed, match="syncd was killed by signal 9"):
        lose_the_daemon()
    assert [child.name for child in children] == ["stream", "top-up", "ledger", "syncd"]
    assert running.children == []
    assert not any(child.alive for child in children)


def test_second_simulator_in_a_home_is_refused_until_the_first_has_ended(copied_home: Path) -> None:
    with campus(copied_home) as first:
        with pytest.raises(HomeInUse, match=r"another \./run uses this home"):
            campus(copied_home).__enter__()
        first.check_children()
    with campus(copied_home):
        pass


def test_folders_with_card_numbers_are_nobody_elses_to_read(home: Path) -> None:
    for folder in ("terminal", "settlement", "sim", "sim/cards"):
        assert (home / folder).stat().st_mode & 0o777 == 0o700, folder


@pytest.mark.parametrize("there", ["README.md", "settlement/ledger.db", "sim/audit.py"])
def test_folder_with_other_things_is_refused_and_left_alone(tmp_path: Path, there: str) -> None:
    (tmp_path / there).parent.mkdir(exist_ok=True)
    (tmp_path / there).write_text("somebody's")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(HomeUnusable, match="holds other things"):
        campus(tmp_path).__enter__()
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("home", ["file", "file/below", "/proc/campus"])
def test_home_that_cannot_be_made_is_refused(tmp_path: Path, home: str) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(HomeUnusable, match="cannot be used"):
        campus(tmp_path / home).__enter__()
