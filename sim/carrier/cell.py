"""A radio cell: how good it is, and when it is not there. Left out: what is carried over it, and who has a SIM.

Everything hangs on a clock that is given, a `Callable` of seconds: `time.monotonic`, or a `VirtualClock` that jumps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

Clock = Callable[[], float]


class VirtualClock:
    """Seconds that pass only when told to."""

    def __init__(self, now_s: float = 0.0) -> None:
        self._now_s = now_s

    def __call__(self) -> float:
        return self._now_s

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        assert seconds >= 0, "time does not go back"
        self._now_s += seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Quality:
    """What a bearer in this cell gets. `loss` is the share of packets that need to be sent again."""

    up_bits_per_s: float
    down_bits_per_s: float
    latency_s: float  # one way
    jitter_s: float
    loss: float


LTE: Final = Quality(up_bits_per_s=5e6, down_bits_per_s=10e6, latency_s=0.030, jitter_s=0.015, loss=0.001)
GPRS: Final = Quality(up_bits_per_s=20e3, down_bits_per_s=40e3, latency_s=0.350, jitter_s=0.200, loss=0.01)
# For tests that are about something else: as good as the loopback interface that is really below.
PERFECT: Final = Quality(up_bits_per_s=1e9, down_bits_per_s=1e9, latency_s=0.0, jitter_s=0.0, loss=0.0)

NAT_IDLE_S: Final = 270.0  # the shortest that operators were found to keep an idle TCP connection


class Cell:
    """Coverage by schedule. Storms change it from other threads: every change is one assignment."""

    def __init__(
        self,
        clock: Clock,
        *,
        quality: Quality = PERFECT,
        nat_idle_s: float = NAT_IDLE_S,
        outages: Iterable[tuple[float, float]] = (),
    ) -> None:
        """`outages` are (from, until) on the clock."""
        self._clock = clock
        self._outages = tuple(outages)
        self.quality = quality
        self.nat_idle_s = nat_idle_s

    def is_up(self) -> bool:
        """Whether there is a signal now."""
        now = self._clock()
        return not any(start <= now < end for start, end in self._outages)

    def fail(self, seconds: float) -> None:
        """An outage from now on, for so long."""
        now = self._clock()
        self._outages = (*(outage for outage in self._outages if outage[1] > now), (now, now + seconds))

    def heal(self) -> None:
        """End every outage, also the scheduled ones."""
        self._outages = ()
