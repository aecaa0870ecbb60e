"""A simulated serial device: a pseudo-terminal with a thread that takes what is written at a chosen pace.

Left out: what the bytes mean, which `receive` of each device knows.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from sim.devices.faults import UnknownCommand
from sim.modem.pty import Pty

_TICK_S: Final = 0.005
_BITS_A_BYTE: Final = 10


class SerialSimulator(ABC):
    """One device. It is plugged in within `with`; `error` is what it did not understand, after which it is dead.

    `link` is a name that stays when the device is plugged in again, as udev's /dev/serial/by-id is.
    `baud` None: as fast as it comes.
    """

    def __init__(self, link: Path, *, baud: int | None = None) -> None:
        self.link = link
        self.baud = baud
        self.error: UnknownCommand | None = None
        self.stuck = False  # takes no bytes: flow control, or hung
        self.lock = threading.Lock()
        self._pty: Pty | None = None
        self._last_path: Path | None = None
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._serve, name=type(self).__name__, daemon=True)

    @abstractmethod
    def receive(self, data: bytes) -> bytes:
        """Take bytes, give back the answers; `UnknownCommand` for what means nothing. Called with `lock` held."""

    def idle(self) -> bytes:
        """What it says unasked, or late; called with `lock` held, every tick."""
        return b""

    def plug(self) -> None:
        """Put the cable in; no effect if it is in."""
        with self.lock:
            if self._pty is None:
                self._pty = Pty(not_named=self._last_path)
                self._last_path = self._pty.path
                self.link.unlink(missing_ok=True)
                self.link.symlink_to(self._pty.path)

    def unplug(self) -> None:
        """Pull the cable out; what the device had begun, it ends."""
        with self.lock:
            if self._pty is not None:
                self._pty.close()
                self._pty = None
                self.link.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        self.plug()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ending.set()
        self._thread.join(5)
        self.unplug()

    def _serve(self) -> None:
        # Looked at in turns: a thread that waited in select would keep a cable in the port that was pulled out of it.
        while not self._ending.wait(_TICK_S):
            with self.lock:
                if self._pty is not None and not self.stuck and self.error is None:
                    self._turn(self._pty)

    def _turn(self, pty: Pty) -> None:
        data = pty.read() if self.baud is None else pty.read(max(1, int(self.baud / _BITS_A_BYTE * _TICK_S)))
        try:
            answer = self.receive(data) if data else b""
        except UnknownCommand as error:
            self.error = error
            return
        pty.write(answer + self.idle())
