"""Big digits: as big as fits, all of one width, and nothing lost when nothing fits."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from terminal.screen.digits import big


def test_digits_are_drawn_as_big_as_fits() -> None:
    assert [
        len(big("12.50", width=width, height=height)) for width, height in ((80, 12), (80, 9), (80, 5), (80, 4))
    ] == [
        10,
        8,
        5,
        3,
    ]


def test_a_one_is_a_one() -> None:
    assert big("1", width=3, height=3) == ["▄█ ", " █ ", "▀▀▀"]


@given(st.text(alphabet="0123456789.+-*", min_size=1, max_size=15), st.integers(1, 120), st.integers(1, 20))
def test_digits_never_leave_their_room(text: str, width: int, height: int) -> None:
    lines = big(text, width=width, height=height)
    assert len(lines) <= height
    assert {len(line) for line in lines} <= set(range(width + 1))
    assert len({len(line) for line in lines}) == 1
