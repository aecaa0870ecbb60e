"""Where a terminal stands decides who is paid: at any time somebody, and what was booked stays."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from settlement.onecard.outlets import (
    AssignmentRefused,
    Outlet,
    OutletUnknown,
    assign,
    default_outlet,
    find_outlet,
    note_merchant,
    note_outlet,
    read_book,
    read_changes,
    read_merchants,
    read_outlets,
)
from settlement.onecard.tickets import give_epoch
from settlement.settings import Home
from settlement.store.database import Database, RuleBroken, open_writer
from wire.configuration import Name
from wire.ids import CONSUMPTION_STREAMS, Stream, TerminalId

TERMINAL = TerminalId(bytes.fromhex("000000000101"))
NOW = 1_800_000_000
FIRST, SECOND, SHOP = 21, 22, 31


@pytest.fixture
def onecard(home: Home) -> Iterator[Database]:
    with open_writer(home.place("onecard"), "onecard") as db:
        with db.transaction():
            for merchant in (12, 13):
                note_merchant(db, merchant, Name(f"商户{merchant}"), now_utc_s=NOW)
            note_outlet(db, Outlet(FIRST, Stream.CANTEEN, 12), now_utc_s=NOW)
            note_outlet(db, Outlet(SECOND, Stream.CANTEEN, 13), now_utc_s=NOW)
            note_outlet(db, Outlet(SHOP, Stream.SHOPS, 13), now_utc_s=NOW)
        yield db


def merchant_at(db: Database, utc_s: int, stream: Stream = Stream.CANTEEN) -> int:
    return read_book(db).outlet_at(TERMINAL, stream, utc_s).merchant


def test_new_home_has_an_outlet_and_a_merchant_for_each_stream(onecard: Database) -> None:
    outlets, merchants = {outlet.number: outlet for outlet in read_outlets(onecard)}, read_merchants(onecard)
    for stream in CONSUMPTION_STREAMS:
        outlet = outlets[default_outlet(stream)]
        assert (outlet.stream, outlet.merchant in merchants) == (stream, True)


def test_terminal_that_nobody_assigned_stands_in_its_streams_default_outlet(onecard: Database) -> None:
    for stream in CONSUMPTION_STREAMS:
        assert read_book(onecard).outlet_at(TERMINAL, stream, NOW).number == default_outlet(stream)
    give_epoch(onecard, TERMINAL, stream=Stream.CANTEEN, now_utc_s=NOW)
    assert read_book(onecard).outlet_at(TERMINAL, Stream.CANTEEN, NOW).number == default_outlet(Stream.CANTEEN)


def test_merchant_is_the_one_where_the_terminal_stood_at_that_time(onecard: Database) -> None:
    give_epoch(onecard, TERMINAL, stream=Stream.CANTEEN, outlet=FIRST, now_utc_s=NOW)
    assert assign(onecard, TERMINAL, SECOND, from_utc_s=NOW + 1000, now_utc_s=NOW + 10)
    assert [merchant_at(onecard, at) for at in (0, NOW, NOW + 999, NOW + 1000, NOW + 9999)] == [12, 12, 12, 13, 13]
    assert assign(onecard, TERMINAL, FIRST, from_utc_s=NOW + 2000, now_utc_s=NOW + 1500)
    assert [merchant_at(onecard, at) for at in (NOW, NOW + 1000, NOW + 2000)] == [12, 13, 12]


def test_later_word_about_the_same_beginning_holds(onecard: Database) -> None:
    give_epoch(onecard, TERMINAL, stream=Stream.CANTEEN, outlet=FIRST, now_utc_s=NOW)
    assign(onecard, TERMINAL, SECOND, from_utc_s=NOW + 1000, now_utc_s=NOW)
    assert assign(onecard, TERMINAL, default_outlet(Stream.CANTEEN), from_utc_s=NOW + 1000, now_utc_s=NOW)
    assert merchant_at(onecard, NOW + 1000) == default_outlet(Stream.CANTEEN)


def test_terminal_that_changes_streams_keeps_the_merchant_of_each(onecard: Database) -> None:
    give_epoch(onecard, TERMINAL, stream=Stream.CANTEEN, outlet=FIRST, now_utc_s=NOW)
    give_epoch(onecard, TERMINAL, stream=Stream.SHOPS, outlet=SHOP, now_utc_s=NOW + 50)
    assert (merchant_at(onecard, NOW + 90), merchant_at(onecard, NOW, Stream.SHOPS)) == (12, 13)
    with pytest.raises(AssignmentRefused, match=r"enrolled for shops.*needs a ticket with --outlet 22"):
        assign(onecard, TERMINAL, SECOND, from_utc_s=NOW + 100, now_utc_s=NOW + 100)


def test_ticket_without_an_outlet_leaves_the_terminal_where_it_stands(onecard: Database) -> None:
    give_epoch(onecard, TERMINAL, stream=Stream.CANTEEN, outlet=FIRST, now_utc_s=NOW)
    before = read_changes(onecard)
    give_epoch(onecard, TERMINAL, stream=Stream.CANTEEN, now_utc_s=NOW + 10)
    give_epoch(onecard, TERMINAL, stream=Stream.CANTEEN, outlet=FIRST, now_utc_s=NOW + 20)
    assert read_changes(onecard) == before
    give_epoch(onecard, TERMINAL, stream=Stream.CANTEEN, outlet=SECOND, now_utc_s=NOW + 30)
    assert [merchant_at(onecard, at) for at in (NOW + 29, NOW + 30)] == [12, 13]


def test_top_up_point_stands_in_no_outlet(onecard: Database) -> None:
    give_epoch(onecard, TERMINAL, stream=Stream.TOP_UP, now_utc_s=NOW)
    assert read_book(onecard).assignments == {}


def test_assignment_that_says_what_holds_makes_no_row(onecard: Database) -> None:
    give_epoch(onecard, TERMINAL, stream=Stream.CANTEEN, outlet=FIRST, now_utc_s=NOW)
    before = read_changes(onecard)
    assert not assign(onecard, TERMINAL, FIRST, from_utc_s=NOW + 10, now_utc_s=NOW + 10)
    assert read_changes(onecard) == before


def test_assignment_in_the_past_or_nowhere_or_of_a_stranger_is_refused(onecard: Database) -> None:
    with pytest.raises(AssignmentRefused, match="never given a ticket"):
        assign(onecard, TERMINAL, FIRST, from_utc_s=NOW, now_utc_s=NOW)
    give_epoch(onecard, TERMINAL, stream=Stream.CANTEEN, outlet=FIRST, now_utc_s=NOW)
    with pytest.raises(AssignmentRefused, match="in the past"):
        assign(onecard, TERMINAL, SECOND, from_utc_s=NOW + 9, now_utc_s=NOW + 10)
    with pytest.raises(OutletUnknown, match="no outlet 99"):
        assign(onecard, TERMINAL, 99, from_utc_s=NOW + 9, now_utc_s=NOW)
    assert find_outlet(onecard, SHOP).merchant == 13


def test_rows_stand_for_ever_and_name_what_there_is(onecard: Database) -> None:
    give_epoch(onecard, TERMINAL, stream=Stream.CANTEEN, outlet=FIRST, now_utc_s=NOW)
    for sql in (
        "UPDATE outlet SET merchant = 13",
        "DELETE FROM assignment",
        "UPDATE merchant SET name_zh = 'x'",
        "INSERT INTO outlet VALUES (40, 2, 99, 1)",
        "INSERT INTO assignment VALUES (9, %s, 99, 1, 1)",
        "INSERT INTO merchant VALUES (90, 12, 3, 'x', '', 1)",
        "INSERT INTO configuration VALUES (90, 99, 1, %s, 1)",
    ):
        with pytest.raises(RuleBroken):
            onecard.execute(sql, (b"\0",) if "%s" in sql else ())
