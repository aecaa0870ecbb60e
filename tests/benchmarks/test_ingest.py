"""A few small batches are taken in and timed."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.ingest import IngestTimes, Processes, measure, measure_postgresql, report

NAMES = {"accept", "post", "accept hot", "post hot", "accept one", "post one", "group", "commit one", "append"}


def test_every_round_does_everything_once_and_all_is_booked_through_the_processes(tmp_path: Path) -> None:
    times = measure(seed=1, folder=tmp_path, rounds=2, batch_taps=3, process_batches=1)
    assert set(times.seconds) == NAMES
    assert {len(seconds) for seconds in times.seconds.values()} == {2}
    assert [run.taps for run in times.processes.values()] == [36, 36]
    assert {part for run in times.processes.values() for part in run.processor_s} == {"terminals", "streams", "ledger"}
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_same_on_postgresql() -> None:
    times = measure_postgresql(seed=1, rounds=1, batch_taps=3, process_batches=1)
    assert set(times.seconds) == NAMES


def test_report_compares_equal_batches_with_each_other() -> None:
    processes = {"both": Processes(1000, [(2.0, 0.002)] * 3, {"terminals": 0.003, "streams": 0.042, "ledger": 0.0225})}
    times = IngestTimes("SQLite", 500, {name: [0.5] for name in NAMES} | {"accept": [1.0]}, processes)
    assert times.a_second("group") == 2
    lines = report(times).splitlines()
    assert [line.split()[-2:] for line in lines[2:6]] == [
        ["500", "0.50"],
        ["1,000", "1.00"],
        ["333", "0.33"],
        ["500", "1.00"],
    ]
    assert lines[7].split()[-2:] == ["2", "1.00"]
    assert "0.67 x" in lines[-3] or "1.50 x" in lines[-3]
    assert lines[-2] == "both: 1.00 x floor, goal 0.25: met"
    assert lines[-1].endswith("terminals 1.0, streams 14.0, ledger 7.5")


@pytest.mark.parametrize(("database", "verdict"), [("SQLite", "MISSED"), ("PostgreSQL", "met")])
def test_goal_is_of_the_median_round_and_its_own_floor(database: str, verdict: str) -> None:
    rounds = [(2.0, 0.0001), (2.0, 0.0004), (4.0, 0.0008)]  # 0.05, 0.2 and 0.2 of the floor beside each
    processes = {"both": Processes(1000, rounds, {"ledger": 0.0})}
    times = IngestTimes(database, 500, {name: [0.5] for name in NAMES}, processes)
    assert f"both: 0.20 x floor, goal {0.25 if database == 'SQLite' else 0.08}: {verdict}" in report(times)
