"""A cashier's day with the running program: sign-on, every way to sell, undo, refund, cash, X, Z, and a restart."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from settlement.onecard.keys import FileKeyStore
from settlement.streams.ingest import judge
from sim.pcsc.local import Tear
from terminal.basket import Mode
from terminal.events import (
    AmountEntered,
    BalancePressed,
    CashierEvent,
    CashPressed,
    CloseShiftPressed,
    CodeScanned,
    ConfirmPressed,
    ModeChosen,
    Phase,
    PinEntered,
    ProductPressed,
    RefundPressed,
    TrainingPressed,
    UndoPressed,
    XReportPressed,
)
from terminal.journal import JournalReader
from terminal.result import (
    Approved,
    BalanceRead,
    CashTaken,
    Refunded,
    Refused,
    Result,
    Reversed,
    ShiftClosed,
    ShiftOpened,
    ShiftReported,
    SignedOn,
    Torn,
    Trained,
)
from tests.terminal.conftest import MASTERS, Card, World
from tests.terminal.school import CASHIER, LUNCH, PIN, RICE, SCHOOL, STUDENTS, SUPERVISOR, TEA_CODE
from tests.terminal.test_program import PATIENCE_S, Running
from wire.money import Fen
from wire.record import Outcome, Refusal, TapKind
from wire.shift import add_up


class Counter:
    """A cashier at a running till who waits for what the screen says."""

    def __init__(self, running: Running) -> None:
        self.running = running
        self.cashier = running.world.card(101)
        self.supervisor = running.world.card(102)
        assert (self.cashier.id, self.supervisor.id) == (CASHIER, SUPERVISOR)

    def press(self, *events: CashierEvent) -> None:
        for event in events:
            self.running.program.events.put(event)

    def wait(self, phase: Phase) -> None:
        self.running.screen.wait(phase.name)

    def hold(self, card: Card) -> Result:
        self.running.reader.insert(card.chip)
        result = self.running.result()
        self.running.reader.remove()
        return result

    def sell(self, card: Card, *events: CashierEvent) -> Result:
        self.press(*events)
        self.wait(Phase.CARD)
        return self.hold(card)

    def open_shift(self, cash_fen: int = 20_000) -> None:
        self.wait(Phase.PIN)
        self.press(PinEntered(PIN))
        self.wait(Phase.STAFF_CARD)
        assert isinstance(self.hold(self.cashier), SignedOn)
        self.press(AmountEntered(Fen(cash_fen)))
        assert isinstance(self.running.result(), ShiftOpened)

    def close_shift(self, cash_fen: int) -> ShiftClosed:
        self.press(CloseShiftPressed())
        self.wait(Phase.COUNTED_CASH)
        self.press(AmountEntered(Fen(cash_fen)))
        result = self.running.result()
        assert isinstance(result, ShiftClosed)
        return result


@pytest.fixture
def counter(world: World, tmp_path: Path) -> Iterator[Counter]:
    running = Running(world, tmp_path)
    running.thread.start()
    made = Counter(running)
    running.configure(SCHOOL)
    yield made
    made.running.stop()


def test_whole_day_is_in_journal_and_z_report_to_the_fen(counter: Counter, world: World) -> None:
    student, teacher = world.card(1, card_class=STUDENTS, balance_fen=9_000), world.card(2, card_class=2)
    counter.open_shift()
    sold = [
        counter.sell(student, AmountEntered(Fen(700))),  # 500 of it is the school's
        counter.sell(teacher, AmountEntered(Fen(700))),
        counter.sell(student, ModeChosen(Mode.FIXED), AmountEntered(Fen(300))),
        counter.hold(teacher),
        counter.sell(student, ModeChosen(Mode.MEALS)),
        counter.hold(teacher),
        counter.sell(teacher, ProductPressed(RICE, 2), CodeScanned(TEA_CODE)),
    ]
    assert [(one.record.amount_fen, one.record.subsidy_fen) for one in sold if isinstance(one, Approved)] == [
        (200, 500),
        (700, 0),
        (300, 0),
        (300, 0),
        (1_000, 0),
        (1_200, 0),
        (500, 0),
    ]
    counter.press(UndoPressed())
    counter.wait(Phase.UNDO_CARD)
    undone = counter.hold(teacher)
    assert isinstance(undone, Reversed)
    assert (undone.record.credit_fen, undone.record.refers_to) == (500, sold[-1].record.tap_id.seq)  # type: ignore[union-attr]  # all were approved
    counter.press(ProductPressed(RICE, 1), CashPressed())
    taken = counter.running.result()
    assert isinstance(taken, CashTaken)
    assert (taken.number, taken.amount_fen) == (1, 100)
    counter.press(RefundPressed(3))
    counter.wait(Phase.PIN)
    counter.press(PinEntered(PIN))
    counter.wait(Phase.STAFF_CARD)
    assert isinstance(counter.hold(counter.supervisor), SignedOn)
    counter.press(AmountEntered(Fen(400)))
    counter.wait(Phase.REFUND_CARD)
    refunded = counter.hold(teacher)
    assert isinstance(refunded, Refunded)
    counter.press(XReportPressed())
    reported = counter.running.result()
    assert isinstance(reported, ShiftReported)
    closed = counter.close_shift(20_100)
    assert closed.totals == reported.totals
    records = world.journal.records(1, 100)
    (report,) = world.journal.reports(1, 9)
    assert (report.first_seq, report.next_seq, report.counted_cash_fen) == (1, len(records) + 1, 20_100)
    assert report.taps == closed.totals.taps == add_up(records)
    assert (report.cash_count, report.cash_fen, report.expected_cash_fen) == (1, 100, 20_100)
    assert report.of(TapKind.SALE, Outcome.DEBITED).amount_fen == world.journal.head().total_fen
    keys = FileKeyStore(MASTERS, two_level=False)
    assert [judge(record, keys) for record in records if record.outcome is Outcome.DEBITED] == [None] * len(records)
    counter.wait(Phase.PIN)
    assert world.journal.verify().seq == len(records)


def test_shift_left_open_by_a_power_cut_goes_on(counter: Counter, world: World, tmp_path: Path) -> None:
    teacher = world.card(2, card_class=2)
    counter.open_shift()
    assert isinstance(counter.sell(teacher, AmountEntered(Fen(700))), Approved)
    counter.press(ProductPressed(RICE, 1), CashPressed())
    assert isinstance(counter.running.result(), CashTaken)
    counter.running.stop()
    world.restart()
    (tmp_path / "uplink.db").unlink()
    again = Running(world, tmp_path)
    again.now = counter.running.now
    again.thread.start()
    counter.running = again
    again.configure(SCHOOL)
    counter.press(UndoPressed())
    counter.wait(Phase.UNDO_CARD)
    assert isinstance(counter.hold(teacher), Reversed)
    closed = counter.close_shift(20_100)
    assert (closed.totals.number, closed.totals.cash_fen) == (1, 100)
    assert closed.totals.of(TapKind.REVERSAL, Outcome.DEBITED).credit_fen == 700
    counter.open_shift()
    assert counter.close_shift(0).totals.number == 2
    first, second = world.journal.reports(1, 9)
    assert (second.first_seq, second.hash_before) == (first.next_seq, first.hash)


def test_wrong_pin_tells_the_tries_left_and_is_nowhere_in_the_journal(counter: Counter, world: World) -> None:
    counter.wait(Phase.PIN)
    for tries_left in (2, 1):
        counter.press(PinEntered("999999"))
        counter.wait(Phase.STAFF_CARD)
        result = counter.hold(counter.cashier)
        assert isinstance(result, Refused)
        assert (result.refusal, result.tries_left) == (Refusal.PIN_WRONG, tries_left)
        counter.wait(Phase.PIN)
    counter.press(PinEntered("999999"))
    counter.wait(Phase.STAFF_CARD)
    locked = counter.hold(counter.cashier)
    assert isinstance(locked, Refused)
    assert (locked.refusal, locked.tries_left) == (Refusal.PIN_LOCKED, 0)
    raw = b"".join(record.to_bytes() for record in world.journal.records(1, 9))
    assert bytes.fromhex("999999") not in raw
    assert counter.cashier.debits == 0


def test_student_is_shown_no_pin_and_signs_nobody_on(counter: Counter, world: World) -> None:
    student = world.card(1, card_class=STUDENTS)
    counter.wait(Phase.PIN)
    counter.press(PinEntered(PIN))
    counter.wait(Phase.STAFF_CARD)
    result = counter.hold(student)
    assert isinstance(result, Refused)
    assert result.refusal is Refusal.NOT_A_CASHIER
    assert not [apdu for apdu in student.chip.received if apdu[1] == 0x20]


def test_cashier_is_no_supervisor(counter: Counter, world: World) -> None:
    counter.open_shift()
    counter.press(RefundPressed())
    counter.wait(Phase.PIN)
    counter.press(PinEntered(PIN))
    counter.wait(Phase.STAFF_CARD)
    result = counter.hold(counter.cashier)
    assert isinstance(result, Refused)
    assert result.refusal is Refusal.NOT_A_CASHIER


def test_same_card_pays_the_same_again_at_once_only_when_confirmed(counter: Counter, world: World) -> None:
    teacher = world.card(2, card_class=2)
    counter.open_shift()
    assert isinstance(counter.sell(teacher, ModeChosen(Mode.FIXED), AmountEntered(Fen(300))), Approved)
    counter.running.now = replace(counter.running.now, uptime_s=counter.running.now.uptime_s - 55)
    doubled = counter.hold(teacher)
    assert isinstance(doubled, Refused)
    assert doubled.refusal is Refusal.DOUBLE_TAP
    counter.running.now = replace(counter.running.now, uptime_s=counter.running.now.uptime_s - 60)
    counter.press(ConfirmPressed())
    assert isinstance(counter.hold(teacher), Approved)


def test_training_touches_neither_card_nor_journal(counter: Counter, world: World) -> None:
    student = world.card(1, card_class=STUDENTS)
    counter.wait(Phase.PIN)
    counter.press(TrainingPressed())
    counter.wait(Phase.AMOUNT)
    result = counter.sell(student, AmountEntered(Fen(700)))
    assert result == Trained(None, student.id, Fen(200), Fen(500), Fen(5_000))
    assert (student.purse.balance_fen, student.purse.counter, world.journal.head().seq) == (5_000, 0, 0)
    assert {apdu[1] for apdu in student.chip.received} == {0xA4, 0x5C}
    counter.press(TrainingPressed())
    counter.wait(Phase.PIN)


def test_balance_shows_what_is_left_and_the_last_taps_here(counter: Counter, world: World) -> None:
    student = world.card(1, card_class=STUDENTS)
    counter.open_shift()
    sold = counter.sell(student, AmountEntered(Fen(300)))
    assert isinstance(sold, Approved)
    counter.press(BalancePressed())
    counter.wait(Phase.BALANCE_CARD)
    read = counter.hold(student)
    assert isinstance(read, BalanceRead)
    assert (read.balance_fen, read.subsidy_left_fen, read.taps, read.card_class) == (
        5_000,
        200,
        (sold.record,),
        STUDENTS,
    )
    assert student.debits == 1


def test_torn_meal_is_finished_by_its_card_and_stays_on_the_screen_meanwhile(counter: Counter, world: World) -> None:
    student = world.card(1, card_class=STUDENTS)
    counter.open_shift()
    counter.press(ModeChosen(Mode.MEALS))
    counter.wait(Phase.CARD)
    student.chip.tear(Tear.AFTER, after=2)
    assert isinstance(counter.hold(student), Torn)
    counter.wait(Phase.SAME_CARD)
    finished = counter.hold(student)
    assert isinstance(finished, Approved)
    assert finished.sold is not None
    assert (finished.sold.period, finished.record.amount_fen, finished.record.subsidy_fen) == (LUNCH, 500, 500)


def test_reader_finds_the_reports_beside_the_writing_till(counter: Counter, tmp_path: Path) -> None:
    counter.open_shift()
    counter.close_shift(0)
    reader = JournalReader.open(tmp_path / "journal.db")
    assert [report.number for report in reader.reports(1, 9)] == [1]
    reader.close()
    assert PATIENCE_S
