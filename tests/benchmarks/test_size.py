"""One day is coded in every way."""

from __future__ import annotations

import pytest

from benchmarks.size import BATCH_TAPS, measure, report
from wire.frame import HEADER_BYTES
from wire.record import RECORD_BYTES


def test_one_day_is_measured_the_same_twice() -> None:
    sizes = measure(seed=1, days=1, settled_taps=1_200)
    assert sizes == measure(seed=1, days=1, settled_taps=1_200)
    assert sizes.taps == 600
    assert sizes.by_coding["fixed canonical records"] == RECORD_BYTES
    frame = sizes.by_coding["this system, with its frame"] - sizes.by_coding["this system, payload"]
    assert frame == pytest.approx((HEADER_BYTES + 4) / BATCH_TAPS)
    assert sizes.floor < sizes.by_coding["this system, payload"] - sizes.envelope
    assert sizes.by_day[1] > sizes.by_day[2] > sizes.by_coding["this system, payload"]


def test_settled_journal_takes_nine_bytes_a_tap_in_every_batch_and_fourteen_taps_in_a_short_message() -> None:
    sizes = measure(seed=1, days=2)
    assert sizes.by_coding["this system, payload"] <= sizes.largest <= 9.0
    assert sizes.sms_share > 0.9
    assert sizes.subsidised_share > 0.5
    assert sizes.subsidised - sizes.by_coding["this system, payload"] < 2.0 * sizes.subsidised_share


def test_report_has_a_line_for_every_coding() -> None:
    sizes = measure(seed=1, days=1, settled_taps=1_200)
    text = report(sizes)
    assert all(f"\n{coding} " in text for coding in (*sizes.by_coding, "floor, entropy of the model"))
