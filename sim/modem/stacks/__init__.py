"""The vendors' TCP stacks, one module each; a modem has the one that its profile names."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from sim.modem.stacks.links import Stack
from sim.modem.stacks.quectel import QuectelStack
from sim.modem.stacks.sim800 import Sim800Stack
from sim.modem.stacks.sim7600 import Sim7600Stack

if TYPE_CHECKING:
    from sim.modem.device import Device

_STACKS: Final[dict[str, Callable[[Device], Stack]]] = {
    "quectel-ec25": QuectelStack,
    "simcom-sim7600": Sim7600Stack,
    "simcom-sim800": Sim800Stack,
}


def install_stack(device: Device) -> None:
    """Register the commands of the profile's stack."""
    _STACKS[device.profile.name](device)
