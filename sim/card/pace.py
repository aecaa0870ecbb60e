"""The time that real chips take, so that what is measured with simulated ones is honest. Left out: the reader's own.

A chip with a pace calls `pause(seconds)` before it answers; nothing here sleeps by itself.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from sim.card.chip import PoweredCard, parse_command

Pace = Callable[[bytes, bytes], float]  # an APDU and its answer -> seconds

BAUD_AT_RESET: Final = 9_600
BAUD_BY_PPS: Final = 38_400

# Measured on a contact CPU card, by class, instruction and P1. Commands that were not measured only read or compute
# once, as INITIALIZE does.
_CARD_S: Final[dict[tuple[int, ...], float]] = {
    (0x00, 0xA4): 0.020,
    (0x80, 0x50, 0x00): 0.031,
    (0x80, 0x52): 0.047,
    (0x80, 0x54): 0.078,
}
_CARD_OTHER_S: Final = 0.015

_ETU_PER_CHARACTER: Final = 12  # T=0: start, 8 data, parity, 2 of guard time (ISO 7816-3)
_HEADER_CHARACTERS: Final = 5
_PROCEDURE_CHARACTERS: Final = 1
_FETCH_CHARACTERS: Final = 8  # 61xx, GET RESPONSE and its procedure byte


def card_pace(apdu: bytes, answer: bytes) -> float:
    """The time of a card's command."""
    header = tuple(apdu[:3])
    return _CARD_S.get(header, _CARD_S.get(header[:2], _CARD_OTHER_S))


def psam_pace(baud: int) -> Pace:
    """The time that a command's characters take on a contact PSAM's line: 9,600 baud, or more after PPS."""

    def pace(apdu: bytes, answer: bytes) -> float:
        command = parse_command(apdu)
        sent = _HEADER_CHARACTERS + _PROCEDURE_CHARACTERS + (len(command.data) if command is not None else 0)
        fetched = _FETCH_CHARACTERS if command is not None and command.data and len(answer) > 2 else 0
        return (sent + fetched + len(answer)) * _ETU_PER_CHARACTER / baud

    return pace


class PacedChip:
    """A powered chip that takes its time."""

    def __init__(self, chip: PoweredCard, pace: Pace, pause: Callable[[float], None]) -> None:
        self._chip = chip
        self._pace = pace
        self._pause = pause

    @property
    def atr(self) -> bytes:
        """The answer to reset."""
        return self._chip.atr

    def reset(self) -> None:
        """Power off, power on."""
        self._chip.reset()

    def transmit_raw(self, apdu: bytes) -> bytes:
        """One APDU, answered after its time."""
        answer = self._chip.transmit_raw(apdu)
        self._pause(self._pace(apdu, answer))
        return answer
