"""What a person is told of a change: what came, what went, and each fact that is another one now."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given

from settlement.onecard.campusfile import parse_campus
from settlement.onecard.changes import change_lines
from tests.settlement.onecard.test_campusfile import CAMPUS
from tests.wire.configurations import configurations
from wire.configuration import Configuration

DAYS = "from 2026-09-01, to 2027-01-15"
BEFORE = parse_campus(CAMPUS).outlets[0].configuration


def after(*changes: tuple[str, str]) -> Configuration:
    text = CAMPUS
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    return parse_campus(text).outlets[0].configuration


def test_first_configuration_is_told_whole_but_for_products_and_staff() -> None:
    assert change_lines(None, BEFORE) == [
        "+ limits: at most 50.00 a tap",
        "+ offline: hours 24, yuan 2000.00",
        "+ class 1: name 学生, in English students, at most 30.00 a tap, meals a period 2, a period 35.00, a day 80.00",
        "+ class 2: name 教职工, at most nothing at all",
        "+ period 1: name 早餐, from 06:30, to 09:00",
        "+ period 2: name 午餐, from 11:00, to 24:00, a meal 12.00, class 2 pays 15.00",
        f"+ subsidy 1: class 1, every month, amount 120.00, unused accumulate, periods 1+2, {DAYS}",
        "+ products: 2, from 1.50 to 3.20",
        "+ staff cards: 1",
    ]


def test_each_changed_fact_is_told_with_what_it_was() -> None:
    changed = after(
        ("fen = 150", "fen = 180"),
        ("meal_count_max = 2\n", ""),
        ("hours_max = 24", "hours_max = 12"),
        ('to = "24:00"', 'to = "13:30"'),
        ('role = "supervisor"', 'role = "cashier"'),
        ("tap_fen_max = 0", "tap_fen_max = 100"),
        ("periods = [2, 1]\n", ""),
    )
    assert change_lines(BEFORE, changed) == [
        "~ offline: hours 24 -> 12",
        "~ class 1: meals a period 2 -> none",
        "~ class 2: at most nothing at all -> 1.00 a tap",
        "~ product 1: price 1.50 -> 1.80",
        "~ period 2: to 24:00 -> 13:30",
        "~ subsidy 1: periods 1+2 -> any",
        "~ staff card ••0009 of 王芳: role supervisor -> cashier",
    ]


def test_what_came_and_what_went_is_told_whole() -> None:
    changed = after(("number = 7\n", "number = 9\n"))
    facts = "name 牛奶, price 3.20, barcode 6907992500133"
    assert change_lines(BEFORE, changed) == [f"+ product 9: {facts}", f"- product 7: {facts}"]


@given(configurations())
def test_same_again_is_no_change_and_another_version_neither(configuration: Configuration) -> None:
    assert change_lines(configuration, replace(configuration, version=configuration.version + 1, proof=b"")) == []
