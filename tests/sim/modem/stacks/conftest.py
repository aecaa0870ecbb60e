"""A modem without a pty on a virtual clock, and a server that the test plays by itself.

A test module says which `profile` it is about.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from random import Random

import pytest

from sim.carrier.carrier import Carrier
from sim.carrier.cell import VirtualClock
from sim.modem.device import Device
from sim.modem.profile import Profile
from sim.modem.simcard import SimCard

STEP_S = 0.005
BOOT_S = 3.0


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock(100.0)


@pytest.fixture
def carrier(clock: VirtualClock) -> Iterator[Carrier]:
    carrier = Carrier(Random(1), clock, names={"server.campus": "127.0.0.1"})
    yield carrier
    carrier.close()


@pytest.fixture
def device(profile: Profile, carrier: Carrier, clock: VirtualClock) -> Device:
    device = Device(profile, SimCard(), carrier, Random(2))
    device.power_on()
    device.engine.receive(b"ATE0\r")
    let_pass(device, clock, BOOT_S)
    device.engine.output()
    return device


def let_pass(device: Device, clock: VirtualClock, seconds: float) -> None:
    until_s = clock() + seconds
    device.poll()
    while clock() < until_s:
        clock.advance(STEP_S)
        device.poll()


@pytest.fixture
def run(device: Device, clock: VirtualClock) -> Callable[[float], bytes]:
    """Let so much time pass; what was said meanwhile."""

    def run(seconds: float) -> bytes:
        let_pass(device, clock, seconds)
        return device.engine.output()

    return run


@pytest.fixture
def say(device: Device, run: Callable[[float], bytes]) -> Callable[..., bytes]:
    """Send a command line (text) or data (bytes); what is said within 0.2 s, or as long as wanted."""

    def say(what: str | bytes, *, seconds: float = 0.2) -> bytes:
        device.engine.receive(what if isinstance(what, bytes) else what.encode("ascii") + b"\r")
        return run(seconds)

    return say


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(5)
        yield listener


@pytest.fixture
def port(listener: socket.socket) -> int:
    port = listener.getsockname()[1]
    assert isinstance(port, int)
    return port


@pytest.fixture
def accept(listener: socket.socket) -> Iterator[Callable[[], socket.socket]]:
    """Take the connection that the modem has made."""
    peers: list[socket.socket] = []

    def accept() -> socket.socket:
        peer, _ = listener.accept()
        peer.settimeout(5)
        peers.append(peer)
        return peer

    yield accept
    for peer in peers:
        peer.close()
