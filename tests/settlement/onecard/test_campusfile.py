"""The operator's file: read whole, and every fault told with its line and key."""

from __future__ import annotations

import re
from contextlib import suppress
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from settlement.onecard.campusfile import ConfigurationInvalid, OutletPlan, parse_campus
from wire.configuration import (
    CardClass,
    Carry,
    ClassLimits,
    ClassPrice,
    Configuration,
    Cycle,
    MealPeriod,
    Name,
    Product,
    StaffMember,
    StaffRole,
    SubsidyRule,
)
from wire.ids import Asn, CardId, IssuerId, Stream
from wire.money import Fen

ROOT = Path(__file__).parents[3]
CAMPUS = """\
[[merchants]]
number = 12
name = "饮食服务中心"
name_en = "Catering"

[limits]
tap_fen_max = 5000

[[classes]]
number = 2
name = "教职工"
tap_fen_max = 0

[[classes]]
number = 1
name = "学生"
name_en = "students"
tap_fen_max = 3000
meal_count_max = 2
meal_fen_max = 3500
day_fen_max = 8000

[[outlets]]
number = 21
stream = "canteen"
merchant = 12
name = "第一食堂"
name_en = "Canteen 1"

[outlets.offline]
hours_max = 24
fen_max = 200000

[[outlets.products]]
number = 7
name = "牛奶"
fen = 320
barcode = "6907992500133"

[[outlets.products]]
number = 1
name = "米饭"
name_en = "rice"
fen = 150
class_fen = { 2 = 200 }

[[outlets.periods]]
number = 1
name = "早餐"
from = "06:30"
to = "09:00"

[[outlets.periods]]
number = 2
name = "午餐"
from = "11:00"
to = "24:00"
meal_fen = 1200
class_fen = { 2 = 1500 }

[[outlets.subsidies]]
number = 1
class = 1
every = "month"
fen = 12000
unused = "accumulate"
periods = [2, 1]
first_day = 2026-09-01
last_day = 2027-01-15

[[outlets.staff]]
issuer = "1000000000000001"
asn = "00000000000000000009"
role = "supervisor"
name = "王芳"

[[outlets]]
number = 22
stream = "shops"
merchant = 3
name = "书店"

[outlets.limits]
tap_fen_max = 20000
"""
CLASSES = (
    CardClass(
        1,
        Name("学生", "students"),
        ClassLimits(tap_fen_max=Fen(3000), meal_count_max=2, meal_fen_max=Fen(3500), day_fen_max=Fen(8000)),
    ),
    CardClass(2, Name("教职工"), ClassLimits(tap_fen_max=Fen(0))),
)
CANTEEN = Configuration(
    version=1,
    stream=Stream.CANTEEN,
    outlet=21,
    merchant_name=Name("-"),
    outlet_name=Name("第一食堂", "Canteen 1"),
    others=ClassLimits(tap_fen_max=Fen(5000)),
    offline_s_max=86_400,
    offline_fen_max=Fen(200_000),
    classes=CLASSES,
    products=(
        Product(number=1, name=Name("米饭", "rice"), amount_fen=Fen(150), class_prices=(ClassPrice(2, Fen(200)),)),
        Product(number=7, name=Name("牛奶"), amount_fen=Fen(320), barcode="6907992500133"),
    ),
    periods=(
        MealPeriod(number=1, name=Name("早餐"), from_min=390, to_min=540),
        MealPeriod(
            number=2,
            name=Name("午餐"),
            from_min=660,
            to_min=1440,
            meal_fen=Fen(1200),
            class_prices=(ClassPrice(2, Fen(1500)),),
        ),
    ),
    subsidies=(
        SubsidyRule(
            number=1,
            card_class=1,
            cycle=Cycle.MONTH,
            amount_fen=Fen(12_000),
            carry=Carry.ACCUMULATE,
            periods=(1, 2),
            first_day=date(2026, 9, 1),
            last_day=date(2027, 1, 15),
        ),
    ),
    staff=(
        StaffMember(
            CardId(IssuerId(bytes.fromhex("1000000000000001")), Asn(bytes.fromhex("00000000000000000009"))),
            StaffRole.SUPERVISOR,
            "王芳",
        ),
    ),
)
SHOP = Configuration(
    version=1,
    stream=Stream.SHOPS,
    outlet=22,
    merchant_name=Name("-"),
    outlet_name=Name("书店"),
    others=ClassLimits(tap_fen_max=Fen(20_000)),
    classes=CLASSES,
)


def test_whole_campus_is_read_and_an_outlets_own_section_stands_in_place_of_the_campus_one() -> None:
    file = parse_campus(CAMPUS)
    assert file.merchants == {12: Name("饮食服务中心", "Catering")}
    assert file.outlets == (OutletPlan(12, CANTEEN), OutletPlan(3, SHOP))


def line_of(text: str, words: str, after: str = "") -> int:
    """The number of the first line with these words, behind the first one with the others."""
    return text[: text.index(words, text.index(after))].count("\n") + 1


@pytest.mark.parametrize(
    ("old", "new", "at", "words"),
    [
        ("fen = 150", "fen = -1", "fen = -1", "[[outlets.products]] 2: fen is a whole number from 1 to"),
        ("fen = 150", "fen = true", "fen = true", "[[outlets.products]] 2: fen is a whole number"),
        ("fen = 150", "fen = 150\ncolour = 3", "colour = 3", "[[outlets.products]] 2: colour is not known"),
        ('name = "米饭"', 'name = ""', 'name = ""', "name: a name is 1 to 60 bytes of printable text"),
        ('name = "米饭"', r'name = "a\tb"', r'name = "a\tb"', "name: a name is 1 to 60 bytes"),
        ('name = "米饭"', "name = 3", "name = 3", "name is a text in quotes"),
        ("fen = 150", "fen = 1.5", "fen = 1.5", "to 4294967295, in fen: 1 yuan is 100"),
        ('number = 1\nname = "米饭"', 'number = 7\nname = "米饭"', 'number = 7\nname = "米饭', "number 7 is that of"),
        (
            "fen = 150",
            'fen = 150\nbarcode = "6907992500133"',
            'barcode = "6907992500133"\nclass',
            "barcode 6907992500133",
        ),
        ('to = "24:00"', 'to = "02:00"', 'to = "02:00"', 'over midnight are two, to "24:00" and from "00:00"'),
        ('to = "24:00"', 'to = "00:00"', 'to = "00:00"', 'over midnight are two, to "24:00" and from "00:00"'),
        ("periods = [2, 1]", "periods = [true]", "periods = [true]", "periods is a list of numbers"),
        ('from = "06:30"', 'from = "6:30"', 'from = "6:30"', "from is a time of day"),
        ("{ 2 = 200 }", "{ x = 200 }", "{ x = 200 }", "class_fen is fen by class"),
        ("{ 2 = 200 }", "200", "class_fen = 200", "class_fen is fen by class"),
        ('every = "month"', 'every = "week"', 'every = "week"', "every is one of day, month"),
        ("2027-01-15", '"2027-01-15"', 'last_day = "', "last_day is a date such as"),
        ("periods = [2, 1]", "periods = 2", "periods = 2", "periods is a list of numbers"),
        ('role = "supervisor"', 'role = "boss"', 'role = "boss"', "role is one of cashier, supervisor, technician"),
        ('asn = "00000000000000000009"', "asn = 9", "asn = 9", "asn is 20 digits in quotes"),
        ("tap_fen_max = 0", "tap_fen_max = 0\nmeals = 1", "meals = 1", "[[classes]] 1: meals is not known"),
        ("tap_fen_max = 5000", "tap_fen_max = -5", "tap_fen_max = -5", "[limits]: tap_fen_max is a whole number"),
        ("hours_max = 24", "hours_max = 0", "hours_max = 0", "[outlets.offline]: hours_max is a whole number from 1"),
        ('stream = "shops"', 'stream = "top-up"', 'stream = "top-up"', "[[outlets]] 2: stream is one of tuition"),
    ],
)
def test_fault_is_told_with_its_line_and_key(old: str, new: str, at: str, words: str) -> None:
    text = CAMPUS.replace(old, new, 1)
    with pytest.raises(ConfigurationInvalid) as refused:
        parse_campus(text)
    assert f"line {line_of(text, at)}: " in str(refused.value)
    assert words in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("number = \n[x]", "Invalid value (at line 1"),
        ("", "neither [[merchants]] nor [[outlets]]"),
        ("colour = 1\n" + CAMPUS, "colour is not known"),
        ("merchants = 3", "merchants is not a list of tables; each begins with [[merchants]]"),
        ("merchants = [3]", "it is not a table"),
        (CAMPUS.replace("number = 22", "number = 21"), "[[outlets]] 2: number 21 is that of [[outlets]] 1 already"),
        (CAMPUS.replace("[limits]\ntap_fen_max = 5000", ""), "line 22: [[outlets]] 1: there is no [limits]"),
        (CAMPUS.replace('to = "09:00"', 'to = "12:00"'), "meal periods 1 and 2 overlap"),
        (CAMPUS.replace("class = 1", "class = 5"), "subsidy rule 1 is for class 5, which is not listed"),
    ],
)
def test_file_that_means_nothing_is_refused_in_words(text: str, words: str) -> None:
    with pytest.raises(ConfigurationInvalid) as refused:
        parse_campus(text)
    assert words in str(refused.value)


def test_all_faults_are_told_at_once_and_what_holds_for_all_outlets_once() -> None:
    text = CAMPUS.replace('name = "学生"', "name = 1").replace("fen = 150", "fen = 0").replace("fen = 320", "fen = 0")
    with pytest.raises(ConfigurationInvalid) as refused:
        parse_campus(text)
    assert len(str(refused.value).splitlines()) == 3
    many = "".join(f"[[merchants]]\nnumber = {number}\nname = 1\n" for number in range(1, 30))
    with pytest.raises(ConfigurationInvalid, match="and 9 more"):
        parse_campus(many)


@given(st.text(max_size=80))
def test_garbage_is_a_typed_error_or_a_file(text: str) -> None:
    with suppress(ConfigurationInvalid):
        parse_campus(text)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 70_000) | st.text(max_size=5) | st.dates(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=4,
)


@given(st.sampled_from(CAMPUS.splitlines()), VALUES)
def test_any_value_in_place_of_a_right_one_is_a_typed_error_or_a_file(line: str, value: object) -> None:
    key, equals, _ = line.partition(" = ")
    with suppress(ConfigurationInvalid):
        parse_campus(CAMPUS.replace(line, f"{key} = {toml(value)}" if equals else "", 1))


def toml(value: object) -> str:
    """A value as TOML writes it."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{toml(str(key))} = {toml(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return '"' + "".join(character for character in value if character.isalnum()) + '"'
    return "0" if value is None else str(value)


def test_example_of_the_document_and_the_simulated_campus_are_valid() -> None:
    document = (ROOT / "settlement" / "SETTLEMENT.md").read_text(encoding="utf-8")
    [example] = [block for block in re.findall(r"```toml\n(.*?)```", document, re.DOTALL) if "[[merchants]]" in block]
    assert [plan.configuration.stream for plan in parse_campus(example).outlets] == [Stream.CANTEEN, Stream.SUPERMARKET]
    assert parse_campus((ROOT / "sim" / "campus.toml").read_text(encoding="utf-8")).outlets
