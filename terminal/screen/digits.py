"""Amounts in big digits, drawn with half blocks so that a pixel is square in a terminal's tall cells. Pure."""

from __future__ import annotations

from typing import Final

# Each glyph is five rows of pixels.
_GLYPHS: Final = {
    "0": ("###", "# #", "# #", "# #", "###"),
    "1": (" # ", "## ", " # ", " # ", "###"),
    "2": ("###", "  #", "###", "#  ", "###"),
    "3": ("###", "  #", "###", "  #", "###"),
    "4": ("# #", "# #", "###", "  #", "  #"),
    "5": ("###", "#  ", "###", "  #", "###"),
    "6": ("###", "#  ", "###", "# #", "###"),
    "7": ("###", "  #", "  #", "  #", "  #"),
    "8": ("###", "# #", "###", "# #", "###"),
    "9": ("###", "# #", "###", "  #", "###"),
    "-": ("   ", "   ", "###", "   ", "   "),
    ".": (" ", " ", " ", " ", "#"),
    "+": ("   ", " # ", "###", " # ", "   "),
    "*": ("   ", "# #", " # ", "# #", "   "),
    " ": ("  ", "  ", "  ", "  ", "  "),
}
_ROWS: Final = 5
SCALES: Final = (4, 3, 2, 1)
_HALVES: Final = {(False, False): " ", (True, False): "▀", (False, True): "▄", (True, True): "█"}


def big(text: str, *, width: int, height: int) -> list[str]:
    """`text` as lines of equal width, as big as fits; as it is where nothing does. For digits and `.+-*`."""
    for scale in SCALES:
        lines = _drawn(text, scale)
        if lines and len(lines) <= height and len(lines[0]) <= width:
            return lines
    return [text[:width]]


def _drawn(text: str, scale: int) -> list[str]:
    """Pixels first, then two rows of them a line."""
    gap = " " * max(scale // 2, 1)
    rows: list[str] = []
    for row in range(_ROWS):
        pixels = gap.join("".join(pixel * scale for pixel in _GLYPHS[char][row]) for char in text)
        rows += [pixels] * scale
    rows += [" " * len(rows[0])] * (len(rows) % 2)
    return [
        "".join(_HALVES[upper != " ", lower != " "] for upper, lower in zip(rows[at], rows[at + 1], strict=True))
        for at in range(0, len(rows), 2)
    ]
