"""A terminal's uplink for tests: sessions of its own, one at a time, in place of the daemon."""

from __future__ import annotations

import time
from contextlib import ExitStack, closing
from typing import Final

from sim.outpost import Outpost
from sync.clock import Clock
from sync.config import load_config
from sync.identity import load_key
from sync.link import TcpLink
from sync.store import UplinkStore
from sync.tls import TlsLink, client_context
from sync.uplink import Uplink
from terminal.journal import JournalReader

CLOCK: Final = Clock(utc_s=lambda: int(time.time()), monotonic_s=time.monotonic)


class Uplinks:
    """The terminal's uplink, a session at a time; what has no receipt is sent again in the next."""

    def __init__(self, post: Outpost) -> None:
        self.folder = post.terminal_folder
        self.config = load_config(self.folder / "terminal.toml")
        self.key = load_key(self.folder / "terminal.key")
        self.store = UplinkStore.open_or_make(self.folder / "uplink.db")

    def send(self) -> None:
        """Bring what there is, as far as the server lives."""
        context = client_context(self.folder / "ca.pem")
        with ExitStack() as stack:
            tcp = stack.enter_context(closing(TcpLink(self.config.host, self.config.port)))
            link = stack.enter_context(closing(TlsLink(tcp, context, self.config.server_name, clock=CLOCK)))
            journal = stack.enter_context(closing(JournalReader.open(self.folder / "journal.db")))
            uplink = Uplink(link, store=self.store, journal=journal, key=self.key, clock=CLOCK, answer_s=5.0)
            uplink.open()
            while uplink.upload() is not None:
                continue
