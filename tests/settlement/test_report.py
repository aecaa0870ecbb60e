"""The operator's report."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from settlement.ledger.pull import StreamSource, pull_portion
from settlement.report import read_report, report_json, report_text
from settlement.settings import Home
from settlement.store.database import Database
from settlement.streams.terminals import identify
from wire.hotlist import EMPTY_HOTLIST
from wire.ids import Stream
from wire.messages import Identify

if TYPE_CHECKING:
    from tests.settlement.conftest import FakeTill, StreamDriver


@pytest.mark.usefixtures("purses")
def test_report_names_balances_suspense_and_what_is_missing(
    home: Home, canteen: StreamDriver, ledger_db: Database, till: FakeTill, utc_s: int
) -> None:
    canteen.enrol(till)
    for amount_fen in (1_000, 250, 300, 400):
        till.tap(amount_fen, wrong_tac=amount_fen == 250)
    canteen.accept(till.batch(1, 3))
    canteen.accept(till.batch(4))  # a gap: refused, but now the server knows how far the journal goes
    source = StreamSource(home.database("canteen"), Stream.CANTEEN)
    pull_portion(ledger_db, source)
    source.close()
    report = read_report(home, now_utc_s=utc_s + 7_200)
    text = report_text(report)
    assert "2002  merchant payable" in text
    assert "-10.00" in text
    assert "000000000101-1-2  card ••0001  TAC_WRONG" in text
    assert "2 h old" in text
    assert "taps 1-2" in text
    assert "Suspense: 1 item\n" in text
    assert "missing 3-4, 7.00 yuan" in text
    found = json.loads(json.dumps(report_json(report)))
    assert found["suspense"][0]["amount_fen"] == 250
    assert found["terminals"][0]["missing_fen"] == 700
    assert found["unbalanced_entries"] == []
    assert {a["account"]: a["balance_fen"] for a in found["balances"] if a["balance_fen"]} == {2001: 1000, 2002: -1000}


def test_report_of_a_new_home_says_that_there_is_nothing(home: Home, utc_s: int) -> None:
    text = report_text(read_report(home, now_utc_s=utc_s))
    assert "nothing posted yet" in text
    assert "none enrolled" in text


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
    report = read_report(home, now_utc_s=utc_s)
    assert "ROLLED BACK: its journal was seen to end with tap 0" in report_text(report)
    assert json.loads(json.dumps(report_json(report)))["terminals"][0]["rolled_back_to_seq"] == 0


def test_terminal_that_never_sold_has_no_taps_yet_and_one_whose_taps_are_all_awaited_says_which(
    home: Home, canteen: StreamDriver, till: FakeTill, utc_s: int
) -> None:
    canteen.enrol(till)
    line = report_text(read_report(home, now_utc_s=utc_s + 5)).splitlines()[-1]
    assert line == "  canteen     000000000101  epoch 1  no taps yet  (heard 5 s ago)"
    till.tap(300)
    till.tap(400)
    canteen.accept(till.batch(2))
    line = report_text(read_report(home, now_utc_s=utc_s)).splitlines()[-1]
    assert line == "  canteen     000000000101  epoch 1  missing 1-2, 7.00 yuan  (heard 0 s ago)"


def test_quarantined_terminal_stands_out(home: Home, canteen: StreamDriver, till: FakeTill, utc_s: int) -> None:
    canteen.enrol(till)
    till.tap(1)
    canteen.accept(till.batch())
    till.records.clear()
    till.tap(2)
    canteen.accept(till.batch())
    assert "QUARANTINED: tap 1 differs" in report_text(read_report(home, now_utc_s=utc_s))
