"""The counter on a pseudo-terminal, as somebody sits before it: keys in, words on the screen out, and a clean end."""

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
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random

import pytest

from sim.counter import CardHolder, ledger_words
from sim.crowd import Student, crowd
from sim.evidence import LOAD, PURCHASE
from terminal.words import WORDS
from terminal.words.catalogue import Language

SEEN_S_MAX = 60.0
SIZES = ((12, 40), (5, 10), (1, 1), (0, 0), (50, 200))  # lines, columns; (0, 0) is a terminal that does not say
ZH = WORDS[Language.ZH_HANS]
TYPE_AMOUNT, PRESENT_CARD, APPROVED = (text.encode() for text in (ZH.type_amount, ZH.present_card, ZH.approved))
TAP = ZH.tap_and_card.partition("{seq}")[0].encode() + b"([0-9]+)"
ESCAPE = re.compile(rb"\x1b(?:\[[0-?]*[ -/]*[@-~]|[@-Z\\-_])")


@dataclass
class Desk:
    """`campus-sim run` on a pseudo-terminal, and all that it has shown so far."""

    run: subprocess.Popen[bytes]
    master: int
    slave: int
    shown: bytes = b""

    def press(self, keys: bytes) -> None:
        os.write(self.master, keys)

    def resize(self, lines: int, columns: int) -> None:
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def wait_for(self, pattern: bytes) -> re.Match[bytes]:
        """Read until the pattern is shown, then forget all up to its end."""
        deadline_s = time.monotonic() + SEEN_S_MAX
        while (found := re.search(pattern, ESCAPE.sub(b"", self.shown))) is None:
            assert time.monotonic() < deadline_s, f"{pattern!r} was not shown, but {self.shown[-3000:]!r}"
            assert self._read(1.0) or self.run.poll() is None, f"ended without showing {pattern!r}: {self.shown!r}"
        self.shown = b""
        return found

    def wait_for_frames(self, count: int) -> None:
        for _ in range(count):
            self.wait_for(b"(?s).")
            self._read(1.0)

    def end(self) -> tuple[int, str]:
        """Read to its end; the exit status, and what it showed."""
        deadline_s = time.monotonic() + SEEN_S_MAX
        while self.run.poll() is None:
            assert time.monotonic() < deadline_s, "it did not end"
            self._read(0.1)
        while self._read(0.0):
            pass
        return self.run.returncode, self.shown.decode()

    def _read(self, timeout_s: float) -> bool:
        if not select.select([self.master], [], [], timeout_s)[0]:
            return False
        self.shown += os.read(self.master, 65_536)
        return True


@contextmanager
def counter(home: Path) -> Iterator[Desk]:
    """A desk with 24 lines of 80; the slave stays open here, so that its attributes can be looked at afterwards."""
    master, slave = pty.openpty()
    fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    # Tests that run in the background have SIGINT ignored, and children inherit that.
    command = ["env", "--default-signal=INT", sys.executable, "-m", "sim", "run", "--home", str(home)]
    run = subprocess.Popen(
        command,
        stdin=slave,
        stdout=slave,
        stderr=slave,
        start_new_session=True,
    )
    try:
        yield Desk(run, master, slave)
    finally:
        if run.poll() is None:
            run.kill()
        run.wait()
        os.close(master)
        os.close(slave)


def pid_of(parent: int, module: str) -> int:
    """The child that runs `python -m MODULE`."""
    for children in Path(f"/proc/{parent}/task").glob("*/children"):
        for pid in children.read_text().split():
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            if b"-m" in words and words[words.index(b"-m") + 1] == module.encode():
                return int(pid)
    raise AssertionError(f"no child runs {module}")


class RecordingHand:
    """Writes down what it does; a card stays as long as the test lets it, for time stands still."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.changed = threading.Condition()
        self.may_take_away = threading.Event()
        self.idle_since_s: float | None = None

    def present(self, student: Student, rng: Random) -> None:
        self._note(student.letter)

    def take_away(self) -> None:
        self._note("leaving")
        assert self.may_take_away.wait(SEEN_S_MAX)
        self._note("away")

    def wait_for(self, *done: str) -> None:
        with self.changed:
            assert self.changed.wait_for(lambda: self.done == list(done), SEEN_S_MAX), self.done

    def _note(self, what: str) -> None:
        with self.changed:
            self.done.append(what)
            self.changed.notify()


def test_another_letter_pulls_the_held_card_and_the_last_letter_comes_next_and_once(tmp_path: Path) -> None:
    first, second, third, *_ = crowd(tmp_path)
    hand = RecordingHand()
    holder = CardHolder(hand, lambda: 0.0, Random(1))
    holder.tap(first)
    hand.wait_for("a")
    for student in (second, third, third):
        holder.tap(student)
    hand.wait_for("a", "leaving")
    hand.may_take_away.set()
    hand.wait_for("a", "leaving", "away", "c")
    holder.stop()
    assert hand.done == ["a", "leaving", "away", "c", "leaving", "away"]


def test_same_letter_pulls_the_held_card_and_while_it_leaves_brings_it_back(tmp_path: Path) -> None:
    first = crowd(tmp_path)[0]
    hand = RecordingHand()
    holder = CardHolder(hand, lambda: 0.0, Random(1))
    holder.tap(first)
    hand.wait_for("a")
    holder.tap(first)
    hand.wait_for("a", "leaving")
    holder.tap(first)
    hand.may_take_away.set()
    hand.wait_for("a", "leaving", "away", "a")
    holder.tap(first)
    hand.wait_for("a", "leaving", "away", "a", "leaving", "away")
    holder.stop()
    assert hand.done == ["a", "leaving", "away", "a", "leaving", "away"]


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        ([], "the ledger has no purchase yet"),
        ([(PURCHASE, 1, 4_00)], "ledger: 1 tap read; newest entry is tap 1, 4.00"),
        ([(PURCHASE, 1, 4_00), (PURCHASE, 2, 12_50)], "ledger: 2 taps read; newest entry is tap 2, 12.50"),
        ([(PURCHASE, 2, 4_00), (LOAD, 1, 20_00)], "ledger: 2 taps read; newest entry is tap 2, 4.00"),
    ],
)
def test_ledger_line_says_how_far_the_books_are(
    tmp_path: Path, entries: list[tuple[int, int, int]], words: str
) -> None:
    with closing(sqlite3.connect(tmp_path / "ledger.db")) as ledger:
        ledger.execute("CREATE TABLE source_cursor (source TEXT, position INTEGER)")
        ledger.execute("CREATE TABLE entry (id INTEGER PRIMARY KEY, kind INTEGER, seq INTEGER, amount_fen INTEGER)")
        ledger.executemany("INSERT INTO entry (kind, seq, amount_fen) VALUES (?, ?, ?)", entries)
        ledger.execute("INSERT INTO source_cursor VALUES ('canteen', ?)", (len(entries),))
        ledger.commit()
    assert ledger_words(tmp_path / "ledger.db") == words


def test_ledger_that_cannot_be_read_now_is_told_as_busy(tmp_path: Path) -> None:
    assert ledger_words(tmp_path / "none.db") == "ledger busy"


def test_second_ctrl_c_skips_the_wait_and_the_audit_still_runs(copied_home: Path) -> None:
    with counter(copied_home) as desk:
        desk.wait_for(TYPE_AMOUNT)
        daemon = pid_of(desk.run.pid, "sync")
        os.kill(daemon, signal.SIGSTOP)  # so that nothing more is booked
        desk.press(b"12,5\r")
        desk.wait_for(PRESENT_CARD)
        desk.press(b"a")
        desk.wait_for(APPROVED)
        desk.press(b"\x03")
        desk.wait_for(b"The till has closed; waiting until everything is booked")
        desk.run.send_signal(signal.SIGINT)
        os.kill(daemon, signal.SIGCONT)
        status, shown = desk.end()
        assert status == 0, shown
        assert "the wait was skipped; the auditor names" in shown
        assert "verdict: content" in shown
        assert "Traceback" not in shown


def test_sale_is_seen_from_the_first_key_to_the_ledger_and_ctrl_c_gives_the_verdict(home: Path) -> None:
    with counter(home) as desk:
        before = termios.tcgetattr(desk.slave)
        desk.wait_for(TYPE_AMOUNT)
        desk.press(b"12,5\r")
        desk.wait_for(PRESENT_CARD)
        desk.press(b"\x1b[A\x1bOB")  # arrows, which end in letters that are cards
        desk.press(b"a")
        tap = desk.wait_for(APPROVED + b"(?s:.*?)" + TAP).group(1)
        desk.wait_for(rb"newest entry is tap " + tap + rb", [0-9.]+\.50")
        for lines, columns in SIZES:
            desk.resize(lines, columns)
            desk.wait_for_frames(4)
        desk.resize(24, 80)
        desk.wait_for(b"simulated cards")
        desk.press(b"\x03")
        status, shown = desk.end()
        assert status == 0, shown
        assert "verdict: content" in shown
        assert "Traceback" not in shown
        assert shown.index("\x1b[?1049l") < shown.index("Auditor")
        assert termios.tcgetattr(desk.slave) == before


def test_sigterm_with_a_card_on_the_reader_gives_the_terminal_back(home: Path) -> None:
    with counter(home) as desk:
        before = termios.tcgetattr(desk.slave)
        desk.wait_for(TYPE_AMOUNT)
        desk.press(b"b")
        desk.wait_for("\N{BLACK RIGHT-POINTING POINTER}b".encode())
        desk.run.send_signal(signal.SIGTERM)
        status, shown = desk.end()
        assert status == 130, shown
        assert "the same command goes on from here" in shown
        assert "Traceback" not in shown
        assert "\x1b[?1049l" in shown
        assert termios.tcgetattr(desk.slave) == before
