"""INITIALIZE and DEBIT FOR PURCHASE on the card (JR/T 0025.2-2010). Left out: overdraft, which this purse has not."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from sim.card import trail
from sim.card.chip import Answer, Command
from sim.card.memory import Memory
from sim.card.profile import CardProfile
from sim.card.ram import Ram
from sim.card.trail import Trail
from wire import pboc
from wire.money import Fen


@dataclass(frozen=True, slots=True)
class _Initialised:
    """What INITIALIZE leaves in RAM for the DEBIT that must follow at once."""

    amount_fen: Fen
    terminal: bytes
    counter: int
    random: bytes


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
        self._ram.leave(_Initialised(amount_fen, terminal, counter, random))
        head = self._memory["balance"] + self._memory["counter"] + trail.NO_OVERDRAFT
        return Answer(head + self._memory["key_version"] + trail.ALGORITHM_3DES + random)

    def debit(self, command: Command) -> Answer:
        """DEBIT FOR PURCHASE: MAC1 checked, money, counter and trail changed in one commit, then TAC and MAC2."""
        session = self._ram.found(_Initialised)
        if session is None:
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
        )
        left = self._trail.of(
            tti=pboc.TTI_PURCHASE,
            counter=session.counter,
            amount_fen=session.amount_fen,
            terminal=session.terminal,
            date_time_bcd=date_time_bcd,
            mac=mac2,
            tac=tac,
        )
        balance = self._memory.number("balance") - session.amount_fen
        counter = session.counter + 1
        self._memory.commit({"balance": balance.to_bytes(4), "counter": counter.to_bytes(2), **left})
        return Answer(tac + mac2)
