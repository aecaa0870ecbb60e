"""The evdev driver against input devices that umockdev makes, in a process under its wrapper."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from drivers.keys import KeysLost, PadDecoder
from drivers.keys_evdev import EvdevKeys

UNDER_UMOCKDEV = Path(__file__).with_name("keys_under_umockdev.py")


def test_contract_holds_on_simulated_input_devices() -> None:
    command = ["umockdev-wrapper", sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider"]
    done = subprocess.run([*command, str(UNDER_UMOCKDEV)], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "5 passed" in done.stdout


def test_device_that_was_never_there_is_told_as_missing() -> None:
    source = EvdevKeys("/dev/input/by-id/usb-none-event-kbd", PadDecoder())
    events = source.events()
    assert next(events) == KeysLost("no input device /dev/input/by-id/usb-none-event-kbd: plug it in", "device-missing")
    source.stop()
    assert list(events) == []
