"""The operator's report."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from settlement.ledger.entries import Source, entry_for, load_for
from settlement.ledger.pending import post_loads
from settlement.ledger.pull import StreamSource, pull_portion
from settlement.ledger.store import post
from settlement.ledger.unknown import Unsettled
from settlement.report import read_report, report_json, report_text
from settlement.settings import Home
from settlement.store.database import Database
from settlement.streams.shifts import accept_report
from settlement.streams.terminals import identify
from wire.hotlist import EMPTY_HOTLIST
from wire.ids import CardId, LoadId, Stream, TerminalId
from wire.messages import Identify
from wire.money import Fen
from wire.receipt import Suspense
from wire.record import Outcome, TapRecord
from wire.shift import ShiftReport

if TYPE_CHECKING:
    from tests.settlement.conftest import FakeTill, StreamDriver


OUTAGE_S = 7 * 86_400


def book(db: Database, *records: TapRecord, at_utc_s: int) -> None:
    items = []
    for record in records:
        why = Suspense.OUTCOME_UNKNOWN if record.outcome is Outcome.UNKNOWN else None
        source = Source("canteen", record.tap_id.seq)
        items.append(entry_for(record, suspense=why, source=source, received_at_utc_s=at_utc_s))
    with db.transaction():
        post(db, [item for item in items if item is not None])


@pytest.mark.usefixtures("purses")
def test_report_names_balances_suspense_and_what_is_missing(
    home: Home, canteen: StreamDriver, ledger_db: Database, till: FakeTill, utc_s: int
) -> None:
    canteen.enrol(till)
    for amount_fen in (1_000, 250, 300, 400):
        till.tap(amount_fen, wrong_tac=amount_fen == 250)
    canteen.accept(till.batch(1, 3))
    canteen.accept(till.batch(4))  # a gap: refused, but now the server knows how far the journal goes
    source = StreamSource(home.place("canteen"), Stream.CANTEEN)
    pull_portion(ledger_db, source)
    source.close()
    report = read_report(home, now_utc_s=utc_s + 7_200, outage_s=OUTAGE_S)
    text = report_text(report)
    assert "2002  merchant payable" in text
    assert "-10.00" in text
    assert "000000000101-1-2  card ••0001  TAC_WRONG" in text
    assert "2 h old" in text
    assert "taps 1-2" in text
    assert "Suspense: 1 item, 2.50 yuan, in no balance\n" in text
    assert "missing 3-4, 7.00 yuan" in text
    found = json.loads(json.dumps(report_json(report)))
    assert found["suspense"][0]["amount_fen"] == 250
    assert found["terminals"][0]["missing_fen"] == 700
    assert found["unbalanced_entries"] == []
    assert {a["account"]: a["balance_fen"] for a in found["balances"] if a["balance_fen"]} == {2001: 1000, 2002: -1000}


def test_report_of_a_new_home_says_that_there_is_nothing(home: Home, utc_s: int) -> None:
    text = report_text(read_report(home, now_utc_s=utc_s, outage_s=OUTAGE_S))
    assert "nothing posted yet" in text
    assert "On its way to cards: nothing" in text
    assert "Suspense: nothing waits for an explanation" in text
    assert "none enrolled" in text


@pytest.mark.usefixtures("purses")
def test_pending_load_is_listed_with_amount_and_age(
    home: Home, ledger_db: Database, utc_s: int, numbered_card: Callable[[int], CardId]
) -> None:
    loads = [
        load_for(
            LoadId(TerminalId(bytes.fromhex("000000000901")), 1, n),
            numbered_card(n),
            online_counter=0,
            amount_fen=Fen(5_000 * n),
            source=Source("topup", n),
            granted_at_utc_s=utc_s,
        )
        for n in (1, 2)
    ]
    with ledger_db.transaction():
        post_loads(ledger_db, loads)
    report = read_report(home, now_utc_s=utc_s + 180, outage_s=OUTAGE_S)
    text = report_text(report)
    assert "On its way to cards: 2 loads, 150.00 yuan, in no balance yet" in text
    assert "  000000000901-1-L1  card ••0001         50.00  3 min old" in text
    assert "nothing posted yet" in text
    (first, _) = json.loads(json.dumps(report_json(report)))["pending_loads"]
    assert (first["load"], first["amount_fen"], first["age_s"]) == ("000000000901-1-L1", 5_000, 180)


@pytest.mark.usefixtures("purses")
def test_unknown_tap_says_what_is_awaited_until_it_is_settled_and_then_its_evidence_on_demand(
    home: Home, ledger_db: Database, till: FakeTill, utc_s: int, make_till: Callable[[int], FakeTill]
) -> None:
    def text(now_utc_s: int, *, resolved: bool = False) -> str:
        return report_text(read_report(home, now_utc_s=now_utc_s, outage_s=OUTAGE_S), resolved=resolved)

    due = utc_s + OUTAGE_S
    torn = till.tap(500, counter=3, outcome=Outcome.UNKNOWN)
    book(ledger_db, torn, at_utc_s=utc_s)
    assert "nobody saw whether the card paid; awaited: the card's next purchase" in text(utc_s)
    other = make_till(7)
    for counter, more_fen in ((2, 700), (4, -500)):
        near = replace(other.tap(700, counter=counter), balance_before_fen=Fen(torn.balance_before_fen + more_fen))
        book(ledger_db, near, at_utc_s=utc_s)
    assert "awaited: any other terminal's record of count 3, until 2025-12-02 00:00" in text(utc_s)
    assert "awaited: the ledger's next turn" in text(due)
    Unsettled(outage_s=OUTAGE_S).settle(ledger_db, now_utc_s=due, complete=True)
    assert "Suspense: nothing waits for an explanation" in text(due)
    assert "Settled" not in text(due)
    told = text(due, resolved=True)
    assert "000000000101-1-1  card ••0001          5.00  paid: entry 8, settled 2025-12-02 00:00" in told
    assert "evidence: entry 7, tap 000000000007-1-2: the card went on to count 4, and nobody brought count 3" in told
    book(ledger_db, make_till(9).tap(900, counter=3), at_utc_s=due)
    assert "ALARM: entry 8 was booked for this count when nobody had brought it" in text(due)


@pytest.mark.usefixtures("purses")
def test_tap_that_took_nothing_and_one_that_needs_a_person_are_told_so(
    home: Home, ledger_db: Database, till: FakeTill, utc_s: int, make_till: Callable[[int], FakeTill]
) -> None:
    nothing = Unsettled(outage_s=OUTAGE_S)
    none = json.loads(json.dumps(report_json(read_report(home, now_utc_s=utc_s, outage_s=1), resolved=True)))
    assert none["settled"] == []
    torn, rival = (one.tap(500, counter=3, outcome=Outcome.UNKNOWN) for one in (till, make_till(9)))
    book(ledger_db, torn, rival, at_utc_s=utc_s)
    text = report_text(read_report(home, now_utc_s=utc_s, outage_s=OUTAGE_S), resolved=True)
    assert "awaited: a person: something else claims count 3, too" in text
    assert "Settled from cards' counters: nothing" in text
    book(ledger_db, till.tap(700, counter=3), at_utc_s=utc_s)
    nothing.settle(ledger_db, now_utc_s=utc_s, complete=True)
    report = read_report(home, now_utc_s=utc_s, outage_s=OUTAGE_S)
    assert "not paid, settled 2025-11-25 00:00" in report_text(report, resolved=True)
    assert "it has count 3, and a card counts each debit once" in report_text(report, resolved=True)
    settled = json.loads(json.dumps(report_json(report, resolved=True)))["settled"]
    assert [(item["outcome"], item["entry"]) for item in settled] == [("NOT_EXECUTED", None)] * 2
    assert "settled" not in report_json(report)


@pytest.mark.usefixtures("purses")
def test_unknown_tap_whose_amount_no_balance_bears_out_says_so_and_what_is_missing_before_that(
    home: Home,
    canteen: StreamDriver,
    ledger_db: Database,
    till: FakeTill,
    utc_s: int,
    make_till: Callable[[int], FakeTill],
) -> None:
    def text() -> str:
        return report_text(read_report(home, now_utc_s=utc_s + OUTAGE_S, outage_s=OUTAGE_S))

    other = make_till(7)
    torn = till.tap(500, counter=3, outcome=Outcome.UNKNOWN)
    book(ledger_db, torn, at_utc_s=utc_s)
    late = other.tap(700, counter=5)
    book(ledger_db, late, at_utc_s=utc_s)
    assert "awaited: a person: no other terminal tells the card's balance right before and after count 3" in text()
    book(ledger_db, other.tap(700, counter=4), other.tap(700, counter=2), at_utc_s=utc_s)
    assert "awaited: a person: the claimed amount does not fit the card's next balance" in text()
    canteen.enrol(till)
    canteen.accept(till.batch())
    till.tap()
    till.tap()
    canteen.accept(till.batch(3))  # a gap: refused, but now the server knows how far the journal goes
    assert "awaited: the taps of terminals that miss some or are QUARANTINED: any may have count 3" in text()


def test_terminal_whose_storage_was_rolled_back_stands_out(
    home: Home, canteen: StreamDriver, till: FakeTill, utc_s: int
) -> None:
    canteen.enrol(till)
    till.tap()
    canteen.accept(till.batch())
    identity = Identify(
        terminal=till.terminal, epoch=till.epoch, head_seq=0, total_fen=0, hotlist_mark=EMPTY_HOTLIST.mark
    ).signed(till.key, bytes(16))
    identify(canteen.db, identity, now_utc_s=utc_s)
    report = read_report(home, now_utc_s=utc_s, outage_s=OUTAGE_S)
    assert "ROLLED BACK: its journal was seen to end with tap 0" in report_text(report)
    assert json.loads(json.dumps(report_json(report)))["terminals"][0]["rolled_back_to_seq"] == 0


def test_terminal_that_never_sold_has_no_taps_yet_and_one_whose_taps_are_all_awaited_says_which(
    home: Home, canteen: StreamDriver, till: FakeTill, utc_s: int
) -> None:
    canteen.enrol(till)
    line = report_text(read_report(home, now_utc_s=utc_s + 5, outage_s=OUTAGE_S)).splitlines()[-1]
    assert line == "  canteen     000000000101  epoch 1  no taps yet  (heard 5 s ago)"
    till.tap(300)
    till.tap(400)
    canteen.accept(till.batch(2))
    line = report_text(read_report(home, now_utc_s=utc_s, outage_s=OUTAGE_S)).splitlines()[-1]
    assert line == "  canteen     000000000101  epoch 1  missing 1-2, 7.00 yuan  (heard 0 s ago)"


def test_quarantined_terminal_stands_out(home: Home, canteen: StreamDriver, till: FakeTill, utc_s: int) -> None:
    canteen.enrol(till)
    till.tap(1)
    canteen.accept(till.batch())
    till.records.clear()
    till.tap(2)
    canteen.accept(till.batch())
    assert "QUARANTINED: tap 1 differs" in report_text(read_report(home, now_utc_s=utc_s, outage_s=OUTAGE_S))


def test_report_lists_shift_reports_that_do_not_fit(home: Home, canteen: StreamDriver, till: FakeTill) -> None:
    canteen.enrol(till)
    shift = ShiftReport(
        terminal=till.terminal,
        epoch=1,
        number=1,
        hash_before=bytes(32),
        first_seq=1,
        next_seq=1,
        journal_hash=till.head_hash(),
        opened_at_utc_s=1,
        closed_at_utc_s=2,
        cashier=CardId.from_bytes(bytes(18)),
        opening_cash_fen=Fen(0),
        counted_cash_fen=Fen(0),
        cash_count=0,
        cash_fen=0,
        taps={},
    )
    assert accept_report(canteen.db, shift.signed(till.key), now_utc_s=3).number == 1
    report = read_report(home, now_utc_s=4, outage_s=OUTAGE_S)
    assert "ALARM: canteen 000000000101 epoch 1, shift 1: it does not follow" in report_text(report)
    assert report_json(report)["shift_alarms"] == [
        {
            "stream": "canteen",
            "terminal": "000000000101",
            "epoch": 1,
            "shift": 1,
            "alarms": ["CHAIN"],
            "received_at_utc_s": 3,
        }
    ]
