"""The till on a text terminal, or as lines of JSON for a program. What is shown is `terminal.screen`'s matter."""

from __future__ import annotations

import json
import os
import queue
import sys
import termios
import threading
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Final, TextIO

from terminal.downlink import Acknowledged, Downlink, DownlinkUnreadable
from terminal.journal import JournalReader
from terminal.program import Redraw, Stop
from terminal.result import Approved, NotPaid, ProofRefused, Refused, SaleResult, Torn, Unresolved
from terminal.screen import Keys, Status, amount_entered, draw, result_words, split_keys
from terminal.till import CancelPressed, Till, TillEvent
from wire.hotlist import EMPTY_HOTLIST
from wire.money import AmountUnreadable
from wire.record import TapTime

_ALTERNATE_ON: Final = "\x1b[?1049h\x1b[?25l"
_ALTERNATE_OFF: Final = "\x1b[?25h\x1b[?1049l"
_FRAME_BEGIN: Final = "\x1b[?2026h\x1b[H"  # a synchronised update: terminals that know it never show half a frame
_FRAME_END: Final = "\x1b[J\x1b[?2026l"

_KEYS_BYTES_MAX: Final = 64  # what one key press sends, an arrow's escape sequence included, arrives together

Events = queue.SimpleQueue[TillEvent | Redraw | Stop]


class StatusSource:
    """Gathers what is always in sight; to be called from the till's loop alone."""

    def __init__(self, journal: JournalReader, downlink: Downlink, now: Callable[[], TapTime]) -> None:
        self._journal = journal
        self._downlink = downlink
        self._now = now
        self._acknowledged = Acknowledged(None, None)
        self._hotlist = EMPTY_HOTLIST
        self._configuration_version = 0

    def read(self) -> Status:
        """The state of this moment."""
        head, at = self._journal.head(), self._now()
        fault = None
        try:
            self._acknowledged, self._hotlist = self._downlink.acknowledged(), self._downlink.hotlist()
            configuration = self._downlink.configuration()
            self._configuration_version = 0 if configuration is None else configuration.version
        except DownlinkUnreadable as error:
            fault = str(error)  # shown beside what was read before
        next_seq = min(max(self._acknowledged.next_seq, 1), head.seq + 1)
        heard = self._acknowledged.heard_at_utc_s
        return Status(
            terminal=self._journal.terminal.hex(),
            clock=at.local().strftime("%H:%M:%S"),
            sealed=head.seq,
            unsent=head.seq + 1 - next_seq,
            unsent_fen=head.total_fen - self._journal.total_before_fen(next_seq),
            heard_s_ago=None if heard is None else max(at.utc_s - heard, 0),
            hotlist_version=self._hotlist.version,
            hotlist_cards=len(self._hotlist.cards),
            downlink_fault=fault,
            configuration_version=self._configuration_version,
        )


class ConsoleScreen:
    """Draws on a terminal that understands ANSI, and reads single keys from it."""

    def __init__(self, events: Events, status: StatusSource, terminal: TextIO) -> None:
        self._events = events
        self._status = status
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

    def show(self, till: Till) -> None:
        """Draw the whole screen."""
        size = os.get_terminal_size(self._terminal.fileno())
        # A pseudo-terminal that nobody told its size says 0.
        lines = draw(till, self._keys, self._status.read(), width=size.columns or 80, height=size.lines or 24)
        self._write(_FRAME_BEGIN + "\x1b[K\r\n".join(lines) + _FRAME_END)

    def ended(self, result: SaleResult, elapsed_ms: float) -> None:
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


class JsonScreen:
    """One JSON object a line out, one amount (or `cancel`) a line in: the till for a program instead of a person."""

    def __init__(self, events: Events, lines_in: TextIO, lines_out: TextIO) -> None:
        self._events = events
        self._in = lines_in
        self._out = lines_out
        self._shown = ""
        self._writing = threading.Lock()  # both the till's loop and the thread below write lines
        threading.Thread(target=self._read_lines, name="lines", daemon=True).start()

    def show(self, till: Till) -> None:
        """Tell what the till waits for, when that has changed."""
        trouble = till.reader_fault or till.verdict or till.psam_fault
        fault = till.failure or (None if trouble is None else f"{trouble.why} [{trouble.code}]")
        state = json.dumps({"event": "waiting", "for": till.phase.name.lower(), "fault": fault})
        if state != self._shown:
            self._shown = state
            self._write(state)

    def ended(self, result: SaleResult, elapsed_ms: float) -> None:
        """Tell how a sale came out."""
        _, headline, detail = result_words(result)
        facts: dict[str, str | int | float] = {
            "event": "result",
            "kind": type(result).__name__,
            "text": f"{headline}. {detail}",
            "ms": round(elapsed_ms, 3),
        }
        if isinstance(result, Approved | ProofRefused | Torn | Unresolved):
            facts |= {"seq": result.record.tap_id.seq, "amount_fen": result.record.amount_fen}
        if isinstance(result, Approved):
            facts["balance_fen"] = result.balance_fen
        if isinstance(result, Refused):
            facts["refusal"] = result.refusal.name
        if isinstance(result, NotPaid | Torn) and result.code:
            facts["code"] = result.code
        self._write(json.dumps(facts))

    def _read_lines(self) -> None:
        for line in self._in:
            text = line.strip()
            try:
                self._events.put(CancelPressed() if text == "cancel" else amount_entered(text))
            except AmountUnreadable as error:
                self._write(json.dumps({"event": "unreadable", "text": str(error)}))
        self._events.put(Stop())

    def _write(self, line: str) -> None:
        with self._writing:
            self._out.write(line + "\n")
            self._out.flush()
