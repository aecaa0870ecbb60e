"""How a sale can end, as values that the till's state machine and its screen understand."""

from __future__ import annotations

from dataclasses import dataclass

from wire.ids import CardId
from wire.money import Fen
from wire.record import Refusal, TapRecord


@dataclass(frozen=True, slots=True)
class Approved:
    """The debit is sealed; goods may go. `balance_fen` is what the card has left."""

    record: TapRecord
    balance_fen: Fen


@dataclass(frozen=True, slots=True)
class ProofRefused:
    """The debit is sealed, but the PSAM refused the card's proof: the card is not what it seems, no goods."""

    record: TapRecord


@dataclass(frozen=True, slots=True)
class Refused:
    """The rules turned the card away; recorded."""

    refusal: Refusal
    card: CardId
    balance_fen: Fen


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
    """Another card came while a torn tap is open; nothing was done with it."""

    wanted: CardId


@dataclass(frozen=True, slots=True)
class StillThere:
    """The card of the sale before has not left the reader since; nothing was done with it."""

    card: CardId


@dataclass(frozen=True, slots=True)
class Unresolved:
    """The torn tap is closed as UNKNOWN; the server will find out what became of it."""

    record: TapRecord


SaleResult = Approved | ProofRefused | Refused | NotPaid | Torn | WrongCard | StillThere | Unresolved
