"""The table of codes: whole, stable, in both languages, and the same in the document."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from terminal.words import advice_en, advice_zh
from terminal.words.catalogue import Language
from terminal.words.codes import CODES, NUMBERS, code_of, found, in_chinese
from wire.record import Refusal

DOCUMENT = Path(__file__).parents[3] / "terminal" / "TERMINAL.md"


def row(number: int, name: str) -> str:
    """A code as the document's table has it."""
    zh, en = advice_zh.ADVICE[name], advice_en.ADVICE[name]
    cells = (f"{zh.headline} / {en.headline}", f"{zh.cashier} / {en.cashier}", f"{zh.technician} / {en.technician}")
    return f"| {number} | `{name}` | {' | '.join(cells)} |"


def test_every_code_has_its_words_in_both_languages_and_no_words_are_without_a_code() -> None:
    assert set(NUMBERS) == set(advice_zh.ADVICE) == set(advice_en.ADVICE)


def test_every_refusal_has_a_number_of_its_own_made_from_its_value() -> None:
    assert {refusal.name: 100 + refusal for refusal in Refusal}.items() <= NUMBERS.items()
    assert len({code.number for code in CODES}) == len(CODES)


def test_numbers_stay_what_they_were() -> None:
    known = {"HOTLISTED": 101, "INSUFFICIENT_BALANCE": 104, "card-removed": 201, "torn": 206, "reader-missing": 302}
    known |= {"psam-foreign": 313, "journal-unwritable": 415, "clock-gone-back": 431, "printer-no-paper": 501}
    assert known.items() <= NUMBERS.items()


def test_document_has_the_same_table() -> None:
    text = DOCUMENT.read_text(encoding="utf-8").partition("## The codes on the screen")[2].partition("\n## ")[0]
    rows = [line for line in text.splitlines() if re.match(r"\| \d+ \|", line)]
    assert rows == [row(code.number, code.name) for code in CODES]


@pytest.mark.parametrize("language", Language)
def test_headlines_fit_a_band(language: Language) -> None:
    for code in CODES:
        advice = code.advice(language)
        assert advice.headline
        assert advice.cashier
        assert advice.technician


def test_code_is_found_by_the_digits_typed_so_far() -> None:
    assert [code.name for code in found("104")] == ["INSUFFICIENT_BALANCE"]
    assert {code.number // 100 for code in found("3")} == {3}
    assert found("999") == []
    assert found("") == list(CODES)


def test_unknown_code_is_told_as_something_known() -> None:
    assert code_of("never-heard-of", "not-paid").number == NUMBERS["not-paid"]
    assert code_of("FORK", "verdict").number == NUMBERS["FORK"]


def test_error_on_a_command_line_begins_in_chinese_if_the_table_has_it() -> None:
    assert in_chinese("journal-damaged") == "停机：日志损坏（411） "
    assert in_chinese("never-heard-of") == ""
