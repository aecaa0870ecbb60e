"""Secure messaging: the issuer's commands, each with a MAC over a fresh challenge (JR/T 0025.2-2010; ISO 9797-1
algorithm 3), the count of wrong MACs, and the blocking of application and card.

Left out: enciphered answers, and the MAC of RELOAD PIN, which needs no challenge (`sim.card.pin`).
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Final

from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives.ciphers import Cipher, modes

from sim.card import chip
from sim.card.chip import Answer, Command
from sim.card.memory import Memory
from sim.card.ram import Ram
from wire.pboc import BLOCK_BYTES, KEY_BYTES, MAC_BYTES

MAC_TRIES: Final = 3
CHALLENGE_BYTES: Final = 4
ACTIVE, BLOCKED, BLOCKED_FOR_GOOD, CARD_BLOCKED = (bytes((state,)) for state in range(4))

SW_KEY_UNKNOWN: Final = 0x9403
SW_BLOCKED_FOR_GOOD: Final = 0x9303
SW_NO_CHALLENGE: Final = 0x6984
SW_MAC_MISSING: Final = 0x6987
SW_MAC_WRONG: Final = 0x6988

_FOR_GOOD: Final = 0x01


@dataclass(frozen=True, slots=True)
class _Challenge:
    """What GET CHALLENGE leaves in RAM for the command that must follow at once."""

    random: bytes


def retail_mac(key: bytes, initial: bytes, data: bytes) -> bytes:
    """The 4-byte MAC of secure messaging: ISO 9797-1 algorithm 3, padding 2, from an 8-byte initial block."""
    assert len(key) == KEY_BYTES, "a card key has 16 bytes"
    padded = data + b"\x80" + bytes(-(len(data) + 1) % BLOCK_BYTES)
    head, last = padded[:-BLOCK_BYTES], padded[-BLOCK_BYTES:]
    # Three equal keys make 3DES single DES; the library has no DES of its own.
    chained = initial + Cipher(TripleDES(key[:8] * 3), modes.CBC(initial)).encryptor().update(head)
    final = Cipher(TripleDES(key + key[:8]), modes.CBC(chained[-BLOCK_BYTES:])).encryptor().update(last)
    return final[:MAC_BYTES]


def command_mac(key: bytes, challenge: bytes, command: bytes) -> bytes:
    """The MAC of a command, given as header, Lc (with the MAC's four bytes) and data, for a 4-byte challenge."""
    return retail_mac(key, challenge + bytes(BLOCK_BYTES - CHALLENGE_BYTES), command)


def decipher(key: bytes, block: bytes) -> bytes:
    """One block under a 16-byte key."""
    return Cipher(TripleDES(key + key[:8]), modes.ECB()).decryptor().update(block)


class SecureMessaging:
    """The issuer's access to one card."""

    def __init__(self, memory: Memory, ram: Ram, rng: Random) -> None:
        self._memory = memory
        self._ram = ram
        self._rng = rng

    @property
    def state(self) -> bytes:
        """ACTIVE, BLOCKED, BLOCKED_FOR_GOOD or CARD_BLOCKED."""
        return self._memory["state"] or ACTIVE

    def get_challenge(self, _: Command) -> Answer:
        """GET CHALLENGE: a random that holds for the next command alone."""
        random = self._rng.randbytes(CHALLENGE_BYTES)
        self._ram.leave(_Challenge(random))
        return Answer(random)

    def opened(self, command: Command, key_name: str) -> bytes | Answer:
        """The command's data without its MAC, which was right; or the refusal."""
        key, challenge = self._memory[key_name], self._ram.found(_Challenge)
        data, mac = command.data[:-MAC_BYTES], command.data[-MAC_BYTES:]
        if not key:
            return Answer(sw=SW_KEY_UNKNOWN)
        if challenge is None:
            return Answer(sw=SW_NO_CHALLENGE)
        if len(mac) < MAC_BYTES:
            return Answer(sw=SW_MAC_MISSING)
        head = bytes((command.cla, command.ins, command.p1, command.p2, len(command.data)))
        if mac != command_mac(key, challenge.random, head + data):
            return self.wrong_mac(SW_MAC_WRONG)
        self.right_mac()
        return data

    def wrong_mac(self, sw: int) -> Answer:
        """Count a wrong MAC; the last one allowed blocks the application for good."""
        tries = self._memory.number("mac_tries_left") - 1
        if tries > 0:
            self._memory.commit({"mac_tries_left": tries.to_bytes(1)})
            return Answer(sw=sw)
        self._memory.commit({"mac_tries_left": b"\x00", "state": BLOCKED_FOR_GOOD})
        return Answer(sw=SW_BLOCKED_FOR_GOOD)

    def right_mac(self) -> None:
        """A right MAC gives all tries back."""
        if self._memory.number("mac_tries_left") < MAC_TRIES:
            self._memory.commit({"mac_tries_left": MAC_TRIES.to_bytes(1)})

    def application_block(self, command: Command) -> Answer:
        """APPLICATION BLOCK, for now or for good."""
        return self._change_state(command, BLOCKED_FOR_GOOD if command.p2 == _FOR_GOOD else BLOCKED)

    def application_unblock(self, command: Command) -> Answer:
        """APPLICATION UNBLOCK of one that is blocked."""
        if self.state != BLOCKED:
            return Answer(sw=chip.SW_CONDITIONS)
        return self._change_state(command, ACTIVE)

    def card_block(self, command: Command) -> Answer:
        """CARD BLOCK: the card answers nothing but its refusal from now on."""
        return self._change_state(command, CARD_BLOCKED)

    def _change_state(self, command: Command, state: bytes) -> Answer:
        data = self.opened(command, "application_key")
        if isinstance(data, Answer):
            return data
        self._memory.commit({"state": state})
        return Answer()
