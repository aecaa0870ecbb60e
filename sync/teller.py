"""What a top-up point says, to a person in words or to a program in lines of JSON, and how it asks for a PIN."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import fields

from sync.topup import (
    CardTrouble,
    EarlierSettled,
    LeaveCard,
    Loaded,
    OtherCard,
    PointEvent,
    PresentCard,
    PutCardBack,
    RefundWaits,
    StillOpen,
    StillThere,
)
from wire.ids import CardId
from wire.load import Funding
from wire.money import format_fen


class Words:
    """Says it in words; `say` prints a line, `ask_secret` prompts and reads what is typed unseen."""

    def __init__(self, say: Callable[[str], None], ask_secret: Callable[[str], str]) -> None:
        self._say = say
        self._ask_secret = ask_secret

    def tell(self, event: PointEvent) -> None:
        """See `sync.topup.Person`."""
        self._say(event_words(event))

    def ask_pin(self, tries_left: int | None, why: str) -> str | None:
        """See `sync.topup.Person`; an empty line gives up."""
        if why:
            self._say(f"  {why[0].upper()}{why[1:]}{_tries(tries_left)}.")
        try:
            return self._ask_secret("  The card's PIN (empty to give up): ").strip() or None
        except EOFError:  # Ctrl-D
            self._say("")
            return None
        except KeyboardInterrupt:
            self._say("")
            raise


class JsonLines:
    """Says it in lines of JSON; a PIN is read as a line after `{"event": "ask-pin"}`, an empty one gives up."""

    def __init__(self, say: Callable[[str], None], read_line: Callable[[], str]) -> None:
        self._say = say
        self._read_line = read_line

    def tell(self, event: PointEvent) -> None:
        """See `sync.topup.Person`."""
        facts = {field.name: getattr(event, field.name) for field in fields(event)}
        shown = {name: _shown(value) for name, value in facts.items()}
        self._say(json.dumps({"event": event_name(event), **shown}, ensure_ascii=False))

    def ask_pin(self, tries_left: int | None, why: str) -> str | None:
        """See `sync.topup.Person`."""
        self._say(json.dumps({"event": "ask-pin", "tries_left": tries_left, "why": why}))
        return self._read_line().strip() or None


def _shown(value: object) -> object:
    if isinstance(value, Funding):
        return value.name.lower()
    return str(value) if isinstance(value, CardId) else value


def event_name(event: PointEvent) -> str:
    """`put-card-back` for `PutCardBack`."""
    return re.sub(r"(?<!^)(?=[A-Z])", "-", type(event).__name__).lower()


def event_words(event: PointEvent) -> str:
    """One event for whoever stands at the point."""
    match event:
        case PresentCard(amount_fen, Funding.REFUND):
            part = "all that is owed" if amount_fen is None else format_fen(amount_fen)
            return f"Collect a refund, {part}, without cash: put the card on the reader."
        case PresentCard(amount_fen):
            assert amount_fen is not None, "cash is counted"
            return f"Top up {format_fen(amount_fen)}: put the card on the reader."
        case LeaveCard():
            return "  Leave the card where it is ..."
        case PutCardBack(card, amount_fen, why):
            return (
                f"  NOT FINISHED: put card {card} back on the reader.\n"
                f"  Whether the {format_fen(amount_fen)} are on it only the card can tell ({why}).\n"
                "  If it does not come back, Ctrl-C: the top-up then ends when the card comes to any point."
            )
        case OtherCard(card, wanted):
            return f"  This is card {card}. Put card {wanted} back first: its top-up is not finished."
        case CardTrouble(why):
            return f"  That did not work: {why}.\n  Put the card on the reader again."
        case StillThere(card):
            return (
                f"  This is card {card}, which was loaded just now. Take it away, then put the next one on the reader."
            )
        case EarlierSettled(card, amount_fen, posted):
            what = "had arrived: it is on the card" if posted else "never reached the card: it is cancelled"
            return f"  An earlier top-up of {format_fen(amount_fen)} to card {card} {what}."
        case Loaded(card, amount_fen, new_balance_fen, delivered):
            later = "" if delivered else "\n  The desk cannot be reached now; it hears of this with the next top-up."
            return (
                f"DONE: {format_fen(amount_fen)} loaded, card {card} holds {format_fen(new_balance_fen)}. "
                f"Take the card.{later}"
            )
        case RefundWaits(card, amount_fen):
            return (
                f"A refund waits: {format_fen(amount_fen)} are owed to the holder of card {card}. "
                "Without cash: campus-syncd top-up --collect"
            )
        case StillOpen(card, amount_fen):
            return f"Not finished: a top-up of {format_fen(amount_fen)} to card {card}. It ends when that card comes."


def _tries(tries_left: int | None) -> str:
    if tries_left is None:
        return ""
    return f"; {tries_left} {'try is' if tries_left == 1 else 'tries are'} left before the card locks it"
