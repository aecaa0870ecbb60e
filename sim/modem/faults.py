"""What goes wrong on a modem's AT port, by seed and chance: see `PortFaults`. Also a full message store.

Left out: what befalls the whole modem or the network (hangs, brown-outs, contexts that are dropped); the modem and the
carrier have methods for these, and `sim.carrier.storm` calls them by a plan.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from enum import Enum
from random import Random
from typing import Final

from sim.modem.engine import Faults
from sim.modem.simcard import SimCard, Status, Stored

LATE_S: Final = 12.0  # longer than drivers wait for a plain command
_NOISE_BYTES: Final = (1, 8)
_JUNK_PDU: Final = bytes.fromhex("00040B913109000000F100045210101000000005") + b"spam!"

# What modems say unasked about calls, messages and sockets; a lost one is never said again.
_UNASKED: Final = re.compile(
    rb'\r\n(\+CMTI|\+CDSI|\+QIURC: "(recv|closed|pdpdeact)"|\+CIPRXGET: 1(,\d)?\r|\+IPCLOSE|\+CIPEVENT'
    rb"|\d, CLOSED|CLOSED|\+PDP: DEACT)"
)


class Mishap(Enum):
    """One kind of fault on the port."""

    LATE = "late answer"
    INTERRUPTED = "URC within an answer"
    NOISE = "noise"
    LOST_URC = "lost URC"


ROUGH: Final[Mapping[Mishap, float]] = {
    Mishap.LATE: 0.01,
    Mishap.INTERRUPTED: 0.5,
    Mishap.NOISE: 0.02,
    Mishap.LOST_URC: 0.05,
}


class PortFaults(Faults):
    """Each mishap by its chance: LATE of a command line, INTERRUPTED and LOST_URC of an unsolicited line, NOISE of a
    piece of output. `seen` counts what really happened. `active` off: nothing does.
    """

    def __init__(self, seed: int, chances: Mapping[Mishap, float] = ROUGH, *, late_s: float = LATE_S) -> None:
        self.seed = seed
        self.active = True
        self.seen: Counter[Mishap] = Counter()
        self.chances = dict(chances)
        self._late_s = late_s
        self._rng = Random(seed)

    def delay_s(self, line: str) -> float:
        """See `Faults`."""
        return self._late_s if self._strikes(Mishap.LATE) else 0.0

    def interrupts(self) -> bool:
        """See `Faults`."""
        return self._strikes(Mishap.INTERRUPTED)

    def garble(self, piece: bytes) -> bytes:
        """See `Faults`. Noise comes before a line and not within one, whose data would not be the peer's then."""
        if not piece.startswith(b"\r\n"):
            return piece
        if _UNASKED.match(piece) and self._strikes(Mishap.LOST_URC):
            return b""
        if self._strikes(Mishap.NOISE):
            return self._rng.randbytes(self._rng.randint(*_NOISE_BYTES)).replace(b"\x00", b"\xfe") + piece
        return piece

    def _strikes(self, mishap: Mishap) -> bool:
        if not self.active or self._rng.random() >= self.chances.get(mishap, 0.0):
            return False
        self.seen[mishap] += 1
        return True


def fill_messages(sim: SimCard) -> int:
    """Fill the SIM's message store up, as a SIM does that nobody ever empties; how many it took."""
    count = 0
    while sim.store.put(Stored(Status.REC_READ, _JUNK_PDU[:1], _JUNK_PDU[1:])) is not None:
        count += 1
    return count
