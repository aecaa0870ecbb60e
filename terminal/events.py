"""What happens at a till and what it may have to do about it: the events that go in, the commands that come out. Pure.

What the events mean is `terminal.till`'s matter; carrying the commands out is `terminal.program`'s.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, StrEnum, auto

from drivers.reader import ReaderEvent
from terminal.basket import Mode, Offer
from terminal.result import Result
from wire.configuration import Configuration, StaffRole
from wire.ids import CardId
from wire.money import Fen
from wire.record import TapRecord, TapTime


@dataclass(frozen=True, slots=True)
class AmountEntered:
    """The cashier finished typing an amount: a sale's, the fixed price, a refund, or a drawer's, which may be zero."""

    amount_fen: Fen


@dataclass(frozen=True, slots=True)
class AmountBegun:
    """The cashier is typing: what was on the screen before is over, an amount that waited for a card too."""


@dataclass(frozen=True, slots=True)
class MealsEntered:
    """In meal mode: how many meals the next card pays; one if nothing was typed."""

    count: int


@dataclass(frozen=True, slots=True)
class ProductPressed:
    """A product's key, or its number typed: so many more of it go into the basket, which changes to product mode."""

    number: int
    count: int = 1


@dataclass(frozen=True, slots=True)
class CodeScanned:
    """The scanner read this barcode or QR code: one more of the product that has it."""

    code: str


@dataclass(frozen=True, slots=True)
class LineRemoved:
    """The product with this number goes out of the basket, however many there are."""

    number: int


@dataclass(frozen=True, slots=True)
class ModeChosen:
    """The cashier wants to sell in this way from now on; what was being sold is cleared."""

    mode: Mode


@dataclass(frozen=True, slots=True)
class CancelPressed:
    """The cashier wants to be rid of what is on the screen: the sale, the basket, or whatever the till asks for."""


@dataclass(frozen=True, slots=True)
class ConfirmPressed:
    """After DOUBLE_TAP: yes, the same card is to pay the same again."""


@dataclass(frozen=True, slots=True)
class UndoPressed:
    """The last sale was a mistake: it is taken back when its card is presented again."""


@dataclass(frozen=True, slots=True)
class RefundPressed:
    """A customer is to get money back; `seq` is the sale's number on the receipt, 0 if it is not known here."""

    seq: int = 0


@dataclass(frozen=True, slots=True)
class BalancePressed:
    """A customer wants to know what is on the card."""


@dataclass(frozen=True, slots=True)
class PinEntered:
    """The PIN of a member of staff, whose card comes next; digits only. It is in no text and no log."""

    digits: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class CashPressed:
    """What is on the screen is paid in cash."""


@dataclass(frozen=True, slots=True)
class XReportPressed:
    """Show the shift's totals without closing it."""


@dataclass(frozen=True, slots=True)
class CloseShiftPressed:
    """The shift is over: count the cash, then the Z-report."""


@dataclass(frozen=True, slots=True)
class TrainingPressed:
    """Begin or end training, in which no card and no record is touched; only between sales."""


CashierEvent = (
    AmountBegun
    | AmountEntered
    | MealsEntered
    | ProductPressed
    | CodeScanned
    | LineRemoved
    | ModeChosen
    | CancelPressed
    | ConfirmPressed
    | UndoPressed
    | RefundPressed
    | BalancePressed
    | PinEntered
    | CashPressed
    | XReportPressed
    | CloseShiftPressed
    | TrainingPressed
)


@dataclass(frozen=True, slots=True)
class SaleEnded:
    """A command was carried out, with this result."""

    result: Result


@dataclass(frozen=True, slots=True)
class TillFailed:
    """Nothing can be recorded any more: no selling until somebody mends it and the till is started again."""

    why: str


@dataclass(frozen=True, slots=True)
class Trouble:
    """What keeps the till from selling for as long as it lasts; `code` is stable, `why` for the technician."""

    code: str
    why: str


@dataclass(frozen=True, slots=True)
class PsamLooked:
    """Somebody looked after the PSAM: `trouble` is what is wrong with it, if anything."""

    trouble: Trouble | None


@dataclass(frozen=True, slots=True)
class VerdictRead:
    """What the server holds against this terminal's journal, if anything: what is sold on would not be taken."""

    trouble: Trouble | None


@dataclass(frozen=True, slots=True)
class Ticked:
    """Time passes: what the clock says, and the configuration that has come down, if any."""

    at: TapTime
    configuration: Configuration | None


TillEvent = ReaderEvent | CashierEvent | SaleEnded | TillFailed | PsamLooked | VerdictRead | Ticked


@dataclass(frozen=True, slots=True)
class ChargePurse:
    """Sell this to the present card, unless it is `not_from`, which paid before and may not have left since.

    `just_left` was dealt with before and lay on the reader until a moment ago, with this offer to all on the screen: it
    may come twice only because it was lifted. `again_for` may pay all the same: the cashier has said so.
    """

    offer: Offer
    not_from: CardId | None = None
    again_for: CardId | None = None
    just_left: CardId | None = None


@dataclass(frozen=True, slots=True)
class TrainPurse:
    """Tell what the present card would pay; nothing is debited, nothing recorded."""

    offer: Offer


@dataclass(frozen=True, slots=True)
class ReverseSale:
    """Take this sale back, if the present card is the one that paid it; late, if a supervisor's card allowed it."""

    sale: TapRecord
    allowed_by: CardId | None = None


@dataclass(frozen=True, slots=True)
class RefundPurse:
    """Owe the present card's holder this much; `refers_to` is the sale's number, 0 if it is not known here."""

    credit_fen: Fen
    refers_to: int
    allowed_by: CardId | None = None


@dataclass(frozen=True, slots=True)
class ReadBalance:
    """Tell what is on the present card; nothing is debited, nothing recorded."""


@dataclass(frozen=True, slots=True)
class SignOn:
    """Have the present card check this PIN and prove itself, if it belongs to staff with this role or a higher one."""

    role: StaffRole
    digits: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class OpenShift:
    """Record that this cashier's shift begins with so much in the drawer."""

    cashier: CardId
    opening_cash_fen: Fen


@dataclass(frozen=True, slots=True)
class CloseShift:
    """Record the end of the shift with what was counted in the drawer: the Z-report."""

    counted_cash_fen: Fen


@dataclass(frozen=True, slots=True)
class ReportShift:
    """Tell the shift's totals; nothing is recorded."""


@dataclass(frozen=True, slots=True)
class RecordCash:
    """Record a sale that is paid in cash."""

    amount_fen: Fen


@dataclass(frozen=True, slots=True)
class ResolveTorn:
    """Ask the present card what became of this open tap."""

    tap: TapRecord


@dataclass(frozen=True, slots=True)
class GiveUpTorn:
    """Close this open tap as unknown."""

    tap: TapRecord


CardCommand = ChargePurse | TrainPurse | ReverseSale | RefundPurse | ReadBalance | SignOn | ResolveTorn
Command = CardCommand | GiveUpTorn | OpenShift | CloseShift | ReportShift | RecordCash


class Notice(StrEnum):
    """Why the till did nothing about what was pressed: stable codes, with words and advice in the help table."""

    AMOUNT_NEEDED = "amount-needed"  # zero, where something is to be paid
    AMOUNT_NOT_WANTED = "amount-not-wanted"  # in meal mode, where the period has the price
    BASKET_FULL = "basket-full"  # too many of one thing, or more than a card can hold
    CODE_UNKNOWN = "code-unknown"  # no product has this barcode
    NO_MEAL_NOW = "no-meal-now"  # no period with a price for meals, at this time of the day
    NO_SHIFT = "no-shift"  # for what needs an open shift
    NO_SUPERVISOR = "no-supervisor"  # the configuration names none, and this needs one
    NOT_IN_TRAINING = "not-in-training"  # it would touch money
    NOTHING_TO_CONFIRM = "nothing-to-confirm"
    NOTHING_TO_SELL = "nothing-to-sell"  # cash, or a card, without an amount
    NOTHING_TO_UNDO = "nothing-to-undo"  # no sale in this shift since, or it is undone already
    PIN_IS_DIGITS = "pin-is-digits"  # four to twelve of them
    PRODUCT_UNKNOWN = "product-unknown"  # no product has this number
    SALE_NOT_ENDED = "sale-not-ended"  # first end or clear what is being sold or asked
    TIMED_OUT = "timed-out"  # nobody went on with what the till asked for
    UNDO_TOO_LATE = "undo-too-late"  # and there is no supervisor to allow it


class Phase(Enum):
    """What the till waits for."""

    AMOUNT = auto()  # what is sold: an amount, a product, by the mode
    CARD = auto()  # a card for what is offered; a product may still be added
    SAME_CARD = auto()  # the card of a torn tap
    PIN = auto()  # a cashier's or supervisor's PIN (`Till.signing` says whose)
    STAFF_CARD = auto()  # then their card
    OPENING_CASH = auto()  # the amount in the drawer as the shift begins
    COUNTED_CASH = auto()  # the amount in the drawer as it ends
    UNDO_CARD = auto()  # the card of the sale that is undone (`Till.undoing`)
    REFUND_AMOUNT = auto()  # how much a customer gets back
    REFUND_CARD = auto()  # then the customer's card
    BALANCE_CARD = auto()  # a card whose balance is asked
    NOTHING = auto()  # out of order, or the server takes nothing
