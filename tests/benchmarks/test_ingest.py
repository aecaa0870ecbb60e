"""A few small batches are taken in and timed."""

from __future__ import annotations

from pathlib import Path

from benchmarks.ingest import IngestTimes, measure, report


def test_every_round_does_everything_once(tmp_path: Path) -> None:
    times = measure(seed=1, folder=tmp_path, rounds=2, batch_taps=3)
    assert set(times.seconds) == {"accept", "group", "accept one", "commit one", "append"}
    assert {len(seconds) for seconds in times.seconds.values()} == {2}
    assert list(tmp_path.iterdir()) == []


def test_report_compares_equal_batches_with_each_other() -> None:
    names = ("accept", "group", "accept one", "commit one", "append")
    times = IngestTimes(500, {name: [0.5] for name in names} | {"accept": [1.0]})
    assert times.a_second("group") == 2
    lines = report(times).splitlines()
    assert lines[2].split()[-2:] == ["500", "0.50"]
    assert lines[4].split()[-2:] == ["2", "1.00"]
