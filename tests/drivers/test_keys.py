"""Key codes as keys of a number pad, and as the text of a scanned code."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from drivers.keys import CodeScanned, KeyPressed, PadDecoder, ScanDecoder

KP_1, KP_ENTER, BACKSPACE, LETTER_A, SHIFT, ENTER, TAB = 79, 96, 14, 30, 42, 28, 15
DIGIT_CODES = dict(zip("1234567890", range(2, 12), strict=True))


def type_digits(decoder: ScanDecoder, digits: str, *, at_s: float = 1.0, gap_s: float = 0.002) -> list[CodeScanned]:
    found = []
    for number, code in enumerate([*(DIGIT_CODES[digit] for digit in digits), ENTER]):
        found += [decoder.take(code, 1, at_s + number * gap_s), decoder.take(code, 0, at_s + number * gap_s)]
    return [code for code in found if code is not None]


def test_pad_key_counts_once_when_it_goes_down() -> None:
    pad = PadDecoder()
    assert [pad.take(KP_1, value, 1.0) for value in (1, 2, 2, 0)] == [KeyPressed("1"), None, None, None]
    assert pad.take(KP_ENTER, 1, 1.0) == KeyPressed("enter")
    assert pad.take(LETTER_A, 1, 1.0) is None


def test_backspace_that_is_held_goes_on_deleting() -> None:
    assert [PadDecoder().take(BACKSPACE, value, 1.0) for value in (1, 2, 2, 0)] == [KeyPressed("backspace")] * 3 + [
        None
    ]


def test_barcode_is_one_text_at_its_end() -> None:
    assert type_digits(ScanDecoder(), "6901234567892") == [CodeScanned("6901234567892")]


def test_shift_holds_for_the_characters_under_it() -> None:
    scanner = ScanDecoder()
    events = [(SHIFT, 1), (LETTER_A, 1), (LETTER_A, 0), (3, 1), (SHIFT, 0), (LETTER_A, 1), (12, 1), (TAB, 1)]
    assert [scanner.take(code, value, 1.0) for code, value in events][-1] == CodeScanned("A@a-")


def test_code_with_a_gap_keeps_only_what_follows_it() -> None:
    scanner = ScanDecoder()
    scanner.take(DIGIT_CODES["9"], 1, 1.0)
    assert type_digits(scanner, "123", at_s=2.0) == [CodeScanned("123")]


def test_code_that_is_too_long_or_has_an_unknown_key_is_dropped_whole() -> None:
    scanner = ScanDecoder()
    assert type_digits(scanner, "1" * 129) == []
    scanner.take(113, 1, 3.0)
    assert type_digits(scanner, "123", at_s=3.0) == []
    assert type_digits(scanner, "123", at_s=4.0) == [CodeScanned("123")]


def test_empty_code_is_none() -> None:
    assert ScanDecoder().take(ENTER, 1, 1.0) is None


EVENTS = st.lists(st.tuples(st.integers(0, 767), st.integers(-1, 3), st.floats(0, 100)), max_size=300)


@given(EVENTS)
def test_garbage_is_nothing_or_keys(events: list[tuple[int, int, float]]) -> None:
    pad, scanner = PadDecoder(), ScanDecoder()
    for event in events:
        assert pad.take(*event) is None or isinstance(pad.take(*event), KeyPressed)
        code = scanner.take(*event)
        assert code is None or 0 < len(code.text) <= 128
