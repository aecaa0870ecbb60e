"""The production programs as child processes: started with their own command lines, watched, and ended cleanly.

Left out: what they do. A child never outlives the simulator, however that ends (`setpriv --pdeathsig`).
"""

from __future__ import annotations

import contextlib
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, Self

from wire.errors import CampusError

READY_S_MAX: Final = 30.0  # a server on a Pi with a slow card needs some seconds; beyond that it has failed
END_S_MAX: Final = 10.0
_LOG_LINES_SHOWN: Final = 8


class ChildFailed(CampusError):
    """A program did not start, or ended when it should not have; the text has the end of its log."""

    code = "child-failed"


class Child:
    """One running program. What it prints comes line by line; what it logs goes to a file."""

    def __init__(self, name: str, process: subprocess.Popen[str], log: Path, end_s_max: float) -> None:
        self.name = name
        self._process = process
        self._log = log
        self._end_s_max = end_s_max
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._spoke = False
        self._reader = threading.Thread(target=self._read, name=f"{name} output", daemon=True)
        self._reader.start()

    @classmethod
    def start(
        cls,
        name: str,
        arguments: Sequence[str],
        *,
        log: Path,
        environment: Mapping[str, str],
        end_s_max: float = END_S_MAX,
    ) -> Self:
        """Start `python -m ARGUMENTS`; from the main thread, since a child is ended with the thread that made it."""
        command = ["setpriv", "--pdeathsig", "TERM", sys.executable, "-m", *arguments]
        with log.open("a", encoding="utf-8") as errors:
            process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                encoding="utf-8",
                errors="replace",
                bufsize=1,
                env=dict(environment),
                start_new_session=True,  # Ctrl-C is for the simulator, which then ends them in order
            )
        return cls(name, process, log, end_s_max)

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        return self._process.poll() is None

    def line(self, timeout_s: float) -> str | None:
        """The next printed line, or None after `timeout_s`; `ChildFailed` once it has ended and said all."""
        try:
            line = self._lines.get(timeout=timeout_s)
        except queue.Empty:
            return None
        if line is None:
            self._lines.put(None)
            raise self.failure()
        return line

    def wait_for(self, text: str) -> str:
        """Lines until one that starts with `text`; returns the rest of that one."""
        while (line := self.line(READY_S_MAX)) is not None:
            if line.startswith(text):
                return line.removeprefix(text).strip()
        raise ChildFailed(f"{self.name} did not say {text!r} within {READY_S_MAX:.0f} s; its log: {self._log}")

    def say(self, line: str) -> None:
        """Write one line to its standard input; a program that has gone is noticed when its output is read."""
        assert self._process.stdin is not None, "opened as a pipe"
        try:
            self._process.stdin.write(line + "\n")
            self._process.stdin.flush()
        except BrokenPipeError as error:
            raise self.failure() from error

    def end(self) -> None:
        """Ask it to end (SIGTERM) and wait; `ChildFailed` if it ends with an error or not at all."""
        asked = self._process.poll() is None
        if asked:
            self._process.send_signal(signal.SIGTERM)
        try:
            status = self._process.wait(self._end_s_max)
        except subprocess.TimeoutExpired as error:
            self._process.kill()
            self._process.wait()
            raise ChildFailed(f"{self.name} did not end within {self._end_s_max:.0f} s") from error
        finally:
            self._close_pipes()
        # One that has said nothing yet was still starting, without a handler of its own for the signal.
        if status != 0 and not (asked and not self._spoke and status == -signal.SIGTERM):
            raise self.failure()

    def failure(self) -> ChildFailed:
        """How it ended, and the last it logged."""
        try:
            status = self._process.wait(self._end_s_max)
            how = f"was killed by signal {-status}" if status < 0 else f"ended with status {status}"
        except subprocess.TimeoutExpired:
            how = "has closed its input or output, but still runs"
        tail = self._log.read_text(encoding="utf-8", errors="replace").splitlines()[-_LOG_LINES_SHOWN:]
        return ChildFailed("\n  ".join([f"{self.name} {how}; its log is {self._log}", *tail]))

    def _close_pipes(self) -> None:
        """After its end: the reader has seen the last line, and what was not read by it is no matter any more."""
        self._reader.join(self._end_s_max)
        # Whoever inherited the output may keep it open; closing it here would wait for the reader for ever.
        for pipe in (self._process.stdin, None if self._reader.is_alive() else self._process.stdout):
            if pipe is None:
                continue
            with contextlib.suppress(BrokenPipeError):
                pipe.close()

    def _read(self) -> None:
        assert self._process.stdout is not None, "opened as a pipe"
        for line in self._process.stdout:
            self._spoke = True
            self._lines.put(line.rstrip("\n"))
        self._lines.put(None)
