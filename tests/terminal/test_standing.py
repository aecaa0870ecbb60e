"""What is always in sight, beside a daemon that writes and may fail."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from terminal.downlink import Downlink
from terminal.standing import Standing, StandingSource
from tests.terminal.conftest import INTENT, NOON, World, at, make_uplink
from tests.terminal.school import SCHOOL
from wire.hotlist import Hotlist
from wire.money import Fen
from wire.record import Mac2


@pytest.fixture
def uplink(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    with closing(make_uplink(tmp_path / "uplink.db")) as connection:
        yield connection


@pytest.fixture
def source(world: World, tmp_path: Path) -> Iterator[StandingSource]:
    downlink = Downlink(tmp_path / "uplink.db")
    yield StandingSource(world.journal, downlink, lambda: at(0))
    downlink.close()


def look(source: StandingSource) -> Standing:
    source.look()
    return source.read(None, None)


def test_standing_counts_what_the_server_does_not_have(
    world: World, uplink: sqlite3.Connection, source: StandingSource
) -> None:
    for _ in range(3):
        world.journal.seal_tap(world.journal.open_tap(INTENT), tac=b"TAC!", mac2=Mac2.VERIFIED)
    before = look(source)
    assert (before.sealed, before.unsent, before.unsent_fen, before.receipt_age_s) == (3, 3, 3600, None)
    with uplink:
        uplink.execute("INSERT INTO cursor VALUES (1, 1, 3, zeroblob(32), ?)", (at(-90).utc_s,))
        uplink.execute("INSERT INTO hotlist VALUES (1, ?, 0)", (Hotlist(3, frozenset({INTENT.card})).to_bytes(),))
    after = look(source)
    assert (after.unsent, after.unsent_fen, after.receipt_age_s) == (1, 1200, 90)
    assert (after.hotlist_version, after.hotlist_cards, after.downlink_fault) == (3, 1, None)


@pytest.mark.parametrize("next_seq", [0, 99])
def test_standing_survives_a_cursor_that_cannot_be(
    world: World, uplink: sqlite3.Connection, source: StandingSource, next_seq: int
) -> None:
    world.journal.seal_tap(world.journal.open_tap(INTENT), tac=b"TAC!", mac2=Mac2.VERIFIED)
    with uplink:
        uplink.execute("INSERT INTO cursor VALUES (1, 1, ?, zeroblob(32), ?)", (next_seq, at(90).utc_s))
    shown = look(source)
    assert (shown.unsent, shown.receipt_age_s) == ({0: 1, 99: 0}[next_seq], 0)


def test_standing_of_an_unreadable_uplink_is_the_last_one_with_the_fault(
    uplink: sqlite3.Connection, source: StandingSource
) -> None:
    with uplink:
        uplink.execute("INSERT INTO hotlist VALUES (1, ?, 0)", (Hotlist(3, frozenset()).to_bytes(),))
    assert look(source).hotlist_version == 3
    with uplink:
        uplink.execute("UPDATE hotlist SET body = x'00'")
    shown = look(source)
    assert shown.hotlist_version == 3
    assert shown.downlink_fault is not None


def test_offline_limits_are_numbers_before_they_bite(
    world: World, uplink: sqlite3.Connection, source: StandingSource
) -> None:
    configuration = replace(SCHOOL, offline_s_max=3_600, offline_fen_max=Fen(3_000))
    with uplink:
        uplink.execute("INSERT INTO cursor VALUES (1, 1, 1, zeroblob(32), ?)", (at(-90).utc_s,))
    world.journal.seal_tap(world.journal.open_tap(INTENT), tac=b"TAC!", mac2=Mac2.VERIFIED)
    source.look()
    world.journal.seal_tap(world.journal.open_tap(INTENT), tac=b"TAC!", mac2=Mac2.VERIFIED)
    shown = source.read(configuration, None)
    assert (shown.offline_s_left, shown.offline_fen_left) == (3_510, 600)
    assert (source.offline().silent_s, source.offline().unsent_fen) == (90, 2_400)
    assert (shown.configuration_version, shown.outlet) == (SCHOOL.version, SCHOOL.outlet_name.zh)


def test_till_that_never_heard_the_server_counts_from_its_enrolment(
    uplink: sqlite3.Connection, source: StandingSource
) -> None:
    with uplink:
        uplink.execute("UPDATE enrolment SET enrolled_at_utc_s = ?", (at(-7_200).utc_s,))
    source.look()
    assert source.offline().silent_s == 7_200


def test_clock_that_was_set_back_does_not_stop_the_offline_time(
    world: World, uplink: sqlite3.Connection, tmp_path: Path
) -> None:
    with uplink:
        uplink.execute("INSERT INTO cursor VALUES (1, 1, 1, zeroblob(32), ?)", (NOON.utc_s,))
    times = [NOON]
    with closing(Downlink(tmp_path / "uplink.db")) as downlink:
        source = StandingSource(world.journal, downlink, lambda: times[0])
        source.look()
        times[0] = replace(NOON, utc_s=0, uptime_s=NOON.uptime_s + 900)
        source.look()
        assert source.offline().silent_s == 900
        with uplink:
            uplink.execute("UPDATE cursor SET heard_at_utc_s = 0")
        source.look()
        assert source.offline().silent_s == 0


def test_links_and_the_hotlists_age_are_shown(uplink: sqlite3.Connection, source: StandingSource) -> None:
    body = json.dumps({"link": "4g", "failing": {"ethernet": "no cable"}, "technician": {"sms": "no SIM"}})
    with uplink:
        uplink.execute("CREATE TABLE links_seen (id INTEGER PRIMARY KEY CHECK (id = 1), body TEXT NOT NULL) STRICT")
        uplink.execute("INSERT INTO links_seen VALUES (1, ?)", (body,))
        uplink.execute("INSERT INTO hotlist VALUES (1, ?, ?)", (Hotlist(3, frozenset()).to_bytes(), at(-40).utc_s))
    shown = look(source)
    assert (shown.link, shown.link_faults) == ("4g", (("ethernet", "no cable"), ("sms", "no SIM")))
    assert shown.hotlist_age_s == 40


@pytest.mark.parametrize("body", ["no json", "[]", '{"failing": 7}'])
def test_damaged_link_state_is_a_fault_beside_what_was_read_before(
    uplink: sqlite3.Connection, source: StandingSource, body: str
) -> None:
    with uplink:
        uplink.execute("CREATE TABLE links_seen (id INTEGER PRIMARY KEY CHECK (id = 1), body TEXT NOT NULL) STRICT")
        uplink.execute("INSERT INTO links_seen VALUES (1, ?)", (body,))
    assert look(source).downlink_fault is not None
