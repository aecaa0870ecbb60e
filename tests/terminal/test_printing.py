"""Receipts on their way to a simulated printer: faults, the kept list, copies, restarts."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.printer_escpos import EscposPrinter
from sim.devices.printer import SimulatedPrinter
from terminal.journal import Journal
from terminal.printing import UNPRINTED_MAX, Printing, Unprinted
from terminal.receipts import Form
from terminal.result import Approved, CashTaken, Refused, ShiftReported
from terminal.words.catalogue import Language
from tests.terminal.conftest import INTENT, NOON
from tests.terminal.test_receipts import CARD, totals
from wire.money import Fen
from wire.record import Mac2, Refusal, TapRecord


class Clock:
    """Seconds that pass when the test says so, on top of those that do."""

    def __init__(self) -> None:
        self.ahead_s = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self.ahead_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def journal(open_journal: Callable[[], Journal]) -> Journal:
    return open_journal()


@pytest.fixture
def sim(tmp_path: Path) -> Iterator[SimulatedPrinter]:
    with SimulatedPrinter(tmp_path / "printer") as made:
        yield made
        assert made.error is None


Start = Callable[..., Printing]


@pytest.fixture
def start(tmp_path: Path, sim: SimulatedPrinter, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    monkeypatch.setattr("terminal.printing.RETRY_S", 0.05)
    monkeypatch.setattr("terminal.printing.PROBE_S", 0.05)
    monkeypatch.setattr("drivers.printer_escpos._ANSWER_S", 0.15)
    started: list[tuple[Printing, EscposPrinter]] = []

    def begin(*, every: bool = True) -> Printing:
        printer = EscposPrinter(str(sim.link))
        form = Form(columns=32, languages=(Language.EN,), terminal="610000000001")
        made = Printing(printer, form=form, journal=tmp_path / "journal.db", every=every, monotonic_s=clock)
        started.append((made, printer))
        return made

    yield begin
    for printing, printer in started:
        printing.close()
        printer.close()


def until(condition: Callable[[], object], *, within_s: float = 8.0) -> None:
    ends_s = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < ends_s, "it did not happen in time"
        threading.Event().wait(0.01)


def sell(journal: Journal) -> TapRecord:
    return journal.seal_tap(journal.open_tap(INTENT), tac=bytes.fromhex("1A2B3C4D"), mac2=Mac2.VERIFIED)


def approved(journal: Journal) -> Approved:
    return Approved(sell(journal), Fen(38_00))


def cuts(sim: SimulatedPrinter) -> int:
    with sim.lock:
        return sum(line.cut for line in sim.engine.paper)


def test_each_sale_is_printed_and_remembered_as_printed(journal: Journal, sim: SimulatedPrinter, start: Start) -> None:
    printing = start()
    for _ in range(3):
        printing.ended(approved(journal))
    printing.ended(Refused(Refusal.HOTLISTED, CARD, Fen(0)))
    until(lambda: cuts(sim) == 3)
    assert "COPY" not in sim.text()
    assert printing.unprinted() == ()
    until(lambda: '"next_seq": 4' in (sim.link.parent / "receipts.json").read_text())
    assert printing.notices() == ()


def test_paper_that_ends_within_a_receipt_makes_a_copy_when_it_is_back(
    journal: Journal, sim: SimulatedPrinter, start: Start
) -> None:
    printing = start()
    until(lambda: printing.unprinted() == ())
    with sim.lock:
        sim.engine.lines_left = 3
    printing.ended(approved(journal))
    until(lambda: "printer-no-paper" in [name for name, _ in printing.notices()])
    with sim.lock:
        sim.engine.lines_left = None
    until(lambda: cuts(sim) == 1)
    assert "COPY" in sim.text()
    until(lambda: printing.notices() == ())


def test_receipt_whose_printer_was_off_from_the_start_is_no_copy(
    journal: Journal, sim: SimulatedPrinter, start: Start
) -> None:
    sim.unplug()
    printing = start()
    printing.ended(approved(journal))
    until(printing.notices)
    assert printing.notices()[0][0] == "printer-offline"
    sim.plug()
    until(lambda: cuts(sim) == 1)
    assert "COPY" not in sim.text()


def test_receipt_whose_customer_has_gone_is_kept_and_printed_on_demand_as_a_copy(
    journal: Journal, sim: SimulatedPrinter, start: Start, clock: Clock
) -> None:
    printing = start()
    sim.unplug()
    printing.ended(approved(journal))
    printing.ended(approved(journal))
    until(printing.notices)
    clock.ahead_s += 100
    until(lambda: printing.unprinted() == (1, 2))
    assert ("receipts-unprinted", "2, the last of tap 2") in printing.notices()
    sim.plug()
    until(lambda: len(printing.notices()) == 1)
    assert cuts(sim) == 0
    printing.ask(*printing.unprinted())
    until(lambda: cuts(sim) == 2)
    until(lambda: printing.unprinted() == ())
    assert sim.text().count("COPY") == 2


def test_what_was_not_printed_is_known_after_a_restart(
    journal: Journal, sim: SimulatedPrinter, start: Start, clock: Clock
) -> None:
    first = start()
    first.ended(approved(journal))
    until(lambda: '"next_seq": 2' in (sim.link.parent / "receipts.json").read_text())
    sim.unplug()
    first.ended(approved(journal))
    until(first.notices)
    first.close()
    sell(journal)  # sealed, and the power went before anybody was told
    sim.plug()
    second = start()
    until(lambda: second.unprinted() == (2, 3))
    second.ask(3)
    until(lambda: cuts(sim) == 2)
    assert sim.text().count("COPY") == 1
    until(lambda: second.unprinted() == (2,))


def test_first_start_with_a_printer_owes_nothing_for_the_past(
    journal: Journal, sim: SimulatedPrinter, start: Start
) -> None:
    sell(journal)
    printing = start()
    until((sim.link.parent / "receipts.json").exists)
    assert printing.unprinted() == ()


@pytest.mark.parametrize("garbage", ["", "{", "[]", '{"epoch": 1, "next_seq": 0, "unprinted": []}', "\0"])
def test_damaged_list_is_begun_anew(journal: Journal, sim: SimulatedPrinter, start: Start, garbage: str) -> None:
    sell(journal)
    file = sim.link.parent / "receipts.json"
    file.write_text(garbage)
    printing = start()
    until(lambda: Unprinted.from_json(file.read_text()) == Unprinted(1, 2))
    assert printing.unprinted() == ()


def test_receipts_are_printed_when_asked_for_where_that_is_wanted(
    journal: Journal, sim: SimulatedPrinter, start: Start
) -> None:
    printing = start(every=False)
    printing.ended(approved(journal))
    printing.ended(approved(journal))
    printing.ask(2)
    until(lambda: cuts(sim) == 1)
    assert "COPY" not in sim.text()
    printing.ask(2)
    until(lambda: cuts(sim) == 2)
    assert sim.text().count("COPY") == 1
    assert printing.unprinted() == ()


def test_asking_for_what_has_no_receipt_prints_nothing(journal: Journal, sim: SimulatedPrinter, start: Start) -> None:
    journal.refuse_tap(INTENT, Refusal.HOTLISTED)
    printing = start()
    printing.ask(0, 1, 99)
    printing.ended(CashTaken(1, Fen(5_00), NOON))
    until(lambda: cuts(sim) == 1)
    assert "C1" in sim.text()
    assert "2026-03-02 12:00" in sim.text()


def test_asking_for_the_last_tap_means_the_last_with_a_receipt(
    journal: Journal, sim: SimulatedPrinter, start: Start
) -> None:
    printing = start(every=False)
    printing.ended(approved(journal))
    journal.refuse_tap(INTENT, Refusal.HOTLISTED)
    printing.ask(2)
    until(lambda: cuts(sim) == 1)
    assert "12.00" in sim.text()


def test_report_waits_for_the_printer_however_long_it_takes(
    journal: Journal, sim: SimulatedPrinter, start: Start, clock: Clock
) -> None:
    sim.unplug()
    printing = start()
    printing.ended(ShiftReported(totals()))
    until(printing.notices)
    clock.ahead_s += 1_000
    sim.plug()
    until(lambda: cuts(sim) == 1)
    assert "X-report" in sim.text()


def test_more_receipts_than_can_wait_are_kept_from_the_oldest_on(
    journal: Journal, sim: SimulatedPrinter, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("terminal.printing.WAITING_MAX", 3)
    sim.unplug()
    printing = start()
    for _ in range(5):
        printing.ended(approved(journal))
    until(lambda: printing.unprinted() == (1, 2))
    sim.plug()
    until(lambda: cuts(sim) == 3)


def test_near_end_of_paper_is_told(journal: Journal, sim: SimulatedPrinter, start: Start) -> None:
    sim.engine.lines_left = 15
    printing = start()
    until(lambda: [name for name, _ in printing.notices()] == ["printer-paper-low"])


def test_list_has_a_bound() -> None:
    full = Unprinted(1, 9_000, tuple(range(1, 8_000))).kept(8_500)
    assert (len(full.seqs), full.seqs[-1]) == (UNPRINTED_MAX, 8_500)


@given(st.lists(st.integers(1, 99)), st.integers(1, 99))
def test_list_comes_back_from_its_file(seqs: list[int], done: int) -> None:
    state = Unprinted(1, 1)
    for seq in seqs:
        state = state.kept(seq)
    assert Unprinted.from_json(state.to_json()) == state
    assert done not in state.done(done).seqs


@given(st.text())
def test_garbage_is_no_list(text: str) -> None:
    assert Unprinted.from_json(text) is None
