"""The till with staff, shifts, modes and errands: each rule, then any order of anything against what must never be."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from drivers.reader import CardLeft, CardPresented, ReaderFound
from terminal.basket import Mode, Offer, amount_offer
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
    ResolveTorn,
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
    BalanceRead,
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
from terminal.rules import UNDO_S_MAX
from terminal.till import ERRAND_S_MAX, Till
from terminal.totals import ShiftTotals
from tests.terminal.conftest import INTENT, NOON, later
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
from wire.ids import CardId
from wire.money import Fen
from wire.record import Mac2, Outcome, Refusal, TapKind, TapRecord, TapTime

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
    for _ in range(2):
        assert run(till, PRESENTED, done(Approved(SALE, Fen(0))), CardLeft())[0] == ChargePurse(fixed)
    assert run(till, PRESENTED, done(Refused(Refusal.EXPIRED, SALE.card, Fen(0))), CardLeft())[0] == ChargePurse(fixed)
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
    assert run(till, ConfirmPressed(), CardLeft(), PRESENTED, doubled)[2] == ChargePurse(offer, None, SALE.card)
    again = run(till, AmountBegun(), AmountEntered(PRICE), CardLeft(), PRESENTED)[3]
    assert again == ChargePurse(offer)  # the first digit ended the question
    run(till, doubled)
    assert run(till, AmountEntered(PRICE), CardLeft(), PRESENTED)[2] == ChargePurse(offer, None, SALE.card)


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
    assert till.errand == SigningOn(StaffRole.SUPERVISOR, Undoing(SALE, late=True))
    run(till, PinEntered(PIN), PRESENTED, done(SignedOn(SIGNED)))
    assert run(till, CardLeft(), PRESENTED) == [None, ReverseSale(SALE, late=True)]


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
    assert run(till, AmountEntered(Fen(300)), PRESENTED) == [None, RefundPurse(Fen(300), 5)]
    run(till, done(Refunded(tap(9, kind=TapKind.REFUND), Fen(0))))
    assert phase(till) is Phase.AMOUNT
    assert run(till, CardLeft(), PRESENTED) == [None, None]


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
    run(staff, done(CashTaken(1, Fen(300))))
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


KEYS: list[CashierEvent] = [
    AmountBegun(),
    AmountEntered(Fen(0)),
    AmountEntered(PRICE),
    MealsEntered(2),
    ProductPressed(RICE),
    CodeScanned(TEA_CODE),
    CodeScanned("?"),
    LineRemoved(RICE),
    *(ModeChosen(mode) for mode in Mode),
    CancelPressed(),
    ConfirmPressed(),
    UndoPressed(),
    RefundPressed(),
    RefundPressed(2),
    BalancePressed(),
    PinEntered(PIN),
    CashPressed(),
    XReportPressed(),
    CloseShiftPressed(),
    TrainingPressed(),
]
PAYING = (ChargePurse, ReverseSale, RefundPurse, SignOn)


class Counter(RuleBasedStateMachine):
    """A model that knows only what was committed: who has a shift, what is open, what was sold and taken back."""

    def __init__(self) -> None:
        super().__init__()
        self.till = Till(None)
        self.at: TapTime = NOON
        self.seq = 0
        self.shift: CardId | None = None
        self.torn: TapRecord | None = None
        self.sales: list[TapRecord] = []  # of this shift that stand
        self.word_s: int | None = None  # when a supervisor signed on, until it is used
        self.shown: Offer | None = None  # what the screen showed before the event
        self.begun: Configuration | None = None
        self.under_way: Command | None = None
        self.feed(ReaderFound())

    def feed(self, event: TillEvent) -> None:
        till = self.till
        busy = (
            till.selling.is_begun or (till.errand is not None and till.phase is not Phase.PIN) or till.torn is not None
        )
        before, shown = till.configuration, till.offer
        command = till.handle(event)
        if busy and (till.selling.is_begun or till.torn is not None):
            assert till.configuration is before, "prices changed in the middle of a sale"
        if command is None:
            return
        assert self.under_way is None
        self.under_way = command
        staff = till.configuration is not None and bool(till.configuration.staff)
        if isinstance(command, ChargePurse | TrainPurse):
            assert command.offer == till.offer, "charged what is not on the screen"
            assert isinstance(event, CashierEvent | Ticked) or command.offer == shown
            assert till.training == isinstance(command, TrainPurse)
        if isinstance(command, PAYING):
            assert self.torn is None
            assert not till.training, "training touched a card's money"
        if isinstance(command, ChargePurse):
            assert self.shift is not None or not staff, "sold without a shift"
        if isinstance(command, ReverseSale):
            assert command.sale == self.sales[-1], "another sale than the last was undone"
            in_time = self.at.uptime_s - command.sale.opened_at.uptime_s <= UNDO_S_MAX
            assert in_time or (command.late and self.word_s is not None)
        if isinstance(command, RefundPurse):
            assert command.credit_fen > 0
            assert self.word_s is not None, "a refund without a supervisor"
        if isinstance(command, RecordCash | CloseShift | ReportShift):
            assert self.shift is not None
            assert not till.training
        if isinstance(command, OpenShift):
            assert self.shift is None
        assert PIN not in repr(vars(till))

    def end(self, result: Result) -> None:
        self.under_way = None
        self.feed(SaleEnded(result))

    def record(self, kind: TapKind, card: CardId, **changes: object) -> TapRecord:
        self.seq += 1
        usual: dict[str, object] = {"kind": kind, "card": card, "opened_at": self.at, "subsidy_fen": Fen(0)}
        return tap(self.seq, **{**usual, **changes})

    @rule(event=st.sampled_from(KEYS))
    def press(self, event: CashierEvent) -> None:
        self.feed(event)

    @rule(present=st.booleans())
    def card(self, present: bool) -> None:
        self.feed(PRESENTED if present else CardLeft())

    @rule(seconds=st.sampled_from([1, 30, 70, 400]), which=st.sampled_from([None, OTHERS, SCHOOL, SCHOOL]))
    def time_passes(self, seconds: int, which: Configuration | None) -> None:
        self.at = later(self.at, seconds)
        if self.word_s is not None and self.at.uptime_s - self.word_s > 10 * ERRAND_S_MAX:
            self.word_s = None  # however often somebody pressed a key in between
        self.feed(Ticked(self.at, which))

    @rule()
    def sign_on_and_open(self) -> None:
        """The way in, which chance alone would seldom find."""
        if self.till.errand == SigningOn(StaffRole.CASHIER):
            for event in (CardLeft(), PinEntered(PIN), PRESENTED):
                self.feed(event)
            self.carry_out(0)
            self.feed(AmountEntered(FLOAT))
            self.carry_out(0)

    @rule()
    def sell(self) -> None:
        if self.till.phase is Phase.AMOUNT and self.till.selling.mode is Mode.FREE:
            for event in (CardLeft(), AmountEntered(PRICE), PRESENTED):
                self.feed(event)
            if self.under_way is not None:
                self.carry_out(0)

    @precondition(lambda self: self.under_way is not None)
    @rule(how=st.integers(0, 9))
    def carry_out(self, how: int) -> None:
        """The command's end: mostly well, sometimes torn, unproven, refused, or the card left too early."""
        command = self.under_way
        assert command is not None
        match command:
            case OpenShift(cashier, cash_fen):
                self.shift = cashier
                self.end(ShiftOpened(1, cashier, self.at, cash_fen))
            case CloseShift(counted_fen):
                self.shift, self.sales = None, []
                self.end(ShiftClosed(TOTALS, counted_fen, self.at))
            case ReportShift():
                self.end(ShiftReported(TOTALS))
            case RecordCash(amount_fen):
                self.end(CashTaken(1, amount_fen))
            case ReadBalance():
                read = BalanceRead(
                    card=INTENT.card, card_class=1, balance_fen=Fen(0), subsidy_left_fen=Fen(0), taps=(), log=()
                )
                self.end(read)
            case TrainPurse():
                self.end(Trained(None, INTENT.card, Fen(1), Fen(0), Fen(1)))
            case ResolveTorn(torn):
                self.torn = None
                self.seal(torn, 0 if how < 5 else 1)
            case _ if isinstance(command, ChargePurse | ReverseSale | RefundPurse | SignOn):
                self.tap(command, how)
            case _:
                self.seal(self.torn_tap(), 2)

    def torn_tap(self) -> TapRecord:
        torn, self.torn = self.torn, None
        assert torn is not None
        return torn

    def tap(self, command: ChargePurse | ReverseSale | RefundPurse | SignOn, how: int) -> None:
        if how == 9:
            self.end(NotPaid("the card left", "card-removed"))
            return
        match command:
            case ChargePurse():
                made = self.record(TapKind.SALE, INTENT.card)
            case ReverseSale(sale):
                made = self.record(TapKind.REVERSAL, sale.card, refers_to=sale.tap_id.seq)
            case RefundPurse(credit_fen):
                made = self.record(TapKind.REFUND, INTENT.card, credit_fen=credit_fen)
            case _:
                card = CASHIER if command.role is StaffRole.CASHIER else SUPERVISOR
                made = self.record(TapKind.SIGN_ON, card, amount_fen=Fen(0))
        if how == 8:
            if isinstance(command, RefundPurse | ReverseSale):
                self.word_s = None
            refusal = Refusal.DOUBLE_TAP if isinstance(command, ChargePurse) else Refusal.EXPIRED
            self.end(Refused(refusal, made.card, Fen(0)))
        elif how == 7:
            self.torn = made
            self.end(Torn(made, "gone", "card-removed"))
        else:
            self.seal(made, how if how in (1, 2) else 0)

    def seal(self, made: TapRecord, how: int) -> None:
        """0: well; 1: the PSAM refused its proof; 2: nobody knows."""
        outcome = Outcome.UNKNOWN if how == 2 else Outcome.DEBITED
        made = replace(made, outcome=outcome, mac2=Mac2.REFUSED if how == 1 else made.mac2)
        if made.kind is TapKind.SALE:
            self.sales = [*self.sales, made] if how == 0 else []
        elif made.kind is TapKind.REVERSAL and self.sales and made.refers_to == self.sales[-1].tap_id.seq:
            self.sales = []  # and what was before it is not the last sale
        if made.kind is TapKind.SIGN_ON and how == 0 and made.card == SUPERVISOR:
            self.word_s = self.at.uptime_s
        elif made.kind in (TapKind.REFUND, TapKind.REVERSAL):
            self.word_s = None
        good: dict[TapKind, Result] = {
            TapKind.SALE: Approved(made, Fen(0)),
            TapKind.REVERSAL: Reversed(made, Fen(0)),
            TapKind.REFUND: Refunded(made, Fen(0)),
            TapKind.SIGN_ON: SignedOn(made),
        }
        self.end((good[made.kind], ProofRefused(made), Unresolved(made))[how])

    @invariant()
    def till_knows_what_was_committed(self) -> None:
        if self.under_way is not None:
            return
        assert self.till.torn == self.torn
        assert self.till.cashier == self.shift
        if self.till.last_sale is not None:
            assert self.till.last_sale == self.sales[-1]
        if self.till.phase is Phase.CARD and not self.till.training:
            staff = self.till.configuration is not None and bool(self.till.configuration.staff)
            assert self.shift is not None or not staff

    for _name in ("press", "card", "time_passes", "sign_on_and_open", "sell"):
        locals()[_name] = precondition(lambda self: self.under_way is None)(locals()[_name])


TestCounter = Counter.TestCase
TestCounter.settings = settings(max_examples=150, stateful_step_count=40)
