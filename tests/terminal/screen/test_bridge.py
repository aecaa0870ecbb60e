"""Loop and app side by side: what is told crosses over, and the end of either ends the other."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable

import pytest

from terminal.events import AmountBegun, AmountEntered
from terminal.program import Screen, Stop
from terminal.result import NotPaid
from terminal.screen.bridge import CashierScreen, Events
from terminal.till import Till
from terminal.words import WORDS
from terminal.words.catalogue import Language
from tests.terminal.screen.conftest import Rig, in_loop
from tests.terminal.screen.test_bars import FULL
from wire.money import Fen

PATIENCE_S = 10.0
ZH = WORDS[Language.ZH_HANS]


def begun(loop: Callable[[Screen], None]) -> tuple[CashierScreen, Events]:
    events: Events = queue.SimpleQueue()
    screen = CashierScreen(events, rings=False)
    screen.begin_with(loop)
    return screen, events


@in_loop
async def test_what_the_loop_shows_is_drawn_and_keys_of_a_device_come_back() -> None:
    till = Till(None)
    till.reader_fault = None
    over = threading.Event()

    def loop(screen: Screen) -> None:
        screen.show(till, FULL)
        over.wait(PATIENCE_S)

    screen, events = begun(loop)
    async with screen.app.run_test() as pilot:
        rig = Rig(screen.app, pilot, [])
        await rig.until(lambda: ZH.type_amount in rig.text)
        for key in ("5", "tab", "enter"):
            screen.press(key)
        await rig.until(lambda: not events.empty())
        assert (events.get(timeout=PATIENCE_S), events.get(timeout=PATIENCE_S)) == (
            AmountBegun(),
            AmountEntered(Fen(500)),
        )
        over.set()
    screen.settle()


@in_loop
async def test_end_of_the_loop_ends_the_app_and_its_fault_is_passed_on() -> None:
    def loop(screen: Screen) -> None:
        screen.show(Till(None), FULL)
        screen.ended(NotPaid("x"), 1.0)
        raise OSError("the disk is gone")

    screen, events = begun(loop)
    async with screen.app.run_test() as pilot:
        await Rig(screen.app, pilot, []).until(lambda: screen.app.return_code is not None)
    with pytest.raises(OSError, match="the disk is gone"):
        screen.settle()
    assert events.get(timeout=PATIENCE_S) == Stop()


@in_loop
async def test_app_that_goes_first_stops_the_loop() -> None:
    events: Events = queue.SimpleQueue()
    screen = CashierScreen(events, rings=False)
    stopped: list[object] = []
    screen.begin_with(lambda _: stopped.append(events.get(timeout=PATIENCE_S)))
    async with screen.app.run_test():
        pass
    screen.settle()
    assert stopped == [Stop()]
