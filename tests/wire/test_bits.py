"""Bits as text: every field gives itself back, and no bits beyond the last are taken for one."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wire.bits import BitReader, each_bit_first, fixed, golomb, to_bytes
from wire.fields import FormatError


@given(st.lists(st.tuples(st.integers(0, 16), st.integers(0, 0xFFFF_FFFF))))
def test_numbers_are_read_as_they_were_written(numbers: list[tuple[int, int]]) -> None:
    reader = BitReader(to_bytes("".join(golomb(value, order) + fixed(value, 32) for order, value in numbers)))
    for order, value in numbers:
        assert reader.golomb(order, 32) == value
        assert reader.fixed(32) == value
    reader.finish()


@given(st.binary(max_size=30))
def test_each_bit_begins_a_byte_of_one_copy(data: bytes) -> None:
    copies, bits = each_bit_first(data), BitReader(data).bits
    for at in range(8 * len(data) + 1):
        word = copies[at % 8][at // 8 : at // 8 + 8]
        assert fixed(int.from_bytes(word, "big"), 64) == bits[at : at + 64]


@given(st.binary(max_size=30), st.integers(0, 16), st.integers(1, 40))
def test_garbage_is_a_number_within_its_width_or_a_format_error(data: bytes, order: int, width: int) -> None:
    reader = BitReader(data)
    with suppress(FormatError):
        assert reader.golomb(order, width) < 1 << width
        reader.finish()


@pytest.mark.parametrize("data", [b"\x00\x00", b"\x01", b"\xff\xff"])
def test_bits_behind_the_last_field_are_refused_but_for_zeros_that_fill_its_byte(data: bytes) -> None:
    reader = BitReader(data)
    reader.fixed(4)
    with pytest.raises(FormatError, match="left over"):
        reader.finish()
    reader.fixed(8 * len(data) - 4)
    reader.finish()


def test_field_that_is_cut_short_is_refused() -> None:
    with pytest.raises(FormatError, match="cut short"):
        BitReader(b"\x00").fixed(9)
    reader = BitReader(b"\xfe")
    with pytest.raises(FormatError, match="cut short"):
        reader.golomb(0, 32)
