"""The installation's certificate authority and the operator's ticket key: making them, and the gateways' TLS."""

from __future__ import annotations

import ipaddress
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from settlement.secretfile import write_secret, write_whole
from wire import signature
from wire.errors import CampusError

SERVER_NAME: Final = "settlement.campus"
_CA_LIFE: Final = timedelta(days=3652)
_SERVER_LIFE: Final = timedelta(days=731)
# A terminal without a clock battery starts with the time of its last shutdown, or of its image: months ago. It gets the
# right time from this server, so it must trust the certificate before it has it.
_NOT_BEFORE: Final = datetime(2020, 1, 1, tzinfo=UTC)
_RENEW_BEFORE: Final = timedelta(days=60)


class KeyFileUnreadable(CampusError):
    """A key or certificate file is missing or damaged."""

    code = "key-file-unreadable"


def make_authority(folder: Path, now: datetime) -> bool:
    """Make `ca.key` and `ca.pem` unless they exist; False if they do."""
    if (folder / "ca.pem").exists():
        return False
    if not (folder / "ca.key").exists():
        write_secret(folder / "ca.key", _pem(ec.generate_private_key(ec.SECP256R1())))
    key = _load_ec_key(folder / "ca.key")
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "campus settlement CA")])
    certificate = (
        _builder(name, name, key.public_key(), now, _CA_LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(signs_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    write_whole(folder / "ca.pem", certificate.public_bytes(serialization.Encoding.PEM))
    return True


def make_server_certificate(folder: Path, now: datetime) -> bool:
    """Make `server.key` and `server.pem`, or a new certificate when it nears its end; False if neither was needed."""
    if (folder / "server.pem").exists():
        present = _load_certificate(folder / "server.pem")
        if present.not_valid_after_utc - now > _RENEW_BEFORE:
            return False
    if not (folder / "server.key").exists():
        write_secret(folder / "server.key", _pem(ec.generate_private_key(ec.SECP256R1())))
    ca_key, key = _load_ec_key(folder / "ca.key"), _load_ec_key(folder / "server.key")
    ca = _load_certificate(folder / "ca.pem")
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, SERVER_NAME)])
    names = [x509.DNSName(SERVER_NAME), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    certificate = (
        _builder(name, ca.subject, key.public_key(), now, _SERVER_LIFE)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    write_whole(folder / "server.pem", certificate.public_bytes(serialization.Encoding.PEM))
    return True


def make_ticket_key(private: Path, public: Path) -> bool:
    """Make the operator's key pair unless it exists; gateways need the public half alone."""
    made = not private.exists()
    if made:
        write_secret(
            private,
            Ed25519PrivateKey.generate().private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            ),
        )
    if made or not public.exists():
        write_whole(public, signature.public_bytes(load_ticket_key(private)).hex().encode() + b"\n")
    return made


def load_ticket_key(path: Path) -> Ed25519PrivateKey:
    """The operator's key; raises `KeyFileUnreadable`."""
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), None)
    except (OSError, ValueError, TypeError) as error:
        raise KeyFileUnreadable(f"{path} is no key file") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise KeyFileUnreadable(f"{path} holds another kind of key")
    return key


def load_ticket_public_key(path: Path) -> bytes:
    """The 32 bytes with which tickets are checked; raises `KeyFileUnreadable`."""
    try:
        public = bytes.fromhex(path.read_text())
    except (OSError, ValueError) as error:
        raise KeyFileUnreadable(f"{path} is no public key file") from error
    if len(public) != signature.PUBLIC_KEY_BYTES:
        raise KeyFileUnreadable(f"{path} is no public key file")
    return public


def server_context(folder: Path) -> ssl.SSLContext:
    """TLS 1.3 with one stateful ticket, enough to resume and short on the air. Raises `KeyFileUnreadable`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.options |= ssl.OP_NO_TICKET
    context.num_tickets = 1
    try:
        context.load_cert_chain(folder / "server.pem", folder / "server.key")
    except (OSError, ssl.SSLError) as error:
        raise KeyFileUnreadable(f"{folder} holds no server certificate with its key") from error
    return context


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, now: datetime, life: timedelta
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(_NOT_BEFORE)
        .not_valid_after(now + life)
    )


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _load_certificate(path: Path) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except (OSError, ValueError) as error:
        raise KeyFileUnreadable(f"{path} is no certificate") from error


def _load_ec_key(path: Path) -> ec.EllipticCurvePrivateKey:
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), None)
    except (OSError, ValueError, TypeError) as error:
        raise KeyFileUnreadable(f"{path} is no key file") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise KeyFileUnreadable(f"{path} holds another kind of key")
    return key
