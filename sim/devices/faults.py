"""What a simulated device says to what it does not know. Pure."""

from __future__ import annotations

from wire.errors import CampusError


class UnknownCommand(CampusError):
    """The device was told something that it does not know; the text has the bytes."""

    code = "unknown-command"
