"""A few terminals lose their power with the server, and all get their receipts."""

from __future__ import annotations

from pathlib import Path

from benchmarks.powercut import PowerCut, measure, report


def test_every_terminal_has_its_receipt_after_the_cut(tmp_path: Path) -> None:
    found = measure(seed=1, folder=tmp_path, terminals=12)
    assert len(found.receipts_s) == 12
    assert found.connected_bytes > found.before_bytes
    assert list(tmp_path.iterdir()) == []


def test_report_tells_the_weight_of_a_connection_and_the_last_receipt() -> None:
    words = report(PowerCut(10, 50 << 20, 51 << 20, 2.0, [1.0] * 9 + [4.0], 1, 2))
    assert "102 KiB more for each" in words
    assert "the last after 4.0 s" in words
