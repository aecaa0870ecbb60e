"""Who the modem and its SIM are: +CGMI, +CGMM, +CGMR, +CGSN, ATI, +CIMI, ICCID, +CRSM, +CNUM. Left out: phone books."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sim.modem.engine import ERROR, Answer, Call, Reply
from sim.modem.errors import Cme
from sim.modem.simcard import SimCard, SimState

if TYPE_CHECKING:
    from sim.modem.device import Device

_READ_BINARY: Final = 176
_STATUS: Final = 242
_EF_ICCID: Final = 0x2FE2
_EF_IMSI: Final = 0x6F07
_DONE: Final = "144,0"
_FILE_NOT_FOUND: Final = "106,130"
_INS_NOT_SUPPORTED: Final = "109,0"
_NOT_ALLOWED: Final = "105,130"  # 69 82: the PIN has not been given


class _Identity:
    def __init__(self, device: Device) -> None:
        self._device = device

    def imsi(self, _call: Call) -> Answer:
        sim = self._device.ready_sim()
        return Reply(sim.imsi) if isinstance(sim, SimCard) else Reply(final=sim)

    def iccid(self, _call: Call) -> Answer:
        sim, profile = self._device.sim, self._device.profile
        if sim is None:
            return Reply(final=Cme.SIM_NOT_INSERTED)
        return Reply(f"{profile.iccid_command}: {sim.iccid}" if profile.iccid_prefix else sim.iccid)

    def number(self, _call: Call) -> Answer:
        sim = self._device.ready_sim()
        if not isinstance(sim, SimCard):
            return Reply(final=sim)
        kind = 145 if sim.number.startswith("+") else 129
        return Reply(f'+CNUM: ,"{sim.number}",{kind}') if sim.knows_number else Reply()

    def restricted_access(self, call: Call) -> Answer:
        """+CRSM: READ BINARY of the ICCID and the IMSI, and STATUS."""
        sim = self._device.sim
        if sim is None:
            return Reply(final=Cme.SIM_NOT_INSERTED)
        instruction, file = call.integer(0, high=255), call.integer(1, 0, high=0xFFFF)
        offset, length = call.integer(2, 0, high=255) << 8 | call.integer(3, 0, high=255), call.integer(4, 0, high=255)
        if instruction == _STATUS:
            return Reply(f"+CRSM: {_DONE}")
        if instruction != _READ_BINARY:
            return Reply(f"+CRSM: {_INS_NOT_SUPPORTED}")
        if file == _EF_IMSI and sim.state is not SimState.READY:
            return Reply(f"+CRSM: {_NOT_ALLOWED}")
        content = {_EF_ICCID: _swapped(sim.iccid), _EF_IMSI: b"\x08" + _swapped(f"9{sim.imsi}")}.get(file)
        if content is None:
            return Reply(f"+CRSM: {_FILE_NOT_FOUND}")
        piece = content[offset : offset + (length or len(content))]
        return Reply(f'+CRSM: {_DONE},"{piece.hex().upper()}"')


def _swapped(digits: str) -> bytes:
    digits += "f" * (len(digits) % 2)
    return bytes.fromhex("".join(second + first for first, second in zip(digits[::2], digits[1::2], strict=True)))


def install(device: Device) -> None:
    """Register them."""
    identity, commands, profile = _Identity(device), device.commands, device.profile
    for name, text in (("MI", profile.maker), ("MM", profile.model), ("MR", profile.revision), ("SN", profile.imei)):
        commands.add(f"+CG{name}", execute=Reply(text))
        commands.add(f"+G{name}", execute=Reply(text))
    commands.add("I", execute=lambda call: ERROR if call.command.text not in ("", "0") else Reply(*profile.information))
    commands.add("+GCAP", execute=Reply("+GCAP: +CGSM"))
    commands.add("+CIMI", execute=identity.imsi)
    commands.add(profile.iccid_command, execute=identity.iccid)
    commands.add("+CNUM", execute=identity.number)
    commands.add("+CRSM", set=identity.restricted_access)
