"""A pseudo-terminal that answers by a script, for the oddities that no simulated modem has on purpose."""

from __future__ import annotations

import os
import select
import threading
import tty
from collections.abc import Mapping
from types import TracebackType
from typing import Self

OK = b"\r\nOK\r\n"


class ScriptedModem:
    """Answers each command line (ended by CR) with what `answers` has for it, ERROR otherwise.

    After an answer with a prompt in it everything up to ^Z is data, and `answers` has "data" for it; ESC cancels.
    What is put into `late` goes out right before the next answer, whatever that is.
    """

    def __init__(self, answers: Mapping[str, bytes]) -> None:
        self.answers = dict(answers)
        self.heard: list[bytes] = []  # each line or piece of data, without its end
        self.raw = b""
        self.late = b""
        self._master, self._slave = os.openpty()
        tty.setraw(self._slave)
        self.path = os.ttyname(self._slave)
        self._stop_out, self._stop_in = os.pipe()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.unplug()
        os.close(self._stop_out)
        os.close(self._stop_in)

    def say(self, data: bytes) -> None:
        """Bytes that nobody asked for."""
        os.write(self._master, data)

    def unplug(self) -> None:
        """Gone from the bus. The thread ends first: its select would keep the port alive."""
        os.write(self._stop_in, b"x")
        self._thread.join(5)
        for descriptor in {self._master, self._slave} - {-1}:
            os.close(descriptor)
        self._master = self._slave = -1

    def _run(self) -> None:
        waiting, prompted = b"", False
        while True:
            ready, _, _ = select.select(
                [self._master, self._stop_out] if self._master >= 0 else [self._stop_out], [], []
            )
            if self._stop_out in ready:
                return
            try:
                piece = os.read(self._master, 4096)
            except OSError:
                return
            self.raw += piece
            waiting += piece
            while waiting:
                ends = [i for i in map(waiting.find, (b"\x1a", b"\x1b") if prompted else (b"\r",)) if i >= 0]
                if not ends:
                    break
                line, end, waiting = waiting[: min(ends)], waiting[min(ends) : min(ends) + 1], waiting[min(ends) + 1 :]
                line = line if prompted else line.lstrip(b"\x1b\n")
                self.heard.append(line)
                name = "data" if prompted and end == b"\x1a" else line.decode("latin-1")
                answer = OK if prompted and end == b"\x1b" else self.answers.get(name, b"\r\nERROR\r\n")
                prompted = b"\n>" in answer
                late, self.late = self.late, b""
                os.write(self._master, late + answer)
