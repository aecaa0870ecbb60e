"""What somebody may not have meant in a change: much that goes at once, yuan where fen belong, prices over the limit.

A doubt stops nothing; it is told last, where it is read. Left out: what cannot be at all (`campusfile`).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from wire.configuration import Configuration
from wire.money import format_fen

_YUAN_FEN: Final = 100
_FACTOR: Final = 10  # nothing becomes so much dearer or cheaper from one term to the next
_PART: Final = 4  # so large a part of a list does not go by the way


def doubt_lines(before: Configuration | None, after: Configuration) -> list[str]:
    """What to look at again, in sentences; `before` is None for an outlet that went by nothing."""
    return [*(_gone(before, after) if before else ()), *_prices(before, after), *_limits(after)]


def _gone(before: Configuration, after: Configuration) -> Iterator[str]:
    for word, old, new in (
        ("card classes", [one.number for one in before.classes], [one.number for one in after.classes]),
        ("products", [one.number for one in before.products], [one.number for one in after.products]),
        ("meal periods", [one.number for one in before.periods], [one.number for one in after.periods]),
        ("subsidy rules", [one.number for one in before.subsidies], [one.number for one in after.subsidies]),
        ("staff cards", [one.card for one in before.staff], [one.card for one in after.staff]),
    ):
        gone = len(set(old) - set(new))
        if gone and (not new or (gone > 1 and gone * _PART >= len(old))):
            yield f"{'all' if gone == len(old) else gone} of {len(old)} {word} are gone"


def _prices(before: Configuration | None, after: Configuration) -> Iterator[str]:
    old = {} if before is None else {product.number: product.amount_fen for product in before.products}
    far = [
        product.number
        for product in after.products
        if (was := old.get(product.number)) and max(was, product.amount_fen) >= _FACTOR * min(was, product.amount_fen)
    ]
    if far:
        yield f"products {_some(far)} cost {_FACTOR} times as much as before or more, or a {_FACTOR}th or less"
    dearest = max((product.amount_fen for product in after.products), default=_YUAN_FEN)
    if dearest < _YUAN_FEN:
        yield f"no product costs more than {format_fen(dearest)} yuan; prices are in fen, 100 to a yuan"


def _limits(after: Configuration) -> Iterator[str]:
    """What no card of a class can pay, though it may pay something."""
    for number in (None, *(known.number for known in after.classes)):
        card_class = -1 if number is None else number
        most_fen = after.limits_of(card_class).tap_fen_max
        whose = "cards of no class" if number is None else f"cards of class {number}"
        products = {one.number: one.price_for(card_class) for one in after.products}
        meals = {one.number: price for one in after.periods if (price := one.price_for(card_class)) is not None}
        for word, prices in (("products", products), ("meals of periods", meals)):
            over = [one for one, price_fen in prices.items() if price_fen > most_fen]
            if over and most_fen:
                words = f"cost more than the {format_fen(most_fen)} yuan that {whose} may pay in one tap"
                yield f"{word} {_some(over)} {words}"


def _some(numbers: list[int]) -> str:
    more = len(numbers) - 5
    return ", ".join(map(str, numbers[:5])) + (f" and {more} more" if more > 0 else "")
