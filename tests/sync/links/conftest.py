"""A simulated modem with an operator behind it, and the port through which the uplink uses it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from random import Random

import pytest

from drivers.modem import Modem
from sim.carrier.carrier import Carrier
from sim.modem.modem import SimulatedModem
from sim.modem.profile import EC25, Profile, hurried
from sim.modem.simcard import SimCard
from sync.links.modemport import Access, ModemPort
from sync.store import UplinkStore

BOOT_S = 0.15  # of a hurried one
TERMINAL_NUMBER = "+8613900000001"

PlugIn = Callable[..., SimulatedModem]


@pytest.fixture
def carrier() -> Iterator[Carrier]:
    """An operator on the real clock."""
    carrier = Carrier(Random(1), time.monotonic)
    carrier.register_s = 0.02
    carrier.smsc.conditions.delay_s = (0.02, 0.1)
    yield carrier
    carrier.close()


@pytest.fixture(autouse=True)
def _quick_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pseudo-terminal pauses for less within an answer than a modem at 115200 Bd."""
    monkeypatch.setattr("drivers.line.QUIET_S", 0.08)
    monkeypatch.setattr("sync.links.modemport.LOOK_S", 0.05)


def boot(modem: SimulatedModem) -> None:
    """Wait until it has said all that a start makes it say; a command in the midst of that would be lost."""
    booted = threading.Event()
    with modem.carrier.lock:
        modem.carrier.timers.after(BOOT_S, booted.set)
    assert booted.wait(10), "it boots"


@pytest.fixture
def plug_in(carrier: Carrier) -> Iterator[PlugIn]:
    """Plug a modem in, by default an EC25 with a SIM that wants no PIN."""
    plugged: list[SimulatedModem] = []

    def plug(profile: Profile = EC25, sim: SimCard | None = None) -> SimulatedModem:
        modem = SimulatedModem(
            profile=hurried(profile), sim=sim or SimCard(number=TERMINAL_NUMBER), carrier=carrier, rng=Random(2)
        )
        modem.__enter__()
        plugged.append(modem)
        boot(modem)
        return modem

    yield plug
    for modem in plugged:
        modem.close()


@pytest.fixture
def port_of(store: UplinkStore) -> Iterator[Callable[..., ModemPort]]:
    """The uplink's side of a modem."""
    ports: list[ModemPort] = []

    def make(modem: SimulatedModem, access: Access | None = None) -> ModemPort:
        ports.append(
            ModemPort(lambda: Modem.open(modem.path), access or Access(apn="internet"), store=store, search_s=1.5)
        )
        return ports[-1]

    yield make
    for port in ports:
        port.close()
