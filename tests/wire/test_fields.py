"""Bounded binary fields: one spelling for each number, and a typed error for every shortfall."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wire.fields import FieldReader, FormatError, varint

U64 = st.integers(0, (1 << 64) - 1)


@given(U64)
def test_varint_round_trip_uses_the_shortest_spelling(value: int) -> None:
    raw = varint(value)
    reader = FieldReader(raw)
    assert reader.varint() == value
    reader.finish()
    assert len(raw) == max(1, (value.bit_length() + 6) // 7)


@given(st.binary(max_size=12))
def test_any_bytes_give_an_integer_or_a_format_error(data: bytes) -> None:
    reader = FieldReader(data)
    try:
        value = reader.varint()
    except FormatError:
        return
    assert varint(value) == data[: len(data) - reader.remaining]


@pytest.mark.parametrize("data", ["", "80", "8000", "8080808080808080808002", "ffffffffffffffffff02", "ff" * 11])
def test_varint_cut_short_padded_or_too_large_is_refused(data: str) -> None:
    with pytest.raises(FormatError):
        FieldReader(bytes.fromhex(data)).varint()


def test_taking_more_than_is_left_is_refused_and_takes_nothing() -> None:
    reader = FieldReader(b"abc")
    with pytest.raises(FormatError, match="4 bytes wanted, 3 left"):
        reader.take(4)
    assert reader.take(3) == b"abc"


def test_bytes_left_over_are_refused() -> None:
    reader = FieldReader(b"ab")
    reader.uint(1)
    with pytest.raises(FormatError, match="1 bytes too many"):
        reader.finish()
