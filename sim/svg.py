"""A Textual screen as an SVG picture, cell by cell: the same in every viewer, whatever its fonts.

Each run of text is placed where its first cell is and spaced to the cells' width, so that Chinese and Latin stand in
one grid; half blocks are drawn as rectangles, since no font joins them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final
from xml.sax.saxutils import escape

from rich.cells import cell_len
from rich.color import ColorType
from rich.segment import Segment
from textual.app import App
from textual.strip import Strip

CELL_WIDTH, CELL_HEIGHT = 10, 20
_HEAD: Final = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}">'
    "<style>text{{font:18px 'Noto Sans Mono CJK SC','Sarasa Mono SC','WenQuanYi Zen Hei Mono',monospace}}"
    ".n{{letter-spacing:1px}}.w{{letter-spacing:2px}}.b{{font-weight:700}}</style>"
)
_PIECES: Final = re.compile(
    r"[\u2580\u2584\u2588\u2594]+|[\u2e80-\u9fff\uff00-\uffef]+|[^\s\u2580\u2584\u2588\u2594\u2e80-\u9fff\uff00-\uffef]+"
)
_BLOCKS: Final = {"\u2580": (0, 10), "\u2584": (10, 10), "\u2588": (0, 20), "\u2594": (0, 3)}
_FOREGROUND, _BACKGROUND = "#e9eef4", "#121820"


def svg_of(app: App[None]) -> str:
    """The app's screen as it is now."""
    width, height = app.size
    parts = [_HEAD.format(width=width * CELL_WIDTH, height=height * CELL_HEIGHT)]
    for y, strip in enumerate(_strips(app)):
        x = 0
        for segment in strip:
            parts += _segment(segment, x * CELL_WIDTH, y * CELL_HEIGHT)
            x += cell_len(segment.text)
    return "".join([*parts, "</svg>\n"])


def text_of(app: App[None]) -> str:
    """All that stands on the screen, a line for each of its lines."""
    return "\n".join(strip.text for strip in _strips(app))


def _strips(app: App[None]) -> list[Strip]:
    # Textual's own pictures stretch text with an attribute that several viewers ignore; nothing public has the cells.
    return app.screen._compositor.render_strips(app.size)  # noqa: SLF001  see above


def _segment(segment: Segment, x: int, y: int) -> Iterator[str]:
    style = segment.style
    colour, ground = _FOREGROUND, _BACKGROUND
    if style is not None:
        colour = (
            style.color.get_truecolor().hex if style.color and style.color.type is not ColorType.DEFAULT else colour
        )
        ground = style.bgcolor.get_truecolor().hex if style.bgcolor else ground
    yield _box(x, y, cell_len(segment.text) * CELL_WIDTH, CELL_HEIGHT, ground)
    for piece in _PIECES.finditer(segment.text):
        left = x + cell_len(segment.text[: piece.start()]) * CELL_WIDTH
        text = piece[0]
        if text[0] in _BLOCKS:
            for at, block in enumerate(text):
                top, tall = _BLOCKS[block]
                yield _box(left + at * CELL_WIDTH, y + top, CELL_WIDTH, tall, colour)
            continue
        wide = "w" if cell_len(text) == 2 * len(text) else "n"
        bold = " b" if style is not None and style.bold else ""
        yield f'<text x="{left + 1}" y="{y + 16}" class="{wide}{bold}" fill="{colour}">{escape(text)}</text>'


def _box(x: int, y: int, width: int, height: int, colour: str) -> str:
    return f'<rect x="{x}" y="{y}" width="{width}" height="{height}" fill="{colour}"/>'
