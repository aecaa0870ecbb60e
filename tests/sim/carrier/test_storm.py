"""Storms: planned by seed, and a file of 200 kB sent through them by the modem driver and by plain sockets."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import pytest

from drivers.modem import Modem
from drivers.modemfaults import ModemFault
from sim.carrier.bearer import DataNetwork
from sim.carrier.carrier import Carrier
from sim.carrier.cell import LTE, Cell, VirtualClock
from sim.carrier.proxy import SocketProxy
from sim.carrier.storm import Gust, Storm, plan_storm
from sim.carrier.tcp import Way
from sim.modem.faults import PortFaults
from sim.modem.modem import SimulatedModem
from sim.modem.profile import PROFILES, Profile
from sim.modem.simcard import SimCard

FILE = Random(7).randbytes(200_000)
PIECE_BYTES = 4000
PATIENCE_S = 2.0  # without a receipt the connection counts as dead
CONNECT_S = 5.0
_HEAD = struct.Struct(">II")  # offset and length of a piece; a receipt is the offset that is wanted next
_RECEIPT = struct.Struct(">I")


class Receiver:
    """A server that takes a file in pieces, in order, from whoever brings them; what it has survives its restarts."""

    def __init__(self) -> None:
        self.file = bytearray()
        self.restarts = 0
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._connections: list[socket.socket] = []
        self._accepting = self._start()

    def restart(self) -> None:
        self.stop()
        self.restarts += 1
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self._accepting = self._start()

    def stop(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._accepting.join()
        self._listener.close()
        while self._connections:
            connection = self._connections.pop()
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def _start(self) -> threading.Thread:
        thread = threading.Thread(target=self._accept, args=(self._listener,), daemon=True)
        thread.start()
        return thread

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            self._connections.append(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        pending = bytearray()
        with connection, contextlib.suppress(OSError):
            connection.sendall(_RECEIPT.pack(len(self.file)))
            while data := connection.recv(65536):
                pending += data
                while (piece := take_piece(pending)) is not None:
                    offset, body = piece
                    with self._lock:
                        if offset == len(self.file):
                            self.file += body
                    connection.sendall(_RECEIPT.pack(len(self.file)))


def take_piece(pending: bytearray) -> tuple[int, bytes] | None:
    if len(pending) < _HEAD.size:
        return None
    offset, length = _HEAD.unpack_from(pending)
    if len(pending) < _HEAD.size + length:
        return None
    body = bytes(pending[_HEAD.size : _HEAD.size + length])
    del pending[: _HEAD.size + length]
    return offset, body


Read = Callable[[float], bytes]  # what came within so many seconds, empty if nothing did


def send_file(send: Callable[[bytes], object], read: Read, *, deadline: float) -> bool:
    """Piece by piece on one connection, each after the receipt for the one before; false if the receipts stop."""
    receipts = bytearray()
    while True:
        waiting_since = time.monotonic()
        while len(receipts) < _RECEIPT.size:
            if time.monotonic() - waiting_since > PATIENCE_S:
                return False
            receipts += read(0.5)
        (wanted,) = _RECEIPT.unpack(receipts[-_RECEIPT.size :])
        receipts.clear()
        if wanted == len(FILE):
            return True
        assert time.monotonic() < deadline, f"{wanted} of {len(FILE)} bytes"
        piece = FILE[wanted : wanted + PIECE_BYTES]
        send(_HEAD.pack(wanted, len(piece)) + piece)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    yield receiver
    receiver.stop()


def send_by_modem(path: Path, port: int, *, deadline: float) -> int:
    """Until it is there, with a new connection, a new context or the port opened anew; how many connections it took."""
    tries = 0
    while True:
        assert time.monotonic() < deadline, "the file never got through"
        tries += 1
        with contextlib.suppress(ModemFault):
            modem = Modem.open(path)
            with contextlib.closing(modem):
                modem.attach(apn="internet")
                connection = modem.open_socket("server.campus", port, timeout_s=CONNECT_S)
                with contextlib.closing(connection):
                    if send_file(connection.send, connection.receive, deadline=deadline):
                        return tries
        threading.Event().wait(0.1)  # an unplugged port cannot be waited for


def send_by_socket(port: int, *, deadline: float) -> int:
    """As `send_by_modem`, over plain sockets."""
    tries = 0
    while True:
        assert time.monotonic() < deadline, "the file never got through"
        tries += 1
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=CONNECT_S) as link:
            if send_file(link.sendall, lambda seconds: read_within(link, seconds), deadline=deadline):
                return tries
        threading.Event().wait(0.1)  # a network that is away refuses at once


def read_within(link: socket.socket, seconds: float) -> bytes:
    link.settimeout(seconds)
    try:
        data = link.recv(4096)
    except TimeoutError:
        return b""
    finally:
        link.settimeout(CONNECT_S)
    if not data:
        raise ConnectionError("closed")
    return data


def test_plan_is_the_same_for_a_seed_and_brings_every_kind() -> None:
    gusts = tuple(Gust)
    plan = plan_storm(3, gusts, seconds=60.0, pause_s=1.0)
    assert plan == plan_storm(3, gusts, seconds=60.0, pause_s=1.0)
    assert plan != plan_storm(4, gusts, seconds=60.0, pause_s=1.0)
    assert {planned.gust for planned in plan} == set(Gust)
    assert all(0.2 <= planned.lasts_s <= 1.0 and planned.at_s < 60.0 for planned in plan)


def test_storm_breaks_only_what_is_there_and_ends_in_calm() -> None:
    clock = VirtualClock()
    network = DataNetwork(clock, Random(1), names={})
    cell = Cell(clock, quality=LTE)
    said: list[str] = []
    storm = Storm(8, clock=clock, network=network, cell=cell, seconds=100.0, pause_s=2.0, say=said.append)
    saw_outage = saw_bad_radio = saw_silence = False
    while not storm.is_over:
        clock.advance(0.05)
        storm.step()
        saw_outage |= not cell.is_up()
        saw_bad_radio |= cell.quality != LTE
        saw_silence |= not network.resolves
    assert saw_outage
    assert saw_bad_radio
    assert saw_silence
    assert not set(storm.happened) & {Gust.HANG, Gust.BROWN_OUT, Gust.RESTART, Gust.SERVER_RESTART, Gust.PORT_FAULTS}
    storm.calm()
    assert (cell.is_up(), cell.quality, network.resolves) == (True, LTE, True)
    assert said[0] == f"storm, seed 8: {len(storm.plan)} gusts in 100 s"
    assert said[-1].startswith("calm after: ")


def test_calm_in_the_middle_ends_what_lasts() -> None:
    clock = VirtualClock()
    network = DataNetwork(clock, Random(1), names={})
    cell = Cell(clock, quality=LTE)
    storm = Storm(8, clock=clock, network=network, cell=cell, seconds=100.0, pause_s=2.0, say=lambda _: None)
    while cell.quality == LTE or network.resolves:
        clock.advance(0.05)
        storm.step()
    storm.calm()
    assert (cell.is_up(), cell.quality, network.resolves) == (True, LTE, True)
    assert storm.is_over


def through_ip_storm(receiver: Receiver, seed: int, *, seconds: float) -> Storm:
    network = DataNetwork(time.monotonic, Random(seed), names={"server.campus": "127.0.0.1"})
    cell = Cell(time.monotonic, quality=LTE)
    with SocketProxy(network, cell, ("server.campus", receiver.port)) as proxy:
        storm = Storm(
            seed,
            clock=time.monotonic,
            network=network,
            cell=cell,
            proxy=proxy,
            restart_server=receiver.restart,
            seconds=seconds,
            pause_s=seconds / 12,
            say=print,
        )
        with storm:
            tries = send_by_socket(proxy.port, deadline=time.monotonic() + 120)
            print(f"{tries} connections, {sum(proxy.air_bytes[way] for way in Way)} bytes on the air")
    network.close()
    return storm


def test_file_goes_through_a_storm_over_ip(receiver: Receiver) -> None:
    through_ip_storm(receiver, 11, seconds=2.0)
    assert bytes(receiver.file) == FILE


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("profile", PROFILES.values(), ids=lambda profile: profile.name)
def test_file_goes_through_a_storm_by_modem(profile: Profile, receiver: Receiver, tmp_path: Path, seed: int) -> None:
    carrier = Carrier(Random(seed), time.monotonic, names={"server.campus": "127.0.0.1"}, cell=None)
    carrier.cell.quality = LTE
    faults = PortFaults(seed)
    link = tmp_path / "modem"
    with (
        SimulatedModem(
            profile=profile, sim=SimCard(), carrier=carrier, rng=Random(seed), faults=faults, link=link
        ) as modem,
        Storm(
            seed,
            clock=time.monotonic,
            network=carrier.data,
            cell=carrier.cell,
            modem=modem,
            faults=faults,
            restart_server=receiver.restart,
            seconds=20.0,
            pause_s=1.5,
            say=print,
        ) as storm,
    ):
        start_s = time.monotonic()
        tries = send_by_modem(link, receiver.port, deadline=start_s + 180)
        print(
            f"{profile.name}: {tries} connections, {time.monotonic() - start_s:.1f} s, {storm.happened.total()} gusts"
        )
    carrier.close()
    assert bytes(receiver.file) == FILE
