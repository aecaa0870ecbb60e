"""What the modems' TCP stacks have in common: a socket over AT commands, and what each family has to say itself.

Left out: encryption (never the modem's own), and when to try again, which is the uplink's policy.
"""

from __future__ import annotations

import math
import re
from abc import ABC, abstractmethod
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, Protocol

from drivers import at
from drivers.line import Line
from drivers.modemfaults import AtError, BearerLost, ModemFault, ModemGarbled, ModemGone, ModemSilent, SocketDown

POLL_S: Final = 1.0  # the modem tells of data once; a line lost to noise must not make a wait of it
FULL_TRIES: Final = 60  # while the stack's buffer is full, half a second apart; then the far end takes nothing
FULL_WAIT_S: Final = 0.5
PROMPT_S: Final = 3.0  # every maker's prompt comes at once, or the line hangs
SENT_S: Final = 20.0  # from the data to the modem's word on it
LINKS: Final = 6  # the least that any of the families has; taken in turn, so that an old link's words hit no new one


@dataclass(frozen=True, slots=True)
class SocketClosed:
    """The far end or the network closed a connection."""

    link: int


@dataclass(frozen=True, slots=True)
class PdpLost:
    """The bearer is gone, and every connection with it; `attach` brings it back."""


class ModemSocket(Protocol):
    """One TCP connection. Every method may raise `ModemFault`; after `SocketDown` or a silence it is finished."""

    def send(self, data: bytes) -> None:
        """Hand all of `data` to the modem. That is no proof of arrival; only the far end's receipt is."""

    def receive(self, timeout_s: float) -> bytes:
        """What has come, empty when nothing came in time; `SocketDown` once all is read and the far end has closed."""

    def close(self) -> None:
        """End the connection; never raises, and a second time does nothing."""

    def unacknowledged(self) -> int | None:
        """How many of the bytes sent the far end's TCP has not confirmed; None when the modem does not say."""


class Stack(ABC):
    """One family's TCP stack. Its socket is told by number; whoever calls holds the line's lock."""

    piece_bytes_max: int  # of one send
    closed_pattern: re.Pattern[str]  # a line that says that link `1` is closed
    readable_pattern: re.Pattern[str]  # a line that says that there is something to read from link `1`
    lost_pattern: re.Pattern[str]  # a line that says that the bearer is gone

    def __init__(self, line: Line) -> None:
        self.line = line
        self._sockets: dict[int, AtSocket] = {}
        self._next_link = 0
        self.attached = False

    @abstractmethod
    def bring_up(self, apn: str, user: str, password: str) -> None:
        """Make the bearer anew, whatever was before; `BearerLost` or another `ModemFault`."""

    @abstractmethod
    def take_down(self) -> None:
        """Give the bearer up."""

    @abstractmethod
    def look_up(self, host: str) -> str:
        """The IPv4 address that the network's DNS gives for `host`; `SocketDown` if it gives none."""

    @abstractmethod
    def connect(self, link: int, host: str, port: int, timeout_s: float) -> None:
        """Open `link`, closing what it may still hold; `SocketDown` or another `ModemFault`."""

    @abstractmethod
    def hand_over(self, link: int, piece: bytes) -> int:
        """Send one piece: how many of its bytes were taken, 0 if the buffer is full; `SocketDown`."""

    @abstractmethod
    def fetch(self, link: int) -> bytes:
        """The next bytes that have come, empty if there are none; `SocketDown`."""

    @abstractmethod
    def is_connected(self, link: int) -> bool:
        """Whether the modem takes `link` for open."""

    @abstractmethod
    def disconnect(self, link: int) -> None:
        """Close `link`."""

    @abstractmethod
    def count_unacknowledged(self, link: int) -> int | None:
        """As `ModemSocket.unacknowledged`."""

    def attach(self, apn: str, user: str, password: str) -> None:
        """The bearer, made anew; connections from before are finished."""
        with self.line.lock:
            self.forget(BearerLost("the bearer was made anew"))
            self.bring_up(apn, user, password)
            self.attached = True

    def detach(self) -> None:
        """Give the bearer up, and every connection."""
        with self.line.lock:
            self.forget(BearerLost("the bearer was given up"))
            with suppress(AtError):  # there was none
                self.take_down()

    def resolve(self, host: str) -> str:
        """`host` as an IPv4 address; one that is an address already costs nothing."""
        if re.fullmatch(r"\d{1,3}(?:\.\d{1,3}){3}", host, re.ASCII):
            return host
        with self.line.lock:
            self._need_bearer()
            return self.look_up(host)

    def open(self, host: str, port: int, timeout_s: float) -> AtSocket:
        """A connection, within `timeout_s` and some seconds of talk with the modem."""
        with self.line.lock:
            self.line.pump()
            self._need_bearer()
            link = self._free_link()
            try:
                self.connect(link, host, port, timeout_s)
            except BearerLost as lost:
                self.forget(lost)  # the modem may not have told so by itself
                raise
            except (ModemSilent, SocketDown):
                self.try_disconnect(link)
                raise
            socket = self._sockets[link] = AtSocket(self, link)
            return socket

    def heard(self, said: str) -> SocketClosed | PdpLost | None:
        """Take notice of a line that the modem said by itself."""
        if self.lost_pattern.match(said):
            self.forget(BearerLost("the network took the bearer away"))
            return PdpLost()
        if (found := self.readable_pattern.match(said)) and (socket := self._sockets.get(int(found[1]))):
            socket.readable = True
        if (found := self.closed_pattern.match(said)) and (socket := self._sockets.get(int(found[1]))):
            socket.closed_by_peer = socket.readable = True
            return SocketClosed(socket.link)
        return None

    def forget(self, why: ModemFault) -> None:
        """Every connection is finished: the bearer or the modem's memory is gone."""
        self.attached = False
        for socket in self._sockets.values():
            socket.fault = socket.fault or why
        self._sockets.clear()

    def release(self, link: int) -> None:
        """`link` is free again."""
        self._sockets.pop(link, None)

    def try_command(self, command: str, timeout_s: float = 10.0) -> list[str]:
        """A command that may be refused: its answer's lines, none if it was."""
        try:
            return self.line.exchange(command, timeout_s)
        except AtError:
            return []

    def free(self, link: int) -> None:
        """Close what `link` may still hold, before it is used again."""
        with suppress(AtError, ModemGarbled):  # it held nothing
            self.disconnect(link)

    def try_disconnect(self, link: int) -> None:
        """Close `link` if the modem answers; if not, `free` will have to."""
        with suppress(ModemFault):
            if self.line.in_step:
                self.disconnect(link)

    def prompt(self, command: str, data: bytes) -> list[str]:
        """Send `data` to the prompt that `command` gives; the answer's lines."""
        with self.line.lock:
            self.line.exchange(command, PROMPT_S, prompt=True, owed=len(data))
            return self.line.deliver(data, SENT_S, command=command)

    def _need_bearer(self) -> None:
        if not self.attached:
            raise BearerLost("there is no bearer: attach first")

    def _free_link(self) -> int:
        for _ in range(LINKS):
            link, self._next_link = self._next_link, (self._next_link + 1) % LINKS
            if link not in self._sockets:
                return link
        raise SocketDown(f"all {LINKS} connections of the modem are in use")


class AtSocket:
    """See `ModemSocket`. What was read is given out once; what the modem may have taken is never sent twice."""

    def __init__(self, stack: Stack, link: int) -> None:
        self._stack = stack
        self._line = stack.line
        self.link = link
        self.readable = False
        self.closed_by_peer = False
        self.fault: ModemFault | None = None

    def send(self, data: bytes) -> None:
        """See `ModemSocket`."""
        rest, tries = data, 0
        while rest:
            with self._line.lock:
                self._check()
                if self.closed_by_peer:
                    raise SocketDown("the far end has closed the connection")  # what it said before may still be read
                taken = self._guarded_send(rest[: self._stack.piece_bytes_max])
            rest = rest[taken:]
            tries = 0 if taken else tries + 1
            if tries > FULL_TRIES:
                raise self._finish(SocketDown("the modem's buffer stays full: the far end takes nothing"))
            if not taken:
                self._line.wait_for_line(FULL_WAIT_S)

    def receive(self, timeout_s: float) -> bytes:
        """See `ModemSocket`."""
        told = (self._stack.readable_pattern, self._stack.closed_pattern, self._stack.lost_pattern)
        for turn in range(math.ceil(timeout_s / POLL_S) + 1):
            with self._line.lock:
                self._check()
                if turn and not self.readable and not self.closed_by_peer:
                    self._ask_unasked()
                if self.readable and (data := self._guarded_read()):
                    return data
                if self.closed_by_peer:
                    raise self._finish(SocketDown("the far end closed the connection"))
            if (left_s := timeout_s - turn * POLL_S) > 0:
                self._line.wait_for_any(told, min(POLL_S, left_s))
        return b""

    def close(self) -> None:
        """See `ModemSocket`."""
        with self._line.lock:
            if self.fault is None:
                self._finish(SocketDown("the connection was closed"))
                self._stack.try_disconnect(self.link)

    def unacknowledged(self) -> int | None:
        """See `ModemSocket`."""
        with self._line.lock:
            self._check()
            return self._stack.count_unacknowledged(self.link)

    def _check(self) -> None:
        self._line.pump()
        if self.fault:
            raise self.fault

    def _guarded_send(self, piece: bytes) -> int:
        """One piece; whatever goes wrong in it leaves open how much was taken, so the connection ends."""
        try:
            return self._stack.hand_over(self.link, piece)
        except AtError as error:
            raise self._end(SocketDown(f"the modem did not take the data: {error}")) from error
        except ModemFault as error:
            raise self._end(error) from error

    def _guarded_read(self) -> bytes:
        """One reading; if its answer is lost the bytes are too, so the connection ends."""
        try:
            data = self._stack.fetch(self.link)
        except AtError as error:
            if self.closed_by_peer:
                return b""
            raise self._end(SocketDown(f"the modem does not give the data: {error}")) from error
        except ModemFault as error:
            raise self._end(error) from error
        self.readable = bool(data)
        return data

    def _ask_unasked(self) -> None:
        """What the modem would have said by itself, if that was not lost on the way: first the end, then the data."""
        try:
            self.closed_by_peer = not self._stack.is_connected(self.link)
        except ModemFault as error:
            raise self._end(error) from error
        self.readable = True

    def _end(self, fault: ModemFault) -> ModemFault:
        self._finish(fault)
        if not isinstance(fault, ModemSilent | ModemGone | BearerLost):
            self._stack.try_disconnect(self.link)
        return fault

    def _finish(self, fault: ModemFault) -> ModemFault:
        self.fault = self.fault or fault
        self._stack.release(self.link)
        return fault


def hex_body(lines: list[str], size: int) -> bytes:
    """The bytes that an answer gives as hex in the lines between its header and its end; `ModemGarbled` if not so."""
    text = "".join(line for line in lines[:-1] if re.fullmatch(r"(?:[0-9A-Fa-f]{2})+", line))
    if len(text) != 2 * size or len(lines) < 2 or not at.is_final(lines[-1]):
        raise ModemGarbled(f"the modem gave {len(text) // 2} bytes of {size}")
    return bytes.fromhex(text)
