"""What can go wrong with a modem, as typed faults. Left out: what to do about it, which is the caller's policy."""

from __future__ import annotations

from wire.errors import CampusError


class ModemFault(CampusError):
    """The modem did not do what it was asked; whether the last request had an effect is not known."""

    code = "modem-fault"
    retryable = True


class ModemSilent(ModemFault):
    """No final answer came in time; the line puts itself in step again before the next command."""

    code = "modem-silent"


class ModemGone(ModemFault):
    """The port vanished or was closed; the modem has to be found and opened anew."""

    code = "modem-gone"


class ModemGarbled(ModemFault):
    """An answer that is not what the command's answer looks like."""

    code = "modem-garbled"


class AtError(ModemFault):
    """The modem refused a command: `number` is the modem's own, None after a bare ERROR or an error in words.

    `lines` is the whole answer; some makers tell the reason in a line above a bare ERROR.
    """

    code = "at-error"

    def __init__(self, command: str, words: str, *, kind: str = "ERROR", number: int | None = None) -> None:
        super().__init__(f"{command}: {words}" + (f" ({kind} {number})" if number is not None else ""))
        self.command = command
        self.words = words
        self.kind = kind
        self.number = number
        self.lines: list[str] = []


class SocketDown(ModemFault):
    """A connection of the modem's TCP stack has ended or never came about; what was not receipted may be lost."""

    code = "socket-down"


class BearerLost(SocketDown):
    """The data bearer (PDP context) under the connection is gone, or cannot be had."""

    code = "bearer-lost"


class SimLocked(ModemFault):
    """The SIM wants a PIN or PUK that this program will not or may not enter; a technician does."""

    code = "sim-locked"
    retryable = False


class RegistrationDenied(ModemFault):
    """The network refuses this SIM or this modem; trying again only makes it worse."""

    code = "registration-denied"
    retryable = False


class NotAModem(ModemFault):
    """Something else answers at the port; nothing was sent to it but the question what it is."""

    code = "not-a-modem"
    retryable = False


class PortMissing(ModemFault):
    """There is no such port now, or its name says nothing about which device it is."""

    code = "port-missing"


class PortBusy(ModemFault):
    """Another program holds the port, or we may not open it."""

    code = "port-busy"
