"""The till's state machine: what the cashier and the card reader do, and what the till does about it. Pure.

Events in, at most one command out (`terminal.events`); what the screen shows is read from the attributes. Carrying
commands out is `terminal.program`'s matter, drawing `terminal.screen`'s.

A configuration that came down is taken up only while nothing is being sold or asked: no amount or basket was keyed in,
no tap is open, no errand under way. Prices, periods, limits, subsidies and staff change together.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from drivers.channel import ReaderFault, ReaderMissing, ReaderServiceDown, ReaderStuck
from drivers.load import PIN_DIGITS
from drivers.reader import CardLeft, CardPresented, CardSilent, ReaderFound, ReaderLost
from terminal.basket import Mode, Offer
from terminal.errands import AskingBalance, ClosingShift, Errand, OpeningShift, Refunding, SigningOn, Undoing
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
    GiveUpTorn,
    LineRemoved,
    MealsEntered,
    ModeChosen,
    Notice,
    OpenShift,
    Phase,
    PinEntered,
    ProductPressed,
    PsamLooked,
    RecordCash,
    RefundPressed,
    ReportShift,
    ResolveTorn,
    SaleEnded,
    Ticked,
    TillEvent,
    TillFailed,
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
    StillThere,
    Torn,
    Trained,
    Unresolved,
    WrongCard,
)
from terminal.rules import DOUBLE_TAP_S_MAX, UNDO_S_MAX, seconds_between
from terminal.selling import Selling
from terminal.totals import last_sale_after
from terminal.usage import day_and_minute
from wire.configuration import Configuration, StaffRole
from wire.ids import CardId
from wire.money import Fen
from wire.record import Refusal, TapKind, TapRecord, TapTime

AGAIN_MAX: Final = 3  # attempts with a card that is reported anew after each and may never have left
ERRAND_S_MAX: Final = 60  # a PIN or a supervisor's word does not lie about for whoever comes next

# Result codes whose advice is to see to the reader itself.
_MENDED_BY_REPLUGGING: Final = frozenset(
    fault.code for fault in (ReaderFault, ReaderMissing, ReaderServiceDown, ReaderStuck)
)


class Till:
    """One cashier's till. `torn` is a tap that an earlier run left open: it comes before everything else.

    `cashier` is who has a shift open, which an earlier run may have left so; `last_sale` the last one in it.
    """

    def __init__(
        self, torn: TapRecord | None, *, cashier: CardId | None = None, last_sale: TapRecord | None = None
    ) -> None:
        self.torn = torn
        self.cashier = cashier
        self.last_sale = last_sale
        self.selling = Selling()
        self.errand: Errand | None = None
        self.training = False
        self.configuration: Configuration | None = None  # the one in force
        self.at: TapTime | None = None  # the last tick's
        self.result: Result | None = None
        self.notice: Notice | None = None  # what the last key came to, if nothing could be done about it
        self.doubted: CardId | None = None  # refused as a double tap: a confirmation lets it pay all the same
        self.again_for: CardId | None = None  # which was confirmed
        self.reader_fault: Trouble | None = Trouble(ReaderServiceDown.code, "not looked for yet")
        self.psam_fault: Trouble | None = None
        self.verdict: Trouble | None = None
        self.failure: str | None = None
        self.giving_up = False
        self.working = False  # a command is carried out with a card
        self.card_silent = False
        self.card_lies = False  # on the reader and dealt with: it has to leave before anything else happens
        self._offered: Configuration | None = None
        self._touched_s = 0  # uptime of the last tick before the last key
        self._waiting: CardPresented | None = None  # not dealt with; one presentation is good for one command
        self._last: CardId | None = None  # the card of the last sale, until one comes that was certainly lifted
        self._again = 0
        self._left: CardId | None = None  # the card that was last before
        self._left_s = 0  # the uptime of the tick before it left
        self._left_at: Offer | None = None  # what was offered then

    @property
    def offer(self) -> Offer | None:
        """What the next card would pay for."""
        return self.selling.offer

    @property
    def amount_fen(self) -> Fen | None:
        """What is to be paid or given back, at most: a card's class may make it less. None: nothing yet."""
        if isinstance(self.errand, Refunding):
            return self.errand.credit_fen
        return None if self.offer is None else self.offer.prices_fen[-1]

    @property
    def needs_shift(self) -> bool:
        """Whether somebody has to sign on before anything is sold: staff is configured, and no shift is open."""
        return self.cashier is None and self.configuration is not None and bool(self.configuration.staff)

    @property
    def phase(self) -> Phase:
        """What is to happen next."""
        if self.failure is not None:
            return Phase.NOTHING
        if self.torn is not None:
            return Phase.SAME_CARD
        if self.verdict is not None and not isinstance(self.errand, ClosingShift):
            return Phase.NOTHING
        if self.errand is not None:
            return self.errand.phase
        return Phase.AMOUNT if self.offer is None or self.selling.held else Phase.CARD

    def handle(self, event: TillEvent) -> Command | None:
        """Take one event; returns the one thing to do now, if any."""
        command = None
        match event:
            case ReaderFound() | ReaderLost() | CardPresented() | CardSilent() | CardLeft():
                self._hear_reader(event)
            case SaleEnded(result):
                self._end(result)
                self._settle()
                return None
            case TillFailed(why):
                self.failure = why
            case PsamLooked(trouble):
                self.psam_fault = trouble
            case VerdictRead(trouble):
                self.verdict = trouble
            case Ticked():
                self._tick(event)
            case _:
                command = self._press(event)
        self._settle()
        return command or self._use_card()

    def _hear_reader(self, event: ReaderFound | ReaderLost | CardPresented | CardSilent | CardLeft) -> None:
        match event:
            case ReaderFound():
                self._find_reader()
            case ReaderLost(why, code):
                self.reader_fault = Trouble(code, why)
                self._clear_reader()
            case CardPresented():
                self._present(event)
            case CardSilent():
                self._clear_reader()
                self.card_silent = True
            case CardLeft():
                self._left_s, self._left_at = 0 if self.at is None else self.at.uptime_s, self.offer
                self._clear_reader()

    def _find_reader(self) -> None:
        self.reader_fault = None
        if isinstance(self.result, NotPaid | Torn) and self.result.code in _MENDED_BY_REPLUGGING:
            self.result = None  # what it told the cashier to do is done

    def _clear_reader(self) -> None:
        self._waiting, self.card_lies, self.card_silent = None, False, False

    def _present(self, event: CardPresented) -> None:
        self._clear_reader()
        if not event.perhaps_same:
            self._left, self._last, self._again = self._last, None, 0
        if self._again < AGAIN_MAX:
            self._waiting = event
        else:
            self.card_lies = True

    def _tick(self, event: Ticked) -> None:
        self.at = event.at
        self._offered = event.configuration
        _, self.selling.day_min = day_and_minute(event.at)
        if self._may_time_out and event.at.uptime_s - self._touched_s > ERRAND_S_MAX:
            self.errand, self.notice = None, Notice.TIMED_OUT

    @property
    def _may_time_out(self) -> bool:
        match self.errand:
            case None | OpeningShift() | ClosingShift():
                return False  # counting takes its time
            case SigningOn(_, then, digits):
                return bool(digits) or then is not None
        return self.torn is None

    def _settle(self) -> None:
        """What follows by itself: a new configuration between two sales, and the question who sells."""
        idle = self.torn is None and self.errand in (None, SigningOn(StaffRole.CASHIER)) and not self.selling.is_begun
        if idle and self._offered is not self.configuration:
            self.configuration = self.selling.configuration = self._offered
            self.errand = None
        if self.errand is None and self.needs_shift and not self.training:
            self.errand = SigningOn(StaffRole.CASHIER)

    def _use_card(self) -> Command | None:
        if self._waiting is None:
            return None
        command: Command | None = None
        match self.phase:
            case Phase.SAME_CARD:
                command = None if self.torn is None else ResolveTorn(self.torn)
            case Phase.CARD if self.offer is not None:
                charge = ChargePurse(self.offer, self._last, self.again_for, self._just_left)
                command = TrainPurse(self.offer) if self.training else charge
            case _ if self.errand is not None and self.phase is self.errand.phase:
                command = self.errand.on_card()
        if command is None:
            return None
        if isinstance(self.errand, SigningOn):
            self.errand = replace(self.errand, digits="")  # a PIN is shown to one card, once
        self.giving_up = False
        self._again += self._waiting.perhaps_same
        self._waiting, self.card_lies = None, True
        return command

    @property
    def _just_left(self) -> CardId | None:
        """The card that was last, if it left shortly ago, and what is offered to card after card was so already."""
        recently = self.at is not None and self.at.uptime_s - self._left_s <= DOUBLE_TAP_S_MAX
        stands = self.selling.mode in (Mode.FIXED, Mode.MEALS) and self.offer == self._left_at
        return self._left if recently and stands else None

    def _press(self, event: CashierEvent) -> Command | None:
        """A key: what was told before is over, except a torn tap, which only its card or giving it up ends."""
        if self.at is not None:
            self._touched_s = self.at.uptime_s
        if isinstance(event, CancelPressed):
            return self._cancel()
        self.giving_up = False
        if self.torn is not None or self.failure is not None:
            return None
        doubted, self.doubted, self.again_for = self.doubted, None, None
        self.result = self.notice = None
        if self.errand is not None:
            return self._press_in_errand(self.errand, event)
        match event:
            case AmountBegun():
                self.selling.begin_amount()
            case AmountEntered(amount_fen):
                self.notice = self.selling.enter_amount(amount_fen)
            case MealsEntered(count):
                self.notice = self.selling.enter_meals(count)
            case ProductPressed(number, count):
                self.notice = self.selling.press_product(number, count)
            case CodeScanned(code):
                self.notice = self.selling.scan(code)
            case LineRemoved(number):
                self.notice = self.selling.remove(number)
            case ModeChosen(mode):
                self.notice = self.selling.choose(mode)
            case ConfirmPressed():
                self._confirm(doubted)
            case _:
                return self._press_function(event)
        return None

    def _confirm(self, doubted: CardId | None) -> None:
        if self.selling.held:
            self.selling.held = False
        elif doubted is not None:
            self.again_for = doubted
        else:
            self.notice = Notice.NOTHING_TO_CONFIRM

    def _press_function(self, event: CashierEvent) -> Command | None:
        """The keys that are no sale's."""
        if self.selling.is_begun and not isinstance(event, CashPressed):
            self.notice = Notice.SALE_NOT_ENDED
            return None
        match event:
            case TrainingPressed():
                self.training = not self.training
                self.selling.clear()
                return None
            case BalancePressed():
                self.errand = AskingBalance()
                return None
        if self.training:
            self.notice = Notice.NOT_IN_TRAINING
            return None
        match event:
            case UndoPressed():
                self._begin_undo()
            case RefundPressed(seq):
                self._ask_supervisor(Refunding(seq), Notice.NO_SUPERVISOR)
            case CashPressed():
                return self._take_cash()
            case XReportPressed() if self.cashier is not None:
                return ReportShift()
            case CloseShiftPressed() if self.cashier is not None:
                self.errand = ClosingShift()
            case XReportPressed() | CloseShiftPressed():
                self.notice = Notice.NO_SHIFT
            case PinEntered():
                self.notice = Notice.NOTHING_TO_CONFIRM
        return None

    def _begin_undo(self) -> None:
        if self.last_sale is None:
            self.notice = Notice.NOTHING_TO_UNDO
        elif self.at is None or seconds_between(self.last_sale.opened_at, self.at) <= UNDO_S_MAX:
            self.errand = Undoing(self.last_sale)
        else:
            self._ask_supervisor(Undoing(self.last_sale), Notice.UNDO_TOO_LATE)

    def _ask_supervisor(self, then: Undoing | Refunding, otherwise: Notice) -> None:
        staff = () if self.configuration is None else self.configuration.staff
        if self.cashier is not None and any(member.role >= StaffRole.SUPERVISOR for member in staff):
            self.errand = SigningOn(StaffRole.SUPERVISOR, then)
        else:
            self.notice = otherwise

    def _take_cash(self) -> Command | None:
        if self.cashier is None:
            self.notice = Notice.NO_SHIFT
        elif self.offer is None:
            self.notice = Notice.NOTHING_TO_SELL
        else:
            return RecordCash(self.offer.fen(None))
        return None

    def _press_in_errand(self, errand: Errand, event: CashierEvent) -> Command | None:
        match errand, event:
            case OpeningShift(), AmountEntered(amount_fen):
                return OpenShift(errand.cashier, amount_fen)
            case ClosingShift(), AmountEntered(amount_fen):
                return CloseShift(amount_fen)
            case Refunding(), AmountEntered(amount_fen):
                self.errand = replace(errand, credit_fen=amount_fen or None)
                self.notice = None if amount_fen else Notice.AMOUNT_NEEDED
            case Refunding(), AmountBegun():
                self.errand = replace(errand, credit_fen=None)
            case SigningOn(), PinEntered(digits):
                if len(digits) in PIN_DIGITS and digits.isascii() and digits.isdigit():
                    self.errand = replace(errand, digits=digits)
                else:
                    self.errand, self.notice = replace(errand, digits=""), Notice.PIN_IS_DIGITS
            case SigningOn(StaffRole.CASHIER, None), TrainingPressed():
                self.errand, self.training = None, True
            case SigningOn(StaffRole.CASHIER, None), BalancePressed():
                self.errand = AskingBalance()
            case _, AmountBegun():
                pass
            case _:
                self.notice = Notice.SALE_NOT_ENDED
        return None

    def _cancel(self) -> Command | None:
        """Esc ends what is asked, or the sale; a torn tap takes it twice, for nobody can ask that card afterwards."""
        if self.failure is not None:
            return None
        if self.torn is None:
            self.result = self.notice = self.doubted = self.again_for = None
            if self.errand is None:
                self.selling.clear()
            self.errand = None
            return None
        if not self.giving_up:
            self.giving_up = True
            return None
        return GiveUpTorn(self.torn)

    def _end(self, result: Result) -> None:
        self.result, self.notice = result, None
        self.giving_up = False
        self.doubted = self.again_for = None
        self._touched_s = 0 if self.at is None else self.at.uptime_s
        match result:
            case Torn(record, _):
                self.torn = record
            case WrongCard() | StillThere():
                pass
            case NotPaid():
                self.torn = None  # the sale stays if it is this one, and is none after a restart
            case Refused(refusal, card):
                self._end_tap(card)
                self._end_refused(refusal, card)
            case Approved(record) | Reversed(record) | Refunded(record) | SignedOn(record):
                self._end_tap(record.card)
                self._end_sealed(record, proven=True)
            case ProofRefused(record) | Unresolved(record):  # money may have moved, and nobody vouches for it
                self._end_tap(record.card)
                self._end_sealed(record, proven=False)
            case _:
                self._end_counter(result)

    def _end_tap(self, card: CardId) -> None:
        self.torn = None
        self._last, self._again = card, 0

    def _end_refused(self, refusal: Refusal, card: CardId) -> None:
        if isinstance(self.errand, SigningOn):
            return  # another PIN, or another card
        if self.errand is not None:
            self.errand = None
        elif refusal is Refusal.DOUBLE_TAP:
            self.doubted = card  # the sale stays: the right customer may be the next
        else:
            self.selling.refuse()

    def _end_sealed(self, record: TapRecord, *, proven: bool) -> None:
        self.last_sale = last_sale_after(self.last_sale, record)
        if record.kind is TapKind.SALE:
            self.selling.end()
        elif record.kind is not TapKind.SIGN_ON:
            self.errand = None
        elif proven and isinstance(self.errand, SigningOn) and self._is_fresh(record):
            then = self.errand.then
            self.errand = (
                OpeningShift(record.card, self._name(record.card)) if then is None else replace(then, by=record.card)
            )

    def _is_fresh(self, record: TapRecord) -> bool:
        """Whether a sign-on is of now: one that was torn and is told of much later, or after a restart, is not."""
        return self.at is None or seconds_between(record.opened_at, self.at) <= ERRAND_S_MAX

    def _end_counter(self, result: Result) -> None:
        match result:
            case ShiftOpened():
                self.cashier, self.errand = result.cashier, None
            case ShiftClosed():
                self.cashier = self.last_sale = self.errand = None
                self.selling.choose(Mode.FREE)
            case CashTaken():
                self.selling.end()
            case BalanceRead():
                self.errand = None
                self._last, self._again = result.card, 0
            case Trained():
                self.selling.end()
                self._last, self._again = result.card, 0
            case ShiftReported():
                pass

    def _name(self, card: CardId) -> str:
        member = None if self.configuration is None else self.configuration.staff_member(card)
        return "" if member is None else member.name
