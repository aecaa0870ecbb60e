"""The students of a simulated campus: their cards, what is special about a few, and a seeded stream of what they buy.

Left out: readers and programs (`sim.campus`). Nobody has a name; a card is told by its letter and masked number.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from random import Random
from typing import Final

from settlement.onecard.keys import KeyStore
from sim.card.issue import issue_card, read_card_image
from sim.card.memory import open_memory
from sim.card.purse import Purse
from wire.ids import Asn, CardId, IssuerId
from wire.money import Fen

ISSUER: Final = IssuerId(bytes.fromhex("1000000000000086"))
CARDS: Final = 20

_VALID_FROM, _VALID_TO, _EXPIRED_ON = (bytes.fromhex(day) for day in ("20240901", "20990831", "20250831"))
_BALANCE: Final = Fen(500_00)
_STUDENTS: Final = 1  # the card class, as `campus.toml` has it
_NEARLY_EMPTY: Final = Fen(3_00)

# A canteen's counter: most dishes between 4.00 and 18.00, and now and then an amount typed wrong.
_PRICES_FEN: Final = tuple(range(4_00, 18_50, 50))
_TYPED_WRONG_FEN: Final = Fen(128_00)
_ODD_CARD_SHARE: Final = 0.10
_TYPED_WRONG_SHARE: Final = 0.01


class Trait(Enum):
    """What is special about a card."""

    ORDINARY = ""
    NEARLY_EMPTY = "nearly empty"
    LOST = "reported lost"
    EXPIRED = "expired"


_ODD: Final = {3: Trait.NEARLY_EMPTY, 4: Trait.LOST, 5: Trait.EXPIRED}


@dataclass(frozen=True, slots=True)
class Student:
    """One card of the crowd; `number` counts from 1, and the first few have a letter to present them by."""

    number: int
    card: CardId
    trait: Trait
    path: Path

    @property
    def letter(self) -> str:
        """The key that presents this card."""
        return chr(ord("a") + self.number - 1)

    @property
    def balance_fen(self) -> Fen:
        """What the card holds now, read from its memory without powering it."""
        return read_card_image(self.path).balance_fen

    def powered(self, rng: Random) -> Purse:
        """The card as it comes into a reader's field; close it when it leaves."""
        return Purse(open_memory(self.path), rng)


@dataclass(frozen=True, slots=True)
class Purchase:
    """Somebody wants to pay this."""

    student: Student
    amount_fen: Fen


def crowd(folder: Path) -> list[Student]:
    """All students, whether or not their cards have been issued yet."""
    return [
        Student(
            number,
            CardId(ISSUER, Asn(bytes.fromhex(f"{number:020d}"))),
            _ODD.get(number, Trait.ORDINARY),
            folder / f"{number:02d}.card",
        )
        for number in range(1, CARDS + 1)
    ]


def issue_cards(students: list[Student], keys: KeyStore) -> None:
    """Make the cards that are not there yet, each with keys of its own."""
    for student in students:
        if not student.path.exists():
            issue_card(
                student.path,
                keys=keys.card_keys(student.card),
                card=student.card,
                valid_from_bcd=_VALID_FROM,
                valid_to_bcd=_EXPIRED_ON if student.trait is Trait.EXPIRED else _VALID_TO,
                opening_balance_fen=_NEARLY_EMPTY if student.trait is Trait.NEARLY_EMPTY else _BALANCE,
                card_class=_STUDENTS,
            )


def write_openings(students: list[Student], path: Path) -> None:
    """The file with which the school takes the cards' money into its books."""
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(("issuer", "asn", "opening_balance_fen", "opening_counter"))
        for student in students:
            image = read_card_image(student.path)
            rows.writerow(
                (student.card.issuer.hex(), student.card.asn.hex(), image.opening_balance_fen, image.opening_counter)
            )


def purchases(students: list[Student], rng: Random, count: int) -> Iterator[Purchase]:
    """`count` purchases: mostly ordinary cards and prices, some that a till has to refuse."""
    odd = [student for student in students if student.trait is not Trait.ORDINARY]
    ordinary = [student for student in students if student.trait is Trait.ORDINARY]
    for _ in range(count):
        student = rng.choice(odd if rng.random() < _ODD_CARD_SHARE else ordinary)
        wrong = rng.random() < _TYPED_WRONG_SHARE
        yield Purchase(student, _TYPED_WRONG_FEN if wrong else Fen(rng.choice(_PRICES_FEN)))
