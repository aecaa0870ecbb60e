"""What is being sold, as the cashier keys it in: amount, fixed price, basket or meals. Pure.

What becomes of it when a card comes is `terminal.till`'s matter.
"""

from __future__ import annotations

from terminal.basket import COUNT_MAX, Line, Mode, Offer, added, amount_line, amount_offer, meal_offer, product_line
from terminal.events import Notice
from wire.configuration import Configuration, MealPeriod, Product
from wire.money import Fen


class Selling:
    """One sale after another. `configuration` and `day_min`, the minute of the campus's day, are set from outside."""

    def __init__(self) -> None:
        self.configuration: Configuration | None = None
        self.day_min: int | None = None
        self.mode = Mode.FREE
        self.amount_fen: Fen | None = None  # free: for the next card; fixed: for all that follow
        self.basket: tuple[Line, ...] = ()
        self.meals = 1
        self.held = False  # the basket's card was refused: it waits for a word of the cashier before another pays it

    @property
    def period(self) -> MealPeriod | None:
        """The meal period of this minute, if there is one."""
        if self.configuration is None or self.day_min is None:
            return None
        return self.configuration.period_at(self.day_min)

    @property
    def offer(self) -> Offer | None:
        """What the next card would pay for; None: nothing yet."""
        if self.mode is Mode.MEALS:
            return None if self.period is None else meal_offer(self.period, self.meals)
        if self.mode is Mode.PRODUCTS:
            return Offer(Mode.PRODUCTS, self.basket) if self.basket else None
        return None if self.amount_fen is None else amount_offer(self.amount_fen, self.mode)

    @property
    def is_begun(self) -> bool:
        """Whether something was keyed in for one customer."""
        free = self.mode is Mode.FREE and self.amount_fen is not None
        return free or bool(self.basket) or self.meals != 1

    def choose(self, mode: Mode) -> Notice | None:
        """Sell in this way from now on, beginning with nothing."""
        self.mode = mode
        self.clear()
        return Notice.NO_MEAL_NOW if mode is Mode.MEALS and self.offer is None else None

    def begin_amount(self) -> None:
        """An amount is being typed: the one before is over."""
        if self.mode in (Mode.FREE, Mode.FIXED):
            self.amount_fen = None

    def enter_amount(self, amount_fen: Fen) -> Notice | None:
        """An amount was typed; in product mode a line of the basket."""
        if self.mode is Mode.MEALS:
            return Notice.AMOUNT_NOT_WANTED
        self.begin_amount()
        if amount_fen == 0:
            return Notice.AMOUNT_NEEDED
        if self.mode is Mode.PRODUCTS:
            return self._add(amount_line(amount_fen))
        self.amount_fen = amount_fen
        return None

    def enter_meals(self, count: int) -> Notice | None:
        """So many meals for the next card."""
        if self.mode is not Mode.MEALS:
            self.choose(Mode.MEALS)
        if not 0 < count <= COUNT_MAX:
            return Notice.BASKET_FULL
        self.meals = count
        if self.offer is not None and self.offer.is_possible:
            return None
        notice = Notice.NO_MEAL_NOW if self.offer is None else Notice.BASKET_FULL
        self.meals = 1
        return notice

    def press_product(self, number: int, count: int) -> Notice | None:
        """So many more of the product with this number."""
        found = [product for product in self._products() if product.number == number]
        return self._add(product_line(found[0], count)) if found else Notice.PRODUCT_UNKNOWN

    def scan(self, code: str) -> Notice | None:
        """One more of the product with this barcode."""
        found = [product for product in self._products() if code and product.barcode == code]
        return self._add(product_line(found[0], 1)) if found else Notice.CODE_UNKNOWN

    def remove(self, number: int) -> Notice | None:
        """Take a line out of the basket."""
        left = tuple(line for line in self.basket if line.number != number)
        if left == self.basket:
            return Notice.PRODUCT_UNKNOWN
        self.basket, self.held = left, False
        return None

    def clear(self) -> None:
        """Begin anew, in the same mode."""
        self.amount_fen, self.basket, self.meals, self.held = None, (), 1, False

    def end(self) -> None:
        """A sale is over: whoever comes next pays only what is keyed in for them. Fixed price and meals go on."""
        if self.mode is not Mode.FIXED:
            self.clear()

    def refuse(self) -> None:
        """The card was refused. A basket is kept, for cash or another card, and waits for the cashier's word."""
        if self.mode is Mode.PRODUCTS:
            self.held = True
        else:
            self.end()

    def _products(self) -> tuple[Product, ...]:
        return () if self.configuration is None else self.configuration.products

    def _add(self, line: Line) -> Notice | None:
        if self.mode is not Mode.PRODUCTS:
            self.choose(Mode.PRODUCTS)
        grown = added(self.basket, line)
        if grown is None:
            return Notice.BASKET_FULL
        self.basket, self.held = grown, False
        return None
