"""The GPIO driver where there is no chip: a fault in words. What it does on a real board has not been tried."""

from __future__ import annotations

import pytest

from drivers.devicefaults import DeviceFault, DeviceMissing
from drivers.signals import SignalLine
from drivers.signals_gpio import GpioLines


def test_chip_that_is_not_there_is_missing() -> None:
    with pytest.raises(DeviceMissing, match="gpiochip99"):
        GpioLines("/dev/gpiochip99", {SignalLine.GREEN: 17}).set(frozenset())


def test_device_that_is_no_chip_is_a_fault() -> None:
    lines = GpioLines("/dev/null", {SignalLine.GREEN: 17})
    with pytest.raises(DeviceFault, match="/dev/null"):
        lines.set(frozenset({SignalLine.GREEN}))
    lines.close()
