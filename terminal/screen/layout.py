"""Text on a grid of cells, where a Chinese character is two wide: breaking, filling, cutting. Pure."""

from __future__ import annotations

import re
from typing import Final

from rich.cells import cell_len, set_cell_size

_PIECE: Final = re.compile(
    r"[\u2e80-\u9fff\uff00-\uffef][\uff0c\u3002\uff1b\uff1a\u3001\uff01\uff1f\uff09\u3011]*|\s+|[^\s\u2e80-\u9fff\uff00-\uffef]+"
)
_CUT: Final = ">"  # narrow in every font, unlike an ellipsis


def wrap(text: str, width: int) -> list[str]:
    """Lines of at most `width` cells: broken at spaces, and between Chinese characters but not before their marks."""
    lines: list[str] = []
    line = ""
    for piece in _PIECE.findall(text):
        if piece.isspace():
            line += piece if line else ""
        elif cell_len(line) + cell_len(piece) <= width:
            line += piece
        else:
            lines += [line.rstrip()] if line.strip() else []
            line = fit(piece, width)
    return [*lines, line.rstrip()] if line.strip() else lines


def fit(text: str, width: int) -> str:
    """At most `width` cells, with a mark where something was cut off."""
    if cell_len(text) <= width:
        return text
    return set_cell_size(text, max(width - 1, 0)).rstrip() + _CUT if width > 0 else ""


def spread(left: str, right: str, width: int) -> str:
    """One line of `width` cells with `left` and `right` at its ends; the left gives way."""
    right = fit(right, width)
    room = width - cell_len(right) - (1 if right else 0)
    return set_cell_size(fit(left, max(room, 0)), width - cell_len(right)) + right


def centred(text: str, width: int) -> str:
    """In the middle of `width` cells."""
    text = fit(text, width)
    left = (width - cell_len(text)) // 2
    return set_cell_size(" " * left + text, width)


def columns(rows: list[tuple[str, ...]], width: int) -> list[str]:
    """Cells under each other: the first column takes the room that is left, all others stand to the right.

    A row of one cell is a line over all columns.
    """
    count = max((len(row) for row in rows), default=0)
    widths = [max(cell_len(row[at]) for row in rows if len(row) > at) for at in range(1, count)]
    first = max(width - sum(widths) - 2 * len(widths), 4)
    return [fit(row[0], width) if len(row) == 1 else _columns(row, first, widths) for row in rows]


def _columns(row: tuple[str, ...], first: int, widths: list[int]) -> str:
    rest = zip([*row[1:], *[""] * (len(widths) + 1 - len(row))], widths, strict=True)
    return set_cell_size(fit(row[0], first), first) + "".join(
        "  " + " " * (wide - cell_len(cell)) + cell for cell, wide in rest
    )
