"""Receipts as lines, and what a receipt printer tells of itself; `drivers.printer_escpos` is the real one. Pure.

Left out: what stands on a receipt (`terminal.receipts`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from drivers.devicefaults import CoverOpen, DeviceFault, PaperOut, PrinterOffline

_PRINTERS_CODE: Final = "gb18030"
_PRINTERS_BYTES: Final = 2  # GB18030's four-byte characters are in few printers; a merchant's name has none

# DLE EOT n: bits 1 and 4 always set, 0 and 7 never; that tells these answers from all others.
_FIXED_BITS: Final = 0b1001_0011
_FIXED: Final = 0b0001_0010
_OFFLINE: Final = 0x08  # n = 1
_COVER, _PAPER_STOP, _ERROR = 0x04, 0x20, 0x40  # n = 2
_CUTTER, _LASTING = 0x08, 0x20  # n = 3
_NEAR_END, _PAPER_END = 0x0C, 0x60  # n = 4
STATUS_QUESTIONS: Final = (1, 2, 3, 4)


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a receipt; `double` is twice as wide and high, so that half as many characters fit."""

    text: str
    bold: bool = False
    double: bool = False
    centred: bool = False


@dataclass(frozen=True, slots=True)
class PrinterStatus:
    """What the printer says of itself; only `paper_near_end` lets it go on."""

    offline: bool = False
    cover_open: bool = False
    paper_out: bool = False
    paper_near_end: bool = False
    error: bool = False

    @property
    def fault(self) -> DeviceFault | None:
        """The nearest cause of its not printing, which is what a person can mend."""
        if self.cover_open:
            return CoverOpen("the printer's cover is open")
        if self.paper_out:
            return PaperOut("the printer has no paper")
        if self.error:
            return PrinterOffline("the printer's cutter or head is stuck: switch it off, clear it, switch it on")
        return PrinterOffline("the printer is off line") if self.offline else None


class ReceiptPrinter(Protocol):
    """A printer of so many `columns`; both methods end in bounded time."""

    columns: int

    def status(self) -> PrinterStatus:
        """Ask it; raises `DeviceMissing` or `DeviceSilent`."""
        ...

    def print(self, lines: Sequence[Line]) -> PrinterStatus:
        """Return once all of it is on paper and cut; any `DeviceFault` means that it may be partly so."""
        ...


def decode_status(answers: Sequence[int]) -> PrinterStatus | None:
    """The answers to DLE EOT 1 to 4, a byte each; None if one is no such answer."""
    if len(answers) != len(STATUS_QUESTIONS) or not all(is_status(answer) for answer in answers):
        return None
    state, cause, error, paper = answers
    return PrinterStatus(
        offline=bool(state & _OFFLINE),
        cover_open=bool(cause & _COVER),
        paper_out=bool(cause & _PAPER_STOP or paper & _PAPER_END),
        paper_near_end=bool(paper & _NEAR_END),
        error=bool(cause & _ERROR or error & (_CUTTER | _LASTING)),
    )


def is_status(answer: int) -> bool:
    """Whether the byte answers DLE EOT, and not GS r."""
    return answer & _FIXED_BITS == _FIXED


def encode(text: str) -> bytes:
    """The bytes that a printer takes in its Chinese mode; what it has no character for is a question mark."""
    return b"".join(
        coded if len(coded) <= _PRINTERS_BYTES and character.isprintable() else b"?"
        for character in text
        for coded in [character.encode(_PRINTERS_CODE, errors="replace")]
    )


def cells(text: str) -> int:
    """How many columns the text takes: a printer gives each byte of a character one."""
    return len(encode(text))


def fold(text: str, columns: int) -> list[str]:
    """The text in lines of at most `columns`, at blanks where there are some."""
    lines = [""]
    for word in text.split(" "):
        room = columns - cells(lines[-1]) - (1 if lines[-1] else 0)
        if cells(word) <= room:
            lines[-1] += (" " if lines[-1] else "") + word
            continue
        if lines[-1]:
            lines.append("")
        for character in word:
            if cells(lines[-1]) + cells(character) > columns:
                lines.append("")
            lines[-1] += character
    return lines


def spread(left: str, right: str, columns: int) -> list[str]:
    """`left` and `right` at the two edges; `right` on a line of its own if they do not fit beside each other."""
    *before, last = fold(left, columns)
    room = columns - cells(last) - cells(right)
    if room >= 1 or not right:
        return [*before, (last + " " * room + right) if right else last]
    return [*before, last, " " * max(columns - cells(right), 0) + right]
