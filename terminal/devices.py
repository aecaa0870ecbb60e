"""The devices around the till, as `[devices]` in `terminal.toml` names them, each made when it is asked for.

A driver's module is imported only if its device is configured: their libraries take memory and time at the start.
Left out: what is done with them (`terminal.outputs`, `terminal.inputs`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from drivers.signals import SignalLine
from wire.errors import CampusError

if TYPE_CHECKING:
    from drivers.display import CustomerDisplay
    from drivers.keys import KeySource
    from drivers.printer import ReceiptPrinter
    from drivers.signals import SignalLines
    from drivers.voice import Voice

COLUMNS: Final = (32, 48)  # paper of 58 and of 80 mm
BAUDS: Final = (1_200, 2_400, 4_800, 9_600, 19_200, 38_400, 57_600, 115_200)
LANGUAGES: Final = ("zh-hans", "en", "both")
_GPIO_LINES_MAX: Final = 1_024


class DevicesInvalid(CampusError):
    """`[devices]` in `terminal.toml` has a key or value that means nothing."""

    code = "devices-invalid"


@dataclass(frozen=True, slots=True, kw_only=True)
class DevicesConfig:
    """What is there; None or empty: it is not. Receipts are printed after every sale, or when one is asked for."""

    printer: str | None = None
    printer_baud: int = 9_600
    printer_columns: int = COLUMNS[0]
    receipts: str = "every"
    receipt_language: str = "both"
    display: str | None = None
    display_baud: int = 9_600
    keypad: str | None = None
    scanner: str | None = None
    signals_chip: str | None = None
    signals: Mapping[SignalLine, int] = field(default_factory=dict)
    voice: str | None = None
    voice_recordings: str | None = None


NO_DEVICES: Final = DevicesConfig()

_CHOICES: Final[Mapping[str, tuple[str, ...] | tuple[int, ...]]] = {
    "printer_baud": BAUDS,
    "printer_columns": COLUMNS,
    "receipts": ("every", "asked"),
    "receipt_language": LANGUAGES,
    "display_baud": BAUDS,
    "voice": LANGUAGES[:2],
}
_NAMES: Final = frozenset({"printer", "display", "keypad", "scanner", "signals_chip", "voice_recordings"})
_SIGNALS: Final = {f"signals_{line.value}": line for line in SignalLine}


def read_devices(table: object) -> DevicesConfig:
    """The section as it was parsed; `DevicesInvalid` names the key that is wrong."""
    if not isinstance(table, dict):
        raise DevicesInvalid("[devices] is a section")
    signals: dict[SignalLine, int] = {}
    values: dict[str, str | int] = {}
    for key, value in table.items():
        if key in _CHOICES:
            if value not in _CHOICES[key] or isinstance(value, bool):
                raise DevicesInvalid(f"[devices] {key} is one of {', '.join(map(str, _CHOICES[key]))}")
            values[key] = value
        elif key in _NAMES:
            if not isinstance(value, str) or not value:
                raise DevicesInvalid(f"[devices] {key} takes a name in quotes")
            values[key] = value
        elif key in _SIGNALS:
            if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < _GPIO_LINES_MAX:
                raise DevicesInvalid(f"[devices] {key} is the number of a line of signals_chip")
            signals[_SIGNALS[key]] = value
        else:
            raise DevicesInvalid(f"[devices] {key} means nothing here")
    if bool(signals) != ("signals_chip" in values) or len(set(signals.values())) != len(signals):
        raise DevicesInvalid("[devices] signals_chip goes with one line or more, each for one thing")
    return DevicesConfig(**values, signals=signals)  # type: ignore[arg-type]  # each key was checked above


def printer_of(config: DevicesConfig) -> ReceiptPrinter | None:
    """The receipt printer."""
    if config.printer is None:
        return None
    from drivers.printer_escpos import EscposPrinter

    return EscposPrinter(config.printer, baud=config.printer_baud, columns=config.printer_columns)


def display_of(config: DevicesConfig) -> CustomerDisplay | None:
    """The customer display."""
    if config.display is None:
        return None
    from drivers.display_cd5220 import Cd5220Display

    return Cd5220Display(config.display, baud=config.display_baud)


def signals_of(config: DevicesConfig) -> SignalLines | None:
    """Lamps and buzzer."""
    if config.signals_chip is None:
        return None
    from drivers.signals_gpio import GpioLines

    return GpioLines(config.signals_chip, config.signals)


def voice_of(config: DevicesConfig, folder: Path) -> Voice | None:
    """The voice; what it makes is kept in `folder`."""
    if config.voice is None:
        return None
    from drivers.voice import SpokenVoice

    recordings = None if config.voice_recordings is None else Path(config.voice_recordings)
    return SpokenVoice(folder, recordings=recordings)


def keypad_of(config: DevicesConfig) -> KeySource | None:
    """The number pad."""
    if config.keypad is None:
        return None
    from drivers.keys import PadDecoder
    from drivers.keys_evdev import EvdevKeys

    return EvdevKeys(config.keypad, PadDecoder())


def scanner_of(config: DevicesConfig) -> KeySource | None:
    """The scanner."""
    if config.scanner is None:
        return None
    from drivers.keys import ScanDecoder
    from drivers.keys_evdev import EvdevKeys

    return EvdevKeys(config.scanner, ScanDecoder())
