"""The till with staff, shifts, ways of selling and errands: each rule of them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from drivers.reader import CardLeft, CardPresented, ReaderFound
from terminal.basket import Mode, amount_offer
from terminal.errands import OpeningShift, Refunding, SigningOn, Undoing
from terminal.events import (
    AmountBegun,
    AmountEntered,
    BalancePressed,
    CancelPressed,
    CashierEvent,
    CashPressed,
    ChargePurse,
    CloseShift,
    CloseShiftPressed,
    CodeScanned,
    Command,
    ConfirmPressed,
    LineRemoved,
    MealsEntered,
    ModeChosen,
    Notice,
    OpenShift,
    Phase,
    PinEntered,
    ProductPressed,
    ReadBalance,
    RecordCash,
    RefundPressed,
    RefundPurse,
    ReportShift,
    ReverseSale,
    SaleEnded,
    SignOn,
    Ticked,
    TillEvent,
    TrainingPressed,
    TrainPurse,
    Trouble,
    UndoPressed,
    VerdictRead,
    XReportPressed,
)
from terminal.result import (
    Approved,
    CashTaken,
    NotPaid,
    ProofRefused,
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
    Unresolved,
    WrongCard,
)
from terminal.rules import DOUBLE_TAP_S_MAX, UNDO_S_MAX
from terminal.till import ERRAND_S_MAX, Till
from terminal.totals import ShiftTotals
from tests.terminal.conftest import NOON, later
from tests.terminal.school import (
    CASHIER,
    LUNCH,
    RICE,
    SCHOOL,
    STUDENTS,
    SUPERVISOR,
    TEA,
    TEA_CODE,
)
from tests.terminal.test_usage import tap
from wire.configuration import Configuration, StaffRole
from wire.money import Fen
from wire.record import Mac2, Outcome, Refusal, TapKind, TapRecord

PIN = "864209"
PRESENTED = CardPresented(b"\x3b")
PRICE = Fen(1_200)
FLOAT = Fen(20_000)
OTHERS = replace(SCHOOL, staff=())
TOTALS = ShiftTotals(number=1, cashier=CASHIER, opened_at=NOON, opening_cash_fen=FLOAT)
SALE = tap(7)
SIGNED = tap(8, kind=TapKind.SIGN_ON, amount_fen=Fen(0), subsidy_fen=Fen(0), card=SUPERVISOR)


def run(till: Till, *events: TillEvent) -> list[Command | None]:
    return [till.handle(event) for event in events]


def phase(till: Till) -> Phase:
    """Asked anew, whatever mypy knows of it from before."""
    return till.phase


def done(result: Result) -> SaleEnded:
    return SaleEnded(result)


def plain(configuration: Configuration | None = OTHERS) -> Till:
    """A till without staff, at noon."""
    till = Till(None)
    run(till, ReaderFound(), Ticked(NOON, configuration))
    return till


def staffed(last_sale: TapRecord | None = None) -> Till:
    """A till with an open shift."""
    till = Till(None, cashier=CASHIER, last_sale=last_sale)
    run(till, ReaderFound(), Ticked(NOON, SCHOOL))
    return till


def test_fixed_price_is_paid_by_card_after_card() -> None:
    till = plain()
    run(till, ModeChosen(Mode.FIXED), AmountEntered(PRICE))
    fixed = amount_offer(PRICE, Mode.FIXED)
    just_left = None
    for result in (Approved(SALE, Fen(0)), Approved(SALE, Fen(0)), Refused(Refusal.EXPIRED, SALE.card, Fen(0))):
        command = run(till, PRESENTED, done(result), CardLeft())[0]
        assert command == ChargePurse(fixed, just_left=just_left)
        just_left = SALE.card
    assert phase(till) is Phase.CARD
    run(till, CancelPressed())
    assert phase(till) is Phase.AMOUNT


def test_meals_have_the_period_on_the_screen_and_go_on_with_one_each() -> None:
    till = plain()
    run(till, ModeChosen(Mode.MEALS), MealsEntered(3))
    assert till.offer is not None
    assert (till.offer.period, till.offer.meals, till.offer.prices_fen) == (LUNCH, 3, (3_000, 3_600))
    charge = till.handle(PRESENTED)
    assert isinstance(charge, ChargePurse)
    assert charge.offer.fen(STUDENTS) == 3_000
    run(till, done(Approved(SALE, Fen(0))))
    assert till.offer.meals == 1
    run(till, Ticked(later(NOON, 3 * 3_600), OTHERS), CardLeft(), PRESENTED)
    assert (till.selling.offer, phase(till)) == (None, Phase.AMOUNT)
    run(till, MealsEntered(1))
    assert till.notice is Notice.NO_MEAL_NOW


def test_more_meals_than_a_card_can_hold_are_not_offered() -> None:
    lunch = replace(SCHOOL.periods[1], meal_fen=Fen(4_000_000_000), class_prices=())
    till = plain(replace(OTHERS, periods=(lunch,)))
    run(till, ModeChosen(Mode.MEALS), MealsEntered(2))
    assert (till.notice, till.selling.meals, till.amount_fen) == (Notice.BASKET_FULL, 1, 4_000_000_000)


def test_basket_is_filled_by_key_code_and_amount_and_paid_at_once() -> None:
    till = plain()
    run(till, ProductPressed(RICE, 2), CodeScanned(TEA_CODE), AmountEntered(Fen(50)), LineRemoved(RICE))
    assert [(line.number, line.count) for line in till.selling.basket] == [(TEA, 1), (0, 1)]
    charge = till.handle(PRESENTED)
    assert isinstance(charge, ChargePurse)
    assert (charge.offer.fen(STUDENTS), charge.offer.fen(None)) == (300, 350)
    run(till, done(Approved(SALE, Fen(0))))
    assert (till.selling.basket, till.selling.mode) == ((), Mode.PRODUCTS)


@pytest.mark.parametrize(
    ("event", "notice"),
    [
        (CodeScanned("0000000000000"), Notice.CODE_UNKNOWN),
        (CodeScanned(""), Notice.CODE_UNKNOWN),
        (ProductPressed(77), Notice.PRODUCT_UNKNOWN),
        (LineRemoved(TEA), Notice.PRODUCT_UNKNOWN),
        (ProductPressed(RICE, 99), Notice.BASKET_FULL),
        (AmountEntered(Fen(0)), Notice.AMOUNT_NEEDED),
        (UndoPressed(), Notice.SALE_NOT_ENDED),
        (CloseShiftPressed(), Notice.SALE_NOT_ENDED),
        (TrainingPressed(), Notice.SALE_NOT_ENDED),
        (ConfirmPressed(), Notice.NOTHING_TO_CONFIRM),
    ],
)
def test_what_cannot_be_done_says_so_and_leaves_the_basket(event: CashierEvent, notice: Notice) -> None:
    till = staffed()
    run(till, ProductPressed(RICE))
    basket = till.selling.basket
    assert run(till, event) == [None]
    assert (till.notice, till.selling.basket) == (notice, basket)
    run(till, AmountBegun())
    assert till.notice is None


def test_refused_basket_waits_for_the_cashier_before_another_card_pays_it() -> None:
    till = plain()
    refused = done(Refused(Refusal.INSUFFICIENT_BALANCE, SALE.card, Fen(0)))
    run(till, ProductPressed(RICE), PRESENTED, refused)
    assert phase(till) is Phase.AMOUNT
    assert run(till, CardLeft(), PRESENTED) == [None, None]
    assert isinstance(till.handle(ConfirmPressed()), ChargePurse)


def test_double_tap_keeps_the_sale_and_asks_before_the_same_card_pays_again() -> None:
    till = plain()
    doubled = done(Refused(Refusal.DOUBLE_TAP, SALE.card, Fen(0)))
    offer = amount_offer(PRICE)
    run(till, AmountEntered(PRICE), PRESENTED, doubled)
    assert run(till, CardLeft(), PRESENTED, doubled)[1] == ChargePurse(offer)
    confirmed = ChargePurse(offer, None, SALE.card)
    assert run(till, ConfirmPressed(), CardLeft(), PRESENTED, doubled)[2] == confirmed
    again = run(till, AmountBegun(), AmountEntered(PRICE), CardLeft(), PRESENTED)[3]
    assert again == ChargePurse(offer)  # the next customer often pays the same
    run(till, doubled, CancelPressed(), AmountEntered(PRICE), CardLeft())
    assert till.handle(PRESENTED) == ChargePurse(offer)


def test_card_that_lay_there_for_long_and_bounces_when_it_is_lifted_is_known_again() -> None:
    till = plain()
    run(till, ModeChosen(Mode.MEALS), MealsEntered(3), PRESENTED, done(Approved(SALE, Fen(0))))
    run(till, Ticked(later(NOON, 60), OTHERS), CardLeft())
    command = till.handle(PRESENTED)
    assert till.offer is not None
    assert command == ChargePurse(till.offer, just_left=SALE.card), "one meal more, for which nobody came"
    run(till, done(Refused(Refusal.DOUBLE_TAP, SALE.card, Fen(0))), CardLeft())
    run(till, Ticked(later(NOON, 60 + DOUBLE_TAP_S_MAX + 1), OTHERS))
    assert till.handle(PRESENTED) == ChargePurse(till.offer)


def test_card_pays_at_once_what_was_typed_for_its_holder() -> None:
    till = plain()
    run(till, AmountEntered(PRICE), PRESENTED, done(Approved(SALE, Fen(0))), CardLeft())
    assert run(till, AmountEntered(Fen(200)), PRESENTED)[1] == ChargePurse(amount_offer(Fen(200)))
    run(till, done(Approved(SALE, Fen(0))), CardLeft())
    assert run(till, ModeChosen(Mode.FIXED), AmountEntered(PRICE), PRESENTED)[2] == (
        ChargePurse(amount_offer(PRICE, Mode.FIXED))
    )


def test_configuration_is_taken_up_only_between_sales() -> None:
    till = plain()
    new = replace(OTHERS, version=9)
    run(till, ProductPressed(TEA), Ticked(NOON, new))
    assert till.configuration is OTHERS
    run(till, CancelPressed())
    assert till.configuration is new
    run(till, BalancePressed(), Ticked(NOON, OTHERS))
    assert till.configuration is new
    run(till, ModeChosen(Mode.MEALS), CancelPressed(), Ticked(NOON, OTHERS))
    assert till.configuration is OTHERS


def test_nothing_is_sold_before_a_cashier_has_opened_a_shift() -> None:
    till = plain(SCHOOL)
    assert phase(till) is Phase.PIN
    assert run(till, AmountEntered(PRICE), PRESENTED, PinEntered(PIN)) == [None, None, SignOn(StaffRole.CASHIER, PIN)]
    run(till, done(SignedOn(replace(SIGNED, card=CASHIER))))
    assert till.errand == OpeningShift(CASHIER, "Wang")
    assert till.handle(AmountEntered(Fen(0))) == OpenShift(CASHIER, Fen(0))
    run(till, done(ShiftOpened(1, CASHIER, NOON, Fen(0))))
    assert (till.phase, till.cashier) == (Phase.AMOUNT, CASHIER)


@pytest.mark.parametrize("digits", ["", "123", "12a4", "1234567890123", "１２３４"])
def test_pin_is_four_to_twelve_digits(digits: str) -> None:
    till = plain(SCHOOL)
    run(till, PinEntered(digits))
    assert (till.notice, till.phase) == (Notice.PIN_IS_DIGITS, Phase.PIN)


def test_pin_is_shown_to_one_card_kept_nowhere_and_in_no_text() -> None:
    till = plain(SCHOOL)
    event = PinEntered(PIN)
    run(till, event)
    command = till.handle(PRESENTED)
    assert isinstance(command, SignOn)
    assert PIN not in f"{event!r}{command!r}{vars(till)!r}"
    run(till, done(NotPaid("gone", "card-removed")))
    assert phase(till) is Phase.PIN
    assert run(till, CardLeft(), PRESENTED) == [None, None]


def test_pin_lapses_when_nobody_comes() -> None:
    till = plain(SCHOOL)
    run(till, PinEntered(PIN), Ticked(later(NOON, ERRAND_S_MAX + 1), SCHOOL), PRESENTED)
    assert (till.notice, till.phase) == (Notice.TIMED_OUT, Phase.PIN)


@pytest.mark.parametrize(
    "result", [ProofRefused(SIGNED), Unresolved(SIGNED), Refused(Refusal.PIN_WRONG, CASHIER, Fen(0), 2)]
)
def test_card_that_is_not_proven_signs_nobody_on(result: Result) -> None:
    till = plain(SCHOOL)
    run(till, PinEntered(PIN), PRESENTED, done(result))
    assert phase(till) is Phase.PIN


def test_undo_is_for_the_last_sale_once_and_in_time() -> None:
    till = staffed()
    run(till, UndoPressed())
    assert till.notice is Notice.NOTHING_TO_UNDO
    run(till, AmountEntered(PRICE), PRESENTED, done(Approved(SALE, Fen(0))))
    assert run(till, UndoPressed(), CardLeft(), PRESENTED) == [None, None, ReverseSale(SALE)]
    run(till, done(WrongCard(SALE.card)))
    assert phase(till) is Phase.UNDO_CARD
    run(till, CardLeft(), PRESENTED, done(Reversed(tap(8, kind=TapKind.REVERSAL, refers_to=7), Fen(0))))
    assert (till.phase, till.last_sale) == (Phase.AMOUNT, None)
    run(till, UndoPressed())
    assert till.notice is Notice.NOTHING_TO_UNDO


def test_late_undo_takes_a_supervisor() -> None:
    till = staffed(SALE)
    run(till, Ticked(later(NOON, UNDO_S_MAX + 1), SCHOOL), UndoPressed())
    assert till.errand == SigningOn(StaffRole.SUPERVISOR, Undoing(SALE))
    run(till, PinEntered(PIN), PRESENTED, done(SignedOn(replace(SIGNED, opened_at=later(NOON, UNDO_S_MAX + 1)))))
    assert run(till, CardLeft(), PRESENTED) == [None, ReverseSale(SALE, SUPERVISOR)]


def test_late_undo_without_a_supervisor_is_none() -> None:
    till = Till(None, last_sale=SALE)
    run(till, ReaderFound(), Ticked(later(NOON, UNDO_S_MAX + 1), OTHERS), UndoPressed())
    assert (till.notice, till.errand) == (Notice.UNDO_TOO_LATE, None)


DOUBTFUL: list[Result] = [
    Unresolved(replace(SALE, outcome=Outcome.UNKNOWN)),
    ProofRefused(replace(SALE, mac2=Mac2.REFUSED)),
]


@pytest.mark.parametrize("ended", DOUBTFUL)
def test_doubtful_sale_is_not_undone_nor_one_before_it(ended: Result) -> None:
    till = staffed(tap(3))
    run(till, AmountEntered(PRICE), PRESENTED, done(ended), UndoPressed())
    assert till.notice is Notice.NOTHING_TO_UNDO


def test_refund_is_a_supervisors_word_an_amount_and_a_card() -> None:
    till = staffed()
    run(till, RefundPressed(5))
    assert till.errand == SigningOn(StaffRole.SUPERVISOR, Refunding(5))
    run(till, PinEntered(PIN), PRESENTED, done(SignedOn(SIGNED)), CardLeft())
    assert phase(till) is Phase.REFUND_AMOUNT
    run(till, AmountEntered(Fen(0)))
    assert (till.notice, till.phase) == (Notice.AMOUNT_NEEDED, Phase.REFUND_AMOUNT)
    assert run(till, AmountEntered(Fen(300)), PRESENTED) == [None, RefundPurse(Fen(300), 5, SUPERVISOR)]
    run(till, done(Refunded(tap(9, kind=TapKind.REFUND), Fen(0))))
    assert phase(till) is Phase.AMOUNT
    assert run(till, CardLeft(), PRESENTED) == [None, None]


@pytest.mark.parametrize(("age_s", "opens"), [(ERRAND_S_MAX, True), (ERRAND_S_MAX + 1, False)])
def test_torn_sign_on_that_is_told_of_late_opens_no_shift(age_s: int, opens: bool) -> None:
    torn = replace(SIGNED, outcome=Outcome.UNKNOWN, mac2=Mac2.NOT_CHECKED)
    till = plain(SCHOOL)
    run(till, PinEntered(PIN), PRESENTED, done(Torn(torn, "gone", "card-removed")), CardLeft())
    run(till, Ticked(later(NOON, age_s), SCHOOL), PRESENTED, done(SignedOn(SIGNED)))
    assert till.phase is (Phase.OPENING_CASH if opens else Phase.PIN)


def test_supervisors_word_lapses() -> None:
    till = staffed()
    run(till, RefundPressed(), PinEntered(PIN), PRESENTED, done(SignedOn(SIGNED)), CardLeft())
    run(till, Ticked(later(NOON, ERRAND_S_MAX + 1), SCHOOL))
    assert (till.errand, till.notice) == (None, Notice.TIMED_OUT)


def test_refund_without_staff_is_none() -> None:
    till = plain()
    run(till, RefundPressed())
    assert till.notice is Notice.NO_SUPERVISOR


def test_cash_needs_a_shift_and_something_to_sell() -> None:
    till = plain()
    run(till, AmountEntered(PRICE), CashPressed())
    assert till.notice is Notice.NO_SHIFT
    staff = staffed()
    run(staff, CashPressed())
    assert staff.notice is Notice.NOTHING_TO_SELL
    assert run(staff, ProductPressed(TEA), CashPressed()) == [None, RecordCash(Fen(300))]
    run(staff, done(CashTaken(1, Fen(300), NOON)))
    assert staff.phase is Phase.AMOUNT


def test_shift_reports_and_closes_with_what_was_counted() -> None:
    till = staffed(SALE)
    assert till.handle(XReportPressed()) == ReportShift()
    run(till, done(ShiftReported(TOTALS)), CloseShiftPressed())
    assert phase(till) is Phase.COUNTED_CASH
    assert till.handle(AmountEntered(Fen(0))) == CloseShift(Fen(0))
    run(till, done(ShiftClosed(TOTALS, Fen(0), NOON)))
    assert (till.phase, till.cashier, till.last_sale) == (Phase.PIN, None, None)
    assert isinstance(till.result, ShiftClosed)
    other = plain()
    run(other, XReportPressed())
    assert other.notice is Notice.NO_SHIFT


def test_training_asks_cards_and_touches_no_money() -> None:
    till = staffed(SALE)
    run(till, TrainingPressed(), AmountEntered(PRICE))
    assert till.handle(PRESENTED) == TrainPurse(amount_offer(PRICE))
    run(till, done(Trained(None, SALE.card, PRICE, Fen(0), Fen(0))), CardLeft())
    for event in (UndoPressed(), RefundPressed(), CloseShiftPressed(), XReportPressed(), CashPressed()):
        assert run(till, event) == [None]
        assert till.notice is Notice.NOT_IN_TRAINING
    assert run(till, BalancePressed(), PRESENTED) == [None, ReadBalance()]
    run(till, done(NotPaid("gone")), CancelPressed(), TrainingPressed())
    assert (till.training, till.phase) == (False, Phase.AMOUNT)


def test_shift_can_be_closed_although_the_server_takes_nothing() -> None:
    till = staffed()
    run(till, VerdictRead(Trouble("FORK", "tap 7 differs")))
    assert phase(till) is Phase.NOTHING
    run(till, CloseShiftPressed())
    assert phase(till) is Phase.COUNTED_CASH
