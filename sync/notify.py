"""Tells systemd that the daemon is ready and alive; without systemd it says nothing to nobody."""

from __future__ import annotations

import contextlib
import os
import socket


def notify(state: str) -> None:
    """Send one line of sd_notify(3) to the socket that the environment names; a manager that is gone is no fault."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.sendto(state.encode(), "\0" + address[1:] if address.startswith("@") else address)
