"""The electronic purse on the card: balance, purchase, proof of the last purchase (JR/T 0025.2-2010), as a state
machine over its memory.

Left out: load, PIN, secure messaging, compound purchase. Every step is in the memory before its answer goes out.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Final

from sim.card import chip, files
from sim.card.chip import Answer, Chip, Command, Rule
from sim.card.memory import Memory
from sim.card.profile import PROFILES
from wire import pboc
from wire.money import Fen

COUNTER_MAX: Final = 0xFFFF
LOG_RECORDS: Final = 10
LOG_RECORD_BYTES: Final = 23
SFI_PUBLIC: Final = 0x15
SFI_HOLDER: Final = 0x16
SFI_LOG: Final = 0x18

SW_INSUFFICIENT: Final = 0x9401
SW_COUNTER_EXHAUSTED: Final = 0x9402
SW_KEY_INDEX_UNKNOWN: Final = 0x9403
SW_PROOF_NOT_AVAILABLE: Final = 0x9406
SW_WRONG_MAC: Final = 0x9302

_ALGORITHM_3DES: Final = b"\x00"
_NO_OVERDRAFT: Final = bytes(3)


@dataclass(frozen=True, slots=True)
class _Initialised:
    """What INITIALIZE FOR PURCHASE leaves in RAM for the DEBIT that must follow at once."""

    amount_fen: Fen
    terminal: bytes
    counter: int
    random: bytes


class Purse(Chip):
    """A powered purse card. `rng` gives the random of INITIALIZE; a faulty memory raises `MemoryFault` and no answer
    goes out.
    """

    def __init__(self, memory: Memory, rng: Random) -> None:
        self._memory = memory
        self._rng = rng
        self.profile = PROFILES[memory["profile"].decode("ascii")]
        self._files = files.FileSystem(memory, mf=_mf(), application=self._application(), t0=self.profile.t0)
        self._initialised: _Initialised | None = None
        rules = {
            (0x00, 0xA4): Rule(self._select),
            (0x00, 0xB0): Rule(self._files.read_binary),
            (0x00, 0xB2): Rule(self._files.read_record),
            (0x80, 0x5C): Rule(self._get_balance, p1p2=0x0002, lc=(0,), answer_bytes=4),
            (0x80, 0x50): Rule(self._initialise_for_purchase, p1p2=0x0102, lc=(11,), answer_bytes=15),
            (0x80, 0x54): Rule(self._debit_for_purchase, p1p2=0x0100, lc=(15,), answer_bytes=8),
            (0x80, 0x5A): Rule(self._get_transaction_prove, lc=(2,), answer_bytes=8),
        }
        super().__init__(atr=self.profile.atr, t0=self.profile.t0, rules=rules)

    def forget(self) -> None:
        """Drop the selection and the initialised purchase."""
        self._files.reset()
        self._initialised = None

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

    def _application(self) -> files.Directory:
        public = files.tlv(0x9F0C, self._memory["public"])
        version = self.profile.fci_version
        return files.Directory(
            fid=self.profile.adf_fid,
            name=self.profile.aid,
            proprietary=(files.tlv(0x9F08, version) if version else b"") + public,
            binaries={SFI_PUBLIC: "public"},
            records={SFI_LOG: ("log", LOG_RECORD_BYTES)},
        )

    def _select(self, command: Command) -> Answer:
        self._initialised = None
        return self._files.select(command)

    def _get_balance(self, command: Command) -> Answer:
        self._initialised = None
        if not self._files.in_application:
            return Answer(sw=chip.SW_CONDITIONS)
        return Answer(self._memory["balance"])

    def _initialise_for_purchase(self, command: Command) -> Answer:
        self._initialised = None
        if not self._files.in_application:
            return Answer(sw=chip.SW_CONDITIONS)
        key_index, amount, terminal = command.data[:1], command.data[1:5], command.data[5:]
        if key_index != self._memory["purchase_key_index"]:
            return Answer(sw=SW_KEY_INDEX_UNKNOWN)
        if self.counter == COUNTER_MAX:
            return Answer(sw=SW_COUNTER_EXHAUSTED)
        amount_fen = Fen(int.from_bytes(amount))
        if amount_fen > self.balance_fen:
            return Answer(sw=SW_INSUFFICIENT)
        random = self._rng.randbytes(4)
        self._initialised = _Initialised(amount_fen, terminal, self.counter, random)
        head = self._memory["balance"] + self._memory["counter"] + _NO_OVERDRAFT
        return Answer(head + self._memory["key_version"] + _ALGORITHM_3DES + random)

    def _debit_for_purchase(self, command: Command) -> Answer:
        session, self._initialised = self._initialised, None
        if session is None:
            return Answer(sw=self.profile.no_init_sw)
        ttsn, date_time_bcd, mac1 = int.from_bytes(command.data[:4]), command.data[4:11], command.data[11:]
        key = pboc.purchase_session_key(
            dpk=self._memory["dpk"], random=session.random, counter=session.counter, ttsn=ttsn
        )
        expected = pboc.purchase_mac1(
            session_key=key,
            amount_fen=session.amount_fen,
            terminal=session.terminal,
            date_time_bcd=date_time_bcd,
        )
        if mac1 != expected:
            return Answer(sw=SW_WRONG_MAC)
        mac2 = pboc.purchase_mac2(session_key=key, amount_fen=session.amount_fen)
        tac = pboc.purchase_tac(
            tac_key=pboc.tac_key(self._memory["dtk"]),
            amount_fen=session.amount_fen,
            terminal=session.terminal,
            ttsn=ttsn,
            date_time_bcd=date_time_bcd,
        )
        record = self._log_record(session, date_time_bcd)
        self._memory.commit(
            {
                "balance": (self.balance_fen - session.amount_fen).to_bytes(4),
                "counter": (session.counter + 1).to_bytes(2),
                "proof": bytes((pboc.TTI_PURCHASE,)) + session.counter.to_bytes(2) + mac2 + tac,
                "log": (record + self._memory["log"])[: LOG_RECORDS * LOG_RECORD_BYTES],
            }
        )
        return Answer(tac + mac2)

    def _log_record(self, session: _Initialised, date_time_bcd: bytes) -> bytes:
        number = session.counter + self.profile.log_numbering.value
        what = number.to_bytes(2) + _NO_OVERDRAFT + session.amount_fen.to_bytes(4)
        return what + bytes((pboc.TTI_PURCHASE,)) + session.terminal + date_time_bcd

    def _get_transaction_prove(self, command: Command) -> Answer:
        """MAC2, then TAC (the reverse of DEBIT's answer) of the last transaction, if it is the one asked for."""
        self._initialised = None
        if command.p1 != 0x00:
            return Answer(sw=chip.SW_WRONG_P1P2)
        if not self._files.in_application:
            return Answer(sw=chip.SW_CONDITIONS)
        proof = self._memory["proof"]
        if not proof:
            return Answer(sw=SW_PROOF_NOT_AVAILABLE)
        number = int.from_bytes(proof[1:3]) + self.profile.prove_numbering.value
        if (command.p2, int.from_bytes(command.data)) != (proof[0], number):
            return Answer(sw=SW_PROOF_NOT_AVAILABLE)
        return Answer(proof[3:])


def _mf() -> files.Directory:
    return files.Directory(fid=files.MF_FID, name=files.MF_NAME, proprietary=files.tlv(0x88, b"\x01"))
