"""The vendors' TCP stacks, one module each; a modem has the one that its profile names."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sim.modem.device import Device


def install_stack(device: Device) -> None:
    """Register the commands of the profile's stack."""
