"""Puts the configured ways to the server together, around one modem if any of them needs it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_fixed

from drivers.modem import Modem
from drivers.modemfaults import PortMissing
from drivers.serialport import find_port
from sync.clock import Clock
from sync.config import UplinkConfig
from sync.identity import load_operator_key, load_sms_key
from sync.link import Link, LinkDown, TcpLink
from sync.linkconfig import LinksConfig
from sync.links.modemport import ModemDevice, ModemPort
from sync.links.route import Route
from sync.links.sms import SmsRoute
from sync.links.stream import StreamRoute
from sync.outbox import JournalCoder
from sync.policy import LinkKind
from sync.store import UplinkStore
from sync.tls import ClientContext, TlsLink
from terminal.journal import JournalReader
from wire.downlink import Question

RETURN_S: Final = 20.0  # what a modem that restarts needs to come back on the bus
LOOK_S: Final = 1.0


class Ways:
    """Every configured way to the server, and the modem that some of them share."""

    def __init__(
        self,
        config: UplinkConfig,
        links: LinksConfig,
        *,
        folder: Path,
        context: ClientContext,
        store: UplinkStore,
        key: Ed25519PrivateKey,
        clock: Clock,
        answer: Callable[[Question], str],
    ) -> None:
        self._config = config
        self._links = links
        self._folder = folder
        self._context = context
        self._store = store
        self._key = key
        self._clock = clock
        self._answer = answer
        self._sms: SmsRoute | None = None
        self.port = ModemPort(partial(_find_modem, links), links.access, store=store) if links.needs_modem else None

    def routes(self, journal: JournalReader) -> Mapping[LinkKind, Route]:
        """A route for each link, cheapest first."""
        coder = JournalCoder(journal)
        return {link: self._route(link, journal, coder) for link in self._links.links}

    def overhear(self) -> None:
        """Take in messages that came; see `SmsRoute`."""
        if self._sms is not None:
            self._sms.overhear()

    def seen(self) -> Mapping[str, object]:
        """How the modem stands, as far as it answers."""
        try:
            return {} if self.port is None else {"modem": self.port.seen()}
        except LinkDown as error:
            return {"modem": {"fault": str(error)}}

    def close(self) -> None:
        """Let the modem go."""
        if self.port is not None:
            self.port.close()

    def _route(self, link: LinkKind, journal: JournalReader, coder: JournalCoder) -> Route:
        if link is LinkKind.SMS:
            assert self.port is not None, "a message needs the modem"
            self._sms = SmsRoute(
                self.port,
                number=self._links.sms_number,
                sms_key=load_sms_key(self._folder / "sms.key"),
                limits=self._links.sms_limits,
                store=self._store,
                journal=journal,
                coder=coder,
                clock=self._clock,
            )
            return self._sms
        return StreamRoute(
            partial(self._connect, self._by_host if link is LinkKind.IP else self._by_modem),
            store=self._store,
            journal=journal,
            coder=coder,
            key=self._key,
            operator_key=self._operator_key(),
            answer=self._answer,
            clock=self._clock,
            port=None if link is LinkKind.IP else self.port,
        )

    def _operator_key(self) -> bytes | None:
        """None: this terminal was enrolled before there was one, and takes no configuration."""
        path = self._folder / "operator.pub"
        return load_operator_key(path) if path.exists() else None

    def _connect(self, connect: Callable[[], Link]) -> Link:
        link = connect()
        try:
            return TlsLink(link, self._context, self._config.server_name, clock=self._clock, sessions=self._store)
        except BaseException:
            link.close()
            raise

    def _by_host(self) -> Link:
        return TcpLink(self._config.host, self._config.port)

    def _by_modem(self) -> Link:
        assert self.port is not None, "this way leads over the modem"
        return self.port.connect(self._config.host, self._config.port)


def _find_modem(links: LinksConfig) -> ModemDevice:
    """Find the port by what the device is, and open it; one that has just restarted is waited for."""
    retrying = Retrying(
        retry=retry_if_exception_type(PortMissing),
        wait=wait_fixed(LOOK_S),  # the bus tells nobody when a device is back
        stop=stop_after_delay(RETURN_S),
        reraise=True,
    )
    return retrying(lambda: Modem.open(find_port(links.port), stack=links.stack))
