"""Chips that are wrong in themselves: worn out, locked, blocked, with another issuer's keys; and a chip that only
repeats what a genuine one once answered.

Left out: what goes wrong between reader and chip (`sim.card.faults`).
"""

from __future__ import annotations

from enum import Enum
from typing import Final

from sim.card import chip, secure
from sim.card.chip import PoweredCard
from sim.card.memory import Memory
from sim.card.trail import COUNTER_MAX
from wire.pboc import BLOCK_BYTES, diversify

_HEADER_BYTES: Final = 4
_AT_END: Final = COUNTER_MAX.to_bytes(2)
_OTHER_ISSUER: Final = bytes(range(BLOCK_BYTES))


class Flaw(Enum):
    """What is wrong with a card."""

    WRONG_KEYS = "wrong-keys"
    COUNTERS_AT_END = "counters-at-end"
    PIN_LOCKED = "pin-locked"
    BLOCKED = "blocked"
    BLOCKED_FOR_GOOD = "blocked-for-good"
    CARD_BLOCKED = "card-blocked"


_CHANGES: Final[dict[Flaw, dict[str, bytes]]] = {
    Flaw.COUNTERS_AT_END: {"counter": _AT_END, "opening_counter": _AT_END, "online_counter": _AT_END},
    Flaw.PIN_LOCKED: {"pin_tries_left": b"\x00"},
    Flaw.BLOCKED: {"state": secure.BLOCKED},
    Flaw.BLOCKED_FOR_GOOD: {"state": secure.BLOCKED_FOR_GOOD},
    Flaw.CARD_BLOCKED: {"state": secure.CARD_BLOCKED},
}


def give_flaw(memory: Memory, flaw: Flaw) -> None:
    """Change a newly issued card, as if it had been made or treated so."""
    if flaw is Flaw.WRONG_KEYS:
        memory.commit({name: diversify(memory[name], _OTHER_ISSUER) for name in ("dpk", "dlk", "dtk")})
    else:
        memory.commit(_CHANGES[flaw])


class Mute:
    """What lies on the reader and does not answer: its answer to reset is longer than any card's (ISO 7816-3: 33)."""

    atr: Final = bytes(100)

    def reset(self) -> None:
        """Power off, power on: nothing is there to forget."""

    def transmit_raw(self, apdu: bytes) -> bytes:
        """It never answered its reset, so nobody may ask."""
        raise AssertionError(f"{apdu.hex()} came to a card that never answered its reset")


class Replay:
    """A chip without keys: to each kind of command it repeats the last answer it heard, fixed random and MACs included.

    While it listens (`genuine` is there) it passes everything on; `forge` makes it stand alone.
    """

    def __init__(self, genuine: PoweredCard) -> None:
        self._genuine: PoweredCard | None = genuine
        self._atr = genuine.atr
        self._answers: dict[bytes, bytes] = {}

    @property
    def atr(self) -> bytes:
        """The answer to reset of the genuine chip."""
        return self._atr

    def forge(self) -> None:
        """From now on without the genuine chip."""
        self._genuine = None

    def reset(self) -> None:
        """Power off, power on."""
        if self._genuine is not None:
            self._genuine.reset()

    def transmit_raw(self, apdu: bytes) -> bytes:
        """The genuine answer, or the one heard before; 6D00 for a command never heard."""
        header = apdu[:_HEADER_BYTES]
        if self._genuine is not None:
            self._answers[header] = self._genuine.transmit_raw(apdu)
        return self._answers.get(header, chip.SW_UNKNOWN_INS.to_bytes(2))
