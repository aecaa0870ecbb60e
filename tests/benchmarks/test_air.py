"""Every contact is weighed, and the goals are kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.air import FIRST_TAP_MAX, RESUMED_TAP_MAX, may_listen, measure, report


@pytest.mark.skipif(not may_listen(), reason="only root may listen to packets")
def test_first_and_resumed_tap_keep_their_goals(tmp_path: Path) -> None:
    found = measure(seed=1, folder=tmp_path)
    assert found.first_tap <= FIRST_TAP_MAX
    assert found.resumed_tap <= RESUMED_TAP_MAX
    assert found.resumed_tap < found.first_tap < found.https_tap
    assert found.resumed_hundred < found.https_hundred
    assert str(found.resumed_tap) in report(found)
