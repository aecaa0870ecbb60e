"""A receipt printer that speaks ESC/POS on a serial line. The one user of python-escpos.

Of python-escpos the table of commands is taken, not its printer classes: importing those leaves a folder in /tmp behind
at each start, takes a second, and their writes have no time limit. Left out: barcodes, pictures, the cash drawer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from escpos.constants import (
    DLE,
    ESC,
    FS,
    GS,
    HW_INIT,
    PAPER_PART_CUT,
    RT_STATUS,
    TXT_SIZE,
    TXT_STYLE,
)

from drivers.devicefaults import DeviceFault, DeviceMissing, DeviceSilent
from drivers.printer import STATUS_QUESTIONS, Line, PrinterStatus, decode_status, encode, is_status
from drivers.serialdevice import SerialDevice

BAUD: Final = 9_600  # what most are set to when they come; the slowest in use
COLUMNS: Final = 32  # paper of 58 mm; 80 mm has 48

# Printers take 4 KB ahead and more; so much goes to one that has printed all before, and no flow control is needed.
_BLOCK_BYTES: Final = 2_048
_ANSWER_S: Final = 0.5  # a printer answers DLE EOT at once, whatever it is doing
_WRITE_S: Final = 2.0
_MECHANISM_S: Final = 12.0  # for a block on paper: 100 lines at the slowest 15 lines a second, and the cutter
_LOOK_S: Final = 0.3  # between two looks at a printer that is still busy
_FEED_LINES: Final = 4  # from the head to the cutter

_CHINESE_ON: Final = FS + b"&"
_AUTO_STATUS_OFF: Final = GS + b"a\x00"
_REPORT_SENSORS: Final = GS + b"r\x01"  # answered when everything before it has been printed
_CLEAR_BUFFER: Final = DLE + b"\x14\x08\x01\x03\x14\x01\x06\x02\x08"  # in real time, so that no half receipt follows
_SIZE_NORMAL, _SIZE_DOUBLE = TXT_SIZE + b"\x00", TXT_SIZE + b"\x11"


class EscposPrinter:
    """Opens the line at first use and after each fault, so that a printer may come and go."""

    def __init__(self, port: str, *, baud: int = BAUD, columns: int = COLUMNS) -> None:
        self.columns = columns
        self._pattern = port
        self._baud = baud
        self._device: SerialDevice | None = None
        self._sensors_reported = False

    def status(self) -> PrinterStatus:
        """Ask with DLE EOT 1 to 4; `DeviceSilent` when it does not answer, as one that is switched off."""
        try:
            return self._status(self._opened())
        except DeviceFault:
            self.close()
            raise

    def print(self, lines: Sequence[Line]) -> PrinterStatus:
        """Print, cut, and wait until it is done; after a fault what is left of it in the printer is thrown away."""
        try:
            device = self._opened()
            if (fault := self._status(device).fault) is not None:
                raise fault
            for block in blocks(lines):
                self._print_block(device, block)
            return self._status(device)
        except (DeviceMissing, DeviceSilent):
            self.close()  # what it still holds is thrown away when it is opened again
            raise
        except DeviceFault:
            self._abandon()
            raise

    def close(self) -> None:
        """Let go of the line."""
        device, self._device = self._device, None
        if device is not None:
            device.close()

    def _opened(self) -> SerialDevice:
        if self._device is None:
            self._device = SerialDevice.open(self._pattern, baud=self._baud)
            self._device.write(_CLEAR_BUFFER + HW_INIT + _AUTO_STATUS_OFF, within_s=_WRITE_S)
        return self._device

    def _print_block(self, device: SerialDevice, block: bytes) -> None:
        device.forget_input()
        self._sensors_reported = False
        try:
            device.write(block + _REPORT_SENSORS, within_s=_WRITE_S)
        except DeviceSilent:
            if (fault := self._status(device).fault) is not None:  # off line by its own doing takes no bytes either
                raise fault from None
            raise
        left_s = device.time_for_s(len(block)) + _MECHANISM_S
        while not self._sensors_reported:
            if left_s <= 0:
                raise DeviceSilent("the printer did not say in time that it has printed")
            left_s -= _LOOK_S
            if any(not is_status(answer) for answer in device.read(1, within_s=_LOOK_S)):
                return
            if (fault := self._status(device).fault) is not None:
                raise fault

    def _status(self, device: SerialDevice) -> PrinterStatus:
        answers = []
        for question in STATUS_QUESTIONS:
            device.write(RT_STATUS + bytes([question]), within_s=_WRITE_S)
            answers.append(self._answer(device))
        status = decode_status(answers)
        assert status is not None, "each of the four is an answer to DLE EOT"
        return status

    def _answer(self, device: SerialDevice) -> int:
        """The next answer to DLE EOT; one to GS r may come before it."""
        while found := device.read(1, within_s=_ANSWER_S):
            if is_status(found[0]):
                return found[0]
            self._sensors_reported = True
        raise DeviceSilent("the printer does not answer: is it switched on, and set to the same baud rate?")

    def _abandon(self) -> None:
        """Best effort. The line stays open, for closing it would drop the command again."""
        if self._device is not None:
            try:
                self._device.drop_output()
                self._device.write(_CLEAR_BUFFER, within_s=_WRITE_S)
            except DeviceFault:
                self.close()


def blocks(lines: Sequence[Line]) -> list[bytes]:
    """What is sent for these lines, the cut at its end, in pieces that a printer's memory holds."""
    found = [HW_INIT + _CHINESE_ON]
    for line in lines:
        coded = _coded(line)
        if len(found[-1]) + len(coded) > _BLOCK_BYTES:
            found.append(b"")
        found[-1] += coded
    found[-1] += ESC + b"d" + bytes([_FEED_LINES]) + PAPER_PART_CUT
    return found


def _coded(line: Line) -> bytes:
    style: bytes = (
        TXT_STYLE["align"]["center" if line.centred else "left"]
        + TXT_STYLE["bold"][line.bold]
        + (_SIZE_DOUBLE if line.double else _SIZE_NORMAL)
    )
    return style + encode(line.text) + b"\n"
