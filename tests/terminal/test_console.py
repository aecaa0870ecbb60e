"""The plain console: what the threads hand to each other."""

from __future__ import annotations

import queue

from terminal.console import Events
from terminal.program import Redraw

PATIENCE_S = 10.0


def test_events_take_what_the_screens_put() -> None:
    events: Events = queue.SimpleQueue()
    events.put(Redraw())
    assert events.get(timeout=PATIENCE_S) == Redraw()
