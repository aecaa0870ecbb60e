"""The GPIO driver and the real libgpiod on a chip that umockdev makes; `test_signals_gpio.py` runs this file."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from sim.devices.kernel import KernelBench, SimulatedChip

# A process of its own: libgpiod keeps Python's lock while it asks, and the chip answers in Python.
PROGRAM = """
import os, sys
print(os.open("/dev/gpioline0", os.O_RDWR), flush=True)
sys.stdin.readline()
from drivers.devicefaults import DeviceFault
from drivers.signals import SignalLine
from drivers.signals_gpio import GpioLines
lines = GpioLines("/dev/gpiochip0", {SignalLine.GREEN: 17, SignalLine.RED: 22, SignalLine.BUZZER: 5})
lines.set(frozenset({SignalLine.GREEN, SignalLine.BUZZER}))
lines.set(frozenset({SignalLine.RED}))
lines.set(frozenset({SignalLine.YELLOW}))
try:
    GpioLines("/dev/gpiochip0", {SignalLine.GREEN: 99}).set(frozenset())
except DeviceFault as fault:
    print(fault.code, flush=True)
lines.close()
"""


def test_lamps_and_buzzer_are_switched_together_and_a_line_that_is_not_there_is_a_fault(tmp_path: Path) -> None:
    chip = SimulatedChip(KernelBench(tmp_path))
    command = [sys.executable, "-c", PROGRAM]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout is not None
        assert program.stdin is not None
        chip.descriptor = int(program.stdout.readline())
        program.stdin.write("\n")
        program.stdin.flush()
        assert program.stdout.read() == "device-fault\n"
    assert program.returncode == 0
    assert chip.states == [
        {17: False, 22: False, 5: False},
        {17: True, 22: False, 5: True},
        {17: False, 22: True, 5: False},
        {17: False, 22: False, 5: False},
        {17: False, 22: False, 5: False},
    ]
