"""A stream's port, over real sockets and TLS."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from settlement.authority import SERVER_NAME, load_ticket_key
from settlement.onecard.campusfile import parse_campus
from settlement.onecard.configuration import put_changes, read_configurations
from settlement.onecard.hotlist import list_card
from settlement.onecard.keys import FileKeyStore
from settlement.onecard.tickets import give_epoch
from settlement.settings import Home, StreamSettings
from settlement.store.database import open_writer
from wire.configuration import Configuration
from wire.downlink import NO_MARK, HotlistDelta
from wire.frame import encode_frame
from wire.ids import CardId, Stream
from wire.messages import (
    HotlistUpdate,
    Identify,
    Receipt,
    Refused,
    Upload,
    Welcome,
)
from wire.receipt import Rejection

if TYPE_CHECKING:
    from tests.settlement.conftest import FakeTill, StreamDriver
    from tests.settlement.streams.conftest import Port, Serve

NOW = 1_764_000_000
DEADLINE_S = 10
FAST = StreamSettings(port=0, idle_timeout_s=5.0)


def upload(till: FakeTill, first_seq: int = 1) -> Upload:
    return Upload(till.batch(first_seq))


def test_new_terminal_enrols_uploads_and_gets_its_receipt(serve: Serve, till: FakeTill, canteen: StreamDriver) -> None:
    ticket = canteen.ticket(till.terminal)
    canteen.db.close()
    till.tap()

    async def scenario(port: Port) -> None:
        async with port.connect() as client:
            assert await client.enrol(till, ticket) == canteen.enrolled(till)
            assert await client.hear() is None
        async with port.connect() as client:
            assert isinstance(await client.identify(till, upload(till)), Welcome)
            receipt = await client.hear()
            assert isinstance(receipt, Receipt)
            assert receipt.receipt.cursor.next_seq == 2
            assert await port.taps() == 1
            till.tap()
            client.say(upload(till, 2))
            receipt = await client.hear()
            assert isinstance(receipt, Receipt)
            assert receipt.receipt.cursor.next_seq == 3

    serve(scenario)


def test_connection_is_tls_1_3_and_proves_the_name(serve: Serve) -> None:
    async def scenario(port: Port) -> None:
        async with port.connect() as client:
            tls = client.writer.get_extra_info("ssl_object")
            assert tls.version() == "TLSv1.3"
        context = ssl.create_default_context(cafile=str(port.home.authority / "ca.pem"))
        with pytest.raises(ssl.SSLCertVerificationError):
            await asyncio.open_connection("127.0.0.1", port.port, ssl=context, server_hostname="other.campus")

    serve(scenario)


def test_welcome_and_receipt_come_together(serve: Serve, enrolled: FakeTill) -> None:
    enrolled.tap()

    async def scenario(port: Port) -> None:
        async with port.connect() as client:
            await client.identify(enrolled, upload(enrolled))
            assert [type(message) for message in client.waiting] == [Receipt]

    serve(scenario)


@pytest.mark.parametrize("goodbye", [True, False])
def test_session_is_resumed_also_after_a_connection_that_broke(goodbye: bool, serve: Serve) -> None:
    async def scenario(port: Port) -> None:
        resumed = await asyncio.to_thread(connect_twice, port, goodbye)
        assert resumed

    serve(scenario)


def connect_twice(port: Port, goodbye: bool) -> bool | None:
    """Whether the second connection resumes the first one's session."""
    context = ssl.create_default_context(cafile=str(port.home.authority / "ca.pem"))
    session, resumed = None, None
    for _ in range(2):
        tcp = socket.create_connection(("127.0.0.1", port.port), DEADLINE_S)
        with context.wrap_socket(tcp, server_hostname=SERVER_NAME, session=session) as tls:
            assert tls.recv(65_536)
            session, resumed = tls.session, tls.session_reused
            if goodbye:
                with suppress(OSError):
                    tls.unwrap()
            else:
                tls.shutdown(socket.SHUT_WR)
                while tls.recv(65_536):  # until the server has seen the end
                    pass
    return resumed


def test_unknown_terminal_is_refused_and_the_connection_closed(serve: Serve, till: FakeTill) -> None:
    till.tap()

    async def scenario(port: Port) -> None:
        async with port.connect() as client:
            answer = await client.identify(till, upload(till))
            assert isinstance(answer, Refused)
            assert answer.rejection is Rejection.UNKNOWN_TERMINAL
            assert await client.hear() is None
        assert await port.taps() == 0

    serve(scenario)


def test_batch_of_another_journal_is_refused(
    serve: Serve, enrolled: FakeTill, make_till: Callable[[int], FakeTill]
) -> None:
    other = make_till(5)
    other.tap()

    async def scenario(port: Port) -> None:
        async with port.connect() as client:
            assert isinstance(await client.identify(enrolled, upload(other)), Welcome)
            answer = await client.hear()
            assert isinstance(answer, Refused)
            assert answer.rejection is Rejection.MALFORMED

    serve(scenario)


async def still_serves(port: Port, till: FakeTill) -> None:
    async with port.connect() as client:
        assert isinstance(await client.identify(till), Welcome)


@pytest.mark.parametrize(
    "garbage",
    [b"", b"GET / HTTP/1.1\r\n\r\n", bytes(5000), bytes.fromhex("16030100ff010000"), bytes(range(256)) * 400],
    ids=["nothing", "http", "zeros", "half-a-hello", "noise"],
)
def test_garbage_before_tls_leaves_the_gateway_serving(serve: Serve, enrolled: FakeTill, garbage: bytes) -> None:
    async def scenario(port: Port) -> None:
        silent = []
        for _ in range(3):
            _, writer = await asyncio.open_connection("127.0.0.1", port.port)
            writer.write(garbage)
            silent.append(writer)
        await still_serves(port, enrolled)
        for writer in silent:
            writer.transport.abort()

    serve(scenario)


@pytest.mark.parametrize(
    "garbage",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        bytes(70_000),
        encode_frame(99, b"unknown kind"),
        encode_frame(Receipt.kind, bytes(38)),
        encode_frame(Upload.kind, bytes(300)),
        encode_frame(Identify.kind, bytes(88))[:40],
    ],
    ids=["http", "zeros", "unknown-kind", "wrong-role", "no-batch", "half-a-frame"],
)
def test_garbage_inside_tls_leaves_the_gateway_serving(serve: Serve, enrolled: FakeTill, garbage: bytes) -> None:
    async def scenario(port: Port) -> None:
        async with port.connect() as client:
            await client.challenge()
            client.writer.write(garbage)
            await still_serves(port, enrolled)

    serve(scenario)


def test_half_a_frame_then_silence_is_closed_at_the_idle_limit(serve: Serve, enrolled: FakeTill) -> None:
    enrolled.tap()

    async def scenario(port: Port) -> None:
        async with port.connect() as client:
            assert isinstance(await client.identify(enrolled), Welcome)
            client.writer.write(client.session.send(upload(enrolled))[:50])
            assert await client.hear() is None
        assert await port.taps() == 0

    serve(scenario, replace(FAST, idle_timeout_s=0.2))


def test_flipped_bit_anywhere_in_a_batch_frame_stores_nothing(serve: Serve, enrolled: FakeTill) -> None:
    enrolled.tap()
    frame = encode_frame(Upload.kind, upload(enrolled).to_bytes())

    async def scenario(port: Port) -> None:
        for at in range(len(frame)):
            damaged = bytearray(frame)
            damaged[at] ^= 1 << at % 8
            async with port.connect() as client:
                assert isinstance(await client.identify(enrolled), Welcome)
                client.session.send(upload(enrolled))  # so that an answer is expected
                client.writer.write(bytes(damaged))
                answer = await client.hear()
                if answer is not None:
                    assert isinstance(answer, Refused), at
                    assert answer.rejection is Rejection.MALFORMED, at
        assert await port.taps() == 0
        await still_serves(port, enrolled)

    serve(scenario)


def test_message_that_cannot_be_read_is_refused_in_words_before_the_connection_closes(
    serve: Serve, enrolled: FakeTill
) -> None:
    enrolled.tap()

    async def scenario(port: Port) -> None:
        async with port.connect() as client:
            assert isinstance(await client.identify(enrolled), Welcome)
            client.session.send(upload(enrolled))
            client.writer.write(encode_frame(Upload.kind, b"\x07"))
            answer = await client.hear()
            assert isinstance(answer, Refused)
            assert answer.rejection is Rejection.MALFORMED
            assert "version" in answer.detail
            assert await client.hear() is None

    serve(scenario)


def test_connections_beyond_the_limit_are_closed_and_the_others_served(serve: Serve, enrolled: FakeTill) -> None:
    async def scenario(port: Port) -> None:
        async with port.connect() as first:
            assert isinstance(await first.identify(enrolled), Welcome)
            async with port.connect() as second:
                with suppress(OSError):
                    assert await second.hear() is None
        await until(lambda: not port.gateway._connections)
        await still_serves(port, enrolled)

    serve(scenario, replace(FAST, connections_max=1))


def test_strangers_fill_their_own_places_and_no_terminals(serve: Serve, enrolled: FakeTill) -> None:
    enrolled.tap()

    async def scenario(port: Port) -> None:
        async with port.connect() as known:
            assert isinstance(await known.identify(enrolled), Welcome)
            async with port.connect() as one, port.connect() as two, port.connect() as three:
                await one.challenge()
                await two.challenge()
                with suppress(OSError):
                    assert await three.hear() is None
                known.say(upload(enrolled))
                assert isinstance(await known.hear(), Receipt)
            await until(lambda: len(port.gateway._connections) == 1)
            await still_serves(port, enrolled)

    serve(scenario, replace(FAST, unidentified_max=2))


def test_stranger_that_sends_a_byte_now_and_then_is_closed_at_the_one_deadline(
    serve: Serve, enrolled: FakeTill
) -> None:
    frame = encode_frame(Identify.kind, bytes(92))

    async def scenario(port: Port) -> None:
        async with port.connect() as client:
            await client.challenge()
            for byte in frame[:30]:
                if not port.gateway._connections:
                    break
                client.writer.write(bytes((byte,)))
                await asyncio.to_thread(threading.Event().wait, 0.05)
            assert not port.gateway._connections, "it was closed before it had said half of what it had to"
        async with port.connect() as client:
            assert isinstance(await client.identify(enrolled), Welcome)
            await asyncio.to_thread(threading.Event().wait, 0.6)
            assert port.gateway._connections, "the deadline is for strangers alone"

    serve(scenario, replace(FAST, identify_timeout_s=0.5))


def test_stranger_never_stands_in_the_queue(
    serve: Serve, enrolled: FakeTill, make_till: Callable[[int], FakeTill], held_keys: HeldKeys
) -> None:
    enrolled.tap()
    liar = make_till(7)
    liar.terminal = enrolled.terminal

    async def scenario(port: Port) -> None:
        async with port.connect() as known:
            assert isinstance(await known.identify(enrolled), Welcome)
            known.say(upload(enrolled))
            await asyncio.to_thread(held_keys.reached.wait, DEADLINE_S)  # the writer is held, and answers nobody
            for stranger, expected in (
                (liar, Rejection.SIGNATURE_INVALID),
                (make_till(8), Rejection.UNKNOWN_TERMINAL),
            ):
                async with port.connect() as client:
                    answer = await client.identify(stranger)
                    assert isinstance(answer, Refused)
                    assert answer.rejection is expected
            async with port.connect() as client:
                answer = await client.enrol(liar, bytes(78))
                assert isinstance(answer, Refused)
                assert answer.rejection is Rejection.TICKET_INVALID
            held_keys.release.set()
            assert isinstance(await known.hear(), Receipt)

    serve(scenario, keys=held_keys)


async def until(condition: Callable[[], bool]) -> None:
    """Let the loop run until the condition holds."""
    async with asyncio.timeout(DEADLINE_S):
        while not condition():
            await asyncio.to_thread(threading.Event().wait, 0.01)


class HeldKeys(FileKeyStore):
    """Keeps the writer thread in the first TAC check until it is released."""

    reached = threading.Event()
    release = threading.Event()

    def verify_purchase_tacs(self, records: Sequence[bytes]) -> list[bool]:
        self.reached.set()
        assert self.release.wait(DEADLINE_S)
        return super().verify_purchase_tacs(records)


@pytest.fixture
def held_keys(keys: FileKeyStore) -> HeldKeys:
    held = HeldKeys(keys._masters, two_level=False)
    held.reached, held.release = threading.Event(), threading.Event()
    return held


def test_full_queue_is_answered_busy_with_the_cursor(serve: Serve, enrolled: FakeTill, held_keys: HeldKeys) -> None:
    enrolled.tap()

    async def scenario(port: Port) -> None:
        async with port.connect() as first, port.connect() as second:
            assert isinstance(await first.identify(enrolled), Welcome)
            assert isinstance(await second.identify(enrolled), Welcome)
            first.say(upload(enrolled))
            await asyncio.to_thread(held_keys.reached.wait, DEADLINE_S)
            # The thread is held; fill what is left of the queue, so that the next batch finds no place.
            jobs = port.gateway.writer._jobs
            waiting = [asyncio.ensure_future(port.gateway.writer.ask(lambda desk: desk.hotlist())) for _ in range(4)]
            await until(jobs.full)
            second.say(upload(enrolled))
            answer = await second.hear()
            assert isinstance(answer, Refused)
            assert answer.rejection is Rejection.BUSY
            assert answer.cursor is not None
            assert answer.cursor.next_seq == 1
            held_keys.release.set()
            assert isinstance(await first.hear(), Receipt)
            await asyncio.gather(*waiting, return_exceptions=True)
            second.say(upload(enrolled))
            assert isinstance(await second.hear(), Receipt)

    serve(scenario, replace(FAST, queue_max=4), held_keys)


def test_batch_that_waited_beyond_the_deadline_is_answered_busy_and_not_stored(
    serve: Serve, enrolled: FakeTill, held_keys: HeldKeys
) -> None:
    enrolled.tap()
    enrolled.tap()

    async def scenario(port: Port) -> None:
        async with port.connect() as first, port.connect() as second:
            assert isinstance(await first.identify(enrolled), Welcome)
            assert isinstance(await second.identify(enrolled), Welcome)
            first.say(Upload(enrolled.batch(1, 2)))
            await asyncio.to_thread(held_keys.reached.wait, DEADLINE_S)
            second.say(Upload(enrolled.batch(2)))
            await until(lambda: not port.gateway.writer._jobs.empty())
            await asyncio.to_thread(threading.Event().wait, 0.3)
            held_keys.release.set()
            answer = await second.hear()
            assert isinstance(answer, Refused)
            assert answer.rejection is Rejection.BUSY
            assert await port.taps() == 1

    serve(scenario, replace(FAST, deadline_s=0.2), held_keys)


def test_stop_answers_what_is_under_way_before_it_closes(serve: Serve, enrolled: FakeTill, held_keys: HeldKeys) -> None:
    enrolled.tap()

    async def scenario(port: Port) -> None:
        async with port.connect() as client:
            assert isinstance(await client.identify(enrolled), Welcome)
            client.say(upload(enrolled))
            await asyncio.to_thread(held_keys.reached.wait, DEADLINE_S)
            port.gateway.stopping = True
            held_keys.release.set()
            assert isinstance(await client.hear(), Receipt)
            assert await client.hear() is None

    serve(scenario, keys=held_keys)


def test_full_disk_is_answered_busy_and_the_batch_taken_later(serve: Serve, enrolled: FakeTill) -> None:
    for _ in range(100):
        enrolled.tap()

    async def scenario(port: Port) -> None:
        async with port.connect() as client:
            assert isinstance(await client.identify(enrolled), Welcome)
            # No page more than there are: what SQLite answers then is what it answers on a full disk.
            await port.gateway.writer.ask(lambda desk: desk._db.number("PRAGMA max_page_count = 1"))
            client.say(upload(enrolled))
            answer = await client.hear()
            assert isinstance(answer, Refused)
            assert (answer.rejection, answer.detail) == (Rejection.BUSY, "store-fault")
            await port.gateway.writer.ask(lambda desk: desk._db.number("PRAGMA max_page_count = 100000"))
            client.say(upload(enrolled))
            assert isinstance(await client.hear(), Receipt)

    serve(scenario)


def test_batch_that_breaks_a_rule_of_the_database_is_refused_for_good_with_its_name(
    serve: Serve, enrolled: FakeTill, home: Home, caplog: pytest.LogCaptureFixture
) -> None:
    enrolled.tap()
    with open_writer(home.database("canteen"), "canteen") as db:
        db.execute("CREATE TRIGGER a_rule BEFORE INSERT ON batch BEGIN SELECT RAISE(ABORT, 'a_rule'); END")

    async def scenario(port: Port) -> None:
        async with port.connect() as client:
            assert isinstance(await client.identify(enrolled, upload(enrolled)), Welcome)
            answer = await client.hear()
            assert isinstance(answer, Refused)
            assert (answer.rejection, answer.detail) == (Rejection.MALFORMED, "store-rule-broken: a_rule")
            assert answer.cursor is not None
        assert await port.taps() == 0

    serve(scenario)
    assert "ALARM: store-rule-broken: a_rule" in caplog.text


def test_hotlist_is_sent_after_the_welcome_and_again_when_it_changes(
    serve: Serve, enrolled: FakeTill, home: Home, numbered_card: Callable[[int], CardId]
) -> None:
    def listed(number: int) -> None:
        with open_writer(home.database("onecard"), "onecard") as db:
            assert list_card(db, numbered_card(number), listed=True, reason="lost", now_utc_s=NOW)

    listed(1)

    async def scenario(port: Port) -> None:
        async with port.connect() as client:
            assert isinstance(await client.identify(enrolled), Welcome)
            update = await client.hear()
            assert isinstance(update, HotlistUpdate)
            assert (update.hotlist.version, update.hotlist.cards) == (1, frozenset({numbered_card(1)}))
            await asyncio.to_thread(listed, 2)
            changes = await client.hear()
            assert isinstance(changes, HotlistDelta)
            newest = changes.apply(update.hotlist)
            assert (newest.version, newest.cards) == (2, frozenset({numbered_card(1), numbered_card(2)}))
        async with port.connect() as client:
            assert isinstance(await client.identify(enrolled, hotlist_mark=update.hotlist.mark), Welcome)
            assert await client.hear() == changes
        async with port.connect() as client:
            assert isinstance(await client.identify(enrolled, hotlist_mark=NO_MARK), Welcome)
            assert await client.hear() == HotlistUpdate(newest)
        async with port.connect() as client:
            assert isinstance(await client.identify(enrolled, hotlist_mark=newest.mark), Welcome)
            enrolled.tap()
            client.say(upload(enrolled))
            assert isinstance(await client.hear(), Receipt)

    serve(scenario)


CAMPUS = """
[[merchants]]
number = 12
name = "饮食中心"
[limits]
tap_fen_max = {fen}
[[outlets]]
number = 21
stream = "canteen"
merchant = 12
name = "一楼"
[[outlets]]
number = 22
stream = "canteen"
merchant = 12
name = "二楼"
"""


def test_configuration_of_the_terminals_outlet_is_sent_and_again_when_it_changes_or_the_terminal_moves(
    serve: Serve, enrolled: FakeTill, home: Home
) -> None:
    def configure(fen: int) -> dict[int, Configuration]:
        with open_writer(home.database("onecard"), "onecard") as db:
            file = parse_campus(CAMPUS.format(fen=fen))
            put_changes(db, file, load_ticket_key(home.ticket_key), now_utc_s=NOW)
            return read_configurations(db)

    def stands_in(outlet: int) -> None:
        with open_writer(home.database("onecard"), "onecard") as db:
            give_epoch(db, enrolled.terminal, stream=Stream.CANTEEN, outlet=outlet, now_utc_s=NOW)

    first = configure(5000)
    stands_in(21)

    async def scenario(port: Port) -> None:
        async with port.connect() as client:
            assert isinstance(await client.identify(enrolled), Welcome)
            assert await client.hear() == first[21]
            second = await asyncio.to_thread(configure, 6000)
            assert await client.hear() == second[21]
            await asyncio.to_thread(stands_in, 22)
            assert await client.hear() == second[22]
        async with port.connect() as client:
            assert isinstance(await client.identify(enrolled, configuration_mark=second[22].mark), Welcome)
            enrolled.tap()
            client.say(upload(enrolled))
            assert isinstance(await client.hear(), Receipt)

    serve(scenario)


def test_list_that_got_the_same_version_after_a_restore_is_sent_to_those_connected_and_to_those_who_come(
    serve: Serve, enrolled: FakeTill, home: Home, numbered_card: Callable[[int], CardId]
) -> None:
    def listed(number: int) -> None:
        with open_writer(home.database("onecard"), "onecard") as db:
            db.execute("DROP TRIGGER IF EXISTS hotlist_entry_is_never_deleted")
            db.execute("DELETE FROM hotlist_entry")
            assert list_card(db, numbered_card(number), listed=True, reason="lost", now_utc_s=NOW)

    listed(1)

    async def scenario(port: Port) -> None:
        async with port.connect() as client:
            assert isinstance(await client.identify(enrolled), Welcome)
            older = await client.hear()
            assert isinstance(older, HotlistUpdate)
            await asyncio.to_thread(listed, 2)
            newer = await client.hear()
            assert isinstance(newer, HotlistUpdate)
            assert (newer.hotlist.version, newer.hotlist.cards) == (1, frozenset({numbered_card(2)}))
        async with port.connect() as client:
            assert isinstance(await client.identify(enrolled, hotlist_mark=older.hotlist.mark), Welcome)
            assert await client.hear() == newer

    serve(scenario)
