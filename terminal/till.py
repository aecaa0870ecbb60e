"""The till's state machine: what the cashier and the card reader do, and what the till does about it. Pure.

Events in, at most one command out; what the screen shows is read from the attributes. Carrying commands out is
`terminal.program`'s matter, drawing `terminal.screen`'s.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from drivers.channel import ReaderFault, ReaderMissing, ReaderServiceDown, ReaderStuck
from drivers.reader import CardLeft, CardPresented, CardSilent, ReaderEvent, ReaderFound, ReaderLost
from terminal.result import (
    Approved,
    NotPaid,
    ProofRefused,
    Refused,
    SaleResult,
    StillThere,
    Torn,
    Unresolved,
    WrongCard,
)
from wire.ids import CardId
from wire.money import Fen
from wire.record import TapRecord

AGAIN_MAX: Final = 3  # attempts with a card that is reported anew after each and may never have left


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


CashierEvent = AmountBegun | AmountEntered | CancelPressed
TillEvent = ReaderEvent | CashierEvent | SaleEnded | TillFailed | PsamLooked | VerdictRead


@dataclass(frozen=True, slots=True)
class ChargePurse:
    """Take this from the present card, unless it is `not_from`, which paid before and may not have left since."""

    amount_fen: Fen
    not_from: CardId | None = None


@dataclass(frozen=True, slots=True)
class ResolveTorn:
    """Ask the present card what became of this open tap."""

    tap: TapRecord


@dataclass(frozen=True, slots=True)
class GiveUpTorn:
    """Close this open tap as unknown."""

    tap: TapRecord


Command = ChargePurse | ResolveTorn | GiveUpTorn


# Result codes whose advice is to see to the reader itself.
_MENDED_BY_REPLUGGING: Final = frozenset(
    fault.code for fault in (ReaderFault, ReaderMissing, ReaderServiceDown, ReaderStuck)
)


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
        self.reader_fault: Trouble | None = Trouble(ReaderServiceDown.code, "not looked for yet")
        self.psam_fault: Trouble | None = None
        self.verdict: Trouble | None = None
        self.failure: str | None = None
        self.giving_up = False
        self.card_silent = False
        self.card_lies = False  # on the reader and dealt with: it has to leave before anything else happens
        self._waiting: CardPresented | None = None  # not dealt with; one presentation is good for one command
        self._last: CardId | None = None  # the card of the last sale, until one comes that was certainly lifted
        self._again = 0

    @property
    def phase(self) -> Phase:
        """What is to happen next."""
        if self.failure is not None:
            return Phase.NOTHING
        if self.torn is not None:
            return Phase.SAME_CARD
        if self.verdict is not None:
            return Phase.NOTHING
        return Phase.AMOUNT if self.amount_fen is None else Phase.CARD

    def handle(self, event: TillEvent) -> Command | None:
        """Take one event; returns the one thing to do now, if any."""
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
                self._clear_reader()
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
            case PsamLooked(trouble):
                self.psam_fault = trouble
            case VerdictRead(trouble):
                self.verdict = trouble
        return self._use_card()

    def _find_reader(self) -> None:
        self.reader_fault = None
        if isinstance(self.result, NotPaid | Torn) and self.result.code in _MENDED_BY_REPLUGGING:
            self.result = None  # what it told the cashier to do is done

    def _clear_reader(self) -> None:
        self._waiting, self.card_lies, self.card_silent = None, False, False

    def _present(self, event: CardPresented) -> None:
        self._clear_reader()
        if not event.perhaps_same:
            self._last, self._again = None, 0
        if self._again < AGAIN_MAX:
            self._waiting = event
        else:
            self.card_lies = True

    def _type(self, amount_fen: Fen | None) -> None:
        self.giving_up = False
        if self.torn is None:
            self.amount_fen, self.result = amount_fen, None

    def _use_card(self) -> Command | None:
        if self._waiting is None:
            return None
        if self.phase is Phase.SAME_CARD and self.torn is not None:
            self._take_card()
            self.giving_up = False
            return ResolveTorn(self.torn)
        if self.phase is Phase.CARD and self.amount_fen is not None:
            self._take_card()
            return ChargePurse(self.amount_fen, self._last)
        return None

    def _take_card(self) -> None:
        self._again += self._waiting is not None and self._waiting.perhaps_same
        self._waiting, self.card_lies = None, True

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
            case WrongCard() | StillThere():
                pass
            case Approved() | ProofRefused() | Unresolved() | Refused():
                self.torn = self.amount_fen = None  # whoever comes next pays only what is typed for them
                self._last = result.card if isinstance(result, Refused) else result.record.card
                self._again = 0
            case NotPaid():
                self.torn = None  # the amount stays if it is this sale's, and is none after a restart
