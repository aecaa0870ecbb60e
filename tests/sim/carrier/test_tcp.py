"""The model of TCP's cost, beside what the kernel really puts on an interface."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Callable
from random import Random

import pytest

from sim.carrier.bearer import DataNetwork
from sim.carrier.cell import Cell
from sim.carrier.proxy import SocketProxy
from sim.carrier.tcp import MSS, Way

WAIT_S_MAX = 10.0
QUIET_S = 0.3  # longer than any delayed acknowledgement

Talk = Callable[[socket.socket], None]


def ask_and_answer(connection: socket.socket) -> None:
    """Ten requests of 60 bytes, one after the other, each with its echo."""
    for _ in range(10):
        connection.sendall(bytes(60))
        read_exactly(connection, 60)


def send_bulk(connection: socket.socket) -> None:
    """A batch of 8 kB, and its echo."""
    connection.sendall(bytes(8000))
    read_exactly(connection, 8000)


def read_exactly(connection: socket.socket, count: int) -> bytes:
    data = bytearray()
    while len(data) < count:
        piece = connection.recv(count - len(data))
        assert piece
        data += piece
    return bytes(data)


def serve_once(listener: socket.socket, block: int) -> None:
    """One connection, echoed block by block: whole messages, as a real server answers."""
    connection, _ = listener.accept()
    with connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        pending = bytearray()
        while data := connection.recv(65536):
            pending += data
            while len(pending) >= block:
                connection.sendall(pending[:block])
                del pending[:block]


def captured_bytes(capture: socket.socket, port: int) -> int:
    """IP bytes of every packet from or to `port` until it is quiet; each as it comes in."""
    total = 0
    capture.settimeout(QUIET_S)
    while True:
        try:
            frame, address = capture.recvfrom(65536)
        except TimeoutError:
            return total
        packet = frame[14:]
        if address[2] == socket.PACKET_OUTGOING or packet[9] != socket.IPPROTO_TCP:
            continue
        header = 4 * (packet[0] & 15)
        if port in struct.unpack_from(">HH", packet, header):
            total += int.from_bytes(packet[2:4])


def listen() -> socket.socket:
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, MSS + 12)  # 12 of them are the time stamps
    return listener


@pytest.mark.parametrize(("talk", "block"), [(ask_and_answer, 60), (send_bulk, 8000)])
def test_model_costs_what_the_kernel_sends(talk: Talk, block: int) -> None:
    try:
        capture = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0800))
    except PermissionError:
        pytest.skip("capturing packets takes root")
    with capture, listen() as listener:
        capture.bind(("lo", 0x0800))
        port = listener.getsockname()[1]
        server = threading.Thread(target=serve_once, args=(listener, block))
        server.start()
        with socket.create_connection(("127.0.0.1", port), timeout=WAIT_S_MAX) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            talk(connection)
        server.join()
        real = captured_bytes(capture, port)
    modelled = through_the_air(talk, block)
    print(f"{talk.__name__}: {real} bytes on lo, {modelled} by the model")
    assert modelled == pytest.approx(real, rel=0.12)


def through_the_air(talk: Talk, block: int) -> int:
    network = DataNetwork(time.monotonic, Random(3), names={})
    with listen() as listener:
        server = threading.Thread(target=serve_once, args=(listener, block))
        server.start()
        target = ("127.0.0.1", listener.getsockname()[1])
        with SocketProxy(network, Cell(time.monotonic), target) as proxy:
            with socket.create_connection(("127.0.0.1", proxy.port), timeout=WAIT_S_MAX) as connection:
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                talk(connection)
            server.join()
            threading.Event().wait(QUIET_S)  # the last acknowledgements are nobody's to tell
            total = sum(proxy.air_bytes[way] for way in Way)
    network.close()
    return total
