"""TLS 1.3 over any byte link, by memory buffers, so that a modem's pipe serves as well as a socket.

The server is checked against our own certificate authority only. The terminal proves itself inside, by its signature.
"""

from __future__ import annotations

import contextlib
import ssl
from pathlib import Path
from typing import Final

from sync.clock import Clock
from sync.config import ConfigInvalid
from sync.link import RECEIVE_BYTES_MAX, Link, LinkDown
from wire.errors import CampusError

HANDSHAKE_S: Final = 15.0  # three slow round trips of a mobile network, with room


class ServerNotTrusted(CampusError):
    """The far end is not the settlement server: another authority, another name, or out of date."""

    code = "server-not-trusted"


def client_context(ca: Path) -> ssl.SSLContext:
    """A context that trusts the authority in `ca` and nobody else; `ConfigInvalid` when there is none."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    try:
        context.load_verify_locations(cafile=ca)
    except (OSError, ssl.SSLError) as error:
        raise ConfigInvalid(f"the certificate authority {ca} cannot be read: {error}") from error
    return context


class TlsLink:
    """An encrypted link over another one, which it owns."""

    def __init__(self, link: Link, context: ssl.SSLContext, server_name: str, *, clock: Clock) -> None:
        """Shake hands at once; `ServerNotTrusted`, or `LinkDown` for everything that may pass."""
        self._link = link
        self._clock = clock
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._in, self._out, server_hostname=server_name)
        self._shake_hands(clock.monotonic_s() + HANDSHAKE_S)

    def send(self, data: bytes) -> None:
        """See `Link`."""
        try:
            self._tls.write(data)
        except ssl.SSLError as error:
            raise LinkDown(f"encryption failed while sending: {error.reason}") from error
        self._flush()

    def receive(self, timeout_s: float) -> bytes:
        """See `Link`."""
        deadline_s = self._clock.monotonic_s() + timeout_s
        while True:
            try:
                data = self._tls.read(RECEIVE_BYTES_MAX)
            except ssl.SSLWantReadError:
                self._flush()
            except ssl.SSLError as error:
                raise LinkDown(f"encryption failed while receiving: {error.reason}") from error
            else:
                if not data:
                    raise LinkDown("the server closed the session")
                return data
            if not self._pump(deadline_s):
                return b""

    def close(self) -> None:
        """See `Link`; says goodbye as far as that still gets through."""
        with contextlib.suppress(ssl.SSLError):
            self._tls.unwrap()
        with contextlib.suppress(LinkDown):
            self._flush()
        self._link.close()

    def _shake_hands(self, deadline_s: float) -> None:
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                self._flush()
            except ssl.SSLCertVerificationError as error:
                with contextlib.suppress(LinkDown):
                    self._flush()  # the alert tells the far end's log why
                raise ServerNotTrusted(f"the server's certificate is not accepted: {error.verify_message}") from error
            except ssl.SSLError as error:
                raise LinkDown(f"the far end does not speak TLS 1.3: {error.reason}") from error
            else:
                self._flush()
                return
            if not self._pump(deadline_s):
                raise LinkDown(f"the server did not finish the TLS handshake within {HANDSHAKE_S:.0f} s")

    def _flush(self) -> None:
        if self._out.pending:
            self._link.send(self._out.read())

    def _pump(self, deadline_s: float) -> bool:
        """Take in what comes before the deadline; False when nothing did."""
        left_s = deadline_s - self._clock.monotonic_s()
        data = self._link.receive(left_s) if left_s > 0 else b""
        self._in.write(data)
        return bool(data)
