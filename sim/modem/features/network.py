"""Radio and registration: +CFUN, resets, +CSQ, +COPS, +CREG, +CGREG, +CEREG, +CGATT. Left out: data itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sim.carrier.carrier import Registration
from sim.modem.engine import LATER, OK, Answer, Call, Reply
from sim.modem.errors import Cme

if TYPE_CHECKING:
    from sim.modem.device import Device

_SCAN_S: Final = 3.0  # AT+COPS=?; half a minute and more in the field
_OFF_S: Final = 3.0  # from a power-down to the next boot: boards hold the power key down for ever
_RESTART_S: Final = 0.05  # the OK is out by then
_GSM, _EUTRAN = 0, 7
_LAC: Final = "1A2B"
_CELL: Final = {_GSM: "00C3", _EUTRAN: "0A1B2C03"}
_AUTOMATIC, _MANUAL, _DEREGISTER, _FORMAT_ONLY, _MANUAL_THEN_AUTOMATIC = range(5)


class _Network:
    def __init__(self, device: Device) -> None:
        self._device = device
        self._reports: dict[str, int] = {}
        self._forget()
        device.on_reset.append(self._forget)
        device.on_registration.append(self._report)

    def _forget(self) -> None:
        self._reports = dict.fromkeys(self._reports, 0)
        self._format = 0
        self._mode = _AUTOMATIC

    # --- the radio

    def read_functionality(self, _call: Call) -> Answer:
        return Reply(f"+CFUN: {self._device.functionality}")

    def set_functionality(self, call: Call) -> Answer:
        value, reset = call.integer(0), call.integer(1, 0, high=1)
        if value not in (0, 1, 4):
            return Reply(final=Cme.INCORRECT_PARAMETERS)
        if reset:
            return self.reset(call)
        self._device.set_functionality(value)
        return OK

    def reset(self, _call: Call) -> Answer:
        self._device.after(_RESTART_S, self._device.restart)
        return OK

    def power_down(self, _call: Call) -> Answer:
        if self._device.profile.off_urc is not None:
            self._device.urc(self._device.profile.off_urc)
        self._device.after(_RESTART_S, lambda: self._device.restart(_OFF_S))
        return OK

    def signal(self, _call: Call) -> Answer:
        heard = self._device.functionality == 1
        return Reply(f"+CSQ: {self._device.carrier.signal() if heard else 99},99")

    # --- registration

    def add_report(self, name: str) -> None:
        """+CREG and its like: 0 silent, 1 with the state, 2 with the cell too."""
        self._reports[name] = 0

        def read(_call: Call) -> Answer:
            n = self._reports[name]
            return Reply(f"{name}: {n},{self._state(n)}")

        def change(call: Call) -> Answer:
            self._reports[name] = call.integer(0, high=2)
            return OK

        self._device.commands.add(name, read=read, test=Reply(f"{name}: (0-2)"), set=change)

    def _state(self, n: int) -> str:
        state = self._device.registration()
        text = str(state.value)
        if n == 2 and self._device.is_registered:
            text += f',"{_LAC}","{_CELL[self._technology]}",{self._technology}'
        return text

    @property
    def _technology(self) -> int:
        return _EUTRAN if self._device.profile.lte else _GSM

    def _report(self) -> None:
        for name, n in self._reports.items():
            if n:
                self._device.urc(f"{name}: {self._state(n)}")
        if self._device.sim is not None and self._device.is_registered:
            self._device.carrier.smsc.back(self._device.sim.number)

    # --- the operator

    def read_operator(self, _call: Call) -> Answer:
        if not self._device.is_registered:
            return Reply(f"+COPS: {self._mode}")
        return Reply(f'+COPS: {self._mode},{self._format},"{self._name(self._format)}",{self._technology}')

    def set_operator(self, call: Call) -> Answer:
        mode = call.integer(0, high=4)
        if len(call.arguments) > 1:
            self._format = call.integer(1, self._format, high=2)
        if mode == _FORMAT_ONLY:
            return OK
        if mode in (_MANUAL, _MANUAL_THEN_AUTOMATIC) and call.string(2) != self._name(self._format):
            return Reply(final=Cme.NO_NETWORK_SERVICE)
        self._mode = mode
        self._device.set_deregistered(mode == _DEREGISTER)
        return OK

    def scan(self, call: Call) -> Answer:
        if self._device.functionality != 1:
            return Reply(final=Cme.NO_NETWORK_SERVICE)
        self._device.after(_SCAN_S, lambda: call.answer(Reply(self._operators())))
        return LATER

    def _operators(self) -> str:
        carrier, modes = self._device.carrier, "(0-4),(0-2)"
        if not carrier.cell.is_up():
            return f"+COPS: ,,{modes}"
        status = {Registration.DENIED: 3}.get(carrier.accepts, 2 if self._device.is_registered else 1)
        names = ",".join(f'"{self._name(form)}"' for form in range(3))
        return f"+COPS: ({status},{names},{self._technology}),,{modes}"

    def _name(self, form: int) -> str:
        carrier = self._device.carrier
        if form == 2:
            return carrier.plmn
        return self._device.in_charset(carrier.short_name if form else carrier.name)

    # --- packet data, as far as it is the same everywhere

    def read_attached(self, _call: Call) -> Answer:
        return Reply(f"+CGATT: {int(self._device.is_registered)}")

    def attach(self, call: Call) -> Answer:
        wanted = call.integer(0, high=1)
        if wanted and not self._device.is_registered:
            return Reply(final=Cme.NO_NETWORK_SERVICE)
        return OK


def install(device: Device) -> None:
    """Register them."""
    network, commands, profile = _Network(device), device.commands, device.profile
    commands.add(
        "+CFUN", read=network.read_functionality, test=Reply("+CFUN: (0,1,4),(0,1)"), set=network.set_functionality
    )
    if profile.maker == "Quectel":
        commands.add("+QPOWD", execute=network.power_down, set=network.power_down)
    elif profile.lte:
        commands.add("+CRESET", execute=network.reset)
        commands.add("+CPOF", execute=network.power_down)
    else:
        commands.add("+CPOWD", set=network.power_down)
    commands.add("+CSQ", execute=network.signal, test=Reply("+CSQ: (0-31,99),(99)"))
    for name in ("+CREG", "+CGREG", *(["+CEREG"] if profile.lte else [])):
        network.add_report(name)
    commands.add("+COPS", read=network.read_operator, test=network.scan, set=network.set_operator)
    commands.add("+CGATT", read=network.read_attached, test=Reply("+CGATT: (0,1)"), set=network.attach)
