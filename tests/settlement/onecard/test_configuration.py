"""What the operator sets for terminals: in words when it means nothing, and a version for each change."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from settlement.authority import load_ticket_key, load_ticket_public_key
from settlement.onecard.configuration import (
    ConfigurationInvalid,
    parse_configuration,
    put_configuration,
    read_configuration,
)
from settlement.settings import Home
from settlement.store.database import Database, RuleBroken, open_writer
from wire.configuration import PRODUCTS_MAX, ClassLimits, Configuration, MealPeriod, Name, Product
from wire.ids import Stream
from wire.money import Fen

TEXT = """
tap_fen_max = 5000
[[prices]]
number = 7
name = "红烧肉"
fen = 1200
[[prices]]
number = 1
name = "rice"
fen = 150
[[periods]]
number = 1
from = "06:30"
to = "24:00"
"""
WANTED = Configuration(
    version=1,
    stream=Stream.CANTEEN,
    outlet=2,
    merchant_name=Name("canteen"),
    outlet_name=Name("canteen"),
    others=ClassLimits(tap_fen_max=Fen(5000)),
    products=(
        Product(number=1, name=Name("rice"), amount_fen=Fen(150)),
        Product(number=7, name=Name("红烧肉"), amount_fen=Fen(1200)),
    ),
    periods=(MealPeriod(number=1, name=Name("1"), from_min=390, to_min=1440),),
)


@pytest.fixture
def onecard(home: Home) -> Iterator[Database]:
    with open_writer(home.place("onecard"), "onecard") as db:
        yield db


def test_file_is_read_in_the_order_of_the_numbers() -> None:
    assert parse_configuration(TEXT, Stream.CANTEEN) == WANTED


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("tap_fen_max = ", "Invalid value"),
        ("", "tap_fen_max is a whole number from 1 to"),
        ("tap_fen_max = true", "tap_fen_max is a whole number"),
        ("tap_fen_max = 0", "tap_fen_max is a whole number"),
        ("tap_fen_max = 1\ntap_fen_min = 1", "tap_fen_min is not known"),
        ("tap_fen_max = 1\nprices = 3", "prices is not a list of tables"),
        (TEXT.replace("fen = 150", "fen = -1"), r"\[\[prices\]\], the 2. one: fen is a whole number"),
        (TEXT.replace("fen = 150", ""), "needs exactly fen, name, number"),
        (TEXT.replace("number = 7", "number = 1"), "each stands once"),
        (TEXT.replace('"rice"', '""'), "1 to 60 bytes of printable text"),
        (TEXT.replace('"rice"', r'"a\tb"'), "1 to 60 bytes of printable text"),
        (TEXT.replace('"rice"', f'"{"饭" * 21}"'), "1 to 60 bytes of printable text"),
        (TEXT.replace('"rice"', "2"), "name is a text in quotes"),
        (TEXT.replace("06:30", "6:30"), "from is a time of day"),
        (TEXT.replace("24:00", "06:30"), "it ends before it begins"),
    ],
)
def test_file_that_means_nothing_is_refused_in_words(text: str, words: str) -> None:
    with pytest.raises(ConfigurationInvalid, match=words):
        parse_configuration(text, Stream.CANTEEN)


def test_more_prices_than_a_terminal_takes_are_refused() -> None:
    many = "".join(f'[[prices]]\nnumber = {number}\nname = "x"\nfen = 1\n' for number in range(PRODUCTS_MAX + 1))
    with pytest.raises(ConfigurationInvalid, match=f"more than {PRODUCTS_MAX}"):
        parse_configuration("tap_fen_max = 1\n" + many, Stream.CANTEEN)


@given(st.text(max_size=80))
def test_garbage_is_a_typed_error_or_a_configuration(text: str) -> None:
    with suppress(ConfigurationInvalid):
        parse_configuration(text, Stream.CANTEEN)


def test_each_change_is_a_signed_version_of_its_stream(onecard: Database, home: Home) -> None:
    operator, public = load_ticket_key(home.ticket_key), load_ticket_public_key(home.ticket_public_key)
    assert read_configuration(onecard, Stream.CANTEEN) is None
    first = put_configuration(onecard, WANTED, operator, now_utc_s=1)
    assert put_configuration(onecard, WANTED, operator, now_utc_s=2) == first
    second = put_configuration(onecard, replace(WANTED, others=ClassLimits(tap_fen_max=Fen(1))), operator, now_utc_s=3)
    shops = put_configuration(onecard, replace(WANTED, stream=Stream.SHOPS), operator, now_utc_s=4)
    assert (first.version, second.version, shops.version) == (1, 2, 1)
    assert read_configuration(onecard, Stream.CANTEEN) == second
    for configuration in (first, second, shops):
        configuration.verify(public)


def test_versions_stand_for_ever_and_have_no_gap(onecard: Database, home: Home) -> None:
    made = put_configuration(onecard, WANTED, load_ticket_key(home.ticket_key), now_utc_s=1)
    for sql in (
        "UPDATE configuration SET version = 2",
        "DELETE FROM configuration",
        f"INSERT INTO configuration VALUES (2, {made.stream}, 3, x'00', 1)",
        f"INSERT OR REPLACE INTO configuration VALUES (2, {made.stream}, 1, x'00', 1)",
    ):
        with pytest.raises(RuleBroken):
            onecard.execute(sql)
