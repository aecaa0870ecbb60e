"""Shift reports at a stream: once, in order, after their taps; what is amiss is kept and told."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from settlement.store.database import RuleBroken
from settlement.streams import store
from settlement.streams.shifts import ShiftAlarm, accept_report, alarmed_shifts
from wire.ids import Asn, CardId, IssuerId
from wire.messages import Receipt, Upload, Welcome
from wire.money import Fen
from wire.record import Outcome, TapKind
from wire.shift import ShiftReceipt, ShiftReport, Sum, add_up, shift_genesis
from wire.signature import SignatureInvalid

if TYPE_CHECKING:
    from tests.settlement.conftest import FakeTill, StreamDriver
    from tests.settlement.streams.conftest import Port, Serve

NOW = 1_764_000_000
CASHIER = CardId(IssuerId(bytes(8)), Asn(bytes(10)))


def report(till: FakeTill, number: int, seqs: range, before: ShiftReport | None = None) -> ShiftReport:
    """The till's Z-report over these taps."""
    return ShiftReport(
        terminal=till.terminal,
        epoch=till.epoch,
        number=number,
        hash_before=shift_genesis(till.terminal, till.epoch) if before is None else before.hash,
        first_seq=seqs.start,
        next_seq=seqs.stop,
        journal_hash=till.head_hash(seqs.stop),
        opened_at_utc_s=NOW - 3_600,
        closed_at_utc_s=NOW,
        cashier=CASHIER,
        opening_cash_fen=Fen(0),
        counted_cash_fen=Fen(0),
        cash_count=0,
        cash_fen=0,
        taps=add_up(till.records[seqs.start - 1 : seqs.stop - 1]),
    ).signed(till.key)


@pytest.fixture
def day(canteen: StreamDriver, till: FakeTill) -> FakeTill:
    """Five taps that the stream has."""
    canteen.enrol(till)
    for outcome in (Outcome.DEBITED, Outcome.DEBITED, Outcome.REFUSED, Outcome.UNKNOWN, Outcome.DEBITED):
        till.tap(outcome=outcome)
    assert isinstance(canteen.accept(till.batch()), Receipt)
    return till


def shifts(canteen: StreamDriver) -> tuple[int, int]:
    """How many reports there are, and how many that contradict one."""
    counts = [canteen.db.number(f"SELECT count(*) FROM {table}") for table in ("shift_report", "shift_conflict")]
    return counts[0], counts[1]


def take(canteen: StreamDriver, shift: ShiftReport) -> int:
    return accept_report(canteen.db, shift, now_utc_s=NOW).number


def test_reports_are_taken_in_order_and_once(canteen: StreamDriver, day: FakeTill) -> None:
    first = report(day, 1, range(1, 4))
    second, empty = report(day, 2, range(4, 6), first), report(day, 3, range(6, 6), report(day, 2, range(4, 6), first))
    assert [take(canteen, shift) for shift in (second, first, first, second, first, empty)] == [0, 1, 1, 2, 2, 3]
    assert shifts(canteen) == (3, 0)
    assert alarmed_shifts(canteen.db) == []
    assert store.shifts_between(canteen.db, NOW, NOW + 1) == [first, second, empty]


def test_report_waits_for_its_taps(canteen: StreamDriver, day: FakeTill) -> None:
    day.tap()
    shift = report(day, 1, range(1, 7))
    assert take(canteen, shift) == 0
    assert shifts(canteen) == (0, 0)
    assert isinstance(canteen.accept(day.batch(6)), Receipt)
    assert take(canteen, shift) == 1


@pytest.mark.parametrize(
    ("changes", "alarms"),
    [
        ({"taps": {(TapKind.SALE, Outcome.DEBITED): Sum(5, 1, 0, 0)}}, ShiftAlarm.SUMS),
        ({"journal_hash": bytes(32)}, ShiftAlarm.JOURNAL),
        ({"hash_before": bytes(32)}, ShiftAlarm.CHAIN),
        ({"hash_before": bytes(32), "journal_hash": bytes(32)}, ShiftAlarm.CHAIN | ShiftAlarm.JOURNAL),
    ],
)
def test_report_that_does_not_fit_is_kept_with_its_alarm(
    canteen: StreamDriver, day: FakeTill, changes: dict[str, bytes], alarms: ShiftAlarm
) -> None:
    shift = replace(report(day, 1, range(1, 6)), **changes).signed(day.key)  # type: ignore[arg-type] # a test's table
    assert take(canteen, shift) == 1
    [alarmed] = alarmed_shifts(canteen.db)
    assert (alarmed.terminal, alarmed.epoch, alarmed.number, alarmed.alarms) == (day.terminal, 1, 1, alarms)
    assert alarmed.words
    assert store.shifts_between(canteen.db, 0, NOW + 1) == [shift]
    following = report(day, 2, range(6, 6), shift)
    assert take(canteen, following) == 2
    assert len(alarmed_shifts(canteen.db)) == 1


def test_report_over_taps_of_another_or_of_none_is_an_alarm(canteen: StreamDriver, day: FakeTill) -> None:
    first = report(day, 1, range(1, 4))
    assert take(canteen, first) == 1
    overlapping = report(day, 2, range(3, 6), first)
    assert take(canteen, overlapping) == 2
    [alarmed] = alarmed_shifts(canteen.db)
    assert (alarmed.number, alarmed.alarms) == (2, ShiftAlarm.RANGE)


def test_report_over_taps_that_were_reported_is_an_alarm_whatever_came_between(
    canteen: StreamDriver, day: FakeTill
) -> None:
    first = report(day, 1, range(1, 6))
    back = report(day, 2, range(1, 1), first)
    again = report(day, 3, range(1, 6), back)
    assert [take(canteen, shift) for shift in (first, back, again)] == [1, 2, 3]
    assert [(alarmed.number, alarmed.alarms) for alarmed in alarmed_shifts(canteen.db)] == [
        (2, ShiftAlarm.RANGE),
        (3, ShiftAlarm.RANGE),
    ]


def test_other_content_under_a_number_is_kept_beside_the_first_and_told(canteen: StreamDriver, day: FakeTill) -> None:
    first = report(day, 1, range(1, 4))
    other = replace(first, counted_cash_fen=Fen(1)).signed(day.key)
    assert [take(canteen, shift) for shift in (first, other, other, first)] == [1, 1, 1, 1]
    assert shifts(canteen) == (1, 1)
    assert store.shifts_between(canteen.db, 0, NOW + 1) == [first]
    [alarmed] = alarmed_shifts(canteen.db)
    assert (alarmed.number, alarmed.alarms) == (1, ShiftAlarm.CONTRADICTED)


def test_report_that_the_terminal_did_not_sign_is_not_kept(canteen: StreamDriver, day: FakeTill) -> None:
    forged = report(day, 1, range(1, 4)).signed(Ed25519PrivateKey.generate())
    with pytest.raises(SignatureInvalid):
        take(canteen, forged)
    assert shifts(canteen) == (0, 0)


@pytest.mark.parametrize("table", ["shift_report", "shift_conflict"])
def test_what_was_kept_is_never_changed_or_deleted(canteen: StreamDriver, day: FakeTill, table: str) -> None:
    first = report(day, 1, range(1, 4))
    take(canteen, first)
    take(canteen, replace(first, counted_cash_fen=Fen(1)).signed(day.key))
    for sql in (f"UPDATE {table} SET number = 2", f"DELETE FROM {table}"):
        with pytest.raises(RuleBroken, match=table), canteen.db.transaction():
            canteen.db.execute(sql)


def test_report_on_a_real_socket_gets_its_receipt_and_the_next_welcome_names_it(
    serve: Serve, enrolled: FakeTill
) -> None:
    for _ in range(3):
        enrolled.tap()
    shift = report(enrolled, 1, range(1, 4))

    async def scenario(port: Port) -> None:
        async with port.connect() as client:
            welcome = await client.identify(enrolled)
            assert isinstance(welcome, Welcome)
            assert welcome.shifts == 0
            client.say(shift)
            assert await client.hear() == ShiftReceipt(0), "its taps come first"
            client.say(Upload(enrolled.batch()))
            assert isinstance(await client.hear(), Receipt)
            client.say(shift)
            assert await client.hear() == ShiftReceipt(1)
        async with port.connect() as client:
            welcome = await client.identify(enrolled)
            assert isinstance(welcome, Welcome)
            assert welcome.shifts == 1

    serve(scenario)


def test_report_of_another_journal_ends_the_connection(serve: Serve, enrolled: FakeTill) -> None:
    async def scenario(port: Port) -> None:
        async with port.connect() as client:
            assert isinstance(await client.identify(enrolled), Welcome)
            client.say(replace(report(enrolled, 1, range(1, 1)), epoch=2).signed(enrolled.key))
            assert await client.hear() is None

    serve(scenario)
