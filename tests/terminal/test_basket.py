"""What a basket costs, by class, and its bounds."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from terminal.basket import COUNT_MAX, Line, Mode, Offer, added, amount_line, amount_offer, meal_offer, product_line
from tests.terminal.school import BREAKFAST, GUESTS, LUNCH, SCHOOL, STAMP, STUDENTS, SUPPER, TEA, TEACHERS
from wire.configuration import ClassPrice
from wire.money import FEN_MAX, Fen

RICE_LINE, TEA_LINE = (product_line(product, 1) for product in SCHOOL.products[:2])
PERIODS = {period.number: period for period in SCHOOL.periods}


def test_class_pays_its_own_price_and_the_others_the_usual_one() -> None:
    offer = Offer(Mode.PRODUCTS, (RICE_LINE, replace(TEA_LINE, count=2)))
    assert [offer.fen(one) for one in (STUDENTS, TEACHERS, GUESTS, None)] == [600, 700, 700, 700]
    assert offer.prices_fen == (600, 700)


def test_meals_of_a_period_without_a_price_are_not_sold() -> None:
    lunch, breakfast = meal_offer(PERIODS[LUNCH], 2), meal_offer(PERIODS[BREAKFAST], 1)
    assert lunch is not None
    assert breakfast is not None
    assert (lunch.meals, lunch.period, lunch.prices_fen, breakfast.prices_fen) == (2, LUNCH, (2_000, 2_400), (600,))
    assert meal_offer(PERIODS[SUPPER], 1) is None
    assert amount_offer(Fen(5)).meals == 0


def test_same_product_is_counted_and_amounts_add_up() -> None:
    lines: tuple[Line, ...] | None = ()
    for line in (TEA_LINE, amount_line(Fen(5)), RICE_LINE, TEA_LINE, amount_line(Fen(7))):
        assert lines is not None
        lines = added(lines, line)
    assert lines is not None
    assert [(line.number, line.count, line.each_fen) for line in lines] == [(TEA, 2, 300), (0, 1, 12), (1, 1, 100)]


def test_basket_has_its_bounds() -> None:
    many = (replace(RICE_LINE, count=COUNT_MAX),)
    assert added(many, RICE_LINE) is None
    stamp = next(product_line(product, 1) for product in SCHOOL.products if product.number == STAMP)
    assert added((), stamp) == (stamp,)
    assert added((stamp,), RICE_LINE) is None


PRICES = st.integers(1, 10_000).map(Fen)
LINES = st.builds(
    Line,
    number=st.integers(0, 5),
    name=st.none(),
    count=st.integers(1, COUNT_MAX),
    each_fen=PRICES,
    class_prices=st.lists(
        st.builds(ClassPrice, st.integers(0, 3), PRICES), unique_by=lambda price: price.card_class
    ).map(tuple),
)


@given(st.lists(LINES, min_size=1, max_size=6), st.one_of(st.none(), st.integers(0, 255)))
def test_nobody_pays_a_price_that_was_not_shown(lines: list[Line], card_class: int | None) -> None:
    basket: tuple[Line, ...] = ()
    for line in lines:
        basket = added(basket, line) or basket
    offer = Offer(Mode.PRODUCTS, basket)
    assert offer.is_possible
    assert offer.fen(card_class) in offer.prices_fen
    assert 0 < offer.fen(card_class) <= FEN_MAX
    assert list(offer.prices_fen) == sorted(set(offer.prices_fen))


@pytest.mark.parametrize("count", [0, -1, COUNT_MAX + 1])
def test_impossible_count_is_no_line(count: int) -> None:
    assert added((), replace(RICE_LINE, count=count)) is None
