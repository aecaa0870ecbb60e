"""The plain console screen: the till's state as lines of text, keys as events. Pure.

Big screens, other languages and touch come with another screen; the words here are what a cashier acts on.
"""

from __future__ import annotations

import re
from typing import Final

from drivers.channel import CardMute, CardRemoved, ReaderFault, ReaderMissing, ReaderServiceDown, ReaderStuck
from drivers.purse import CardUnreadable, PsamLost, PsamUnusable
from terminal.downlink import DownlinkUnreadable
from terminal.events import AmountBegun, AmountEntered, CancelPressed, CashierEvent, Phase, Trouble
from terminal.psam import PsamForeign
from terminal.result import (
    Approved,
    NotPaid,
    ProofRefused,
    Refused,
    Result,
    StillThere,
    Torn,
    Unresolved,
    WrongCard,
)
from terminal.standing import Standing
from terminal.till import Till
from wire.money import AmountUnreadable, format_fen, parse_yuan
from wire.record import NO_TAC, Refusal, TapRecord

_GREEN, _RED, _YELLOW, _PLAIN = "\x1b[1;37;42m", "\x1b[1;37;41m", "\x1b[1;30;43m", ""
_ROOMY_COLUMNS: Final = 30
_DETAIL_LINES: Final = 4
_BOLD: Final = "\x1b[1m"
_RESET: Final = "\x1b[0m"
_TYPED_MAX: Final = 8
_ESCAPE_SEQUENCE: Final = re.compile("\x1b(?:\\[[0-?]*[ -/]*[@-~]|O[ -~]|[a-zA-Z])")

REFUSAL_WORDS: Final = {
    Refusal.HOTLISTED: "this card is on the list of cards to refuse; ask the customer to see the card office",
    Refusal.NOT_YET_VALID: "this card is not valid yet",
    Refusal.EXPIRED: "this card is no longer valid; the card office renews it",
    Refusal.INSUFFICIENT_BALANCE: "not enough money on the card",
    Refusal.OVER_TAP_LIMIT: "more than this till may take at once",
    Refusal.NO_PURSE: "there is no purse on this card",
    Refusal.COUNTER_EXHAUSTED: "the card is used up; the card office replaces it",
    Refusal.CARD_BLOCKED: "this card is blocked; the card office can help",
    Refusal.OVER_MEAL_LIMIT: "this card has had its share of this meal",
    Refusal.OVER_DAY_LIMIT: "more than this card may spend here in a day",
    Refusal.OVER_CLASS_LIMIT: "cards of this kind may not pay here",
    Refusal.OFFLINE_TOO_LONG: "the server has not been heard for too long; call the technician",
    Refusal.OFFLINE_TOO_MUCH: "too much money waits to be sent to the server; call the technician",
    Refusal.DOUBLE_TAP: "this card has just paid the same; confirm if it is meant",
    Refusal.NOT_SOLD_NOW: "what was offered is not sold at this time",
    Refusal.REVERSAL_NOT_ALLOWED: "this sale cannot be taken back",
    Refusal.REFUND_NOT_ALLOWED: "this cannot be given back",
    Refusal.NOT_A_CASHIER: "this card may not sign on here",
    Refusal.PIN_WRONG: "the PIN is wrong",
    Refusal.PIN_LOCKED: "the card has locked its PIN; the card office unlocks it",
}

_NO_MODULE: Final = "NO SALES: security module"
# What each fault asks of the cashier: a headline, and what to do. The code beside it is for the technician.
ADVICE: Final = {
    ReaderServiceDown.code: (
        "NO CARD READER: wait",
        "The card service is starting again; the till goes on by itself. If this lasts a minute, call the technician.",
    ),
    ReaderMissing.code: ("NO CARD READER: plug it in", "Check the card reader's cable; the till goes on by itself."),
    ReaderStuck.code: ("UNPLUG THE CARD READER", "It is stuck. Unplug it and plug it in again, then present the card."),
    ReaderFault.code: (
        "CARD READER DISTURBED",
        "Present the card again. If that does not help, unplug the card reader and plug it in again.",
    ),
    CardMute.code: (
        "TAKE THE CARD AWAY, present one alone",
        "What lies on the reader does not answer. One card at a time, flat on the reader, out of its case.",
    ),
    CardUnreadable.code: (
        "NOT PAID: this is no campus card",
        "Another card, please; if it is a campus card, the card office has to look at it.",
    ),
    PsamLost.code: (_NO_MODULE, "The till cannot reach its security module. Call the technician."),
    PsamUnusable.code: (_NO_MODULE, "What is in the security module's slot does not work. Call the technician."),
    PsamForeign.code: (_NO_MODULE, "The security module is another till's. Call the technician."),
    DownlinkUnreadable.code: (
        "NO SALES: lost cards",
        "The list of lost cards cannot be read. Call the technician.",
    ),
}


class Keys:
    """Digits and a point become an amount; Enter hands it over; Backspace and Esc take back. One key at a time."""

    def __init__(self) -> None:
        self.typed = ""
        self.problem = ""

    def forget(self) -> None:
        """What was typed so far was typed before the cashier could see how a sale ended."""
        self.typed = self.problem = ""

    def press(self, key: str) -> CashierEvent | None:
        """Take one key; an event when it means one."""
        self.problem = ""
        if key in ("\r", "\n"):
            return self._enter()
        if key in ("\x7f", "\b"):
            self.typed = self.typed[:-1]
        elif key == "\x1b":
            if not self.typed:
                return CancelPressed()
            self.typed = ""
        elif key in "0123456789.," and len(self.typed) < _TYPED_MAX:
            self.typed += "." if key == "," else key  # number pads of half the world have a comma there
            return AmountBegun()
        return None

    def _enter(self) -> AmountEntered | None:
        text, self.typed = self.typed, ""
        if not text:
            return None
        try:
            return amount_entered(text)
        except AmountUnreadable as error:
            self.problem = str(error)
            return None


def split_keys(typed: str) -> list[str]:
    """What came from the keyboard at once, key by key; arrows and the like, which begin as Esc does, are left out."""
    return list(_ESCAPE_SEQUENCE.sub("", typed))


def amount_entered(text: str) -> AmountEntered:
    """A typed amount as an event; `AmountUnreadable` for zero, too much, or what is no amount."""
    amount_fen = parse_yuan(text)
    if amount_fen == 0:
        raise AmountUnreadable("an amount is at least 0.01")
    return AmountEntered(amount_fen)


def draw(till: Till, keys: Keys, status: Standing, *, width: int, height: int) -> list[str]:
    """The whole screen: `height` lines, none wider than `width` on the screen, colours included."""
    colour, headline, detail = _headline(till)
    amount = keys.typed or format_fen(till.amount_fen or 0)
    indent = "   " if width >= _ROOMY_COLUMNS else " "
    inner = width - len(indent) - 1
    head = _spread(
        f" CAMPUS TILL   terminal {status.terminal}", status.at.local().strftime("%H:%M:%S") + " ", width, _BOLD
    )
    body = [
        f"{indent}{_BOLD}{_cut(f'Amount   {amount:>10}', inner)}{_RESET}",
        "",
        f"{indent}{colour}{_cut('  ' + headline + '  ', inner)}{_RESET}",
        *(f"{indent}{line}" for line in _wrap(detail, inner)[:_DETAIL_LINES]),
        *(f"{indent}{line}" for line in _wrap(keys.problem, inner)[:_DETAIL_LINES]),
    ]
    foot = [
        _cut(f" {_sent_words(status)}", width),
        _cut(f" {_hotlist_words(status)}", width),
        _cut(" digits and Enter: amount   Backspace: correct   Esc: clear   Ctrl-C: end", width),
    ]
    if height < 2 + len(body) + len(foot):  # a small screen shows the sale first, then what room is left for
        return ([line for line in body if line] + [head, *foot] + [""] * height)[:height]
    return [head, "", *body, *[""] * (height - 2 - len(body) - len(foot)), *foot]


def result_words(result: Result) -> tuple[str, str, str]:
    """What a result means for the cashier: colour, headline, and the sentence under it."""
    match result:
        case Approved(record, balance_fen):
            paid = f"{format_fen(record.amount_fen)} paid, {format_fen(balance_fen)} left"
            return _GREEN, "APPROVED", f"{paid}. Tap {record.tap_id.seq}, card {record.card}."
        case ProofRefused(record):
            return (
                _RED,
                "REFUSED: the card failed its proof",
                f"Keep the goods, call the office: tap {record.tap_id.seq}.",
            )
        case Refused(refusal, card, balance_fen):
            words = REFUSAL_WORDS[refusal]
            return _RED, "REFUSED", f"{words[0].upper()}{words[1:]}. Card {card} has {format_fen(balance_fen)}."
        case NotPaid(why, code):
            return _not_paid_words(why, code)
        case Torn(record, why, code):
            return _torn_words(record, why, code)
        case WrongCard(wanted):
            return _YELLOW, "PRESENT THE FIRST CARD AGAIN", f"This is another card; {wanted} is wanted."
        case StillThere(card):
            text = f"Card {card} is still there from the sale before, and was not charged again."
            return _YELLOW, "TAKE THE CARD AWAY, then present one", text
        case Unresolved(record):
            amount = format_fen(record.amount_fen)
            if record.tac == NO_TAC:
                return (
                    _YELLOW,
                    "NOT KNOWN",
                    f"Nobody here can tell whether {amount} was paid; the school will find out.",
                )
            text = f"The card says that it paid {amount}; only the server can check it. Tap {record.tap_id.seq}."
            return _YELLOW, "PAID, SAYS THE CARD", text
        case _:
            return _GREEN, type(result).__name__.upper(), ""


def _not_paid_words(why: str, code: str) -> tuple[str, str, str]:
    if code in ADVICE:
        headline, advice = ADVICE[code]
        return _YELLOW, headline, f"No money was taken. {advice} {_for_technician(code, why)}"
    if code == CardRemoved.code:
        return _YELLOW, "NOT PAID: present the card again", "The card left too early; no money was taken."
    return _YELLOW, "NOT PAID: present the card again", f"No money was taken ({why})."


def _torn_words(tap: TapRecord, why: str, code: str) -> tuple[str, str, str]:
    sale = f"The sale of {format_fen(tap.amount_fen)} with card {tap.card} was interrupted (tap {tap.tap_id.seq})."
    if code == ReaderStuck.code:
        headline, _ = ADVICE[code]
        text = f"{sale} Unplug the reader, plug it in again, present the same card. {_for_technician(code, why)}"
        return _YELLOW, headline, text
    if code in ADVICE:
        return _YELLOW, "PRESENT THE SAME CARD AGAIN", f"{sale} {_for_technician(code, why)}"
    return (
        _YELLOW,
        "PRESENT THE SAME CARD AGAIN",
        f"{sale} Hold the card still until the till has its answer.",
    )


def _for_technician(code: str, why: str) -> str:
    return f"For the technician: {code}, {why.rstrip('.')}."


def _headline(till: Till) -> tuple[str, str, str]:
    if till.failure is not None:
        return _RED, "OUT OF ORDER", f"{till.failure}. No sales until this is mended and the till started again."
    if till.reader_fault is not None:
        return _trouble_words(till.reader_fault)
    if till.card_silent:
        headline, advice = ADVICE[CardMute.code]
        return _YELLOW, headline, f"{advice} For the technician: {CardMute.code}."
    if till.torn is not None:
        return _torn_headline(till)
    if till.result is not None:
        return result_words(till.result)
    if till.verdict is not None:
        text = f"The server does not take this till's sales. {_for_technician(till.verdict.code, till.verdict.why)}"
        return _RED, "NO SALES: call the technician", text
    if till.psam_fault is not None:
        return _trouble_words(till.psam_fault)
    if till.phase is Phase.CARD:
        return _card_headline(till)
    return _PLAIN, "Type an amount", ""


def _card_headline(till: Till) -> tuple[str, str, str]:
    if till.card_lies:
        return _YELLOW, "TAKE THE CARD AWAY, then present one", "The card on the reader belongs to the sale before."
    return _PLAIN, "PRESENT CARD", ""


def _trouble_words(trouble: Trouble) -> tuple[str, str, str]:
    headline, advice = ADVICE[trouble.code]
    return _RED, headline, f"{advice} {_for_technician(trouble.code, trouble.why)}"


def _torn_headline(till: Till) -> tuple[str, str, str]:
    assert till.torn is not None, "asked only while a torn tap is open"
    if till.giving_up:
        text = "Esc again closes the sale as unknown. Only if the customer is gone."
        return _YELLOW, "GIVE UP ON THIS CARD?", text
    if till.result is not None:
        return result_words(till.result)
    sale = f"{format_fen(till.torn.amount_fen)} with card {till.torn.card}"
    return _YELLOW, "PRESENT THE SAME CARD AGAIN", f"The sale of {sale} was interrupted (tap {till.torn.tap_id.seq})."


def _sent_words(status: Standing) -> str:
    heard = "nothing heard from the server yet"
    if status.receipt_age_s is not None:
        heard = f"server heard {_ago(status.receipt_age_s)} ago"
    if status.unsent == 0:
        return f"{_taps(status.sealed)}, all at the server   {heard}"
    return f"{_taps(status.sealed)}, {status.unsent} not yet at the server ({format_fen(status.unsent_fen)})   {heard}"


def _hotlist_words(status: Standing) -> str:
    if status.downlink_fault is not None:
        return status.downlink_fault
    if status.hotlist_version == 0:
        return "no hotlist yet"
    cards = "1 card" if status.hotlist_cards == 1 else f"{status.hotlist_cards} cards"
    configured = f"   configuration {status.configuration_version}" if status.configuration_version else ""
    return f"hotlist {status.hotlist_version}: {cards} to refuse{configured}"


def _taps(count: int) -> str:
    return "1 tap" if count == 1 else f"{count} taps"


def _ago(seconds: int) -> str:
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def _spread(left: str, right: str, width: int, style: str) -> str:
    return style + _cut(left.ljust(max(width - len(right), 0)), max(width - len(right), 0)) + right[:width] + _RESET


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else (text[: max(width - 1, 0)] + "\N{HORIZONTAL ELLIPSIS}")[: max(width, 0)]


def _wrap(text: str, width: int) -> list[str]:
    lines: list[str] = []
    for word in text.split():
        if lines and len(lines[-1]) + 1 + len(word) <= width:
            lines[-1] += " " + word
        else:
            lines.append(_cut(word, width))
    return lines
