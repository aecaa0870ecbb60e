"""What is pressed: keys of a number pad, the screen's own keys, or a scanner that types. Keys in, events out. Pure.

A scanner types faster than anybody and ends with Enter: such a burst is a code, not an amount. So keys wait for a
moment too short to notice before they count, unless they come from the screen.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from terminal.basket import COUNT_MAX, Mode
from terminal.events import (
    AmountBegun,
    AmountEntered,
    BalancePressed,
    CancelPressed,
    CashierEvent,
    CashPressed,
    CloseShiftPressed,
    CodeScanned,
    ConfirmPressed,
    LineRemoved,
    MealsEntered,
    ModeChosen,
    Phase,
    PinEntered,
    ProductPressed,
    RefundPressed,
    TrainingPressed,
    UndoPressed,
    XReportPressed,
)
from terminal.screen.shown import Shown
from wire.money import FEN_MAX, AmountUnreadable, Fen, parse_yuan

ENTER: Final = "enter"
BACKSPACE: Final = "backspace"
ESCAPE: Final = "escape"
BURST_GAP_S: Final = 0.03  # between two keys of a scanner; a key held down repeats no faster than this
DEAF_S: Final = 0.5  # who pauses longer has begun something new
CODE_CHARS_MIN: Final = 7  # what a scanner reads is longer than what is typed: EAN-8 has 8
_BURST_CHARS_MAX: Final = 512  # a QR code's; what is more is somebody leaning on the keys
_TYPED_MAX: Final = 15
_PIN_MAX: Final = 12
_SEQ_DIGITS_MAX: Final = 10
_HELP_DIGITS: Final = 3
_AMOUNT: Final = re.compile(r"[0-9]{1,6}\.[0-9]{0,2}")
_TERM: Final = re.compile(r"(?:([0-9]{1,2})\*)?([0-9]*\.?[0-9]*)")
_WHOLE: Final = re.compile(r"(?:([0-9]{1,2})\*)?([0-9]{1,5})")
_AMOUNT_PHASES: Final = frozenset({Phase.OPENING_CASH, Phase.COUNTED_CASH, Phase.REFUND_AMOUNT})


class Page(Enum):
    """What the screen itself asks for, in place of what the till waits for."""

    SALE = auto()
    MENU = auto()
    MODES = auto()
    HELP = auto()
    REFUND_SEQ = auto()
    RECEIPT_SEQ = auto()


class Wish(Enum):
    """What is the screen's own matter."""

    OTHER_LANGUAGE = auto()


@dataclass(frozen=True, slots=True)
class ReceiptWanted:
    """The receipt of this tap is to be printed again; 0: of the last one."""

    seq: int


class Problem(Enum):
    """What was typed makes no sense; the name is the catalogue's."""

    amount_wrong = auto()
    amount_zero = auto()
    number_wrong = auto()
    count_wrong = auto()


Act = CashierEvent | Wish | ReceiptWanted

_MENU: Final[dict[str, Act | Page]] = {
    "1": BalancePressed(),
    "2": UndoPressed(),
    "3": Page.REFUND_SEQ,
    "4": CashPressed(),
    "5": XReportPressed(),
    "6": CloseShiftPressed(),
    "7": Page.MODES,
    "8": Wish.OTHER_LANGUAGE,
    "9": TrainingPressed(),
    "0": Page.HELP,
    ".": Page.RECEIPT_SEQ,
}
_MODES: Final = {"1": Mode.FREE, "2": Mode.FIXED, "3": Mode.PRODUCTS, "4": Mode.MEALS}


@dataclass(frozen=True, slots=True)
class Typed:
    """What is on the entry line."""

    text: str = ""
    problem: Problem | None = None


class Entry:
    """One keyboard. `press` takes a key that counts at once, `key` one that may be a scanner's."""

    def __init__(self) -> None:
        self.page = Page.SALE
        self.text = ""
        self.problem: Problem | None = None
        self._burst: list[str] = []
        self._key_at_s = 0.0
        self._deaf = False

    @property
    def typed(self) -> Typed:
        """For the screen."""
        return Typed(self.text, self.problem)

    @property
    def waits(self) -> bool:
        """Whether keys wait to be told from a scanner's; `flush` after `BURST_GAP_S`."""
        return bool(self._burst)

    def forget(self) -> None:
        """What was typed so far was typed before the cashier could see how a sale ended.

        The rest of a number that was begun then is no number: it is not heard until Enter, or a pause.
        """
        self._deaf = self._deaf or bool(self.text or self._burst)
        self.clear()

    def miss(self, at_s: float) -> None:
        """A key came while nothing could be seen yet: it counts for nothing, nor does what belongs to it."""
        self._deaf, self._key_at_s = True, at_s

    def clear(self) -> None:
        """Nothing is typed, and no page of the screen's own is open."""
        self.page, self.text, self.problem, self._burst = Page.SALE, "", None, []

    def key(self, key: str, at_s: float, shown: Shown) -> list[Act]:
        """A key of a keyboard, at this time; what it and those before it mean, as far as that is clear."""
        pause_s, self._key_at_s = at_s - self._key_at_s, at_s
        if self._deaf and pause_s <= DEAF_S:
            self._deaf = key != ENTER
            return []
        self._deaf = False
        acts = self.flush(shown) if self._burst and pause_s > BURST_GAP_S else []
        self._burst.append(key)
        if key == ENTER or len(self._burst) >= _BURST_CHARS_MAX:
            acts += self.flush(shown)
        return acts

    def flush(self, shown: Shown) -> list[Act]:
        """The keys that waited: a code, or one by one."""
        burst, self._burst = self._burst, []
        code = "".join(burst[:-1])
        secret = shown.phase is Phase.PIN or self.page in (Page.HELP, Page.REFUND_SEQ, Page.RECEIPT_SEQ)
        plain = all(len(key) == 1 for key in burst[:-1]) and not _AMOUNT.fullmatch(code)
        if burst[-1:] == [ENTER] and len(burst) > CODE_CHARS_MIN and plain and not secret:
            self.clear()
            return [CodeScanned(code)]
        return [act for key in burst for act in self.press(key, shown)]

    def press(self, key: str, shown: Shown) -> list[Act]:
        """One key, which counts."""
        self.problem = None
        match self.page:
            case Page.MENU:
                return self._menu(key)
            case Page.MODES:
                self.page = Page.SALE
                return [ModeChosen(_MODES[key])] if key in _MODES else []
            case Page.HELP:
                return self._digits(key, _HELP_DIGITS, leaves=True)
            case Page.REFUND_SEQ | Page.RECEIPT_SEQ:
                if key == ENTER:
                    refund = self.page is Page.REFUND_SEQ
                    seq, self.text, self.page = int(self.text or "0"), "", Page.SALE
                    return [RefundPressed(seq) if refund else ReceiptWanted(seq)]
                return self._digits(key, _SEQ_DIGITS_MAX, leaves=True)
        return self._sale(key, shown)

    def product(self, number: int) -> list[Act]:
        """A product's key on the screen; what was typed before is how many."""
        text, self.text, self.page = self.text, "", Page.SALE
        count = text.removesuffix("*")
        if not count:
            return [ProductPressed(number)]
        if not count.isdigit() or not 0 < int(count) <= COUNT_MAX:
            self.problem = Problem.count_wrong
            return []
        return [ProductPressed(number, int(count))]

    def shortcut(self, digit: str) -> list[Act]:
        """A menu line's key on the screen."""
        self.text = ""
        return self._menu(digit)

    def _menu(self, key: str) -> list[Act]:
        self.page, self.text = Page.SALE, ""
        chosen = _MENU.get(key)
        if isinstance(chosen, Page):
            self.page = chosen
            return []
        return [] if chosen is None else [chosen]

    def _digits(self, key: str, count_max: int, *, leaves: bool) -> list[Act]:
        if key in (ESCAPE, "-"):
            if leaves:
                self.page = Page.SALE
            self.text = ""
        elif key == BACKSPACE:
            self.text = self.text[:-1]
        elif key in "0123456789" and len(self.text) < count_max:
            self.text += key
        return []

    def _sale(self, key: str, shown: Shown) -> list[Act]:
        if key in (ESCAPE, "-"):
            if self.text:
                self.text = ""
                return []
            return [CancelPressed()]
        if key == "/":
            self.page, self.text = Page.MENU, ""
            return []
        if key == BACKSPACE:
            return self._backspace(shown)
        if shown.phase is Phase.PIN:
            if key == ENTER:
                digits, self.text = self.text, ""
                return [PinEntered(digits)] if digits else []
            return self._digits(key, _PIN_MAX, leaves=False)
        if key == ENTER or (key == "+" and shown.mode is Mode.PRODUCTS and shown.phase not in _AMOUNT_PHASES):
            return self._enter(shown)
        return self._type("." if key == "," else key)  # number pads of half the world have a comma there

    def _type(self, key: str) -> list[Act]:
        wanted = len(key) == 1 and key in ("0123456789.+*" if self.text else "0123456789.")
        if not wanted or len(self.text) >= _TYPED_MAX:
            return []
        self.text += key
        return [AmountBegun()] if len(self.text) == 1 else []

    def _backspace(self, shown: Shown) -> list[Act]:
        if self.text:
            self.text = self.text[:-1]
        elif shown.mode is Mode.PRODUCTS and shown.offer is not None and shown.errand is None:
            return [LineRemoved(shown.offer.lines[-1].number)]
        return []

    def _enter(self, shown: Shown) -> list[Act]:
        text, self.text = self.text, ""
        selling = shown.phase in (Phase.AMOUNT, Phase.CARD)
        if not text:
            if shown.asks_to_confirm:
                return [ConfirmPressed()]
            return [MealsEntered(1)] if selling and shown.mode is Mode.MEALS else []
        if selling and shown.mode in (Mode.PRODUCTS, Mode.MEALS) and "." not in text:
            return self._number(text, shown.mode)
        amount_fen = self._amount(text)
        if amount_fen is None:
            return []
        if amount_fen == 0 and selling:
            self.problem = Problem.amount_zero
            return []
        return [AmountEntered(amount_fen)]

    def _number(self, text: str, mode: Mode) -> list[Act]:
        if mode is Mode.PRODUCTS and text.isdigit() and len(text) >= CODE_CHARS_MIN:
            return [CodeScanned(text)]  # typed by hand, from a label that no scanner reads
        found = _WHOLE.fullmatch(text)
        if found is None:
            self.problem = Problem.number_wrong
            return []
        count, number = int(found[1] or "1"), int(found[2])
        if mode is Mode.MEALS:
            count, number = count * number, 0
        if not 0 < count <= COUNT_MAX:
            self.problem = Problem.count_wrong
            return []
        return [MealsEntered(count)] if mode is Mode.MEALS else [ProductPressed(number, count)]

    def _amount(self, text: str) -> Fen | None:
        """`12.5`, `3*4.50`, and sums of such."""
        total = 0
        for term in text.rstrip("+").split("+"):
            found = _TERM.fullmatch(term)
            try:
                one = "" if found is None else found[2].rstrip(".")
                total += parse_yuan("0" + one if one.startswith(".") else one) * int((found and found[1]) or "1")
            except AmountUnreadable:
                total = FEN_MAX + 1
        if total > FEN_MAX:
            self.problem = Problem.amount_wrong
            return None
        return Fen(total)
