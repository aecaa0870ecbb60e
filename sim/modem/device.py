"""A whole modem without its port's thread: engine, SIM, radio, restarts. Left out: the commands (features, stacks).

`Device(profile, sim, carrier, rng)` registers the features of every modem, and its profile's TCP stack by
`sim.modem.stacks.install_stack(device)`. For those:

* `device.engine`, `device.commands` - see `sim.modem.engine`;
* `device.profile`, `device.sim` (None: no card), `device.carrier`, `device.rng`, `device.timers`;
* `device.urc(line, data=b"")`, `device.after(delay_s, act)`;
* `device.registration()`: what +CREG would say; `device.is_registered`; `device.sim_state()`;
* `device.on_reset.append(act)`: called at every restart, before anything boots: forget what is volatile;
* `device.on_radio_off.append(act)`: the radio was turned off or the registration lost its cell by command;
* `device.pollables.append(bearer)`: something with `poll()`, `next_due_s()` and `sockets()`, which the modem's thread
  polls before each wait, and waits for.

What befalls it from outside, each to be called with `carrier.lock` held: `restart(after_s)`, `brown_out(off_s)`,
`power_off()`, `engine.hang()`, `engine.write(noise)`. `SimulatedModem` has the same for other threads.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from random import Random
from typing import Protocol

from sim.carrier.carrier import Carrier, Registration
from sim.modem.engine import Engine, Faults
from sim.modem.errors import Cme
from sim.modem.features import basic, identity, messages, network, security, services
from sim.modem.profile import Profile
from sim.modem.simcard import SimCard, SimState, Store
from sim.modem.stacks import install_stack
from sim.timers import Timer

_WATCH_S = 0.5  # how often it looks at the cell


class Pollable(Protocol):
    """Something that the modem's thread keeps going: a data bearer."""

    def poll(self) -> None:
        """Let happen what is due."""

    def next_due_s(self) -> float | None:
        """When there is something to do next on the carrier's clock, if nothing comes before."""

    def sockets(self) -> list[socket.socket]:
        """What to wait for."""


class Device:
    """One modem. It is off until `power_on`."""

    def __init__(
        self,
        profile: Profile,
        sim: SimCard | None,
        carrier: Carrier,
        rng: Random,
        *,
        faults: Faults | None = None,
    ) -> None:
        self.profile = profile
        self.sim = sim
        self.carrier = carrier
        self.rng = rng
        self.timers = carrier.timers
        self.engine = Engine(carrier.timers, faults=faults)
        self.commands = self.engine.commands
        self.urc = self.engine.urc
        self.after: Callable[[float, Callable[[], None]], Timer] = self.engine.after
        self.me_store = Store(profile.me_messages_max, first=0)
        self.on_reset: list[Callable[[], None]] = []
        self.on_radio_off: list[Callable[[], None]] = []
        self.on_registration: list[Callable[[], None]] = []
        self.pollables: list[Pollable] = []
        self.powered = False
        self.functionality = 1  # +CFUN
        self.deregistered = False  # +COPS=2
        self.charset = "IRA"  # +CSCS
        self._covered_since_s: float | None = None
        self._last_registration = Registration.NONE
        for feature in (basic, identity, security, services, network, messages):
            feature.install(self)
        install_stack(self)

    def power_on(self) -> None:
        """Boot: what was volatile is gone, and the boot lines follow in time."""
        self._reset()
        self.powered = True
        for delay_s, line in self.profile.boot_urcs:
            self._say_later(delay_s, self.say_sim_state if line == "+CPIN" else line)
        self._watch_cell()

    def power_off(self) -> None:
        """Off, and silent."""
        self._reset()
        self.powered = False
        self.engine.hang()

    def restart(self, off_s: float = 0.3) -> None:
        """A soft reset: dead for `off_s`, then it boots. The port stays."""
        self.power_off()
        self.after(off_s, self.power_on)

    def sim_state(self) -> SimState:
        """What +CPIN? would say."""
        return SimState.ABSENT if self.sim is None else self.sim.state

    def registration(self) -> Registration:
        """What +CREG would say now."""
        if not self.powered or self.functionality != 1 or self.deregistered or self.sim_state() is not SimState.READY:
            return Registration.NONE
        if self._covered_since_s is None or self.timers.now_s() - self._covered_since_s < self.carrier.register_s:
            return Registration.SEARCHING
        return self.carrier.accepts

    @property
    def is_registered(self) -> bool:
        """Whether calls, messages and data can be had."""
        return self.registration() in (Registration.HOME, Registration.ROAMING)

    def say_sim_state(self) -> None:
        """What a modem says of its SIM at boot, and when the PIN was right."""
        state = self.sim_state()
        self.urc("+CPIN: NOT INSERTED" if state is SimState.ABSENT else f"+CPIN: {state.value}")
        if state is SimState.READY:
            for delay_s, line in self.profile.ready_urcs:
                self._say_later(delay_s, line)

    def ready_sim(self) -> SimCard | Cme:
        """The SIM, if it wants neither PIN nor PUK; else what to answer."""
        state = self.sim_state()
        if self.sim is None or state is SimState.ABSENT:
            return Cme.SIM_NOT_INSERTED
        if state is SimState.READY:
            return self.sim
        return {SimState.PIN: Cme.SIM_PIN_REQUIRED, SimState.PUK: Cme.SIM_PUK_REQUIRED}.get(state, Cme.SIM_FAILURE)

    def in_charset(self, text: str) -> str:
        """A string as +CSCS wants it said."""
        if self.charset == "UCS2":
            return text.encode("utf-16-be").hex().upper()
        return text.encode("latin-1", "replace").hex().upper() if self.charset == "HEX" else text

    def from_charset(self, text: str) -> str:
        """A string as +CSCS says it is given; `ValueError` if it is not."""
        if self.charset == "UCS2":
            return bytes.fromhex(text).decode("utf-16-be")
        return bytes.fromhex(text).decode("latin-1") if self.charset == "HEX" else text

    def set_functionality(self, value: int) -> None:
        """+CFUN=0, 1 or 4."""
        if value == self.functionality:
            return
        self.functionality = value
        self._covered_since_s = None
        if value != 1:
            for act in self.on_radio_off:
                act()
        self.look_at_cell()

    def set_deregistered(self, value: bool) -> None:
        """+COPS=2 and back."""
        if value and not self.deregistered:
            for act in self.on_radio_off:
                act()
        if value != self.deregistered:
            self._covered_since_s = None
        self.deregistered = value
        self.look_at_cell()

    def look_at_cell(self) -> None:
        """Notice what has changed at the radio, and say so."""
        up = self.carrier.cell.is_up() and self.functionality == 1
        if not up:
            self._covered_since_s = None
        elif self._covered_since_s is None:
            self._covered_since_s = self.timers.now_s()
            self.after(self.carrier.register_s, self.look_at_cell)
        now = self.registration()
        if now is not self._last_registration:
            self._last_registration = now
            for act in self.on_registration:
                act()

    def poll(self) -> None:
        """Everything that is due; the modem's thread calls it before each wait."""
        self.timers.run_due()
        for pollable in list(self.pollables):
            pollable.poll()

    def next_due_s(self) -> float | None:
        """When `poll` has something to do next."""
        dues = [pollable.next_due_s() for pollable in self.pollables]
        return min((due for due in [self.timers.due_s(), *dues] if due is not None), default=None)

    def _watch_cell(self) -> None:
        self.look_at_cell()
        self.after(_WATCH_S, self._watch_cell)

    def _reset(self) -> None:
        self.engine.restart()
        self.functionality = 1
        self.deregistered = False
        self._covered_since_s = None
        self._last_registration = Registration.NONE
        if self.sim is not None:
            self.sim.verified = False
        for act in self.on_reset:
            act()

    def _say_later(self, delay_s: float, what: str | Callable[[], None]) -> None:
        self.after(delay_s, what if callable(what) else lambda: self.urc(what))
