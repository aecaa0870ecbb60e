"""One operator: a cell, an SMS centre, data bearers, the network's clock. Left out: how each of these works.

It is the world that simulated modems share. All of it is guarded by `lock`: a modem's thread holds it while it works,
and so does whoever changes something from another thread. `timers` holds what is due, for modems and SMS centre alike;
any modem's thread runs it. On a `VirtualClock` nothing happens until `run_until` lets time pass.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from enum import Enum
from random import Random
from typing import Final

from sim.carrier.bearer import DataNetwork
from sim.carrier.cell import Cell, Clock, VirtualClock
from sim.carrier.smsc import SmsCentre
from sim.timers import Timers

REGISTER_S: Final = 0.5  # from power-on or coverage to registered; minutes in the field, and nothing depends on it


class Registration(Enum):
    """What +CREG tells (27.007 7.2)."""

    NONE = 0
    HOME = 1
    SEARCHING = 2
    DENIED = 3
    ROAMING = 5


class Carrier:
    """An operator. Set `accepts` to what becomes of a modem that has coverage: HOME, ROAMING, SEARCHING or DENIED."""

    def __init__(
        self,
        rng: Random,
        clock: Clock,
        *,
        utc_s: Callable[[], float] | None = None,
        cell: Cell | None = None,
        names: Mapping[str, str] | None = None,
    ) -> None:
        """`utc_s` is the network's time of day, by default 2026-01-01 and what has passed since on `clock`."""
        self.rng = rng
        self.clock = clock
        start_s = clock()
        self.utc_s = utc_s or (lambda: 1_767_225_600.0 + clock() - start_s)
        self.lock = threading.RLock()
        self.timers = Timers(clock)
        self.cell = cell or Cell(clock)
        self.data = DataNetwork(clock, rng, names=names or {})
        self.smsc = SmsCentre(self.timers, rng, utc_s=self.utc_s)
        self.name = "CAMPUS MOBILE"
        self.short_name = "CAMPUS"
        self.plmn = "46000"
        self.accepts = Registration.HOME
        self.csq = 17  # the middle of what the signal is; 31 is -51 dBm
        self.csq_swing = 3
        self.zone_quarters = 32  # +8 hours
        self.ussd_answers = {"*100#": "Balance: 12.50 CNY, valid until 2027-12-31"}
        self.register_s = REGISTER_S

    def signal(self) -> int:
        """The signal now as +CSQ counts: 0 to 31, 99 for none. It wanders a little with time."""
        if not self.cell.is_up():
            return 99
        wave = int(self.clock() / 7) % (4 * self.csq_swing) if self.csq_swing else 0
        return max(0, min(31, self.csq + abs(wave - 2 * self.csq_swing) - self.csq_swing))

    def ussd(self, code: str) -> str | None:
        """What the network answers to a USSD code; None: it does not know it."""
        return self.ussd_answers.get(code)

    def run_until(self, clock: VirtualClock, until_s: float) -> None:
        """Let virtual time pass, from one due thing to the next."""
        with self.lock:
            while (due_s := self.timers.due_s()) is not None and due_s <= until_s:
                clock.advance(max(0.0, due_s - clock()))
                self.timers.run_due()
            clock.advance(max(0.0, until_s - clock()))

    def close(self) -> None:
        """Close the data network's sockets."""
        self.data.close()
