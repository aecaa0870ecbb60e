"""The modem on its pty: plugged, unplugged, browned out, paced; a client is a file descriptor."""

from __future__ import annotations

import os
import select
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from sim.carrier.carrier import Carrier
from sim.modem.modem import SimulatedModem
from sim.modem.profile import EC25
from sim.modem.simcard import SimCard

WAIT_S_MAX = 10.0


class Client:
    """A program that has the port open."""

    def __init__(self, path: Path) -> None:
        self._port = os.open(path, os.O_RDWR | os.O_NOCTTY)

    def say(self, data: bytes, awaited: bytes) -> bytes:
        """What is heard up to `awaited`; the end of the port is `b"<gone>"`."""
        deadline = time.monotonic() + WAIT_S_MAX
        if data:
            os.write(self._port, data)
        heard = b""
        while awaited not in heard:
            readable, _, _ = select.select([self._port], [], [], max(0.0, deadline - time.monotonic()))
            assert readable, heard
            try:
                piece = os.read(self._port, 4096)
            except OSError:
                piece = b""
            heard += piece or b"<gone>"
        return heard

    def close(self) -> None:
        os.close(self._port)


def make(link: Path | None = None, baud: int | None = None) -> SimulatedModem:
    rng = Random(1)
    return SimulatedModem(
        profile=EC25, sim=SimCard(), carrier=Carrier(rng, time.monotonic), rng=rng, link=link, baud=baud
    )


@pytest.fixture
def modem(tmp_path: Path) -> Iterator[SimulatedModem]:
    with make(tmp_path / "modem") as modem:
        yield modem


def test_one_client_after_another_is_answered(modem: SimulatedModem) -> None:
    for _ in range(3):
        client = Client(modem.path)
        client.say(b"AT\r", b"OK")
        client.close()


def test_a_brown_out_ends_the_port_and_the_modem_comes_back_under_another_name(
    modem: SimulatedModem, tmp_path: Path
) -> None:
    client, first = Client(modem.path), modem.path
    client.say(b"AT\r", b"OK")
    modem.brown_out(0.2)
    client.say(b"", b"<gone>")
    assert not (tmp_path / "modem").is_symlink()
    deadline = time.monotonic() + WAIT_S_MAX
    while not modem.is_plugged:
        assert time.monotonic() < deadline  # there is nothing to wait on while no port is there
    assert modem.path != first
    assert (tmp_path / "modem").resolve() == modem.path
    client.close()
    again = Client(modem.path)
    again.say(b"", b"RDY")
    again.close()


def test_a_restart_keeps_the_port_and_a_hang_lasts_until_then(modem: SimulatedModem) -> None:
    client = Client(modem.path)
    client.say(b"AT\r", b"OK")
    modem.hang()
    modem.restart(0.05)
    client.say(b"", b"RDY")
    client.say(b"AT\r", b"OK")
    modem.noise(b"\xff\xfe")
    modem.urc('+CMTI: "SM",1')
    assert b"\xff\xfe" in client.say(b"", b"+CMTI")
    client.close()


def test_output_is_no_faster_than_the_line(tmp_path: Path) -> None:
    with make(baud=9600) as modem:
        client = Client(modem.path)
        client.say(b"ATE0\r", b"OK")
        started = time.monotonic()
        heard = client.say(b"AT+CLAC\r", b"OK")
        assert time.monotonic() - started > 0.8 * len(heard) / 960
        client.close()


def test_a_closed_modem_leaves_nothing_open(tmp_path: Path) -> None:
    before = set(os.listdir("/proc/self/fd"))
    with make(tmp_path / "modem") as modem:
        modem.unplug()
        modem.plug()
    modem.close()
    assert set(os.listdir("/proc/self/fd")) <= before
    assert not (tmp_path / "modem").is_symlink()
