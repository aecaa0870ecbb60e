"""A cashier's day as a script: sign-on, sales in every mode, refusals, a torn card, paper out, undo, refund, cash, the
Z-report.

The same steps run against the app under a pilot (`sim.booth`) and against the real program on a terminal; what is to be
seen is said in the catalogue's own words. Left out: who carries the steps out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random
from typing import Final

from settlement.onecard.campusfile import parse_campus
from sim.campus import CAMPUS_TOML
from sim.crowd import ISSUER, Student
from terminal.words import WORDS
from terminal.words.catalogue import Language
from terminal.words.codes import code_of
from wire.configuration import Configuration
from wire.money import format_fen
from wire.record import Refusal

PIN: Final = "123456"  # on every card that `sim.card.issue` makes
CASHIER, SUPERVISOR = 19, 20  # the students who work here
POOR, LOST, EXPIRED = 3, 4, 5  # as `sim.crowd` has them
OPENING_FEN: Final = 100_00
_ORDINARY: Final = (1, 2, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18)
_WORDS: Final = WORDS[Language.ZH_HANS]  # a till begins in Chinese
_PRICES_FEN: Final = tuple(range(4_00, 18_50, 50))
_ABOVE_LIMIT: Final = "150"
_FIXED_FEN: Final = 6_50
_BLOCK: Final = 12  # so many sales in one mode, at most
# The campus's hours leave gaps; the day's meals do not, whatever the clock says.
_HOURS: Final = (
    ("06:00", "00:00"),
    ("09:30", "06:00"),
    ("10:30", "06:00"),
    ("14:00", "12:00"),
    ("16:30", "12:00"),
    ("20:00", "18:00"),
    ("20:30", "18:00"),
    ("23:30", "24:00"),
)


@dataclass(frozen=True, slots=True)
class Press:
    """Keys, one after the other; a line's end is Enter."""

    keys: str


@dataclass(frozen=True, slots=True)
class Hold:
    """A card on the reader, by its number in the crowd; `torn`: it leaves as the debit's answer comes."""

    card: int
    torn: bool = False


@dataclass(frozen=True, slots=True)
class Lift:
    """The card off the reader."""


@dataclass(frozen=True, slots=True)
class See:
    """Wait until all of this stands on the screen; `new_tap`: with a tap's number that was not there before."""

    texts: tuple[str, ...]
    new_tap: bool = False
    gone: str = ""  # what must not stand there any more

    def fits(self, screen: str) -> bool:
        """Whether this screen is the one, but for the tap's number."""
        return all(text in screen for text in self.texts) and not (self.gone and self.gone in screen)


@dataclass(frozen=True, slots=True)
class Paper:
    """The printer has paper, or has none any more."""

    there: bool


@dataclass(frozen=True, slots=True)
class Printed:
    """Wait until this is on paper."""

    text: str


Step = Press | Hold | Lift | See | Paper | Printed


@dataclass(slots=True)
class Expected:
    """What the day comes to, as the script knows it; prices are those on the screen, whoever paid them."""

    sales: int = 0
    sales_fen: int = 0
    reversals: int = 0
    reversed_fen: int = 0
    refunds: int = 0
    refunded_fen: int = 0
    cash: int = 0
    cash_fen: int = 0
    refusals: dict[Refusal, int] = field(default_factory=dict)


def day_toml() -> str:
    """The campus's file with meals round the clock, a cashier and a supervisor."""
    text = CAMPUS_TOML.read_text(encoding="utf-8")
    for usual, day in _HOURS:
        text = text.replace(f'"{usual}"', f'"{day}"', 1)
    for number, role, name in ((CASHIER, "cashier", "王师傅"), (SUPERVISOR, "supervisor", "李主管")):
        text += f'\n[[staff]]\nissuer = "{ISSUER.hex()}"\nasn = "{number:020d}"\nrole = "{role}"\nname = "{name}"\n'
    return text


def day_configuration() -> Configuration:
    """What `day_toml` makes of the canteen."""
    return parse_campus(day_toml()).outlets[0].configuration


class Day:
    """The script; `expected` grows as it is carried out."""

    def __init__(self, *, sales: int, seed: int) -> None:
        self.expected = Expected()
        self._sales = sales
        self._rng = Random(seed)
        self._products = day_configuration().products
        # What each card may have paid last: the same again is a double tap. A meal costs what the hour says.
        self._last: dict[int, frozenset[int]] = {}
        self._previous = 0
        self._meals_fen = frozenset(
            period.meal_fen for period in day_configuration().periods if period.meal_fen is not None
        )

    def steps(self) -> Iterator[Step]:
        """From sign-on to Z-report."""
        yield from self._sign_on()
        yield from self._refusals()
        left = self._sales - 5  # the torn one, the one that is undone, the double one, and those without paper
        modes = (self._free, self._products_sold, self._fixed, self._meals)
        turn, block = 0, min(_BLOCK, max(left // len(modes), 1))  # a short day has all modes too
        while left > 0:
            count = min(left, block)
            yield from modes[turn % len(modes)](count)
            left -= count
            turn += 1
        yield Press("/71")
        yield See((_WORDS.type_amount,))
        yield from self._torn()
        yield from self._without_paper()
        yield from self._double()
        yield from self._undo()
        yield from self._refund()
        yield from self._cash()
        yield from self._look()
        yield from self._close()

    def _sign_on(self) -> Iterator[Step]:
        yield See((_WORDS.pin_cashier,))
        for digits, seen in (("654321", Refusal.PIN_WRONG), (PIN, None)):
            yield Press(f"{digits}\n")
            yield See((_WORDS.staff_card_cashier,))
            yield Hold(CASHIER)
            yield See((_WORDS.opening_cash,) if seen is None else (_headline(seen.name),))
            yield Lift()
            if seen is not None:
                self._refused(seen)
        yield Press(f"{format_fen(OPENING_FEN)}\n")
        yield See((_WORDS.shift_opened.format(number=1),))
        yield Press("-")
        yield See((_WORDS.type_amount,))

    def _refusals(self) -> Iterator[Step]:
        for card, amount, refusal in (
            (POOR, "17.00", Refusal.INSUFFICIENT_BALANCE),
            (LOST, "5", Refusal.HOTLISTED),
            (EXPIRED, "5", Refusal.EXPIRED),
            (_ORDINARY[0], _ABOVE_LIMIT, Refusal.OVER_TAP_LIMIT),
        ):
            yield Press(f"{amount}\n")
            yield See((_WORDS.present_card,))
            yield Hold(card)
            yield See((_headline(refusal.name), _WORDS.say_code.format(number=code_of(refusal.name, "").number)))
            yield Lift()
            yield Press("-")
            yield See((_WORDS.type_amount,))
            self._refused(refusal)

    def _free(self, count: int) -> Iterator[Step]:
        yield Press("/71")
        yield See((_WORDS.type_amount,))
        for _ in range(count):
            card, fen = self._customer()
            yield Press(f"{format_fen(fen)}\n")
            yield See((_WORDS.present_card,))
            yield from self._paid(card, fen)

    def _fixed(self, count: int) -> Iterator[Step]:
        yield Press("/72")
        yield See((_WORDS.type_fixed,))
        yield Press(f"{format_fen(_FIXED_FEN)}\n")
        yield See((_WORDS.present_card,))
        for _ in range(count):
            yield from self._paid(self._other_than(frozenset({_FIXED_FEN})), _FIXED_FEN)

    def _products_sold(self, count: int) -> Iterator[Step]:
        yield Press("/73")
        yield See((_WORDS.pick_product,))
        for _ in range(count):
            first, second = self._rng.sample(self._products, 2)
            times = self._rng.randint(1, 2)
            fen = first.amount_fen * times + second.amount_fen
            yield Press(f"{times}*{first.number}\n")
            yield See((_WORDS.present_card,))
            yield Press(f"{second.barcode}\n" if second.barcode else f"{second.number}\n")
            yield See((second.name.zh, first.name.zh, _WORDS.present_card))
            yield from self._paid(self._other_than(frozenset({fen})), fen)

    def _meals(self, count: int) -> Iterator[Step]:
        yield Press("/74")
        yield See((_WORDS.meals.format(count=1),))
        for _ in range(count):
            yield from self._paid(self._other_than(self._meals_fen), None)

    def _paid(self, card: int, fen: int | None) -> Iterator[Step]:
        yield Hold(card)
        yield See((_WORDS.approved,), new_tap=True)
        yield Lift()
        self.expected.sales += 1
        self.expected.sales_fen += fen or 0
        self._last[card] = self._meals_fen if fen is None else frozenset({fen})
        self._previous = card

    def _torn(self) -> Iterator[Step]:
        card, fen = self._customer()
        yield Press(f"{format_fen(fen)}\n")
        yield See((_WORDS.present_card,))
        yield Hold(card, torn=True)
        yield See((_headline("torn"),))
        yield Lift()
        yield Hold(next(other for other in _ORDINARY if other != card))
        yield See((_headline("wrong-card"),))
        yield Lift()
        yield from self._paid(card, fen)

    def _without_paper(self) -> Iterator[Step]:
        """The roll ends: the till says so and goes on selling; with a new one the receipts come, and a copy."""
        headline = _headline("printer-no-paper")
        yield Paper(False)
        for _ in range(2):
            card, fen = self._customer()
            yield from (Press(f"{format_fen(fen)}\n"), See((_WORDS.present_card,)))
            yield from self._paid(card, fen)
            yield See((headline, _WORDS.code.format(number=code_of("printer-no-paper", "").number)))
        yield Paper(True)
        yield See((), gone=headline)
        yield Press("/.")
        yield See((_WORDS.receipt_seq,))
        yield Press("\n")
        yield Printed(_WORDS.receipt_copy)

    def _double(self) -> Iterator[Step]:
        card, fen = self._customer()
        yield from (Press(f"{format_fen(fen)}\n"), See((_WORDS.present_card,)))
        yield from self._paid(card, fen)
        yield from (Press(f"{format_fen(fen)}\n"), See((_WORDS.present_card,)), Hold(card))
        yield See((_headline("DOUBLE_TAP"),))
        yield Lift()
        self._refused(Refusal.DOUBLE_TAP)
        yield Press("-")
        yield See((_WORDS.type_amount,))

    def _undo(self) -> Iterator[Step]:
        card, fen = self._customer()
        yield from (Press(f"{format_fen(fen)}\n"), See((_WORDS.present_card,)))
        yield from self._paid(card, fen)
        yield Press("/2")
        yield See((_WORDS.undo_card,))
        yield Hold(card)
        yield See((_WORDS.reversed,), new_tap=True)
        yield Lift()
        self.expected.reversals += 1
        self.expected.reversed_fen += fen

    def _refund(self) -> Iterator[Step]:
        yield Press("/3\n")
        yield See((_WORDS.pin_supervisor,))
        yield Press(f"{PIN}\n")
        yield See((_WORDS.staff_card_supervisor,))
        yield Hold(SUPERVISOR)
        yield See((_WORDS.refund_amount,))
        yield Lift()
        yield Press("2.50\n")
        yield See((_WORDS.refund_card,))
        yield Hold(_ORDINARY[1])
        yield See((_WORDS.refunded,), new_tap=True)
        yield Lift()
        self.expected.refunds += 1
        self.expected.refunded_fen += 2_50

    def _cash(self) -> Iterator[Step]:
        for fen in (8_80, 12_00):
            yield Press(f"{format_fen(fen)}\n")
            yield See((_WORDS.present_card,))
            yield Press("/4")
            yield See((_WORDS.cash_taken,))
            self.expected.cash += 1
            self.expected.cash_fen += fen

    def _look(self) -> Iterator[Step]:
        yield Press("/1")
        yield See((_WORDS.balance_card,))
        yield Hold(_ORDINARY[2])
        yield See((_WORDS.balance,))
        yield Lift()
        yield Press("/5")
        yield See((_WORDS.x_report, format_fen(OPENING_FEN + self.expected.cash_fen)))
        yield Press("/8")
        yield See((WORDS[Language.EN].x_report,))
        yield Press("/8")
        yield See((_WORDS.x_report,))
        yield Press("-")

    def _close(self) -> Iterator[Step]:
        yield Press("/6")
        yield See((_WORDS.counted_cash,))
        yield Press(f"{format_fen(OPENING_FEN + self.expected.cash_fen)}\n")
        yield See((_WORDS.z_report, _WORDS.report_difference))
        yield Printed(_WORDS.z_report)

    def _refused(self, refusal: Refusal) -> None:
        self.expected.refusals[refusal] = self.expected.refusals.get(refusal, 0) + 1

    def _customer(self) -> tuple[int, int]:
        fen = self._rng.choice(_PRICES_FEN)
        return self._other_than(frozenset({fen})), fen

    def _other_than(self, prices_fen: frozenset[int]) -> int:
        """A card that paid none of these last, nor anything just now: lifted, it would come twice."""
        fresh = [card for card in _ORDINARY if not prices_fen & self._last.get(card, frozenset())]
        return self._rng.choice([card for card in fresh if card != self._previous])


def holder(students: list[Student], number: int) -> Student:
    """Who has this card."""
    return next(student for student in students if student.number == number)


def _headline(name: str) -> str:
    return code_of(name, name).advice(Language.ZH_HANS).headline
