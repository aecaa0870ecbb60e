"""Colours and proportions: dark and calm, and for each tone one colour that is seen across a counter."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from terminal.screen.panel import Ink
from terminal.screen.view import Tone


@dataclass(frozen=True, slots=True)
class Ground:
    """How a tone looks: the band's style, and what is behind all else in the panel."""

    band: str
    ground: str


PANEL: Final = {
    Tone.CALM: Ground("bold #ffffff on #2a394b", "#121820"),
    Tone.ASK: Ground("bold #ffffff on #1c5da8", "#121820"),
    Tone.BUSY: Ground("bold #ffffff on #5d4a94", "#121820"),
    Tone.GOOD: Ground("bold #ffffff on #187a3a", "#0c2f1a"),
    Tone.BAD: Ground("bold #ffffff on #b3261e", "#3a1412"),
    Tone.AGAIN: Ground("bold #191300 on #e6b000", "#332a0a"),
}
INKS: Final = {
    Ink.BAND: "bold #ffffff",
    Ink.PLAIN: "#e9eef4",
    Ink.DIM: "#a9b6c3",
    Ink.FIGURE: "#ffffff",
    Ink.FAINT: "#34424f",
    Ink.SECOND: "bold #ffffff",
    Ink.NOTE: "bold #ffcf40",
}

APP_CSS: Final = """
Screen { background: #121820; color: #e9eef4; layout: vertical; overflow: hidden; }
#head { height: 1; background: #2a394b; color: #ffffff; text-style: bold; }
#training { height: 1; background: #b0409c; color: #ffffff; text-style: bold; text-align: center; display: none; }
#upper, #lower { height: 1; background: #1a2330; color: #c3cdd8; }
#middle { height: 1fr; }
#left { width: 1fr; height: 1fr; }
#panel { height: 1fr; }
#right { width: 28; height: 1fr; layout: vertical; background: #121820; }
#keypad { grid-size: 4 5; grid-gutter: 0 1; height: 1fr; padding: 0 0 0 1; }
#acts { grid-size: 4 1; grid-gutter: 0 1; height: 3; padding: 0 0 0 1; }
#products { grid-size: 4; grid-gutter: 0 1; height: 8; padding: 0 0 0 1; }
#legend { height: 1; background: #1a2330; color: #c3cdd8; }
Key {
    width: 1fr; height: 1fr; content-align: center middle; text-align: center; text-style: bold;
    background: #26323f; color: #ffffff; border-top: outer #121820; border-bottom: none;
}
Key.digit { background: #33424f; }
Key.word { background: #222c38; color: #c3cdd8; }
Key.act { background: #1d3a46; color: #d8edf2; }
Key.product { background: #24384d; }
Key.enter { column-span: 4; background: #1c5da8; }
Key.-down { background: #8fa4b8; color: #10151c; }
"""
