"""The purse card: its files and commands put together (JR/T 0025.2-2010), as a state machine over its memory.

Every step is in the memory before its answer goes out. Left out: electronic passbook, grey lock, upkeep of keys.
"""

from __future__ import annotations

from random import Random
from typing import Final

from sim.card import chip, files
from sim.card.chip import Answer, Chip, Command, Rule
from sim.card.load import Load
from sim.card.memory import Memory
from sim.card.pin import CHANGE_BYTES, PIN_BYTES, RELOAD_BYTES, Pin
from sim.card.profile import PROFILES
from sim.card.purchase import SFI_COMPOUND, Purchase
from sim.card.ram import Ram
from sim.card.secure import (
    BLOCKED,
    BLOCKED_FOR_GOOD,
    CARD_BLOCKED,
    CHALLENGE_BYTES,
    SW_BLOCKED_FOR_GOOD,
    SecureMessaging,
)
from sim.card.trail import LOG_RECORD_BYTES, Trail
from wire.money import Fen

SFI_PUBLIC: Final = 0x15
SFI_HOLDER: Final = 0x16
SFI_LOG: Final = 0x18

_INS_SELECT: Final = 0xA4
_ANYWHERE: Final = {(0x00, 0xA4), (0x00, 0xB0), (0x00, 0xB2), (0x00, 0x84)}  # the others need the purse selected
_WHEN_BLOCKED: Final = {(0x00, 0xA4), (0x00, 0x84), (0x84, 0x18), (0x84, 0x16)}
_SW_SELECTED_BUT_BLOCKED: Final = 0x6283
_SW_CARD_BLOCKED: Final = 0x6A81


class Purse(Chip):
    """A powered purse card. `rng` gives its randoms; a faulty memory raises `MemoryFault` and no answer goes out."""

    def __init__(self, memory: Memory, rng: Random) -> None:
        self._memory = memory
        self._ram = Ram()
        self.profile = PROFILES[memory["profile"].decode("ascii")]
        self._files = files.FileSystem(memory, mf=_mf(), application=self._application(), t0=self.profile.t0)
        trail = Trail(memory, self.profile)
        self._secure = secure = SecureMessaging(memory, self._ram, rng)
        pin = Pin(memory, self._ram, secure)
        load = Load(memory, self._ram, rng, self.profile, trail)
        purchase = Purchase(memory, self._ram, rng, self.profile, trail)
        rules = (
            Rule(0x00, 0xA4, self._select),
            Rule(0x00, 0xB0, self._files.read_binary),
            Rule(0x00, 0xB2, self._read_record),
            Rule(0x00, 0xD6, self._update_in_the_clear),
            Rule(0x04, 0xD6, self._update_binary, answer_bytes=0),
            Rule(0x00, 0x84, secure.get_challenge, p1p2=0x0000, lc=(0,), answer_bytes=CHALLENGE_BYTES),
            Rule(0x84, 0x1E, secure.application_block, p1p2=0x0000, lc=(4,), answer_bytes=0),
            Rule(0x84, 0x1E, secure.application_block, p1p2=0x0001, lc=(4,), answer_bytes=0),
            Rule(0x84, 0x18, secure.application_unblock, p1p2=0x0000, lc=(4,), answer_bytes=0),
            Rule(0x84, 0x16, secure.card_block, p1p2=0x0000, lc=(4,), answer_bytes=0),
            Rule(0x00, 0x20, pin.verify, p1p2=0x0000, lc=PIN_BYTES, answer_bytes=0),
            Rule(0x80, 0x5E, pin.change, p1p2=0x0100, lc=CHANGE_BYTES, answer_bytes=0),
            Rule(0x80, 0x5E, pin.reload, p1p2=0x0000, lc=RELOAD_BYTES, answer_bytes=0),
            Rule(0x84, 0x24, pin.unblock, p1p2=0x0000, lc=(12,), answer_bytes=0),
            Rule(0x80, 0x5C, self._get_balance, p1p2=0x0002, lc=(0,), answer_bytes=4),
            Rule(0x80, 0x50, load.initialise, p1p2=0x0002, lc=(11,), answer_bytes=16),
            Rule(0x80, 0x52, load.credit, p1p2=0x0000, lc=(11,), answer_bytes=4),
            Rule(0x80, 0x50, purchase.initialise, p1p2=0x0102, lc=(11,), answer_bytes=15),
            Rule(0x80, 0x50, purchase.initialise_compound, p1p2=0x0302, lc=(11,), answer_bytes=15),
            Rule(0x80, 0xDC, purchase.update_cache, answer_bytes=0),
            Rule(0x80, 0x54, purchase.debit, p1p2=0x0100, lc=(15,), answer_bytes=8),
            Rule(0x80, 0x5A, trail.get_transaction_prove, lc=(2,), answer_bytes=8),
        )
        super().__init__(atr=self.profile.atr, t0=self.profile.t0, rules=rules)

    def forget(self) -> None:
        """Drop the selection and everything in RAM."""
        self._files.reset()
        self._ram.clear()

    def carry_out(self, rule: Rule, command: Command) -> Answer:
        """Run a command; whatever it is, it ends what the one before it left unfinished."""
        self._ram.next_command()
        header, state = (rule.cla, rule.ins), self._secure.state
        if state == CARD_BLOCKED:
            return Answer(sw=_SW_CARD_BLOCKED)
        if not self._files.in_application:
            return rule.run(command) if header in _ANYWHERE else Answer(sw=chip.SW_CONDITIONS)
        if state == BLOCKED_FOR_GOOD and rule.ins != _INS_SELECT:
            return Answer(sw=SW_BLOCKED_FOR_GOOD)
        if state == BLOCKED and header not in _WHEN_BLOCKED:
            return Answer(sw=chip.SW_CONDITIONS)
        return rule.run(command)

    def close(self) -> None:
        """Give the memory back."""
        self._memory.close()

    @property
    def balance_fen(self) -> Fen:
        """The committed balance."""
        return Fen(self._memory.number("balance"))

    @property
    def counter(self) -> int:
        """The committed offline counter."""
        return self._memory.number("counter")

    @property
    def online_counter(self) -> int:
        """The committed online counter."""
        return self._memory.number("online_counter")

    def _application(self) -> files.Directory:
        version = self.profile.fci_version
        return files.Directory(
            fid=self.profile.adf_fid,
            name=self.profile.aid,
            proprietary=files.tlv(0x9F08, version) if version else b"",
            issuer_data="public",
            binaries={SFI_PUBLIC: "public", SFI_HOLDER: "holder"},
            records={SFI_LOG: ("log", LOG_RECORD_BYTES)},
            variable_records={SFI_COMPOUND: "compound"} if self._memory["compound"] else {},
        )

    def _select(self, command: Command) -> Answer:
        answer = self._files.select(command)
        if answer.data:  # a directory was entered: what was allowed in the one before it is over
            self._ram.pin_verified = False
        if not (answer.data and self._files.in_application):
            return answer
        if self._secure.state == BLOCKED_FOR_GOOD:
            return Answer(sw=SW_BLOCKED_FOR_GOOD)
        return Answer(answer.data, _SW_SELECTED_BUT_BLOCKED) if self._secure.state == BLOCKED else answer

    def _read_record(self, command: Command) -> Answer:
        of_log = self._files.in_application and command.p2 >> 3 == SFI_LOG
        if of_log and self.profile.log_needs_pin and not self._ram.pin_verified:
            return Answer(sw=chip.SW_SECURITY_STATUS)
        return self._files.read_record(command)

    def _update_binary(self, command: Command) -> Answer:
        data = self._secure.opened(command, "application_key")
        return data if isinstance(data, Answer) else self._files.update_binary(command, data)

    def _update_in_the_clear(self, _: Command) -> Answer:
        return Answer(sw=chip.SW_SECURITY_STATUS)

    def _get_balance(self, _: Command) -> Answer:
        return Answer(self._memory["balance"])


def _mf() -> files.Directory:
    return files.Directory(fid=files.MF_FID, name=files.MF_NAME, proprietary=files.tlv(0x88, b"\x01"))
