"""What display, lamps, buzzer and voice tell of the till and of how a tap ended. Pure. Left out: the devices."""

from __future__ import annotations

from typing import Final

from drivers.display import DISPLAY_COLUMNS
from drivers.signals import Signal
from drivers.voice_words import chinese_amount, english_amount
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
    SignedOn,
    StillThere,
    Torn,
    Unresolved,
    WrongCard,
)
from terminal.till import Till
from terminal.words import WORDS
from terminal.words.catalogue import Language
from terminal.words.codes import code_of
from wire.money import Fen, format_fen
from wire.record import Refusal

Shown = tuple[str, str]
IDLE: Final[Shown] = ("WELCOME", "")
_SAME_CARD: Final[Shown] = ("SAME CARD AGAIN", "PLEASE")

_AMOUNTS: Final = {Language.ZH_HANS: chinese_amount, Language.EN: english_amount}
_PAUSE: Final = {Language.ZH_HANS: "，", Language.EN: ", "}
_JOIN: Final = {Language.ZH_HANS: "", Language.EN: " "}


def signal_of(result: Result) -> Signal | None:
    """Which of the three a result is; None: nothing to look up for, or training, which must not pass for a payment."""
    match result:
        case Approved() | Reversed() | Refunded() | SignedOn() | CashTaken():
            return Signal.APPROVED
        case Refused() | ProofRefused() | Unresolved():
            return Signal.REFUSED
        case NotPaid() | Torn() | WrongCard() | StillThere():
            return Signal.SAME_CARD
        case _:
            return None


def shown_of(till: Till) -> Shown:
    """What the customer sees now."""
    if till.failure is not None or till.verdict is not None:
        return "CLOSED", ""
    if till.torn is not None:
        return _SAME_CARD
    if till.result is not None and (shown := _shown_result(till.result)) is not None:
        return shown
    if till.amount_fen is None:
        return IDLE
    return _row("TRAINING" if till.training else "TO PAY", till.amount_fen), "CARD PLEASE"


def _shown_result(result: Result) -> Shown | None:
    match result:
        case Approved(record, balance_fen):
            return _row("PAID", record.amount_fen), _row("LEFT", balance_fen)
        case Reversed(record) | Refunded(record):
            return _row("CREDIT", record.credit_fen), "COMES WITH NEXT LOAD"
        case CashTaken(_, amount_fen, _):
            return _row("CASH", amount_fen), "THANK YOU"
        case BalanceRead(balance_fen=balance_fen):
            return "BALANCE", _row("", balance_fen)
        case Refused(refusal, _, balance_fen):
            return "NOT PAID", _row("LEFT", balance_fen) if refusal is Refusal.INSUFFICIENT_BALANCE else ""
        case ProofRefused() | Unresolved():
            return "NOT PAID", ""
        case NotPaid() | WrongCard() | StillThere():
            return "CARD PLEASE", ""
        case _:
            return None


def sentence_of(result: Result, language: Language) -> str | None:
    """What is said; None: nothing."""
    words = WORDS[language]
    match result:
        case Approved(record, balance_fen):
            paid = _said(words.paid, record.amount_fen, language)
            return paid + _PAUSE[language] + _said(words.left, balance_fen, language)
        case Reversed(record):
            return words.reversed + _PAUSE[language] + _said("", record.credit_fen, language)
        case Refunded(record):
            return words.refunded + _PAUSE[language] + _said("", record.credit_fen, language)
        case CashTaken(_, amount_fen, _):
            return _said(words.cash_taken, amount_fen, language)
        case Refused(refusal):
            return code_of(refusal.name, "not-paid").advice(language).headline
        case Torn() | WrongCard():
            return words.same_card
        case ProofRefused():
            return code_of("proof-refused", "not-paid").advice(language).headline
        case _:
            return None


def _said(word: str, amount_fen: Fen, language: Language) -> str:
    return _JOIN[language].join(filter(None, (word, _AMOUNTS[language](amount_fen))))


def _row(word: str, amount_fen: Fen) -> str:
    return word + format_fen(amount_fen).rjust(DISPLAY_COLUMNS - len(word))
