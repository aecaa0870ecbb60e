"""What is due when."""

from __future__ import annotations

from sim.carrier.cell import VirtualClock
from sim.timers import Timers


def test_things_are_done_in_the_order_of_their_times() -> None:
    clock = VirtualClock()
    done: list[str] = []
    timers = Timers(clock)
    timers.after(2.0, lambda: done.append("late"))
    timers.after(1.0, lambda: done.append("first"))
    timers.after(1.0, lambda: done.append("second"))
    assert timers.due_s() == 1.0
    timers.run_due()
    assert done == []
    clock.advance(5.0)
    timers.run_due()
    assert done == ["first", "second", "late"]
    assert timers.due_s() is None


def test_what_is_cancelled_is_not_done() -> None:
    clock = VirtualClock()
    done: list[int] = []
    timers = Timers(clock)
    timer = timers.after(1.0, lambda: done.append(1))
    timer.cancel()
    assert timers.due_s() is None
    clock.advance(2.0)
    timers.run_due()
    timer.fire()
    assert done == []


def test_what_asks_for_itself_again_does_not_hold_a_run_up() -> None:
    clock = VirtualClock()
    done: list[int] = []
    timers = Timers(clock)

    def again() -> None:
        done.append(1)
        timers.after(0.0, again)

    again()
    timers.run_due()
    timers.run_due()
    assert len(done) == 3
