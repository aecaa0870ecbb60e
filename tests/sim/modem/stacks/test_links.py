"""What every make's stack must do, driven over a pty by a plain client that waits for each line."""

from __future__ import annotations

import contextlib
import os
import re
import select
import socket
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from sim.carrier.carrier import Carrier
from sim.modem.device import Device
from sim.modem.faults import Mishap, PortFaults
from sim.modem.modem import SimulatedModem
from sim.modem.profile import EC25, PROFILES, SIM800, SIM7600, Profile
from sim.modem.simcard import SimCard

WAIT_S_MAX = 10.0
MEGABYTE = 1_000_000


class Client(ABC):
    """A terminal on the pty; it believes every line."""

    block = 1024

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_RDWR | os.O_NOCTTY)
        self._buffer = bytearray()

    def close(self) -> None:
        os.close(self._fd)

    def write(self, data: bytes) -> None:
        while data:
            select.select([], [self._fd], [], WAIT_S_MAX)
            data = data[os.write(self._fd, data) :]

    def wait(self, pattern: bytes, *, within_s: float = WAIT_S_MAX) -> re.Match[bytes]:
        """Read until `pattern` is there; all before it is dropped."""
        deadline = time.monotonic() + within_s
        while not (found := re.search(pattern, self._buffer)):
            left = deadline - time.monotonic()
            assert left > 0, f"no {pattern!r} in {bytes(self._buffer[-200:])!r}"
            if select.select([self._fd], [], [], left)[0]:
                self._buffer += os.read(self._fd, 65536)
        # A copy: the buffer changes under a match.
        found = re.search(pattern, bytes(self._buffer))
        assert found is not None
        del self._buffer[: found.end()]
        return found

    def exactly(self, count: int) -> bytes:
        deadline = time.monotonic() + WAIT_S_MAX
        while len(self._buffer) < count:
            assert time.monotonic() < deadline
            if select.select([self._fd], [], [], 1.0)[0]:
                self._buffer += os.read(self._fd, 65536)
        data = bytes(self._buffer[:count])
        del self._buffer[:count]
        return data

    def command(self, line: str, answer: bytes = rb"\r\nOK\r\n") -> re.Match[bytes]:
        self.write(line.encode() + b"\r")
        return self.wait(answer)

    @abstractmethod
    def attach(self) -> None: ...

    @abstractmethod
    def open(self, port: int) -> None: ...

    @abstractmethod
    def send(self, data: bytes) -> bool:
        """False: try again later."""

    @abstractmethod
    def receive(self) -> bytes: ...

    @abstractmethod
    def hang_up(self) -> None: ...


class QuectelClient(Client):
    block = 1460

    def attach(self) -> None:
        self.command('AT+QICSGP=1,1,"internet"')
        self.command("AT+QIACT=1")

    def open(self, port: int) -> None:
        self.command(f'AT+QIOPEN=1,0,"TCP","127.0.0.1",{port},0,0', rb"\+QIOPEN: 0,0\r\n")

    def send(self, data: bytes) -> bool:
        self.command(f"AT+QISEND=0,{len(data)}", rb"\r\n> ")
        self.write(data)
        return self.wait(rb"\r\nSEND (OK|FAIL)\r\n")[1] == b"OK"

    def receive(self) -> bytes:
        length = int(self.command("AT+QIRD=0,1500", rb"\r\n\+QIRD: (\d+)\r\n")[1])
        data = self.exactly(length)
        self.wait(rb"\r\nOK\r\n")
        return data

    def hang_up(self) -> None:
        self.command("AT+QICLOSE=0")
        self.command("AT+QIDEACT=1")


class Sim7600Client(Client):
    block = 1500

    def attach(self) -> None:
        self.command('AT+CGDCONT=1,"IP","internet"')
        self.command("AT+NETOPEN", rb"\r\n\+NETOPEN: 0\r\n")
        self.command("AT+CIPRXGET=1")

    def open(self, port: int) -> None:
        self.command(f'AT+CIPOPEN=0,"TCP","127.0.0.1",{port}', rb"\+CIPOPEN: 0,0\r\n")

    def send(self, data: bytes) -> bool:
        self.command(f"AT+CIPSEND=0,{len(data)}", rb"\r\n>")
        self.write(data)
        return int(self.wait(rb"\+CIPSEND: 0,\d+,(-?\d+)\r\n")[1]) == len(data)

    def receive(self) -> bytes:
        found = self.command("AT+CIPRXGET=2,0,1500", rb"\+CIPRXGET: 2,0,(\d+),\d+\r\n|No data\r\n(?s:.*?)ERROR\r\n")
        if found[1] is None:
            return b""
        data = self.exactly(int(found[1]))
        self.wait(rb"\r\nOK\r\n")
        return data

    def hang_up(self) -> None:
        self.command("AT+CIPCLOSE=0", rb"\+CIPCLOSE: 0,0\r\n")
        self.command("AT+NETCLOSE", rb"\+NETCLOSE: 0\r\n")


class Sim800Client(Client):
    block = 1460

    def attach(self) -> None:
        self.command("AT+CIPSHUT", rb"\r\nSHUT OK\r\n")
        for line in ("CIPMUX=1", "CIPQSEND=1", "CIPRXGET=1", 'CSTT="internet","",""', "CIICR"):
            self.command(f"AT+{line}")
        self.command("AT+CIFSR", rb"\r\n\d+\.\d+\.\d+\.\d+\r\n")

    def open(self, port: int) -> None:
        self.command(f'AT+CIPSTART=0,"TCP","127.0.0.1",{port}', rb"\r\n0, CONNECT OK\r\n")

    def send(self, data: bytes) -> bool:
        self.command(f"AT+CIPSEND=0,{len(data)}", rb"\r\n> ")
        self.write(data)
        return self.wait(rb"\r\n(DATA ACCEPT:0|0, SEND FAIL)")[1] != b"0, SEND FAIL"

    def receive(self) -> bytes:
        length = int(self.command("AT+CIPRXGET=2,0,1460", rb"\+CIPRXGET: 2,0,(\d+),\d+\r\n")[1])
        data = self.exactly(length)
        self.wait(rb"\r\nOK\r\n")
        return data

    def hang_up(self) -> None:
        self.command("AT+CIPCLOSE=0", rb"\r\n0, CLOSE OK\r\n")
        self.command("AT+CIPSHUT", rb"\r\nSHUT OK\r\n")


CLIENTS: dict[str, type[QuectelClient | Sim7600Client | Sim800Client]] = {
    EC25.name: QuectelClient,
    SIM7600.name: Sim7600Client,
    SIM800.name: Sim800Client,
}


@pytest.fixture(params=PROFILES.values(), ids=lambda profile: profile.name)
def profile(request: pytest.FixtureRequest) -> Profile:
    found = request.param
    assert isinstance(found, Profile)
    return found


@pytest.fixture
def faults() -> PortFaults:
    return PortFaults(1, {})


@pytest.fixture
def operator() -> Iterator[Carrier]:
    carrier = Carrier(Random(1), time.monotonic)
    yield carrier
    carrier.close()


@pytest.fixture
def modem(profile: Profile, operator: Carrier, faults: PortFaults) -> Iterator[SimulatedModem]:
    operator.register_s = 0.0
    with SimulatedModem(profile=profile, sim=SimCard(), carrier=operator, rng=Random(2), faults=faults) as modem:
        yield modem


@pytest.fixture
def client(profile: Profile, modem: SimulatedModem) -> Iterator[Client]:
    client = CLIENTS[profile.name](modem.path)
    with contextlib.closing(client):
        client.command("AT")
        client.command("ATE0")
        client.wait(rb"(PB DONE|SMS Ready)\r\n")
        yield client


def serve_echo(listener: socket.socket) -> None:
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        threading.Thread(target=echo, args=(connection,), daemon=True).start()


def echo(connection: socket.socket) -> None:
    with connection, contextlib.suppress(OSError):
        while data := connection.recv(65536):
            connection.sendall(data)


@pytest.fixture
def echo_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve_echo, args=(listener,), daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
    thread.join()


def echoed(client: Client, data: bytes, *, within_s: float = 120.0) -> bytes:
    """Send and read in turns, until all is back."""
    back, position = bytearray(), 0
    deadline = time.monotonic() + within_s
    while len(back) < len(data):
        assert time.monotonic() < deadline, f"{len(back)} of {len(data)} bytes"
        block = data[position : position + client.block]
        if block and client.send(block):
            position += len(block)
        back += client.receive()
    return bytes(back)


def test_megabyte_comes_back_byte_by_byte(client: Client, echo_port: int) -> None:
    client.attach()
    client.open(echo_port)
    data = Random(1).randbytes(MEGABYTE)
    assert echoed(client, data) == data
    client.hang_up()
    client.attach()
    client.open(echo_port)
    assert echoed(client, b"again") == b"again"


def test_stream_survives_lines_said_in_between(client: Client, echo_port: int, faults: PortFaults) -> None:
    client.attach()
    client.open(echo_port)
    faults.chances[Mishap.NOISE] = 0.1
    data = Random(2).randbytes(20_000)
    assert echoed(client, data) == data
    assert faults.seen[Mishap.NOISE] > 0


GARBAGE = [
    "",
    "=",
    "=?",
    "?",
    "=,",
    "=0",
    "=0,",
    "=1,1",
    "=0,0",
    "=-1",
    '="',
    '=""',
    '="a","b"',
    "=99999999999",
    "=0," * 9,
]


def test_no_command_fails_on_garbage(profile: Profile) -> None:
    """Every command of the modem with every kind of argument, and random lines: an answer, or data wanted."""
    rng = Random(profile.name)
    carrier = Carrier(Random(1), time.monotonic)
    device = Device(profile, SimCard(), carrier, Random(2))
    device.power_on()
    names = [name for name in device.commands.names if name.startswith("+")]
    lines = [f"AT{name}{garbage}" for name in names for garbage in GARBAGE]
    some = [(rng.choice(names), rng.choices('0123,"aT;?=xé', k=rng.randrange(20))) for _ in range(3000)]
    lines += [f"AT{name}={''.join(characters)}" for name, characters in some]
    for line in lines:
        device.engine.receive(line.encode("latin-1") + b"\r")
        device.poll()
        device.engine.receive(b"\x1b" + rng.randbytes(5) + b"\x1a\r")
        device.engine.output()
        device.engine.restart()
    carrier.close()
