"""What a transaction leaves on the card beside balance and counter: its proof and its log record; and GET TRANSACTION
PROVE, which shows the former (JR/T 0025.2-2010).

The card keeps one proof, of its last transaction of any kind. Left out: the log's reading (`sim.card.files`).
"""

from __future__ import annotations

from typing import Final

from sim.card import chip
from sim.card.chip import Answer, Command
from sim.card.memory import Memory
from sim.card.profile import CardProfile
from wire.money import Fen

COUNTER_MAX: Final = 0xFFFF
LOG_RECORDS: Final = 10
LOG_RECORD_BYTES: Final = 23
NO_OVERDRAFT: Final = bytes(3)
ALGORITHM_3DES: Final = b"\x00"

SW_WRONG_MAC: Final = 0x9302
SW_INSUFFICIENT: Final = 0x9401
SW_COUNTER_EXHAUSTED: Final = 0x9402
SW_KEY_INDEX_UNKNOWN: Final = 0x9403
SW_PROOF_NOT_AVAILABLE: Final = 0x9406


class Trail:
    """Proof and log of one card."""

    def __init__(self, memory: Memory, profile: CardProfile) -> None:
        self._memory = memory
        self._profile = profile

    def of(
        self, *, tti: int, counter: int, amount_fen: Fen, terminal: bytes, date_time_bcd: bytes, mac: bytes, tac: bytes
    ) -> dict[str, bytes]:
        """The fields to commit together with the balance; `counter` is the one before the transaction."""
        number = counter + self._profile.log_numbering.value
        record = number.to_bytes(2) + NO_OVERDRAFT + amount_fen.to_bytes(4) + bytes((tti,)) + terminal + date_time_bcd
        return {
            "proof": bytes((tti,)) + counter.to_bytes(2) + mac + tac,
            "log": (record + self._memory["log"])[: LOG_RECORDS * LOG_RECORD_BYTES],
        }

    def get_transaction_prove(self, command: Command) -> Answer:
        """MAC, then TAC (the reverse of DEBIT's answer) of the last transaction, if it is the one asked for."""
        if command.p1 != 0x00:
            return Answer(sw=chip.SW_WRONG_P1P2)
        proof = self._memory["proof"]
        if not proof:
            return Answer(sw=SW_PROOF_NOT_AVAILABLE)
        number = int.from_bytes(proof[1:3]) + self._profile.prove_numbering.value
        if (command.p2, int.from_bytes(command.data)) != (proof[0], number):
            return Answer(sw=SW_PROOF_NOT_AVAILABLE)
        return Answer(proof[3:])
