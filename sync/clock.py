"""Time as an argument: the two readings that the uplink needs. Who makes them is `sync.__main__`'s matter."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Clock:
    """`utc_s` for what is stored and shown, `monotonic_s` for waiting."""

    utc_s: Callable[[], int]
    monotonic_s: Callable[[], float]
