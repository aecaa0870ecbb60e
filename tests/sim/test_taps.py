"""The cashier's side of a run: how results are counted, and what the report says of them."""

from __future__ import annotations

from collections import Counter

from sim.taps import Tally, tally_lines


def test_tally_counts_every_purchase_once() -> None:
    tally = Tally(approved=7, approved_fen=65_50, other=Counter({"HOTLISTED": 2, "Torn": 1}))
    assert tally.taps == 10
    assert tally_lines(tally) == ["  taps         10: 7 approved (65.50), 3 not (2 HOTLISTED, 1 Torn)"]


def test_empty_tally_has_no_times() -> None:
    assert tally_lines(Tally()) == ["  taps         0: 0 approved (0.00), 0 not"]


def test_times_are_median_and_95th_percentile() -> None:
    lines = tally_lines(Tally(approved=100, approved_fen=1, elapsed_ms=[float(ms) for ms in range(100, 0, -1)]))
    assert lines[1].startswith("  time a tap   median 50.5 ms, p95 96.0 ms")
    assert lines[1].endswith("(the simulated reader notices a card every 0.4 s)")
    (_, one) = tally_lines(Tally(approved=1, approved_fen=1, elapsed_ms=[7.0]))
    assert one.startswith("  time a tap   median 7.0 ms, p95 7.0 ms")


def test_recovered_sale_is_told() -> None:
    assert "recovered" in tally_lines(Tally(recovered=1))[1]


def test_loads_are_told_with_how_many_were_torn() -> None:
    assert tally_lines(Tally(loads=2, loads_fen=100_00, loads_torn=1))[1] == (
        "  topped up    2 times (100.00), 1 torn out and put back"
    )
    assert tally_lines(Tally(loads=1, loads_fen=50_00))[1] == "  topped up    1 time (50.00)"
