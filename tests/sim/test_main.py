"""`campus-sim` as a user starts it: command line, report, and its exit statuses."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from sim.__main__ import build_parser, taps_wanted
from sim.card.issue import read_card_image
from sim.card.memory import open_memory

RunSim = Callable[[Path, int], subprocess.CompletedProcess[str]]


def test_parser_has_a_default_for_all_but_the_command() -> None:
    arguments = build_parser().parse_args(["run"])
    assert (arguments.home, arguments.taps, arguments.seed) == (Path("home"), None, 1)


@pytest.mark.parametrize("wrong", [[], ["walk"], ["run", "--taps", "-1"], ["run", "--taps", "many"], ["run", "extra"]])
def test_wrong_usage_ends_with_status_2(wrong: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        build_parser().parse_args(wrong)
    assert caught.value.code == 2
    assert "usage: campus-sim" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("asked", "has_screen", "wanted"),
    [(None, True, None), (None, False, 50), (0, True, 0), (0, False, 0), (7, True, 7)],
)
def test_taps_are_made_by_themselves_if_asked_for_or_without_a_screen(
    asked: int | None, has_screen: bool, wanted: int | None
) -> None:
    assert taps_wanted(asked, has_screen=has_screen) == wanted


def test_run_reports_taps_money_bytes_verdict_and_places(first_run: tuple[Path, str]) -> None:
    home, printed = first_run
    lines = printed.splitlines()
    enrolling = [f"enrolling terminal {number}" for number in ("000000000101", "000000000501")]
    assert lines[:3] == [f"setting up a campus in {home}", *enrolling]
    assert lines[3].startswith("tap 8 of 8: ")
    assert any(line.startswith("  taps         8: ") for line in lines)
    assert any(line.startswith("  uplink       8 taps in ") for line in lines)
    assert [int(line[2:6]) for line in lines if line.startswith("ok ")] == list(range(1, 19))
    assert "verdict: content" in lines
    assert f"Everything is in {home}" in lines


def test_second_run_goes_on_where_the_first_stopped(home: Path, run_sim: RunSim) -> None:
    run = run_sim(home, 2)
    assert run.returncode == 0, run.stdout + run.stderr
    assert "setting up" not in run.stdout
    assert "enrolling" not in run.stdout
    assert "verdict: content" in run.stdout


def test_auditor_that_objects_ends_the_run_with_status_1(copied_home: Path, run_sim: RunSim) -> None:
    path = copied_home / "sim" / "cards" / "01.card"
    balance_fen = read_card_image(path).balance_fen
    with closing(open_memory(path)) as memory:
        memory.commit({"balance": (balance_fen + 1).to_bytes(4)})
    run = run_sim(copied_home, 0)
    assert run.returncode == 1, run.stdout + run.stderr
    assert "OBJECTS, 2 of 18 points do not hold" in run.stdout
    assert "Traceback" not in run.stderr


def test_number_of_taps_that_is_none_is_told_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        build_parser().parse_args(["run", "--taps", "x"])
    assert "--taps: a number of taps is 0 or more, not 'x'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("command", "status", "words"),
    [
        (["./check", "--frob"], 2, "unknown argument: --frob"),
        (["./run", "--help"], 0, "--python VERSION"),
        (["./run", "--taps", "1", "-h"], 0, "3 when something is missing"),
    ],
)
def test_usage_of_the_scripts_is_told_before_anything_is_installed(
    tmp_path: Path, command: list[str], status: int, words: str
) -> None:
    root = Path(__file__).parents[2]
    for script in ("run", "check"):
        shutil.copy(root / script, tmp_path)
    shutil.copytree(root / "scripts", tmp_path / "scripts")
    before = sorted(tmp_path.iterdir())
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == status
    assert words in done.stdout + done.stderr
    assert sorted(tmp_path.iterdir()) == before


def test_home_with_other_things_in_it_is_left_alone_with_status_2(tmp_path: Path, run_sim: RunSim) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    run = run_sim(tmp_path, 1)
    assert run.returncode == 2
    assert "[home-unusable]" in run.stderr
    assert "goes on from here" not in run.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]
