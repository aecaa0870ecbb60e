"""Receipts as lines: widths as printers count them, and status bytes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from drivers.devicefaults import CoverOpen, PaperOut, PrinterOffline
from drivers.printer import PrinterStatus, cells, decode_status, encode, fold, spread


def test_chinese_character_takes_two_columns() -> None:
    assert cells("余额 12.50") == 4 + 1 + 5


def test_character_that_no_printer_has_is_a_question_mark() -> None:
    assert encode("a\U0001f600\u001b\u3400é") == b"a???" + "é".encode("gb18030")


def test_amount_stands_at_the_right_edge() -> None:
    assert spread("余额", "12.50", 12) == ["余额   12.50"]
    assert spread("a name that is long", "12.50", 12) == ["a name that", "is long", "       12.50"]


@given(st.text(), st.integers(2, 48))
def test_folded_lines_fit_and_lose_no_character(text: str, columns: int) -> None:
    lines = fold(text, columns)
    assert all(cells(line) <= columns for line in lines)
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")


@given(st.text(), st.text(max_size=10), st.integers(24, 48))
def test_spread_lines_fit(left: str, right: str, columns: int) -> None:
    assert all(cells(line) <= columns for line in spread(left, right, columns))


def test_nearest_cause_is_named() -> None:
    assert PrinterStatus(offline=True, cover_open=True, paper_out=True).fault.__class__ is CoverOpen
    assert decode_status(b"\x1a\x32\x12\x72") == PrinterStatus(offline=True, paper_out=True)
    assert PrinterStatus(offline=True, paper_out=True).fault.__class__ is PaperOut
    assert PrinterStatus(offline=True).fault.__class__ is PrinterOffline
    assert PrinterStatus(error=True).fault.__class__ is PrinterOffline
    assert PrinterStatus(paper_near_end=True).fault is None


@given(st.binary(max_size=6))
def test_garbage_is_no_status_or_a_status(answers: bytes) -> None:
    status = decode_status(answers)
    assert status is None or (len(answers) == 4 and isinstance(status, PrinterStatus))
