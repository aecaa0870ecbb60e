"""What a school sets for its canteen, in tests: two classes of cards, three meals, an allowance, three people."""

from __future__ import annotations

from datetime import date

from tests.terminal.conftest import ISSUER
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
from wire.ids import Asn, CardId, Stream
from wire.money import Fen

STUDENTS, TEACHERS, GUESTS = 1, 2, 9  # guests are no class of their own
BREAKFAST, LUNCH, SUPPER = 1, 2, 3
RICE, TEA, STAMP = 1, 2, 30
TEA_CODE = "6901234567892"
CASHIER, SUPERVISOR, TECHNICIAN = (CardId(ISSUER, Asn(number.to_bytes(10))) for number in (101, 102, 103))
PIN = "123456"
LUNCH_RULE = SubsidyRule(
    number=1,
    card_class=STUDENTS,
    cycle=Cycle.DAY,
    amount_fen=Fen(500),
    carry=Carry.RESET,
    periods=(LUNCH,),
    first_day=date(2026, 3, 1),
    last_day=date(2026, 7, 31),
)
SCHOOL = Configuration(
    version=3,
    stream=Stream.CANTEEN,
    outlet=1,
    merchant_name=Name("Canteen Company"),
    outlet_name=Name("First canteen"),
    others=ClassLimits(tap_fen_max=Fen(5_000)),
    classes=(
        CardClass(
            STUDENTS,
            Name("students"),
            ClassLimits(tap_fen_max=Fen(4_000), meal_count_max=3, meal_fen_max=Fen(6_000), day_fen_max=Fen(10_000)),
        ),
        CardClass(TEACHERS, Name("teachers"), ClassLimits(tap_fen_max=Fen(10_000))),
    ),
    products=(
        Product(number=RICE, name=Name("rice"), amount_fen=Fen(100)),
        Product(
            number=TEA,
            name=Name("tea"),
            amount_fen=Fen(300),
            barcode=TEA_CODE,
            class_prices=(ClassPrice(STUDENTS, Fen(250)),),
        ),
        Product(number=STAMP, name=Name("stamp"), amount_fen=Fen(4_294_967_295)),
    ),
    periods=(
        MealPeriod(
            number=BREAKFAST,
            name=Name("breakfast"),
            from_min=6 * 60,
            to_min=9 * 60,
            meal_fen=Fen(600),
        ),
        MealPeriod(
            number=LUNCH,
            name=Name("lunch"),
            from_min=11 * 60,
            to_min=13 * 60 + 30,
            meal_fen=Fen(1_200),
            class_prices=(ClassPrice(STUDENTS, Fen(1_000)),),
        ),
        MealPeriod(number=SUPPER, name=Name("supper"), from_min=17 * 60, to_min=19 * 60),
    ),
    proof=bytes(64),
    subsidies=(LUNCH_RULE,),
    staff=(
        StaffMember(CASHIER, StaffRole.CASHIER, "Wang"),
        StaffMember(SUPERVISOR, StaffRole.SUPERVISOR, "Li"),
        StaffMember(TECHNICIAN, StaffRole.TECHNICIAN, "Zhao"),
    ),
)
SCHOOL.check()
