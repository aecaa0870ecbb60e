"""Amounts as they are spoken, in Chinese and in English. Pure. Left out: the sentences around them, and the sound."""

from __future__ import annotations

from typing import Final

from wire.money import Fen

_FEN_A_YUAN: Final = 100
_FEN_A_JIAO: Final = 10
_TWO: Final = 2

_DIGITS: Final = "零一二三四五六七八九"
_PLACES: Final = ("", "十", "百", "千")
_GROUPS: Final = ("", "万", "亿")
_GROUP: Final = 10_000
_THOUSAND: Final = 1_000

_ONES: Final = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"),
    *("thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"),
)
_TENS: Final = ("", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_SCALES: Final = ("", " thousand", " million")


def chinese_amount(fen: Fen) -> str:
    """`12.05` as 十二元零五分: a jiao that is missing before a fen is said as 零; two of something is 两, not 二."""
    yuan, jiao, rest = _parts(fen)
    words = f"{_measured(yuan)}元" if yuan or not fen else ""
    if jiao:
        words += f"{_measured(jiao)}角"
    elif yuan and rest:
        words += "零"
    return words + (f"{_measured(rest)}分" if rest else "")


def english_amount(fen: Fen) -> str:
    """`12.05` as twelve yuan, five fen."""
    yuan, jiao, rest = _parts(fen)
    words = [f"{english_number(yuan)} yuan"] if yuan or not fen else []
    words += [f"{english_number(jiao)} jiao"] if jiao else []
    words += [f"{english_number(rest)} fen"] if rest else []
    return ", ".join(words)


def chinese_number(number: int) -> str:
    """A whole number from 0 to what a card can hold in yuan."""
    assert number >= 0, "amounts are not negative"
    if number == 0:
        return _DIGITS[0]
    groups = []
    while number:
        groups.append(number % _GROUP)
        number //= _GROUP
    words = ""
    for power in range(len(groups) - 1, -1, -1):
        group = groups[power]
        if group == 0:
            continue
        # A group that does not fill its four places, or comes after an empty one, is told apart by one 零.
        gap = words and (group < _THOUSAND or groups[power + 1] == 0)
        words += (_DIGITS[0] if gap else "") + _chinese_group(group, leads=not words) + _GROUPS[power]
    return words


def english_number(number: int) -> str:
    """A whole number from 0 to what a card can hold in yuan."""
    assert number >= 0, "amounts are not negative"
    if number < _THOUSAND:
        return _english_group(number)
    words: list[str] = []
    for scale in _SCALES:
        number, group = divmod(number, _THOUSAND)
        if group:
            words.insert(0, _english_group(group) + scale)
    return " ".join(words)


def _parts(fen: Fen) -> tuple[int, int, int]:
    yuan, below = divmod(fen, _FEN_A_YUAN)
    return yuan, *divmod(below, _FEN_A_JIAO)


def _measured(number: int) -> str:
    """A number before its measure word."""
    return "两" if number == _TWO else chinese_number(number)


def _chinese_group(group: int, *, leads: bool) -> str:
    """One to four digits; a number that leads with ten to nineteen begins with 十, not 一十."""
    words, pending = "", False
    for place in range(len(_PLACES) - 1, -1, -1):
        digit = group // 10**place % 10
        if digit == 0:
            pending = bool(words)
            continue
        short = leads and not words and place == 1 and digit == 1
        words += (_DIGITS[0] if pending else "") + ("" if short else _DIGITS[digit]) + _PLACES[place]
        pending = False
    return words


def _english_group(group: int) -> str:
    hundreds, below = divmod(group, 100)
    words = [f"{_ONES[hundreds]} hundred"] if hundreds else []
    if below < len(_ONES):
        words += [_ONES[below]] if below or not hundreds else []
    else:
        tens, ones = divmod(below, 10)
        words.append(_TENS[tens] + (f"-{_ONES[ones]}" if ones else ""))
    return " and ".join(words)
