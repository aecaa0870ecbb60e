"""A whole day at the real till by lines of JSON, over the real pcscd: from sign-on to the Z-report."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path

import pytest

from sim.pcsc.private import PrivatePcscd
from sim.pcsc.slot import VirtualSlot
from sim.process import Child
from sync.store import Enrolment, UplinkStore
from terminal.journal import JournalReader
from tests.terminal.conftest import TERMINAL, Card, World
from tests.terminal.school import PIN, RICE, SCHOOL, TEA_CODE
from wire.ids import Stream
from wire.record import Outcome, TapKind, TapRecord
from wire.shift import Sum, add_up

PATIENCE_S = 30.0
DAY = replace(SCHOOL, periods=(), subsidies=())  # at whatever hour this runs


class Counter:
    """Somebody who types lines and holds cards to the reader, and waits for what the till says."""

    def __init__(self, till: Child, slot: VirtualSlot) -> None:
        self._till = till
        self._slot = slot

    def say(self, **line: object) -> None:
        self._till.say(json.dumps(line))

    def heard(self, event: str, **fields: object) -> dict[str, object]:
        """The next line of this event with these fields."""
        ends_s, passed = time.monotonic() + PATIENCE_S, []
        while (line := self._till.line(max(ends_s - time.monotonic(), 0))) is not None:
            said: dict[str, object] = json.loads(line)
            if said["event"] == event and fields.items() <= said.items():
                return said
            passed.append(line)
        raise AssertionError(f"the till did not say {event} {fields}, but {passed}")

    def hold(self, card: Card, phase: str, kind: str) -> dict[str, object]:
        """Hold the card to the reader as soon as the till waits for it; never one twice running to pay with, for the
        reader could not tell that it was lifted so quickly.
        """
        self.heard("waiting", **{"for": phase, "fault": None})
        self._slot.insert(card.chip)
        try:
            return self.heard("result", kind=kind)
        finally:
            self._slot.remove()

    def sign_on(self, card: Card) -> None:
        self.heard("waiting", **{"for": "pin"})
        self.say(do="pin", digits=PIN)
        self.hold(card, "staff_card", "SignedOn")


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """Only its cards and its PSAM are used."""
    (tmp_path / "world").mkdir()
    made = World(tmp_path / "world")
    yield made
    made.journal.close()


@pytest.fixture
def counter(world: World, tmp_path: Path) -> Iterator[Counter]:
    with ExitStack() as stack:
        pcscd = stack.enter_context(PrivatePcscd(tmp_path / "pcscd"))
        card_slot, psam_slot = (VirtualSlot(pcscd, number, clock=time.monotonic) for number in (0, 1))
        psam_slot.insert(world.psam)
        stack.callback(psam_slot.remove)
        make_home(tmp_path / "home" / "terminal", *pcscd.reader_names)
        till = Child.start(
            "till",
            ["terminal", "run", "--json", "--home", str(tmp_path / "home")],
            log=tmp_path / "till.log",
            environment=os.environ | {"PCSCLITE_CSOCK_NAME": str(pcscd.socket_path), "PYTHONUNBUFFERED": "1"},
        )
        stack.callback(till.end)
        yield Counter(till, card_slot)


def make_home(folder: Path, card_reader: str, psam_reader: str) -> None:
    folder.mkdir(parents=True)
    text = f'[reader]\ncard = "{card_reader}"\npsam = "{psam_reader}"\n[limits]\ntap_fen_max = 10000\n'
    (folder / "terminal.toml").write_text(text + '[uplink]\nhost = "127.0.0.1"\nport = 9\n', encoding="utf-8")
    with closing(UplinkStore.open_or_make(folder / "uplink.db")) as uplink:
        uplink.enrol(
            Enrolment(terminal=TERMINAL, epoch=1, stream=Stream.CANTEEN, enrolled_at_utc_s=1, ticket_digest=bytes(32))
        )
        uplink.save_configuration(DAY)


def recorded(folder: Path) -> list[TapRecord]:
    with closing(JournalReader.open(folder / "journal.db")) as journal:
        return journal.records(1, 99)


def test_day_by_lines_of_json_ends_in_the_journals_own_z_report(counter: Counter, world: World, tmp_path: Path) -> None:
    folder = tmp_path / "home" / "terminal"
    cashier, supervisor, first, second = (world.card(number) for number in (101, 102, 1, 2))
    counter.sign_on(cashier)
    counter.say(do="amount", fen=20_000)
    counter.heard("result", kind="ShiftOpened", number=1)
    counter.say(do="amount", fen=1_250)
    assert counter.hold(first, "card", "Approved")["balance_fen"] == 3_750
    counter.say(do="undo")
    undone = counter.hold(first, "undo_card", "Reversed")
    assert (undone["credit_fen"], undone["refers_to"]) == (1_250, 2)
    counter.say(do="product", number=RICE, count=2)
    counter.say(do="scan", code=TEA_CODE)
    assert counter.hold(second, "card", "Approved")["balance_fen"] == 4_500
    counter.say(do="refund", seq=4)
    counter.sign_on(supervisor)
    counter.say(do="amount", fen=100)
    assert counter.hold(second, "refund_card", "Refunded")["credit_fen"] == 100
    counter.say(do="product", number=RICE)
    counter.say(do="cash")
    counter.heard("result", kind="CashTaken", amount_fen=100)
    counter.say(do="close-shift")
    counter.heard("waiting", **{"for": "counted_cash"})
    counter.say(do="amount", fen=20_000)
    closed = counter.heard("result", kind="ShiftClosed")
    assert (closed["expected_cash_fen"], closed["counted_cash_fen"]) == (20_100, 20_000)
    records = recorded(folder)
    assert [record.kind for record in records] == [
        TapKind.SIGN_ON,
        TapKind.SALE,
        TapKind.REVERSAL,
        TapKind.SALE,
        TapKind.SIGN_ON,
        TapKind.REFUND,
    ]
    with closing(JournalReader.open(folder / "journal.db")) as journal:
        [report] = journal.reports(1, 9)
    assert (report.first_seq, report.next_seq, report.taps) == (1, 7, add_up(records))
    assert report.taps[(TapKind.SALE, Outcome.DEBITED)] == Sum(count=2, amount_fen=1_750)
    assert PIN not in (tmp_path / "till.log").read_text()
