"""`campus-sim pictures`: the till's main screens in both languages and three sizes, as SVG and, if it can be, as PNG.

Each is the production app over simulated devices, keyed in as a cashier would. Left out: which of them are shown where.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from textual.events import Key
from textual.pilot import Pilot

from drivers.channel import ReaderMissing
from sim.booth import Booth
from sim.day import CASHIER, PIN, POOR, Hold, Lift, Press, See, Step, day_configuration
from sim.process import ChildFailed
from sim.svg import svg_of, text_of
from terminal.words import WORDS
from terminal.words.catalogue import Language
from terminal.words.codes import code_of

SIZES: Final = ((80, 24), (100, 30), (120, 40))
_SEEN_S_MAX: Final = 20.0
_RENDERER: Final = "rsvg-convert"
_CODES: Final = {Language.ZH_HANS: "zh", Language.EN: "en"}
_WORDS: Final = WORDS[Language.ZH_HANS]


@dataclass(frozen=True, slots=True)
class Picture:
    """What is on the screen now is worth a picture of this name."""

    name: str


@dataclass(frozen=True, slots=True)
class Unplug:
    """The card reader's cable is out."""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """The command line of `campus-sim pictures`."""
    pictures = commands.add_parser(
        "pictures",
        help="pictures of the till's screens",
        description="Writes the till's main screens in both languages and three sizes to DIR, as SVG, and as PNG if\n"
        "rsvg-convert and a font with Chinese characters are installed.",
        epilog="example:\n  campus-sim pictures ./pictures",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    pictures.add_argument("dir", type=Path, metavar="DIR", help="made if it is not there")


def run(
    folder: Path,
    *,
    monotonic_s: Callable[[], float],
    say: Callable[[str], None],
    sizes: Sequence[tuple[int, int]] = SIZES,
) -> int:
    """Make them all; `ChildFailed` if a screen does not come."""
    folder.mkdir(parents=True, exist_ok=True)
    made = [path for size in sizes for path in asyncio.run(_take(folder, size, monotonic_s))]
    renderer = shutil.which(_RENDERER)
    if renderer is not None:
        for path in made:
            subprocess.run([renderer, str(path), "-o", str(path.with_suffix(".png"))], check=True)
    say(f"{len(made)} pictures in {folder}" + ("" if renderer else f" (no PNG: there is no {_RENDERER})"))
    return 0


def _script() -> Iterator[Step | Picture | Unplug]:
    """A short shift, from the PIN to the Z-report."""
    yield from (See((_WORDS.pin_cashier,)), Picture("sign-on"), Press(f"{PIN}\n"), See((_WORDS.staff_card_cashier,)))
    yield from (Hold(CASHIER), See((_WORDS.opening_cash,)), Lift(), Press("100\n"))
    yield from (See((_WORDS.shift_opened.format(number=1),)), Press("-"), See((_WORDS.type_amount,)), Picture("idle"))
    yield from (Press("12.50\n"), See((_WORDS.present_card,)), Picture("card"))
    yield from (Hold(1), See((_WORDS.approved,)), Lift(), Picture("approved"))
    yield from (Press("18\n"), See((_WORDS.present_card,)), Hold(POOR))
    yield from (See((_headline("INSUFFICIENT_BALANCE"),)), Lift(), Picture("refused"), Press("-"))
    yield from (Press("9.50\n"), See((_WORDS.present_card,)), Hold(2, torn=True))
    yield from (See((_headline("torn"),)), Lift(), Picture("same-card"), Hold(2), See((_WORDS.approved,)), Lift())
    yield from (Press("/73"), See((_WORDS.pick_product,)), Press("2*1\n"), See((_WORDS.present_card,)))
    yield from (Press("6\n"), See(("西红柿炒鸡蛋", _WORDS.total)), Press("8\n"), See(("红烧肉 ",)), Picture("basket"))
    yield from (Hold(6), See((_WORDS.approved,)), Lift(), Press("/74"), See((_WORDS.meals.format(count=1),)))
    yield from (Picture("meals"), Hold(7), See((_WORDS.approved,)), Lift(), Press("/71"), See((_WORDS.type_amount,)))
    yield from (Press("/"), See((_WORDS.menu_x_report,)), Picture("menu"), Press("0104"))
    yield from (See((_WORDS.help_technician,)), Picture("help"), Press("-"), See((_WORDS.type_amount,)), Press("/9"))
    yield from (See((_WORDS.training,)), Press("6\n"), See((_WORDS.present_card,)), Picture("training"), Press("-/9"))
    yield from (See((_WORDS.type_amount,)), Press("/6"), See((_WORDS.counted_cash,)), Press("100\n"))
    yield from (See((_WORDS.z_report,)), Picture("z-report"), Press("-"), Unplug())
    yield from (See((_headline(ReaderMissing.code),)), Picture("no-reader"))


async def _take(folder: Path, size: tuple[int, int], monotonic_s: Callable[[], float]) -> list[Path]:
    made: list[Path] = []
    with (
        tempfile.TemporaryDirectory() as scratch,
        Booth(Path(scratch), day_configuration(), monotonic_s=monotonic_s) as booth,
    ):
        async with booth.running(size=size) as pilot:
            for step in _script():
                if isinstance(step, Picture):
                    made += await _both(folder, step.name, size, booth, pilot)
                else:
                    await _do(step, booth, pilot, monotonic_s)
    return made


async def _do(step: Step | Unplug, booth: Booth, pilot: Pilot[None], monotonic_s: Callable[[], float]) -> None:
    match step:
        case Press(keys):
            for key in keys:
                booth.screen.app.post_message(Key("enter", "\r") if key == "\n" else Key(key, key))
            await pilot.pause(0.1)
        case Hold(card, torn):
            booth.hold(card, torn=torn)
        case Lift():
            booth.lift()
        case Unplug():
            booth.reader.lose(ReaderMissing("no reader of this name"))
        case See(texts):
            deadline_s = monotonic_s() + _SEEN_S_MAX
            while not all(text in text_of(booth.screen.app) for text in texts):
                if monotonic_s() > deadline_s:
                    raise ChildFailed(f"the screen does not show {texts}, but\n{text_of(booth.screen.app)}")
                await pilot.pause(0.01)


async def _both(folder: Path, name: str, size: tuple[int, int], booth: Booth, pilot: Pilot[None]) -> list[Path]:
    """The same in both languages."""
    made = []
    for language in Language:
        path = folder / f"{name}-{_CODES[language]}-{size[0]}x{size[1]}.svg"
        await pilot.pause(0.1)
        path.write_text(svg_of(booth.screen.app), encoding="utf-8")
        made.append(path)
        booth.screen.app.action_language()
    await pilot.pause(0.1)
    return made


def _headline(name: str) -> str:
    return code_of(name, name).advice(Language.ZH_HANS).headline
