"""Clock, battery, character set, USSD, and voice calls as far as they are never answered. Left out: phone books."""

from __future__ import annotations

import datetime as dt
import re
from typing import TYPE_CHECKING, Final

from sim.modem.engine import ERROR, OK, Answer, Call, Reply
from sim.modem.engine import Final as Result
from sim.modem.errors import Cme
from sim.modem.syntax import SyntaxFault

if TYPE_CHECKING:
    from sim.modem.device import Device

_CHARSETS: Final = ("GSM", "IRA", "UCS2", "HEX")
_USSD_S: Final = 1.0
_USSD_DCS: Final = 15
_EPOCH_BEFORE_NITZ: Final = dt.datetime(1980, 1, 6, tzinfo=dt.UTC).timestamp()
_CLOCK: Final = re.compile(r"(\d\d)/(\d\d)/(\d\d),(\d\d):(\d\d):(\d\d)([+-]\d\d)?", re.ASCII)
_SWITCHES: Final = ("+CLIP", "+CRC", "+CVHU", "+COLP", "+CCWA", "+CTZR", "+CSSN", "+CMOD")


class _Services:
    def __init__(self, device: Device) -> None:
        self._device = device
        self._switches = dict.fromkeys(_SWITCHES, 0)
        self._set_by_hand: float | None = None  # what is added to the monotonic clock
        self._follows_network = True
        self._seen_network = False
        self._forget()
        device.on_reset.append(self._forget)
        device.on_registration.append(self._registered)

    def _forget(self) -> None:
        self._switches = dict.fromkeys(_SWITCHES, 0)
        self._device.charset = "IRA"
        self._ussd = 0
        self._set_by_hand = None
        self._seen_network = False

    def add_switches(self) -> None:
        """Settings that are remembered, and change nothing."""
        for name in _SWITCHES:

            def read(_call: Call, name: str = name) -> Answer:
                return Reply(f"{name}: {self._switches[name]}")

            def change(call: Call, name: str = name) -> Answer:
                self._switches[name] = call.integer(0, high=3)
                return OK

            self._device.commands.add(name, read=read, test=Reply(f"{name}: (0,1)"), set=change)

    # --- character set

    def read_charset(self, _call: Call) -> Answer:
        return Reply(f'+CSCS: "{self._device.charset}"')

    def set_charset(self, call: Call) -> Answer:
        if call.string(0) not in _CHARSETS:
            return ERROR
        self._device.charset = call.string(0)
        return OK

    # --- clock

    def _registered(self) -> None:
        if self._device.is_registered and self._follows_network:
            self._seen_network, self._set_by_hand = True, None

    def read_clock(self, _call: Call) -> Answer:
        carrier, zone = self._device.carrier, 0
        if self._set_by_hand is not None:
            now_s = self._set_by_hand + carrier.clock()
        elif self._seen_network:
            now_s, zone = carrier.utc_s(), carrier.zone_quarters
        else:
            now_s = _EPOCH_BEFORE_NITZ + carrier.clock()
        local = dt.datetime.fromtimestamp(now_s + 900 * zone, dt.UTC)
        return Reply(f'+CCLK: "{local:%y/%m/%d,%H:%M:%S}{zone:+03d}"')

    def set_clock(self, call: Call) -> Answer:
        found = _CLOCK.fullmatch(call.string(0))
        if not found:
            return ERROR
        year, month, day, hour, minute, second = (int(part) for part in found.groups()[:6])
        try:
            at = dt.datetime(2000 + year, month, day, hour, minute, second, tzinfo=dt.UTC)
        except ValueError:
            return ERROR
        self._set_by_hand = at.timestamp() - self._device.carrier.clock()
        return OK

    def read_follows(self, call: Call) -> Answer:
        return Reply(f"{call.command.name}: {int(self._follows_network)}")

    def set_follows(self, call: Call) -> Answer:
        self._follows_network = call.integer(0, high=3) > 0
        return OK

    # --- USSD

    def read_ussd(self, _call: Call) -> Answer:
        return Reply(f"+CUSD: {self._ussd}")

    def ussd(self, call: Call) -> Answer:
        self._ussd = call.integer(0, 0, high=2)
        if len(call.arguments) < 2:
            return OK
        if not self._device.is_registered:
            return Reply(final=Cme.NO_NETWORK_SERVICE)
        try:
            code = self._device.from_charset(call.string(1))
        except ValueError as error:
            raise SyntaxFault("not in the character set") from error
        self._device.after(_USSD_S, lambda: self._ussd_answered(code))
        return OK

    def _ussd_answered(self, code: str) -> None:
        answer = self._device.carrier.ussd(code)
        if answer is None:
            self._device.urc("+CUSD: 4")
        else:
            self._device.urc(f'+CUSD: 0,"{self._device.in_charset(answer)}",{_USSD_DCS}')


def install(device: Device) -> None:
    """Register them."""
    services, commands, profile = _Services(device), device.commands, device.profile
    services.add_switches()
    charsets = ",".join(f'"{name}"' for name in _CHARSETS)
    commands.add("+CSCS", read=services.read_charset, test=Reply(f"+CSCS: ({charsets})"), set=services.set_charset)
    commands.add("+CCLK", read=services.read_clock, set=services.set_clock)
    for name in ("+CTZU", *(["+CLTS"] if not profile.lte else [])):
        commands.add(name, read=services.read_follows, test=Reply(f"{name}: (0,1)"), set=services.set_follows)
    commands.add("+CUSD", read=services.read_ussd, test=Reply("+CUSD: (0-2)"), set=services.ussd)
    volts = "+CBC: 3.950V" if profile.name == "simcom-sim7600" else "+CBC: 0,85,3950"
    commands.add("+CBC", execute=Reply(volts))
    commands.add("+CPAS", execute=Reply("+CPAS: 0"))
    commands.add("+CHUP", execute=OK)
    commands.add("D", execute=Reply(final=Result.NO_CARRIER))
