"""A receipt printer's inside: ESC/POS as the common 58 and 80 mm printers take it, and the paper as text. Pure.

Left out: the cable (`sim.devices.printer`), pictures, barcodes, page mode.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sim.devices.faults import UnknownCommand

_DLE, _ESC, _FS, _GS = 0x10, 0x1B, 0x1C, 0x1D
_LF: Final = 0x0A
_EOT, _DC4 = 0x04, 0x14
_CLEAR: Final = bytes.fromhex("08 01 03 14 01 06 02 08")
_MEMORY_BYTES: Final = 4_096
_SHOWN_BYTES: Final = 8
_DOUBLE: Final = 0x11

# Each known command: how many parameter bytes it has.
_PARAMETERS: Final = {
    (_ESC, ord("@")): 0,
    (_ESC, ord("E")): 1,
    (_ESC, ord("a")): 1,
    (_ESC, ord("d")): 1,
    (_FS, ord("&")): 0,
    (_FS, ord(".")): 0,
    (_GS, ord("!")): 1,
    (_GS, ord("V")): 1,
    (_GS, ord("a")): 1,
    (_GS, ord("r")): 1,
}
_SWITCHES: Final = frozenset({0, 1})
_ALIGNMENTS: Final = ("left", "centre", "right")


@dataclass(frozen=True, slots=True)
class PaperLine:
    """One line on paper, as its characters; `cut` is the knife's."""

    text: str
    bold: bool = False
    double: bool = False
    align: str = "left"
    cut: bool = False


class EscposEngine:
    """Bytes in, answers out; what is printed is in `paper`. Faults are attributes that may be set at any moment."""

    def __init__(self, columns: int) -> None:
        self.columns = columns
        self.paper: list[PaperLine] = []
        self.lines_left: int | None = None  # on the roll; None: a full one
        self.near_end_lines = 20
        self.cover_open = False
        self.switched_offline = False
        self.cutter_stuck = False
        self._arriving = b""  # the beginning of a command in real time
        self._waiting = b""
        self._reset()

    @property
    def paper_out(self) -> bool:
        """Whether the roll has ended."""
        return self.lines_left is not None and self.lines_left <= 0

    @property
    def offline(self) -> bool:
        """Whether it prints nothing now."""
        return self.cover_open or self.paper_out or self.switched_offline or self.cutter_stuck

    def feed(self, data: bytes) -> bytes:
        """Bytes from the line: commands in real time are done at once, others are kept until their turn."""
        answers, self._arriving = b"", self._arriving + data
        while self._arriving:
            ordinary, found, rest = self._arriving.partition(bytes([_DLE]))
            self._keep(ordinary)
            if not found:
                self._arriving = b""
                break
            if (done := self._in_real_time(rest)) is None:
                self._arriving = found + rest
                break
            answer, self._arriving = done
            answers += answer
        return answers

    def run(self) -> bytes:
        """Print what waits, as far as it can."""
        answers = b""
        while self._waiting and not self.offline and (answer := self._step()) is not None:
            answers += answer
        return answers

    def text(self) -> str:
        """The paper as it looks: centred where it is, the cuts as lines."""
        return "\n".join(self._drawn(line) for line in self.paper)

    def _keep(self, data: bytes) -> None:
        self._waiting += data
        if len(self._waiting) > _MEMORY_BYTES:
            raise UnknownCommand(f"{len(self._waiting)} bytes at once: more than the printer's memory")

    def _in_real_time(self, rest: bytes) -> tuple[bytes, bytes] | None:
        """What a command after DLE answers, and what follows it; None: it is not whole yet."""
        if len(rest) < len(b"\x04\x01"):
            return None
        if rest[0] == _EOT:
            return self._status(rest[1]), rest[2:]
        if rest[0] == _DC4:
            if len(rest) < 1 + len(_CLEAR):
                return None
            if rest[1 : 1 + len(_CLEAR)] == _CLEAR:
                self._waiting, self._line = b"", b""
                return b"", rest[1 + len(_CLEAR) :]
        raise UnknownCommand(f"DLE {rest[:_SHOWN_BYTES].hex(' ')}")

    def _status(self, question: int) -> bytes:
        near = self.lines_left is not None and self.lines_left <= self.near_end_lines
        bits = {
            1: 0x08 * self.offline,
            2: 0x04 * self.cover_open | 0x20 * self.paper_out | 0x40 * self.cutter_stuck,
            3: 0x08 * self.cutter_stuck,
            4: 0x0C * near | 0x60 * self.paper_out,
        }
        if question not in bits:
            raise UnknownCommand(f"DLE EOT {question}")
        return bytes([0x12 | bits[question]])

    def _step(self) -> bytes | None:
        """One command or character; None: the rest of it has not come."""
        first = self._waiting[0]
        if first in (_ESC, _FS, _GS):
            return self._command()
        if first == _LF:
            self._waiting = self._waiting[1:]
            self._print_line()
            return b""
        if first < ord(" "):
            raise UnknownCommand(f"control character {first:02x}")
        return self._character()

    def _command(self) -> bytes | None:
        if len(self._waiting) < len(b"\x1b@"):
            return None
        name = (self._waiting[0], self._waiting[1])
        if name not in _PARAMETERS:
            raise UnknownCommand(self._waiting[:_SHOWN_BYTES].hex(" "))
        length = 2 + _PARAMETERS[name]
        if len(self._waiting) < length:
            return None
        command, self._waiting = self._waiting[:length], self._waiting[length:]
        return self._do(command, command[2] if length > len(b"\x1b@") else 0)

    def _do(self, command: bytes, value: int) -> bytes:
        match command[:2]:
            case b"\x1b@":
                self._reset()
            case b"\x1bE" if value in _SWITCHES:
                self._bold = bool(value)
            case b"\x1ba" if value < len(_ALIGNMENTS):
                self._align = _ALIGNMENTS[value]
            case b"\x1bd":
                for _ in range(value):
                    self._print_line()
            case b"\x1c&" | b"\x1c.":
                self._chinese = command[1:] == b"&"
            case b"\x1d!" if value in (0, _DOUBLE):
                self._double = value == _DOUBLE
            case b"\x1dV" if value in _SWITCHES:
                self.paper.append(PaperLine("", cut=True))
            case b"\x1da" if value == 0:
                pass  # reports nothing unasked, as before
            case b"\x1dr" if value == 1:
                return bytes([(0x03 * (self.lines_left is not None and self.lines_left <= self.near_end_lines))])
            case _:
                raise UnknownCommand(command.hex(" "))
        return b""

    def _character(self) -> bytes | None:
        size = 1 if self._waiting[0] < 0x80 else 2
        if len(self._waiting) < size:
            return None
        coded, self._waiting = self._waiting[:size], self._waiting[size:]
        if size > 1 and not self._chinese:
            raise UnknownCommand(f"{coded.hex(' ')} without its Chinese mode")
        try:
            coded.decode("gb18030")
        except UnicodeDecodeError as error:
            raise UnknownCommand(f"{coded.hex(' ')} is no character of GB 18030") from error
        if (len(self._line) + size) * (2 if self._double else 1) > self.columns:
            self._print_line()
        self._line += coded
        return b""

    def _print_line(self) -> None:
        text, self._line = self._line.decode("gb18030"), b""
        self.paper.append(PaperLine(text, self._bold, self._double, self._align))
        if self.lines_left is not None:
            self.lines_left -= 1

    def _reset(self) -> None:
        self._line = b""
        self._bold = self._double = self._chinese = False
        self._align = "left"

    def _drawn(self, line: PaperLine) -> str:
        if line.cut:
            return "- " * (self.columns // 2)
        free = self.columns - len(line.text.encode("gb18030")) * (2 if line.double else 1)
        return " " * (free // 2 if line.align == "centre" else free if line.align == "right" else 0) + line.text
