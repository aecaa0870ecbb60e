"""What a powered card keeps in RAM: whether the PIN was given, and what one command leaves for the very next one.

Left out: what is left there (`sim.card.purchase`, `load`, `secure`).
"""

from __future__ import annotations

from typing import TypeVar

T = TypeVar("T")


class Ram:
    """Gone with the power. Whatever a command leaves is there for the next command alone."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Power off."""
        self.pin_verified = False
        self._before: object = None
        self._now: object = None

    def next_command(self) -> None:
        """A command begins: it finds what the one before it left."""
        self._before, self._now = self._now, None

    def leave(self, what: object) -> None:
        """Leave something for the next command."""
        self._now = what

    def found(self, kind: type[T]) -> T | None:
        """What the command before this one left, if it is of that kind."""
        return self._before if isinstance(self._before, kind) else None
