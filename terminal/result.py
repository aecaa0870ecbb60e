"""How what a till was asked to do can end, as values that its state machine, its screen and its printer understand."""

from __future__ import annotations

from dataclasses import dataclass

from drivers.purse import LogRecord
from terminal.basket import Offer
from terminal.totals import ShiftTotals
from wire.ids import CardId
from wire.money import Fen
from wire.record import Refusal, TapRecord, TapTime


@dataclass(frozen=True, slots=True)
class Approved:
    """The debit is sealed; goods may go. `balance_fen` is what the card has left; `sold` what it paid for, if known."""

    record: TapRecord
    balance_fen: Fen
    sold: Offer | None = None


@dataclass(frozen=True, slots=True)
class Reversed:
    """A sale is taken back, sealed: its money is owed to the holder, and comes with the next load."""

    record: TapRecord
    balance_fen: Fen


@dataclass(frozen=True, slots=True)
class Refunded:
    """A refund is sealed: its money is owed to the holder, and comes with the next load."""

    record: TapRecord
    balance_fen: Fen


@dataclass(frozen=True, slots=True)
class SignedOn:
    """A member of staff has proved card and PIN, sealed."""

    record: TapRecord


@dataclass(frozen=True, slots=True)
class ProofRefused:
    """The debit is sealed, but the PSAM refused the card's proof: the card is not what it seems, no goods."""

    record: TapRecord


@dataclass(frozen=True, slots=True)
class Refused:
    """The rules turned the card away; recorded. `tries_left`: of the PIN, if that was wrong."""

    refusal: Refusal
    card: CardId
    balance_fen: Fen
    tries_left: int | None = None


@dataclass(frozen=True, slots=True)
class NotPaid:
    """No money moved, and the card may be presented again; `code` is the fault's, if there was one."""

    why: str
    code: str = ""


@dataclass(frozen=True, slots=True)
class Torn:
    """Nobody knows yet whether money moved; the tap stays open until the same card comes back."""

    record: TapRecord
    why: str
    code: str


@dataclass(frozen=True, slots=True)
class WrongCard:
    """Another card came than the one that is wanted; nothing was done with it."""

    wanted: CardId


@dataclass(frozen=True, slots=True)
class StillThere:
    """The card of the sale before has not left the reader since; nothing was done with it."""

    card: CardId


@dataclass(frozen=True, slots=True)
class Unresolved:
    """The torn tap is closed as UNKNOWN; the server will find out what became of it."""

    record: TapRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class BalanceRead:
    """What is on a card; nothing was debited. `taps` are its last ones here, newest first; `log` is the card's own,
    empty if the card shows it to its holder alone.
    """

    card: CardId
    card_class: int
    balance_fen: Fen
    subsidy_left_fen: Fen
    taps: tuple[TapRecord, ...]
    log: tuple[LogRecord, ...]


@dataclass(frozen=True, slots=True)
class Trained:
    """Training: what the card would have paid, and the school for it, or why it would have been refused."""

    refusal: Refusal | None
    card: CardId
    amount_fen: Fen
    subsidy_fen: Fen
    balance_fen: Fen


@dataclass(frozen=True, slots=True)
class CashTaken:
    """A cash sale is recorded, with its number in the shift's journal."""

    number: int
    amount_fen: Fen
    at: TapTime


@dataclass(frozen=True, slots=True)
class ShiftOpened:
    """A shift is recorded as begun."""

    number: int
    cashier: CardId
    opened_at: TapTime
    opening_cash_fen: Fen


@dataclass(frozen=True, slots=True)
class ShiftReported:
    """The X-report: the open shift's totals up to now."""

    totals: ShiftTotals


@dataclass(frozen=True, slots=True)
class ShiftClosed:
    """The Z-report: the shift's totals, recorded for good with what was counted in the drawer."""

    totals: ShiftTotals
    counted_cash_fen: Fen
    closed_at: TapTime


TapResult = (
    Approved
    | Reversed
    | Refunded
    | SignedOn
    | ProofRefused
    | Refused
    | NotPaid
    | Torn
    | WrongCard
    | StillThere
    | Unresolved
)
Result = TapResult | BalanceRead | Trained | CashTaken | ShiftOpened | ShiftReported | ShiftClosed


def masked(card: CardId) -> str:
    """The card's last digits behind asterisks: its usual dots are wide in Chinese fonts, and no printer has them."""
    return str(card).replace("\N{BULLET}", "*")
