"""PIN and PUK: +CPIN, +CLCK, +CPWD, and the makes' ways to ask how many tries are left. Left out: PIN2, other locks."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from sim.modem.engine import OK, Answer, Call, Reply
from sim.modem.errors import Cme
from sim.modem.simcard import SimCard, SimState

if TYPE_CHECKING:
    from sim.modem.device import Device

_PIN: Final = re.compile(r"\d{4,8}", re.ASCII)
_READY_AFTER_S: Final = 0.1  # from the right PIN to the SIM's unsolicited lines
_ENABLED, _DISABLED, _QUERY = 1, 0, 2
_PIN2_TRIES: Final = "3,10"


class _Security:
    def __init__(self, device: Device) -> None:
        self._device = device

    def read_pin(self, _call: Call) -> Answer:
        state = self._device.sim_state()
        if state is SimState.ABSENT:
            return Reply(final=Cme.SIM_NOT_INSERTED)
        if state is SimState.DEAD:
            return Reply(final=Cme.SIM_FAILURE)
        return Reply(f"+CPIN: {state.value}")

    def enter_pin(self, call: Call) -> Answer:
        sim, state = self._device.sim, self._device.sim_state()
        if sim is None:
            return Reply(final=Cme.SIM_NOT_INSERTED)
        given, new = call.string(0), call.string(1, "")
        if state is SimState.DEAD:
            return Reply(final=Cme.SIM_FAILURE)
        if state is SimState.READY:
            return Reply(final=Cme.NOT_ALLOWED)
        if state is SimState.PUK:
            if not _PIN.fullmatch(new):
                return Reply(final=Cme.SIM_PUK_REQUIRED)
            return self._entered(sim.unblock(given, new))
        if not _PIN.fullmatch(given):
            return Reply(final=Cme.INCORRECT_PASSWORD)  # it never gets as far as the card, and costs nothing
        return self._entered(sim.verify(given))

    def lock(self, call: Call) -> Answer:
        """+CLCK="SC": ask whether a PIN is wanted at power-on, or change that."""
        sim = self._device.ready_sim()
        if not isinstance(sim, SimCard):
            return Reply(final=sim)
        if call.string(0) != "SC":
            return Reply(final=Cme.NOT_SUPPORTED)
        mode = call.integer(1, high=2)
        if mode == _QUERY:
            return Reply(f"+CLCK: {int(sim.pin_enabled)}")
        if not sim.verify(call.string(2)):
            return Reply(final=self._after_wrong(sim))
        sim.pin_enabled = mode == _ENABLED
        return OK

    def change_pin(self, call: Call) -> Answer:
        sim = self._device.ready_sim()
        if not isinstance(sim, SimCard):
            return Reply(final=sim)
        if call.string(0) != "SC" or not sim.pin_enabled:
            return Reply(final=Cme.NOT_ALLOWED)
        if not _PIN.fullmatch(call.string(2)):
            return Reply(final=Cme.INCORRECT_PARAMETERS)
        if not sim.verify(call.string(1)):
            return Reply(final=self._after_wrong(sim))
        sim.pin = call.string(2)
        return OK

    def tries(self, _call: Call) -> Answer:
        sim, name = self._device.sim, self._device.profile.tries_command
        if sim is None:
            return Reply(final=Cme.SIM_NOT_INSERTED)
        if name == "+QPINC":
            return Reply(f'+QPINC: "SC",{sim.pin_tries},{sim.puk_tries}\r\n+QPINC: "P2",{_PIN2_TRIES}')
        return Reply(f"+SPIC: {sim.pin_tries},{sim.puk_tries},{_PIN2_TRIES}")

    def standard_tries(self, _call: Call) -> Answer:
        sim = self._device.sim
        if sim is None:
            return Reply(final=Cme.SIM_NOT_INSERTED)
        return Reply(f"+CPINR: SIM PIN,{sim.pin_tries},3\r\n+CPINR: SIM PUK,{sim.puk_tries},10")

    def _entered(self, right: bool) -> Answer:
        sim = self._device.sim
        assert sim is not None, "a PIN was entered into it"
        if not right:
            return Reply(final=self._after_wrong(sim))
        self._device.after(_READY_AFTER_S, self._say_ready)
        return OK

    def _say_ready(self) -> None:
        self._device.say_sim_state()
        self._device.look_at_cell()

    def _after_wrong(self, sim: SimCard) -> Cme:
        if sim.state is SimState.DEAD:
            return Cme.SIM_FAILURE
        return Cme.SIM_PUK_REQUIRED if sim.state is SimState.PUK else Cme.INCORRECT_PASSWORD


def install(device: Device) -> None:
    """Register them."""
    security, commands, profile = _Security(device), device.commands, device.profile
    commands.add("+CPIN", read=security.read_pin, set=security.enter_pin)
    commands.add("+CLCK", test=Reply('+CLCK: ("SC")'), set=security.lock)
    commands.add("+CPWD", test=Reply('+CPWD: ("SC",8)'), set=security.change_pin)
    commands.add(profile.tries_command, execute=security.tries, read=security.tries, set=security.tries)
    if profile.lte:
        commands.add("+CPINR", execute=security.standard_tries, set=security.standard_tries)
