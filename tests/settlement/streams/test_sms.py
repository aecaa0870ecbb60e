"""The spool folders: messages in are claimed once and receipted, lost cards go out to whoever has no data."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from settlement.onecard.hotlist import list_card, read_hotlist
from settlement.onecard.keys import FileKeyStore
from settlement.settings import Home, SmsSettings
from settlement.store.database import open_reader, open_writer
from settlement.streams import sms
from settlement.streams.coding import CodingStates
from settlement.streams.contacts import PATIENCE_S, PUSH_GAPS_S
from settlement.streams.desk import Desk, WriterThread
from settlement.streams.door import Door
from settlement.streams.ingest import accept_datagram
from settlement.streams.sms import SmsDoor
from wire.hotlist import EMPTY_HOTLIST, Hotlist
from wire.ids import CardId, Stream
from wire.messages import Identify
from wire.sms import NUMBER_S, DatagramKind, Envelope, HotlistDatagram, ReceiptDatagram, pack_up

if TYPE_CHECKING:
    from tests.settlement.conftest import FakeTill, StreamDriver

NOW = 1_764_000_000
PHONE = "8613900000001"
LOST, ANOTHER = CardId.from_bytes(bytes(range(18))), CardId.from_bytes(bytes(range(1, 19)))


class Spool:
    """The folders, a stream behind them, and a network that takes what goes out; `now` is the server's clock."""

    def __init__(self, home: Home, keys: FileKeyStore, folder: Path) -> None:
        self.home, self.keys = home, keys
        self.now = NOW
        self.incoming, self.outgoing = folder / "incoming", folder / "outgoing"
        self.incoming.mkdir()
        self.outgoing.mkdir()
        self._count = 0

    def put(self, data: bytes, phone: str = PHONE) -> None:
        self._count += 1
        head = f"From: {phone}\nReceived: 26-01-01 10:00:00\nAlphabet: binary\nUDH: false\n\n".encode()
        (self.incoming / f"message.{self._count:03}").write_bytes(head + data)

    def turn(self, turns: int = 1, *, per_minute: int = 12) -> list[bytes]:
        """Start a stream, let it look into the folder, end it; the datagrams that went out."""
        self.look([], turns, per_minute=per_minute)
        sent = []
        for path in sorted(self.outgoing.iterdir(), key=lambda path: path.stat().st_mtime_ns):
            head, _, body = path.read_bytes().partition(b"\n\n")
            assert head == f"To: {PHONE}\nAlphabet: binary\nUDH: false".encode()
            sent.append(body)
            path.unlink()
        return sent

    def look(self, sessions: Sequence[Identify], turns: int, *, per_minute: int = 12) -> None:
        """The same without reading what went out; before it, terminals come by data."""
        door = Door(stream=Stream.CANTEEN, ticket_key=bytes(32))

        def open_desk() -> Desk:
            db = open_writer(self.home.database("canteen"), "canteen")
            onecard = open_reader(self.home.database("onecard"), "onecard")
            return Desk(
                stream=Stream.CANTEEN, db=db, onecard=onecard, keys=self.keys, door=door, clock=lambda: self.now
            )

        async def serve() -> None:
            writer = WriterThread(open_desk, queue_max=8, deadline_s=5.0, monotonic=time.monotonic)
            writer.start()
            spool = SmsDoor(
                stream=Stream.CANTEEN,
                served=frozenset({Stream.CANTEEN, Stream.SHOPS}),
                settings=SmsSettings(incoming=str(self.incoming), outgoing=str(self.outgoing), per_minute=per_minute),
                aside=self.home.sms_aside,
                writer=writer,
                monotonic=time.monotonic,
            )
            try:
                for session in sessions:
                    await writer.ask(partial(Desk.note_session, message=session))
                for _ in range(turns):
                    await spool.turn()
            finally:
                await asyncio.to_thread(writer.finish)

        asyncio.run(serve())

    def by_data(self, till: FakeTill, hotlist: Hotlist) -> None:
        """The terminal has a session, with this hotlist."""
        session = Identify(terminal=till.terminal, epoch=till.epoch, head_seq=0, total_fen=0, hotlist_mark=hotlist.mark)
        self.look([session], turns=0)

    def aside(self) -> list[bytes]:
        """The reasons for what was put aside."""
        return [path.read_bytes().split(b"\n")[0] for path in sorted(self.home.sms_aside.glob("*"))]

    def list_card(self, card: CardId, *, listed: bool = True) -> Hotlist:
        """The hotlist after a card was reported, or found again."""
        with open_writer(self.home.database("onecard"), "onecard") as db:
            list_card(db, card, listed=listed, reason="lost", now_utc_s=NOW)
            return read_hotlist(db)


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


def _pushed(till: FakeTill, data: bytes, to: Hotlist) -> Hotlist | None:
    """What a terminal that has the list `to` makes of pushed entries."""
    envelope, plain = _opened(till, data)
    assert envelope.kind is DatagramKind.HOTLIST
    return HotlistDatagram.from_bytes(plain).added_to(to)


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
    assert spool.aside() == []


def test_message_that_the_network_doubled_is_answered_once(spool: Spool, enrolled: FakeTill) -> None:
    enrolled.tap()
    for _ in range(3):
        spool.put(_sealed(enrolled))
    assert len(spool.turn(2)) == 1
    assert list(spool.incoming.iterdir()) == []
    assert spool.aside() == []


def test_overheard_datagram_gets_no_answer_at_another_number(spool: Spool, enrolled: FakeTill) -> None:
    enrolled.tap()
    spool.put(_sealed(enrolled))
    assert len(spool.turn()) == 1
    spool.put(_sealed(enrolled), phone="8613999999999")
    assert spool.turn() == []
    assert spool.aside() == [b"Refused: datagram 1 came before, from another number"]
    enrolled.tap()
    spool.put(_sealed(enrolled, number=2, first_seq=2))
    assert len(spool.turn()) == 1  # to the terminal's own number still


def test_number_follows_a_terminal_to_its_new_sim(spool: Spool, enrolled: FakeTill) -> None:
    enrolled.tap()
    spool.put(_sealed(enrolled), phone="8613888888888")
    spool.look([], 1)
    [sent] = spool.outgoing.iterdir()
    assert sent.read_bytes().startswith(b"To: 8613888888888\n")
    sent.unlink()
    enrolled.tap()
    spool.put(_sealed(enrolled, number=2, first_seq=2))
    assert len(spool.turn()) == 1


def test_lost_card_is_pushed_to_a_terminal_that_was_heard_by_message(spool: Spool, enrolled: FakeTill) -> None:
    enrolled.tap()
    spool.put(_sealed(enrolled))
    assert len(spool.turn()) == 1
    newest = spool.list_card(LOST)
    [pushed] = spool.turn()
    assert _pushed(enrolled, pushed, EMPTY_HOTLIST) == newest
    assert spool.turn(2) == []


def test_push_is_repeated_ever_more_seldom_until_a_session_shows_the_list(spool: Spool, enrolled: FakeTill) -> None:
    enrolled.tap()
    spool.put(_sealed(enrolled))
    spool.turn()
    newest = spool.list_card(LOST)
    numbers = [_opened(enrolled, data)[0].number for data in spool.turn()]
    for gap_s in PUSH_GAPS_S[:3]:
        spool.now += gap_s - 1
        assert spool.turn() == []
        spool.now += 1
        numbers += [_opened(enrolled, data)[0].number for data in spool.turn()]
    assert len(numbers) == len(set(numbers)) == 4
    spool.by_data(enrolled, newest)
    spool.now += PUSH_GAPS_S[-1]
    assert spool.turn() == []


def test_second_lost_card_reaches_a_terminal_that_never_got_the_first(spool: Spool, enrolled: FakeTill) -> None:
    enrolled.tap()
    spool.put(_sealed(enrolled))
    spool.turn()
    one = spool.list_card(LOST)
    assert len(spool.turn()) == 1
    both = spool.list_card(ANOTHER)
    [pushed] = spool.turn()
    assert _pushed(enrolled, pushed, EMPTY_HOTLIST) == both
    assert _pushed(enrolled, pushed, one) == both


def test_card_that_was_found_again_does_not_keep_the_next_from_being_pushed(spool: Spool, enrolled: FakeTill) -> None:
    held = spool.list_card(LOST)
    spool.by_data(enrolled, held)
    enrolled.tap()
    spool.put(_sealed(enrolled))
    assert len(spool.turn()) == 1
    spool.list_card(LOST, listed=False)
    assert spool.turn() == []
    newest = spool.list_card(ANOTHER)
    [pushed] = spool.turn()
    assert _pushed(enrolled, pushed, held) == Hotlist(newest.version, frozenset({LOST, ANOTHER}))


def test_terminal_with_data_is_pushed_to_only_when_it_does_not_come(spool: Spool, enrolled: FakeTill) -> None:
    enrolled.tap()
    spool.put(_sealed(enrolled))
    spool.turn()
    spool.by_data(enrolled, EMPTY_HOTLIST)
    newest = spool.list_card(LOST)
    assert spool.turn() == []
    spool.now += PATIENCE_S
    [pushed] = spool.turn()
    assert _pushed(enrolled, pushed, EMPTY_HOTLIST) == newest


def test_messages_beyond_the_minute_wait(spool: Spool, enrolled: FakeTill) -> None:
    for number in (1, 2, 3):
        enrolled.tap()
        spool.put(_sealed(enrolled, number=number, first_seq=number))
    assert len(spool.turn(3, per_minute=2)) == 2
    assert len(list(spool.incoming.iterdir())) == 1
    assert len(spool.turn()) == 1


def test_numbers_of_datagrams_do_not_come_again_after_a_restore(
    spool: Spool, enrolled: FakeTill, tmp_path: Path
) -> None:
    enrolled.tap()
    path = spool.home.database("canteen")
    backup = path.read_bytes()
    spool.put(_sealed(enrolled))
    before = [_opened(enrolled, data)[0].number for data in spool.turn()]
    for name in ("-wal", "-shm"):
        path.with_name(path.name + name).unlink(missing_ok=True)
    path.write_bytes(backup)
    spool.now += 2 * NUMBER_S
    spool.put(_sealed(enrolled))
    assert [_opened(enrolled, data)[0].number for data in spool.turn()] > before


def test_numbers_of_datagrams_do_not_come_again_after_a_restore_from_before_the_enrolment(
    spool: Spool, till: FakeTill, canteen: StreamDriver
) -> None:
    path = spool.home.database("canteen")
    backup = path.read_bytes()
    canteen.enrol(till)
    canteen.db.close()
    till.tap()
    spool.now += 10 * NUMBER_S
    spool.put(_sealed(till))
    before = [_opened(till, data)[0].number for data in spool.turn()]
    for name in ("-wal", "-shm"):
        path.with_name(path.name + name).unlink(missing_ok=True)
    path.write_bytes(backup)
    spool.now += 2 * NUMBER_S
    with open_writer(path, "canteen") as canteen.db:
        canteen.enrol(till, canteen.ticket(till.terminal, expires_utc_s=spool.now), now_utc_s=spool.now)
    spool.put(_sealed(till))
    assert [_opened(till, data)[0].number for data in spool.turn()] > before


def test_terminal_of_another_stream_is_left_to_that(spool: Spool, enrolled: FakeTill) -> None:
    enrolled.tap()
    data = bytearray(_sealed(enrolled))
    data[0] = DatagramKind.UP << 4 | Stream.SHOPS
    spool.put(bytes(data))
    assert spool.turn(9) == []
    assert len(list(spool.incoming.iterdir())) == 1


def test_what_no_terminal_sent_is_put_aside_without_an_answer(spool: Spool, enrolled: FakeTill) -> None:
    enrolled.tap()
    forged = bytearray(_sealed(enrolled))
    forged[-1] ^= 1
    stranger = bytearray(forged)
    stranger[6] ^= 1
    unserved = bytearray(forged)
    unserved[0] = DatagramKind.UP << 4 | Stream.TUITION
    down = bytearray(forged)
    down[0] = DatagramKind.RECEIPT << 4 | Stream.CANTEEN
    for data in (forged, stranger, unserved, down, b"short"):
        spool.put(bytes(data))
    (spool.incoming / "text").write_bytes(b"From: 8613900000001\nAlphabet: ISO\n\nhello")
    assert spool.turn(9) == []
    assert list(spool.incoming.iterdir()) == []
    assert [reason.removeprefix(b"Refused: ") for reason in spool.aside()] == [
        b"the datagram was damaged or is sealed with another key",
        b"the terminal is not enrolled with this stream",
        b"UP for tuition is not for this stream to take in",
        b"RECEIPT for canteen is not for this stream to take in",
        b"a message of 5 bytes is no datagram",
        b"the message is a text",
    ]


def test_folder_of_what_was_put_aside_does_not_grow_for_ever(
    spool: Spool, enrolled: FakeTill, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sms, "_ASIDE_MAX", 3)
    for _ in range(8):
        spool.put(b"x" * 40)
    assert spool.turn(9) == []
    assert len(spool.aside()) == 3


def test_file_that_is_still_being_written_is_not_put_aside(spool: Spool, enrolled: FakeTill) -> None:
    path = spool.incoming / "message.001"
    path.write_bytes(b"")
    assert spool.turn() == []
    enrolled.tap()
    spool.put(_sealed(enrolled))  # under the same name
    assert len(spool.turn()) == 1
    assert spool.aside() == []


def test_file_that_was_claimed_before_a_crash_is_taken_in(spool: Spool, enrolled: FakeTill) -> None:
    enrolled.tap()
    spool.put(_sealed(enrolled))
    [path] = spool.incoming.iterdir()
    path.rename(path.with_name(path.name + ".canteen"))
    assert len(spool.turn()) == 1


def test_crash_after_the_commit_and_before_the_answer_gives_the_same_receipt(spool: Spool, enrolled: FakeTill) -> None:
    enrolled.tap()
    data = _sealed(enrolled)
    with open_writer(spool.home.database("canteen"), "canteen") as db:
        accept_datagram(db, data, states=CodingStates(), stream=Stream.CANTEEN, keys=spool.keys, now_utc_s=NOW)
    spool.put(data)
    [receipt] = spool.turn()
    assert ReceiptDatagram.from_bytes(_opened(enrolled, receipt)[1]).next_seq == 2
    with open_reader(spool.home.database("canteen"), "canteen") as db:
        assert db.number("SELECT count(*) FROM tap") == 1
