"""What is due when, in order of time: one heap for modems, carrier and tests. Left out: whose clock it is."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable


class Timer:
    """One thing to be done once; `cancel()` before it is."""

    __slots__ = ("_act", "due_s")

    def __init__(self, due_s: float, act: Callable[[], None]) -> None:
        self.due_s = due_s
        self._act: Callable[[], None] | None = act

    @property
    def waits(self) -> bool:
        """Whether it is still to be done."""
        return self._act is not None

    def cancel(self) -> None:
        """Never do it."""
        self._act = None

    def fire(self) -> None:
        """Do it now, at most once."""
        act, self._act = self._act, None
        if act is not None:
            act()


class Timers:
    """Timers on one monotonic clock; things due at the same moment are done in the order they were asked for."""

    def __init__(self, monotonic_s: Callable[[], float]) -> None:
        self._monotonic_s = monotonic_s
        self._order = itertools.count()
        self._heap: list[tuple[float, int, Timer]] = []

    def now_s(self) -> float:
        """The clock's reading."""
        return self._monotonic_s()

    def after(self, delay_s: float, act: Callable[[], None]) -> Timer:
        """Do `act` once `delay_s` have passed, at the next `run_due`; never within this call."""
        return self.at(self._monotonic_s() + delay_s, act)

    def at(self, due_s: float, act: Callable[[], None]) -> Timer:
        """Do `act` at that time of the clock; what shares one keeps its order."""
        timer = Timer(due_s, act)
        heapq.heappush(self._heap, (timer.due_s, next(self._order), timer))
        return timer

    def due_s(self) -> float | None:
        """When the next thing is due; None: nothing is."""
        while self._heap and not self._heap[0][2].waits:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def run_due(self) -> None:
        """Do all that is due; what is asked for meanwhile waits for the next call, so that this one ends."""
        now_s, newest = self._monotonic_s(), next(self._order)
        while (due_s := self.due_s()) is not None and due_s <= now_s and self._heap[0][1] < newest:
            heapq.heappop(self._heap)[2].fire()
