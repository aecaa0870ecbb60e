"""What the TCP stacks of every make have in common: contexts, and numbered links that watch their connections.

Left out: every command and every word that is said, which is each make's own matter.
"""

from __future__ import annotations

import socket
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Final

from sim.carrier.bearer import Bearer, BearerState, Connection, Denied, Failure, State
from sim.modem.engine import ERROR, OK, Answer, Call, Reply

if TYPE_CHECKING:
    from sim.modem.device import Device

CONTEXTS_MAX: Final = 16
_ROUND_TRIPS_TO_ACTIVATE: Final = 4
_CGDCONT_TEST: Final = '+CGDCONT: (1-16),"IP",,,(0),(0)'


class Link:
    """One socket of the modem, by the number its user gave it."""

    def __init__(self, number: int, context: int, connection: Connection) -> None:
        self.number = number
        self.context = context
        self.connection = connection
        self.opened = False
        self.ended = False  # by the peer, the network or a failure; the number is still taken
        self.told = False  # that data waits; not again until it was read to the end
        self.read_bytes = 0
        self.mode = 0  # of handing data over, as the make counts them

    @property
    def is_connected(self) -> bool:
        """Whether data can be sent."""
        return self.opened and not self.ended and self.connection.state is State.CONNECTED

    @property
    def unread_bytes(self) -> int:
        """What waits."""
        return self.connection.readable

    def read(self, size: int) -> bytes:
        """Up to `size` bytes of what waits."""
        data = self.connection.receive(size)
        self.read_bytes += len(data)
        if not self.connection.readable:
            self.told = False
        return data

    def send(self, data: bytes) -> bool:
        """All or nothing: false if the buffer has no room for it."""
        if self.connection.room_bytes < len(data):
            return False
        self.connection.send(data)
        return True


class Stack(ABC):
    """Contexts and links; a make says what there is to say about them."""

    def __init__(self, device: Device) -> None:
        self.device = device
        self.contexts: dict[int, Bearer] = {}
        self.links: dict[int, Link] = {}
        self.apns: dict[int, str] = {}  # kept over restarts, as modems do
        device.commands.add("+CGDCONT", read=self._apns_are, test=Reply(_CGDCONT_TEST), set=self._set_apn)
        device.pollables.append(self)
        device.on_reset.append(self._reset)
        device.on_radio_off.append(self._radio_off)

    @abstractmethod
    def link_opened(self, link: Link) -> None:
        """The connection stands."""

    @abstractmethod
    def link_failed(self, link: Link) -> None:
        """It never came about; `connection.failure` says why."""

    @abstractmethod
    def data_waits(self, link: Link) -> None:
        """There is something to read; asked at every poll while there is."""

    @abstractmethod
    def link_ended(self, link: Link) -> None:
        """The peer has closed it, or it failed; not called when its context was lost."""

    @abstractmethod
    def context_lost(self, context: int) -> None:
        """The network has dropped the context, and said so."""

    @abstractmethod
    def forget(self) -> None:
        """A restart: every setting is the factory's."""

    @abstractmethod
    def watch_sent(self, link: Link) -> None:
        """Asked at every poll of an open link, for what waits for acknowledgements."""

    @property
    def activation_s(self) -> float:
        """How long the network takes to give a context."""
        return 2 * _ROUND_TRIPS_TO_ACTIVATE * self.device.carrier.cell.quality.latency_s

    def activate(self, context: int, apn: str) -> Bearer | Denied:
        """A bearer for `context`, or why there is none."""
        sim = self.device.sim
        if sim is None or not self.device.is_registered:
            return Denied.NO_COVERAGE
        bearer = self.device.carrier.data.activate(self.device.carrier.cell, sim.subscription, apn=apn)
        if isinstance(bearer, Bearer):
            self.contexts[context] = bearer
        return bearer

    def deactivate(self, context: int) -> None:
        """Give the context up, and its links' connections with it; the links stay until they are closed."""
        bearer = self.contexts.pop(context, None)
        if bearer is not None:
            bearer.close()

    def open_link(self, number: int, context: int, host: str, port: int) -> Link:
        """Begin a connection under a free number in a live context."""
        link = self.links[number] = Link(number, context, self.contexts[context].open(host, port))
        return link

    def drop_link(self, number: int) -> None:
        """Close it, if it is there, and free its number."""
        link = self.links.pop(number, None)
        if link is not None:
            link.connection.close()

    def poll(self) -> None:
        """See `sim.modem.device.Pollable`."""
        for context, bearer in list(self.contexts.items()):
            was_active = bearer.state is BearerState.ACTIVE
            bearer.poll()
            if was_active and bearer.state is BearerState.DEACTIVATED:
                self.context_lost(context)
        for link in list(self.links.values()):
            self._watch(link)

    def next_due_s(self) -> float | None:
        """See `sim.modem.device.Pollable`."""
        dues = [bearer.next_due_s() for bearer in self.contexts.values()]
        return min((due for due in dues if due is not None), default=None)

    def sockets(self) -> list[socket.socket]:
        """See `sim.modem.device.Pollable`."""
        return [server for bearer in self.contexts.values() for server in bearer.sockets()]

    def _apns_are(self, _: Call) -> Answer:
        return Reply(*(f'+CGDCONT: {number},"IP","{apn}","0.0.0.0",0,0' for number, apn in sorted(self.apns.items())))

    def _set_apn(self, call: Call) -> Answer:
        context = call.integer(0, low=1, high=CONTEXTS_MAX)
        if len(call.arguments) == 1:
            self.apns.pop(context, None)
        elif call.string(1).upper() not in ("IP", "IPV6", "IPV4V6"):
            return ERROR
        else:
            self.apns[context] = call.string(2, "")
        return OK

    def _watch(self, link: Link) -> None:
        connection = link.connection
        if not link.opened and not link.ended:
            if connection.state in (State.CONNECTED, State.PEER_CLOSED):
                link.opened = True
                self.link_opened(link)
            elif connection.state is State.FAILED:
                link.ended = True
                self.link_failed(link)
        if link.opened:
            self.watch_sent(link)
            if connection.readable:
                self.data_waits(link)
            if not link.ended and connection.state in (State.PEER_CLOSED, State.FAILED):
                link.ended = True
                if connection.failure is not Failure.BEARER_LOST:
                    self.link_ended(link)

    def _radio_off(self) -> None:
        for bearer in self.contexts.values():
            bearer.drop(told=True)

    def _reset(self) -> None:
        for context in list(self.contexts):
            self.deactivate(context)
        self.links.clear()
        self.forget()
