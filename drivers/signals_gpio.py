"""Lamps and buzzer on the lines of a GPIO chip, by libgpiod 2. The one user of gpiod. Left out: patterns."""

from __future__ import annotations

from collections.abc import Mapping

import gpiod
from gpiod.line import Direction, Value

from drivers.devicefaults import DeviceBusy, DeviceFault, DeviceMissing
from drivers.signals import SignalLine


class GpioLines:
    """Requests its lines at first use and after each fault; all are off until then, and after `close`."""

    def __init__(self, chip: str, offsets: Mapping[SignalLine, int]) -> None:
        self._chip = chip
        self._offsets = dict(offsets)
        self._request: gpiod.LineRequest | None = None

    def set(self, on: frozenset[SignalLine]) -> None:
        """Switch at once, all lines together."""
        values: dict[int | str, Value] = {
            offset: Value.ACTIVE if line in on else Value.INACTIVE for line, offset in self._offsets.items()
        }
        try:
            if self._request is None:
                self._request = self._requested()
            self._request.set_values(values)
        except PermissionError as error:
            raise DeviceBusy(f"no permission to use {self._chip}: the user has to be in the group gpio") from error
        except FileNotFoundError as error:
            raise DeviceMissing(f"there is no {self._chip}") from error
        except OSError as error:
            self._forget()
            raise DeviceFault(f"{self._chip}: {error.strerror or error}") from error
        except (gpiod.ChipClosedError, gpiod.RequestReleasedError, ValueError, TypeError) as error:
            self._forget()
            raise DeviceFault(f"{self._chip}: {error}") from error

    def close(self) -> None:
        """Everything off, and the lines are free."""
        if self._request is not None:
            self.set(frozenset())
        self._forget()

    def _requested(self) -> gpiod.LineRequest:
        settings = gpiod.LineSettings(direction=Direction.OUTPUT, output_value=Value.INACTIVE)
        return gpiod.request_lines(
            self._chip, consumer="campus-terminal", config={tuple(self._offsets.values()): settings}
        )

    def _forget(self) -> None:
        request, self._request = self._request, None
        if request is not None:
            request.release()
