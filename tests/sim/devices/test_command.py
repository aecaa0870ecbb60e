"""`campus-sim devices` shows what is printed and displayed, and obeys."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from drivers.devicefaults import PaperOut
from drivers.display_cd5220 import Cd5220Display
from drivers.printer import Line
from drivers.printer_escpos import EscposPrinter
from sim.__main__ import build_parser
from sim.devices import command


def test_receipt_is_shown_and_paper_can_be_taken_out(tmp_path: Path) -> None:
    said: list[str] = []

    def lines() -> Iterator[str]:
        printer, display = EscposPrinter(str(tmp_path / "printer")), Cd5220Display(str(tmp_path / "display"))
        printer.print([Line("第一食堂")])
        display.show("PRICE", "12.50")
        yield "paper out"
        with pytest.raises(PaperOut):
            printer.print([Line("第二食堂")])
        yield "paper in"
        yield "dance"
        printer.close()
        display.close()
        raise KeyboardInterrupt

    arguments = build_parser().parse_args(["devices", "--folder", str(tmp_path)])
    never = threading.Event()

    def pause(seconds: float) -> None:
        never.wait(seconds)

    assert command.run(arguments, lines=lines(), pause=pause, say=said.append) == 0
    assert "| 第一食堂" in said
    assert "[PRICE               ] [12.50               ]" in said
    assert "'dance' means nothing here" in said
    assert not any("第二食堂" in line for line in said)


def test_nothing_typed_is_an_empty_line_so_that_the_paper_is_shown_all_the_same() -> None:
    reading, writing = os.pipe()
    lines = command.typed(reading)
    assert [next(lines), next(lines)] == ["", ""]
    os.write(writing, b"paper out\npaper")
    assert [next(lines), next(lines)] == ["paper out", ""]
    os.write(writing, b" in\n")
    os.close(writing)
    assert list(lines) == ["paper in"]
    os.close(reading)
