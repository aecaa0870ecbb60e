"""The cardholder's PIN on the card: VERIFY and its try counter, CHANGE and RELOAD PIN, PIN UNBLOCK (JR/T
0025.2-2010).

Left out: what the PIN opens (`sim.card.purse`, `sim.card.load`).
"""

from __future__ import annotations

from typing import Final

from sim.card import chip
from sim.card.chip import Answer, Command
from sim.card.memory import Memory
from sim.card.ram import Ram
from sim.card.secure import SW_KEY_UNKNOWN, SecureMessaging, decipher
from sim.card.trail import SW_WRONG_MAC
from wire import pboc

PIN_TRIES: Final = 3
PIN_BYTES: Final = range(2, 7)  # four to twelve digits, two to a byte
CHANGE_BYTES: Final = range(5, 14)  # old PIN, FF, new PIN
RELOAD_BYTES: Final = range(6, 11)  # new PIN, MAC

SW_PIN_LOCKED: Final = 0x6983
SW_TRIES_LEFT: Final = 0x63C0

_SEPARATOR: Final = b"\xff"


class Pin:
    """The PIN of one card."""

    def __init__(self, memory: Memory, ram: Ram, secure: SecureMessaging) -> None:
        self._memory = memory
        self._ram = ram
        self._secure = secure

    def verify(self, command: Command) -> Answer:
        """VERIFY: a right PIN holds until the power goes or a directory is selected."""
        refusal = self._refusal(command.data)
        self._ram.pin_verified = refusal is None
        return refusal or Answer()

    def change(self, command: Command) -> Answer:
        """CHANGE PIN by its holder, who gives the old one; a wrong one counts as in VERIFY."""
        old, separator, new = command.data.partition(_SEPARATOR)
        if not separator or len(old) not in PIN_BYTES or len(new) not in PIN_BYTES:
            return Answer(sw=chip.SW_WRONG_DATA)
        refusal = self._refusal(old)
        if refusal is None:
            self._store(new)
        return refusal or Answer()

    def reload(self, command: Command) -> Answer:
        """RELOAD PIN by the issuer: a new PIN under a MAC of its own kind, like a TAC's, with all tries."""
        new, mac = command.data[: -pboc.MAC_BYTES], command.data[-pboc.MAC_BYTES :]
        key = self._memory["pin_reload_key"]
        if not key:
            return Answer(sw=SW_KEY_UNKNOWN)
        if mac != pboc.mac(pboc.tac_key(key), new):
            return self._secure.wrong_mac(SW_WRONG_MAC)
        self._secure.right_mac()
        self._store(new)
        return Answer()

    def unblock(self, command: Command) -> Answer:
        """PIN UNBLOCK by the issuer: a new PIN, enciphered, with all tries."""
        data = self._secure.opened(command, "pin_unblock_key")
        if isinstance(data, Answer):
            return data
        plain = decipher(self._memory["pin_unblock_key"], data)
        length, pin, padding = plain[0], plain[1 : 1 + plain[0]], plain[1 + plain[0] :]
        if length not in PIN_BYTES or padding != b"\x80" + bytes(len(padding) - 1):
            return Answer(sw=chip.SW_WRONG_DATA)
        self._store(pin)
        return Answer()

    def _store(self, pin: bytes) -> None:
        self._memory.commit({"pin": pin, "pin_tries_left": PIN_TRIES.to_bytes(1)})

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
