"""The top-up desk's port, over real sockets and TLS: the stream's gateway around another desk."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from contextlib import closing
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from settlement.__main__ import main
from settlement.authority import load_ticket_key, load_ticket_public_key, server_context
from settlement.ledger.owed import LedgerBooks
from settlement.onecard import loads
from settlement.onecard.desk import TopupDesk
from settlement.onecard.keys import FileKeyStore
from settlement.onecard.registry import PurseOpening, import_cards
from settlement.settings import Home, TopUpSettings
from settlement.store.database import open_reader, open_writer
from settlement.store.router import LEDGER, ONECARD, TOPUP
from settlement.streams.desk import WriterThread
from settlement.streams.door import Door
from settlement.streams.gateway import Gateway
from tests.settlement.streams.conftest import Client, Port
from tests.system.loads import LIMITS, MASTERS, OPENING, card_number
from wire import pboc
from wire.enrolment import Ticket
from wire.frame import encode_frame
from wire.hotlist import EMPTY_HOTLIST
from wire.ids import CardId, LoadId, Stream, TerminalId
from wire.load import (
    LoadGrant,
    LoadInit,
    LoadOutcome,
    LoadRefusal,
    LoadRefused,
    LoadRequest,
    LoadResult,
    LoadState,
    load_date_time,
)
from wire.messages import Enrol, Enrolled, HotlistUpdate, Identify, Message, Refused, Welcome
from wire.money import Fen
from wire.purse_keys import card_key
from wire.receipt import Rejection
from wire.session import ProtocolViolation
from wire.signature import public_bytes

NOW = 1_764_000_000
POINT = TerminalId(bytes.fromhex("000000000501"))
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
CARD = card_number(1)
KEYS = FileKeyStore(MASTERS, two_level=False)
Scenario = Callable[[Port], Coroutine[None, None, None]]


def session_key(random: bytes, online_counter: int) -> bytes:
    dlk = card_key(MASTERS.load, CARD, two_level=False)
    return pboc.load_session_key(dlk=dlk, random=random, online_counter=online_counter)


def request(number: int, amount_fen: int = 5000, card: CardId = CARD) -> LoadRequest:
    """What a sound card asks for."""
    random, online_counter = number.to_bytes(4), 3
    mac1 = pboc.load_mac1(
        session_key=session_key(random, online_counter),
        old_balance_fen=OPENING,
        amount_fen=Fen(amount_fen),
        terminal=POINT,
    )
    init = LoadInit(
        balance_fen=OPENING,
        amount_fen=Fen(amount_fen),
        online_counter=online_counter,
        key_version=1,
        algorithm=0,
        random=random,
        mac1=mac1,
    )
    return LoadRequest(number=number, card=card, init=init)


def tac_of(asked: LoadRequest, grant: LoadGrant) -> bytes:
    dtk = card_key(MASTERS.tac, CARD, two_level=False)
    return pboc.load_tac(
        tac_key=pboc.tac_key(dtk),
        new_balance_fen=Fen(OPENING + asked.init.amount_fen),
        online_counter=asked.init.online_counter,
        amount_fen=asked.init.amount_fen,
        terminal=POINT,
        date_time_bcd=load_date_time(grant.granted_at_utc_s),
    )


def serve(home: Home, scenario: Scenario) -> None:
    """Run a scenario against a desk, and see it stop cleanly."""
    door = Door(stream=Stream.TOP_UP, ticket_key=load_ticket_public_key(home.ticket_public_key))
    settings = TopUpSettings(port=0, idle_timeout_s=5.0)

    def open_desk() -> TopupDesk:
        return TopupDesk(
            db=open_writer(home.database(TOPUP), TOPUP),
            onecard=open_reader(home.database(ONECARD), ONECARD),
            keys=KEYS,
            door=door,
            clock=lambda: NOW,
            limits=LIMITS,
            books=LedgerBooks(home.place(LEDGER)),
            random=lambda size: bytes(range(size)),
        )

    async def run() -> None:
        gateway = Gateway(
            stream=Stream.TOP_UP,
            settings=settings,
            tls=server_context(home.authority),
            door=door,
            writer=WriterThread(open_desk, queue_max=8, deadline_s=5.0, monotonic=time.monotonic),
            clock=lambda: NOW,
            random=lambda size: bytes(range(size)),
        )
        port = await gateway.start()
        try:
            await scenario(Port(gateway, home, port))
        finally:
            await gateway.stop()

    asyncio.run(run())


@pytest.fixture
def desk_home(tmp_path: Path) -> Home:
    assert main(["init", "--home", str(tmp_path)]) == 0
    home = Home(tmp_path)
    with open_writer(home.database(ONECARD), ONECARD) as db:
        import_cards(db, [PurseOpening(card=CARD, balance_fen=OPENING, counter=0)], now_utc_s=1)
    return home


def ticket(home: Home, stream: Stream = Stream.TOP_UP) -> bytes:
    key = load_ticket_key(home.ticket_key)
    return Ticket(terminal=POINT, stream=stream, epoch=1, expires_utc_s=NOW + 1).issue(key)


async def enrol(client: Client, ticket: bytes) -> Message | None:
    challenge = await client.challenge()
    client.say(Enrol(public_key=public_bytes(KEY), ticket=ticket).signed(KEY, challenge.nonce))
    return await client.hear()


async def let_in(client: Client) -> None:
    challenge = await client.challenge()
    identify = Identify(terminal=POINT, epoch=1, head_seq=0, total_fen=0, hotlist_mark=EMPTY_HOTLIST.mark)
    client.say(identify.signed(KEY, challenge.nonce))
    assert isinstance(await client.hear(), Welcome)


async def ask(client: Client, message: Message) -> Message | None:
    client.say(message)
    answer = await client.hear()
    return await client.hear() if isinstance(answer, HotlistUpdate) else answer


def kinds(home: Home) -> list[str]:
    with closing(open_reader(home.database(TOPUP), TOPUP)) as db:
        return [loads.LoadEvent.from_bytes(row.event).kind.name for row in loads.loads_after(db, 0, 100)]


def test_point_enrols_and_a_load_is_granted_once_over_any_number_of_connections(desk_home: Home) -> None:
    async def scenario(port: Port) -> None:
        async with port.connect() as client:
            assert isinstance(await enrol(client, ticket(desk_home)), Enrolled)
        async with port.connect() as client:
            await let_in(client)
            grant = await ask(client, request(1))
            assert isinstance(grant, LoadGrant)
        async with port.connect() as client:
            await let_in(client)
            assert await ask(client, request(1)) == grant
            other = await ask(client, request(2))
            assert isinstance(other, LoadOutcome)
            assert other.state is LoadState.PENDING
            result = LoadResult(load_id=LoadId(POINT, 1, 1), tac=tac_of(request(1), grant))
            for _ in range(2):
                posted = await ask(client, result)
                assert isinstance(posted, LoadOutcome)
                assert (posted.state, posted.new_balance_fen) == (LoadState.POSTED, OPENING + 5000)
            late = await ask(client, request(2))
            assert isinstance(late, LoadRefused)
            assert late.refusal is LoadRefusal.COUNTER_DISPUTED
        assert await asyncio.to_thread(kinds, desk_home) == ["GRANTED", "CONFIRMED"]

    serve(desk_home, scenario)


def test_ticket_for_a_stream_is_refused_at_the_desk(desk_home: Home) -> None:
    async def scenario(port: Port) -> None:
        async with port.connect() as client:
            refused = await enrol(client, ticket(desk_home, Stream.CANTEEN))
            assert isinstance(refused, Refused)
            assert refused.rejection is Rejection.WRONG_STREAM

    serve(desk_home, scenario)


def test_point_that_goes_away_after_asking_finds_its_grant_later(desk_home: Home) -> None:
    async def scenario(port: Port) -> None:
        async with port.connect() as client:
            await enrol(client, ticket(desk_home))
        async with port.connect() as client:
            await let_in(client)
            client.say(request(1))
        async with port.connect() as client:
            await let_in(client)
            assert isinstance(await ask(client, request(1)), LoadGrant)
        assert await asyncio.to_thread(kinds, desk_home) == ["GRANTED"]

    serve(desk_home, scenario)


def test_garbage_instead_of_a_question_ends_the_connection_alone(desk_home: Home) -> None:
    async def scenario(port: Port) -> None:
        async with port.connect() as client:
            await enrol(client, ticket(desk_home))
        async with port.connect() as client:
            await let_in(client)
            client.writer.write(encode_frame(LoadRequest.kind, b"no request"))
            with pytest.raises(ProtocolViolation, match="Refused"):  # it answers no batch: the connection is over
                await client.hear()
        async with port.connect() as client:
            await let_in(client)
            assert isinstance(await ask(client, request(1)), LoadGrant)

    serve(desk_home, scenario)
