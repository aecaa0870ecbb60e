"""Short messages on trial: a terminal's taps go up and a lost card comes down while it has no data link at all.

The server's messages go through the real smstools and a second modem; one SMS centre is between, which loses, doubles
and overtakes by seed. Then data works again, and the auditor looks. Left out: any judgement of the money (`sim.audit`).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Final

from settlement.audit.points import Finding
from sim.carrier.carrier import Carrier
from sim.carrier.cell import LTE, Cell
from sim.carrier.proxy import SocketProxy
from sim.carrier.smsc import Conditions, Counts
from sim.modem.modem import SimulatedModem
from sim.modem.profile import EC25, SIM7600
from sim.modem.simcard import SimCard
from sim.outpost import Outpost
from sim.smstools import Smstools
from sync.clock import Clock

SMS: Final = "sms"
TAPS: Final = 40
PACE_S: Final = 3.0  # few people come by, far out
PATIENCE_S: Final = 1_800.0  # a message that was lost is sent again after four minutes
STORMY: Final = Conditions(delay_s=(0.2, 3.0), loss=0.08, duplication=0.2, reordering=0.3, reordered_by_s=15.0)
CALM: Final = Conditions(delay_s=(0.2, 0.8))

_OURS, _SERVERS = "+8613900000001", "+8613900000002"
_TORN_SHARE: Final = 0.3
_LOST: Final = 0  # the card that is reported
_FOR_EVER_S: Final = 1e9
_LOOK_S: Final = 0.1
_MESSAGES_PER_MINUTE: Final = 60  # a SIM of a better kind: the trial is short
_HOST: Final = "127.0.0.1"


@dataclass(frozen=True, slots=True, kw_only=True)
class SmsTrial:
    """What a trial came to.

    `arrived`: every tap while there was no data; `refused`: the lost card, before and after it was reported, which took
    `pushes` messages.
    """

    taps: int
    took_s: float
    counts: Counts
    arrived: bool
    refused: tuple[bool, bool]
    pushes: int
    booked: bool
    findings: list[Finding]

    @property
    def content(self) -> bool:
        """Whether messages did all they are for, and the auditor has nothing to object to."""
        done = self.arrived and self.refused == (False, True) and self.booked
        return done and all(finding.holds for finding in self.findings)

    def line(self) -> str:
        """One line of a report."""
        counts = self.counts
        fate = f"{counts.submitted} messages, {counts.lost} lost, {counts.duplicated} doubled"
        octets = f"{counts.octets_up + counts.octets_down} octets"
        card = f"the lost card is refused after {self.pushes}" if self.refused[1] else "THE LOST CARD IS TAKEN"
        verdict = "content" if self.content else "the auditor objects" if self.arrived else "taps are missing"
        return f"{SMS:16} {self.taps} taps in {self.took_s:.0f} s, {fate}, {octets}, {card}: {verdict}"


def try_sms(
    *,
    home: Path,
    taps: int,
    pace_s: float,
    conditions: Conditions,
    seed: int,
    restarts: int,
    links: tuple[str, ...],
    clock: Clock,
    say: Callable[[str], None],
) -> SmsTrial:
    """`taps` sales without data, a third of them torn, and a card reported lost; then data again, and the audit.

    With `ip` among the `links` the daemon finds out by itself that data is dead, and that it is back.
    """
    with ExitStack() as stack:
        trial = _FarOut(stack, home, conditions, seed=seed, links=links, clock=clock, say=say)
        post = trial.post
        taken = post.refuses(_LOST)
        post.tap(torn_share=1.0)  # its message tells the server the number
        arrived = trial.wait_for("a torn tap went up", trial.all_arrived)
        before = trial.carrier.smsc.counts.submitted
        post.report_lost(_LOST)
        trial.wait_for("the lost card came down", lambda: post.status().hotlist_cards == 1)
        pushes = trial.carrier.smsc.counts.submitted - before
        refused = (taken, post.refuses(_LOST))
        for number in range(3, taps):
            post.tap(torn_share=_TORN_SHARE)
            if restarts and number % (taps // (restarts + 1)) == 0:
                post.restart_server()
            time.sleep(pace_s)  # customers come when they come, whatever the air does
        post.tap(torn_share=1.0)  # urgent, so that nothing waits for data
        arrived &= trial.wait_for("every tap went up", trial.all_arrived)
        counts = replace(trial.carrier.smsc.counts)
        trial.give_data_back()
        booked = post.wait_until_booked(timeout_s=PATIENCE_S)
        post.end("syncd")
        post.configure(f'host = "{_HOST}"\nport = {post.port}')  # the auditor comes by wire
        findings = post.audit()
        return SmsTrial(
            taps=taps + 1,
            took_s=trial.passed_s(),
            counts=counts,
            arrived=arrived,
            refused=refused,
            pushes=pushes,
            booked=booked,
            findings=findings,
        )


class _FarOut:
    """Terminal and server with a modem each, an SMS centre between, smstools at the server, and a dead data link."""

    def __init__(
        self,
        stack: ExitStack,
        home: Path,
        conditions: Conditions,
        *,
        seed: int,
        links: tuple[str, ...],
        clock: Clock,
        say: Callable[[str], None],
    ) -> None:
        self._clock, self._say, self._links = clock, say, links
        self._began_s = clock.monotonic_s()
        self.carrier = Carrier(Random(seed), clock.monotonic_s)
        stack.callback(self.carrier.close)
        self.carrier.smsc.conditions = conditions
        self._data = Cell(clock.monotonic_s, quality=LTE)  # another one than the modems': nothing but data is dead
        self._data.fail(_FOR_EVER_S)
        self.post = stack.enter_context(Outpost(home, seed=seed, clock=clock))
        ours, servers = (self.post.home / "sim" / name for name in ("modem", "server-modem"))
        for profile, number, place in ((SIM7600, _OURS, ours), (EC25, _SERVERS, servers)):
            sim = SimCard(number=number)
            stack.enter_context(
                SimulatedModem(profile=profile, sim=sim, carrier=self.carrier, rng=Random(seed), link=place)
            )
        self._smstools = stack.enter_context(Smstools(self.post.home / "sim" / "spool", servers))
        self.post.reach_by_sms(self._smstools.incoming, self._smstools.outgoing)
        self._proxy = stack.enter_context(SocketProxy(self.carrier.data, self._data, (_HOST, self.post.port)))
        self._configure(
            links, f'[modem]\nport = "{ours}"\nsms_number = "{_SERVERS}"\nsms_per_minute = {_MESSAGES_PER_MINUTE}'
        )
        self.post.start("syncd")

    def passed_s(self) -> float:
        """Since the beginning."""
        return self._clock.monotonic_s() - self._began_s

    def all_arrived(self) -> bool:
        """Whether the server has said that it has every tap."""
        return self.post.status().backlog_taps == 0

    def wait_for(self, what: str, condition: Callable[[], bool]) -> bool:
        """Whether it came about."""
        deadline_s = self.passed_s() + PATIENCE_S
        while not condition():
            self.post.check()
            self._smstools.check()
            if self.passed_s() > deadline_s:
                self._say(f"  {what}: not within {PATIENCE_S:.0f} s")
                return False
            time.sleep(_LOOK_S)  # databases and modems tell nobody when they change
        self._say(f"  {self.passed_s():4.0f} s: {what}")
        return True

    def give_data_back(self) -> None:
        """The data link works again; a daemon that was told to use none is told otherwise."""
        self._data.heal()
        if "ip" not in self._links:
            self.post.end("syncd")
            self._configure(("ip",))
            self.post.start("syncd")
        # What falls due while a contact by message lasts goes with it: the tap waits for the session.
        self.wait_for("data is back", lambda: (self.post.status().links or {}).get("link") == "ip")
        batches = self.post.status().batches
        self.post.tap(torn_share=0.0)
        self.wait_for("a batch went up", lambda: self.post.status().batches > batches)

    def _configure(self, links: tuple[str, ...], modem: str = "") -> None:
        listed = ", ".join(f'"{link}"' for link in links)
        self.post.configure(f'host = "{_HOST}"\nport = {self._proxy.port}\nlinger_s = 2.0\nlinks = [{listed}]', modem)
