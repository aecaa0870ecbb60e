"""Ratios and refusals of a stream's neighbours; a short run with real processes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.isolation import Isolation, Plan, Row, measure, report
from benchmarks.terminals import Tally
from wire.ids import CONSUMPTION_STREAMS, Stream


def row_with(*, ratio: float, refused: int = 0, own: float = 8.0) -> Row:
    row = Row("10 x load", Stream.CANTEEN)
    for stream in CONSUMPTION_STREAMS:
        row.calm[stream] = Tally(offered=3, latencies_s=[0.001, 0.002, 0.9])
        times = own if stream is row.stream else ratio
        row.storm[stream] = Tally(offered=3, latencies_s=[0.001, 0.002 * times, 0.9])
        row.storm[stream].refused = 0 if stream is row.stream else refused
    return row


def test_ratio_is_that_of_the_medians_and_refusals_are_the_neighbours_alone() -> None:
    row = row_with(ratio=2.0, refused=5)
    assert row.ratio(Stream.TUITION) == pytest.approx(2.0)
    assert row.others == [Stream.TUITION, Stream.SUPERMARKET, Stream.SHOPS]
    assert row.refused_by_others == 15


def test_stream_without_a_receipt_has_no_ratio() -> None:
    row = row_with(ratio=1.0)
    row.storm[Stream.CANTEEN] = Tally(offered=3)
    assert row.ratio(Stream.CANTEEN) is None


def test_report_names_the_worst_neighbour_the_verdict_and_what_was_not_tried() -> None:
    not_tried = Row("disk full", Stream.SHOPS, not_tried="only root may mount a small disk")
    found = Isolation(100.0, 13.0, 5.0, [row_with(ratio=1.5)], [not_tried])
    lines = report(found).splitlines()
    assert found.is_met
    (line,) = [line for line in lines if line.startswith("canteen: 10 x load ") and ">" not in line]
    assert line.split()[4:] == ["1.50", "(8.00)", "1.50", "1.50", "1.50", "0", "0", "met", "0"]
    assert [line for line in lines if "2.0 > 3.0  2.0 > 16.0" in line]
    assert lines[-5:] == [
        "worst of the others 1.50, goal below 3: met",
        "others refused 0, goal 0: met",
        "taps lost 0, goal 0: met",
        "shops: disk full was not tried: only root may mount a small disk",
        "verdict: met, 1 of 2 rows tried",
    ]


def test_row_that_failed_is_named_and_the_others_keep_their_figures() -> None:
    failed = Row("disk full", Stream.SHOPS, failed="NotServing: shops: keeps ending")
    found = Isolation(100.0, 13.0, 5.0, [row_with(ratio=1.5)], [failed])
    text = report(found)
    assert not found.is_met
    assert "worst of the others 1.50, goal below 3: met" in text
    assert "shops: disk full FAILED: NotServing: shops: keeps ending" in text
    assert text.endswith("verdict: NOT MET by shops: disk full")


@pytest.mark.parametrize(
    ("row", "verdict"),
    [
        (row_with(ratio=2.9), "met"),
        (row_with(ratio=3.0), "MISSED"),
        (row_with(ratio=1.0, refused=1), "MISSED"),
        (row_with(ratio=1.0, own=1.0), "UNFELT"),
        (replace(row_with(ratio=1.0), lost_taps=1), "MISSED"),
        (replace(row_with(ratio=1.0), failed="in pieces"), "FAILED"),
        (replace(row_with(ratio=1.0), not_tried="not here"), "not tried"),
    ],
)
def test_verdict_of_a_row(row: Row, verdict: str) -> None:
    assert row.verdict == verdict


@pytest.mark.slow
def test_every_stream_in_its_storm_and_one_killed_and_damaged_and_a_row_that_fails(tmp_path: Path) -> None:
    plan = Plan(rounds=1, phase_s=1.5, terminals=4, troubles=("no such trouble", "killed", "damaged"))
    found = measure(seed=1, folder=tmp_path, plan=plan)
    failed, *troubles = found.troubles
    assert failed.failed == "KeyError: 'no such trouble'"
    assert [row.stream for row in found.overload] == list(CONSUMPTION_STREAMS)
    for row in [*found.overload, *troubles]:
        assert row.failed == "", row.name
        assert row.lost_taps == 0, row.name
        assert row.refused_by_others == 0, row.name
        assert row.is_felt, row.name
    assert found.overload[0].storm[Stream.TUITION].offered > 5 * found.overload[0].storm[Stream.SHOPS].offered
