"""A bearer for programs that have no modem: a loopback port whose connections go through the carrier's air.

The host's own TCP is what a program then uses over a data stick or a router; so its larger headers are counted. The
program's connect() succeeds at once, since the kernel of the same machine answers it; all that follows meets the air.
Left out: half-closed connections (a program's FIN closes both ways, after what it sent).
"""

from __future__ import annotations

import select
import socket
import struct
import threading
from typing import Final

from sim.carrier.bearer import Bearer, Connection, DataNetwork, Denied, State, Subscription
from sim.carrier.cell import Cell
from sim.carrier.tcp import HOST_TCP, Air, Way

_POLL_S: Final = 0.005  # storms and clocks change what is due without waking the thread
_CHUNK_BYTES: Final = 16_384


class SocketProxy:
    """Listens on `port` of 127.0.0.1 and carries each connection to `target`, in a thread; a context manager.

    The context is activated when it is needed, and again after the network has dropped it and said so.
    """

    def __init__(
        self, network: DataNetwork, cell: Cell, target: tuple[str, int], *, subscription: Subscription | None = None
    ) -> None:
        self._network = network
        self._cell = cell
        self._target = target
        self._subscription = subscription or Subscription()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.setblocking(False)
        self.port: int = self._listener.getsockname()[1]
        self._bearer: Bearer | None = None
        self._past = Air()
        self._carried: list[_Carried] = []
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"air-{self.port}", daemon=True)

    def __enter__(self) -> SocketProxy:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        self._thread.join()

    @property
    def air_bytes(self) -> dict[Way, int]:
        """What was on the air, over every context so far."""
        bearer = self._bearer
        return {way: self._past.bytes[way] + (bearer.air.bytes[way] if bearer is not None else 0) for way in Way}

    def drop(self, *, told: bool) -> None:
        """The network drops the context, if there is one; from any thread."""
        bearer = self._bearer
        if bearer is not None:
            bearer.drop(told=told)

    def reattach(self) -> None:
        """What the host's own connection manager does after a while without an answer: a new context."""
        bearer = self._bearer
        if bearer is not None:
            bearer.drop(told=True)

    def _run(self) -> None:
        try:
            while not self._ending.is_set():
                self._step()
        finally:
            for carried in self._carried:
                carried.reset()
            self._listener.close()
            self._give_up_context()

    def _step(self) -> None:
        wanted = [carried.client for carried in self._carried if carried.wants_to_read]
        servers = self._bearer.sockets() if self._bearer is not None else []
        select.select([self._listener, *wanted, *servers], [], [], _POLL_S)
        self._accept()
        for carried in self._carried:
            carried.from_client()
        if self._bearer is not None:
            self._bearer.poll()
        for carried in self._carried:
            carried.to_client()
        self._carried = [carried for carried in self._carried if not carried.is_over]

    def _accept(self) -> None:
        try:
            client, _ = self._listener.accept()
        except BlockingIOError:
            return
        client.setblocking(False)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        bearer = self._context()
        if bearer is None:
            _reset(client)
        else:
            self._carried.append(_Carried(client, bearer.open(*self._target, profile=HOST_TCP)))

    def _context(self) -> Bearer | None:
        if self._bearer is not None and not self._bearer.is_active:
            self._give_up_context()
        if self._bearer is None:
            bearer = self._network.activate(self._cell, self._subscription)
            self._bearer = bearer if not isinstance(bearer, Denied) else None
        return self._bearer

    def _give_up_context(self) -> None:
        bearer, self._bearer = self._bearer, None
        if bearer is not None:
            for way in Way:
                self._past.bytes[way] += bearer.air.bytes[way]
                self._past.packets[way] += bearer.air.packets[way]
            bearer.close()


class _Carried:
    """A program's connection and the one through the air."""

    def __init__(self, client: socket.socket, connection: Connection) -> None:
        self.client = client
        self._connection = connection
        self._to_client = bytearray()
        self.is_over = False

    @property
    def wants_to_read(self) -> bool:
        """Whether there is room for what the program sends."""
        return self._connection.room_bytes > 0

    def from_client(self) -> None:
        """Take what the program sent, as there is room."""
        room = self._connection.room_bytes
        if room <= 0:
            return
        try:
            data = self.client.recv(min(room, _CHUNK_BYTES))
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if data:
            self._connection.send(data)
        else:
            self._connection.close()
            self.client.close()
            self.is_over = True

    def to_client(self) -> None:
        """Give the program what arrived."""
        if self.is_over:
            return
        self._to_client += self._connection.receive(_CHUNK_BYTES)
        try:
            if self._to_client:
                del self._to_client[: self.client.send(self._to_client)]
        except BlockingIOError:
            return
        except OSError:
            self._connection.close()
            self.client.close()
            self.is_over = True
            return
        if self._connection.state is State.FAILED:
            self.reset()
        elif self._connection.state is State.PEER_CLOSED and not self._to_client and not self._connection.readable:
            self._connection.close()
            self.client.close()
            self.is_over = True

    def reset(self) -> None:
        """The program gets a RST."""
        _reset(self.client)
        self.is_over = True


def _reset(client: socket.socket) -> None:
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()
