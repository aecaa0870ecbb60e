"""What is sold at once and what it costs, by the class of the card that pays. Pure.

The price is known only when the card is read; what the screen shows before are all prices that it can be.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from wire.configuration import ClassPrice, MealPeriod, Name, Product
from wire.money import FEN_MAX, Fen

COUNT_MAX: Final = 99  # of one thing: two digits, and a slip of the finger sells no thousand


class Mode(Enum):
    """How the cashier says what is sold."""

    FREE = auto()  # an amount for each card
    FIXED = auto()  # the same amount for card after card
    PRODUCTS = auto()  # keys and barcodes into a basket
    MEALS = auto()  # meals of the present period for card after card, one unless a number is typed


@dataclass(frozen=True, slots=True)
class Line:
    """So many of one thing at a price each, with prices of their own for some classes.

    `number` is the product's or the meal period's; 0 and no name: an amount that was typed.
    """

    number: int
    name: Name | None
    count: int
    each_fen: Fen
    class_prices: tuple[ClassPrice, ...] = ()

    def fen(self, card_class: int | None) -> int:
        """What the line costs a card of this class; None: cash, or a class without a price of its own."""
        own = [price.amount_fen for price in self.class_prices if price.card_class == card_class]
        return self.count * (own[0] if own else self.each_fen)


@dataclass(frozen=True, slots=True)
class Offer:
    """What the screen offers to the next card. `period`: in meal mode the one whose meals these are, otherwise 0."""

    mode: Mode
    lines: tuple[Line, ...]
    period: int = 0

    def fen(self, card_class: int | None) -> Fen:
        """The whole price for a card of this class; None: for cash, or a class without prices of its own."""
        return Fen(sum(line.fen(card_class) for line in self.lines))

    @property
    def meals(self) -> int:
        """How many meals these are."""
        return self.lines[0].count if self.mode is Mode.MEALS else 0

    @property
    def prices_fen(self) -> tuple[Fen, ...]:
        """Every price that this may come to, ascending: what a screen has to show, for no other is ever charged."""
        classes = {price.card_class for line in self.lines for price in line.class_prices}
        return tuple(sorted({self.fen(None), *(self.fen(one) for one in classes)}))

    @property
    def is_possible(self) -> bool:
        """Whether a till can sell this: not too many of one thing, and no more than a card can hold."""
        few = all(0 < line.count <= COUNT_MAX for line in self.lines)
        return bool(self.lines) and few and self.prices_fen[-1] <= FEN_MAX


def amount_offer(amount_fen: Fen, mode: Mode = Mode.FREE) -> Offer:
    """An amount that was typed."""
    return Offer(mode, (amount_line(amount_fen),))


def amount_line(amount_fen: Fen) -> Line:
    """An amount that was typed, the same for every card."""
    return Line(0, None, 1, amount_fen)


def product_line(product: Product, count: int) -> Line:
    """So many of a product."""
    return Line(product.number, product.name, count, product.amount_fen, product.class_prices)


def meal_offer(period: MealPeriod, count: int) -> Offer | None:
    """So many meals of this period; None: it has no price for a meal."""
    if period.meal_fen is None:
        return None
    line = Line(period.number, period.name, count, period.meal_fen, period.class_prices)
    return Offer(Mode.MEALS, (line,), period.number)


def added(lines: tuple[Line, ...], line: Line) -> tuple[Line, ...] | None:
    """The basket with `line` in it, more of what is there already; None: too many, or too dear."""
    grown = [_grown(old, line) if old.number == line.number else old for old in lines]
    result = tuple(grown) if any(old.number == line.number for old in lines) else (*lines, line)
    return result if Offer(Mode.PRODUCTS, result).is_possible else None


def _grown(old: Line, more: Line) -> Line:
    if old.number == 0:  # amounts have no count: they add up
        return amount_line(Fen(old.each_fen + more.each_fen))
    return Line(old.number, old.name, old.count + more.count, old.each_fen, old.class_prices)
