"""A customer display of two lines of twenty characters, and its bytes; `drivers.display_cd5220` is the real one. Pure.

Left out: what is shown when (`terminal.outputs`).
"""

from __future__ import annotations

from typing import Final, Protocol

DISPLAY_COLUMNS: Final = 20
INITIALISE: Final = b"\x1b@"
_UPPER, _LOWER, _END = b"\x1bQA", b"\x1bQB", b"\r"


class CustomerDisplay(Protocol):
    """Two lines towards the customer."""

    def show(self, upper: str, lower: str) -> None:
        """Replace both lines; raises a `DeviceFault`. A display cannot answer: whether it is lit, nobody knows."""
        ...


def encode(upper: str, lower: str) -> bytes:
    """CD5220's commands for both lines, which LED displays of one line know too; only ASCII can be shown."""
    return _UPPER + _ascii(upper) + _END + _LOWER + _ascii(lower) + _END


def _ascii(text: str) -> bytes:
    shown = "".join(character if " " <= character <= "~" else "?" for character in text)
    return shown[:DISPLAY_COLUMNS].ljust(DISPLAY_COLUMNS).encode("ascii")
