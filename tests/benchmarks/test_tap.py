"""A few taps are sold and timed."""

from __future__ import annotations

from pathlib import Path

from benchmarks.tap import TapTimes, measure, report


def test_every_tap_has_its_floor_beside_it(tmp_path: Path) -> None:
    times = measure(seed=1, folder=tmp_path, taps=4)
    assert (len(times.own_s), len(times.two_commits_s)) == (4, 4)
    assert min(times.own_s + times.two_commits_s) > 0
    assert {baud: len(whole_s) for baud, whole_s in times.whole_s.items()} == {9_600: 4, 38_400: 4}
    assert min(times.whole_s[9_600]) > min(times.whole_s[38_400]) > 0.1
    assert list(tmp_path.iterdir()) == []


def test_report_says_milliseconds_and_ratios() -> None:
    text = report(TapTimes([0.003, 0.003], [0.002, 0.002], {9_600: [0.2, 0.25]}))
    rows = [line.split() for line in text.splitlines()]
    assert ["beyond", "the", "commits", "1.00", "1.00"] in rows
    assert ["ratio", "1.50", "1.50"] in rows
    assert ["goal:", "5", "ms", "and", "one", "commit", "6.00", "6.00"] in rows
    assert ["whole", "tap,", "PSAM", "at", "9,600", "baud", "225", "248"] in rows
