"""A printer's or display's serial line: bytes out and in, each with its time limit, and faults in words.

Left out: what the bytes mean (`drivers.printer`, `drivers.display`).
"""

from __future__ import annotations

import glob
import termios
from typing import Final, Self

import serial

from drivers.devicefaults import DeviceBusy, DeviceMissing, DeviceSilent
from drivers.modemfaults import PortBusy, PortMissing
from drivers.serialport import find_port, open_port

_PIECE_BYTES: Final = 64  # a stuck device is noticed after one piece's time, not after a receipt's
_BITS_A_BYTE: Final = 10
_SLACK_S: Final = 0.5
_GONE: Final = (OSError, serial.SerialException, termios.error)


class SerialDevice:
    """One open line. Every call ends in its time; whatever ends the line is `DeviceMissing`."""

    def __init__(self, port: serial.Serial, name: str) -> None:
        self._port = port
        self._name = name

    @classmethod
    def open(cls, pattern: str, *, baud: int) -> Self:
        """Open the one device that `pattern` names now, exclusively; `DeviceMissing` or `DeviceBusy` in words."""
        try:
            path = find_port(pattern)
            return cls(open_port(path, baud=baud), str(path))
        except PortBusy as error:
            raise DeviceBusy(str(error)) from error
        except PortMissing as error:
            raise DeviceMissing(
                str(error) if glob.glob(pattern) else f"there is no {pattern}: plug it in and switch it on"
            ) from error

    def write(self, data: bytes, *, within_s: float) -> None:
        """Hand over all bytes; `DeviceSilent` when the device takes nothing more for `within_s`."""
        for start in range(0, len(data), _PIECE_BYTES):
            piece = data[start : start + _PIECE_BYTES]
            try:
                self._port.write_timeout = within_s
                self._port.write(piece)
            except serial.SerialTimeoutException as error:
                raise DeviceSilent(f"{self._name} takes nothing more: off line, or flow control") from error
            except _GONE as error:
                raise DeviceMissing(f"{self._name} has gone: {error}") from error

    def read(self, count: int, *, within_s: float) -> bytes:
        """Up to `count` bytes as they come; fewer when the time is over."""
        try:
            self._port.timeout = within_s
            return bytes(self._port.read(count))
        except (*_GONE, TypeError) as error:  # pyserial's TypeError: closed by another thread
            raise DeviceMissing(f"{self._name} has gone: {error}") from error

    def forget_input(self) -> None:
        """Throw away what came unasked."""
        try:
            self._port.reset_input_buffer()
        except _GONE as error:
            raise DeviceMissing(f"{self._name} has gone: {error}") from error

    def drop_output(self) -> None:
        """Throw away what the kernel has not sent yet."""
        try:
            self._port.reset_output_buffer()
        except _GONE as error:
            raise DeviceMissing(f"{self._name} has gone: {error}") from error

    def time_for_s(self, count: int) -> float:
        """How long `count` bytes take on this line."""
        return count * _BITS_A_BYTE / float(self._port.baudrate) + _SLACK_S

    def close(self) -> None:
        """Let go of the line, at once, whatever was not sent yet."""
        try:
            self._port.reset_output_buffer()
            self._port.close()
        except _GONE:
            return  # it is gone, and the descriptor with it
