"""Between the till's loop and the app: a `terminal.program.Screen` whose methods are called from the loop's thread.

The app has the main thread, which terminals and signals want; the loop has its own. Neither waits for the other.
"""

from __future__ import annotations

import queue
import sys
import threading
from collections.abc import Callable
from typing import Final

from terminal.events import TillEvent
from terminal.program import Redraw, Screen, Stop
from terminal.result import Result
from terminal.screen.app import TillApp
from terminal.screen.shown import Shown
from terminal.standing import Standing
from terminal.till import Till
from terminal.words.catalogue import Language
from wire.errors import CampusError

# How long one thread may keep Python to itself while another waits. Five milliseconds, which is usual, would be a tap's
# whole allowance, and a tap waits for Python after every APDU and every sync.
SWITCH_S: Final = 0.0005

Events = queue.SimpleQueue[TillEvent | Redraw | Stop]


class ScreenFailed(CampusError):
    """The screen ended by itself; the till has ended with it, a tap under way first."""

    code = "screen-failed"


class CashierScreen:
    """The screen of one till. `rings`: the terminal's bell at every result. `print_receipt` prints a tap's again."""

    def __init__(
        self,
        events: Events,
        *,
        language: Language = Language.ZH_HANS,
        rings: bool = True,
        print_receipt: Callable[[int], None] | None = None,
    ) -> None:
        self._events = events
        self._loop: Callable[[Screen], None] | None = None
        self._fault: BaseException | None = None
        self._thread = threading.Thread(target=self._run_loop, name="till")
        self.app = TillApp(
            events.put,
            begin=self._thread.start,
            stop=lambda: events.put(Stop()),
            language=language,
            rings=rings,
            print_receipt=print_receipt,
        )

    def show(self, till: Till, standing: Standing) -> None:
        """From the loop: the till as it is now."""
        self.app.take(Shown.of(till, standing))

    def ended(self, result: Result, elapsed_ms: float) -> None:
        """From the loop: what was pressed before this could be seen is forgotten, and somebody should look."""
        self.app.finish()

    def press(self, key: str) -> None:
        """From any thread: a key of a number pad that is read by itself."""
        self.app.hear(key)

    def serve(self, loop: Callable[[Screen], None]) -> None:
        """Show the screen and run `loop` beside it, until it ends; `ScreenFailed` if the screen did not last."""
        self.begin_with(loop)
        before_s = sys.getswitchinterval()
        sys.setswitchinterval(SWITCH_S)
        try:
            self.app.run()
        finally:
            sys.setswitchinterval(before_s)
            self.settle()
        if self.app.return_code:
            raise ScreenFailed("the screen failed; what it said is above")

    def settle(self) -> None:
        """End the loop, if the screen went first, and pass on what ended it."""
        if self._thread.ident is not None:
            self._events.put(Stop())
            self._thread.join()
        if self._fault is not None:
            raise self._fault

    def begin_with(self, loop: Callable[[Screen], None]) -> None:
        """What the app runs beside itself, for whoever runs the app."""
        self._loop = loop

    def _run_loop(self) -> None:
        assert self._loop is not None, "set before the app runs"
        try:
            self._loop(self)
        except BaseException as fault:  # noqa: BLE001  raised again where the till was started
            self._fault = fault
        finally:
            self.app.leave()
