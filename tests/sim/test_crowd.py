"""The students: who they are, cards that are issued once, and purchases drawn from a seed."""

from __future__ import annotations

import csv
from contextlib import closing
from itertools import islice
from pathlib import Path
from random import Random

import pytest

from settlement.onecard.keys import FileKeyStore
from settlement.onecard.registry import parse_cards
from sim.card.memory import open_memory
from sim.crowd import CARDS, Student, Trait, crowd, issue_cards, purchases, write_openings
from wire.money import Fen
from wire.purse_keys import PurseKeys


@pytest.fixture
def students(tmp_path: Path, masters: PurseKeys) -> list[Student]:
    students = crowd(tmp_path)
    issue_cards(students, FileKeyStore(masters, two_level=False))
    return students


def test_students_differ_in_card_letter_and_file(tmp_path: Path) -> None:
    students = crowd(tmp_path)
    assert len(students) == CARDS
    assert len({(student.card, student.letter, student.path) for student in students}) == CARDS
    assert [student.letter for student in students[:6]] == list("abcdef")
    assert [student.trait for student in students[:6]].count(Trait.ORDINARY) == 3


def test_cards_are_issued_once_and_keep_their_money(students: list[Student], masters: PurseKeys) -> None:
    with closing(open_memory(students[0].path)) as memory:
        memory.commit({"balance": (1_23).to_bytes(4)})
    students[1].path.unlink()
    issue_cards(students, FileKeyStore(masters, two_level=False))
    assert [student.balance_fen for student in students[:3]] == [1_23, 500_00, 3_00]


def test_openings_are_what_the_server_imports_and_never_what_was_spent(students: list[Student], tmp_path: Path) -> None:
    with closing(open_memory(students[0].path)) as memory:
        memory.commit({"balance": (1_23).to_bytes(4)})
    write_openings(students, tmp_path / "cards.csv")
    with (tmp_path / "cards.csv").open(encoding="utf-8", newline="") as file:
        openings = parse_cards(file)
    assert [opening.card for opening in openings] == [student.card for student in students]
    assert [opening.balance_fen for opening in openings][:3] == [500_00, 500_00, 3_00]
    with (tmp_path / "cards.csv").open(encoding="utf-8", newline="") as file:
        assert len(list(csv.reader(file))) == CARDS + 1


def test_same_seed_gives_the_same_purchases(tmp_path: Path) -> None:
    students = crowd(tmp_path)
    assert list(purchases(students, Random(7), 50)) == list(purchases(students, Random(7), 50))
    assert list(purchases(students, Random(7), 50)) != list(purchases(students, Random(8), 50))
    assert list(purchases(students, Random(7), 0)) == []


def test_purchases_are_mostly_ordinary_and_now_and_then_one_to_refuse(tmp_path: Path) -> None:
    made = list(islice(purchases(crowd(tmp_path), Random(1), 2_000), 2_000))
    odd = sum(purchase.student.trait is not Trait.ORDINARY for purchase in made)
    wrong = [purchase.amount_fen for purchase in made if purchase.amount_fen > Fen(100_00)]
    assert 120 < odd < 280
    assert {purchase.student.trait for purchase in made} == set(Trait)
    assert 5 <= len(wrong) <= 50
    assert all(4_00 <= purchase.amount_fen <= 18_00 for purchase in made if purchase.amount_fen <= 100_00)
