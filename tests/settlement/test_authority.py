"""Certificates and the ticket key."""

from __future__ import annotations

import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from settlement.authority import (
    KeyFileUnreadable,
    load_ticket_key,
    load_ticket_public_key,
    make_authority,
    make_server_certificate,
    make_ticket_key,
    server_context,
)
from wire import signature

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def test_authority_and_server_certificate_are_made_once_and_secret(tmp_path: Path) -> None:
    assert make_authority(tmp_path, NOW)
    assert make_server_certificate(tmp_path, NOW)
    assert not make_authority(tmp_path, NOW)
    assert not make_server_certificate(tmp_path, NOW)
    assert {stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("ca.key", "server.key")} == {0o600}
    ca = x509.load_pem_x509_certificate((tmp_path / "ca.pem").read_bytes())
    server = x509.load_pem_x509_certificate((tmp_path / "server.pem").read_bytes())
    server.verify_directly_issued_by(ca)
    assert ca.not_valid_after_utc - NOW > timedelta(days=3650)
    assert server.not_valid_after_utc - NOW > timedelta(days=730)
    server_context(tmp_path)


def test_certificates_are_good_for_a_terminal_whose_clock_is_years_behind(tmp_path: Path) -> None:
    make_authority(tmp_path, NOW)
    make_server_certificate(tmp_path, NOW)
    for name in ("ca.pem", "server.pem"):
        certificate = x509.load_pem_x509_certificate((tmp_path / name).read_bytes())
        assert certificate.not_valid_before_utc == datetime(2020, 1, 1, tzinfo=UTC)


def test_server_certificate_near_its_end_is_replaced_under_the_same_authority(tmp_path: Path) -> None:
    make_authority(tmp_path, NOW)
    make_server_certificate(tmp_path, NOW)
    later = NOW + timedelta(days=700)
    assert make_server_certificate(tmp_path, later)
    server = x509.load_pem_x509_certificate((tmp_path / "server.pem").read_bytes())
    server.verify_directly_issued_by(x509.load_pem_x509_certificate((tmp_path / "ca.pem").read_bytes()))
    assert server.not_valid_after_utc > later + timedelta(days=700)


def test_ticket_key_is_made_once_and_its_public_half_fits(tmp_path: Path) -> None:
    private, public = tmp_path / "ticket.key", tmp_path / "ticket.pub"
    assert make_ticket_key(private, public)
    assert not make_ticket_key(private, public)
    assert signature.public_bytes(load_ticket_key(private)) == load_ticket_public_key(public)
    public.unlink()
    make_ticket_key(private, public)
    assert signature.public_bytes(load_ticket_key(private)) == load_ticket_public_key(public)


def test_missing_and_damaged_key_files_are_typed_faults(tmp_path: Path) -> None:
    (tmp_path / "bad").write_text("no key")
    for path in (tmp_path / "none", tmp_path / "bad"):
        with pytest.raises(KeyFileUnreadable):
            load_ticket_key(path)
        with pytest.raises(KeyFileUnreadable):
            load_ticket_public_key(path)
    with pytest.raises(KeyFileUnreadable):
        server_context(tmp_path)
    (tmp_path / "server.pem").write_text("")
    with pytest.raises(KeyFileUnreadable, match=r"server\.pem is no certificate"):
        make_server_certificate(tmp_path, NOW)
