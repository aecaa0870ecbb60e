"""What lamps and buzzer do is told apart by ear and by eye."""

from __future__ import annotations

from drivers.signals import PATTERNS, Signal, SignalLine


def test_every_signal_has_a_lamp_of_its_own_that_stays_on_after_the_tones() -> None:
    lamps = {signal: pattern[-1].on for signal, pattern in PATTERNS.items()}
    assert lamps == {
        Signal.APPROVED: {SignalLine.GREEN},
        Signal.REFUSED: {SignalLine.RED},
        Signal.SAME_CARD: {SignalLine.YELLOW},
    }


def test_every_signal_has_tones_of_its_own() -> None:
    tones = {
        signal: tuple(step.ms for step in pattern if SignalLine.BUZZER in step.on)
        for signal, pattern in PATTERNS.items()
    }
    assert [len(tones[signal]) for signal in (Signal.APPROVED, Signal.REFUSED, Signal.SAME_CARD)] == [1, 3, 2]


def test_no_pattern_lasts_into_the_next_customer() -> None:
    assert all(sum(step.ms for step in pattern) <= 3_000 for pattern in PATTERNS.values())
