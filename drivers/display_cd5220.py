"""A customer display that takes the CD5220 commands on a serial line."""

from __future__ import annotations

from typing import Final

from drivers.devicefaults import DeviceFault
from drivers.display import INITIALISE, encode
from drivers.serialdevice import SerialDevice

BAUD: Final = 9_600
_WRITE_S: Final = 1.0


class Cd5220Display:
    """Opens the line at first use and after each fault, so that a display may come and go."""

    def __init__(self, port: str, *, baud: int = BAUD) -> None:
        self._pattern = port
        self._baud = baud
        self._device: SerialDevice | None = None

    def show(self, upper: str, lower: str) -> None:
        """Replace both lines, in a second at most."""
        try:
            if self._device is None:
                self._device = SerialDevice.open(self._pattern, baud=self._baud)
                self._device.write(INITIALISE, within_s=_WRITE_S)
            self._device.write(encode(upper, lower), within_s=_WRITE_S)
        except DeviceFault:
            self.close()
            raise

    def close(self) -> None:
        """Let go of the line."""
        device, self._device = self._device, None
        if device is not None:
            device.close()
