"""Which report of a closed shift goes up next, and how sessions carry it: once, in order, after its taps."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sync.link import LinkDown
from sync.shiftreports import next_report
from sync.store import UplinkStore
from tests.sync.conftest import KEY

if TYPE_CHECKING:
    from tests.sync.conftest import Server, Start, Till


def test_next_report_is_the_first_that_the_server_lacks_once_its_taps_are_there(till: Till, store: UplinkStore) -> None:
    assert next_report(store, till.reader) is None
    till.tap()
    waits = till.close_shift()
    assert waits.next_seq > store.cursor().next_seq
    assert next_report(store, till.reader) is None
    store.mark_shifts(1)
    assert next_report(store, till.reader) is None


def test_report_of_a_shift_goes_up_signed_once_its_taps_have_their_receipt(
    start: Start, till: Till, server: Server, store: UplinkStore
) -> None:
    till.tap(3)
    first = till.close_shift()
    till.tap(2)
    second = till.close_shift()
    uplink = start()
    assert uplink.open() is not None, "the taps go with the greeting"
    assert [uplink.report(), uplink.report(), uplink.report()] == [True, True, False]
    assert server.shifts == [first.signed(KEY), second.signed(KEY)]
    assert store.shifts_acknowledged() == 2


def test_report_whose_taps_wait_is_not_sent(start: Start, till: Till, server: Server) -> None:
    uplink = start()
    uplink.open()
    till.tap()
    till.close_shift()
    assert not uplink.report()
    assert uplink.upload() is not None
    assert uplink.report()
    assert len(server.shifts) == 1


@pytest.mark.parametrize("quirk", ["LOSE_UPLOAD", "LOSE_ANSWER"])
def test_report_that_was_lost_either_way_is_taken_once(
    start: Start, till: Till, server: Server, store: UplinkStore, quirk: str
) -> None:
    report = till.close_shift()
    uplink = start()
    uplink.open()
    server.spoil(quirk)
    with pytest.raises(LinkDown):
        uplink.report()
    assert store.shifts_acknowledged() == 0
    again = start()
    again.open()  # the welcome tells what the server has
    assert again.report() is (quirk == "LOSE_UPLOAD")
    assert (server.shifts, store.shifts_acknowledged()) == ([report.signed(KEY)], 1)


def test_report_that_the_server_does_not_take_is_left_for_the_next_session(
    start: Start, till: Till, server: Server, store: UplinkStore
) -> None:
    till.close_shift()
    server.takes_shifts = False
    uplink = start()
    uplink.open()
    assert [uplink.report(), uplink.report()] == [False, False]
    assert store.shifts_acknowledged() == 0
    server.takes_shifts = True
    again = start()
    again.open()
    assert again.report()


def test_server_that_was_restored_gets_the_reports_that_it_lost_again(
    start: Start, till: Till, server: Server, store: UplinkStore
) -> None:
    reports = [till.close_shift() for _ in range(3)]
    uplink = start()
    uplink.open()
    while uplink.report():
        pass
    assert store.shifts_acknowledged() == 3
    del server.shifts[1:]
    again = start()
    again.open()
    assert store.shifts_acknowledged() == 1
    assert [again.report(), again.report(), again.report()] == [True, True, False]
    assert server.shifts == [report.signed(KEY) for report in reports]
