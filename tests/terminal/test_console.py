"""The till as lines of JSON over pipes, and the status line beside a daemon that may fail."""

from __future__ import annotations

import json
import os
import queue
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from io import StringIO
from pathlib import Path
from typing import TextIO

import pytest

from drivers.reader import ReaderFound, ReaderLost
from terminal.console import Events, JsonScreen, StatusSource
from terminal.downlink import Downlink
from terminal.program import Redraw, Stop
from terminal.result import Approved, Refused
from terminal.till import AmountEntered, CancelPressed, Till, TillEvent
from tests.terminal.conftest import INTENT, World, at, make_uplink
from wire.hotlist import Hotlist
from wire.money import Fen
from wire.record import Mac2, Refusal

PATIENCE_S = 10.0


@pytest.fixture
def pipe() -> Iterator[tuple[TextIO, TextIO]]:
    """The two ends of a pipe: for the screen, for the test."""
    reading, writing = os.pipe()
    with open(reading) as out, open(writing, "w") as into:
        yield out, into


def sent(out: StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in out.getvalue().splitlines()]


def test_lines_become_events_and_their_end_stops_the_till(pipe: tuple[TextIO, TextIO]) -> None:
    events: queue.SimpleQueue[TillEvent | Redraw | Stop] = queue.SimpleQueue()
    out = StringIO()
    JsonScreen(events, pipe[0], out)
    pipe[1].write("12.50\n  3 \ncancel\nfree\n0\n\n")
    pipe[1].close()
    got = [events.get(timeout=PATIENCE_S) for _ in range(4)]
    assert got == [AmountEntered(Fen(1250)), AmountEntered(Fen(300)), CancelPressed(), Stop()]
    assert [line["event"] for line in sent(out)] == ["unreadable"] * 3


def test_waiting_is_told_when_it_changes(pipe: tuple[TextIO, TextIO]) -> None:
    out, till = StringIO(), Till(None)
    screen = JsonScreen(queue.SimpleQueue(), pipe[0], out)
    for event in (ReaderFound(), ReaderFound(), AmountEntered(Fen(5)), ReaderLost("gone", "reader-missing")):
        till.handle(event)
        screen.show(till)
    assert sent(out) == [
        {"event": "waiting", "for": "amount", "fault": None},
        {"event": "waiting", "for": "card", "fault": None},
        {"event": "waiting", "for": "card", "fault": "gone [reader-missing]"},
    ]


def test_results_carry_their_facts_and_no_card_number(pipe: tuple[TextIO, TextIO], world: World) -> None:
    out = StringIO()
    screen = JsonScreen(queue.SimpleQueue(), pipe[0], out)
    record = world.journal.seal_tap(world.journal.open_tap(INTENT), tac=b"TAC!", mac2=Mac2.VERIFIED)
    screen.ended(Approved(record, Fen(3800)), 12.34567)
    screen.ended(Refused(Refusal.EXPIRED, INTENT.card, Fen(5000)), 3)
    approved, refused = sent(out)
    assert (approved["kind"], approved["seq"], approved["amount_fen"], approved["balance_fen"], approved["ms"]) == (
        "Approved",
        1,
        1200,
        3800,
        12.346,
    )
    assert (refused["kind"], refused["refusal"]) == ("Refused", "EXPIRED")
    assert INTENT.card.asn.hex().lstrip("0") not in out.getvalue()


@pytest.fixture
def uplink(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    with closing(make_uplink(tmp_path / "uplink.db")) as connection:
        yield connection


@pytest.fixture
def status(world: World, tmp_path: Path) -> Iterator[StatusSource]:
    downlink = Downlink(tmp_path / "uplink.db")
    yield StatusSource(world.journal, downlink, lambda: at(0))
    downlink.close()


def test_status_counts_what_the_server_does_not_have(
    world: World, uplink: sqlite3.Connection, status: StatusSource
) -> None:
    for _ in range(3):
        world.journal.seal_tap(world.journal.open_tap(INTENT), tac=b"TAC!", mac2=Mac2.VERIFIED)
    before = status.read()
    assert (before.sealed, before.unsent, before.unsent_fen, before.heard_s_ago) == (3, 3, 3600, None)
    with uplink:
        uplink.execute("INSERT INTO cursor VALUES (1, 1, 3, zeroblob(32), ?)", (at(-90).utc_s,))
        uplink.execute("INSERT INTO hotlist VALUES (1, ?, 0)", (Hotlist(3, frozenset({INTENT.card})).to_bytes(),))
    after = status.read()
    assert (after.unsent, after.unsent_fen, after.heard_s_ago) == (1, 1200, 90)
    assert (after.hotlist_version, after.hotlist_cards, after.downlink_fault) == (3, 1, None)


@pytest.mark.parametrize("next_seq", [0, 99])
def test_status_survives_a_cursor_that_cannot_be(
    world: World, uplink: sqlite3.Connection, status: StatusSource, next_seq: int
) -> None:
    world.journal.seal_tap(world.journal.open_tap(INTENT), tac=b"TAC!", mac2=Mac2.VERIFIED)
    with uplink:
        uplink.execute("INSERT INTO cursor VALUES (1, 1, ?, zeroblob(32), ?)", (next_seq, at(90).utc_s))
    shown = status.read()
    assert (shown.unsent, shown.heard_s_ago) == ({0: 1, 99: 0}[next_seq], 0)


def test_status_of_an_unreadable_uplink_is_the_last_one_with_the_fault(
    uplink: sqlite3.Connection, status: StatusSource
) -> None:
    with uplink:
        uplink.execute("INSERT INTO hotlist VALUES (1, ?, 0)", (Hotlist(3, frozenset()).to_bytes(),))
    assert status.read().hotlist_version == 3
    with uplink:
        uplink.execute("UPDATE hotlist SET body = x'00'")
    shown = status.read()
    assert shown.hotlist_version == 3
    assert shown.downlink_fault is not None


def test_events_take_what_the_screens_put() -> None:
    events: Events = queue.SimpleQueue()
    events.put(Redraw())
    assert events.get(timeout=PATIENCE_S) == Redraw()
