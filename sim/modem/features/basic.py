"""V.250's own commands: echo, quiet, verbose, S registers, reset, +CMEE, +CLAC, +IPR. Left out: calls."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sim.modem.engine import ERROR, OK, Answer, Call, Reply, Settings
from sim.modem.syntax import SyntaxFault

if TYPE_CHECKING:
    from sim.modem.device import Device

_S_DEFAULTS: Final = {0: 0, 3: 13, 4: 10, 5: 8, 6: 2, 7: 60, 8: 2, 10: 15, 12: 50}
_BAUD: Final = (0, 9600, 19200, 38400, 57600, 115200, 230400, 460800, 921600)
# Taken and without effect here: hang-up, loudness, result-code choices, DTR and DCD, flow control, profiles, dialling.
_ACCEPTED: Final = ("H", "L", "M", "X", "&C", "&D", "&K", "&S", "&W", "\\Q", "T", "P")


class _Basic:
    def __init__(self, device: Device) -> None:
        self._device = device
        self._engine = device.engine

    def settings(self) -> Settings:
        return self._engine.settings

    def echo(self, call: Call) -> Answer:
        self.settings().echo = _switch(call)
        return OK

    def quiet(self, call: Call) -> Answer:
        self.settings().quiet = _switch(call)
        return OK

    def verbose(self, call: Call) -> Answer:
        self.settings().verbose = _switch(call)
        return OK

    def reset(self, call: Call) -> Answer:
        _switch(call)
        self._engine.settings = Settings()
        return OK

    def cmee(self, call: Call) -> Answer:
        self.settings().cmee = call.integer(0, 0, high=2)
        return OK

    def read_cmee(self, _call: Call) -> Answer:
        return Reply(f"+CMEE: {self.settings().cmee}")

    def read_s(self, call: Call) -> Answer:
        number = int(call.command.name[1:])
        return Reply(f"{self.settings().s.get(number, _S_DEFAULTS[number]):03d}")

    def set_s(self, call: Call) -> Answer:
        number = int(call.command.name[1:])
        value = int(call.command.text or "0")
        if value > (127 if number in (3, 4, 5) else 255):
            return ERROR
        self.settings().s[number] = value
        return OK

    def list_commands(self, _call: Call) -> Answer:
        return Reply("\r\n".join(name for name in self._device.commands.names if name[0] in "+^$*#"))


def _switch(call: Call) -> bool:
    if call.command.text not in ("", "0", "1"):
        raise SyntaxFault(f"{call.command.name} takes 0 or 1")
    return call.command.text == "1"


def install(device: Device) -> None:
    """Register them."""
    basic, commands = _Basic(device), device.commands
    commands.add("E", execute=basic.echo)
    commands.add("Q", execute=basic.quiet)
    commands.add("V", execute=basic.verbose)
    commands.add("Z", execute=basic.reset)
    commands.add("&F", execute=basic.reset)
    for name in _ACCEPTED:
        commands.add(name, execute=OK)
    for number in _S_DEFAULTS:
        commands.add(f"S{number}", read=basic.read_s, set=basic.set_s)
    commands.add("+CMEE", read=basic.read_cmee, test=Reply("+CMEE: (0-2)"), set=basic.cmee)
    commands.add("+CLAC", execute=basic.list_commands)
    baud = f"+IPR: ({','.join(map(str, _BAUD))})"
    commands.add("+IPR", read=Reply("+IPR: 115200"), test=Reply(baud), set=_set_baud)
    commands.add("+IFC", read=Reply("+IFC: 0,0"), test=Reply("+IFC: (0-2),(0-2)"), set=OK)
    commands.add("+ICF", read=Reply("+ICF: 3,3"), test=Reply("+ICF: (1-6),(0-3)"), set=OK)


def _set_baud(call: Call) -> Answer:
    return OK if call.integer(0) in _BAUD else ERROR
