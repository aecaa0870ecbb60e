"""The terminal's keys: its own, made here and never given away, and what came with the enrolment."""

from __future__ import annotations

import os
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from wire.signature import PUBLIC_KEY_BYTES, KeyUnreadable, read_private_key
from wire.sms import SMS_KEY_BYTES


def load_key(path: Path) -> Ed25519PrivateKey:
    """The terminal's private key; `KeyUnreadable` otherwise."""
    try:
        return read_private_key(path.read_bytes())
    except FileNotFoundError as error:
        raise KeyUnreadable(f"there is no {path}; campus-syncd enrol makes it") from error
    except (OSError, KeyUnreadable) as error:
        raise KeyUnreadable(f"{path} cannot be read: {error}") from error


def load_or_make_key(path: Path) -> Ed25519PrivateKey:
    """The terminal's private key, made now if there is none; it is on the disk, readable by its owner alone, or not."""
    if path.exists():
        return load_key(path)
    key = Ed25519PrivateKey.generate()
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    _write_secret(path, pem)
    return key


def save_sms_key(path: Path, key: bytes) -> None:
    """Keep the key for short messages, in hexadecimal; as `load_or_make_key` keeps its own."""
    _write_secret(path, key.hex().encode() + b"\n")


def save_operator_key(path: Path, key: bytes) -> None:
    """Keep what configurations are checked with, in hexadecimal; as `load_or_make_key` keeps its own."""
    _write_secret(path, key.hex().encode() + b"\n")


def load_operator_key(path: Path) -> bytes:
    """What configurations are checked with; `KeyUnreadable` otherwise."""
    return _load_gift(path, PUBLIC_KEY_BYTES)


def load_sms_key(path: Path) -> bytes:
    """The key that the server gave out at enrolment; `KeyUnreadable` otherwise."""
    return _load_gift(path, SMS_KEY_BYTES)


def _load_gift(path: Path, size: int) -> bytes:
    try:
        key = bytes.fromhex(path.read_text(encoding="ascii"))
    except FileNotFoundError as error:
        raise KeyUnreadable(f"there is no {path}; campus-syncd enrol with the same ticket fetches it") from error
    except (OSError, ValueError) as error:
        raise KeyUnreadable(f"{path} cannot be read") from error
    if len(key) != size:
        raise KeyUnreadable(f"{path} does not hold {size} bytes")
    return key


def _write_secret(path: Path, content: bytes) -> None:
    draft = path.with_name(path.name + ".new")
    draft.unlink(missing_ok=True)
    with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    draft.rename(path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make a rename in `folder` survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
