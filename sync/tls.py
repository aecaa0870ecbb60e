"""TLS 1.3 over any byte link, by memory buffers, so that a modem's pipe serves as well as a socket.

The server is checked against our own certificate authority only, on a resumed session as well. The terminal proves
itself inside, by its signature.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import hashlib
import ipaddress
from pathlib import Path
from typing import Final, Protocol

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError
from OpenSSL import SSL, crypto

from sync.clock import Clock
from sync.config import ConfigInvalid
from sync.link import RECEIVE_BYTES_MAX, Link, LinkDown
from sync.tls_session import export_session, is_resumed, offer_session, shorten_hello, verify_words
from wire.errors import CampusError

HANDSHAKE_S: Final = 15.0  # three slow round trips of a mobile network, with room


class ServerNotTrusted(CampusError):
    """The far end is not the settlement server: another authority, another name, or out of date."""

    code = "server-not-trusted"


class HandshakeFailed(LinkDown):
    """What came in answer to a hello was no TLS 1.3 handshake, or one that broke."""


class SessionKeeper(Protocol):
    """Where the last session waits for the next connection; `owner` is whom it was made with."""

    def tls_session(self, owner: bytes) -> bytes | None:
        """The session kept for this owner and no other."""

    def save_tls_session(self, owner: bytes, session: bytes | None) -> None:
        """Keep this one instead of any other; None: keep none."""


class ClientContext:
    """The one authority that is trusted, and TLS as this side speaks it."""

    def __init__(self, authority: x509.Certificate) -> None:
        self.tls = SSL.Context(SSL.TLS_CLIENT_METHOD)
        self.tls.set_min_proto_version(SSL.TLS1_3_VERSION)
        self.tls.set_tls13_ciphersuites(b"TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256")
        shorten_hello(self.tls)
        store = self.tls.get_cert_store()
        assert store is not None, "a new context has its store"
        store.add_cert(crypto.X509.from_cryptography(authority))
        self.tls.set_verify(SSL.VERIFY_PEER, _note_why)
        self._authority = authority

    def owner(self, server_name: str) -> bytes:
        """Whom a session belongs to: 32 bytes of this authority and this name."""
        return hashlib.sha256(self._authority.public_bytes(Encoding.DER) + server_name.encode()).digest()

    def check(self, certificate: x509.Certificate | None, server_name: str, now_utc_s: int) -> None:
        """`ServerNotTrusted` unless the authority signed this certificate for this name, and its time is not over."""
        if certificate is None:
            raise ServerNotTrusted("the server showed no certificate")
        now = dt.datetime.fromtimestamp(now_utc_s, dt.UTC)
        verifier = (
            PolicyBuilder().store(Store([self._authority])).time(now).build_server_verifier(_subject(server_name))
        )
        try:
            verifier.verify(certificate, [])
        except VerificationError as error:
            raise ServerNotTrusted(f"the server's certificate is not good for {server_name}: {error}") from error


def client_context(ca: Path) -> ClientContext:
    """A context that trusts the authority in `ca` and nobody else; `ConfigInvalid` when there is none."""
    try:
        return ClientContext(x509.load_pem_x509_certificate(ca.read_bytes()))
    except (OSError, ValueError) as error:
        raise ConfigInvalid(f"the certificate authority {ca} cannot be read: {error}") from error


class TlsLink:
    """An encrypted link over another one, which it owns; with `sessions`, it resumes where the last one left off."""

    def __init__(
        self,
        link: Link,
        context: ClientContext,
        server_name: str,
        *,
        clock: Clock,
        sessions: SessionKeeper | None = None,
    ) -> None:
        """Shake hands at once; `ServerNotTrusted`, or `LinkDown` for everything that may pass."""
        self._link = link
        self._clock = clock
        self._sessions = sessions
        self._owner = context.owner(server_name)
        self._kept = False
        self._tls = SSL.Connection(context.tls, None)
        self._tls.set_connect_state()
        if isinstance(_subject(server_name), x509.DNSName):  # an address is never sent as a name
            self._tls.set_tlsext_host_name(server_name.encode("idna"))
        offered = sessions.tls_session(self._owner) if sessions else None
        if offered is not None:
            offer_session(self._tls, offered)
        try:
            self._shake_hands(clock.monotonic_s() + HANDSHAKE_S)
            context.check(self._certificate(), server_name, clock.utc_s())
        except (ServerNotTrusted, HandshakeFailed):
            if sessions is not None and offered is not None:
                sessions.save_tls_session(self._owner, None)  # whatever was wrong with it: the next one starts afresh
            raise
        self._flush()

    @property
    def resumed(self) -> bool:
        """Whether the server took up the session of an earlier connection."""
        return is_resumed(self._tls)

    def send(self, data: bytes) -> None:
        """See `Link`."""
        try:
            self._tls.sendall(data)
        except SSL.Error as error:
            raise LinkDown(f"encryption failed while sending: {_words(error)}") from error
        self._flush()

    def receive(self, timeout_s: float) -> bytes:
        """See `Link`."""
        deadline_s = self._clock.monotonic_s() + timeout_s
        while True:
            try:
                data: bytes = self._tls.recv(RECEIVE_BYTES_MAX)
            except SSL.WantReadError:
                self._flush()
            except SSL.ZeroReturnError as error:
                raise LinkDown("the server closed the session") from error
            except SSL.Error as error:
                raise LinkDown(f"encryption failed while receiving: {_words(error)}") from error
            else:
                self._keep_session()
                return data
            if not self._pump(deadline_s):
                return b""

    def close(self) -> None:
        """See `Link`. No goodbye is said: a session's end is in its receipts, and this one would cost a round trip."""
        self._link.close()

    def _shake_hands(self, deadline_s: float) -> None:
        while True:
            try:
                self._tls.do_handshake()
            except SSL.WantReadError:
                self._flush()
            except SSL.Error as error:
                with contextlib.suppress(LinkDown):
                    self._flush()  # the alert tells the far end's log why
                if (why := self._tls.get_app_data()) is not None:
                    raise ServerNotTrusted(f"the server's certificate is not accepted: {why}") from error
                raise HandshakeFailed(f"the far end does not speak TLS 1.3: {_words(error)}") from error
            else:
                return  # the last flight waits until the certificate was looked at
            if not self._pump(deadline_s):
                raise LinkDown(f"the server did not finish the TLS handshake within {HANDSHAKE_S:.0f} s")

    def _certificate(self) -> x509.Certificate | None:
        """The server's; on a resumed session the one that it was made with."""
        return self._tls.get_peer_certificate(as_cryptography=True)

    def _keep_session(self) -> None:
        """Keep what the server gave for the next connection: it sends that ahead of everything else."""
        if self._sessions is not None and not self._kept:
            self._kept = True
            self._sessions.save_tls_session(self._owner, export_session(self._tls))

    def _flush(self) -> None:
        out = bytearray()
        with contextlib.suppress(SSL.WantReadError):  # nothing is left
            while True:
                out += self._tls.bio_read(RECEIVE_BYTES_MAX)
        if out:
            self._link.send(bytes(out))

    def _pump(self, deadline_s: float) -> bool:
        """Take in what comes before the deadline; False when nothing did."""
        left_s = deadline_s - self._clock.monotonic_s()
        data = self._link.receive(left_s) if left_s > 0 else b""
        if data:
            self._tls.bio_write(data)
        return bool(data)


def _note_why(connection: SSL.Connection, _certificate: crypto.X509, code: int, _depth: int, good: int) -> bool:
    """OpenSSL's verdict on a certificate stands; its words are kept for whoever reads the log."""
    if not good:
        connection.set_app_data(verify_words(code))
    return bool(good)


def _subject(server_name: str) -> x509.DNSName | x509.IPAddress:
    """What the certificate has to name."""
    try:
        return x509.IPAddress(ipaddress.ip_address(server_name))
    except ValueError:
        return x509.DNSName(server_name)


def _words(error: SSL.Error) -> str:
    """OpenSSL's reason, or what the socket layer said."""
    first = error.args[0] if error.args else ""
    return first[0][2] if isinstance(first, list) and first else " ".join(str(part) for part in error.args)
