"""Amounts as they are spoken."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.voice_words import chinese_amount, chinese_number, english_amount, english_number
from wire.money import FEN_MAX, Fen


@pytest.mark.parametrize(
    ("fen", "chinese", "english"),
    [
        (0, "零元", "zero yuan"),
        (5, "五分", "five fen"),
        (20, "两角", "two jiao"),
        (25, "两角五分", "two jiao, five fen"),
        (10_00, "十元", "ten yuan"),
        (2_00, "两元", "two yuan"),
        (10_50, "十元五角", "ten yuan, five jiao"),
        (10_05, "十元零五分", "ten yuan, five fen"),
        (12_34, "十二元三角四分", "twelve yuan, three jiao, four fen"),
        (20_00, "二十元", "twenty yuan"),
        (21_00, "二十一元", "twenty-one yuan"),
        (101_00, "一百零一元", "one hundred and one yuan"),
        (110_00, "一百一十元", "one hundred and ten yuan"),
        (115_00, "一百一十五元", "one hundred and fifteen yuan"),
        (1000_00, "一千元", "one thousand yuan"),
        (1010_00, "一千零一十元", "one thousand ten yuan"),
        (10_010_00, "一万零一十元", "ten thousand ten yuan"),
        (100_000_00, "十万元", "one hundred thousand yuan"),
        (110_000_00, "十一万元", "one hundred and ten thousand yuan"),
        (101_000_00, "十万一千元", "one hundred and one thousand yuan"),
        (FEN_MAX, "四千二百九十四万九千六百七十二元九角五分", ""),
    ],
)
def test_amount_is_spoken_as_people_say_it(fen: int, chinese: str, english: str) -> None:
    assert chinese_amount(Fen(fen)) == chinese
    assert english == "" or english_amount(Fen(fen)) == english


DIGITS = {character: value for value, character in enumerate("零一二三四五六七八九")}
PLACES = {"十": 10, "百": 100, "千": 1000}


def read_chinese(words: str) -> int:
    """The number that the words mean, read as a listener does."""
    total = group = digit = 0
    for character in words:
        if character in DIGITS:
            digit = DIGITS[character]
        elif character in PLACES:
            group, digit = group + (digit or 1) * PLACES[character], 0
        else:
            total, group, digit = (total + group + digit) * 10_000, 0, 0
    return total + group + digit


@given(st.integers(0, FEN_MAX // 100))
def test_spoken_chinese_number_is_understood_as_the_same(number: int) -> None:
    words = chinese_number(number)
    assert read_chinese(words) == number
    assert "零零" not in words
    assert number == 0 or not words.endswith("零")


ENGLISH = {english_number(number): number for number in range(1_000)}


@given(st.integers(0, FEN_MAX // 100))
def test_spoken_english_number_is_understood_as_the_same(number: int) -> None:
    words, total = english_number(number), 0
    for scale, value in ((" million", 1_000_000), (" thousand", 1_000)):
        if scale in words:
            group, _, words = words.partition(scale)
            total += ENGLISH[group.strip()] * value
    assert total + (ENGLISH[words.strip()] if words.strip() else 0) == number
