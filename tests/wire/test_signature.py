"""Signatures: good for one key, one purpose and one text."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from wire import signature
from wire.signature import SignatureInvalid, public_bytes, sign, verify

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))


def test_signature_verifies_and_is_the_same_every_time() -> None:
    proof = sign(KEY, signature.BATCH, b"text")
    verify(public_bytes(KEY), signature.BATCH, b"text", proof)
    assert proof == sign(KEY, signature.BATCH, b"text")
    assert len(proof) == signature.SIGNATURE_BYTES
    assert len(public_bytes(KEY)) == signature.PUBLIC_KEY_BYTES


def test_signature_for_one_purpose_is_none_for_another() -> None:
    proof = sign(KEY, signature.IDENTITY, b"text")
    with pytest.raises(SignatureInvalid):
        verify(public_bytes(KEY), signature.ENROLMENT, b"text", proof)


@pytest.mark.parametrize("public_key", [b"", bytes(31), bytes(33), b"\xff" * 32])
def test_malformed_key_is_an_invalid_signature(public_key: bytes) -> None:
    with pytest.raises(SignatureInvalid):
        verify(public_key, signature.BATCH, b"text", sign(KEY, signature.BATCH, b"text"))


@pytest.mark.parametrize("proof", [b"", bytes(64), bytes(63)])
def test_malformed_signature_is_invalid(proof: bytes) -> None:
    with pytest.raises(SignatureInvalid):
        verify(public_bytes(KEY), signature.BATCH, b"text", proof)


def test_purposes_are_distinct_and_none_begins_another() -> None:
    purposes = [signature.IDENTITY, signature.ENROLMENT, signature.TICKET, signature.BATCH]
    assert not any(one.startswith(two) for one in purposes for two in purposes if one is not two)
