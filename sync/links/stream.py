"""Routes that are a byte stream: TLS and a session over the host's own network, or over the modem's connections."""

from __future__ import annotations

from collections.abc import Callable

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sync.clock import Clock
from sync.link import Link
from sync.links.modemport import ModemPort
from sync.links.route import Carried
from sync.outbox import JournalCoder
from sync.policy import Repair
from sync.store import UplinkStore
from sync.uplink import Uplink
from terminal.journal import JournalReader
from wire.downlink import Question


class StreamRoute:
    """A session over whatever `connect` connects; what is under it is repaired by `port`, if that is ours to repair."""

    def __init__(
        self,
        connect: Callable[[], Link],
        *,
        store: UplinkStore,
        journal: JournalReader,
        coder: JournalCoder,
        key: Ed25519PrivateKey,
        operator_key: bytes | None = None,
        answer: Callable[[Question], str] | None = None,
        clock: Clock,
        port: ModemPort | None = None,
    ) -> None:
        self._connect = connect
        self._store = store
        self._journal = journal
        self._coder = coder
        self._key = key
        self._operator_key = operator_key
        self._answer = answer
        self._clock = clock
        self._port = port

    def open(self) -> tuple[Uplink, Carried | None]:
        """See `Route`."""
        link = self._connect()
        try:
            uplink = Uplink(
                link,
                store=self._store,
                journal=self._journal,
                key=self._key,
                operator_key=self._operator_key,
                answer=self._answer,
                coder=self._coder,
                clock=self._clock,
            )
            return uplink, uplink.open()
        except BaseException:
            link.close()
            raise

    def repair(self, repair: Repair) -> None:
        """See `Route`."""
        assert self._port is not None, "the host's network is repaired by the host"
        self._port.repair(repair)
