"""A program's plain sockets through the carrier's air, on the real clock."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from random import Random

import pytest

from sim.carrier.bearer import DataNetwork
from sim.carrier.cell import Cell, Quality
from sim.carrier.proxy import SocketProxy
from sim.carrier.tcp import Way

WAIT_S_MAX = 10.0


def serve_echo(listener: socket.socket) -> None:
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        # A thread for each: a connection that is left half open stands in nobody's way.
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


@pytest.fixture
def cell() -> Cell:
    return Cell(time.monotonic)


@pytest.fixture
def proxy(cell: Cell, echo_port: int) -> Iterator[SocketProxy]:
    network = DataNetwork(time.monotonic, Random(3), names={"server.campus": "127.0.0.1"})
    with SocketProxy(network, cell, ("server.campus", echo_port)) as proxy:
        yield proxy
    network.close()


def dial(proxy: SocketProxy, *, timeout_s: float = WAIT_S_MAX) -> socket.socket:
    return socket.create_connection(("127.0.0.1", proxy.port), timeout=timeout_s)


def echoed(connection: socket.socket, data: bytes) -> bytes:
    sender = threading.Thread(target=connection.sendall, args=(data,))
    sender.start()
    back = bytearray()
    while len(back) < len(data) and (piece := connection.recv(65536)):
        back += piece
    sender.join()
    return bytes(back)


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_S_MAX
    while not condition():
        assert time.monotonic() < deadline
        threading.Event().wait(0.01)  # the proxy's thread tells nobody what it has done


def test_stream_comes_back_whole_and_is_counted(proxy: SocketProxy) -> None:
    data = Random(1).randbytes(1_000_000)
    with dial(proxy) as connection:
        assert echoed(connection, data) == data
    assert all(1_000_000 < proxy.air_bytes[way] < 1_080_000 for way in Way)


def test_two_connections_do_not_mix(proxy: SocketProxy, echo_port: int) -> None:
    with dial(proxy) as first:
        assert echoed(first, b"one") == b"one"
    with dial(proxy) as second:
        assert echoed(second, b"two") == b"two"


def test_latency_is_felt(proxy: SocketProxy, cell: Cell) -> None:
    cell.quality = Quality(up_bits_per_s=1e6, down_bits_per_s=1e6, latency_s=0.1, jitter_s=0.0, loss=0.0)
    with dial(proxy) as connection:
        start_s = time.monotonic()
        assert echoed(connection, b"x") == b"x"
        # Three ways for the handshake and the name, and two for the byte and its echo.
        assert 0.4 < time.monotonic() - start_s < 2.0


def test_outage_stops_the_stream_and_its_end_lets_it_go_on(proxy: SocketProxy, cell: Cell) -> None:
    with dial(proxy) as connection:
        assert echoed(connection, b"before") == b"before"
        cell.fail(60.0)
        connection.sendall(b"after")
        connection.settimeout(0.2)
        with pytest.raises(TimeoutError):
            connection.recv(100)
        cell.heal()
        connection.settimeout(WAIT_S_MAX)
        assert connection.recv(100) == b"after"


def test_context_dropped_silently_is_silence_until_a_new_one(proxy: SocketProxy) -> None:
    with dial(proxy) as connection:
        assert echoed(connection, b"before") == b"before"
        proxy.drop(told=False)
        connection.sendall(b"lost")
        connection.settimeout(0.2)
        with pytest.raises(TimeoutError):
            connection.recv(100)
        proxy.reattach()
        connection.settimeout(WAIT_S_MAX)
        with pytest.raises(ConnectionError):
            connection.recv(100)
    with dial(proxy) as connection:
        assert echoed(connection, b"again") == b"again"


def test_outage_refuses_a_new_context(proxy: SocketProxy, cell: Cell) -> None:
    cell.fail(60.0)
    with pytest.raises(ConnectionError), dial(proxy) as connection:
        connection.recv(1)


def test_server_that_is_away_resets(cell: Cell) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    network = DataNetwork(time.monotonic, Random(3), names={})
    with SocketProxy(network, cell, ("127.0.0.1", port)) as proxy:
        with pytest.raises(ConnectionError), dial(proxy) as connection:
            connection.recv(1)
        wait_until(lambda: proxy.air_bytes[Way.DOWN] == 40)
