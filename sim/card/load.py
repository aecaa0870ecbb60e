"""INITIALIZE and CREDIT FOR LOAD on the card (JR/T 0025.2-2010): money in, always with the issuer on the line.

Left out: unload, and loading an electronic passbook.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random

from sim.card import chip, trail
from sim.card.chip import Answer, Command
from sim.card.memory import Memory
from sim.card.profile import CardProfile
from sim.card.ram import Ram
from sim.card.trail import Trail
from wire import pboc
from wire.money import FEN_MAX, Fen


@dataclass(frozen=True, slots=True)
class _Initialised:
    """What INITIALIZE leaves in RAM for the CREDIT that must follow at once."""

    session_key: bytes = field(repr=False)
    amount_fen: Fen
    terminal: bytes
    online_counter: int


class Load:
    """The card's part of a load."""

    def __init__(self, memory: Memory, ram: Ram, rng: Random, profile: CardProfile, trail: Trail) -> None:
        self._memory = memory
        self._ram = ram
        self._rng = rng
        self._profile = profile
        self._trail = trail

    def initialise(self, command: Command) -> Answer:
        """INITIALIZE FOR LOAD, after the PIN: balance, online counter, random, and MAC1 for the issuer."""
        key_index, amount, terminal = command.data[:1], command.data[1:5], command.data[5:]
        amount_fen, balance_fen = Fen(int.from_bytes(amount)), Fen(self._memory.number("balance"))
        online_counter = self._memory.number("online_counter")
        if not self._ram.pin_verified:
            return Answer(sw=chip.SW_SECURITY_STATUS)
        if key_index != self._memory["load_key_index"]:
            return Answer(sw=trail.SW_KEY_INDEX_UNKNOWN)
        if online_counter == trail.COUNTER_MAX:
            return Answer(sw=trail.SW_COUNTER_EXHAUSTED)
        if balance_fen + amount_fen > FEN_MAX:
            return Answer(sw=chip.SW_WRONG_DATA)  # no public text names a status word for it
        random = self._rng.randbytes(4)
        key = pboc.load_session_key(dlk=self._memory["dlk"], random=random, online_counter=online_counter)
        mac1 = pboc.load_mac1(session_key=key, old_balance_fen=balance_fen, amount_fen=amount_fen, terminal=terminal)
        self._ram.leave(_Initialised(key, amount_fen, terminal, online_counter))
        head = self._memory["balance"] + self._memory["online_counter"]
        return Answer(head + self._memory["key_version"] + trail.ALGORITHM_3DES + random + mac1)

    def credit(self, command: Command) -> Answer:
        """CREDIT FOR LOAD: MAC2 checked, money, counter and trail changed in one commit, then the TAC."""
        session = self._ram.found(_Initialised)
        if session is None:
            return Answer(sw=self._profile.no_init_sw)
        date_time_bcd, mac2 = command.data[:7], command.data[7:]
        expected = pboc.load_mac2(
            session_key=session.session_key,
            amount_fen=session.amount_fen,
            terminal=session.terminal,
            date_time_bcd=date_time_bcd,
        )
        if mac2 != expected:
            return Answer(sw=trail.SW_WRONG_MAC)
        balance_fen = Fen(self._memory.number("balance") + session.amount_fen)
        tac = pboc.load_tac(
            tac_key=pboc.tac_key(self._memory["dtk"]),
            new_balance_fen=balance_fen,
            online_counter=session.online_counter,
            amount_fen=session.amount_fen,
            terminal=session.terminal,
            date_time_bcd=date_time_bcd,
        )
        left = self._trail.of(
            tti=pboc.TTI_LOAD,
            counter=session.online_counter,
            amount_fen=session.amount_fen,
            terminal=session.terminal,
            date_time_bcd=date_time_bcd,
            mac=mac2,
            tac=tac,
        )
        counter = session.online_counter + 1
        self._memory.commit({"balance": balance_fen.to_bytes(4), "online_counter": counter.to_bytes(2), **left})
        return Answer(tac)
