"""The table of codes: every refusal and fault a cashier can meet, with a number that is easy to read out on the phone.

The numbers never change and are never used again: 101 to 199 is 100 and the refusal's own value; 2xx is the card on the
reader, 3xx reader and security module, 4xx journal, server and clock, 5xx devices, 6xx what was pressed. The text is
`terminal.words.advice_zh` and `advice_en`; the same table stands in `terminal/TERMINAL.md`. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from terminal.words.advice_en import ADVICE as _EN
from terminal.words.advice_zh import ADVICE as _ZH
from terminal.words.catalogue import Advice, Language
from wire.record import Refusal

REFUSAL_NUMBERS: Final = 100  # what is added to a refusal's value

NUMBERS: Final = {
    **{refusal.name: REFUSAL_NUMBERS + refusal for refusal in Refusal},
    "card-removed": 201,
    "card-mute": 202,
    "card-unreadable": 203,
    "still-there": 204,
    "wrong-card": 205,
    "torn": 206,
    "unresolved": 207,
    "unresolved-with-proof": 208,
    "proof-refused": 209,
    "not-paid": 210,
    "reader-service-down": 301,
    "reader-missing": 302,
    "reader-stuck": 303,
    "reader-fault": 304,
    "psam-lost": 311,
    "psam-unusable": 312,
    "psam-foreign": 313,
    "psam-locked": 314,
    "downlink-unreadable": 401,
    "not-enrolled": 402,
    "config-invalid": 403,
    "devices-invalid": 404,
    "journal-damaged": 411,
    "journal-foreign": 412,
    "journal-lost": 413,
    "journal-in-use": 414,
    "journal-unwritable": 415,
    "disk-full": 416,
    "disk-read-only": 417,
    "verdict": 420,
    "FORK": 421,
    "QUARANTINED": 422,
    "UNKNOWN_TERMINAL": 423,
    "WRONG_EPOCH": 424,
    "SIGNATURE_INVALID": 425,
    "clock-gone-back": 431,
    "printer-no-paper": 501,
    "printer-offline": 502,
    "display-offline": 503,
    "scanner-offline": 504,
    "keypad-offline": 505,
    "voice-silent": 506,
    "signals-offline": 507,
    "printer-paper-low": 508,
    "receipts-unprinted": 509,
    "amount-needed": 601,
    "amount-not-wanted": 602,
    "basket-full": 603,
    "code-unknown": 604,
    "no-meal-now": 605,
    "no-shift": 606,
    "no-supervisor": 607,
    "not-in-training": 608,
    "nothing-to-confirm": 609,
    "nothing-to-sell": 610,
    "nothing-to-undo": 611,
    "pin-is-digits": 612,
    "product-unknown": 613,
    "sale-not-ended": 614,
    "timed-out": 615,
    "undo-too-late": 616,
}


@dataclass(frozen=True, slots=True)
class Code:
    """One line of the table: `name` is the program's word for it."""

    number: int
    name: str

    def advice(self, language: Language) -> Advice:
        """What it says in this language."""
        return (_ZH if language is Language.ZH_HANS else _EN)[self.name]


CODES: Final = tuple(sorted((Code(number, name) for name, number in NUMBERS.items()), key=lambda code: code.number))
_BY_NAME: Final = {code.name: code for code in CODES}


def code_of(name: str, otherwise: str) -> Code:
    """The code for a refusal's name or an error's code; one that the table does not have is told as `otherwise`."""
    return _BY_NAME.get(name) or _BY_NAME[otherwise]


def found(digits: str) -> list[Code]:
    """The codes whose number begins with these digits."""
    return [code for code in CODES if str(code.number).startswith(digits)]


def in_chinese(name: str) -> str:
    """What goes before an error's English words on a command line; nothing for one that the table does not have."""
    code = _BY_NAME.get(name)
    return "" if code is None else f"{code.advice(Language.ZH_HANS).headline}（{code.number}） "
