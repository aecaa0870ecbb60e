"""The app with a pilot at its keys, and what it told the till."""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import ParamSpec

from textual.events import Key
from textual.pilot import Pilot

from sim.svg import text_of
from terminal.events import AmountBegun, CashierEvent
from terminal.screen.app import Key as ScreenKey
from terminal.screen.app import TillApp
from terminal.screen.shown import Shown
from terminal.words.catalogue import Language
from tests.terminal.screen.test_bars import FULL
from tests.terminal.screen.test_panel import shown

PATIENCE_S = 10.0
IDLE = shown(standing=FULL)
Given = ParamSpec("Given")


def in_loop(test: Callable[Given, Coroutine[None, None, None]]) -> Callable[Given, None]:
    """Run an async test to its end."""

    @functools.wraps(test)
    def run(*args: Given.args, **kwargs: Given.kwargs) -> None:
        asyncio.run(test(*args, **kwargs))

    return run


class Rig:
    """The app, its pilot, and what it told the till."""

    def __init__(self, app: TillApp, pilot: Pilot[None], events: list[CashierEvent]) -> None:
        self.app, self.pilot, self._events = app, pilot, events

    @property
    def events(self) -> list[CashierEvent]:
        """Without what only says that typing began."""
        return [event for event in self._events if not isinstance(event, AmountBegun)]

    @property
    def text(self) -> str:
        """All that stands on the screen."""
        return text_of(self.app)

    async def take(self, shown: Shown) -> None:
        self.app.take(shown)
        await self.pilot.pause()

    def burst(self, code: str) -> None:
        """What a scanner types, as one read from the terminal gives it."""
        for character in code:
            self.app.post_message(Key(character, character))
        self.app.post_message(Key("enter", "\r"))

    async def until(self, holds: Callable[[], bool]) -> None:
        deadline_s = time.monotonic() + PATIENCE_S
        while not holds():
            assert time.monotonic() < deadline_s, self.text
            await self.pilot.pause(0.01)

    async def touch(self, meaning: str) -> None:
        key = next(key for key in self.app.query(ScreenKey).results(ScreenKey) if key.meaning == meaning)
        await self.pilot.mouse_down(key)
        await self.pilot.mouse_up(key)


@asynccontextmanager
async def rig(size: tuple[int, int] = (80, 24), *, rings: bool = False) -> AsyncIterator[Rig]:
    events: list[CashierEvent] = []
    app = TillApp(events.append, begin=lambda: None, stop=lambda: None, language=Language.ZH_HANS, rings=rings)
    async with app.run_test(size=size) as pilot:
        made = Rig(app, pilot, events)
        await made.take(IDLE)
        yield made
