"""The uplink database as the till reads it, beside a daemon that writes, locks or breaks it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from terminal.downlink import Acknowledged, Downlink, DownlinkUnreadable, Enrolment, NotEnrolled, Verdict
from tests.terminal.conftest import INTENT, TERMINAL, make_uplink
from wire.configuration import ClassLimits, Configuration, Name
from wire.hotlist import EMPTY_HOTLIST, Hotlist
from wire.ids import Stream
from wire.money import Fen
from wire.receipt import Cursor

CONFIGURATION = Configuration(
    version=2,
    stream=Stream.CANTEEN,
    outlet=1,
    merchant_name=Name("饮食中心"),
    outlet_name=Name("第一食堂"),
    others=ClassLimits(tap_fen_max=Fen(500)),
    proof=bytes(64),
)
HOTLIST = Hotlist(3, frozenset({INTENT.card}))


@pytest.fixture
def uplink(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    with closing(make_uplink(tmp_path / "uplink.db")) as connection:
        yield connection


@pytest.fixture
def downlink(tmp_path: Path) -> Iterator[Downlink]:
    opened = Downlink(tmp_path / "uplink.db")
    yield opened
    opened.close()


def test_terminal_without_a_database_is_not_enrolled_and_has_no_hotlist(downlink: Downlink) -> None:
    with pytest.raises(NotEnrolled):
        downlink.enrolment()
    assert (downlink.hotlist(), downlink.acknowledged()) == (EMPTY_HOTLIST, Acknowledged(None, None))


def test_enrolment_hotlist_and_cursor_are_read_as_they_change(downlink: Downlink, uplink: sqlite3.Connection) -> None:
    assert downlink.enrolment() == Enrolment(TERMINAL, 1, Stream.CANTEEN)
    assert (downlink.hotlist(), downlink.acknowledged()) == (EMPTY_HOTLIST, Acknowledged(None, None))
    assert downlink.acknowledged().next_seq == 1
    with uplink:
        uplink.execute("INSERT INTO cursor VALUES (1, 1, 8, zeroblob(32), 1700000000)")
        uplink.execute("INSERT INTO hotlist VALUES (1, ?, 0)", (HOTLIST.to_bytes(),))
    assert (downlink.hotlist(), downlink.acknowledged()) == (
        HOTLIST,
        Acknowledged(Cursor(1, 8, bytes(32)), 1_700_000_000),
    )
    with uplink:
        uplink.execute("UPDATE hotlist SET body = ?", (Hotlist(4, frozenset()).to_bytes(),))
    assert downlink.hotlist() == Hotlist(4, frozenset())


def test_cursor_of_an_earlier_epoch_says_nothing_of_this_journal(
    downlink: Downlink, uplink: sqlite3.Connection
) -> None:
    with uplink:
        uplink.execute("INSERT INTO cursor VALUES (1, 1, 8, zeroblob(32), 1700000000)")
        uplink.execute("UPDATE enrolment SET epoch = 2")
    assert downlink.acknowledged() == Acknowledged(None, None)


@pytest.mark.parametrize("body", [b"", b"\0", HOTLIST.to_bytes()[:-1], HOTLIST.to_bytes() + b"\0"])
def test_damaged_hotlist_is_never_taken_for_an_empty_one(
    downlink: Downlink, uplink: sqlite3.Connection, body: bytes
) -> None:
    with uplink:
        uplink.execute("INSERT INTO hotlist VALUES (1, ?, 0)", (body,))
    for _ in range(2):
        with pytest.raises(DownlinkUnreadable):
            downlink.hotlist()


def test_configuration_is_read_as_it_changes_and_a_damaged_one_is_not_ignored(
    downlink: Downlink, uplink: sqlite3.Connection
) -> None:
    assert downlink.configuration() is None
    with uplink:
        uplink.execute("INSERT INTO configuration VALUES (1, ?)", (CONFIGURATION.to_bytes(),))
    assert downlink.configuration() == CONFIGURATION
    newer = replace(CONFIGURATION, version=3)
    with uplink:
        uplink.execute("UPDATE configuration SET body = ?", (newer.to_bytes(),))
    assert downlink.configuration() == newer
    with uplink:
        uplink.execute("UPDATE configuration SET body = x'01'")
    with pytest.raises(DownlinkUnreadable):
        downlink.configuration()
    with uplink:
        uplink.execute("DROP TABLE configuration")  # as a daemon of an earlier version left it
    assert downlink.configuration() is None


@pytest.mark.parametrize("sql", ["UPDATE enrolment SET stream = 9", "UPDATE enrolment SET terminal = x'00'"])
def test_damaged_enrolment_is_unreadable(downlink: Downlink, uplink: sqlite3.Connection, sql: str) -> None:
    with uplink:
        uplink.execute(sql)
    with pytest.raises(DownlinkUnreadable):
        downlink.enrolment()


def test_file_that_is_no_database_is_unreadable(downlink: Downlink, tmp_path: Path) -> None:
    (tmp_path / "uplink.db").write_bytes(b"garbage" * 1000)
    with pytest.raises(DownlinkUnreadable):
        downlink.enrolment()


def test_daemon_in_the_middle_of_a_write_is_not_waited_for(downlink: Downlink, uplink: sqlite3.Connection) -> None:
    with uplink:
        uplink.execute("INSERT INTO hotlist VALUES (1, ?, 0)", (HOTLIST.to_bytes(),))
    uplink.execute("BEGIN IMMEDIATE")
    uplink.execute("UPDATE hotlist SET body = x'00'")
    assert downlink.hotlist() == HOTLIST
    uplink.rollback()


def test_verdict_is_read_as_the_daemon_keeps_it(downlink: Downlink, uplink: sqlite3.Connection) -> None:
    assert downlink.verdict() is None
    with uplink:
        uplink.execute("INSERT INTO verdict VALUES (1, 'FORK', 'tap 7 differs', 0)")
    assert downlink.verdict() == Verdict("FORK", "tap 7 differs")
    with uplink:
        uplink.execute("DROP TABLE verdict")  # as a daemon of an earlier version left it
    assert downlink.verdict() is None
