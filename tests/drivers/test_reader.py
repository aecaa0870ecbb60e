"""One contract of readers, kept by the real PC/SC reader on a private pcscd and by the one in the same process."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import pytest

from drivers.channel import CardMute, CardRemoved, ReaderFault, ReaderMissing, ReaderServiceDown, ReaderStuck
from drivers.pcsc import PcscReader
from drivers.reader import CardLeft, CardPresented, CardSilent, Reader, ReaderEvent, ReaderFound, ReaderLost
from sim.card.chip import PoweredCard
from sim.card.flaws import Mute
from sim.card.issue import issue_card
from sim.card.memory import Memory, RamFile
from sim.card.profile import CAMPUS, CAMPUS_T0, CardProfile
from sim.card.purse import Purse
from sim.pcsc.local import LocalReader
from sim.pcsc.private import PrivatePcscd
from sim.pcsc.slot import VirtualSlot
from wire.ids import Asn, CardId, IssuerId
from wire.money import Fen
from wire.purse_keys import PurseKeys

PATIENCE_S = 15.0
SELECT = bytes.fromhex("00A4040009A00000000386980701")
BALANCE = bytes.fromhex("805C000204")
KEYS = PurseKeys(purchase=bytes(range(16)), load=bytes(range(1, 17)), tac=bytes(range(2, 18)))


class Watch:
    """A reader's events, awaited one by one."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._events: queue.SimpleQueue[ReaderEvent] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def next(self) -> ReaderEvent:
        return self._events.get(timeout=PATIENCE_S)

    def end(self) -> None:
        self._reader.stop()
        self._thread.join(PATIENCE_S)
        assert not self._thread.is_alive(), "events did not end after stop()"

    def _run(self) -> None:
        for event in self._reader.events():
            self._events.put(event)


class Bench:
    """A reader, and hands to put cards on it."""

    def __init__(
        self,
        reader: Reader,
        *,
        insert: Callable[[PoweredCard], None],
        remove: Callable[[], None],
        fail: Callable[[bool], None],
        stick: Callable[[bool], None],
        repower: Callable[[PoweredCard], None],
        come_back: Callable[[PoweredCard], None],
    ) -> None:
        self.reader = reader
        self.insert = insert
        self.remove = remove
        self.fail = fail
        self.stick = stick
        self.repower = repower
        self.come_back = come_back


@pytest.fixture(scope="module")
def pcscd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivatePcscd]:
    # The PC/SC library remembers the first PCSCLITE_CSOCK_NAME of a process: all modules' daemons need the same one.
    folder: Path = tmp_path_factory.getbasetemp() / "pcscd"
    with PrivatePcscd(folder) as daemon, pytest.MonkeyPatch.context() as patch:
        patch.setenv("PCSCLITE_CSOCK_NAME", str(daemon.socket_path))
        yield daemon


@pytest.fixture(params=["local", "pcscd"])
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    if request.param == "local":
        local = LocalReader()

        def fail_locally(down: bool) -> None:
            local.lose(ReaderServiceDown("no pcscd")) if down else local.find()

        yield Bench(
            local,
            insert=local.insert,
            remove=local.remove,
            fail=fail_locally,
            stick=local.stick,
            repower=lambda _: local.repower(),
            come_back=lambda _: local.find(),
        )
        return
    daemon: PrivatePcscd = request.getfixturevalue("pcscd")
    slot = VirtualSlot(daemon, 0, clock=time.monotonic)

    def fail_really(down: bool) -> None:
        daemon.stop() if down else daemon.start()

    def stick_really(stuck: bool) -> None:
        slot.stuck = stuck

    def repower_really(chip: PoweredCard) -> None:
        slot.remove()
        slot.insert(chip)

    def come_back_really(chip: PoweredCard) -> None:
        slot.remove()
        daemon.start()
        slot.insert(chip)

    yield Bench(
        PcscReader(daemon.reader_names[0]),
        insert=slot.insert,
        remove=slot.remove,
        fail=fail_really,
        stick=stick_really,
        repower=repower_really,
        come_back=come_back_really,
    )
    slot.remove()
    if not daemon.running:
        daemon.start()


@pytest.fixture
def watch(bench: Bench) -> Iterator[Watch]:
    watch = Watch(bench.reader)
    yield watch
    watch.end()


@pytest.fixture
def card(tmp_path: Path) -> Callable[..., Purse]:
    def make(number: int = 1, profile: CardProfile = CAMPUS) -> Purse:
        path, identity = tmp_path / str(number), CardId(IssuerId(bytes(8)), Asn(number.to_bytes(10)))
        issue_card(
            path,
            keys=KEYS,
            card=identity,
            valid_from_bcd=bytes.fromhex("20250901"),
            valid_to_bcd=bytes.fromhex("20290831"),
            opening_balance_fen=Fen(5000),
            profile=profile,
        )
        return Purse(Memory(RamFile(path.read_bytes())), Random(number))

    return make


def test_first_event_is_that_the_reader_is_there(watch: Watch) -> None:
    assert watch.next() == ReaderFound()


def test_card_that_lies_there_already_is_presented(bench: Bench, card: Callable[..., Purse]) -> None:
    bench.insert(card())
    watch = Watch(bench.reader)
    try:
        assert [watch.next(), watch.next()] == [ReaderFound(), CardPresented(CAMPUS.atr)]
    finally:
        watch.end()


def test_every_exchange_of_cards_is_told(bench: Bench, watch: Watch, card: Callable[..., Purse]) -> None:
    assert watch.next() == ReaderFound()
    for number, profile in enumerate((CAMPUS, CAMPUS_T0, CAMPUS), 1):
        bench.insert(card(number, profile))
        assert watch.next() == CardPresented(profile.atr)
        bench.remove()
        assert watch.next() == CardLeft()


def test_no_card_gives_no_channel(bench: Bench, watch: Watch) -> None:
    assert watch.next() == ReaderFound()
    with pytest.raises(CardRemoved), bench.reader.connect():
        pytest.fail("connected to nothing")


@pytest.mark.parametrize("profile", [CAMPUS, CAMPUS_T0])
def test_connected_card_answers_and_forgets_its_session_afterwards(
    bench: Bench, watch: Watch, card: Callable[..., Purse], profile: CardProfile
) -> None:
    bench.insert(card(profile=profile))
    assert [watch.next(), watch.next()] == [ReaderFound(), CardPresented(profile.atr)]
    with bench.reader.connect() as channel:
        assert channel.transmit(SELECT)[1] == 0x9000
        assert channel.transmit(BALANCE) == (bytes.fromhex("00001388"), 0x9000)
    with bench.reader.connect() as channel:
        assert channel.transmit(BALANCE) == (b"", 0x6985)


def test_second_connection_is_refused_while_the_first_lasts(
    bench: Bench, watch: Watch, card: Callable[..., Purse]
) -> None:
    bench.insert(card())
    assert [watch.next(), watch.next()] == [ReaderFound(), CardPresented(CAMPUS.atr)]
    with bench.reader.connect() as channel:
        with pytest.raises(ReaderFault), bench.reader.connect():
            pytest.fail("connected twice")
        assert channel.transmit(SELECT)[1] == 0x9000


def test_channel_of_a_card_that_left_stays_dead_under_the_next_card(
    bench: Bench, watch: Watch, card: Callable[..., Purse]
) -> None:
    bench.insert(card(1))
    assert [watch.next(), watch.next()] == [ReaderFound(), CardPresented(CAMPUS.atr)]
    with bench.reader.connect() as channel:
        channel.transmit(SELECT)
        bench.remove()
        with pytest.raises((CardRemoved, ReaderFault)):
            channel.transmit(BALANCE)
        assert watch.next() == CardLeft()
        bench.insert(card(2))
        with pytest.raises((CardRemoved, ReaderFault)):
            channel.transmit(SELECT)


def test_reader_that_vanishes_is_told_and_found_again_by_itself(
    bench: Bench, watch: Watch, card: Callable[..., Purse]
) -> None:
    assert watch.next() == ReaderFound()
    bench.fail(True)
    lost = watch.next()
    assert isinstance(lost, ReaderLost)
    assert lost.code in (ReaderServiceDown.code, ReaderMissing.code)  # the daemon may still say goodbye to its readers
    with pytest.raises(ReaderServiceDown), bench.reader.connect():
        pytest.fail("connected through a reader that is gone")
    bench.fail(False)
    while isinstance(event := watch.next(), ReaderLost):
        assert event.why
    assert event == ReaderFound()
    bench.insert(card())
    assert isinstance(watch.next(), CardPresented)


def test_card_that_lies_there_while_the_reader_vanishes_is_presented_anew_as_perhaps_the_same(
    bench: Bench, watch: Watch, card: Callable[..., Purse]
) -> None:
    chip = card()
    bench.insert(chip)
    assert [watch.next(), watch.next()] == [ReaderFound(), CardPresented(CAMPUS.atr)]
    with bench.reader.connect() as channel:
        channel.transmit(SELECT)
        bench.fail(True)
        with pytest.raises((CardRemoved, ReaderFault)):
            channel.transmit(BALANCE)
    while not isinstance(watch.next(), ReaderLost):
        pass
    bench.come_back(chip)
    while isinstance(event := watch.next(), ReaderLost):
        pass
    assert event == ReaderFound()
    assert watch.next() == CardPresented(CAMPUS.atr, perhaps_same=True)


def test_thing_that_does_not_answer_is_told_until_it_leaves(
    bench: Bench, watch: Watch, card: Callable[..., Purse]
) -> None:
    assert watch.next() == ReaderFound()
    bench.insert(Mute())
    assert watch.next() == CardSilent()
    with pytest.raises(CardMute), bench.reader.connect():
        pytest.fail("connected to what does not answer")
    bench.remove()
    assert watch.next() == CardLeft()
    bench.insert(card())
    assert watch.next() == CardPresented(CAMPUS.atr)


def test_card_reported_anew_right_after_it_was_powered_down_may_be_the_same(
    bench: Bench, watch: Watch, card: Callable[..., Purse]
) -> None:
    chip = card()
    bench.insert(chip)
    assert [watch.next(), watch.next()] == [ReaderFound(), CardPresented(CAMPUS.atr)]
    with bench.reader.connect() as channel:
        channel.transmit(SELECT)
    bench.repower(chip)
    assert [watch.next(), watch.next()] == [CardLeft(), CardPresented(CAMPUS.atr, perhaps_same=True)]


def test_reader_that_sticks_is_told_from_a_card_that_left_and_works_again_afterwards(
    bench: Bench, watch: Watch, card: Callable[..., Purse]
) -> None:
    bench.insert(card())
    assert [watch.next(), watch.next()] == [ReaderFound(), CardPresented(CAMPUS.atr)]
    bench.stick(True)
    faults: list[ReaderFault] = []
    for _ in range(2):
        with pytest.raises(ReaderFault) as caught, bench.reader.connect() as channel:
            channel.transmit(SELECT)
        faults.append(caught.value)
    assert isinstance(faults[-1], ReaderStuck), faults
    bench.stick(False)
    with bench.reader.connect() as channel:
        assert channel.transmit(SELECT)[1] == 0x9000


def test_stop_ends_events_before_they_began(bench: Bench) -> None:
    bench.reader.stop()
    assert list(bench.reader.events()) == []
