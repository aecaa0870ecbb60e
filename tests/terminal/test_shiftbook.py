"""Shifts in the journal's file: what is added up, what the database refuses, and damage that is seen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import apsw
import pytest

from terminal.journal import Journal, JournalDamaged, TapIntent
from terminal.result import CashTaken
from terminal.shiftbook import Shiftbook
from tests.terminal.conftest import INTENT, NOON, later
from wire.money import Fen
from wire.record import Mac2, Outcome, Refusal, TapKind, TapRecord, VoidReason
from wire.shift import add_up, shift_genesis

OpenJournal = Callable[[], Journal]
FLOAT = Fen(20_000)


def sell(journal: Journal, intent: TapIntent = INTENT) -> TapRecord:
    return journal.seal_tap(journal.open_tap(intent), tac=b"TAC!", mac2=Mac2.VERIFIED)


def reversal(sale: TapRecord) -> TapIntent:
    return replace(
        INTENT,
        kind=TapKind.REVERSAL,
        amount_fen=Fen(0),
        credit_fen=sale.amount_fen,
        refers_to=sale.tap_id.seq,
    )


def test_report_is_of_every_tap_since_the_report_before(open_journal: OpenJournal) -> None:
    journal = open_journal()
    sell(journal)
    journal.refuse_tap(INTENT, Refusal.EXPIRED)
    shifts = Shiftbook(journal)
    shifts.open(INTENT.card, FLOAT, NOON)
    sell(journal, reversal(sell(journal)))
    assert shifts.take_cash(Fen(500), NOON) == CashTaken(1, Fen(500), NOON)
    shifts.close(Fen(20_400), later(NOON, 60))
    sell(journal)
    shifts.open(INTENT.card, Fen(0), NOON)
    journal.seal_unknown(journal.open_tap(INTENT))
    closed = shifts.close(Fen(0), NOON)
    first, second = journal.reports(1, 9)
    assert (first.first_seq, first.next_seq, second.first_seq, second.next_seq) == (1, 5, 5, 7)
    assert (first.hash_before, second.hash_before) == (shift_genesis(journal.terminal, journal.epoch), first.hash)
    assert first.taps == add_up(journal.records(1, 4))
    assert second.taps == closed.totals.taps == add_up(journal.records(5, 9))
    assert (first.cash_count, first.cash_fen, first.counted_cash_fen, second.cash_fen) == (1, 500, 20_400, 0)
    assert first.closed_at_utc_s - first.opened_at_utc_s == 60
    assert journal.reports(2, 9) == [second]
    assert journal.reports(3, 9) == []
    journal.verify()


def test_open_shift_goes_on_after_a_restart(open_journal: OpenJournal) -> None:
    journal = open_journal()
    shifts = Shiftbook(journal)
    shifts.open(INTENT.card, FLOAT, NOON)
    sale = sell(journal)
    shifts.take_cash(Fen(500), NOON)
    before = shifts.catch_up()
    again = Shiftbook(open_journal())
    assert (again.totals, again.last_sale) == (before, sale)
    assert again.take_cash(Fen(1), NOON).number == 2


def test_totals_are_the_sums_that_the_report_will_have(open_journal: OpenJournal) -> None:
    journal = open_journal()
    shifts = Shiftbook(journal)
    shifts.open(INTENT.card, FLOAT, NOON)
    for _ in range(3):
        sell(journal)
    totals = shifts.catch_up()
    assert totals is not None
    assert totals.of(TapKind.SALE, Outcome.DEBITED).amount_fen == 3_600
    assert totals.of(TapKind.REFUND, Outcome.DEBITED).count == 0
    assert totals.expected_cash_fen == FLOAT


def test_last_sale_is_one_that_can_be_taken_back(open_journal: OpenJournal) -> None:
    journal = open_journal()
    shifts = Shiftbook(journal)

    def last() -> int | None:
        shifts.catch_up()
        return None if shifts.last_sale is None else shifts.last_sale.tap_id.seq

    sale = sell(journal)
    assert last() == 1
    journal.refuse_tap(INTENT, Refusal.EXPIRED)
    assert last() == 1
    journal.void_tap(journal.open_tap(reversal(sale)), VoidReason.NOT_EXECUTED)
    assert last() == 1
    sell(journal, reversal(sale))
    assert last() is None
    sell(journal)
    assert last() == 5
    journal.seal_unknown(journal.open_tap(INTENT))
    assert last() is None
    sell(journal)
    journal.seal_tap(journal.open_tap(INTENT), tac=b"TAC!", mac2=Mac2.REFUSED)
    assert last() is None


def test_sale_of_a_shift_that_is_closed_is_not_the_last_one_after_a_restart(open_journal: OpenJournal) -> None:
    journal = open_journal()
    shifts = Shiftbook(journal)
    shifts.open(INTENT.card, FLOAT, NOON)
    sell(journal)
    shifts.close(FLOAT, NOON)
    assert Shiftbook(open_journal()).last_sale is None


@pytest.mark.parametrize(
    "sql",
    [
        "INSERT INTO shift_opened SELECT 2, cashier, first_seq, 0, 0, 0, 0, 0 FROM shift_opened",
        "INSERT INTO shift_opened SELECT 3, cashier, first_seq, 0, 0, 0, 0, 0 FROM shift_opened",
        "INSERT OR REPLACE INTO shift_opened SELECT 1, cashier, 1, 7, 0, 0, 0, 0 FROM shift_opened",
        "INSERT INTO cash_sale VALUES (3, 1, 5, 0)",
        "INSERT INTO cash_sale VALUES (2, 2, 5, 0)",
        "INSERT INTO cash_sale VALUES (2, 1, 0, 0)",
        "INSERT OR REPLACE INTO cash_sale VALUES (1, 1, 5, 0)",
        "INSERT INTO shift_closed VALUES (2, 2, x'00', zeroblob(32))",
        "INSERT INTO shift_closed VALUES (1, 1, x'00', zeroblob(32))",
        "INSERT INTO shift_closed VALUES (1, 2, x'00', x'00')",
        "UPDATE shift_opened SET opening_cash_fen = 0",
        "UPDATE cash_sale SET amount_fen = 1",
        "DELETE FROM cash_sale",
        "DELETE FROM shift_opened",
    ],
)
def test_database_refuses_what_no_shift_does(open_journal: OpenJournal, sql: str) -> None:
    journal = open_journal()
    shifts = Shiftbook(journal)
    shifts.open(INTENT.card, FLOAT, NOON)
    shifts.take_cash(Fen(500), NOON)
    sell(journal)
    with pytest.raises(apsw.ConstraintError):
        journal._db.execute(sql)


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE shift_closed SET next_seq = 1",
        "DELETE FROM shift_closed",
        "INSERT OR REPLACE INTO shift_closed VALUES (1, 2, x'00', zeroblob(32))",
        "INSERT INTO cash_sale VALUES (1, 1, 5, 0)",
        "INSERT INTO shift_opened SELECT 2, cashier, 1, 0, 0, 0, 0, 0 FROM shift_opened",
    ],
)
def test_closed_shift_is_never_changed(open_journal: OpenJournal, sql: str) -> None:
    journal = open_journal()
    shifts = Shiftbook(journal)
    shifts.open(INTENT.card, FLOAT, NOON)
    sell(journal)
    shifts.close(FLOAT, NOON)
    with pytest.raises(apsw.ConstraintError):
        journal._db.execute(sql)


def test_shift_does_not_close_over_an_open_tap(open_journal: OpenJournal) -> None:
    journal = open_journal()
    shifts = Shiftbook(journal)
    shifts.open(INTENT.card, FLOAT, NOON)
    journal.open_tap(INTENT)
    with pytest.raises(apsw.ConstraintError):
        shifts.close(FLOAT, NOON)


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE shift_closed SET hash = zeroblob(32) WHERE number = 1",
        "UPDATE shift_closed SET report = x'00' WHERE number = 1",
        "UPDATE shift_closed SET report = (SELECT report FROM shift_closed WHERE number = 2) WHERE number = 1",
        "UPDATE shift_closed SET next_seq = 9 WHERE number = 2",
        "UPDATE sealed SET hash = zeroblob(32) WHERE seq = 2",
    ],
)
def test_damaged_report_stops_the_till_at_its_start(open_journal: OpenJournal, sql: str) -> None:
    journal = open_journal()
    shifts = Shiftbook(journal)
    for _ in range(2):
        shifts.open(INTENT.card, FLOAT, NOON)
        sell(journal)
        shifts.close(FLOAT, NOON)
    for table in ("shift_closed", "sealed"):
        journal._db.execute(f"DROP TRIGGER {table}_is_never_changed")
    journal._db.execute(sql)
    with pytest.raises(JournalDamaged):
        open_journal()
