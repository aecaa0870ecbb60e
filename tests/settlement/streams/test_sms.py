"""The spool folders: messages in are claimed once and receipted, lost cards go out to whoever has no data."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from settlement.onecard.hotlist import list_card, read_hotlist
from settlement.onecard.keys import FileKeyStore
from settlement.settings import Home, SmsSettings
from settlement.store.database import open_reader, open_writer
from settlement.streams.contacts import Outgoing
from settlement.streams.desk import Desk, WriterThread
from settlement.streams.door import Door
from settlement.streams.sms import NotOurs, SmsDoor, read_message, write_message
from wire.hotlist import EMPTY_HOTLIST
from wire.ids import CardId, Stream
from wire.sms import DatagramKind, Envelope, HotlistDatagram, ReceiptDatagram, pack_up

if TYPE_CHECKING:
    from tests.settlement.conftest import FakeTill, StreamDriver

NOW = 1_764_000_000
PHONE = "+8613900000001"


class Spool:
    """The folders, a stream behind them, and a network that takes what goes out."""

    def __init__(self, home: Home, keys: FileKeyStore, folder: Path) -> None:
        self.home, self.keys = home, keys
        self.incoming, self.outgoing = folder / "incoming", folder / "outgoing"
        self.incoming.mkdir()
        self.outgoing.mkdir()
        self._count = 0

    def put(self, data: bytes) -> None:
        self._count += 1
        head = b"From: 8613900000001\nReceived: 26-01-01 10:00:00\nAlphabet: binary\nUDH: false\n\n"
        (self.incoming / f"message.{self._count:03}").write_bytes(head + data)

    def turn(self, turns: int = 1) -> list[bytes]:
        """Let the stream look into the folder; the datagrams that went out."""
        door = Door(stream=Stream.CANTEEN, ticket_key=bytes(32))

        def open_desk() -> Desk:
            db = open_writer(self.home.database("canteen"), "canteen")
            onecard = open_reader(self.home.database("onecard"), "onecard")
            return Desk(stream=Stream.CANTEEN, db=db, onecard=onecard, keys=self.keys, door=door, clock=lambda: NOW)

        async def look() -> None:
            writer = WriterThread(open_desk, queue_max=8, deadline_s=5.0, monotonic=time.monotonic)
            writer.start()
            settings = SmsSettings(incoming=str(self.incoming), outgoing=str(self.outgoing))
            spool = SmsDoor(stream=Stream.CANTEEN, settings=settings, writer=writer)
            try:
                for _ in range(turns):
                    await spool.turn()
            finally:
                await asyncio.to_thread(writer.finish)

        asyncio.run(look())
        sent = []
        for path in sorted(self.outgoing.iterdir()):
            head, _, body = path.read_bytes().partition(b"\n\n")
            assert head == b"To: 8613900000001\nAlphabet: binary\nUDH: false"
            sent.append(body)
            path.unlink()
        return sent


@pytest.fixture
def spool(home: Home, keys: FileKeyStore, tmp_path: Path) -> Spool:
    return Spool(home, keys, tmp_path)


@pytest.fixture
def enrolled(till: FakeTill, canteen: StreamDriver) -> FakeTill:
    canteen.enrol(till)
    canteen.db.close()
    return till


def _sealed(till: FakeTill, number: int = 1, first_seq: int = 1) -> bytes:
    envelope = Envelope(kind=DatagramKind.UP, stream=Stream.CANTEEN, terminal=till.terminal, number=number)
    datagram = pack_up(till.state(first_seq), till.head_hash(first_seq), till.records[first_seq - 1 :])
    return envelope.seal(datagram.to_bytes(), till.keys.sms_key(till.terminal, till.epoch), till.epoch)


def _opened(till: FakeTill, data: bytes) -> tuple[Envelope, bytes]:
    envelope = Envelope.of(data)
    return envelope, envelope.unseal(data, till.keys.sms_key(till.terminal, till.epoch), till.epoch)


def _list(home: Home, card: CardId) -> None:
    with open_writer(home.database("onecard"), "onecard") as db:
        list_card(db, card, listed=True, reason="lost", now_utc_s=NOW)


def test_taps_by_message_get_their_receipt_and_a_lost_answer_gets_another(spool: Spool, enrolled: FakeTill) -> None:
    enrolled.tap()
    spool.put(_sealed(enrolled))
    [first] = spool.turn()
    envelope, plain = _opened(enrolled, first)
    assert ReceiptDatagram.from_bytes(plain).next_seq == 2
    assert list(spool.incoming.iterdir()) == []
    spool.put(_sealed(enrolled))
    [again] = spool.turn()
    other, plain = _opened(enrolled, again)
    assert ReceiptDatagram.from_bytes(plain).next_seq == 2
    assert other.number == envelope.number + 1


def test_lost_card_is_pushed_to_a_terminal_that_was_heard_by_message(spool: Spool, enrolled: FakeTill) -> None:
    enrolled.tap()
    spool.put(_sealed(enrolled))
    assert len(spool.turn()) == 1
    lost = CardId.from_bytes(bytes(range(18)))
    _list(spool.home, lost)
    [pushed] = spool.turn()
    envelope, plain = _opened(enrolled, pushed)
    assert envelope.kind is DatagramKind.HOTLIST
    hotlist = HotlistDatagram.from_bytes(plain).added_to(EMPTY_HOTLIST)
    assert hotlist is not None
    assert hotlist.cards == {lost}
    with open_reader(spool.home.database("onecard"), "onecard") as db:
        assert read_hotlist(db) == hotlist
    assert spool.turn(2) == []


def test_terminal_of_another_stream_and_texts_of_people_are_left(spool: Spool, enrolled: FakeTill) -> None:
    enrolled.tap()
    data = bytearray(_sealed(enrolled))
    data[0] = DatagramKind.UP << 4 | Stream.SHOPS
    spool.put(bytes(data))
    (spool.incoming / "text").write_bytes(b"From: 8613900000001\nAlphabet: ISO\n\nhello")
    assert spool.turn(2) == []
    assert len(list(spool.incoming.iterdir())) == 2


def test_datagram_that_nobody_here_sealed_is_removed_without_an_answer(spool: Spool, enrolled: FakeTill) -> None:
    enrolled.tap()
    data = bytearray(_sealed(enrolled))
    data[-1] ^= 1
    spool.put(bytes(data))
    assert spool.turn() == []
    assert list(spool.incoming.iterdir()) == []


def test_file_that_was_claimed_before_a_crash_is_taken_in(spool: Spool, enrolled: FakeTill) -> None:
    enrolled.tap()
    spool.put(_sealed(enrolled))
    [path] = spool.incoming.iterdir()
    path.rename(path.with_name(path.name + ".canteen"))
    assert len(spool.turn()) == 1


def test_file_for_smstools_is_binary_and_has_no_plus() -> None:
    written = write_message(Outgoing(PHONE, b"\x00\n\n\xff"))
    assert written == b"To: 8613900000001\nAlphabet: binary\nUDH: false\n\n\x00\n\n\xff"
    assert read_message(b"From: +861390\nAlphabet: binary\n\n\n\nx") == ("+861390", b"\n\nx")


@given(st.binary(max_size=300) | st.builds(lambda body: b"From: 1\nAlphabet: bin\n" + body, st.binary(max_size=200)))
def test_garbage_in_the_folder_is_a_message_or_not_ours(content: bytes) -> None:
    reader: Callable[[bytes], tuple[str, bytes]] = read_message
    try:
        phone, _ = reader(content)
    except NotOurs:
        return
    assert phone.startswith("+")
