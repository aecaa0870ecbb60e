"""What a till does besides selling, one thing at a time: what each errand waits for, and what it wants of a card. Pure.

`terminal.till` begins and ends them.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from terminal.events import Command, Phase, ReadBalance, RefundPurse, ReverseSale, SignOn
from wire.configuration import StaffRole
from wire.ids import CardId
from wire.money import Fen
from wire.record import TapRecord


@dataclass(frozen=True, slots=True)
class OpeningShift:
    """A cashier has signed on; what is in the drawer?"""

    cashier: CardId
    name: str

    @property
    def phase(self) -> Phase:
        """What it waits for."""
        return Phase.OPENING_CASH

    def on_card(self) -> Command | None:
        """What to do with a card."""
        return None


@dataclass(frozen=True, slots=True)
class ClosingShift:
    """The shift is over; what is in the drawer?"""

    @property
    def phase(self) -> Phase:
        """What it waits for."""
        return Phase.COUNTED_CASH

    def on_card(self) -> Command | None:
        """What to do with a card."""
        return None


@dataclass(frozen=True, slots=True)
class Undoing:
    """The last sale is to be taken back; `by` this supervisor's card, after the time in which a cashier may."""

    sale: TapRecord
    by: CardId | None = None

    @property
    def phase(self) -> Phase:
        """What it waits for."""
        return Phase.UNDO_CARD

    def on_card(self) -> Command | None:
        """What to do with a card."""
        return ReverseSale(self.sale, self.by)


@dataclass(frozen=True, slots=True)
class Refunding:
    """A supervisor allowed a refund, `by` this card; `seq` is the sale's number, 0 if it is not known here."""

    seq: int
    credit_fen: Fen | None = None
    by: CardId | None = None

    @property
    def phase(self) -> Phase:
        """What it waits for."""
        return Phase.REFUND_AMOUNT if self.credit_fen is None else Phase.REFUND_CARD

    def on_card(self) -> Command | None:
        """What to do with a card."""
        return None if self.credit_fen is None else RefundPurse(self.credit_fen, self.seq, self.by)


@dataclass(frozen=True, slots=True)
class AskingBalance:
    """A customer wants to know what is on the card."""

    @property
    def phase(self) -> Phase:
        """What it waits for."""
        return Phase.BALANCE_CARD

    def on_card(self) -> Command | None:
        """What to do with a card."""
        return ReadBalance()


@dataclass(frozen=True, slots=True)
class SigningOn:
    """Somebody with this role or a higher one is to sign on, PIN first; `then` is what that allows, None: a shift."""

    role: StaffRole
    then: Undoing | Refunding | None = None
    digits: str = field(default="", repr=False)

    @property
    def phase(self) -> Phase:
        """What it waits for."""
        return Phase.STAFF_CARD if self.digits else Phase.PIN

    def on_card(self) -> Command | None:
        """What to do with a card."""
        return SignOn(self.role, self.digits) if self.digits else None


Errand = OpeningShift | ClosingShift | Undoing | Refunding | AskingBalance | SigningOn
