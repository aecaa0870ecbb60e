"""The till with staff, shifts, ways of selling and errands: any order of anything, against what must never be."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from drivers.reader import CardLeft, CardPresented, ReaderFound
from terminal.basket import Mode
from terminal.errands import SigningOn
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
    UndoPressed,
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
)
from terminal.rules import UNDO_S_MAX
from terminal.till import ERRAND_S_MAX, Till
from terminal.totals import ShiftTotals
from tests.terminal.conftest import INTENT, NOON, later
from tests.terminal.school import (
    CASHIER,
    RICE,
    SCHOOL,
    SUPERVISOR,
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
            assert in_time or (command.allowed_by is not None and self.word_s is not None)
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
                self.end(CashTaken(1, amount_fen, NOON))
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
