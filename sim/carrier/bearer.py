"""The carrier's packet side: bearers over a cell, and TCP connections over those to real sockets of this machine.

A bearer has one owner, whose thread calls everything; `drop`, `dies_at_next_send` and the cell's switches may be used
from others. Bearers of different owners share their network.
Nothing leaves the loopback interface. Left out: UDP but for DNS, IPv6, servers on the terminal's side.
"""

from __future__ import annotations

import errno
import ipaddress
import selectors
import socket
import struct
import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from random import Random
from typing import Final

from sim.carrier.cell import Cell, Clock
from sim.carrier.tcp import MODEM_TCP, RETRY_FIRST_S, RETRY_MAX_S, Air, Flow, TcpProfile, Way

OPEN_S_MAX: Final = 75.0  # how long an end tries to connect
GIVE_UP_S: Final = 120.0  # how long it sends the same segment again before the connection is dead
LINGER_S: Final = 30.0  # how long a closed connection may still be sending
RESOLVE_S_MAX: Final = 15.0
ORPHANS_MAX: Final = 64  # half-open connections that a server may be left with

_RECEIVE_BYTES: Final = 16_384
_DNS_BYTES: Final = 20 + 8 + 12 + 6  # IP, UDP, DNS header, and what a name and a question take beside the name
_DNS_ANSWER_BYTES: Final = 16
_RESET_BYTES: Final = 40


class Denied(Enum):
    """Why there is no bearer."""

    NO_COVERAGE = "no coverage"
    NO_CREDIT = "no credit"
    UNKNOWN_APN = "unknown APN"


class BearerState(Enum):
    """What the modem may know of its bearer. One that was dropped silently looks active."""

    ACTIVE = "active"
    DEACTIVATED = "deactivated by the network"
    CLOSED = "closed"


class State(Enum):
    """A connection as its own end sees it."""

    OPENING = "opening"
    CONNECTED = "connected"
    PEER_CLOSED = "closed by the peer"  # what has arrived may still be read
    FAILED = "failed"  # see `failure`


class Failure(Enum):
    """Why a connection did not come about, or ended without a FIN."""

    UNKNOWN_HOST = "unknown host"
    REFUSED = "refused"
    NO_ANSWER = "no answer"
    RESET = "reset by the peer"
    GAVE_UP = "sent again too often"
    BEARER_LOST = "bearer lost"


@dataclass(slots=True)
class Subscription:
    """What a SIM may do. `credit_bytes` None: as much as it likes."""

    credit_bytes: int | None = None
    apns: frozenset[str] = frozenset({"", "internet"})

    @property
    def has_credit(self) -> bool:
        """Whether data may be used."""
        return self.credit_bytes is None or self.credit_bytes > 0


class DataNetwork:
    """What is behind the cells: names, and servers that are left with connections nobody holds any more."""

    def __init__(self, clock: Clock, rng: Random, *, names: Mapping[str, str]) -> None:
        """`names` gives each host's address, inside 127.0.0.0/8."""
        self.clock = clock
        self.rng = rng
        self.names = dict(names)
        self.resolves = True  # off: the name server does not answer
        self.bearers: list[Bearer] = []
        self.air = Air()  # of all bearers that ever were
        self.lock = threading.RLock()
        self._orphans: deque[socket.socket] = deque()

    def activate(self, cell: Cell, subscription: Subscription, *, apn: str = "internet") -> Bearer | Denied:
        """A new bearer, or why there is none."""
        if not cell.is_up():
            return Denied.NO_COVERAGE
        if apn not in subscription.apns:
            return Denied.UNKNOWN_APN
        if not subscription.has_credit:
            return Denied.NO_CREDIT
        with self.lock:
            bearer = Bearer(self, cell, subscription)
            self.bearers.append(bearer)
        return bearer

    def address_of(self, host: str) -> str | None:
        """What the name servers answer."""
        return self.names.get(host.lower())

    def orphan(self, server: socket.socket) -> None:
        """A server's connection whose other end is gone without a word."""
        self._orphans.append(server)
        if len(self._orphans) > ORPHANS_MAX:
            self._orphans.popleft().close()

    def close(self) -> None:
        """Close every socket."""
        for bearer in list(self.bearers):
            bearer.close()
        while self._orphans:
            self._orphans.popleft().close()


class Bearer:
    """One PDP context: connections, and the counts of what they put on the air."""

    def __init__(self, network: DataNetwork, cell: Cell, subscription: Subscription) -> None:
        rng = network.rng
        self.network = network
        self.cell = cell
        self.air = Air()
        self.address = f"10.{rng.randrange(256)}.{rng.randrange(256)}.{rng.randrange(1, 255)}"
        self.state = BearerState.ACTIVE
        self._subscription = subscription
        self._free_at_s = dict.fromkeys(Way, 0.0)
        self._connections: list[Connection] = []
        self._lookups: list[Lookup] = []
        self._black_hole = False
        self._deactivated = False
        self.dies_at_next_send = False  # silently, so that what is sent then is taken and never delivered

    def open(
        self, host: str, port: int, *, profile: TcpProfile = MODEM_TCP, timeout_s: float = OPEN_S_MAX
    ) -> Connection:
        """Begin a connection; its `state` says what becomes of it."""
        connection = Connection(self, host, port, profile, timeout_s)
        self._connections.append(connection)
        return connection

    def resolve(self, host: str) -> Lookup:
        """Ask the name server; its `done` and `address` say what becomes of it."""
        lookup = Lookup(self, host)
        self._lookups.append(lookup)
        return lookup

    def drop(self, *, told: bool) -> None:
        """The network drops the context: it tells the modem, or everything vanishes and nothing says so."""
        if told:
            self._deactivated = True
        else:
            self._black_hole = True

    @property
    def is_active(self) -> bool:
        """Whether it looks active: the network has not said otherwise."""
        return self.state is BearerState.ACTIVE and not self._deactivated

    @property
    def is_black_hole(self) -> bool:
        """Whether it was dropped silently."""
        return self._black_hole

    def poll(self) -> None:
        """Let happen what is due."""
        with self.network.lock:
            self._poll(self.network.clock())

    def _poll(self, now: float) -> None:
        if self.state is BearerState.ACTIVE and self._deactivated:
            self._end(BearerState.DEACTIVATED)
        for lookup in self._lookups:
            lookup.poll(now)
        self._lookups = [lookup for lookup in self._lookups if not lookup.done]
        for connection in self._connections:
            connection.poll(now)
        self._connections = [connection for connection in self._connections if not connection.is_over]

    def next_due_s(self) -> float | None:
        """When `poll` has something to do next, if no server sends before."""
        dues = [lookup.next_due_s for lookup in self._lookups]
        dues += [due for connection in self._connections if (due := connection.next_due_s) is not None]
        return min(dues, default=None)

    def sockets(self) -> list[socket.socket]:
        """The servers' sockets that `poll` would read from, for a `select` before it."""
        return [server for connection in self._connections if (server := connection.readable_socket()) is not None]

    def close(self) -> None:
        """The modem gives its context up; the servers are told nothing."""
        with self.network.lock:
            if self.state is not BearerState.CLOSED:
                self._end(BearerState.CLOSED)
            if self in self.network.bearers:
                self.network.bearers.remove(self)

    def transmit(self, way: Way, size: int, now: float, *, mapped: bool = True) -> float | None:
        """Put a packet on the air and count it; when it arrives, or None. `mapped`: the NAT knows whose it is."""
        if self.state is not BearerState.ACTIVE or not self.cell.is_up():
            return None
        gets_through = mapped and not self._black_hole
        if way is Way.DOWN and not gets_through:
            return None  # it never gets as far as the air
        self._count(way, size)
        quality = self.cell.quality
        rate = quality.up_bits_per_s if way is Way.UP else quality.down_bits_per_s
        self._free_at_s[way] = max(now, self._free_at_s[way]) + 8 * size / rate
        rng = self.network.rng
        if not gets_through or rng.random() < quality.loss:
            return None
        return self._free_at_s[way] + quality.latency_s + rng.random() * quality.jitter_s

    def carries(self) -> bool:
        """Whether anything gets through now."""
        return self.state is BearerState.ACTIVE and not self._black_hole and self.cell.is_up()

    def _count(self, way: Way, size: int) -> None:
        self.air.count(way, size)
        self.network.air.count(way, size)
        if self._subscription.credit_bytes is not None:
            self._subscription.credit_bytes = max(0, self._subscription.credit_bytes - size)
            if not self._subscription.has_credit:
                self._deactivated = True

    def _end(self, state: BearerState) -> None:
        self.state = state
        for connection in self._connections:
            connection.bearer_lost()
        self._connections.clear()
        for lookup in self._lookups:
            lookup.done = True
        self._lookups.clear()


class Lookup:
    """A question to the name server; `address` None when it is done: no such name, or no answer."""

    def __init__(self, bearer: Bearer, host: str) -> None:
        self._bearer = bearer
        self._host = host
        now = bearer.network.clock()
        self._until_s = now + RESOLVE_S_MAX
        self._answer_at_s: float | None = None
        self.next_due_s = now
        self._retry_s = RETRY_FIRST_S
        self.address = host if _is_address(host) else None
        self.done = self.address is not None  # an address needs no question

    def poll(self, now: float) -> None:
        """Ask again, or take the answer."""
        if self.done:
            return
        if self._answer_at_s is not None and now >= self._answer_at_s:
            self.address = self._bearer.network.address_of(self._host)
            self.done = True
        elif now >= self._until_s:
            self.done = True
        elif self._answer_at_s is None and now >= self.next_due_s:
            self._ask(now)
            if self._answer_at_s is None:
                self.next_due_s = now + self._retry_s
                self._retry_s *= 2

    def _ask(self, now: float) -> None:
        size = _DNS_BYTES + len(self._host)
        asked_s = self._bearer.transmit(Way.UP, size, now)
        if asked_s is not None and self._bearer.network.resolves:
            self._answer_at_s = self._bearer.transmit(Way.DOWN, size + _DNS_ANSWER_BYTES, asked_s)
            self.next_due_s = self._answer_at_s if self._answer_at_s is not None else now


class _Mapping:
    """A connection's way through the carrier's NAT, which forgets it after a time without packets and tells nobody."""

    def __init__(self, bearer: Bearer) -> None:
        self._bearer = bearer
        self._last_packet_s = bearer.network.clock()
        self._forgotten = False

    def transmit(self, way: Way, size: int, now: float) -> float | None:
        """See `sim.carrier.tcp.Path`."""
        self._look(now)
        arrives_s = self._bearer.transmit(way, size, now, mapped=not self._forgotten)
        if arrives_s is not None:
            self._last_packet_s = now
        return arrives_s

    def carries(self, now: float) -> bool:
        """See `sim.carrier.tcp.Path`."""
        self._look(now)
        return not self._forgotten and self._bearer.carries()

    def _look(self, now: float) -> None:
        self._forgotten = self._forgotten or now - self._last_packet_s > self._bearer.cell.nat_idle_s


class Connection:
    """A TCP connection through a bearer, seen from the terminal's end."""

    def __init__(self, bearer: Bearer, host: str, port: int, profile: TcpProfile, timeout_s: float) -> None:
        now = bearer.network.clock()
        self.host = host
        self.port = port
        self.state = State.OPENING
        self.failure: Failure | None = None
        self._bearer = bearer
        self._path = _Mapping(bearer)
        self._profile = profile
        self._up = Flow(Way.UP, self._path, profile)
        self._down = Flow(Way.DOWN, self._path, profile)
        self._up.reverse, self._down.reverse = self._down, self._up
        self._open_until_s = now + timeout_s
        self._next_s: float | None = now
        self._retry_s = RETRY_FIRST_S
        self._lookup = Lookup(bearer, host)
        self._step: Callable[[float], None] = self._resolve
        self._server: socket.socket | None = None
        self._server_finished = False
        self._reset_at_s: float | None = None
        self._to_server = bytearray()
        self._inbox = bytearray()
        self._linger_until_s: float | None = None
        self.is_over = False
        self.received = 0

    @property
    def sent(self) -> int:
        """Bytes taken by `send`."""
        return self._up.sent

    @property
    def acked(self) -> int:
        """Bytes of those that the peer's TCP acknowledged."""
        return self._up.acked

    @property
    def readable(self) -> int:
        """Bytes that `receive` would give."""
        return len(self._inbox)

    @property
    def room_bytes(self) -> int:
        """How much `send` would take now."""
        return max(0, self._up.room_bytes - len(self._to_server)) if self.state is State.CONNECTED else 0

    @property
    def next_due_s(self) -> float | None:
        """When something happens next, as far as it is known."""
        if self.state is State.OPENING:
            return self._next_s
        flows = [self._up.next_due_s, self._down.next_due_s, self._reset_at_s, self._linger_until_s]
        return min((due for due in flows if due is not None), default=None)

    def send(self, data: bytes) -> int:
        """Queue what there is room for; how much that was."""
        if data and self._bearer.dies_at_next_send:
            self._bearer.drop(told=False)
        taken = data[: self.room_bytes]
        self._up.write(taken)
        return len(taken)

    def receive(self, size: int) -> bytes:
        """Up to `size` bytes of what has arrived."""
        taken = bytes(self._inbox[:size])
        del self._inbox[:size]
        return taken

    def close(self) -> None:
        """FIN after what was sent; the bearer sees to the rest."""
        if self._server is None or self.state is State.FAILED:
            self._abandon()
        elif self._linger_until_s is None:
            self._up.finish()
            self._linger_until_s = self._bearer.network.clock() + LINGER_S

    def bearer_lost(self) -> None:
        """The context is gone, and with it the connection; the server is told nothing."""
        self._fail(Failure.BEARER_LOST)

    def readable_socket(self) -> socket.socket | None:
        """The server's socket, if there is room for what it sends."""
        if self._server_finished or self._step != self._run or self._room_down() <= 0:
            return None
        return self._server

    def poll(self, now: float) -> None:
        """Let happen what is due."""
        if not self.is_over:
            self._step(now)

    def _resolve(self, now: float) -> None:
        self._lookup.poll(now)
        self._next_s = self._lookup.next_due_s
        if self._lookup.done:
            if self._lookup.address is None:
                self._fail(Failure.UNKNOWN_HOST)
                return
            self._next_s, self._step = now, self._knock
            self._knock(now)

    def _knock(self, now: float) -> None:
        """SYN, and again."""
        assert self._next_s is not None
        if now >= self._open_until_s:
            self._fail(Failure.NO_ANSWER)
        elif now >= self._next_s:
            there_s = self._path.transmit(Way.UP, self._profile.syn_bytes, now)
            if there_s is None:
                self._next_s = min(now + self._retry_s, self._open_until_s)
                self._retry_s = min(2 * self._retry_s, RETRY_MAX_S)
            else:
                self._next_s, self._step = there_s, self._reach

    def _reach(self, now: float) -> None:
        """The SYN has arrived where the server is: it answers with SYN and ACK, or RST."""
        assert self._lookup.address is not None
        assert self._next_s is not None
        if now < self._next_s:
            return
        if self._server is None:
            self._server = _connect(self._lookup.address, self.port)
        answer_bytes = self._profile.syn_bytes if self._server is not None else _RESET_BYTES
        back_s = self._path.transmit(Way.DOWN, answer_bytes, now)
        if back_s is None:
            self._next_s, self._step = now + self._retry_s, self._knock
            self._retry_s = min(2 * self._retry_s, RETRY_MAX_S)
        elif _is_loopback(self._lookup.address):
            self._next_s, self._step = back_s, self._establish
        else:
            self._next_s, self._step = self._open_until_s, self._knock  # nobody there

    def _establish(self, now: float) -> None:
        assert self._next_s is not None
        if now < self._next_s:
            return
        if self._server is None:
            self._fail(Failure.REFUSED)
            return
        self._path.transmit(Way.UP, self._profile.header_bytes, now)
        self.state, self._step = State.CONNECTED, self._run

    def _run(self, now: float) -> None:
        self._take_from_server(now)
        self._to_server += self._up.poll(now)
        self._give_to_server()
        arrived = self._down.poll(now)
        self._inbox += arrived
        self.received += len(arrived)
        if self._reset_at_s is not None and now >= self._reset_at_s:
            self._fail(Failure.RESET)
        elif any(_given_up(flow, now) for flow in (self._up, self._down)):
            self._fail(Failure.GAVE_UP)
        elif self._linger_until_s is not None:
            if (self._up.finished and self._down.finished) or now >= self._linger_until_s:
                self._up.poll(now)
                self._abandon()
        elif self._down.finished and self.state is State.CONNECTED:
            self.state = State.PEER_CLOSED

    def _room_down(self) -> int:
        return self._down.room_bytes - len(self._inbox)

    def _take_from_server(self, now: float) -> None:
        server = self.readable_socket()
        if server is None:
            return
        try:
            data = server.recv(min(self._room_down(), _RECEIVE_BYTES))
        except BlockingIOError:
            return
        except OSError:
            self._server_finished = True
            self._reset_at_s = self._path.transmit(Way.DOWN, _RESET_BYTES, now)
            return
        if data:
            self._down.write(data)
        else:
            self._server_finished = True
            self._down.finish()

    def _give_to_server(self) -> None:
        assert self._server is not None
        try:
            if self._to_server:
                del self._to_server[: self._server.send(self._to_server)]
            if self._up.finished and not self._to_server:
                self._server.shutdown(socket.SHUT_WR)
        except BlockingIOError:
            return
        except OSError:
            self._to_server.clear()  # its RST is on the way, and is found when it is read from

    def _fail(self, failure: Failure) -> None:
        self.state, self.failure = State.FAILED, failure
        self._abandon()

    def _abandon(self) -> None:
        """Let go of the server: told so, if anything gets through; left half open, if not."""
        self.is_over = True
        server, self._server = self._server, None
        if server is None:
            return
        if self._path.carries(self._bearer.network.clock()) or self._server_finished:
            if not (self._up.finished and self._down.finished):
                _reset_on_close(server)
            server.close()
        else:
            self._bearer.network.orphan(server)


def _given_up(flow: Flow, now: float) -> bool:
    return flow.stalled_since_s is not None and now - flow.stalled_since_s > GIVE_UP_S


def _is_address(host: str) -> bool:
    try:
        ipaddress.IPv4Address(host)
    except ValueError:
        return False
    return True


def _is_loopback(address: str) -> bool:
    return ipaddress.IPv4Address(address).is_loopback


def _connect(address: str, port: int) -> socket.socket | None:
    """A connection to a server of this machine; None if it refuses, or is not of this machine."""
    if not _is_loopback(address):
        return None
    server = socket.socket()
    server.setblocking(False)
    server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    result = server.connect_ex((address, port))
    if result == errno.EINPROGRESS:
        # The loopback interface answers at once, but for a listener whose queue is full; that one refuses here.
        with selectors.DefaultSelector() as selector:
            selector.register(server, selectors.EVENT_WRITE)
            selector.select(0.05)
        result = server.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if result:
        server.close()
        return None
    return server


def _reset_on_close(server: socket.socket) -> None:
    server.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
