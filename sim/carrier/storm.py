"""A storm by seed: what breaks when, over network, modem and server; then calm, in which everything works again.

For tests of whatever must get its data through: start it, send, wait until it is over, send the rest in the calm, and
audit. The same seed plans the same gusts; what they meet depends on the programs. Left out: short messages, which the
SMS centre loses and doubles by itself.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum
from random import Random
from typing import Final, Self

from sim.carrier.bearer import Bearer, DataNetwork
from sim.carrier.cell import Cell
from sim.carrier.proxy import SocketProxy
from sim.modem.faults import PortFaults
from sim.modem.modem import SimulatedModem

_STEP_S: Final = 0.01  # gusts are due on a clock that wakes nobody
_LOSS: Final = 0.2
_EXTRA_LATENCY_S: Final = 0.3


class Gust(Enum):
    """One kind of trouble."""

    OUTAGE = "no signal"
    BAD_RADIO = "bad radio"
    NAMES_SILENT = "name server silent"
    CONTEXT_SILENT = "context dropped silently"
    CONTEXT_TOLD = "context dropped by the network"
    SEND_LOST = "next send taken and never delivered"
    PORT_FAULTS = "late answers, noise and lost lines"
    HANG = "port hangs, then the modem resets"
    BROWN_OUT = "brown-out, back under another name"
    RESTART = "modem resets itself"
    SERVER_RESTART = "server restarts"


_OF_MODEM: Final = (Gust.HANG, Gust.BROWN_OUT, Gust.RESTART)


@dataclass(frozen=True, slots=True)
class PlannedGust:
    """At a time from the storm's start, and for so long, where it lasts."""

    at_s: float
    gust: Gust
    lasts_s: float

    def __str__(self) -> str:
        return f"{self.at_s:6.2f} s: {self.gust.value} ({self.lasts_s:.2f} s)"


def plan_storm(seed: int, gusts: tuple[Gust, ...], *, seconds: float, pause_s: float) -> tuple[PlannedGust, ...]:
    """Gusts with `pause_s` between two on average, each kind once before any comes again; the same for a seed."""
    rng = Random(seed)
    planned: list[PlannedGust] = []
    waiting: list[Gust] = []
    at_s = rng.expovariate(1 / pause_s)
    while at_s < seconds:
        if not waiting:
            waiting = list(gusts)
            rng.shuffle(waiting)
        planned.append(PlannedGust(at_s, waiting.pop(), pause_s * rng.uniform(0.2, 1.0)))
        at_s += rng.expovariate(1 / pause_s)
    return tuple(planned)


class Storm:
    """Blows in a thread from entering to leaving the context, which calms; or by `step()`, for a virtual clock.

    What is not given does not break: no modem, no brown-outs. `say` gets the seed and each gust as it comes.
    """

    def __init__(
        self,
        seed: int,
        *,
        clock: Callable[[], float],
        network: DataNetwork,
        cell: Cell,
        modem: SimulatedModem | None = None,
        proxy: SocketProxy | None = None,
        faults: PortFaults | None = None,
        restart_server: Callable[[], None] | None = None,
        seconds: float,
        pause_s: float,
        say: Callable[[str], None],
    ) -> None:
        self._clock = clock
        self._network = network
        self._cell = cell
        self._modem = modem
        self._proxy = proxy
        self._faults = faults
        self._restart_server = restart_server
        self._say = say
        self._calm_quality = cell.quality
        self.plan = plan_storm(seed, self._possible(), seconds=seconds, pause_s=pause_s)
        self.happened: Counter[Gust] = Counter()
        self._start_s = clock()
        self._to_come = list(self.plan)
        self._to_end: list[tuple[float, Callable[[], None]]] = []
        self._hung = False
        self._leaving = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"storm {seed}", daemon=True)
        if faults is not None:
            faults.active = False
        say(f"storm, seed {seed}: {len(self.plan)} gusts in {seconds:g} s")

    def __enter__(self) -> Self:
        self._start_s = self._clock()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._leaving.set()
        self._thread.join()
        self.calm()

    @property
    def is_over(self) -> bool:
        """Whether every gust has come and gone."""
        return not self._to_come and not self._to_end

    def step(self) -> None:
        """Let come, and end, what is due."""
        now_s = self._clock() - self._start_s
        for ending in [ending for ending in self._to_end if ending[0] <= now_s]:
            self._to_end.remove(ending)
            ending[1]()
        while self._to_come and self._to_come[0].at_s <= now_s:
            planned = self._to_come.pop(0)
            self._say(f"  {planned}")
            self.happened[planned.gust] += 1
            ending_act = self._blow(planned)
            if ending_act is not None:
                self._to_end.append((now_s + planned.lasts_s, ending_act))

    def calm(self) -> None:
        """End everything that lasts. A context that was dropped silently stays so: that is to be found out."""
        self._to_come.clear()
        while self._to_end:
            self._to_end.pop()[1]()
        self._cell.heal()
        counts = ", ".join(f"{gust.value} {count}" for gust, count in sorted(self.happened.items(), key=str))
        self._say(f"calm after: {counts or 'nothing'}")
        if self._faults is not None:
            seen = ", ".join(f"{mishap.value} {count}" for mishap, count in sorted(self._faults.seen.items(), key=str))
            self._say(f"on the port: {seen or 'nothing'}")

    def _possible(self) -> tuple[Gust, ...]:
        missing = set(_OF_MODEM) if self._modem is None else set()
        missing |= {Gust.PORT_FAULTS} if self._faults is None else set()
        missing |= {Gust.SERVER_RESTART} if self._restart_server is None else set()
        return tuple(gust for gust in Gust if gust not in missing)

    def _run(self) -> None:
        while not self._leaving.wait(_STEP_S):
            self.step()

    def _blow(self, planned: PlannedGust) -> Callable[[], None] | None:
        """Begin it; how to end it, if it does not end by itself."""
        gust, lasts_s = planned.gust, planned.lasts_s
        if gust in _OF_MODEM:
            return self._blow_at_modem(gust, lasts_s)
        if gust is Gust.OUTAGE:
            self._cell.fail(lasts_s)
        elif gust is Gust.BAD_RADIO:
            quality = self._calm_quality
            self._cell.quality = replace(quality, loss=_LOSS, latency_s=quality.latency_s + _EXTRA_LATENCY_S)
            return self._good_radio
        elif gust is Gust.NAMES_SILENT:
            self._network.resolves = False
            return self._names_answer
        elif gust is Gust.CONTEXT_SILENT:
            self._each_bearer(lambda bearer: bearer.drop(told=False))
            return self._reattach_proxy
        elif gust is Gust.CONTEXT_TOLD:
            self._each_bearer(lambda bearer: bearer.drop(told=True))
        elif gust is Gust.SEND_LOST:
            self._each_bearer(_lose_next_send)
            return self._reattach_proxy
        elif gust is Gust.PORT_FAULTS and self._faults is not None:
            self._faults.active = True
            return self._good_port
        elif gust is Gust.SERVER_RESTART and self._restart_server is not None:
            self._restart_server()
        return None

    def _blow_at_modem(self, gust: Gust, lasts_s: float) -> Callable[[], None] | None:
        modem = self._modem
        assert modem is not None, "planned only with one"
        if gust is Gust.BROWN_OUT:
            modem.brown_out(lasts_s)
        elif gust is Gust.RESTART and modem.is_plugged:
            modem.restart()
        elif gust is Gust.HANG and modem.is_plugged:
            modem.hang()
            self._hung = True
            return self._reset_hung
        return None

    def _each_bearer(self, act: Callable[[Bearer], None]) -> None:
        with self._network.lock:
            for bearer in list(self._network.bearers):
                act(bearer)

    def _good_radio(self) -> None:
        self._cell.quality = self._calm_quality

    def _names_answer(self) -> None:
        self._network.resolves = True

    def _good_port(self) -> None:
        if self._faults is not None:
            self._faults.active = False

    def _reset_hung(self) -> None:
        hung, self._hung = self._hung, False
        if hung and self._modem is not None and self._modem.is_plugged:
            self._modem.restart()

    def _reattach_proxy(self) -> None:
        if self._proxy is not None:
            self._proxy.reattach()


def _lose_next_send(bearer: Bearer) -> None:
    bearer.dies_at_next_send = True
