"""The hotlist: one snapshot, one spelling."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wire.fields import FormatError
from wire.frame import BODY_BYTES_MAX
from wire.hotlist import CARDS_MAX, EMPTY_HOTLIST, Hotlist
from wire.ids import Asn, CardId, IssuerId


def _cards(count: int) -> frozenset[CardId]:
    return frozenset(CardId(IssuerId(bytes(8)), Asn(number.to_bytes(10, "big"))) for number in range(count))


@given(st.from_type(Hotlist))
def test_hotlist_round_trip(hotlist: Hotlist) -> None:
    assert Hotlist.from_bytes(hotlist.to_bytes()) == hotlist


@given(st.binary(max_size=100))
def test_garbage_is_a_format_error_or_a_hotlist_of_these_bytes(data: bytes) -> None:
    with suppress(FormatError):
        assert Hotlist.from_bytes(data).to_bytes() == data


@given(st.from_type(Hotlist), st.data())
def test_mutated_hotlist_is_a_format_error_or_a_hotlist_of_these_bytes(hotlist: Hotlist, data: st.DataObject) -> None:
    raw = bytearray(hotlist.to_bytes())
    raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    with suppress(FormatError):
        assert Hotlist.from_bytes(bytes(raw)).to_bytes() == bytes(raw)


def test_largest_hotlist_fits_a_frame() -> None:
    largest = Hotlist(1, _cards(CARDS_MAX))
    assert len(largest.to_bytes()) <= BODY_BYTES_MAX
    assert Hotlist.from_bytes(largest.to_bytes()) == largest


def test_count_over_the_limit_is_refused() -> None:
    data = (1).to_bytes(4, "big") + (CARDS_MAX + 1).to_bytes(2, "big") + bytes(18 * (CARDS_MAX + 1))
    with pytest.raises(FormatError, match="at most"):
        Hotlist.from_bytes(data)


def test_cards_out_of_order_or_twice_are_refused() -> None:
    one, two = sorted(_cards(2))
    for cards in ((two, one), (one, one)):
        with pytest.raises(FormatError, match="ascending"):
            Hotlist.from_bytes(bytes((0, 0, 0, 1, 0, 2)) + b"".join(card.to_bytes() for card in cards))


def test_empty_hotlist_is_version_zero() -> None:
    assert EMPTY_HOTLIST.to_bytes() == bytes(6)
