"""How Hypothesis draws a configuration: what an operator could have set, with every kind of entry in it."""

from __future__ import annotations

from datetime import date

from hypothesis import strategies as st

from wire.configuration import (
    BARCODE_DIGITS_MAX,
    DAY_MINUTES_MAX,
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
from wire.ids import ASN_BYTES, CONSUMPTION_STREAMS, ISSUER_ID_BYTES, Asn, CardId, IssuerId
from wire.money import FEN_MAX, Fen

_BYTE = st.integers(0, 0xFF)
_FEN = st.integers(1, FEN_MAX).map(Fen)
_TEXTS = st.text(min_size=1, max_size=15, alphabet=st.characters(codec="utf-8")).filter(str.isprintable)
_NAMES = st.builds(Name, _TEXTS, st.just("") | _TEXTS)
_LIMITS = st.builds(
    ClassLimits,
    tap_fen_max=st.integers(0, FEN_MAX).map(Fen),
    meal_count_max=st.none() | st.integers(1, 0xFFFF),
    meal_fen_max=st.none() | _FEN,
    day_fen_max=st.none() | _FEN,
)
_CARDS = st.builds(
    CardId,
    st.binary(min_size=ISSUER_ID_BYTES, max_size=ISSUER_ID_BYTES).map(IssuerId),
    st.binary(min_size=ASN_BYTES, max_size=ASN_BYTES).map(Asn),
)
_DAYS = st.dates(date(1970, 1, 1), date(2149, 6, 6))


def _numbers(draw: st.DrawFn, most: int = 0xFF) -> list[int]:
    return sorted(draw(st.sets(st.integers(0, most), max_size=4)))


def _class_prices(draw: st.DrawFn, classes: list[int]) -> tuple[ClassPrice, ...]:
    chosen = sorted(draw(st.sets(st.sampled_from(classes)))) if classes else []
    return tuple(ClassPrice(number, draw(_FEN)) for number in chosen)


def _products(draw: st.DrawFn, classes: list[int]) -> tuple[Product, ...]:
    numbers = _numbers(draw, 0xFFFF)
    barcodes = st.text("0123456789", min_size=1, max_size=BARCODE_DIGITS_MAX)
    codes = draw(st.lists(barcodes, unique=True, min_size=len(numbers), max_size=len(numbers)))
    return tuple(
        Product(
            number=number,
            name=draw(_NAMES),
            amount_fen=draw(_FEN),
            barcode=code if draw(st.booleans()) else "",
            class_prices=_class_prices(draw, classes),
        )
        for number, code in zip(numbers, codes, strict=True)
    )


def _periods(draw: st.DrawFn, classes: list[int]) -> tuple[MealPeriod, ...]:
    numbers = _numbers(draw)
    minutes = st.integers(0, DAY_MINUTES_MAX)
    cuts = sorted(draw(st.lists(minutes, unique=True, min_size=2 * len(numbers), max_size=2 * len(numbers))))
    periods = []
    for at, number in enumerate(draw(st.permutations(numbers))):
        meal_fen = draw(st.none() | _FEN)
        periods.append(
            MealPeriod(
                number=number,
                name=draw(_NAMES),
                from_min=cuts[2 * at],
                to_min=cuts[2 * at + 1],
                meal_fen=meal_fen,
                class_prices=() if meal_fen is None else _class_prices(draw, classes),
            )
        )
    return tuple(sorted(periods, key=lambda period: period.number))


def _subsidies(draw: st.DrawFn, classes: list[int], periods: tuple[MealPeriod, ...]) -> tuple[SubsidyRule, ...]:
    known = [period.number for period in periods]
    rules = []
    for number in _numbers(draw) if classes else []:
        first_day, last_day = sorted((draw(_DAYS), draw(_DAYS)))
        rules.append(
            SubsidyRule(
                number=number,
                card_class=draw(st.sampled_from(classes)),
                cycle=draw(st.sampled_from(Cycle)),
                amount_fen=draw(_FEN),
                carry=draw(st.sampled_from(Carry)),
                periods=tuple(sorted(draw(st.sets(st.sampled_from(known))))) if known else (),
                first_day=first_day,
                last_day=last_day,
            )
        )
    return tuple(rules)


@st.composite
def configurations(draw: st.DrawFn) -> Configuration:
    """One that passes its own check."""
    classes = _numbers(draw)
    periods = _periods(draw, classes)
    cards = sorted(draw(st.sets(_CARDS, max_size=3)))
    return Configuration(
        version=draw(st.integers(1, 0xFFFF_FFFF)),
        stream=draw(st.sampled_from(CONSUMPTION_STREAMS)),
        outlet=draw(st.integers(1, 0xFFFF)),
        merchant_name=draw(_NAMES),
        outlet_name=draw(_NAMES),
        others=draw(_LIMITS),
        offline_s_max=draw(st.none() | st.integers(1, 0xFFFF_FFFF)),
        offline_fen_max=draw(st.none() | _FEN),
        classes=tuple(CardClass(number, draw(_NAMES), draw(_LIMITS)) for number in classes),
        products=_products(draw, classes),
        periods=periods,
        subsidies=_subsidies(draw, classes, periods),
        staff=tuple(StaffMember(card, draw(st.sampled_from(StaffRole)), draw(_TEXTS)) for card in cards),
        proof=draw(st.binary(min_size=64, max_size=64)),
    )
