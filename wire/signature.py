"""Ed25519 as the wire uses it: keys as 32 bytes, signatures as 64, one purpose label before all that is signed."""

from __future__ import annotations

from typing import Final

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from wire.errors import CampusError

PUBLIC_KEY_BYTES: Final = 32
SIGNATURE_BYTES: Final = 64

# What a signature is for goes in front of what is signed, so that none can be passed off as another.
IDENTITY: Final = b"campus identity v1"
ENROLMENT: Final = b"campus enrolment v1"
TICKET: Final = b"campus ticket v1"
BATCH: Final = b"campus batch v2"
SHIFT: Final = b"campus shift v1"
CONFIGURATION: Final = b"campus configuration v1"


class SignatureInvalid(CampusError):
    """The signature was not made by this key over these bytes."""

    code = "signature-invalid"


class KeyUnreadable(CampusError):
    """The file of a key is missing, or is not what it should be."""

    code = "key-unreadable"


def read_private_key(pem: bytes) -> Ed25519PrivateKey:
    """A private key in an unencrypted PKCS 8 file; `KeyUnreadable` for anything else."""
    try:
        key = serialization.load_pem_private_key(pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise KeyUnreadable("the file holds no private key, or one with a password") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise KeyUnreadable("the file does not hold an Ed25519 key")
    return key


def sign(key: Ed25519PrivateKey, purpose: bytes, data: bytes) -> bytes:
    """64 bytes over `purpose | data`; the same input gives the same signature (RFC 8032)."""
    return key.sign(purpose + data)


def verify(public_key: bytes, purpose: bytes, data: bytes, signature: bytes) -> None:
    """Raise `SignatureInvalid` unless `signature` is `public_key`'s over `purpose | data`, bad keys included."""
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, purpose + data)
    except (InvalidSignature, ValueError) as error:
        raise SignatureInvalid(f"a signature for {purpose.decode()!r} does not fit its key") from error


def public_bytes(key: Ed25519PrivateKey) -> bytes:
    """The 32 bytes of the public half."""
    return key.public_key().public_bytes_raw()
