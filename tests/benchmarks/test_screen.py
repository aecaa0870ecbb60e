"""A few taps beside a screen that draws are timed."""

from __future__ import annotations

from pathlib import Path

from benchmarks.screen import ScreenTimes, measure, report


def test_every_tap_has_its_floor_beside_it(tmp_path: Path) -> None:
    times = measure(folder=tmp_path, taps=3)
    assert (len(times.own_s), len(times.commit_s)) == (3, 3)
    assert min(times.own_s + times.commit_s) > 0
    assert list(tmp_path.iterdir()) == []


def test_report_says_the_goal_beside_the_figures() -> None:
    rows = [line.split() for line in report(ScreenTimes([0.004, 0.004], [0.002, 0.002])).splitlines()]
    assert ["goal:", "5", "ms", "and", "one", "commit", "7.00", "7.00"] in rows
