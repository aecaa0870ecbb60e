"""What the daemon answers when the operator asks: how things stand, and the last lines it logged, kept in memory.

Left out: how the question comes and the answer goes (`sync.uplink`).
"""

from __future__ import annotations

import json
import logging
from collections import deque
from pathlib import Path
from typing import Final

from sync.clock import Clock
from sync.status import read_status
from wire.downlink import ANSWER_BYTES_MAX, Question
from wire.errors import CampusError

LINES_MAX: Final = 300
LINE_LETTERS_MAX: Final = 500  # a line with a fault's whole story must not push out all others


class LogRing(logging.Handler):
    """The last lines that were logged."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        self._lines: deque[str] = deque(maxlen=LINES_MAX)

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a line."""
        self._lines.append(self.format(record)[:LINE_LETTERS_MAX])

    def text(self) -> str:
        """As many of the last lines as an answer takes, oldest first."""
        lines: deque[str] = deque()
        size = 0
        for line in reversed(self._lines):
            size += len(line.encode(errors="replace")) + 1
            if size > ANSWER_BYTES_MAX:
                break
            lines.appendleft(line)
        return "\n".join(lines)


class Answers:
    """Answers from a terminal's folder and its daemon's log."""

    def __init__(self, folder: Path, ring: LogRing, clock: Clock) -> None:
        self._folder = folder
        self._ring = ring
        self._clock = clock

    def answer(self, what: Question) -> str:
        """The text to send; what keeps it from being made is said in its place."""
        if what is Question.LOG:
            return self._ring.text()
        try:
            status = read_status(self._folder, now_utc_s=self._clock.utc_s())
        except CampusError as error:
            return f"{error} [{error.code}]"
        return json.dumps(status.as_json(), ensure_ascii=False)
