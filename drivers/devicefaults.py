"""What can go wrong with the devices around the till, as typed faults. Pure. Left out: what to do about it."""

from __future__ import annotations

from wire.errors import CampusError


class DeviceFault(CampusError):
    """A printer, display, number pad, scanner, lamp or voice did not do what it was asked; no sale depends on one."""

    code = "device-fault"
    retryable = True


class DeviceMissing(DeviceFault):
    """There is no such device now: never plugged in, pulled out, without power, or its program is not installed."""

    code = "device-missing"


class DeviceBusy(DeviceFault):
    """Another program holds the device, or we may not open it."""

    code = "device-busy"


class DeviceSilent(DeviceFault):
    """It takes no bytes, or does not answer in its time; what was sent last may or may not have been done."""

    code = "device-silent"


class PaperOut(DeviceFault):
    """The printer has no paper; what was being printed is not whole."""

    code = "paper-out"


class CoverOpen(DeviceFault):
    """The printer's cover is open; what was being printed is not whole."""

    code = "cover-open"


class PrinterOffline(DeviceFault):
    """The printer is switched off line, or its cutter or head is stuck."""

    code = "printer-offline"
