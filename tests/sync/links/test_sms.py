"""Taps by message: sealed, receipted, within the budget, and a lost card refused after one message."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sim.carrier.carrier import Carrier
from sim.carrier.smsc import Phone
from sim.carrier.tpdu import Deliver
from sim.modem.modem import SimulatedModem
from sync.clock import Clock
from sync.link import LinkDown
from sync.links.modemport import ModemPort
from sync.links.sms import SmsBudgetSpent, SmsRoute
from sync.outbox import JournalCoder
from sync.policy import SmsLimits
from sync.store import KeptDatagram, UplinkStore
from wire.directory import CodingState
from wire.hotlist import EMPTY_HOTLIST, Hotlist
from wire.ids import Asn, CardId, IssuerId
from wire.receipt import BatchReceipt, Cursor, Rejected, Rejection
from wire.record import genesis_hash
from wire.sms import (
    DATAGRAM_NUMBER_MAX,
    NUMBER_S,
    DatagramKind,
    Envelope,
    HotlistDatagram,
    ReceiptDatagram,
    UpDatagram,
)

if TYPE_CHECKING:
    from tests.sync.conftest import Till

KEY = bytes(range(16))
SERVER, TERMINAL = "+8613800000077", "+8613900000001"
LOST = CardId(IssuerId(bytes(8)), Asn(bytes(10)))


@dataclass
class Desk:
    """The server's end: opens each datagram in its place, and answers as a test wants."""

    phone: Phone
    terminal: bytes = b""
    silent: bool = False
    rejection: Rejection | None = None
    came: list[bytes] = field(default_factory=list)
    hashes: list[bytes] = field(default_factory=list)
    number: int = 0

    def hear(self, message: Deliver) -> None:
        data = message.content.body
        self.came.append(data)
        envelope = Envelope.of(data)
        up = UpDatagram.from_bytes(envelope.unseal(data, KEY, 1))
        self.hashes = self.hashes or [genesis_hash(envelope.terminal, 1)]
        if up.first_seq(len(self.hashes)) == len(self.hashes) and self.rejection is None:
            past = CodingState.before(len(self.hashes), self.records)
            links = up.open(past, self.hashes[-1], terminal=envelope.terminal, epoch=1)
            self.records += links.canonicals
            self.hashes += links.chain_hashes
        if not self.silent:
            cursor = Cursor(1, len(self.hashes), self.hashes[-1])
            receipt = ReceiptDatagram.of(BatchReceipt(cursor, ()), self.rejection)
            self.send(envelope, DatagramKind.RECEIPT, receipt.to_bytes())

    records: list[bytes] = field(default_factory=list)

    def send(self, envelope: Envelope, kind: DatagramKind, plain: bytes) -> None:
        self.number += 1
        down = Envelope(kind=kind, stream=envelope.stream, terminal=envelope.terminal, number=self.number)
        self.phone.send(TERMINAL, down.seal(plain, KEY, 1))


@pytest.fixture
def desk(carrier: Carrier) -> Desk:
    desk = Desk(Phone(carrier.smsc, SERVER))
    desk.phone.on_message = desk.hear
    return desk


@pytest.fixture
def route(
    desk: Desk,
    store: UplinkStore,
    till: Till,
    clock: Clock,
    plug_in: Callable[..., SimulatedModem],
    port_of: Callable[..., ModemPort],
) -> SmsRoute:
    return SmsRoute(
        port_of(plug_in()),
        number=SERVER,
        sms_key=KEY,
        limits=SmsLimits(per_minute=4),
        store=store,
        journal=till.reader,
        coder=JournalCoder(till.reader),
        clock=clock,
        answer_s=1.5,
    )


def test_taps_go_up_and_their_receipts_come_back(route: SmsRoute, desk: Desk, store: UplinkStore, till: Till) -> None:
    till.tap(30)
    contact, carried = route.open()
    assert carried is not None
    assert carried.next_seq > 8  # cards that the server has not met yet take more room
    while contact.upload() is not None:
        pass
    assert store.cursor() == Cursor(1, 31, desk.hashes[-1])
    assert all(len(data) <= 140 for data in desk.came)
    assert len(desk.came) <= 4


@pytest.mark.slow
def test_message_without_an_answer_goes_again_in_the_same_bytes(
    route: SmsRoute, desk: Desk, store: UplinkStore, till: Till
) -> None:
    desk.silent = True
    till.tap()
    with pytest.raises(LinkDown, match="no receipt"):
        route.open()
    desk.silent = False
    till.tap()
    _, carried = route.open()
    assert carried is not None
    assert desk.came == [carried.raw] * 2
    assert carried.next_seq == 2
    assert route.upload() is not None
    assert store.cursor().next_seq == 3
    assert len(set(desk.came)) == 2  # another number, another datagram


def test_uplink_database_that_was_lost_repeats_no_number(
    route: SmsRoute, desk: Desk, store: UplinkStore, till: Till, clock: Clock, tmp_path: Path
) -> None:
    till.tap()
    route.open()
    with closing(UplinkStore.open_or_make(tmp_path / "anew.db")) as anew:
        anew.enrol(store.enrolled())
        route._store, route._clock = anew, replace(clock, utc_s=lambda: clock.utc_s() + NUMBER_S)
        till.tap()
        route.open()
    first, second = (Envelope.of(data).number for data in desk.came)
    assert second > first > 1


def test_numbers_that_ran_out_leave_the_other_ways(route: SmsRoute, store: UplinkStore, till: Till) -> None:
    store.save_datagram(KeptDatagram(DATAGRAM_NUMBER_MAX, 7, 8, b"answered"))
    till.tap()
    with pytest.raises(LinkDown, match="run out"):
        route.open()


@pytest.mark.slow
def test_budget_is_kept(route: SmsRoute, desk: Desk, till: Till) -> None:
    desk.silent = True
    till.tap()
    for _ in range(4):
        with pytest.raises(LinkDown, match="no receipt"):
            route.open()
    with pytest.raises(SmsBudgetSpent):
        route.open()
    assert len(desk.came) == 4


def test_refusal_by_message_is_told(route: SmsRoute, desk: Desk, till: Till) -> None:
    desk.rejection = Rejection.QUARANTINED
    till.tap()
    with pytest.raises(Rejected, match="QUARANTINED"):
        route.open()


def test_datagram_that_the_server_cannot_read_is_cut_anew(
    route: SmsRoute, desk: Desk, store: UplinkStore, till: Till
) -> None:
    desk.rejection = Rejection.MALFORMED
    till.tap()
    with pytest.raises(Rejected, match="MALFORMED"):
        route.open()
    desk.rejection = None
    route.open()
    first, second = desk.came
    assert Envelope.of(second).number > Envelope.of(first).number
    assert store.cursor().next_seq == 2


def test_modem_that_went_away_ends_the_contact(route: SmsRoute, till: Till) -> None:
    till.tap()
    contact, _ = route.open()
    route._port.close()
    with pytest.raises(LinkDown, match="went away"):
        contact.listen(0.2)
    route.overhear()  # who does not wait is not troubled


def test_lost_card_is_known_after_one_message(
    route: SmsRoute,
    desk: Desk,
    store: UplinkStore,
    till: Till,
    wait_until: Callable[[Callable[[], bool]], None],
) -> None:
    till.tap()
    route.open()
    new = Hotlist(1, frozenset({LOST}))
    pushed = HotlistDatagram.between(EMPTY_HOTLIST, new)
    assert pushed is not None
    envelope = Envelope.of(desk.came[0])
    desk.phone.send(TERMINAL, "text that is no datagram")
    desk.send(envelope, DatagramKind.HOTLIST, pushed.to_bytes())

    def came() -> bool:
        route.overhear()
        return store.hotlist() == new

    wait_until(came)
    with route._port.registered() as modem:
        assert modem.read_sms() == []
