"""A simulated customer display on a pseudo-terminal: the CD5220 commands, two lines of twenty. It never answers."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from sim.devices.faults import UnknownCommand
from sim.devices.port import SerialSimulator

COLUMNS: Final = 20
_ROWS: Final = 2
_SHOWN_BYTES: Final = 8
_CR, _CLEAR, _ESC = 0x0D, 0x0C, 0x1B
_ROW_COMMANDS: Final = {b"\x1bQA": 0, b"\x1bQB": 1}


class SimulatedDisplay(SerialSimulator):
    """`lines` is what the customer sees; `shown` all that was ever shown, the newest last."""

    def __init__(self, link: Path, *, baud: int | None = None) -> None:
        super().__init__(link, baud=baud)
        self.lines = [" " * COLUMNS] * _ROWS
        self.shown: list[tuple[str, str]] = []
        self._waiting = b""
        self._cursor = 0

    def receive(self, data: bytes) -> bytes:
        """Take bytes; there is no answer."""
        self._waiting += data
        while self._waiting and self._step():
            pass
        return b""

    def _step(self) -> bool:
        """One command or character; False: the rest of it has not come."""
        first = self._waiting[0]
        if first == _ESC:
            return self._command()
        self._waiting = self._waiting[1:]
        if first == _CLEAR:
            self._clear()
        elif ord(" ") <= first <= ord("~"):
            row, column = divmod(self._cursor, COLUMNS)
            self.lines[row] = self.lines[row][:column] + chr(first) + self.lines[row][column + 1 :]
            self._cursor = (self._cursor + 1) % (COLUMNS * _ROWS)
        else:
            raise UnknownCommand(f"{first:02x}")
        return True

    def _command(self) -> bool:
        if self._waiting[:2] == b"\x1b@":
            self._clear()
            self._waiting = self._waiting[2:]
            return True
        if len(self._waiting) < len(b"\x1bQA"):
            if len(self._waiting) > 1 and self._waiting[1:2] != b"Q":
                raise UnknownCommand(self._waiting.hex(" "))
            return False
        row = _ROW_COMMANDS.get(self._waiting[:3])
        if row is None:
            raise UnknownCommand(self._waiting[:_SHOWN_BYTES].hex(" "))
        text, ended, rest = self._waiting[3:].partition(bytes([_CR]))
        if len(text) > COLUMNS or any(not ord(" ") <= byte <= ord("~") for byte in text):
            raise UnknownCommand(f"{text[: COLUMNS + 1].hex(' ')} is no line of {COLUMNS} characters")
        if not ended:
            return False
        self.lines[row] = text.decode("ascii").ljust(COLUMNS)
        self._waiting = rest
        if row == _ROWS - 1:
            self.shown.append((self.lines[0].strip(), self.lines[1].strip()))
        return True

    def _clear(self) -> None:
        self.lines, self._cursor = [" " * COLUMNS] * _ROWS, 0
