"""The third side of a day's close: what shift reports say against the books."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from settlement.__main__ import main
from settlement.ledger.shifts import shift_alarms
from settlement.onecard.registry import PurseOpening, import_cards
from settlement.streams.shifts import accept_report
from wire.ids import Asn, CardId, IssuerId
from wire.money import Fen
from wire.record import Outcome, TapKind
from wire.shift import ShiftReport, Sum, add_up, shift_genesis

if TYPE_CHECKING:
    from collections.abc import Callable

    from settlement.settings import Home
    from settlement.store.database import Database
    from tests.settlement.conftest import FakeTill, StreamDriver

NOW = 1_764_000_000
DAY = 20251125


@pytest.fixture
def sold(
    canteen: StreamDriver, onecard_db: Database, till: FakeTill, numbered_card: Callable[[int], CardId]
) -> ShiftReport:
    """A morning's taps, one of them in suspense, and what the till's report should say."""
    opening = PurseOpening(card=numbered_card(1), balance_fen=Fen(9_000), counter=0)
    import_cards(onecard_db, [opening], now_utc_s=NOW)
    canteen.enrol(till)
    till.tap(500)
    till.tap(700, wrong_tac=True)
    till.tap(900, outcome=Outcome.VOIDED)
    canteen.accept(till.batch())
    return ShiftReport(
        terminal=till.terminal,
        epoch=till.epoch,
        number=1,
        hash_before=shift_genesis(till.terminal, till.epoch),
        first_seq=1,
        next_seq=4,
        journal_hash=till.head_hash(),
        opened_at_utc_s=NOW - 3_600,
        closed_at_utc_s=NOW,
        cashier=CardId(IssuerId(bytes(8)), Asn(bytes(10))),
        opening_cash_fen=Fen(0),
        counted_cash_fen=Fen(0),
        cash_count=0,
        cash_fen=0,
        taps=add_up(till.records),
    )


def close_day(home: Home, canteen: StreamDriver, onecard: Database, report: ShiftReport, till: FakeTill) -> None:
    accept_report(canteen.db, report.signed(till.key), now_utc_s=NOW)
    canteen.db.close()
    onecard.close()
    assert main(["close-day", "2025-11-25", "--home", str(home.root)]) == 0


def test_report_that_says_what_is_booked_or_in_suspense_raises_no_alarm(
    home: Home,
    canteen: StreamDriver,
    onecard_db: Database,
    till: FakeTill,
    sold: ShiftReport,
    capsys: pytest.CaptureFixture[str],
) -> None:
    close_day(home, canteen, onecard_db, sold, till)
    assert "ALARM" not in capsys.readouterr().out
    assert main(["report", "--home", str(home.root)]) == 0
    assert "ALARM" not in capsys.readouterr().out


def test_report_that_contradicts_its_taps_is_told_when_the_day_is_closed(
    home: Home,
    canteen: StreamDriver,
    onecard_db: Database,
    till: FakeTill,
    sold: ShiftReport,
    capsys: pytest.CaptureFixture[str],
) -> None:
    sums = {**sold.taps, (TapKind.SALE, Outcome.DEBITED): Sum(count=2, amount_fen=1_300)}
    close_day(home, canteen, onecard_db, replace(sold, taps=sums), till)
    name = "canteen 000000000101 epoch 1, shift 1: "
    told = [
        f"{name}its sums are not those of the taps here",
        f"{name}it says 2 SALE of 13.00, and the books have 2 SALE of 12.00",
    ]
    out = capsys.readouterr().out
    assert all(f"ALARM: {words}\n" in out for words in told)
    assert main(["report", "--home", str(home.root)]) == 0
    out = capsys.readouterr().out
    assert all(f"ALARM: last closed day: {words}\n" in out for words in told)


@pytest.mark.usefixtures("sold")
def test_tap_that_the_books_lack_is_told_though_the_stream_has_it(
    home: Home, canteen: StreamDriver, ledger_db: Database, till: FakeTill, sold: ShiftReport
) -> None:
    accept_report(canteen.db, sold.signed(till.key), now_utc_s=NOW)
    (words,) = shift_alarms(home, ledger_db, DAY, DAY)
    assert words.endswith("it says 2 SALE of 12.00, and the books have 0 SALE of 0.00")
    assert shift_alarms(home, ledger_db, DAY + 1, DAY + 1) == []
