"""The commands that every make of modem has, by theme; `install` registers them. Left out: TCP."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sim.modem.features import basic, identity, messages, network, security, services

if TYPE_CHECKING:
    from sim.modem.device import Device


def install(device: Device) -> None:
    """Register them all."""
    for feature in (basic, identity, security, services, network, messages):
        feature.install(device)
