"""Byte links to the server: what every link offers, and the plain TCP one. Encryption is `sync.tls`'s matter."""

from __future__ import annotations

import socket
from typing import Final, Protocol

from wire.errors import CampusError

CONNECT_S: Final = 10.0  # a mobile network that has not answered by then is not going to
SEND_S: Final = 10.0  # longer, and the far end is gone though nobody said so
RECEIVE_BYTES_MAX: Final = 65_536


class LinkDown(CampusError):
    """The server cannot be reached, or stopped answering; nothing is lost, and the same is tried again."""

    code = "link-down"
    retryable = True


class Link(Protocol):
    """One byte stream to the server."""

    def send(self, data: bytes) -> None:
        """Hand over all of `data`; `LinkDown` when the link has ended or takes nothing any more."""

    def receive(self, timeout_s: float) -> bytes:
        """What has come, empty when nothing came in time; `LinkDown` when the link has ended."""

    def close(self) -> None:
        """End the link; a second time does nothing."""


class TcpLink:
    """A TCP connection."""

    def __init__(self, host: str, port: int) -> None:
        """Connect, or `LinkDown`."""
        try:
            self._socket = socket.create_connection((host, port), CONNECT_S)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            # An acknowledgement rides on what is sent next, instead of on a packet of its own.
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 0)
        except OSError as error:
            raise LinkDown(f"no connection to {host} port {port}: {error}") from error

    def send(self, data: bytes) -> None:
        """See `Link`."""
        try:
            self._socket.settimeout(SEND_S)
            self._socket.sendall(data)
        except OSError as error:
            raise LinkDown(f"the connection failed while sending: {error}") from error

    def receive(self, timeout_s: float) -> bytes:
        """See `Link`."""
        try:
            self._socket.settimeout(max(timeout_s, 0.001))  # 0 would mean something else to a socket
            data = self._socket.recv(RECEIVE_BYTES_MAX)
        except TimeoutError:
            return b""
        except OSError as error:
            raise LinkDown(f"the connection failed while receiving: {error}") from error
        if not data:
            raise LinkDown("the server closed the connection")
        return data

    def close(self) -> None:
        """See `Link`."""
        self._socket.close()
