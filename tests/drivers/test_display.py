"""What is sent to a customer display."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from drivers.display import DISPLAY_COLUMNS, encode


@given(st.text(), st.text())
def test_any_text_becomes_two_lines_of_twenty_characters(upper: str, lower: str) -> None:
    first, second, end = encode(upper, lower).split(b"\r")
    assert (first[:3], second[:3], end) == (b"\x1bQA", b"\x1bQB", b"")
    assert all(len(line) == 3 + DISPLAY_COLUMNS and line[3:].isascii() for line in (first, second))


def test_character_that_the_display_has_not_is_a_question_mark() -> None:
    assert encode("余额 5", "") == b"\x1bQA?? 5                \r\x1bQB" + b" " * 20 + b"\r"
