"""One contract of connections, kept by the three families' drivers on simulated modems, over real pseudo-terminals."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from random import Random

import pytest

from drivers.modem import Modem, ModemRestarted, PdpLost, SocketClosed
from drivers.modemfaults import BearerLost, ModemFault, ModemGone, ModemSilent, PortBusy, SocketDown
from drivers.stacks.stack import ModemSocket
from sim.carrier.carrier import Carrier
from sim.modem.faults import Mishap, PortFaults
from sim.modem.modem import SimulatedModem
from sim.modem.profile import PROFILES
from sim.modem.simcard import SimCard

PATIENCE_S = 15.0
DEADLINE_S = 12.0  # for a fault to be told, whatever has failed
PROFILE_NAMES = ("quectel-ec25", "simcom-sim7600", "simcom-sim800")


class Server:
    """A TCP server on the loopback interface that does with each connection what it is told to."""

    def __init__(self, serve: Callable[[socket.socket], None]) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._serve = serve
        self.port: int = self._listener.getsockname()[1]
        self.connections: list[socket.socket] = []
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        while self._thread.is_alive():
            for connection in list(self.connections):
                with suppress(OSError):  # it is over already
                    connection.shutdown(socket.SHUT_RDWR)  # close alone would not wake who reads
            self._thread.join(0.1)
        self._listener.close()

    def _run(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections.append(connection)
            with connection, suppress(OSError):
                self._serve(connection)


def echo(connection: socket.socket) -> None:
    while data := connection.recv(4096):
        connection.sendall(data)


def say_and_close(connection: socket.socket) -> None:
    connection.recv(4096)
    connection.sendall(b"the last words" * 100)
    connection.close()


def swallow(connection: socket.socket) -> None:
    while connection.recv(4096):
        pass


@pytest.fixture(scope="module", params=PROFILE_NAMES)
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    with Bench(request.param, PortFaults(1, {})) as bench:
        yield bench


class Bench:
    """A simulated modem with a driver at it and a bearer under it, after each test as before."""

    def __init__(self, profile: str, faults: PortFaults) -> None:
        rng = Random(1)
        self.faults = faults
        self.carrier = Carrier(rng, time.monotonic)
        self.carrier.register_s = 0.05
        self.sim = SimulatedModem(
            profile=PROFILES[profile], sim=SimCard(), carrier=self.carrier, rng=rng, faults=faults
        )

    def __enter__(self) -> Bench:
        self.sim.__enter__()
        self.open()
        return self

    def open(self) -> None:
        """The modem, when it has booted."""
        self.modem = Modem.open(self.sim.path)
        deadline_s = time.monotonic() + PATIENCE_S
        while ModemRestarted() not in self.modem.poll(0.5):
            assert time.monotonic() < deadline_s, "it does not boot"

    def __exit__(self, *_: object) -> None:
        self.modem.close()
        self.sim.close()
        self.carrier.data.close()

    def ready(self) -> Modem:
        """The modem, opened again where a test has unplugged it, with its bearer."""
        if not self.sim.is_plugged:
            self.sim.plug()
            self.modem.close()
            self.open()
        deadline_s = time.monotonic() + PATIENCE_S
        while not self.modem.registration().registered:
            assert time.monotonic() < deadline_s, "no network"
            self.modem.poll(0.1)  # it says so, but not on every setting
        self.modem.attach(apn="internet")
        self.modem.poll(0)
        return self.modem

    def connect(self, server: Server) -> ModemSocket:
        return self.ready().open_socket("127.0.0.1", server.port, timeout_s=5)


def receive(connection: ModemSocket, size: int) -> bytes:
    data = b""
    deadline_s = time.monotonic() + PATIENCE_S
    while len(data) < size:
        assert time.monotonic() < deadline_s, f"{len(data)} of {size} bytes came"
        data += connection.receive(1.0)
    return data


def until_it_fails(act: Callable[[], object]) -> ModemFault:
    """Repeat `act` until it raises; the fault."""
    deadline_s = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline_s:
        try:
            act()
        except ModemFault as fault:
            return fault
    pytest.fail("no fault was told in time")


def test_what_is_sent_comes_back(bench: Bench) -> None:
    with closing(Server(echo)) as server, closing(bench.connect(server)) as connection:
        every_byte = bytes(range(256)) * 2
        connection.send(every_byte)
        assert receive(connection, 512) == every_byte
        assert connection.receive(0) == b""
        assert connection.unacknowledged() in (0, None)


def test_large_transfer_is_whole_and_in_order(bench: Bench) -> None:
    data = Random(2).randbytes(60_000)
    with closing(Server(echo)) as server, closing(bench.connect(server)) as connection:
        received = b""
        for start in range(0, len(data), 6_000):
            connection.send(data[start : start + 6_000])
            received += receive(connection, 6_000)
        assert received == data


def test_two_connections_do_not_mix(bench: Bench) -> None:
    with closing(Server(echo)) as server, closing(Server(echo)) as other, closing(bench.connect(server)) as first:
        second = bench.modem.open_socket("127.0.0.1", other.port, timeout_s=5)
        first.send(b"one")
        second.send(b"two")
        assert (receive(second, 3), receive(first, 3)) == (b"two", b"one")
        second.close()


def test_peer_that_closes_is_told_after_its_last_words(bench: Bench) -> None:
    with closing(Server(say_and_close)) as server, closing(bench.connect(server)) as connection:
        connection.send(b"speak")
        received = b""

        def read() -> None:
            nonlocal received
            received += connection.receive(1.0)

        assert isinstance(until_it_fails(read), SocketDown)
        assert received == b"the last words" * 100
        with pytest.raises(SocketDown):
            connection.send(b"more")
        assert [event for event in bench.modem.poll(0) if isinstance(event, SocketClosed)]


def test_refused_connection_is_told(bench: Bench) -> None:
    server = Server(echo)
    server.close()
    with pytest.raises(SocketDown):
        bench.connect(server)


def test_name_is_resolved_or_said_to_be_unknown(bench: Bench) -> None:
    modem = bench.ready()
    bench.carrier.data.names["settlement.example"] = "127.0.0.1"
    assert modem.resolve("settlement.example") == "127.0.0.1"
    assert modem.resolve("127.0.0.9") == "127.0.0.9"
    with pytest.raises(SocketDown):
        modem.resolve("nowhere.example")


def test_closed_connection_refuses_and_is_closed_twice_without_harm(bench: Bench) -> None:
    with closing(Server(echo)) as server:
        connection = bench.connect(server)
        connection.close()
        connection.close()
        for act in (lambda: connection.send(b"x"), lambda: connection.receive(0.1), connection.unacknowledged):
            with pytest.raises(SocketDown):
                act()


def test_many_connections_one_after_another(bench: Bench) -> None:
    with closing(Server(echo)) as server:
        modem = bench.ready()
        for number in range(14):
            with closing(modem.open_socket("127.0.0.1", server.port, timeout_s=5)) as connection:
                connection.send(str(number).encode())
                assert receive(connection, len(str(number))) == str(number).encode()


def test_bearer_that_the_network_takes_is_told(bench: Bench) -> None:
    with closing(Server(swallow)) as server:
        connection = bench.connect(server)
        for bearer in bench.carrier.data.bearers:
            bearer.drop(told=True)
        assert isinstance(until_it_fails(lambda: connection.receive(1.0)), BearerLost)
        assert PdpLost() in bench.modem.poll(0)
        with pytest.raises(BearerLost):
            bench.modem.open_socket("127.0.0.1", server.port)
        bench.ready()


def test_bearer_that_went_without_a_word_is_told_at_the_next_connection(bench: Bench) -> None:
    bench.ready()
    bench.faults.chances[Mishap.LOST_URC] = 1.0
    for bearer in list(bench.carrier.data.bearers):
        bearer.drop(told=True)
    fault = until_it_fails(lambda: bench.modem.open_socket("127.0.0.1", 9, timeout_s=1).close())
    bench.faults.chances.clear()
    assert isinstance(fault, SocketDown)
    if not isinstance(fault, BearerLost):  # the network had not got round to it
        assert isinstance(until_it_fails(lambda: bench.modem.open_socket("127.0.0.1", 9, timeout_s=1)), BearerLost)


def test_bearer_that_vanishes_silently_shows_as_bytes_that_nobody_confirms(bench: Bench) -> None:
    with closing(Server(swallow)) as server:
        connection = bench.connect(server)
        for bearer in bench.carrier.data.bearers:
            bearer.drop(told=False)
        connection.send(b"into the void")
        assert connection.receive(0) == b""
        assert connection.unacknowledged() == 13
        connection.close()


def test_wrong_apn_is_told(bench: Bench) -> None:
    modem = bench.ready()
    with pytest.raises(BearerLost):
        modem.attach(apn="wrong")
    with pytest.raises(BearerLost):
        modem.open_socket("127.0.0.1", 9)


def test_restart_ends_the_connection_and_is_told(bench: Bench) -> None:
    with closing(Server(swallow)) as server:
        connection = bench.connect(server)
        bench.sim.restart(off_s=0.05)
        assert isinstance(until_it_fails(lambda: connection.send(b"x" * 100)), ModemSilent | SocketDown)
        events = bench.modem.poll(PATIENCE_S)
        assert ModemRestarted() in events
        with closing(bench.connect(server)) as again:
            again.send(b"x")


def test_unplugged_modem_is_told_at_once(bench: Bench) -> None:
    with closing(Server(swallow)) as server:
        connection = bench.connect(server)
        bench.sim.unplug()
        start_s = time.monotonic()
        with pytest.raises(ModemGone):
            connection.receive(10.0)
        assert time.monotonic() - start_s < 5.0
        with pytest.raises(ModemGone):
            bench.modem.signal()


def test_second_program_does_not_get_the_port(bench: Bench) -> None:
    bench.ready()
    with pytest.raises(PortBusy):
        Modem.open(bench.sim.path)


@pytest.mark.parametrize("profile", PROFILE_NAMES)
def test_words_lost_on_the_line_lose_no_data(profile: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("drivers.stacks.stack.POLL_S", 0.2)
    faults = PortFaults(3, {Mishap.LOST_URC: 1.0, Mishap.NOISE: 0.02})
    with Bench(profile, faults) as bench, closing(Server(say_and_close)) as server:
        connection = bench.connect(server)
        connection.send(b"speak")
        received = b""

        def read() -> None:
            nonlocal received
            received += connection.receive(2.0)

        assert isinstance(until_it_fails(read), SocketDown)
        assert received == b"the last words" * 100


@pytest.mark.parametrize("profile", PROFILE_NAMES)
def test_hanging_modem_is_told_in_time(profile: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("drivers.stacks.stack.PROMPT_S", 0.3)
    with Bench(profile, PortFaults(4, {})) as bench, closing(Server(swallow)) as server:
        connection = bench.connect(server)
        bench.sim.hang()
        start_s = time.monotonic()
        with pytest.raises(ModemSilent):
            connection.send(b"x")
        assert time.monotonic() - start_s < DEADLINE_S
        with pytest.raises(ModemSilent):
            connection.send(b"x")
