"""The customer display's driver against the simulated display on a pseudo-terminal."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from drivers.devicefaults import DeviceMissing
from drivers.display_cd5220 import Cd5220Display
from sim.devices.display import SimulatedDisplay


@pytest.fixture
def sim(tmp_path: Path) -> Iterator[SimulatedDisplay]:
    with SimulatedDisplay(tmp_path / "display") as made:
        yield made
        assert made.error is None


def until(condition: Callable[[], bool], *, within_s: float = 5.0) -> None:
    ends_s = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < ends_s, "it did not happen in time"
        threading.Event().wait(0.01)


def test_both_lines_are_replaced(sim: SimulatedDisplay) -> None:
    display = Cd5220Display(str(sim.link))
    display.show("PRICE", "12.50")
    display.show("PAID", "BALANCE 3.00")
    until(lambda: sim.shown == [("PRICE", "12.50"), ("PAID", "BALANCE 3.00")])
    assert sim.lines[0] == "PAID" + " " * 16
    display.close()


def test_unplugged_display_is_missing_and_comes_back(sim: SimulatedDisplay) -> None:
    display = Cd5220Display(str(sim.link))
    display.show("A", "B")
    sim.unplug()
    with pytest.raises(DeviceMissing):
        display.show("C", "D")
    with pytest.raises(DeviceMissing, match="plug it in"):
        display.show("C", "D")
    sim.plug()
    display.show("E", "F")
    until(lambda: sim.lines[1].strip() == "F")
    display.close()
