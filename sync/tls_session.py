"""What pyOpenSSL does not offer of the library under it: a TLS session as bytes, a shorter hello, and words for faults.

pyOpenSSL keeps sessions in memory only; a terminal that restarts would pay for a whole handshake. So these functions
call OpenSSL through the very binding that pyOpenSSL stands on, with the handles that it keeps to itself. Nothing else
in this package touches those.
"""

from __future__ import annotations

from typing import Final

from cryptography.hazmat.bindings.openssl.binding import Binding
from OpenSSL import SSL

SESSION_BYTES_MAX: Final = 16_384  # some hundred bytes and the server's certificate; more is no session of ours

# Newer libraries offer a post-quantum key of 1,216 bytes by themselves: half of what a whole day's first tap may weigh.
_GROUPS: Final = b"X25519:P-256"

_openssl: Final = Binding.lib
_ffi: Final = Binding.ffi


def export_session(connection: SSL.Connection) -> bytes | None:
    """The session that this connection's server gave out for the next one; None when there is none to keep."""
    session = _openssl.SSL_get1_session(connection._ssl)  # noqa: SLF001 - pyOpenSSL has no public handle
    if session == _ffi.NULL:
        return None
    try:
        size = _openssl.i2d_SSL_SESSION(session, _ffi.NULL)
        if not 0 < size <= SESSION_BYTES_MAX:
            return None
        room = _ffi.new("unsigned char[]", size)
        _openssl.i2d_SSL_SESSION(session, _ffi.new("unsigned char **", room))
        return bytes(_ffi.buffer(room, size))
    finally:
        _openssl.SSL_SESSION_free(session)


def offer_session(connection: SSL.Connection, data: bytes) -> bool:
    """Have the connection offer a session that was exported before; False when these bytes are none."""
    room = _ffi.new("unsigned char[]", data)
    session = _openssl.d2i_SSL_SESSION(_ffi.NULL, _ffi.new("const unsigned char **", room), len(data))
    if session == _ffi.NULL:
        _openssl.ERR_clear_error()  # or the next fault of this thread would be told with these words
        return False
    try:
        offered: int = _openssl.SSL_set_session(connection._ssl, session)  # noqa: SLF001 - as above
    finally:
        _openssl.SSL_SESSION_free(session)  # the connection has counted itself in
    return offered == 1


def is_resumed(connection: SSL.Connection) -> bool:
    """Whether the server took the offered session up."""
    reused: int = _openssl.SSL_session_reused(connection._ssl)  # noqa: SLF001 - as above
    return reused == 1


def shorten_hello(context: SSL.Context) -> None:
    """Offer the two key exchanges that every server of ours has, and a key for the first of them alone."""
    done: int = _openssl.SSL_CTX_set1_curves_list(context._context, _GROUPS)  # noqa: SLF001 - as above
    assert done == 1, "both groups are in every OpenSSL that cryptography is built with"


def verify_words(code: int) -> str:
    """What OpenSSL calls this fault of a certificate."""
    words: bytes = _ffi.string(_openssl.X509_verify_cert_error_string(code))
    return words.decode()
