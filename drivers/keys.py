"""Number pads and scanners: key codes of the kernel as keys, and as the text of a code. Pure.

Left out: the devices themselves (`drivers.keys_evdev`), and what a key does (the screen).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Protocol

# linux/input-event-codes.h. A number pad sends KEY_KP..., whatever NumLock says: these are places, not characters.
PAD_KEYS: Final = {
    **{code: digit for digit, code in zip("1234567890", range(2, 12), strict=True)},
    **{code: digit for digit, code in zip("7894561230", (71, 72, 73, 75, 76, 77, 79, 80, 81, 82), strict=True)},
    52: ".",
    83: ".",
    121: ".",
    12: "-",
    74: "-",
    78: "+",
    55: "*",
    98: "/",
    13: "=",
    28: "enter",
    96: "enter",
    14: "backspace",
    111: "backspace",
    1: "escape",
    69: "escape",
    15: "tab",
    103: "up",
    108: "down",
    105: "left",
    106: "right",
    **{code: f"f{number}" for number, code in enumerate((59, 60, 61, 62, 63, 64, 65, 66, 67, 68, 87, 88), 1)},
}

_PLAIN: Final = {
    **dict(zip(range(2, 14), "1234567890-=", strict=True)),
    **dict(zip(range(16, 28), "qwertyuiop[]", strict=True)),
    **dict(zip(range(30, 42), "asdfghjkl;'`", strict=True)),
    **dict(zip(range(43, 54), "\\zxcvbnm,./", strict=True)),
    **dict(zip((71, 72, 73, 74, 75, 76, 77, 78, 79, 80, 81, 82, 83), "789-456+1230.", strict=True)),
    57: " ",
    55: "*",
    98: "/",
}
_SHIFTED: Final = {
    **_PLAIN,
    **{code: character.upper() for code, character in _PLAIN.items()},
    **dict(zip(range(2, 14), "!@#$%^&*()_+", strict=True)),
    26: "{",
    27: "}",
    39: ":",
    40: '"',
    41: "~",
    43: "|",
    51: "<",
    52: ">",
    53: "?",
}
_SHIFT_KEYS: Final = frozenset({42, 54})
_END_KEYS: Final = frozenset({28, 96, 15})  # scanners end a code with Enter or Tab

_RELEASED, _PRESSED, _HELD = 0, 1, 2
_CODE_LENGTH_MAX: Final = 128  # the longest code that a shop has a use for; more is two scans run together
_GAP_S_MAX: Final = 0.5  # within a code the characters follow in milliseconds


@dataclass(frozen=True, slots=True)
class KeyPressed:
    """A key of the number pad: a digit, `.`, `+`, `-`, `*`, `/`, `=`, or a name such as `enter`, `backspace`, `f1`."""

    key: str


@dataclass(frozen=True, slots=True)
class CodeScanned:
    """A barcode or QR code, whole."""

    text: str


@dataclass(frozen=True, slots=True)
class KeysFound:
    """The device is there and its keys go to nobody else."""


@dataclass(frozen=True, slots=True)
class KeysLost:
    """The device cannot be reached; `code` is the fault's, as DRIVERS.md lists them."""

    why: str
    code: str


KeysEvent = KeyPressed | CodeScanned | KeysFound | KeysLost


class KeySource(Protocol):
    """A number pad or a scanner."""

    def events(self) -> Iterator[KeysEvent]:
        """All that happens from now on, `KeysFound` or `KeysLost` first; ends after `stop`."""
        ...

    def stop(self) -> None:
        """End `events` soon, from any thread."""
        ...


class KeyDecoder(Protocol):
    """What the kernel's key events of one device mean."""

    def take(self, code: int, value: int, at_s: float) -> KeyPressed | CodeScanned | None:
        """One event of type EV_KEY: `value` 0 released, 1 pressed, 2 held; `at_s` by the kernel's clock."""
        ...


class PadDecoder:
    """A number pad: a key counts when it goes down; Backspace also while it is held."""

    def take(self, code: int, value: int, at_s: float) -> KeyPressed | None:
        """A key that a till has a use for, or None."""
        key = PAD_KEYS.get(code)
        if key is None or not (value == _PRESSED or (value == _HELD and key == "backspace")):
            return None
        return KeyPressed(key)


class ScanDecoder:
    """A scanner that types what it reads as a United States keyboard does, which is how scanners come."""

    def __init__(self) -> None:
        self._text = ""
        self._last_s = 0.0
        self._shifts: set[int] = set()
        self._spoilt = False

    def take(self, code: int, value: int, at_s: float) -> CodeScanned | None:
        """The whole code at its end; one with an unknown key or too many characters in it is dropped whole."""
        if code in _SHIFT_KEYS:
            (self._shifts.discard if value == _RELEASED else self._shifts.add)(code)
            return None
        if value != _PRESSED:
            return None
        if at_s - self._last_s > _GAP_S_MAX:
            self._text, self._spoilt = "", False
        self._last_s = at_s
        if code in _END_KEYS:
            text, spoilt, self._text, self._spoilt = self._text, self._spoilt, "", False
            return CodeScanned(text) if text and not spoilt else None
        character = (_SHIFTED if self._shifts else _PLAIN).get(code)
        if character is None or len(self._text) == _CODE_LENGTH_MAX:
            self._spoilt = True
        else:
            self._text += character
        return None
