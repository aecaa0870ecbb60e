"""The terminal's key: made once, for its owner alone."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from sync.identity import (
    load_key,
    load_operator_key,
    load_or_make_key,
    load_sms_key,
    save_operator_key,
    save_sms_key,
)
from wire.signature import KeyUnreadable, public_bytes


def test_key_is_made_once_and_readable_by_its_owner_alone(tmp_path: Path) -> None:
    made = load_or_make_key(tmp_path / "terminal.key")
    assert (tmp_path / "terminal.key").stat().st_mode & 0o777 == 0o600
    assert public_bytes(load_or_make_key(tmp_path / "terminal.key")) == public_bytes(made)
    assert public_bytes(load_key(tmp_path / "terminal.key")) == public_bytes(made)
    assert [path.name for path in tmp_path.iterdir()] == ["terminal.key"]


def test_missing_key_says_what_makes_it(tmp_path: Path) -> None:
    with pytest.raises(KeyUnreadable, match="campus-syncd enrol"):
        load_key(tmp_path / "terminal.key")


def test_damaged_key_is_refused_and_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "terminal.key").write_text("damaged")
    with pytest.raises(KeyUnreadable):
        load_or_make_key(tmp_path / "terminal.key")
    assert (tmp_path / "terminal.key").read_text() == "damaged"


def test_key_of_another_kind_is_refused(tmp_path: Path) -> None:
    pem = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (tmp_path / "terminal.key").write_bytes(pem)
    with pytest.raises(KeyUnreadable, match="Ed25519"):
        load_key(tmp_path / "terminal.key")


def test_operators_key_is_kept_and_what_is_none_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "operator.pub"
    with pytest.raises(KeyUnreadable, match="campus-syncd enrol"):
        load_operator_key(path)
    save_operator_key(path, bytes(range(32)))
    assert load_operator_key(path) == bytes(range(32))
    path.write_text("00" * 16)
    with pytest.raises(KeyUnreadable, match="32 bytes"):
        load_operator_key(path)


def test_sms_key_is_kept_for_its_owner_alone_and_may_come_again(tmp_path: Path) -> None:
    for key in (bytes(16), bytes(range(16))):
        save_sms_key(tmp_path / "sms.key", key)
        assert load_sms_key(tmp_path / "sms.key") == key
    assert (tmp_path / "sms.key").stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["sms.key"]


@pytest.mark.parametrize("text", ["", "no key", "0011", "00" * 17])
def test_sms_key_that_is_none_is_refused(text: str, tmp_path: Path) -> None:
    with pytest.raises(KeyUnreadable, match="campus-syncd enrol"):
        load_sms_key(tmp_path / "sms.key")
    (tmp_path / "sms.key").write_text(text)
    with pytest.raises(KeyUnreadable):
        load_sms_key(tmp_path / "sms.key")
