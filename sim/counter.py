"""The demo's counter: the real till in the upper part of the terminal, simulated cards under one's fingers below it.

The till runs on a pseudo-terminal and knows nothing of this; keys that mean a card are kept back, all others are its
own. Left out: what the till shows (`terminal.screen`).
"""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import sqlite3
import struct
import subprocess
import sys
import termios
import threading
import tty
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from itertools import zip_longest
from pathlib import Path
from random import Random
from typing import Final, Protocol

from sim.campus import STREAM, Campus
from sim.crowd import Student
from sim.evidence import PURCHASE, open_reader
from sim.process import END_S_MAX, ChildFailed
from wire.errors import CampusError
from wire.money import format_fen

LETTERS: Final = 6  # cards that have a key of their own
LEAVES_AFTER_S: Final = 1.2  # a hand takes its card away when nothing has happened for so long
WAITS_S_MAX: Final = 15.0  # and even a patient one after this
AT_POINT_S_MAX: Final = 120.0  # somebody types a PIN there
_TICK_S: Final = 0.2
_CARD_ROWS: Final = (LETTERS + 1) // 2  # two cards a line
_LEGEND_LINES: Final = _CARD_ROWS + 4  # a rule, the cards, a problem, the ledger; the last line stays free
_FRAME_END: Final = b"\x1b[?2026l"
# What the till asks a terminal: whether it shows frames whole, which is answered here, since its frames end by it; and
# for other keys and its own size, which a half of a terminal cannot give.
_ASKS_FRAMES, _HAS_FRAMES = b"\x1b[?2026$p", b"\x1b[?2026;2$y"
_NOT_FOR_A_HALF: Final = re.compile(rb"\x1b\[\?2048\$p|\x1b\[>[0-9]+u|\x1b\[\?1004h")
_KEY: Final = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|O[ -~]|[a-zA-Z])|.", re.DOTALL)
_MOUSE_OFF: Final = b"\x1b[?1000l\x1b[?1003l\x1b[?1015l\x1b[?1006l\x1b[?2004l"
_CTRL_C: Final = "\x03"
_DIM, _BOLD, _RESET = "\x1b[2m", "\x1b[1m", "\x1b[0m"


class CardHand(Protocol):
    """Who can hold one card to the reader; `sim.campus.Hand` does."""

    @property
    def idle_since_s(self) -> float | None:
        """When the card answered last; None before its first answer."""
        ...

    def present(self, student: Student, rng: Random) -> None:
        """Put this student's card on the reader."""
        ...

    def take_away(self) -> None:
        """Remove the card, if there is one."""
        ...


class CardHolder:
    """A thread that presents the wanted card and takes it away again, so that the screen never waits for a reader."""

    def __init__(
        self,
        hand: CardHand,
        monotonic_s: Callable[[], float],
        rng: Random,
        *,
        leaves_after_s: float = LEAVES_AFTER_S,
        waits_s_max: float = WAITS_S_MAX,
    ) -> None:
        self._hand = hand
        self._leaves_after_s = leaves_after_s
        self._waits_s_max = waits_s_max
        self._monotonic_s = monotonic_s
        self._rng = rng
        self._changed = threading.Condition()
        self._wanted: Student | None = None  # the card that comes next; the last letter wins
        self._leaving = False
        self._ending = False
        self.holding: Student | None = None
        self.problem = ""
        self._thread = threading.Thread(target=self._work, name="hand", daemon=True)
        self._thread.start()

    def tap(self, student: Student) -> None:
        """Present this card, after pulling away any other; if it is the one on the reader, only pull it away."""
        with self._changed:
            pull_only = self.holding is student and not self._leaving
            self._wanted = None if pull_only else student
            self._leaving = True
            self._changed.notify()

    def stop(self) -> None:
        """Take the card away and end."""
        with self._changed:
            self._ending = self._leaving = True
            self._changed.notify()
        self._thread.join()

    def _work(self) -> None:
        while (student := self._next()) is not None:
            try:
                try:
                    self._hand.present(student, Random(self._rng.random()))
                    self._wait(self._monotonic_s())
                finally:
                    self._hand.take_away()
            except CampusError as error:
                self.problem = str(error)
            with self._changed:
                self.holding = None

    def _next(self) -> Student | None:
        """Wait for a card to be wanted, which is then the one held; None at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._wanted is not None or self._ending)
            if self._ending or self._wanted is None:
                return None
            self.holding, self._wanted = self._wanted, None
            self._leaving, self.problem = False, ""
            return self.holding

    def _wait(self, began_s: float) -> None:
        with self._changed:
            while not self._changed.wait_for(lambda: self._leaving, _TICK_S):
                now_s = self._monotonic_s()
                idle_since_s = self._hand.idle_since_s
                idle = idle_since_s is not None and now_s - idle_since_s > self._leaves_after_s
                if idle or now_s - began_s > self._waits_s_max:
                    self._leaving = True


class Counter:
    """The screen's two halves and the keyboard between them."""

    def __init__(self, campus: Campus, *, monotonic_s: Callable[[], float], seed: int) -> None:
        self._campus = campus
        self._monotonic_s = monotonic_s
        self._letters = {student.letter: student for student in campus.students[:LETTERS]}
        self._holder = CardHolder(campus.hand(), monotonic_s, Random(seed))
        self._at_point = CardHolder(
            campus.hand_at_point(),
            monotonic_s,
            Random(~seed),
            leaves_after_s=AT_POINT_S_MAX,
            waits_s_max=AT_POINT_S_MAX,
        )
        self._frame = b""
        self._fitted: os.terminal_size | None = None
        # What is read from files, which is done once a tick: a frame comes with every key.
        self._balances: dict[str, str] = {}
        self._ledger = ""
        self._look_again_s = 0.0

    def run(self) -> None:
        """Until Ctrl-C or the till's end. Keys stay keys until all is put away: Ctrl-C twice interrupts nothing."""
        with _raw_terminal():
            try:
                with self._till() as (till, master):
                    self._serve(till, master)
            finally:
                self._holder.stop()
                self._at_point.stop()

    @contextmanager
    def _till(self) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
        """The till as a child on a pseudo-terminal of its own; ended by SIGTERM if it has not ended by itself."""
        master, slave = pty.openpty()
        self._fit(master)
        command = ["setpriv", "--pdeathsig", "TERM", sys.executable, "-m", "terminal", "run"]
        with self._campus.log("till").open("ab") as log:
            till = subprocess.Popen(
                [*command, "--home", str(self._campus.home)],
                stdin=slave,
                stdout=slave,
                stderr=log,
                env=self._campus.environment,
                start_new_session=True,
            )
        os.close(slave)
        try:
            yield till, master
        finally:
            if till.poll() is None:
                till.send_signal(signal.SIGTERM)
            _see_off(till, master, deadline_s=self._monotonic_s() + END_S_MAX, monotonic_s=self._monotonic_s)
            os.close(master)

    def _serve(self, till: subprocess.Popen[bytes], master: int) -> None:
        buffer = b""
        keyboard = sys.stdin.fileno()
        while True:
            readable, _, _ = select.select([keyboard, master], [], [], _TICK_S)
            if keyboard in readable and not self._keys(os.read(keyboard, 64), master):
                return
            if master in readable:
                try:
                    buffer += os.read(master, 65_536)
                except OSError as error:  # the till has closed its end
                    if (status := till.wait()) != 0:
                        log = self._campus.log("till")
                        raise ChildFailed(f"the till ended with status {status}; its log is {log}") from error
                    return
                buffer = self._without_questions(buffer, master)
                done, found, rest = buffer.rpartition(_FRAME_END)
                if found:
                    self._frame, buffer = done + found, rest
            if self._fit(master):
                till.send_signal(signal.SIGWINCH)  # its terminal is no session's, so the kernel tells nobody
            self._campus.check_children()
            self._draw()

    def _without_questions(self, shown: bytes, master: int) -> bytes:
        """Answer the till in the terminal's place."""
        if _ASKS_FRAMES in shown:
            os.write(master, _HAS_FRAMES)
        return _NOT_FOR_A_HALF.sub(b"", shown.replace(_ASKS_FRAMES, b""))

    def _keys(self, keys: bytes, master: int) -> bool:
        """Pass keys on, present cards; False when it is time to end."""
        for key in _KEY.findall(keys.decode("latin-1")):  # an arrow key ends in a letter, and presents no card
            student = self._letters.get(key.lower())
            if key == _CTRL_C:
                return False
            if student is not None:
                (self._at_point if key.isupper() else self._holder).tap(student)
            else:
                os.write(master, key.encode("latin-1"))
        return bool(keys)  # nothing at all: the terminal has gone

    def _draw(self) -> None:
        size = _size()
        legend = self._legend(size.columns)
        top = max(size.lines - _LEGEND_LINES, 1)
        del legend[size.lines - top :]
        lower = "".join(f"\x1b[{top + row};1H\x1b[K{line}" for row, line in enumerate(legend, start=1))
        # The till's frame clears all below itself, so both halves go out in one write.
        os.write(sys.stdout.fileno(), self._frame.removesuffix(_FRAME_END) + lower.encode() + _FRAME_END)
        self._frame = b"\x1b[?2026h"

    def _legend(self, columns: int) -> list[str]:
        if (now_s := self._monotonic_s()) >= self._look_again_s:
            self._balances = {student.letter: format_fen(student.balance_fen) for student in self._letters.values()}
            self._ledger = ledger_words(self._campus.home / "settlement" / "ledger.db")
            self._look_again_s = now_s + _TICK_S
        cards = [self._card_words(student) for student in self._letters.values()]
        width = max(columns // 2 - 1, 0)
        rows = [f"{left:<{width}}{right}" for left, right in zip_longest(cards[:_CARD_ROWS], cards[_CARD_ROWS:])]
        title = " simulated cards: a letter presents one, the same letter again pulls it away "
        rule = f"{title:\N{BOX DRAWINGS LIGHT HORIZONTAL}^{columns}}"[:columns]
        below = [*rows, f" {self._holder.problem or self._at_point.problem}", f" {self._ledger}"]
        return [f"{_DIM}{rule}{_RESET}", *(line[:columns] for line in below)]

    def _card_words(self, student: Student) -> str:
        mark = "\N{BLACK RIGHT-POINTING POINTER}" if self._holder.holding is student else " "
        mark = "\N{UPWARDS ARROW}" if self._at_point.holding is student else mark
        about = f" {student.trait.value}" if student.trait.value else ""
        return f" {mark}{student.letter}  card {student.card} {self._balances[student.letter]:>7}{about}"

    def _fit(self, master: int) -> bool:
        """Give the till the upper part of the terminal; whether that has another size than before."""
        size = _size()
        changed, self._fitted = size != self._fitted, size
        if changed:
            rows = max(size.lines - _LEGEND_LINES, 1)
            fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, size.columns, 0, 0))
        return changed


def ledger_words(path: Path) -> str:
    """How far the books are, read from the ledger itself."""
    try:
        with closing(open_reader(path)) as ledger:
            row = ledger.execute("SELECT position FROM source_cursor WHERE source = ?", (STREAM.label,)).fetchone()
            newest = ledger.execute(
                "SELECT seq, amount_fen FROM entry WHERE kind = ? ORDER BY id DESC", (PURCHASE,)
            ).fetchone()
    except sqlite3.Error:  # the next look, a tick later, is as good
        return "ledger busy"
    if row is None or newest is None:
        return "the ledger has no purchase yet"
    taps = "1 tap" if row[0] == 1 else f"{row[0]} taps"
    return f"ledger: {taps} read; newest entry is tap {newest[0]}, {format_fen(newest[1])}"


def _see_off(
    till: subprocess.Popen[bytes], master: int, *, deadline_s: float, monotonic_s: Callable[[], float]
) -> None:
    """Wait for the till's end and read what it still draws, which it would otherwise wait for ever to be rid of."""
    while till.poll() is None and monotonic_s() < deadline_s:
        if select.select([master], [], [], _TICK_S)[0]:
            try:
                os.read(master, 65_536)
            except OSError:  # it has closed its end, and only has to be waited for
                with suppress(subprocess.TimeoutExpired):
                    till.wait(deadline_s - monotonic_s())
    if till.poll() is None:
        till.kill()
        till.wait()


def _size() -> os.terminal_size:
    """The terminal's size; one that does not say gets what every terminal has."""
    size = os.get_terminal_size()
    return size if size.columns and size.lines else os.terminal_size((80, 24))


@contextmanager
def _raw_terminal() -> Iterator[None]:
    """Single keys, nothing echoed, an empty screen of its own; as it was before, afterwards."""
    keyboard = sys.stdin.fileno()
    before = termios.tcgetattr(keyboard)
    tty.setraw(keyboard)
    os.write(sys.stdout.fileno(), b"\x1b[?1049h\x1b[?25l\x1b[2J")
    try:
        yield
    finally:
        termios.tcsetattr(keyboard, termios.TCSADRAIN, before)
        os.write(sys.stdout.fileno(), _MOUSE_OFF + b"\x1b[?25h\x1b[?1049l")
