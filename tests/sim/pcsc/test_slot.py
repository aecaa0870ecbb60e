"""A virtual slot behind the real pcscd; and one contract that a till's channel keeps there and in the same process."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from statistics import median

import pytest

from drivers.channel import CardChannel, CardRemoved, ReaderFault, ResolvingChannel
from drivers.pcsc import PcscReader
from drivers.reader import CardLeft, CardPresented
from sim.card.chip import PoweredCard
from sim.card.faults import Fault, FaultPlan, FaultyChip, PlannedFault
from sim.card.memory import SLOT_BYTES, Memory, PowerCut, RamFile, encode_slot
from sim.card.profile import CAMPUS, CAMPUS_T0
from sim.card.purse import Purse
from sim.pcsc.local import LocalSlot
from sim.pcsc.private import PrivatePcscd
from sim.pcsc.slot import VirtualSlot
from sim.psam.psam import Psam

SELECT = bytes.fromhex("00A4040009A00000000386980701")
BALANCE = bytes.fromhex("805C000204")
INIT = bytes.fromhex("805001020B 01 00000064 610000000001 0F")

Opened = tuple[CardChannel, Callable[[], None]]  # a channel, and how to pull the card
Open = Callable[[PoweredCard], AbstractContextManager[Opened]]
MakeCard = Callable[..., Purse]


def await_card(reader: PcscReader) -> bytes:
    """The ATR of the card that the reader presents."""
    for event in reader.events():
        if isinstance(event, CardPresented):
            return event.atr
    raise AssertionError("no card was presented in time")


def transmit_for_ever(channel: CardChannel) -> None:
    """Until the card is pulled."""
    while True:
        channel.transmit(BALANCE)


@pytest.fixture
def slot(pcscd: PrivatePcscd) -> Iterator[VirtualSlot]:
    slot = VirtualSlot(pcscd, 0, clock=time.monotonic)
    yield slot
    slot.remove()


@pytest.fixture(params=["local", "pcscd"])
def open_channel(request: pytest.FixtureRequest) -> Open:
    @contextmanager
    def locally(card: PoweredCard) -> Iterator[Opened]:
        local_slot = LocalSlot()
        local_slot.insert(card)
        yield ResolvingChannel(local_slot), local_slot.remove

    @contextmanager
    def through_pcscd(card: PoweredCard) -> Iterator[Opened]:
        slot: VirtualSlot = request.getfixturevalue("slot")
        reader: PcscReader = request.getfixturevalue("reader")
        slot.insert(card)
        assert await_card(reader) == card.atr
        with reader.connect() as channel:
            yield channel, slot.remove
        slot.remove()

    return locally if request.param == "local" else through_pcscd


@pytest.mark.parametrize("profile", [CAMPUS, CAMPUS_T0])
def test_channel_gives_whole_answers_of_either_kind_of_card(
    open_channel: Open, make_card: MakeCard, profile: object
) -> None:
    with open_channel(make_card(profile=profile)) as (channel, _):
        fci, sw = channel.transmit(SELECT)
        assert sw == 0x9000
        assert fci[-30:] == bytes.fromhex("610000000000000102010000610000000000123420250901202908310000")
        assert channel.transmit(BALANCE) == (bytes.fromhex("00001388"), 0x9000)
        assert channel.transmit(BALANCE[:4] + b"\x03") == (bytes.fromhex("00001388"), 0x9000)
        init, sw = channel.transmit(INIT)
        assert (len(init), sw) == (15, 0x9000)


def test_channel_passes_refusals_on(open_channel: Open, make_card: MakeCard) -> None:
    with open_channel(make_card()) as (channel, _):
        assert channel.transmit(bytes.fromhex("00A40000021234")) == (b"", 0x6A82)
        assert channel.transmit(bytes.fromhex("80FF0000")) == (b"", 0x6D00)
        assert channel.transmit(BALANCE) == (b"", 0x6985)


@pytest.mark.parametrize("profile", [CAMPUS, CAMPUS_T0])
def test_wrong_debit_over_a_channel_moves_nothing(open_channel: Open, make_card: MakeCard, profile: object) -> None:
    card = make_card(profile=profile)
    with open_channel(card) as (channel, _):
        channel.transmit(SELECT)
        channel.transmit(INIT)
        debit = bytes.fromhex("805401000F 00000001 20260301 120000 00000000 08")
        assert channel.transmit(debit) == (b"", 0x9302)
        assert channel.transmit(BALANCE) == (bytes.fromhex("00001388"), 0x9000)


def test_card_forgets_its_session_with_its_power(open_channel: Open, make_card: MakeCard) -> None:
    card = make_card()
    with open_channel(card) as (channel, _):
        channel.transmit(SELECT)
        assert channel.transmit(INIT)[1] == 0x9000
    with open_channel(card) as (channel, _):
        assert channel.transmit(BALANCE) == (b"", 0x6985)


def test_channel_of_a_pulled_card_raises_and_the_card_hears_nothing(open_channel: Open, make_card: MakeCard) -> None:
    card = make_card()
    with open_channel(card) as (channel, pull):
        channel.transmit(SELECT)
        pull()
        with pytest.raises((CardRemoved, ReaderFault)):
            channel.transmit(BALANCE)


def test_every_exchange_of_cards_is_noticed(slot: VirtualSlot, reader: PcscReader, make_card: MakeCard) -> None:
    cards = [make_card("one"), make_card("two", profile=CAMPUS_T0), make_card("three")]
    expected = [event for card in cards for event in (CardPresented(card.atr), CardLeft())]
    seen: list[object] = []

    def exchange() -> None:
        for number, card in enumerate(cards):
            slot.insert(card)
            presented.acquire(timeout=10)
            assert seen[2 * number] == CardPresented(card.atr)
            slot.remove()

    presented = threading.Semaphore(0)
    owner = threading.Thread(target=exchange)
    owner.start()
    for event in reader.events():
        if isinstance(event, CardPresented | CardLeft):
            seen.append(event)
        if isinstance(event, CardPresented):
            presented.release()
        if len(seen) == len(expected):
            break
    owner.join(10)
    assert seen == expected


def test_next_card_is_noticed_though_the_last_one_left_during_a_command(
    slot: VirtualSlot, reader: PcscReader, make_card: MakeCard
) -> None:
    first, second = make_card("first"), make_card("second", profile=CAMPUS_T0)
    slot.insert(first)
    await_card(reader)
    with reader.connect() as channel:
        channel.transmit(SELECT)
        before_s = slot.last_apdu_monotonic_s
        leaving = threading.Thread(target=slot.remove)
        leaving.start()
        with pytest.raises((CardRemoved, ReaderFault)):
            transmit_for_ever(channel)
        leaving.join(5)
        assert before_s is not None
        assert slot.last_apdu_monotonic_s is not None
        assert slot.last_apdu_monotonic_s >= before_s
    slot.insert(second)
    presented = (event.atr for event in reader.events() if isinstance(event, CardPresented))
    assert next(presented) == second.atr


def test_owner_sees_when_the_last_apdu_was(slot: VirtualSlot, reader: PcscReader, make_card: MakeCard) -> None:
    slot.insert(make_card())
    assert slot.last_apdu_monotonic_s is None
    await_card(reader)
    with reader.connect() as channel:
        channel.transmit(SELECT)
        first_s = slot.last_apdu_monotonic_s
        channel.transmit(BALANCE)
    assert first_s is not None
    assert slot.last_apdu_monotonic_s is not None
    assert first_s < slot.last_apdu_monotonic_s <= time.monotonic()
    assert slot.occupied
    assert not slot.apdu_under_way
    slot.remove()
    assert not slot.occupied


def test_card_whose_power_goes_in_a_write_leaves_without_an_answer(slot: VirtualSlot, reader: PcscReader) -> None:
    fields = {
        "terminal": bytes(6),
        "serial": bytes(14),
        "key_index": b"\x01",
        "key_version": b"\x01",
        "purchase_master": bytes(range(16)),
        "ttsn": bytes(4),
        "tries_left": b"\x0f",
        "t0": b"\x00",
    }
    file = RamFile(encode_slot(0, fields).ljust(2 * SLOT_BYTES, b"\0"), steps_left=50)
    slot.insert(Psam(Memory(file)))
    await_card(reader)
    with reader.connect() as channel:
        channel.transmit(bytes.fromhex("00A40000023F01"))
        with pytest.raises((CardRemoved, ReaderFault)):
            channel.transmit(bytes.fromhex("807000001C") + bytes(10) + b"\x06" + bytes(7) + b"\x01\x00" + bytes(9))
    with pytest.raises(PowerCut):
        slot.remove()
    assert Memory(RamFile(bytes(file.image))).number("ttsn") == 0


def test_both_slots_serve_at_the_same_time(
    pcscd: PrivatePcscd, slot: VirtualSlot, reader: PcscReader, make_card: MakeCard, psam: Psam
) -> None:
    psam_slot = VirtualSlot(pcscd, 1, clock=time.monotonic)
    psam_slot.insert(psam)
    slot.insert(make_card())
    psam_reader = PcscReader(pcscd.reader_names[1])
    await_card(reader)
    await_card(psam_reader)
    with reader.connect() as to_card, psam_reader.connect() as to_psam:
        assert to_psam.transmit(bytes.fromhex("00B0960006")) == (bytes.fromhex("610000000001"), 0x9000)
        assert to_card.transmit(SELECT)[1] == 0x9000
    psam_slot.remove()


def test_apdus_do_not_wait_for_delayed_acknowledgements(
    slot: VirtualSlot, reader: PcscReader, make_card: MakeCard
) -> None:
    slot.insert(make_card())
    await_card(reader)
    durations_s = []
    with reader.connect() as channel:
        for _ in range(50):
            start_s = time.monotonic()
            channel.transmit(SELECT)
            durations_s.append(time.monotonic() - start_s)
    assert median(durations_s) < 0.02  # without TCP_QUICKACK it is 0.04 and more


@pytest.mark.parametrize("fault", [Fault.REMOVED_BEFORE, Fault.ANSWER_LOST])
def test_card_that_leaves_by_itself_is_no_fault_and_comes_back(
    slot: VirtualSlot, reader: PcscReader, make_card: MakeCard, fault: Fault
) -> None:
    pauses: list[float] = []
    plan = FaultPlan(0, (PlannedFault(1, fault),))
    card = FaultyChip(make_card(), plan, other=make_card("other"), pause=pauses.append)
    slot.insert(card)
    await_card(reader)
    with reader.connect() as channel:
        channel.transmit(SELECT)
        with pytest.raises((CardRemoved, ReaderFault)):
            channel.transmit(BALANCE)
    slot.remove()
    slot.insert(card)
    await_card(reader)
    with reader.connect() as channel:
        assert channel.transmit(SELECT)[1] == 0x9000
        assert channel.transmit(BALANCE) == (bytes.fromhex("00001388"), 0x9000)
