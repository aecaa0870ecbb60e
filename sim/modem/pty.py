"""A pseudo-terminal's modem side: raw, never blocking, and still there when the last client has closed it.

A pty has no modem lines and no baud rate of its own. Closing this side is what pulling out a USB modem is.
"""

from __future__ import annotations

import contextlib
import os
import tty
from pathlib import Path
from typing import Final

_READ_BYTES: Final = 4096


class Pty:
    """One pseudo-terminal; `path` is what a program opens."""

    def __init__(self, *, not_named: Path | None = None) -> None:
        """Never under the name `not_named`, which may be free again."""
        self._master, self._slave = os.openpty()
        if not_named is not None and os.ttyname(self._slave) == str(not_named):
            taken = (self._master, self._slave)
            self._master, self._slave = os.openpty()
            for descriptor in taken:
                os.close(descriptor)
        tty.setraw(self._slave)
        os.set_blocking(self._master, False)
        self.path = Path(os.ttyname(self._slave))

    def fileno(self) -> int:
        """For `select`."""
        return self._master

    def read(self, bytes_max: int = _READ_BYTES) -> bytes:
        """What a client has written so far; empty: nothing."""
        try:
            return os.read(self._master, bytes_max)
        except OSError:  # nothing there, or EIO: no client, which the slave held open here should prevent
            return b""

    def write(self, data: bytes) -> int:
        """How many of the bytes there was room for."""
        try:
            return os.write(self._master, data)
        except OSError:
            return 0

    def close(self) -> None:
        """Gone: every client reads an end or EIO from now on."""
        for descriptor in (self._master, self._slave):
            with contextlib.suppress(OSError):
                os.close(descriptor)
