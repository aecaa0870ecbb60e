"""What comes down: changes lead from the one list to the other or to a typed error."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wire.downlink import ANSWER_BYTES_MAX, NO_MARK, Answer, DeltaUnfit, HotlistDelta, Request
from wire.fields import FormatError
from wire.hotlist import CARDS_MAX, EMPTY_HOTLIST, Hotlist
from wire.ids import Asn, CardId, IssuerId


def _cards(first: int, count: int) -> frozenset[CardId]:
    numbers = range(first, first + count)
    return frozenset(CardId(IssuerId(bytes(8)), Asn(number.to_bytes(10, "big"))) for number in numbers)


@given(st.from_type(Hotlist), st.from_type(Hotlist))
def test_delta_that_travelled_makes_one_list_the_other(old: Hotlist, new: Hotlist) -> None:
    delta = HotlistDelta.from_bytes(HotlistDelta.between(old, new).to_bytes())
    assert delta.apply(old) == new


@given(st.from_type(Hotlist), st.from_type(Hotlist), st.from_type(Hotlist))
def test_delta_of_another_list_is_unfit(old: Hotlist, new: Hotlist, other: Hotlist) -> None:
    if other != old:
        with pytest.raises(DeltaUnfit, match="another hotlist"):
            HotlistDelta.between(old, new).apply(other)


def test_delta_that_leads_elsewhere_is_unfit() -> None:
    old, new = Hotlist(1, _cards(0, 2)), Hotlist(2, _cards(0, 3))
    delta = HotlistDelta.between(old, new)
    for changed in (replace(delta, version=3), replace(delta, added=_cards(9, 1)), replace(delta, to_mark=NO_MARK)):
        with pytest.raises(DeltaUnfit, match="do not lead"):
            changed.apply(old)


def test_delta_to_more_cards_than_a_list_holds_is_unfit() -> None:
    delta = replace(HotlistDelta.between(EMPTY_HOTLIST, EMPTY_HOTLIST), added=_cards(0, CARDS_MAX + 1))
    with pytest.raises(DeltaUnfit):
        delta.apply(EMPTY_HOTLIST)


def test_cards_out_of_order_or_twice_are_refused() -> None:
    one, two = sorted(_cards(0, 2))
    for cards in ((two, one), (one, one)):
        with pytest.raises(FormatError, match="ascending"):
            HotlistDelta.from_bytes(bytes(12) + b"\0\2" + b"".join(card.to_bytes() for card in cards) + b"\0\0")


@given(st.binary(max_size=100))
def test_garbage_is_a_format_error_or_a_delta_of_these_bytes(data: bytes) -> None:
    with suppress(FormatError):
        assert HotlistDelta.from_bytes(data).to_bytes() == data


def test_answer_that_is_too_long_is_cut_at_a_character() -> None:
    assert Answer.from_bytes(Answer(7, "饭" * ANSWER_BYTES_MAX).to_bytes()) == Answer(7, "饭" * (ANSWER_BYTES_MAX // 3))
    assert Answer.from_bytes(Answer(7, "x" * ANSWER_BYTES_MAX).to_bytes()).text == "x" * ANSWER_BYTES_MAX


@pytest.mark.parametrize(
    "raw", [bytes(4) + b"x", b"\0\0\0\1\xff", b"\0\0\0\1" + b"x" * (ANSWER_BYTES_MAX + 1), b"\0\0\1"]
)
def test_answer_without_number_or_text_or_measure_is_a_format_error(raw: bytes) -> None:
    with pytest.raises(FormatError):
        Answer.from_bytes(raw)


@pytest.mark.parametrize("raw", [bytes(4) + b"\1", b"\0\0\0\1\0", b"\0\0\0\1\3", b"\0\0\0\1\1\1", b""])
def test_request_that_means_nothing_is_a_format_error(raw: bytes) -> None:
    with pytest.raises(FormatError):
        Request.from_bytes(raw)


@given(st.binary(max_size=8))
def test_garbage_is_a_format_error_or_a_request_or_answer_of_these_bytes(data: bytes) -> None:
    for kind in (Request, Answer):
        with suppress(FormatError):
            assert kind.from_bytes(data).to_bytes() == data
