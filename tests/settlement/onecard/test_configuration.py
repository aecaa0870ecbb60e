"""What is in force in each outlet: a signed version for each change, all of a file or nothing of it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from settlement.authority import load_ticket_key, load_ticket_public_key
from settlement.onecard.campusfile import ConfigurationInvalid, parse_campus
from settlement.onecard.configuration import (
    Changes,
    InForce,
    find_changes,
    put_changes,
    read_configurations,
    read_history,
)
from settlement.onecard.outlets import assign
from settlement.onecard.restoration import note_restoration
from settlement.onecard.tickets import give_epoch
from settlement.settings import Home
from settlement.store.database import Database, RuleBroken, open_writer
from wire.configuration import Name
from wire.ids import Stream, TerminalId

NOW = 1_800_000_000
TERMINAL = TerminalId(bytes.fromhex("000000000101"))
TEXT = """
[[merchants]]
number = 12
name = "饮食中心"
[limits]
tap_fen_max = 5000
[[outlets]]
number = 21
stream = "canteen"
merchant = 12
name = "一楼"
[[outlets]]
number = 22
stream = "canteen"
merchant = 12
name = "二楼"
"""


@pytest.fixture
def onecard(home: Home) -> Iterator[Database]:
    with open_writer(home.place("onecard"), "onecard") as db:
        yield db


def put(db: Database, home: Home, text: str = TEXT, now_utc_s: int = NOW) -> Changes:
    return put_changes(db, parse_campus(text), load_ticket_key(home.ticket_key), now_utc_s=now_utc_s)


def versions(db: Database) -> dict[int, int]:
    return {outlet: configuration.version for outlet, configuration in read_configurations(db).items()}


def test_each_change_is_a_signed_version_of_its_outlet_and_the_same_again_is_none(
    onecard: Database, home: Home
) -> None:
    assert [change.is_new for change in put(onecard, home).outlets] == [True, True]
    assert put(onecard, home) == Changes((), ())
    changed = put(onecard, home, TEXT.replace("二楼", "二楼面食"))
    assert [(change.outlet.number, change.is_new) for change in changed.outlets] == [(22, False)]
    assert versions(onecard) == {21: 1, 22: 2}
    for configuration in read_configurations(onecard).values():
        configuration.verify(load_ticket_public_key(home.ticket_public_key))
    names = [(made, kept.version, kept.outlet_name.zh) for made, kept in read_history(onecard, 22)]
    assert names == [(NOW, 1, "二楼"), (NOW, 2, "二楼面食")]


def test_merchants_new_name_reaches_all_of_its_outlets(onecard: Database, home: Home) -> None:
    put(onecard, home)
    changes = put(onecard, home, '[[merchants]]\nnumber = 12\nname = "后勤集团"\n')
    assert [(merchant.before, merchant.after.zh) for merchant in changes.merchants] == [(Name("饮食中心"), "后勤集团")]
    assert versions(onecard) == {21: 2, 22: 2}
    assert {kept.merchant_name.zh for kept in read_configurations(onecard).values()} == {"后勤集团"}


def test_what_would_change_is_told_without_being_put_in_force(onecard: Database) -> None:
    changes = find_changes(onecard, parse_campus(TEXT))
    assert [change.outlet.number for change in changes.outlets] == [21, 22]
    assert read_configurations(onecard) == {}


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('number = 22\nstream = "canteen"', 'number = 22\nstream = "shops"', "outlet 22 is of canteen and merchant 12"),
        ('merchant = 12\nname = "二楼"', 'merchant = 2\nname = "二楼"', "give this one a number of its own"),
        ('merchant = 12\nname = "二楼"', 'merchant = 99\nname = "二楼"', "outlet 22: there is no merchant 99"),
    ],
)
def test_file_that_contradicts_the_registry_changes_nothing(
    old: str, new: str, words: str, onecard: Database, home: Home
) -> None:
    put(onecard, home)
    with pytest.raises(ConfigurationInvalid, match=words):
        put(onecard, home, TEXT.replace(old, new).replace("一楼", "一楼米饭"))
    assert versions(onecard) == {21: 1, 22: 1}


def test_terminal_goes_by_its_outlets_newest_version_also_after_it_has_moved(onecard: Database, home: Home) -> None:
    seen = InForce()
    assert seen.mark_for(TERMINAL, Stream.CANTEEN, NOW) is None
    put(onecard, home)
    give_epoch(onecard, TERMINAL, stream=Stream.CANTEEN, outlet=21, now_utc_s=NOW)
    assign(onecard, TERMINAL, 22, from_utc_s=NOW + 100, now_utc_s=NOW)
    seen.refresh(onecard)
    first, second = (seen.mark_for(TERMINAL, Stream.CANTEEN, at) or b"" for at in (NOW, NOW + 100))
    assert [seen.with_mark(mark) for mark in (first, second)] == list(read_configurations(onecard).values())
    put(onecard, home, TEXT.replace("二楼", "二楼面食"))
    seen.refresh(onecard)
    assert seen.with_mark(second) is None
    assert seen.mark_for(TERMINAL, Stream.CANTEEN, NOW + 100) == read_configurations(onecard)[22].mark
    assert seen.mark_for(TerminalId(bytes(6)), Stream.CANTEEN, NOW) is None
    assert seen.mark_for(TERMINAL, Stream.TOP_UP, NOW) is None


def test_versions_stand_for_ever_and_go_up(onecard: Database, home: Home) -> None:
    put(onecard, home)
    for sql in (
        "UPDATE configuration SET version = 2",
        "DELETE FROM configuration",
        "INSERT INTO configuration VALUES (9, 21, 0, x'00', 1)",
        "INSERT OR REPLACE INTO configuration VALUES (9, 21, 1, x'00', 1)",
    ):
        with pytest.raises(RuleBroken):
            onecard.execute(sql)


def test_versions_leave_out_what_terminals_may_have_from_before_a_restore(onecard: Database, home: Home) -> None:
    put(onecard, home)
    note_restoration(onecard, taken_at_utc_s=NOW, now_utc_s=NOW + 86_400)
    put(onecard, home, TEXT.replace("二楼", "二楼面食"))
    versions = {number: made.version for number, made in read_configurations(onecard).items()}
    assert versions[22] == 2 + 25 * 60
    assert versions[21] == 1
