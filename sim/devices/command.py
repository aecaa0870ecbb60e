"""`campus-sim devices`: a receipt printer and a customer display on pseudo-terminals, for any program."""

from __future__ import annotations

import argparse
import contextlib
import os
import select
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sim.devices.display import SimulatedDisplay
from sim.devices.kernel import KernelBench, SimulatedKeys, under_umockdev
from sim.devices.printer import SimulatedPrinter

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]  # noqa: SLF001  argparse has no public name for it

_LOOK_S: Final = 0.2
_READ_BYTES: Final = 4_096
_ENTER: Final = 28
_CODES: Final = {**dict(zip("1234567890", range(2, 12), strict=True)), ".": 52, "-": 12, " ": 57}


def add_parser(commands: Commands) -> None:
    """Add `devices` to the commands of `campus-sim`."""
    devices = commands.add_parser(
        "devices",
        help="a simulated receipt printer and customer display",
        description="Runs both until Ctrl-C; shows the paper and the display as they change.\n"
        "Lines that it takes: paper out, paper in, cover open, cover shut, printer unplug, printer plug,\n"
        "display unplug, display plug. Started by umockdev-wrapper it also has a number pad and a scanner,\n"
        "for programs of that process alone: pad 12.50 and scan 6901234567892 type on them.",
        epilog="example:\n  campus-sim devices --folder /tmp/devices",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    devices.add_argument("--folder", type=Path, default=Path("devices"), help="where the links to them are made")
    devices.add_argument("--columns", type=int, choices=(32, 48), default=32, help="the paper's width (default: 32)")
    devices.add_argument("--baud", type=int, help="the printer's pace (default: as fast as it comes)")


def typed(stdin: int) -> Iterator[str]:
    """Lines as they come, and an empty one whenever there is none; until the end of the input."""
    rest = b""
    while True:
        if not select.select([stdin], [], [], 0)[0]:
            yield ""
            continue
        if not (data := os.read(stdin, _READ_BYTES)):
            return
        *whole, rest = (rest + data).split(b"\n")
        yield from (line.decode(errors="replace") for line in whole)


def run(
    arguments: argparse.Namespace,
    *,
    lines: Iterable[str],
    pause: Callable[[float], None],
    say: Callable[[str], None],
) -> int:
    """Run them until interrupted; 2 after something that a device did not understand. An empty line: none was typed."""
    folder: Path = arguments.folder
    folder.mkdir(parents=True, exist_ok=True)
    printer = SimulatedPrinter(folder / "printer", columns=arguments.columns, baud=arguments.baud)
    display = SimulatedDisplay(folder / "display")
    keys = _keys(folder) if under_umockdev() else {}
    with printer, display, contextlib.suppress(KeyboardInterrupt):
        say(f"printer: {printer.link}")
        say(f"display: {display.link}")
        for name, key in keys.items():
            say(f"{name}: {key.path}")
        shown = _Shown(printer, display, say)
        for line in lines:
            if line.strip():
                say(_obey(line.strip(), printer, display, keys))
            pause(_LOOK_S)
            shown.look()
        while printer.error is None and display.error is None:
            pause(_LOOK_S)
            shown.look()
    for error in filter(None, (printer.error, display.error)):
        say(f"{error} [{error.code}]")
        return 2
    return 0


def _keys(folder: Path) -> dict[str, SimulatedKeys]:
    bench = KernelBench(folder)
    keys = {"pad": SimulatedKeys(bench, "Campus Pad"), "scan": SimulatedKeys(bench, "Campus Scanner")}
    for key in keys.values():
        key.plug()
    return keys


class _Shown:
    """Says what is new on paper and display."""

    def __init__(self, printer: SimulatedPrinter, display: SimulatedDisplay, say: Callable[[str], None]) -> None:
        self._printer, self._display, self._say = printer, display, say
        self._lines = self._shows = 0

    def look(self) -> None:
        paper = self._printer.text().splitlines()
        for line in paper[self._lines :]:
            self._say(f"| {line}")
        self._lines = len(paper)
        for upper, lower in self._display.shown[self._shows :]:
            self._say(f"[{upper:20}] [{lower:20}]")
        self._shows = len(self._display.shown)


def _obey(line: str, printer: SimulatedPrinter, display: SimulatedDisplay, keys: dict[str, SimulatedKeys]) -> str:
    engine = printer.engine
    name, _, typed = line.partition(" ")
    if name in keys and typed and all(character in _CODES for character in typed):
        keys[name].press([*(_CODES[character] for character in typed), _ENTER])
        return "typed"
    acts: dict[str, Callable[[], None]] = {
        "printer unplug": printer.unplug,
        "printer plug": printer.plug,
        "display unplug": display.unplug,
        "display plug": display.plug,
    }
    states: dict[str, tuple[str, int | bool | None]] = {
        "paper out": ("lines_left", 0),
        "paper in": ("lines_left", None),
        "cover open": ("cover_open", True),
        "cover shut": ("cover_open", False),
    }
    if line in acts:
        acts[line]()
    elif line in states:
        with printer.lock:
            setattr(engine, *states[line])
    else:
        return f"{line!r} means nothing here"
    return "done"
