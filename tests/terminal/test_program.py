"""The running till over in-process readers: threads, queue, faults of every device, and `Stop`."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from drivers.channel import ReaderMissing, ReaderStuck
from drivers.pcsc import PcscReader
from drivers.purse import CAMPUS_CARD
from drivers.reader import Reader, ReaderEvent
from sim.card.flaws import Mute
from sim.pcsc.local import LocalReader, Tear
from sim.pcsc.private import PrivatePcscd
from sim.pcsc.slot import VirtualSlot
from terminal.basket import amount_offer
from terminal.downlink import Downlink
from terminal.events import AmountEntered, CancelPressed
from terminal.program import Program, Redraw, Stop
from terminal.psam import PsamSlot
from terminal.result import Approved, NotPaid, Refused, Result, StillThere, Torn, Unresolved
from terminal.standing import Standing
from terminal.till import Till
from tests.terminal.conftest import NOON, TERMINAL, World, later, make_uplink
from wire.configuration import ClassLimits, Configuration, Name
from wire.hotlist import Hotlist
from wire.ids import Stream
from wire.money import Fen
from wire.record import NO_TAC, Mac2, Outcome, Refusal

PATIENCE_S = 10.0


class Spy:
    """A screen that keeps what it was shown."""

    def __init__(self) -> None:
        self.results: queue.SimpleQueue[Result] = queue.SimpleQueue()
        self.changed = threading.Condition()
        self.seen = ("", "", "")
        self.version = 0
        self.silent = False

    def show(self, till: Till, standing: Standing) -> None:
        with self.changed:
            fault = till.reader_fault or till.psam_fault or till.verdict
            why = "" if fault is None else f"{fault.why} [{fault.code}]"
            self.version = 0 if till.configuration is None else till.configuration.version
            self.seen = (till.phase.name, why, till.failure or "")
            self.silent = till.card_silent
            self.changed.notify_all()

    def ended(self, result: Result, elapsed_ms: float) -> None:
        assert elapsed_ms >= 0
        self.results.put(result)

    def wait(self, phase: str, *, fault: str = "", failure: str = "", silent: bool | None = None) -> None:
        """Until the till shows all of this; without `fault` it shows none."""

        def shown() -> bool:
            fits = fault in self.seen[1] and bool(fault) == bool(self.seen[1]) and failure in self.seen[2]
            return fits and self.seen[0] == phase and silent in (None, self.silent)

        with self.changed:
            assert self.changed.wait_for(shown, PATIENCE_S), f"the till shows {self.seen}"

    def result(self) -> Result:
        return self.results.get(timeout=PATIENCE_S)


class Running:
    """A program in a thread, with its readers."""

    def __init__(
        self,
        world: World,
        folder: Path,
        *,
        reader: LocalReader | None = None,
        real: tuple[Reader, Reader] | None = None,
    ) -> None:
        self.world = world
        self.now = NOON
        self.reader = LocalReader() if reader is None else reader
        self.psam_reader, self.screen = LocalReader(), Spy()
        self.psam_reader.insert(world.psam)
        card_reader, psam_reader = real or (self.reader, self.psam_reader)
        self.uplink = make_uplink(folder / "uplink.db")
        self.downlink = Downlink(folder / "uplink.db")
        self.program = self._program(card_reader, psam_reader)
        self.thread = threading.Thread(target=self.program.run, args=(self.screen,), daemon=True)

    def _program(self, reader: Reader, psam_reader: Reader) -> Program:
        return Program(
            journal=self.world.journal,
            usage=self.world.usage,
            downlink=self.downlink,
            reader=reader,
            psam=PsamSlot(psam_reader, TERMINAL),
            profile=CAMPUS_CARD,
            limits=self.world.limits,
            now=lambda: self.now,
            monotonic_s=time.monotonic,
        )

    def amount(self, fen: int) -> None:
        self.program.events.put(AmountEntered(Fen(fen)))

    def result(self) -> Result:
        """The next one; a minute goes by after it."""
        result = self.screen.result()
        self.now = later(self.now, 60)
        return result

    def configure(self, configuration: Configuration) -> None:
        """Have it come down, and wait until the till goes by it."""
        with self.uplink:
            self.uplink.execute("INSERT OR REPLACE INTO configuration VALUES (1, ?)", (configuration.to_bytes(),))
        with self.screen.changed:
            version = configuration.version
            assert self.screen.changed.wait_for(lambda: self.screen.version == version, PATIENCE_S)

    def stop(self) -> None:
        self.program.events.put(Stop())
        self.thread.join(PATIENCE_S)
        assert not self.thread.is_alive(), "the program did not stop"
        self.downlink.close()
        self.uplink.close()


@pytest.fixture
def running(world: World, tmp_path: Path) -> Iterator[Running]:
    made = Running(world, tmp_path)
    made.thread.start()
    yield made
    made.stop()


def test_operators_limit_holds_from_the_next_tap_on_in_place_of_the_terminals_own(running: Running) -> None:
    card = running.world.card(1)
    configuration = Configuration(
        version=1,
        stream=Stream.CANTEEN,
        outlet=1,
        merchant_name=Name("饮食中心"),
        outlet_name=Name("第一食堂"),
        others=ClassLimits(tap_fen_max=Fen(1199)),
        proof=bytes(64),
    )
    for version, (limit_fen, outcome) in enumerate(((None, Approved), (1199, Refused), (1200, Approved))):
        if limit_fen is not None:
            limits = ClassLimits(tap_fen_max=Fen(limit_fen))
            running.configure(replace(configuration, version=version, others=limits))
        running.amount(1200)
        running.program.events.put(Redraw())
        running.reader.insert(card.chip)
        assert isinstance(running.result(), outcome)
        running.reader.remove()


def test_amount_and_card_make_a_sale_and_the_next_one(running: Running) -> None:
    one, two = running.world.card(1), running.world.card(2)
    for card in (one, two):
        running.amount(1200)
        running.program.events.put(Redraw())
        running.reader.insert(card.chip)
        assert isinstance(running.result(), Approved)
        running.reader.remove()
    assert [record.mac2 for record in running.world.journal.records(1, 5)] == [Mac2.VERIFIED] * 2
    assert (one.debits, two.debits) == (1, 1)


def test_hotlist_that_came_down_counts_from_the_next_tap_on(running: Running) -> None:
    card = running.world.card()
    with running.uplink:
        running.uplink.execute("INSERT INTO hotlist VALUES (1, ?, 0)", (Hotlist(1, frozenset({card.id})).to_bytes(),))
    running.amount(1200)
    running.reader.insert(card.chip)
    result = running.result()
    assert isinstance(result, Refused)
    assert result.refusal is Refusal.HOTLISTED


def test_damaged_hotlist_stops_sales_and_not_the_till(running: Running) -> None:
    card = running.world.card()
    with running.uplink:
        running.uplink.execute("INSERT INTO hotlist VALUES (1, x'00', 0)")
    running.amount(1200)
    running.reader.insert(card.chip)
    assert isinstance(running.result(), NotPaid)
    assert card.debits == 0
    running.reader.remove()
    with running.uplink:
        running.uplink.execute("UPDATE hotlist SET body = ?", (Hotlist(1, frozenset()).to_bytes(),))
    running.screen.wait("CARD")
    running.reader.insert(card.chip)
    assert isinstance(running.result(), Approved)


def test_torn_card_comes_back_and_is_asked(running: Running) -> None:
    card = running.world.card()
    card.chip.tear(Tear.AFTER, after=2)
    running.amount(1200)
    running.reader.insert(card.chip)
    assert isinstance(running.result(), Torn)
    running.screen.wait("SAME_CARD")
    running.reader.remove()
    running.reader.insert(card.chip)
    result = running.result()
    assert isinstance(result, Approved)
    assert (result.record.mac2, card.debits) == (Mac2.VERIFIED, 1)


def test_torn_card_that_comes_back_after_the_psam_lost_its_power_is_not_checked(running: Running) -> None:
    card = running.world.card()
    card.chip.tear(Tear.AFTER, after=2)
    running.amount(1200)
    running.reader.insert(card.chip)
    assert isinstance(running.result(), Torn)
    running.reader.remove()
    running.psam_reader.remove()
    running.psam_reader.insert(running.world.psam)
    sent = len(running.world.psam.received)
    running.reader.insert(card.chip)
    results = [running.result()]
    while isinstance(results[-1], Torn):  # the first command finds the PSAM gone
        running.reader.remove()
        running.reader.insert(card.chip)
        results.append(running.result())
    assert isinstance(results[-1], Unresolved)
    assert results[-1].record.tac != NO_TAC
    checks = [apdu for apdu in running.world.psam.received[sent:] if apdu[1] == 0x72]
    assert checks == [], "MAC2 was shown to a PSAM that cannot know it any more"


def test_torn_tap_can_be_given_up_without_card_or_psam(world: World, tmp_path: Path) -> None:
    card = world.card()
    card.chip.tear(Tear.BEFORE, after=2)
    assert isinstance(world.sale.charge(world.channel(card), amount_offer(Fen(1200))), Torn)
    running = Running(world, tmp_path)
    running.psam_reader.remove()
    running.thread.start()
    for _ in range(2):
        running.program.events.put(CancelPressed())
    result = running.result()
    running.stop()
    assert isinstance(result, Unresolved)
    assert world.journal.records(1, 5)[0].outcome is Outcome.UNKNOWN


def test_psam_that_is_missing_is_told_and_used_when_it_comes(running: Running) -> None:
    card = running.world.card()
    running.psam_reader.remove()
    running.amount(1200)
    running.reader.insert(card.chip)
    assert isinstance(running.result(), NotPaid)
    running.psam_reader.insert(running.world.psam)
    running.reader.remove()
    running.reader.insert(card.chip)
    assert isinstance(running.result(), Approved)


def test_reader_that_vanishes_is_shown_until_it_is_back(running: Running) -> None:
    running.screen.wait("AMOUNT")
    running.reader.lose(ReaderMissing("pulled out"))
    running.screen.wait("AMOUNT", fault="pulled out")
    running.reader.find()
    running.amount(1200)
    running.reader.insert(running.world.card().chip)
    assert isinstance(running.result(), Approved)


def test_disk_that_takes_nothing_puts_the_till_out_of_order(running: Running) -> None:
    card = running.world.card()
    running.screen.wait("AMOUNT")
    running.world.journal._db.execute("PRAGMA query_only = 1")
    running.amount(1200)
    running.reader.insert(card.chip)
    running.screen.wait("NOTHING", failure="could not be written")
    assert card.debits == 0


class BrokenReader(LocalReader):
    """A reader whose events end in a bug, once."""

    broken = False

    def events(self) -> Iterator[ReaderEvent]:
        if not self.broken:
            self.broken = True
            raise RuntimeError("a bug in a driver")
        yield from super().events()


def test_watch_that_dies_is_seen_and_begun_anew(world: World, tmp_path: Path) -> None:
    running = Running(world, tmp_path, reader=BrokenReader())
    running.thread.start()
    try:
        running.screen.wait("AMOUNT", fault="a bug in a driver")
        running.amount(1200)
        running.reader.insert(world.card().chip)
        assert isinstance(running.result(), Approved)
    finally:
        running.stop()


def test_psam_that_lost_its_power_between_two_taps_costs_no_second_presentation(running: Running) -> None:
    running.screen.wait("AMOUNT")
    running.psam_reader.remove()
    running.psam_reader.insert(running.world.psam)
    card = running.world.card()
    running.amount(1200)
    running.reader.insert(card.chip)
    assert isinstance(running.result(), Approved)
    assert card.debits == 1


def test_psam_that_is_missing_is_told_before_any_card_comes_and_its_return_too(world: World, tmp_path: Path) -> None:
    running = Running(world, tmp_path)
    running.psam_reader.remove()
    running.thread.start()
    running.screen.wait("AMOUNT", fault="psam-lost")
    running.psam_reader.insert(world.psam)
    running.screen.wait("AMOUNT")
    running.stop()


def test_verdict_of_the_server_stops_new_sales_and_not_a_torn_one(running: Running) -> None:
    card = running.world.card()
    card.chip.tear(Tear.AFTER, after=2)
    running.amount(1200)
    running.reader.insert(card.chip)
    assert isinstance(running.result(), Torn)
    with running.uplink:
        running.uplink.execute("INSERT INTO verdict VALUES (1, 'FORK', 'tap 7 differs', 0)")
    running.screen.wait("SAME_CARD", fault="tap 7 differs [FORK]")
    running.reader.remove()
    running.reader.insert(card.chip)
    assert isinstance(running.result(), Approved)
    running.screen.wait("NOTHING", fault="FORK")
    running.reader.remove()
    running.amount(500)
    running.reader.insert(card.chip)
    running.reader.remove()
    with running.uplink:
        running.uplink.execute("DELETE FROM verdict")
    running.screen.wait("CARD")
    assert card.debits == 1
    running.reader.insert(card.chip)
    assert isinstance(running.result(), Approved)


def test_reader_that_sticks_is_told_apart_and_sells_again_once_it_was_unplugged(running: Running) -> None:
    card = running.world.card()
    running.reader.stick(True)
    running.amount(1200)
    running.reader.insert(card.chip)
    result = running.result()
    assert isinstance(result, NotPaid)
    assert result.code == ReaderStuck.code
    running.reader.remove()
    running.reader.lose(ReaderMissing("unplugged"))
    running.screen.wait("CARD", fault="reader-missing")
    running.reader.stick(False)
    running.reader.find()
    running.screen.wait("CARD")
    running.reader.insert(card.chip)
    assert isinstance(running.result(), Approved)
    assert card.debits == 1


def test_card_that_is_reported_anew_without_leaving_does_not_pay_for_the_next_customer(running: Running) -> None:
    card, other = running.world.card(1), running.world.card(2)
    running.amount(1200)
    running.reader.insert(card.chip)
    assert isinstance(running.result(), Approved)
    running.reader.repower()
    running.amount(500)
    assert running.result() == StillThere(card.id)
    running.reader.remove()
    running.reader.insert(other.chip)
    assert isinstance(running.result(), Approved)
    assert (card.debits, other.debits) == (1, 1)


def test_thing_that_does_not_answer_is_waited_out(running: Running) -> None:
    running.amount(1200)
    running.reader.insert(Mute())
    running.screen.wait("CARD", silent=True)
    running.reader.remove()
    running.screen.wait("CARD", silent=False)
    running.reader.insert(running.world.card().chip)
    assert isinstance(running.result(), Approved)


def test_till_that_starts_with_an_open_tap_asks_for_its_card(world: World, tmp_path: Path) -> None:
    card = world.card()
    card.chip.tear(Tear.AFTER, after=2)
    assert isinstance(world.sale.charge(world.channel(card), amount_offer(Fen(1200))), Torn)
    running = Running(world, tmp_path)
    running.thread.start()
    running.screen.wait("SAME_CARD")
    running.reader.insert(card.chip)
    result = running.result()
    running.stop()
    assert isinstance(result, Unresolved)
    assert result.record.tac != NO_TAC


def test_till_sells_on_after_pcscd_was_ended_and_came_back(
    world: World, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with PrivatePcscd(tmp_path_factory.getbasetemp() / "pcscd") as daemon, pytest.MonkeyPatch.context() as patch:
        patch.setenv("PCSCLITE_CSOCK_NAME", str(daemon.socket_path))
        card_slot, psam_slot = (VirtualSlot(daemon, number, clock=time.monotonic) for number in (0, 1))
        card_reader, psam_reader = (PcscReader(name) for name in daemon.reader_names)
        running = Running(world, tmp_path, real=(card_reader, psam_reader))
        psam_slot.insert(world.psam)
        running.thread.start()
        cards = [world.card(1), world.card(2)]
        for card in cards:
            running.screen.wait("AMOUNT")
            running.amount(500)
            card_slot.insert(card.chip)
            assert isinstance(running.result(), Approved)
            card_slot.remove()
            daemon.stop()
            running.screen.wait("AMOUNT", fault="reader-service-down")
            psam_slot.remove()
            daemon.start()
            psam_slot.insert(world.psam)
        running.stop()
        psam_slot.remove()
    assert [card.debits for card in cards] == [1, 1]
