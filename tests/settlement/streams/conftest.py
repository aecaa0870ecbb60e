"""A gateway on a real socket, and a terminal's end of a connection to it."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

import pytest

from settlement.authority import SERVER_NAME, load_ticket_public_key, server_context
from settlement.onecard.keys import FileKeyStore
from settlement.settings import Home, StreamSettings
from settlement.store.database import open_reader, open_writer
from settlement.streams.desk import Desk, WriterThread
from settlement.streams.door import Door
from settlement.streams.gateway import Gateway
from wire.downlink import NO_MARK
from wire.hotlist import EMPTY_HOTLIST
from wire.ids import Stream
from wire.messages import Challenge, Enrol, Identify, Message, Upload
from wire.session import Role, Session

if TYPE_CHECKING:
    from tests.settlement.conftest import FakeTill, StreamDriver

NOW = 1_764_000_000
DEADLINE_S = 10
FAST = StreamSettings(port=0, idle_timeout_s=5.0)


class Client:
    """A terminal's end of one connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.session = Session(Role.CLIENT)
        self.waiting: list[Message] = []

    async def hear(self) -> Message | None:
        """The next message, or None when the server closed."""
        while not self.waiting:
            async with asyncio.timeout(DEADLINE_S):
                data = await self.reader.read(65_536)
            if not data:
                return None
            self.waiting += self.session.receive(data)
        return self.waiting.pop(0)

    async def challenge(self) -> Challenge:
        message = await self.hear()
        assert isinstance(message, Challenge)
        return message

    def say(self, *messages: Message) -> None:
        self.writer.write(b"".join(self.session.send(message) for message in messages))

    async def identify(
        self,
        till: FakeTill,
        *batches: Upload,
        hotlist_mark: bytes = EMPTY_HOTLIST.mark,
        configuration_mark: bytes = NO_MARK,
    ) -> Message | None:
        challenge = await self.challenge()
        identify = Identify(
            terminal=till.terminal,
            epoch=till.epoch,
            head_seq=len(till.records),
            total_fen=till.total_fen,
            hotlist_mark=hotlist_mark,
            configuration_mark=configuration_mark,
        )
        self.say(identify.signed(till.key, challenge.nonce), *batches)
        return await self.hear()

    async def enrol(self, till: FakeTill, ticket: bytes) -> Message | None:
        challenge = await self.challenge()
        self.say(Enrol(public_key=till.public_key, ticket=ticket).signed(till.key, challenge.nonce))
        return await self.hear()


class Port:
    """A gateway that is serving."""

    def __init__(self, gateway: Gateway, home: Home, port: int) -> None:
        self.gateway = gateway
        self.home = home
        self.port = port

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[Client]:
        context = ssl.create_default_context(cafile=str(self.home.authority / "ca.pem"))
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, ssl=context, server_hostname=SERVER_NAME)
        try:
            yield Client(reader, writer)
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    async def taps(self) -> int:
        return await asyncio.to_thread(self._taps)

    def _taps(self) -> int:
        with open_reader(self.home.place("canteen"), "canteen") as db:
            return db.number("SELECT count(*) FROM tap")


Scenario = Callable[[Port], Coroutine[None, None, None]]
Serve = Callable[..., None]


@pytest.fixture
def serve(home: Home, keys: FileKeyStore) -> Serve:
    """Runs a scenario against a gateway, and sees the gateway stop cleanly."""

    def run(scenario: Scenario, settings: StreamSettings = FAST, keys: FileKeyStore = keys) -> None:
        door = Door(stream=Stream.CANTEEN, ticket_key=load_ticket_public_key(home.ticket_public_key))

        def open_desk() -> Desk:
            return Desk(
                stream=Stream.CANTEEN,
                db=open_writer(home.place("canteen"), "canteen"),
                onecard=open_reader(home.place("onecard"), "onecard"),
                keys=keys,
                door=door,
                clock=lambda: NOW,
            )

        async def main() -> None:
            gateway = Gateway(
                stream=Stream.CANTEEN,
                settings=settings,
                tls=server_context(home.authority),
                door=door,
                writer=WriterThread(
                    open_desk, queue_max=settings.queue_max, deadline_s=settings.deadline_s, monotonic=time.monotonic
                ),
                clock=lambda: NOW,
                random=lambda size: bytes(range(size)),
            )
            port = await gateway.start()
            try:
                await scenario(Port(gateway, home, port))
            finally:
                async with asyncio.timeout(DEADLINE_S):
                    await gateway.stop()

        asyncio.run(main())

    return run


@pytest.fixture
def enrolled(home: Home, keys: FileKeyStore, till: FakeTill, canteen: StreamDriver) -> FakeTill:
    canteen.enrol(till)
    canteen.db.close()
    return till
