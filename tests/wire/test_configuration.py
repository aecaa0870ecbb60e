"""What the operator set: every field is read back and signed for, and what no till could go by is a format error."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from datetime import date

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from tests.wire.configurations import configurations
from wire.configuration import (
    CLASSES_MAX,
    NAME_BYTES_MAX,
    PERIODS_MAX,
    PRODUCTS_MAX,
    STAFF_MAX,
    SUBSIDIES_MAX,
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
from wire.fields import FormatError
from wire.frame import BODY_BYTES_MAX
from wire.ids import Asn, CardId, IssuerId, Stream
from wire.money import Fen
from wire.signature import SignatureInvalid, public_bytes

OPERATOR = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
STUDENTS, STAFF = 1, 2
RICE = Product(number=1, name=Name("米饭", "rice"), amount_fen=Fen(150), class_prices=(ClassPrice(STAFF, Fen(200)),))
MILK = Product(number=7, name=Name("牛奶"), amount_fen=Fen(320), barcode="6907992500133")
BREAKFAST = MealPeriod(number=1, name=Name("早餐", "breakfast"), from_min=390, to_min=540)
LUNCH = MealPeriod(
    number=2,
    name=Name("午餐", "lunch"),
    from_min=660,
    to_min=810,
    meal_fen=Fen(1200),
    class_prices=(ClassPrice(STAFF, Fen(1500)),),
)
ALLOWANCE = SubsidyRule(
    number=1,
    card_class=STUDENTS,
    cycle=Cycle.DAY,
    amount_fen=Fen(300),
    carry=Carry.RESET,
    periods=(1, 2),
    first_day=date(2026, 9, 1),
    last_day=date(2027, 1, 15),
)


def member(number: int, name: str = "王芳") -> StaffMember:
    return StaffMember(CardId(IssuerId(bytes(8)), Asn(number.to_bytes(10, "big"))), StaffRole.CASHIER, name)


CONFIGURATION = Configuration(
    version=3,
    stream=Stream.CANTEEN,
    outlet=12,
    merchant_name=Name("饮食服务中心", "Catering"),
    outlet_name=Name("第一食堂二楼", "Canteen 1, floor 2"),
    others=ClassLimits(tap_fen_max=Fen(5000)),
    offline_s_max=86_400,
    offline_fen_max=Fen(200_000),
    classes=(
        CardClass(STUDENTS, Name("学生", "students"), ClassLimits(tap_fen_max=Fen(3000), meal_count_max=2)),
        CardClass(STAFF, Name("教职工", "staff"), ClassLimits(tap_fen_max=Fen(0), day_fen_max=Fen(10_000))),
    ),
    products=(RICE, MILK),
    periods=(BREAKFAST, LUNCH),
    subsidies=(ALLOWANCE,),
    staff=(member(1), member(2, "李强")),
).signed(OPERATOR)


@given(configurations())
def test_configuration_round_trip(configuration: Configuration) -> None:
    assert Configuration.from_bytes(configuration.to_bytes()) == configuration


@given(st.data())
def test_operators_signature_covers_every_field(data: st.DataObject) -> None:
    CONFIGURATION.verify(public_bytes(OPERATOR))
    raw = bytearray(CONFIGURATION.to_bytes())
    bit = data.draw(st.integers(0, len(raw) * 8 - 1))
    raw[bit // 8] ^= 1 << (bit % 8)
    with pytest.raises((SignatureInvalid, FormatError)):
        Configuration.from_bytes(bytes(raw)).verify(public_bytes(OPERATOR))


def test_till_finds_what_holds_for_a_card_and_a_minute() -> None:
    assert CONFIGURATION.limits_of(STUDENTS).meal_count_max == 2
    assert CONFIGURATION.limits_of(9) == CONFIGURATION.others
    assert CONFIGURATION.class_name(STAFF) == Name("教职工", "staff")
    assert CONFIGURATION.class_name(9) is None
    assert [CONFIGURATION.period_at(minute) for minute in (389, 390, 539, 540)] == [None, BREAKFAST, BREAKFAST, None]
    assert (RICE.price_for(STUDENTS), RICE.price_for(STAFF)) == (150, 200)
    assert (LUNCH.price_for(STUDENTS), LUNCH.price_for(STAFF), BREAKFAST.price_for(STUDENTS)) == (1200, 1500, None)
    assert CONFIGURATION.staff_member(member(2).card) == member(2, "李强")
    assert CONFIGURATION.staff_member(member(3).card) is None
    assert (RICE.name.english, MILK.name.english) == ("rice", "牛奶")


MANY = "more than"


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        (replace(CONFIGURATION, version=0), "counted from 1"),
        (replace(CONFIGURATION, outlet=0), "counted from 1"),
        (replace(CONFIGURATION, stream=Stream.TOP_UP), "takes no taps"),
        (replace(CONFIGURATION, outlet_name=Name("")), "printable"),
        (replace(CONFIGURATION, merchant_name=Name("x", "\x1b[2J")), "printable"),
        (replace(CONFIGURATION, products=(MILK, RICE)), "ascend"),
        (replace(CONFIGURATION, products=(RICE, RICE)), "ascend"),
        (replace(CONFIGURATION, products=(replace(RICE, name=Name("x" * 61)),)), "printable"),
        (replace(CONFIGURATION, products=(replace(RICE, amount_fen=Fen(0)),)), "at least 1 fen"),
        (replace(CONFIGURATION, products=(replace(RICE, barcode="12a"),)), "digits"),
        (replace(CONFIGURATION, products=(replace(RICE, barcode="1" * 15),)), "digits"),
        (replace(CONFIGURATION, products=(replace(RICE, barcode="٣"),)), "digits"),
        (replace(CONFIGURATION, products=(replace(RICE, barcode=MILK.barcode), MILK)), "same barcode"),
        (replace(CONFIGURATION, products=(replace(RICE, class_prices=(ClassPrice(9, Fen(1)),)),)), "class 9"),
        (replace(CONFIGURATION, products=(replace(RICE, class_prices=(ClassPrice(2, Fen(0)),)),)), "at least 1 fen"),
        (replace(CONFIGURATION, products=(replace(RICE, class_prices=RICE.class_prices * 2),)), "ascend"),
        (replace(CONFIGURATION, periods=(replace(BREAKFAST, to_min=390), LUNCH)), "does not end after it begins"),
        (replace(CONFIGURATION, periods=(BREAKFAST, replace(LUNCH, to_min=1441))), "does not end after it begins"),
        (replace(CONFIGURATION, periods=(replace(BREAKFAST, to_min=661), LUNCH)), "1 and 2 overlap"),
        (replace(CONFIGURATION, periods=(BREAKFAST, replace(LUNCH, meal_fen=None))), "but no price"),
        (replace(CONFIGURATION, periods=(BREAKFAST,)), "names meal period 2"),
        (replace(CONFIGURATION, classes=CONFIGURATION.classes[:1]), "class 2, which is not listed"),
        (replace(CONFIGURATION, subsidies=(replace(ALLOWANCE, card_class=9),)), "class 9, which is not listed"),
        (replace(CONFIGURATION, subsidies=(replace(ALLOWANCE, amount_fen=Fen(0)),)), "gives nothing"),
        (replace(CONFIGURATION, subsidies=(replace(ALLOWANCE, periods=(2, 1)),)), "ascend"),
        (replace(CONFIGURATION, subsidies=(replace(ALLOWANCE, last_day=date(2026, 8, 31)),)), "ends before it begins"),
        (replace(CONFIGURATION, staff=(member(2), member(1))), "ascend"),
        (replace(CONFIGURATION, staff=(member(1, ""),)), "printable"),
        (
            replace(CONFIGURATION, products=tuple(replace(RICE, number=at) for at in range(PRODUCTS_MAX + 1))),
            MANY,
        ),
        (
            replace(CONFIGURATION, classes=tuple(replace(CONFIGURATION.classes[0], number=at) for at in range(17))),
            MANY,
        ),
        (replace(CONFIGURATION, periods=tuple(replace(BREAKFAST, number=at) for at in range(25))), MANY),
        (replace(CONFIGURATION, subsidies=tuple(replace(ALLOWANCE, number=at) for at in range(65))), MANY),
        (replace(CONFIGURATION, staff=tuple(member(at) for at in range(STAFF_MAX + 1))), MANY),
    ],
)
def test_configuration_that_means_nothing_is_a_format_error(changed: Configuration, words: str) -> None:
    with pytest.raises(FormatError, match=words):
        Configuration.from_bytes(changed.signed(OPERATOR).to_bytes())


@pytest.mark.parametrize("at", [0, 2, 3])
def test_subsidy_rule_with_a_cycle_or_carry_of_tomorrow_and_another_layout_are_format_errors(at: int) -> None:
    raw = CONFIGURATION.to_bytes()
    rule = ALLOWANCE.to_bytes()
    changed = raw.replace(rule, rule[:at] + b"\7" + rule[at + 1 :]) if at else b"\1" + raw[1:]
    with pytest.raises(FormatError):
        Configuration.from_bytes(changed)


def test_name_that_is_no_text_and_a_role_that_nobody_has_are_format_errors() -> None:
    raw = CONFIGURATION.to_bytes()
    for changed in (raw.replace(b"rice", b"ri\xffe"), raw.replace(b"\1\6\xe7\x8e\x8b", b"\4\6\xe7\x8e\x8b")):
        assert changed != raw
        with pytest.raises(FormatError):
            Configuration.from_bytes(changed)


@given(st.binary(max_size=60))
def test_garbage_is_a_format_error_or_a_configuration_of_these_bytes(data: bytes) -> None:
    head = b"\2\2\0\1" + bytes(3) + b"\1\1a\0\1b\0"  # up to the names, so that more than the first byte is read
    for whole in (data, head + data + bytes(64)):
        with suppress(FormatError):
            assert Configuration.from_bytes(whole).to_bytes() == whole


@given(configurations(), st.data())
def test_damaged_configuration_is_a_format_error_or_a_configuration_of_these_bytes(
    configuration: Configuration, data: st.DataObject
) -> None:
    raw = bytearray(configuration.to_bytes())
    at = data.draw(st.integers(0, len(raw) - 1))
    raw[at : at + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=2))
    with suppress(FormatError):
        assert Configuration.from_bytes(bytes(raw)).to_bytes() == raw


def test_most_of_everything_with_usual_names_fits_a_frame() -> None:
    name = Name("十个汉字那么长的名字", "of usual length")
    prices = tuple(ClassPrice(at, Fen(99_00)) for at in range(4))
    limits = ClassLimits(tap_fen_max=Fen(3000), meal_count_max=2, meal_fen_max=Fen(3000), day_fen_max=Fen(9000))
    largest = replace(
        CONFIGURATION,
        classes=tuple(CardClass(at, name, limits) for at in range(CLASSES_MAX)),
        products=tuple(replace(RICE, number=at, name=name, class_prices=prices) for at in range(600)),
        periods=tuple(
            MealPeriod(number=at, name=name, from_min=at, to_min=at + 1, meal_fen=Fen(900), class_prices=prices)
            for at in range(PERIODS_MAX)
        ),
        subsidies=tuple(replace(ALLOWANCE, number=at) for at in range(SUBSIDIES_MAX)),
        staff=tuple(member(at) for at in range(STAFF_MAX)),
    ).signed(OPERATOR)
    assert len(largest.to_bytes()) <= BODY_BYTES_MAX
    assert Configuration.from_bytes(largest.to_bytes()) == largest


def test_configuration_that_no_frame_could_carry_is_refused() -> None:
    long = Name("x" * NAME_BYTES_MAX, "y" * NAME_BYTES_MAX)
    huge = replace(CONFIGURATION, products=tuple(replace(RICE, number=at, name=long) for at in range(PRODUCTS_MAX)))
    with pytest.raises(FormatError, match=f"at most {BODY_BYTES_MAX} can be sent"):
        huge.check()
