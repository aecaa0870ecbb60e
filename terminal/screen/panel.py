"""The middle of the screen as lines of cells: the band with the headline, big digits, sentences, a table. Pure.

What matters most gets its room first: headline, note and sentences; then the figure as big as the rest allows; a table
shows its last rows, and says how many are above.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from rich.cells import cell_len

from terminal.screen.digits import big
from terminal.screen.layout import centred, columns, fit, wrap
from terminal.screen.view import MARKS, View

_MARGIN: Final = 2
_ROWS_MIN: Final = 4  # of a table beside a figure
_FIGURE_MAX: Final = 10
_SECOND_ROOM: Final = 15


class Ink(Enum):
    """How a line is drawn."""

    BAND = auto()
    PLAIN = auto()
    DIM = auto()
    FIGURE = auto()
    FAINT = auto()
    SECOND = auto()
    NOTE = auto()


@dataclass(frozen=True, slots=True)
class Sheet:
    """`height` lines of `width` cells; `whole` is false if some text found no room."""

    lines: tuple[tuple[Ink, str], ...]
    whole: bool


def sheet(view: View, width: int, height: int) -> Sheet:
    """The view on so many cells; a table that finds no room takes some from the band."""
    made, cut = _sheet(view, width, height, high=True)
    return made if not cut else _sheet(view, width, height, high=False)[0]


def _sheet(view: View, width: int, height: int, *, high: bool) -> tuple[Sheet, bool]:
    """And whether rows were left out."""
    inner = max(width - 2 * _MARGIN, 1)
    headline = f"{MARKS[view.tone]}{view.headline}"
    band = [(Ink.BAND, centred(fit(part, width), width)) for part in wrap(headline, inner) or [""]]
    if high and height >= len(band) + 10:
        blank = (Ink.BAND, " " * width)
        band = [blank, *band, blank]
    lines = [(Ink.PLAIN, line) for text in view.lines for line in wrap(text, inner)]
    lines += [(Ink.DIM, line) for text in view.small for line in wrap(text, inner)]
    note = [(Ink.NOTE, line) for line in wrap(view.note, inner)]
    after = [*_second(view, inner, roomy=height - len(band) >= _SECOND_ROOM), *note, *lines]
    rows = [(Ink.PLAIN, line) for line in columns(list(view.rows), inner)]
    room = height - len(band) - len(after)
    rows_room = min(len(rows), max(room - 1, 0) if not view.figure else max(room - 5, min(_ROWS_MIN, room - 3), 0))
    cut_rows = len(rows) - rows_room
    if cut_rows > 0:
        rows = [(Ink.DIM, f"+{cut_rows + 1}"), *rows[cut_rows + 1 :]] if rows_room else []
    figure = _figure(view, inner, room - len(rows) - bool(rows) - bool(after))
    blocks = [block for block in (figure, rows, after) if block]
    spare = height - len(band) - sum(len(block) for block in blocks)
    body: list[tuple[Ink, str]] = []
    for block in blocks:
        gap = spare > 0
        spare -= gap
        body += [(Ink.PLAIN, "")] * gap + block
    body = [(ink, " " * _MARGIN + line) for ink, line in body]
    filled = [*band, *body, *[(Ink.PLAIN, "")] * (height - len(band) - len(body))]
    whole = len(filled) <= height and all(cell_len(line) <= width for _, line in filled)
    return Sheet(tuple(filled[:height]), whole and rows_room >= min(len(view.rows), 1)), cut_rows > 0


def _second(view: View, width: int, *, roomy: bool) -> list[tuple[Ink, str]]:
    """The label and the smaller amount beside it, in digits of three lines if there is room."""
    if not view.second:
        return []
    if not roomy:
        return [(Ink.SECOND, fit(f"{view.second_label}  {view.second}", width))]
    indent = " " * cell_len(view.second_label)
    drawn = big(view.second, width=width - cell_len(indent) - 2, height=3)
    labels = [indent] * (len(drawn) - 1)
    labels.insert(len(drawn) // 2, view.second_label)
    return [(Ink.SECOND, f"{label}  {line}") for label, line in zip(labels, drawn, strict=True)]


def _figure(view: View, width: int, room: int) -> list[tuple[Ink, str]]:
    """The label in a line of its own if there is room, then the digits."""
    if not view.figure:
        return []
    label = [(Ink.DIM, view.label)] if view.label and room > 4 else []
    drawn = big(view.figure, width=width, height=max(min(room - len(label) - 1, _FIGURE_MAX), 1))
    return [*label, *((Ink.FAINT if view.faint else Ink.FIGURE, line) for line in drawn)]
