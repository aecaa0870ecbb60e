"""Money to and from text: exact both ways, and nothing else is an amount."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wire.money import FEN_MAX, AmountUnreadable, Fen, format_fen, parse_yuan


@given(st.integers(0, FEN_MAX))
def test_amount_written_is_read_back(fen: int) -> None:
    assert parse_yuan(format_fen(Fen(fen))) == fen


@pytest.mark.parametrize(("text", "fen"), [("12", 1200), ("12.5", 1250), ("12.05", 1205), ("0", 0)])
def test_amount_as_people_type_it_is_read(text: str, fen: int) -> None:
    assert parse_yuan(text) == fen


@pytest.mark.parametrize("text", ["", " 1", "-1", "+1", "1.", ".5", "1.234", "1e3", "1,5", "１２", "99999999", "1\n"])
def test_text_that_is_no_amount_is_refused(text: str) -> None:
    with pytest.raises(AmountUnreadable):
        parse_yuan(text)


@given(st.text(max_size=30))
def test_any_text_gives_an_amount_or_a_typed_error(text: str) -> None:
    with suppress(AmountUnreadable):
        assert 0 <= parse_yuan(text) <= FEN_MAX


def test_negative_balance_is_written_with_its_sign() -> None:
    assert format_fen(-5) == "-0.05"
    assert format_fen(-1250) == "-12.50"
