"""The till on a text terminal. What is shown is `terminal.screen`'s matter."""

from __future__ import annotations

import os
import queue
import sys
import termios
import threading
import tty
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final, TextIO

from terminal.events import TillEvent
from terminal.program import Redraw, Stop
from terminal.result import Result
from terminal.screen import Keys, draw, split_keys
from terminal.standing import Standing
from terminal.till import Till

_ALTERNATE_ON: Final = "\x1b[?1049h\x1b[?25l"
_ALTERNATE_OFF: Final = "\x1b[?25h\x1b[?1049l"
_FRAME_BEGIN: Final = "\x1b[?2026h\x1b[H"  # a synchronised update: terminals that know it never show half a frame
_FRAME_END: Final = "\x1b[J\x1b[?2026l"

_KEYS_BYTES_MAX: Final = 64  # what one key press sends, an arrow's escape sequence included, arrives together

Events = queue.SimpleQueue[TillEvent | Redraw | Stop]


class ConsoleScreen:
    """Draws on a terminal that understands ANSI, and reads single keys from it."""

    def __init__(self, events: Events, terminal: TextIO) -> None:
        self._events = events
        self._terminal = terminal
        self._keys = Keys()

    @contextmanager
    def taken_over(self) -> Iterator[None]:
        """The terminal in single-key mode on a screen of its own; as it was before, afterwards."""
        keyboard = sys.stdin.fileno()
        before = termios.tcgetattr(keyboard)
        tty.setcbreak(keyboard)
        self._write(_ALTERNATE_ON)
        threading.Thread(target=self._read_keys, args=(keyboard,), name="keyboard", daemon=True).start()
        try:
            yield
        finally:
            termios.tcsetattr(keyboard, termios.TCSADRAIN, before)
            self._write(_ALTERNATE_OFF)

    def show(self, till: Till, standing: Standing) -> None:
        """Draw the whole screen."""
        size = os.get_terminal_size(self._terminal.fileno())
        # A pseudo-terminal that nobody told its size says 0.
        lines = draw(till, self._keys, standing, width=size.columns or 80, height=size.lines or 24)
        self._write(_FRAME_BEGIN + "\x1b[K\r\n".join(lines) + _FRAME_END)

    def ended(self, result: Result, elapsed_ms: float) -> None:
        """The screen has shown it; the bell makes the cashier look."""
        self._keys.forget()
        self._write("\a")

    def _read_keys(self, keyboard: int) -> None:
        """Until the keyboard is gone; a till that nobody can type at ends, and its owner starts it again."""
        with suppress(OSError):
            while typed := os.read(keyboard, _KEYS_BYTES_MAX).decode("ascii", errors="replace"):
                for key in split_keys(typed):
                    self._events.put(self._keys.press(key) or Redraw())
        self._events.put(Stop())

    def _write(self, text: str) -> None:
        self._terminal.write(text)
        self._terminal.flush()
