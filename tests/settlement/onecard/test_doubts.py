"""What an operator did not mean is told so that it is seen."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given

from settlement.onecard.campusfile import parse_campus
from settlement.onecard.doubts import doubt_lines
from tests.settlement.onecard.test_campusfile import CAMPUS
from tests.wire.configurations import configurations
from wire.configuration import ClassLimits, Configuration, Name, Product
from wire.money import Fen

BEFORE = parse_campus(CAMPUS).outlets[0].configuration
MANY = tuple(Product(number=one, name=Name("x"), amount_fen=Fen(250)) for one in range(1, 321))


def products(*amounts_fen: int) -> tuple[Product, ...]:
    return tuple(Product(number=one, name=Name("x"), amount_fen=Fen(fen)) for one, fen in enumerate(amounts_fen, 1))


def test_what_is_meant_raises_no_doubt() -> None:
    assert doubt_lines(None, BEFORE) == doubt_lines(BEFORE, BEFORE) == []
    dearer = replace(BEFORE, products=(replace(BEFORE.products[0], amount_fen=Fen(180)), *BEFORE.products[1:]))
    assert doubt_lines(BEFORE, dearer) == []
    assert doubt_lines(replace(BEFORE, products=MANY), replace(BEFORE, products=MANY[:-5])) == []


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        (replace(BEFORE, products=MANY), replace(BEFORE, products=MANY[:20]), "300 of 320 products are gone"),
        (BEFORE, replace(BEFORE, products=()), "all of 2 products are gone"),
        (BEFORE, replace(BEFORE, staff=()), "all of 1 staff cards are gone"),
        (
            replace(BEFORE, products=products(150, 1200)),
            replace(BEFORE, products=products(1, 1200)),
            "products 1 cost 10 times as much as before or more, or a 10th or less",
        ),
        (None, replace(BEFORE, products=products(1, 12)), "no product costs more than 0.12 yuan"),
        (
            None,
            replace(BEFORE, others=ClassLimits(tap_fen_max=Fen(50))),
            "products 1, 7 cost more than the 0.50 yuan that cards of no class may pay in one tap",
        ),
        (
            None,
            replace(BEFORE, others=ClassLimits(tap_fen_max=Fen(1000))),
            "meals of periods 2 cost more than the 10.00 yuan that cards of no class may pay in one tap",
        ),
    ],
)
def test_what_is_hardly_meant_is_told(before: Configuration | None, after: Configuration, words: str) -> None:
    [line] = [line for line in doubt_lines(before, after) if words in line]
    assert line.startswith(words)


@given(configurations(), configurations())
def test_any_two_configurations_can_be_doubted(before: Configuration, after: Configuration) -> None:
    doubt_lines(before, after)
