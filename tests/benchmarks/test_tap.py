"""A few taps are sold and timed."""

from __future__ import annotations

from pathlib import Path

from benchmarks.tap import TapTimes, measure, report


def test_every_tap_has_its_floor_beside_it(tmp_path: Path) -> None:
    times = measure(seed=1, folder=tmp_path, taps=4)
    assert (len(times.own_s), len(times.two_commits_s)) == (4, 4)
    assert min(times.own_s + times.two_commits_s) > 0
    assert list(tmp_path.iterdir()) == []


def test_report_says_milliseconds_and_ratios() -> None:
    text = report(TapTimes([0.003, 0.003], [0.002, 0.002]))
    assert "beyond the commits              1.00  1.00" in text
    assert "ratio                           1.50  1.50" in text
