"""Bearers on a virtual clock: what arrives, what it costs, and every way to break."""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable, Iterator
from dataclasses import replace
from random import Random

import pytest

from sim.carrier.bearer import (
    GIVE_UP_S,
    ORPHANS_MAX,
    Bearer,
    BearerState,
    Connection,
    DataNetwork,
    Denied,
    Failure,
    State,
    Subscription,
)
from sim.carrier.cell import GPRS, LTE, PERFECT, Cell, Quality, VirtualClock
from sim.carrier.tcp import HOST_TCP, Way

STEP_S = 0.005


class World:
    """A listening server, a bearer to it, and a clock that steps."""

    def __init__(self, seed: int = 5) -> None:
        self.clock = VirtualClock(1000.0)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.settimeout(5)
        self.port: int = self.listener.getsockname()[1]
        names = {"server.campus": "127.0.0.1", "far.campus": "192.0.2.1"}
        self.network = DataNetwork(self.clock, Random(seed), names=names)
        self.cell = Cell(self.clock)
        self.subscription = Subscription()
        self._peers: list[socket.socket] = []
        self.bearer = self.activate()

    def activate(self) -> Bearer:
        bearer = self.network.activate(self.cell, self.subscription)
        assert isinstance(bearer, Bearer)
        return bearer

    def until(self, condition: Callable[[], bool], *, within_s: float = 600.0, step_s: float = 1.0) -> None:
        until_s = self.clock() + within_s
        while not condition():
            assert self.clock() < until_s, "not within its time"
            self.bearer.poll()
            due = self.bearer.next_due_s()
            self.clock.advance(min(max(due - self.clock(), 0.0), step_s) if due is not None else STEP_S)

    def connect(self) -> tuple[Connection, socket.socket]:
        connection = self.bearer.open("server.campus", self.port)
        self.until(lambda: connection.state is State.CONNECTED)
        return connection, self.accept()

    def accept(self) -> socket.socket:
        peer, _ = self.listener.accept()
        peer.setblocking(False)
        self._peers.append(peer)
        return peer

    def pump(self, connection: Connection, peer: socket.socket, data: bytes) -> bytes:
        """Send `data`, let the peer send it back, and read it."""
        back, position, to_return = bytearray(), 0, bytearray()

        def progress() -> bool:
            nonlocal position
            position += connection.send(data[position : position + 5000])
            to_return.extend(received(peer))
            if to_return:
                del to_return[: sent(peer, bytes(to_return))]
            back.extend(connection.receive(1500))
            return len(back) == len(data)

        self.until(progress, within_s=3600.0, step_s=STEP_S)
        return bytes(back)

    def close(self) -> None:
        self.network.close()
        self.listener.close()
        for peer in self._peers:
            peer.close()


def received(peer: socket.socket) -> bytes:
    try:
        return peer.recv(65536)
    except BlockingIOError:
        return b""


def sent(peer: socket.socket, data: bytes) -> int:
    try:
        return peer.send(data)
    except BlockingIOError:
        return 0


@pytest.fixture
def world() -> Iterator[World]:
    world = World()
    yield world
    world.close()


def test_open_resolves_the_name_and_reaches_the_server(world: World) -> None:
    connection, peer = world.connect()
    connection.send(b"hello")
    world.until(lambda: received_all(peer) == b"hello")
    peer.send(b"good day")
    world.until(lambda: connection.readable == 8)
    assert connection.receive(4) == b"good"
    assert connection.receive(9) == b" day"
    assert (connection.sent, connection.received) == (5, 8)
    world.until(lambda: connection.acked == 5)


def received_all(peer: socket.socket) -> bytes:
    try:
        return peer.recv(65536, socket.MSG_PEEK)
    except BlockingIOError:
        return b""


@pytest.mark.parametrize("quality", [PERFECT, LTE, GPRS, replace(GPRS, loss=0.2)])
def test_large_transfer_arrives_whole_and_in_order(world: World, quality: Quality) -> None:
    world.cell.quality = quality
    data = Random(1).randbytes(100_000)
    assert world.pump(*world.connect(), data) == data


def test_same_seed_costs_the_same_bytes_and_time() -> None:
    runs = []
    for _ in range(2):
        world = World(seed=9)
        world.cell.quality = replace(GPRS, loss=0.1)
        world.pump(*world.connect(), bytes(20_000))
        runs.append((world.bearer.air.bytes, world.clock()))
        world.close()
    assert runs[0] == runs[1]


def test_bandwidth_and_latency_take_their_time(world: World) -> None:
    world.cell.quality = Quality(up_bits_per_s=8_000, down_bits_per_s=8e6, latency_s=0.5, jitter_s=0.0, loss=0.0)
    connection, peer = world.connect()
    start_s = world.clock()
    connection.send(bytes(10_000))
    count = 0

    def all_there() -> bool:
        nonlocal count
        count += len(received(peer))
        return count == 10_000

    world.until(all_there)
    # 1,000 bytes a second: the data and eight headers, and the last bit's way.
    assert 10.0 + 0.5 < world.clock() - start_s < 11.5


def test_lost_segment_is_a_pause_and_costs_its_bytes_again(world: World) -> None:
    connection, peer = world.connect()
    world.cell.quality = replace(PERFECT, loss=1.0)
    before, start_s = world.bearer.air.bytes[Way.UP], world.clock()
    connection.send(b"x" * 100)
    world.bearer.poll()
    world.cell.quality = PERFECT
    world.until(lambda: received_all(peer) != b"")
    assert world.clock() - start_s >= 1.0
    assert world.bearer.air.bytes[Way.UP] - before == 2 * (100 + 40)


def test_connect_and_close_cost_what_was_measured_on_a_real_interface(world: World) -> None:
    connection = world.bearer.open("127.0.0.1", world.port, profile=HOST_TCP)
    world.until(lambda: connection.state is State.CONNECTED)
    assert world.bearer.air.total_bytes == 172
    peer = world.accept()
    connection.close()
    world.until(lambda: has_end(peer))
    peer.close()
    world.until(lambda: connection.is_over)
    assert world.bearer.air.total_bytes == 172 + 156


def has_end(peer: socket.socket) -> bool:
    try:
        return peer.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
    except BlockingIOError:
        return False


def test_request_and_answer_on_an_open_connection_cost_two_segments(world: World) -> None:
    connection = world.bearer.open("127.0.0.1", world.port, profile=HOST_TCP)
    world.until(lambda: connection.state is State.CONNECTED)
    peer = world.accept()
    before = world.bearer.air.total_bytes
    for _ in range(100):
        assert world.pump(connection, peer, b"x" * 34) == b"x" * 34
    # Two segments and both bodies; the acknowledgements ride on the next request.
    assert world.bearer.air.total_bytes - before == pytest.approx(100 * (2 * 52 + 2 * 34), abs=52)


def test_bulk_is_acknowledged_every_second_segment(world: World) -> None:
    connection, peer = world.connect()
    before = world.bearer.air.packets[Way.DOWN]
    connection.send(bytes(10 * 1360))
    world.until(lambda: connection.acked == 10 * 1360)
    assert world.bearer.air.packets[Way.DOWN] - before == 5
    assert len(received(peer)) == 13_600


def test_closed_port_refuses(world: World) -> None:
    world.listener.close()
    connection = world.bearer.open("server.campus", world.port)
    world.until(lambda: connection.state is State.FAILED)
    assert connection.failure is Failure.REFUSED


def test_unknown_name_fails(world: World) -> None:
    connection = world.bearer.open("nowhere.campus", 1)
    world.until(lambda: connection.state is State.FAILED)
    assert connection.failure is Failure.UNKNOWN_HOST


def test_name_server_that_is_silent_fails_within_its_time(world: World) -> None:
    world.network.resolves = False
    lookup = world.bearer.resolve("server.campus")
    world.until(lambda: lookup.done, within_s=20.0)
    assert lookup.address is None


def test_address_outside_this_machine_is_never_reached(world: World) -> None:
    connection = world.bearer.open("far.campus", world.port, timeout_s=20.0)
    world.until(lambda: connection.state is State.FAILED)
    assert connection.failure is Failure.NO_ANSWER


def test_peer_that_closes_is_read_to_the_end_first(world: World) -> None:
    connection, peer = world.connect()
    peer.send(b"last words")
    peer.close()
    world.until(lambda: connection.state is State.PEER_CLOSED)
    assert connection.receive(100) == b"last words"


def test_peer_that_resets_fails_the_connection(world: World) -> None:
    connection, peer = world.connect()
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    peer.close()
    world.until(lambda: connection.state is State.FAILED)
    assert connection.failure is Failure.RESET


def test_close_sends_what_was_queued(world: World) -> None:
    world.cell.quality = GPRS
    connection, peer = world.connect()
    connection.send(b"z" * 5000)
    connection.close()
    got = bytearray()

    def ended() -> bool:
        if has_end(peer):
            return True
        got.extend(received(peer))
        return False

    world.until(ended)
    assert got == b"z" * 5000


def test_idle_connection_dies_without_a_word(world: World) -> None:
    connection, peer = world.connect()
    world.clock.advance(world.cell.nat_idle_s + 1)
    connection.send(b"are you there")
    peer.send(b"I am")
    start_s = world.clock()
    world.until(lambda: world.clock() > start_s + GIVE_UP_S / 2)
    assert connection.state is State.CONNECTED
    assert (connection.readable, connection.acked, received(peer)) == (0, 0, b"")
    world.until(lambda: connection.state is State.FAILED, within_s=GIVE_UP_S)
    assert connection.failure is Failure.GAVE_UP
    assert not has_end(peer)  # half open


def test_outage_delays_and_loses_nothing(world: World) -> None:
    connection, peer = world.connect()
    world.cell.fail(30.0)
    before, start_s = world.bearer.air.total_bytes, world.clock()
    connection.send(b"patience")
    world.until(lambda: world.clock() > start_s + 29.0)
    assert received(peer) == b""
    assert world.bearer.air.total_bytes == before
    world.until(lambda: received_all(peer) == b"patience")
    assert world.clock() - start_s < 65.0


def test_what_was_under_way_when_the_signal_went_is_sent_again(world: World) -> None:
    world.cell.quality = replace(PERFECT, latency_s=1.0)
    connection, peer = world.connect()
    connection.send(bytes(5000))
    world.bearer.poll()
    world.cell.fail(10.0)
    count = 0

    def all_there() -> bool:
        nonlocal count
        count += len(received(peer))
        return count == 5000

    world.until(all_there)
    world.until(lambda: connection.acked == 5000)


def test_context_dropped_silently_looks_active_and_carries_nothing(world: World) -> None:
    connection, peer = world.connect()
    world.bearer.drop(told=False)
    connection.send(b"into the void")
    start_s = world.clock()
    world.until(lambda: world.clock() > start_s + 60.0)
    assert world.bearer.state is BearerState.ACTIVE
    assert connection.state is State.CONNECTED
    assert received(peer) == b""


def test_send_may_be_taken_and_never_delivered(world: World) -> None:
    connection, peer = world.connect()
    world.bearer.dies_at_next_send = True
    assert connection.send(b"gone") == 4
    start_s = world.clock()
    world.until(lambda: world.clock() > start_s + 60.0)
    assert (connection.state, connection.acked, received(peer)) == (State.CONNECTED, 0, b"")


def test_context_dropped_by_the_network_ends_its_connections(world: World) -> None:
    connection, peer = world.connect()
    world.bearer.drop(told=True)
    world.bearer.poll()
    assert world.bearer.state is BearerState.DEACTIVATED
    assert connection.failure is Failure.BEARER_LOST
    assert not has_end(peer)


def test_new_bearer_works_after_a_dropped_one(world: World) -> None:
    world.bearer.drop(told=False)
    world.bearer.close()
    world.bearer = world.activate()
    assert world.pump(*world.connect(), b"again") == b"again"


def test_no_bearer_without_coverage_credit_or_apn(world: World) -> None:
    network, cell = world.network, world.cell
    assert network.activate(cell, Subscription(credit_bytes=0)) is Denied.NO_CREDIT
    assert network.activate(cell, Subscription(), apn="wrong") is Denied.UNKNOWN_APN
    cell.fail(5.0)
    assert network.activate(cell, Subscription()) is Denied.NO_COVERAGE
    cell.heal()
    assert isinstance(network.activate(cell, Subscription()), Bearer)


def test_scheduled_outage_begins_and_ends(world: World) -> None:
    now = world.clock()
    cell = Cell(world.clock, outages=[(now + 10, now + 20)])
    assert cell.is_up()
    world.clock.advance(10)
    assert not cell.is_up()
    world.clock.advance(10)
    assert cell.is_up()


def test_credit_that_runs_out_ends_the_context(world: World) -> None:
    connection, peer = world.connect()
    world.subscription.credit_bytes = 1000
    connection.send(bytes(5000))
    world.until(lambda: world.bearer.state is BearerState.DEACTIVATED)
    assert len(received(peer)) < 1500
    assert world.network.activate(world.cell, world.subscription) is Denied.NO_CREDIT


def test_peer_that_does_not_read_holds_up_the_sender(world: World) -> None:
    connection, _peer = world.connect()
    taken = 0
    for _ in range(3000):
        taken += connection.send(bytes(4000))
        world.bearer.poll()
        world.clock.advance(STEP_S)
    assert connection.room_bytes == 0
    assert taken < 10_000_000


def test_half_open_connections_are_bounded(world: World) -> None:
    peers = []
    for _ in range(ORPHANS_MAX + 3):
        _connection, peer = world.connect()
        peers.append(peer)
        world.bearer.close()
        world.bearer = world.activate()
    assert sum(has_end_or_reset(peer) for peer in peers) == 3


def has_end_or_reset(peer: socket.socket) -> bool:
    try:
        return has_end(peer)
    except OSError as error:
        return error.errno == errno.ECONNRESET
