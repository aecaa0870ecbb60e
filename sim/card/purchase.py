"""INITIALIZE and DEBIT FOR PURCHASE on the card (JR/T 0025.2-2010), and the compound purchase, which writes records in
the same step as it takes money (JR/T 0025.9-2010: INITIALIZE, UPDATE CAPP DATA CACHE, DEBIT).

Left out: overdraft, which this purse has not.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from random import Random
from typing import Final

from sim.card import chip, trail
from sim.card.chip import Answer, Command
from sim.card.files import variable_records
from sim.card.memory import Memory
from sim.card.profile import CardProfile
from sim.card.ram import Ram
from sim.card.trail import Trail
from wire import pboc
from wire.money import Fen

TTI_COMPOUND: Final = 0x09
SFI_COMPOUND: Final = 0x17

_BY_ID: Final = SFI_COMPOUND << 3
_LOCK_FLAG: Final = 2  # where it is in a record: identifier, length of the rest, lock flag, data
_UNLOCKED: Final = 0


@dataclass(frozen=True, slots=True)
class _Initialised:
    """What INITIALIZE leaves in RAM for the DEBIT that must follow at once, or after the records to write with it."""

    tti: int
    amount_fen: Fen
    terminal: bytes
    counter: int
    random: bytes
    records: dict[int, bytes] = field(default_factory=dict)  # by identifier


class Purchase:
    """The card's part of a purchase."""

    def __init__(self, memory: Memory, ram: Ram, rng: Random, profile: CardProfile, trail: Trail) -> None:
        self._memory = memory
        self._ram = ram
        self._rng = rng
        self._profile = profile
        self._trail = trail

    def initialise(self, command: Command) -> Answer:
        """INITIALIZE FOR PURCHASE: the balance, the counter, and a random for this one purchase."""
        return self._initialise(command, pboc.TTI_PURCHASE)

    def initialise_compound(self, command: Command) -> Answer:
        """INITIALIZE FOR CAPP PURCHASE: the same for a compound one."""
        return self._initialise(command, TTI_COMPOUND)

    def _initialise(self, command: Command, tti: int) -> Answer:
        key_index, amount, terminal = command.data[:1], command.data[1:5], command.data[5:]
        counter = self._memory.number("counter")
        if key_index != self._memory["purchase_key_index"]:
            return Answer(sw=trail.SW_KEY_INDEX_UNKNOWN)
        if counter == trail.COUNTER_MAX:
            return Answer(sw=trail.SW_COUNTER_EXHAUSTED)
        amount_fen = Fen(int.from_bytes(amount))
        if amount_fen > self._memory.number("balance"):
            return Answer(sw=trail.SW_INSUFFICIENT)
        random = self._rng.randbytes(4)
        self._ram.leave(_Initialised(tti, amount_fen, terminal, counter, random))
        head = self._memory["balance"] + self._memory["counter"] + trail.NO_OVERDRAFT
        return Answer(head + self._memory["key_version"] + trail.ALGORITHM_3DES + random)

    def update_cache(self, command: Command) -> Answer:
        """UPDATE CAPP DATA CACHE: a whole record, by its identifier, to be written by the DEBIT of this purchase."""
        session, record = self._ram.found(_Initialised), command.data
        if session is None or session.tti != TTI_COMPOUND:
            return Answer(sw=self._profile.no_init_sw)
        if command.p2 != _BY_ID:
            return Answer(sw=chip.SW_WRONG_P1P2)
        old = next((old for old in self._records() if old[0] == command.p1), None)
        if old is None:
            return Answer(sw=chip.SW_RECORD_NOT_FOUND)
        if old[_LOCK_FLAG] != _UNLOCKED:
            return Answer(sw=chip.SW_CONDITIONS)
        if len(record) != len(old) or record[:_LOCK_FLAG] != old[:_LOCK_FLAG]:
            return Answer(sw=chip.SW_WRONG_DATA)
        self._ram.leave(replace(session, records={**session.records, command.p1: record}))
        return Answer()

    def debit(self, command: Command) -> Answer:
        """DEBIT FOR (CAPP) PURCHASE: MAC1 checked, money, counter, trail and records changed in one commit, then TAC
        and MAC2.
        """
        session = self._ram.found(_Initialised)
        if session is None or (session.tti == TTI_COMPOUND and not session.records):
            return Answer(sw=self._profile.no_init_sw)
        ttsn, date_time_bcd, mac1 = int.from_bytes(command.data[:4]), command.data[4:11], command.data[11:]
        key = pboc.purchase_session_key(
            dpk=self._memory["dpk"], random=session.random, counter=session.counter, ttsn=ttsn
        )
        expected = pboc.purchase_mac1(
            session_key=key,
            amount_fen=session.amount_fen,
            terminal=session.terminal,
            date_time_bcd=date_time_bcd,
            tti=session.tti,
        )
        if mac1 != expected:
            return Answer(sw=trail.SW_WRONG_MAC)
        mac2 = pboc.purchase_mac2(session_key=key, amount_fen=session.amount_fen)
        tac = pboc.purchase_tac(
            tac_key=pboc.tac_key(self._memory["dtk"]),
            amount_fen=session.amount_fen,
            terminal=session.terminal,
            ttsn=ttsn,
            date_time_bcd=date_time_bcd,
            tti=session.tti,
        )
        left = self._trail.of(
            tti=session.tti,
            counter=session.counter,
            amount_fen=session.amount_fen,
            terminal=session.terminal,
            date_time_bcd=date_time_bcd,
            mac=mac2,
            tac=tac,
        )
        balance = self._memory.number("balance") - session.amount_fen
        counter = session.counter + 1
        if session.records:
            left["compound"] = b"".join(session.records.get(record[0], record) for record in self._records())
        self._memory.commit({"balance": balance.to_bytes(4), "counter": counter.to_bytes(2), **left})
        return Answer(tac + mac2)

    def _records(self) -> list[bytes]:
        return variable_records(self._memory["compound"])
