"""A till that cannot start says why on its screen, and starts when it can."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from dataclasses import replace

import pytest

from terminal.events import CancelPressed
from terminal.journal import DiskFull, Journal, JournalDamaged
from terminal.program import Stop
from terminal.result import Result
from terminal.standing import Standing
from terminal.starting import Events, clock_notice, started
from terminal.till import Till
from tests.terminal.conftest import INTENT, NOON
from wire.record import Mac2


class Seen:
    """A screen that keeps what it was told, and a thing to do when it was."""

    def __init__(self, then: Callable[[], None]) -> None:
        self.failures: list[str | None] = []
        self.then = then

    def show(self, till: Till, standing: Standing) -> None:
        self.failures.append(till.failure)
        self.then()

    def ended(self, result: Result, elapsed_ms: float) -> None:
        raise AssertionError("nothing ends before the start")


def test_fault_stands_on_the_screen_until_it_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("terminal.starting.RETRY_S", 0.01)
    faults = [JournalDamaged("record 7 does not follow"), DiskFull("no room")]

    def start() -> str:
        if faults:
            raise faults.pop(0)
        return "started"

    screen = Seen(lambda: None)
    assert started(start, screen, queue.SimpleQueue(), now=lambda: NOON) == "started"
    assert screen.failures == [
        "record 7 does not follow; campus-terminal journal set-aside [journal-damaged]",
        "no room [disk-full]",
    ]


def test_stop_ends_the_waiting_and_keys_do_not() -> None:
    events: Events = queue.SimpleQueue()

    def press() -> None:
        events.put(CancelPressed())
        events.put(Stop())

    def start() -> None:
        raise DiskFull("no room")

    done: list[None] = []
    waiting = threading.Thread(target=lambda: done.append(started(start, Seen(press), events, now=lambda: NOON)))
    waiting.start()
    waiting.join(4)
    assert done == [None]


def test_clock_before_the_last_tap_is_told_until_it_is_right(open_journal: Callable[[], Journal]) -> None:
    journal, at = open_journal(), NOON
    assert clock_notice(journal, lambda: at)() == []
    journal.seal_tap(journal.open_tap(INTENT), tac=b"TAC!", mac2=Mac2.VERIFIED)
    notices = clock_notice(journal, lambda: at)
    assert notices() == []
    at = replace(NOON, utc_s=NOON.utc_s - 3_600)
    assert [notice.code for notice in notices()] == ["clock-gone-back"]
    at = replace(NOON, utc_s=NOON.utc_s + 5)
    assert notices() == []
