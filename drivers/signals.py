"""Lamps and buzzer: which go on for how long when a sale ended. Pure; `drivers.signals_gpio` is the real board."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final, Protocol


class SignalLine(Enum):
    """What is on a line; the value is its name in `terminal.toml`."""

    GREEN = "green"
    YELLOW = "yellow"
    RED = "red"
    BUZZER = "buzzer"


class Signal(Enum):
    """What is to be told."""

    APPROVED = "approved"
    REFUSED = "refused"
    SAME_CARD = "same-card"


@dataclass(frozen=True, slots=True)
class Step:
    """These lines are on, all others off, for so long."""

    on: frozenset[SignalLine]
    ms: int


def _step(ms: int, *on: SignalLine) -> Step:
    return Step(frozenset(on), ms)


# Told apart without looking: one short tone, three quick ones, one long one that comes again.
PATTERNS: Final[Mapping[Signal, Sequence[Step]]] = {
    Signal.APPROVED: (_step(150, SignalLine.GREEN, SignalLine.BUZZER), _step(1_350, SignalLine.GREEN)),
    Signal.REFUSED: (
        *(
            _step(ms, SignalLine.RED, *buzzer)
            for ms, *buzzer in ((120, SignalLine.BUZZER), (80,), (120, SignalLine.BUZZER), (80,))
        ),
        _step(120, SignalLine.RED, SignalLine.BUZZER),
        _step(1_500, SignalLine.RED),
    ),
    Signal.SAME_CARD: (
        _step(600, SignalLine.YELLOW, SignalLine.BUZZER),
        _step(300, SignalLine.YELLOW),
        _step(600, SignalLine.YELLOW, SignalLine.BUZZER),
        _step(1_500, SignalLine.YELLOW),
    ),
}


class SignalLines(Protocol):
    """The lines that lamps and buzzer hang on."""

    def set(self, on: frozenset[SignalLine]) -> None:
        """Switch these on and all others off; one that is not wired is left out. Raises a `DeviceFault`."""
        ...
