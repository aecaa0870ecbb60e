"""The cardholder's PIN on the card: VERIFY and its try counter (JR/T 0025.2-2010). Left out: changing it."""

from __future__ import annotations

from typing import Final

from sim.card.chip import Answer, Command
from sim.card.memory import Memory
from sim.card.ram import Ram

PIN_TRIES: Final = 3
PIN_BYTES: Final = range(2, 7)  # four to twelve digits, two to a byte

SW_PIN_LOCKED: Final = 0x6983
SW_TRIES_LEFT: Final = 0x63C0


class Pin:
    """The PIN of one card."""

    def __init__(self, memory: Memory, ram: Ram) -> None:
        self._memory = memory
        self._ram = ram

    def verify(self, command: Command) -> Answer:
        """VERIFY: a right PIN holds until the power goes or a directory is selected."""
        refusal = self._refusal(command.data)
        self._ram.pin_verified = refusal is None
        return refusal or Answer()

    def _refusal(self, pin: bytes) -> Answer | None:
        """None for the right PIN, which gives all tries back; otherwise one try less, in the memory before it is
        told.
        """
        tries = self._memory.number("pin_tries_left")
        if tries == 0:
            return Answer(sw=SW_PIN_LOCKED)
        if pin != self._memory["pin"]:
            self._memory.commit({"pin_tries_left": (tries - 1).to_bytes(1)})
            return Answer(sw=SW_TRIES_LEFT | tries - 1)
        if tries < PIN_TRIES:
            self._memory.commit({"pin_tries_left": PIN_TRIES.to_bytes(1)})
        return None
