"""The ESC/POS driver against the simulated printer on a pseudo-terminal: the paper, and every fault it can have."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from drivers.devicefaults import (
    CoverOpen,
    DeviceBusy,
    DeviceFault,
    DeviceMissing,
    DeviceSilent,
    PaperOut,
    PrinterOffline,
)
from drivers.printer import Line, ReceiptPrinter
from drivers.printer_escpos import EscposPrinter, blocks
from drivers.serialdevice import SerialDevice
from sim.devices.printer import SimulatedPrinter

RECEIPT = [Line("第一食堂", double=True, centred=True), Line("米饭 Rice              2.50", bold=True), Line("谢谢")]


@pytest.fixture
def sim(tmp_path: Path) -> Iterator[SimulatedPrinter]:
    with SimulatedPrinter(tmp_path / "printer") as made:
        yield made
        assert made.error is None


@pytest.fixture
def printer(sim: SimulatedPrinter) -> Iterator[EscposPrinter]:
    made = EscposPrinter(str(sim.link))
    yield made
    made.close()


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pseudo-terminal answers at once or never."""
    monkeypatch.setattr("drivers.printer_escpos._ANSWER_S", 0.15)
    monkeypatch.setattr("drivers.printer_escpos._WRITE_S", 0.2)


def until(condition: Callable[[], bool], *, within_s: float = 5.0) -> None:
    ends_s = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < ends_s, "it did not happen in time"
        threading.Event().wait(0.01)


def test_receipt_is_on_paper_and_cut_when_print_returns(sim: SimulatedPrinter, printer: ReceiptPrinter) -> None:
    assert printer.print(RECEIPT).fault is None
    lines = sim.engine.paper
    assert [(line.text, line.double, line.bold, line.align) for line in lines[:3]] == [
        ("第一食堂", True, False, "centre"),
        ("米饭 Rice              2.50", False, True, "left"),
        ("谢谢", False, False, "left"),
    ]
    assert lines[-1].cut
    assert sim.text().splitlines()[0] == " " * 8 + "第一食堂"


def test_paper_that_nears_its_end_is_told_and_printed_on(sim: SimulatedPrinter, printer: ReceiptPrinter) -> None:
    sim.engine.lines_left = 20
    assert printer.status().paper_near_end
    assert printer.print(RECEIPT).paper_near_end


def test_paper_that_ends_within_a_receipt_is_a_fault_and_the_rest_is_not_printed_later(
    sim: SimulatedPrinter, printer: ReceiptPrinter
) -> None:
    sim.engine.lines_left = 2
    with pytest.raises(PaperOut):
        printer.print(RECEIPT)
    printed = len(sim.engine.paper)
    with sim.lock:
        sim.engine.lines_left = None
    assert printer.status().fault is None
    assert len(sim.engine.paper) == printed
    printer.print(RECEIPT)
    assert sum(line.cut for line in sim.engine.paper) == 1


@pytest.mark.parametrize(
    ("flaw", "fault"),
    [("cover_open", CoverOpen), ("switched_offline", PrinterOffline), ("cutter_stuck", PrinterOffline)],
)
def test_state_that_keeps_it_from_printing_is_told_before_anything_is_sent(
    sim: SimulatedPrinter, printer: ReceiptPrinter, flaw: str, fault: type[DeviceFault]
) -> None:
    setattr(sim.engine, flaw, True)
    with pytest.raises(fault):
        printer.print(RECEIPT)
    with sim.lock:
        setattr(sim.engine, flaw, False)
    assert sim.engine.paper == []
    printer.print(RECEIPT)


@pytest.mark.usefixtures("quick")
def test_printer_that_is_switched_off_is_silent_in_bounded_time(sim: SimulatedPrinter, printer: ReceiptPrinter) -> None:
    sim.mute = True
    began_s = time.monotonic()
    with pytest.raises(DeviceSilent):
        printer.print(RECEIPT)
    assert time.monotonic() - began_s < 2
    sim.mute = False
    assert printer.status().fault is None


@pytest.mark.usefixtures("quick")
def test_printer_that_takes_no_bytes_is_silent_in_bounded_time(sim: SimulatedPrinter, printer: ReceiptPrinter) -> None:
    sim.stuck = True
    with pytest.raises(DeviceSilent):
        printer.print([Line("x" * 30)] * 300)
    sim.stuck = False
    until(lambda: _is_well(printer))


def _is_well(printer: ReceiptPrinter) -> bool:
    try:
        return printer.status().fault is None
    except DeviceFault:
        return False


def test_unplugged_printer_is_missing_and_comes_back(sim: SimulatedPrinter, printer: ReceiptPrinter) -> None:
    printer.print(RECEIPT)
    sim.unplug()
    with pytest.raises(DeviceMissing):
        printer.print(RECEIPT)
    with pytest.raises(DeviceMissing, match="plug it in"):
        printer.status()
    sim.plug()
    assert printer.print(RECEIPT).fault is None


def test_name_that_may_be_another_device_tomorrow_is_refused_in_words(tmp_path: Path) -> None:
    with pytest.raises(DeviceMissing, match="ttyUSB9"):
        EscposPrinter("/dev/ttyUSB9").status()
    (tmp_path / "regular").write_text("no port")
    with pytest.raises(DeviceMissing, match="cannot be opened"):
        EscposPrinter(str(tmp_path / "regular")).status()


def test_line_at_9600_baud_takes_its_time_and_ends_well(tmp_path: Path) -> None:
    with SimulatedPrinter(tmp_path / "slow", baud=9_600) as sim:
        printer = EscposPrinter(str(sim.link))
        printer.print(RECEIPT * 3)
        assert sum(line.cut for line in sim.engine.paper) == 1
        printer.close()


def test_long_report_goes_in_pieces_that_the_printer_can_hold(sim: SimulatedPrinter, printer: ReceiptPrinter) -> None:
    lines = [Line("0123456789" * 3)] * 200
    assert len(blocks(lines)) > 3
    printer.print(lines)
    assert sum(line.text == "0123456789" * 3 for line in sim.engine.paper) == 200


def test_line_that_another_program_holds_is_busy(sim: SimulatedPrinter, printer: ReceiptPrinter) -> None:
    other = SerialDevice.open(str(sim.link), baud=9_600)
    with pytest.raises(DeviceBusy):
        printer.status()
    other.close()
    assert printer.status().fault is None
