"""Till and daemon together stay within a small terminal's memory."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.memory import GOAL_BYTES, measure, report


def test_till_with_screen_and_devices_and_daemon_stay_below_the_goal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("benchmarks.memory._SETTLE_S", 0.5)
    memory = measure(folder=tmp_path, taps=20)
    assert memory.daemon.resident + memory.till_with_devices.resident < GOAL_BYTES
    assert memory.till.proportional <= memory.till.resident
    assert "both" in report(memory)
