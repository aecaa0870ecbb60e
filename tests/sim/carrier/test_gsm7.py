"""The 7-bit alphabet, held against two other people's."""

from __future__ import annotations

import gsmmodem.pdu
import pytest
from hypothesis import given
from hypothesis import strategies as st
from smspdudecoder.codecs import GSM  # type: ignore[import-untyped]  # the library has no types

from sim.carrier import gsm7

ALPHABET = gsm7.from_septets(bytes(index for index in range(128) if index != 0x1B))
EXTENSION = "\f^{}\\[~]|€"


def test_the_alphabet_is_that_of_both_libraries() -> None:
    packed = gsm7.pack(gsm7.to_septets(ALPHABET + EXTENSION) or b"")
    assert GSM.decode(packed.hex()) == ALPHABET + EXTENSION
    text = (ALPHABET + EXTENSION).replace("§", "").replace("\f", "")  # which gsmmodem does not know
    assert bytes(gsmmodem.pdu.encodeGsm7(text)) == gsm7.to_septets(text)


@given(st.text(alphabet=ALPHABET + EXTENSION, max_size=160))
def test_text_comes_back(text: str) -> None:
    septets = gsm7.to_septets(text)
    assert septets is not None
    assert gsm7.from_septets(septets) == text


@given(st.binary(max_size=160), st.integers(0, 6))
def test_septets_come_back_packed(data: bytes, fill_bits: int) -> None:
    septets = bytes(octet & 0x7F for octet in data)
    assert gsm7.unpack(gsm7.pack(septets, fill_bits=fill_bits), len(septets), fill_bits=fill_bits) == septets


def test_packing_is_that_of_23_038() -> None:
    assert gsm7.pack(b"hello").hex() == "e8329bfd06"


def test_what_the_alphabet_lacks_is_none() -> None:
    assert gsm7.to_septets("中") is None


@pytest.mark.parametrize(("septets", "text"), [(b"\x1b", " "), (b"\x1b\x1b", " "), (b"\x1bA", "A"), (b"\xc1", "A")])
def test_odd_septets_read_as_23_038_wants(septets: bytes, text: str) -> None:
    assert gsm7.from_septets(septets) == text
