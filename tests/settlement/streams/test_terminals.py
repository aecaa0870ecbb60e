"""Enrolment, identification, coverage."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from settlement.store.database import open_writer
from settlement.streams.terminals import coverage, identify
from wire.hotlist import EMPTY_HOTLIST
from wire.ids import Stream
from wire.messages import Identify, Refused, Welcome
from wire.receipt import Rejection

if TYPE_CHECKING:
    from tests.settlement.conftest import FakeTill, StreamDriver

NONCE = bytes(16)


def said(till: FakeTill) -> Identify:
    return Identify(
        terminal=till.terminal,
        epoch=till.epoch,
        head_seq=len(till.records),
        total_fen=till.total_fen,
        hotlist_mark=EMPTY_HOTLIST.mark,
    ).signed(till.key, NONCE)


def rejection(answer: object) -> Rejection:
    assert isinstance(answer, Refused), answer
    return answer.rejection


def test_same_ticket_and_key_again_get_the_same_answer_even_when_it_expired(
    canteen: StreamDriver, till: FakeTill, utc_s: int
) -> None:
    ticket = canteen.ticket(till.terminal)
    assert canteen.enrol(till, ticket) == canteen.enrolled(till)
    assert canteen.enrol(till, ticket, now_utc_s=utc_s + 1000) == canteen.enrolled(till)


def test_spent_ticket_with_another_key_is_refused(
    canteen: StreamDriver, till: FakeTill, make_till: Callable[[int], FakeTill]
) -> None:
    ticket = canteen.ticket(till.terminal)
    canteen.enrol(till, ticket)
    assert rejection(canteen.enrol(make_till(9), ticket)) is Rejection.TICKET_SPENT


def test_expired_ticket_is_refused(canteen: StreamDriver, till: FakeTill, utc_s: int) -> None:
    ticket = canteen.ticket(till.terminal, expires_utc_s=utc_s - 1)
    assert rejection(canteen.enrol(till, ticket)) is Rejection.TICKET_EXPIRED


def test_ticket_of_another_stream_is_refused(canteen: StreamDriver, till: FakeTill) -> None:
    ticket = canteen.ticket(till.terminal, stream=Stream.SHOPS)
    assert rejection(canteen.enrol(till, ticket)) is Rejection.WRONG_STREAM


def test_damaged_ticket_is_refused(canteen: StreamDriver, till: FakeTill) -> None:
    ticket = canteen.ticket(till.terminal)
    for damaged in (ticket[:-1], b"", bytes((ticket[0] ^ 1,)) + ticket[1:], ticket[:9] + b"!" + ticket[10:]):
        assert rejection(canteen.enrol(till, damaged)) is Rejection.TICKET_INVALID


def test_new_ticket_starts_the_next_epoch(
    canteen: StreamDriver, till: FakeTill, make_till: Callable[[int], FakeTill]
) -> None:
    canteen.enrol(till, canteen.ticket(till.terminal))
    answer = canteen.enrol(make_till(9), canteen.ticket(till.terminal, epoch=2))
    assert answer == canteen.enrolled(till, 2)


def test_ticket_is_good_again_after_the_stream_was_restored_from_before_its_use(
    canteen: StreamDriver, till: FakeTill, make_till: Callable[[int], FakeTill], tmp_path: Path
) -> None:
    ticket = canteen.ticket(till.terminal, epoch=3)
    database = canteen.home.database("canteen")
    canteen.db.close()
    shutil.copy(database, tmp_path / "backup.db")
    with open_writer(database, "canteen") as canteen.db:
        assert canteen.enrol(till, ticket) == canteen.enrolled(till, 3)
    shutil.copy(tmp_path / "backup.db", database)
    with open_writer(database, "canteen") as canteen.db:
        assert canteen.enrol(till, ticket) == canteen.enrolled(till, 3)
        assert rejection(canteen.enrol(make_till(9), ticket)) is Rejection.TICKET_SPENT


def test_identified_terminal_hears_where_the_stream_stands(canteen: StreamDriver, till: FakeTill, utc_s: int) -> None:
    canteen.enrol(till)
    till.tap()
    canteen.accept(till.batch())
    answer = identify(canteen.db, said(till), now_utc_s=utc_s)
    assert isinstance(answer, Welcome)
    assert answer.cursor.next_seq == 2


def test_unknown_terminal_is_refused_at_the_door(canteen: StreamDriver, till: FakeTill, utc_s: int) -> None:
    answer = identify(canteen.db, said(till), now_utc_s=utc_s)
    assert rejection(answer) is Rejection.UNKNOWN_TERMINAL


def test_journal_that_ends_before_what_is_here_is_an_alarm_that_is_kept_and_blocks_nothing(
    canteen: StreamDriver, till: FakeTill, utc_s: int, caplog: pytest.LogCaptureFixture
) -> None:
    canteen.enrol(till)
    for _ in range(5):
        till.tap()
    canteen.accept(till.batch())
    assert isinstance(identify(canteen.db, said(till), now_utc_s=utc_s), Welcome)
    assert coverage(canteen.db)[0].rolled_back_to_seq is None
    assert caplog.text == ""
    for length in (3, 4):
        older = replace(till, records=till.records[:length])
        assert isinstance(identify(canteen.db, said(older), now_utc_s=utc_s), Welcome)
    assert coverage(canteen.db)[0].rolled_back_to_seq == 3
    assert "ALARM: terminal 000000000101 epoch 1: its journal ends with tap 3, but 5 taps" in caplog.text


def test_terminal_with_nothing_new_is_heard_at_every_identification_and_batch(
    canteen: StreamDriver, till: FakeTill, utc_s: int
) -> None:
    canteen.enrol(till, now_utc_s=utc_s - 50)
    assert coverage(canteen.db)[0].heard_at_utc_s == utc_s - 50
    till.tap()
    canteen.accept(till.batch())
    assert coverage(canteen.db)[0].heard_at_utc_s == utc_s
    for later_s in (100, 200):
        identify(canteen.db, said(till), now_utc_s=utc_s + later_s)
        assert coverage(canteen.db)[0].heard_at_utc_s == utc_s + later_s


def test_coverage_names_missing_numbers_and_the_money_between(
    canteen: StreamDriver, till: FakeTill, utc_s: int
) -> None:
    canteen.enrol(till)
    for _ in range(5):
        till.tap(amount_fen=300)
    canteen.accept(till.batch(1, 3))
    identify(canteen.db, said(till), now_utc_s=utc_s)
    (covered,) = coverage(canteen.db)
    assert (covered.last_seq, covered.total_fen) == (2, 600)
    assert (covered.missing, covered.missing_fen) == (range(3, 6), 900)
    shorter = replace(till, records=till.records[:2])
    identify(canteen.db, said(shorter), now_utc_s=utc_s)
    assert coverage(canteen.db) == [covered], "the most that was ever claimed stays"
    canteen.accept(till.batch(3))
    (covered,) = coverage(canteen.db)
    assert (covered.last_seq, len(covered.missing), covered.missing_fen) == (5, 0, 0)
