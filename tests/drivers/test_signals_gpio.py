"""The GPIO driver on a simulated chip, in a process under umockdev's wrapper; and where there is no chip."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from drivers.devicefaults import DeviceFault, DeviceMissing
from drivers.signals import SignalLine
from drivers.signals_gpio import GpioLines

UNDER_UMOCKDEV = Path(__file__).with_name("gpio_under_umockdev.py")


def test_contract_holds_on_a_simulated_chip() -> None:
    command = ["umockdev-wrapper", sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider"]
    done = subprocess.run([*command, str(UNDER_UMOCKDEV)], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed" in done.stdout


def test_chip_that_is_not_there_is_missing() -> None:
    with pytest.raises(DeviceMissing, match="gpiochip99"):
        GpioLines("/dev/gpiochip99", {SignalLine.GREEN: 17}).set(frozenset())


def test_device_that_is_no_chip_is_a_fault() -> None:
    lines = GpioLines("/dev/null", {SignalLine.GREEN: 17})
    with pytest.raises(DeviceFault, match="/dev/null"):
        lines.set(frozenset({SignalLine.GREEN}))
    lines.close()
