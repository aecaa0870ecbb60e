"""Cells: Chinese characters are two wide, lines never too long, and no word is lost."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from terminal.screen.layout import centred, columns, fit, spread, wrap

TEXT = st.text(alphabet="abc 余额不足，。Hello12.50", max_size=80)


def bare(text: str) -> str:
    return re.sub(r"\s", "", text)


@given(TEXT, st.integers(24, 80))
def test_wrapped_lines_fit_and_keep_every_character(text: str, width: int) -> None:
    words = [piece for piece in text.split() if cell_len(piece) > width and piece.isascii()]
    lines = wrap(text, width)
    assert all(cell_len(line) <= width for line in lines)
    if not words:
        assert bare("".join(lines)) == bare(text)


def test_chinese_breaks_anywhere_but_before_a_full_stop() -> None:
    assert wrap("请把卡放稳。", 10) == ["请把卡放", "稳。"]


@given(TEXT, TEXT, st.integers(0, 60))
def test_spread_and_centred_lines_have_the_width_asked_for(left: str, right: str, width: int) -> None:
    assert cell_len(spread(left, right, width)) == width
    assert cell_len(centred(left, width)) == width


@pytest.mark.parametrize(
    ("text", "width", "fitted"), [("余额不足", 8, "余额不足"), ("余额不足", 7, "余额不>"), ("abc", 0, "")]
)
def test_what_is_cut_shows_it(text: str, width: int, fitted: str) -> None:
    assert fit(text, width) == fitted


def test_columns_stand_under_each_other_also_in_chinese() -> None:
    lines = columns([("刷卡收款", "128", "1536.00"), ("refunds", "1", "2.00"), ("第 12 班  收银员",)], 30)
    assert [cell_len(line) for line in lines[:2]] == [30, 30]
    assert lines[0].endswith("128  1536.00")
    assert lines[1].endswith("  1     2.00")
    assert lines[2] == "第 12 班  收银员"
    assert columns([], 10) == []
