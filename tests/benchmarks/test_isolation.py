"""Ratios and refusals of a stream's neighbours; a short run with real processes."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.isolation import Isolation, Plan, Row, measure, report
from benchmarks.terminals import Tally
from wire.ids import CONSUMPTION_STREAMS, Stream


def row_with(*, ratio: float, refused: int = 0) -> Row:
    row = Row("10 x load", Stream.CANTEEN)
    for stream in CONSUMPTION_STREAMS:
        row.calm[stream] = Tally(offered=3, latencies_s=[0.001, 0.002, 0.9])
        row.storm[stream] = Tally(offered=3, latencies_s=[0.001, 0.002 * ratio, 0.9], refused=refused)
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


def test_report_names_the_worst_neighbour_and_what_was_not_tried() -> None:
    not_tried = Row("disk full", Stream.SHOPS, not_tried="only root may mount a small disk")
    text = report(Isolation(100.0, 13.0, 5.0, [row_with(ratio=1.5)], [not_tried]))
    assert "canteen: 10 x load" in text
    assert "worst of the others 1.50" in text
    assert "not tried: only root" in text


@pytest.mark.slow
def test_neighbours_of_an_overloaded_and_of_a_killed_stream_refuse_nothing(tmp_path: Path) -> None:
    plan = Plan(rounds=1, phase_s=1.5, terminals=4, troubles=("killed", "damaged"))
    found = measure(seed=1, folder=tmp_path, plan=plan)
    for row in [*found.overload, *found.troubles]:
        assert row.settled, row.trouble
        assert row.lost_taps == 0, row.trouble
        assert row.refused_by_others == 0, row.trouble
    assert found.overload[0].storm[Stream.TUITION].offered > 5 * found.overload[0].storm[Stream.SHOPS].offered
