"""A modem without a pty, on a virtual clock: commands as text, answers as text."""

from __future__ import annotations

from random import Random

import pytest

from sim.carrier.carrier import Carrier
from sim.carrier.cell import VirtualClock
from sim.carrier.smsc import Phone
from sim.modem.device import Device
from sim.modem.profile import EC25, Profile
from sim.modem.simcard import SimCard

BOOT_S = 3.0
NUMBER, OTHER = "+8613900000001", "+8613800000077"


class Desk:
    """One modem, one carrier, and a phone that it can write to."""

    def __init__(self, profile: Profile, sim: SimCard | None) -> None:
        self.clock = VirtualClock(100.0)
        self.carrier = Carrier(Random(1), self.clock)
        self.sim = sim
        self.device = Device(profile, sim, self.carrier, Random(2))
        self.phone = Phone(self.carrier.smsc, OTHER)

    def pass_time(self, seconds: float) -> str:
        """Let time pass; what the modem has said."""
        self.carrier.run_until(self.clock, self.clock() + seconds)
        return self.device.engine.output().decode("latin-1")

    def say(self, line: str | bytes, *, seconds: float = 1.0) -> list[str]:
        """Send a command line, or bytes as they are; the lines said within so long, without the empty ones."""
        self.device.engine.receive(line if isinstance(line, bytes) else line.encode("latin-1") + b"\r")
        return [text for text in self.pass_time(seconds).split("\r\n") if text]


def start(profile: Profile = EC25, sim: SimCard | None = None) -> Desk:
    """A modem that has booted, with the echo off."""
    desk = Desk(profile, sim)
    desk.device.power_on()
    desk.pass_time(BOOT_S)
    desk.say("ATE0")
    return desk


@pytest.fixture
def desk() -> Desk:
    """An EC25 with a SIM that wants no PIN, registered."""
    return start(sim=SimCard(number=NUMBER))
