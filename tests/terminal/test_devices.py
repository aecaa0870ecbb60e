"""The section [devices]: what it takes, and that nothing is imported for what is not there."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from drivers.signals import SignalLine
from terminal.devices import (
    DevicesConfig,
    DevicesInvalid,
    display_of,
    keypad_of,
    printer_of,
    read_devices,
    scanner_of,
    signals_of,
    voice_of,
)

WHOLE: dict[str, object] = {
    "printer": "/dev/serial/by-id/usb-printer",
    "printer_baud": 19_200,
    "printer_columns": 48,
    "receipts": "asked",
    "receipt_language": "zh-hans",
    "display": "/dev/ttyS1",
    "display_baud": 9_600,
    "keypad": "Campus Pad",
    "scanner": "/dev/input/by-id/usb-scanner-event-kbd",
    "signals_chip": "/dev/gpiochip0",
    "signals_green": 17,
    "signals_buzzer": 27,
    "voice": "en",
    "voice_recordings": "/srv/voice",
}


def test_without_the_section_there_is_nothing(tmp_path: Path) -> None:
    config = read_devices({})
    assert config == DevicesConfig()
    makers = (printer_of, display_of, keypad_of, scanner_of, signals_of)
    assert [make(config) for make in makers] == [None] * len(makers)
    assert voice_of(config, tmp_path) is None


def test_every_device_can_be_named(tmp_path: Path) -> None:
    config = read_devices(WHOLE)
    assert config.signals == {SignalLine.GREEN: 17, SignalLine.BUZZER: 27}
    made = [make(config) for make in (printer_of, display_of, keypad_of, scanner_of, signals_of)]
    assert None not in [*made, voice_of(config, tmp_path)]
    printer = printer_of(config)
    assert printer is not None
    assert printer.columns == 48


@pytest.mark.parametrize(
    "wrong",
    [
        {"printer": 5},
        {"printer": ""},
        {"printer_baud": 9_601},
        {"printer_columns": True},
        {"receipts": "never"},
        {"receipt_language": "fr"},
        {"voice": "both"},
        {"signals_green": 17},
        {"signals_chip": "/dev/gpiochip0"},
        {"signals_chip": "/dev/gpiochip0", "signals_green": -1},
        {"signals_chip": "/dev/gpiochip0", "signals_green": 17, "signals_red": 17},
        {"fax": "/dev/fax"},
    ],
)
def test_wrong_key_or_value_is_told(wrong: dict[str, object]) -> None:
    with pytest.raises(DevicesInvalid, match=r"\[devices\]"):
        read_devices(wrong)
    with pytest.raises(DevicesInvalid):
        read_devices(list(wrong))


def test_no_driver_library_is_imported_for_a_till_without_devices() -> None:
    program = (
        "import sys; import terminal.devices as d; c = d.read_devices({});"
        "d.printer_of(c), d.display_of(c), d.keypad_of(c), d.scanner_of(c), d.signals_of(c);"
        "print([m for m in ('serial', 'escpos', 'evdev', 'gpiod') if m in sys.modules])"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
