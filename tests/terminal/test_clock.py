"""A boot's clock: steady while the wall clock is steered, following once it was set."""

from __future__ import annotations

import pytest

from terminal.clock import TapClock
from wire.record import ClockQuality, TapTime


class Clocks:
    """A wall clock and a monotonic one, set by hand."""

    def __init__(self) -> None:
        self.utc_s = 1_772_424_000.4
        self.uptime_s = 100.7
        self.clock = TapClock(
            3, utc_s=lambda: self.utc_s, uptime_s=lambda: self.uptime_s, quality=lambda: ClockQuality.NETWORK
        )

    def pass_by(self, seconds: float, *, stepped_s: float = 0.0) -> TapTime:
        """Let time pass, and the wall clock be set by so much."""
        self.uptime_s += seconds
        self.utc_s += seconds + stepped_s
        return self.clock.now()


def test_tap_time_is_both_clocks_in_whole_seconds() -> None:
    assert Clocks().clock.now() == TapTime(utc_s=1_772_424_000, boot=3, uptime_s=100, quality=ClockQuality.NETWORK)


def test_wall_clock_that_is_steered_moves_with_the_uptime() -> None:
    clocks = Clocks()
    times = [clocks.pass_by(0.3, stepped_s=(-1) ** number * 0.4) for number in range(50)]
    assert len({at.utc_s - at.uptime_s for at in times}) == 1


@pytest.mark.parametrize("stepped_s", [2.0, 3_600.0, -86_400.0])
def test_wall_clock_that_was_set_is_followed(stepped_s: float) -> None:
    clocks = Clocks()
    before, after = clocks.clock.now(), clocks.pass_by(10.0, stepped_s=stepped_s)
    assert after.uptime_s - before.uptime_s == 10
    assert after.utc_s - before.utc_s == 10 + stepped_s


def test_wall_clock_that_drifts_is_never_far_off() -> None:
    clocks = Clocks()
    for _ in range(10_000):
        at = clocks.pass_by(1.0, stepped_s=0.001)
        assert abs(at.utc_s - clocks.utc_s) <= 2.1
