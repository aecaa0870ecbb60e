"""An uplink on trial: a terminal's taps go up through a storm, or in calm, and the auditor looks at what came of them.

The terminal is `sim.outpost`, the trouble `sim.carrier.storm`; every link of the daemon can be tried. Left out: any
judgement of the money (`sim.audit`).
"""

from __future__ import annotations

import argparse
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Final

from settlement.audit.auditor import findings_text
from settlement.audit.points import Finding
from sim.carrier.carrier import Carrier
from sim.carrier.cell import LTE, Cell
from sim.carrier.proxy import SocketProxy
from sim.carrier.storm import Gust, Storm
from sim.modem.faults import PortFaults
from sim.modem.modem import SimulatedModem
from sim.modem.profile import PROFILES
from sim.modem.simcard import SimCard
from sim.outpost import Outpost
from sim.postgres import PostgresServer
from sim.smstrial import CALM, PACE_S, SMS, STORMY, try_sms
from sim.smstrial import TAPS as SMS_TAPS
from sync.clock import Clock

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]  # noqa: SLF001  argparse has no public name for it

IP: Final = "ip"
LINKS: Final = (IP, *PROFILES)
HEALED_S_MAX: Final = 900.0  # the daemon leaves a modem alone for up to five minutes, and may need several tries

TAPS: Final = 2_000
STORM_S: Final = 120.0

_HOST: Final = "settlement.campus"
_PAUSE_S: Final = 4.0  # between two gusts, on average
_STEP_S: Final = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What a trial came to."""

    link: str
    taps: int
    took_s: float
    air_bytes: int
    happened: Counter[Gust]
    booked: bool
    findings: list[Finding]

    @property
    def content(self) -> bool:
        """Whether all taps were booked and the auditor has nothing to object to."""
        return self.booked and all(finding.holds for finding in self.findings)

    def line(self) -> str:
        """One line of a report."""
        weather = f"{self.happened.total()} gusts" if self.happened else "calm"
        each = self.air_bytes / self.taps
        verdict = "content" if self.content else "the auditor objects" if self.booked else "taps are missing"
        on_air = f"{self.air_bytes} bytes on the air ({each:.1f} a tap)"
        return f"{self.link:16} {weather:9} {self.taps} taps in {self.took_s:.0f} s, {on_air}: {verdict}"


def try_link(
    link: str,
    *,
    home: Path,
    taps: int,
    seconds: float,
    stormy: bool,
    seed: int,
    clock: Clock,
    say: Callable[[str], None],
    database_url: str | None = None,
) -> Trial:
    """`taps` sales in so many `seconds`, in storm or in calm; then calm until all is booked, and the audit."""
    began_s = clock.monotonic_s()
    carrier = Carrier(Random(seed), clock.monotonic_s, cell=Cell(clock.monotonic_s, quality=LTE))
    carrier.data.names[_HOST] = "127.0.0.1"
    with Outpost(home, seed=seed, clock=clock, database_url=database_url) as post:
        with _air(link, carrier, post, seed) as (proxy, modem, faults):
            happened: Counter[Gust] = Counter()
            restart = threading.Event()  # done here: a program ends with the thread that started it
            post.start("syncd")
            if stormy:
                storm = Storm(
                    seed,
                    clock=clock.monotonic_s,
                    network=carrier.data,
                    cell=carrier.cell,
                    modem=modem,
                    proxy=proxy,
                    faults=faults,
                    restart_server=restart.set,
                    seconds=seconds,
                    pause_s=_PAUSE_S,
                    say=say,
                )
                with storm:
                    _sell(post, taps, seconds, restart, clock)
                happened = storm.happened
            else:
                _sell(post, taps, seconds, restart, clock)
            booked = post.wait_until_booked(timeout_s=HEALED_S_MAX)
            post.end("syncd")
            post.configure(f'host = "127.0.0.1"\nport = {post.port}')  # the auditor comes by wire
            findings = post.audit()
        air_bytes = carrier.data.air.total_bytes
    carrier.close()
    return Trial(
        link=link,
        taps=taps,
        took_s=clock.monotonic_s() - began_s,
        air_bytes=air_bytes,
        happened=happened,
        booked=booked,
        findings=findings,
    )


@contextmanager
def _air(
    link: str, carrier: Carrier, post: Outpost, seed: int
) -> Iterator[tuple[SocketProxy | None, SimulatedModem | None, PortFaults | None]]:
    """What is between terminal and server, and the daemon's configuration for it."""
    if link == IP:
        with SocketProxy(carrier.data, carrier.cell, ("127.0.0.1", post.port)) as proxy:
            post.configure(f'host = "127.0.0.1"\nport = {proxy.port}\nlinger_s = 2.0')
            yield proxy, None, None
        return
    faults, port = PortFaults(seed), post.home / "sim" / "modem"
    faults.active = False  # until the storm wants them
    with SimulatedModem(
        profile=PROFILES[link], sim=SimCard(), carrier=carrier, rng=Random(seed), faults=faults, link=port
    ) as modem:
        post.configure(
            f'host = "{_HOST}"\nport = {post.port}\nlinks = ["at-tcp"]\nlinger_s = 2.0',
            f'[modem]\nport = "{port}"\napn = "internet"',
        )
        yield None, modem, faults


def _sell(post: Outpost, taps: int, seconds: float, restart: threading.Event, clock: Clock) -> None:
    """Sales evenly over the time, and the server's restarts."""
    began_s = clock.monotonic_s()
    done = 0
    while done < taps:
        due = min(taps, int(taps * (clock.monotonic_s() - began_s) / seconds) + 1)
        for _ in range(due - done):
            post.tap()
        done = due
        if restart.is_set():
            restart.clear()
            post.restart_server()
        time.sleep(_STEP_S)  # customers come when they come, whatever the air does


def add_parser(commands: Commands) -> None:
    """`campus-sim storm`."""
    parser = commands.add_parser(
        "storm",
        help="a terminal's uplink through a storm on the air, and the auditor",
        description="Sells while outages, lost contexts, hanging modems and server restarts strike by seed, then\n"
        "waits for the calm and audits; the same taps in calm weather stand beside it.\n\n"
        "Exit status: 0 the auditor is content, 1 it objects or taps did not arrive, 2 a program failed.",
        epilog="example: campus-sim storm --link quectel-ec25 --taps 500 --seconds 60 --seed 7",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--link", choices=(*LINKS, SMS), help="one link (default: each of them but sms)")
    parser.add_argument("--taps", type=int, help=f"sales (default: {TAPS}; with sms, at a pace of its own, {SMS_TAPS})")
    parser.add_argument("--seconds", type=float, default=STORM_S, help=f"how long it storms (default: {STORM_S:.0f})")
    parser.add_argument(
        "--postgres", action="store_true", help="the server keeps its data in PostgreSQL (not with sms)"
    )
    parser.add_argument("--seed", type=int, default=1, help="of the storm and the sales (default: 1)")


def run(arguments: argparse.Namespace, *, clock: Clock, say: Callable[[str], None]) -> int:
    """Each link in storm and in calm; 0 if the auditor is content with all of them."""
    if arguments.link == SMS:
        return _run_sms(arguments, clock=clock, say=say)
    trials = []
    for link in (arguments.link,) if arguments.link else LINKS:
        for stormy in (True, False):
            with _folder_and_server(arguments.postgres) as (folder, database_url):
                trial = try_link(
                    link,
                    home=folder / "home",
                    taps=arguments.taps or TAPS,
                    seconds=arguments.seconds,
                    stormy=stormy,
                    seed=arguments.seed,
                    clock=clock,
                    say=say,
                    database_url=database_url,
                )
            if not trial.content:
                say(f"{trial.line()}\n{findings_text(trial.findings)}")
            trials.append(trial)
    say("\n".join(trial.line() for trial in trials))
    return 0 if all(trial.content for trial in trials) else 1


@contextmanager
def _folder_and_server(postgres: bool) -> Iterator[tuple[Path, str | None]]:
    """Where a trial's things lie, and the url of its own PostgreSQL server if it wants one."""
    with tempfile.TemporaryDirectory(prefix="campus-storm-") as folder:
        server = PostgresServer.create() if postgres else None
        try:
            yield Path(folder), None if server is None else server.url
        finally:
            if server is not None:
                server.remove()


def _run_sms(arguments: argparse.Namespace, *, clock: Clock, say: Callable[[str], None]) -> int:
    trials = []
    for conditions in (STORMY, CALM):
        with tempfile.TemporaryDirectory(prefix="campus-storm-") as folder:
            trial = try_sms(
                home=Path(folder) / "home",
                taps=arguments.taps or SMS_TAPS,
                pace_s=PACE_S,
                conditions=conditions,
                seed=arguments.seed,
                restarts=2 if conditions is STORMY else 0,
                links=("ip", "sms"),
                clock=clock,
                say=say,
            )
        if not trial.content:
            say(f"{trial.line()}\n{findings_text(trial.findings)}")
        trials.append(trial)
    say("\n".join(trial.line() for trial in trials))
    return 0 if all(trial.content for trial in trials) else 1
