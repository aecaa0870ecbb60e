"""A boot's clock: the wall clock as monotonic time plus an offset, so that both tell taps equally far apart. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from wire.record import ClockQuality, TapTime

_STEP_S: Final = 1.0  # less is a clock that is being steered, or the two readings' own rounding


class TapClock:
    """Tap times of one boot; `utc_s - uptime_s` stays the same until the wall clock was set by more than a second."""

    def __init__(
        self,
        boot: int,
        *,
        utc_s: Callable[[], float],
        uptime_s: Callable[[], float],
        quality: Callable[[], ClockQuality],
    ) -> None:
        self._boot = boot
        self._utc_s = utc_s
        self._uptime_s = uptime_s
        self._quality = quality
        self._offset_s = round(utc_s() - uptime_s())

    def now(self) -> TapTime:
        """The time of a tap that is opened now."""
        uptime_s = self._uptime_s()
        offset_s = self._utc_s() - uptime_s
        if abs(offset_s - self._offset_s) > _STEP_S:
            self._offset_s = round(offset_s)
        return TapTime(
            utc_s=int(uptime_s) + self._offset_s, boot=self._boot, uptime_s=int(uptime_s), quality=self._quality()
        )
