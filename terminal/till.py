"""The till's state machine: what the cashier and the card reader do, and what the till does about it. Pure.

Events in, at most one command out; what the screen shows is read from the attributes. Carrying commands out is
`terminal.program`'s matter, drawing `terminal.screen`'s.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

from drivers.reader import CardLeft, CardPresented, ReaderEvent, ReaderFound, ReaderLost
from terminal.result import Approved, NotPaid, ProofRefused, Refused, SaleResult, Torn, Unresolved, WrongCard
from wire.money import Fen
from wire.record import TapRecord


@dataclass(frozen=True, slots=True)
class AmountEntered:
    """The cashier finished typing an amount."""

    amount_fen: Fen


@dataclass(frozen=True, slots=True)
class AmountBegun:
    """The cashier is typing an amount: what was on the screen before is over, an amount that waited for a card too."""


@dataclass(frozen=True, slots=True)
class CancelPressed:
    """The cashier wants to be rid of what is on the screen."""


@dataclass(frozen=True, slots=True)
class SaleEnded:
    """A command was carried out, with this result."""

    result: SaleResult


@dataclass(frozen=True, slots=True)
class TillFailed:
    """Nothing can be recorded any more: no selling until somebody mends it and the till is started again."""

    why: str


CashierEvent = AmountBegun | AmountEntered | CancelPressed
TillEvent = ReaderEvent | CashierEvent | SaleEnded | TillFailed


@dataclass(frozen=True, slots=True)
class ChargePurse:
    """Take this from the present card."""

    amount_fen: Fen


@dataclass(frozen=True, slots=True)
class ResolveTorn:
    """Ask the present card what became of this open tap."""

    tap: TapRecord


@dataclass(frozen=True, slots=True)
class GiveUpTorn:
    """Close this open tap as unknown."""

    tap: TapRecord


Command = ChargePurse | ResolveTorn | GiveUpTorn


class Phase(Enum):
    """What the till waits for."""

    AMOUNT = auto()
    CARD = auto()
    SAME_CARD = auto()
    NOTHING = auto()


class Till:
    """One cashier's sale at a time. `torn` is a tap that an earlier run left open: it comes before everything else."""

    def __init__(self, torn: TapRecord | None) -> None:
        self.torn = torn
        self.amount_fen: Fen | None = None
        self.result: SaleResult | None = None
        self.reader_fault: str | None = "waiting for the card reader"
        self.failure: str | None = None
        self.giving_up = False
        self._card_waits = False  # on the reader and not dealt with; one presentation is good for one command

    @property
    def phase(self) -> Phase:
        """What is to happen next."""
        if self.failure is not None:
            return Phase.NOTHING
        if self.torn is not None:
            return Phase.SAME_CARD
        return Phase.AMOUNT if self.amount_fen is None else Phase.CARD

    def handle(self, event: TillEvent) -> Command | None:
        """Take one event; returns the one thing to do now, if any."""
        match event:
            case ReaderFound():
                self.reader_fault = None
            case ReaderLost(why):
                self.reader_fault, self._card_waits = why, False
            case CardPresented():
                self._card_waits = True
            case CardLeft():
                self._card_waits = False
            case AmountBegun():
                self._type(None)
            case AmountEntered(amount_fen):
                self._type(amount_fen)
            case CancelPressed():
                return self._cancel()
            case SaleEnded(result):
                self._end(result)
                return None
            case TillFailed(why):
                self.failure = why
        return self._use_card()

    def _type(self, amount_fen: Fen | None) -> None:
        self.giving_up = False
        if self.torn is None:
            self.amount_fen, self.result = amount_fen, None

    def _use_card(self) -> Command | None:
        if not self._card_waits:
            return None
        if self.phase is Phase.SAME_CARD and self.torn is not None:
            self._card_waits = self.giving_up = False
            return ResolveTorn(self.torn)
        if self.phase is Phase.CARD and self.amount_fen is not None:
            self._card_waits = False
            return ChargePurse(self.amount_fen)
        return None

    def _cancel(self) -> Command | None:
        """Esc clears the sale; on a torn tap it has to be pressed twice, since nobody can ask that card afterwards."""
        if self.failure is not None:
            return None
        if self.torn is None:
            self.amount_fen = self.result = None
            return None
        if not self.giving_up:
            self.giving_up = True
            return None
        return GiveUpTorn(self.torn)

    def _end(self, result: SaleResult) -> None:
        self.result = result
        self.giving_up = False
        match result:
            case Torn(record, _):
                self.torn = record
            case WrongCard():
                pass
            case Approved() | ProofRefused() | Unresolved() | Refused():
                self.torn = self.amount_fen = None  # whoever comes next pays only what is typed for them
            case NotPaid():
                self.torn = None  # the amount stays if it is this sale's, and is none after a restart
