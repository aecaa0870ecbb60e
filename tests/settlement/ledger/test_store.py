"""Posting: created, exists, differs, suspended."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from settlement.ledger import booked, store
from settlement.ledger.entries import Account, Entry, Source, SuspenseItem, entry_for, opening_for, suspended
from settlement.ledger.store import Posted
from settlement.store.database import Database, RuleBroken
from wire.ids import CardId, TapId
from wire.money import Fen
from wire.receipt import Suspense
from wire.record import TapRecord

if TYPE_CHECKING:
    from tests.settlement.conftest import FakeTill

CREATED, EXISTS, SUSPENDED = Posted.CREATED, Posted.EXISTS, Posted.SUSPENDED


def entry(record: TapRecord, position: int = 1) -> Entry:
    item = entry_for(record, suspense=None, source=Source("canteen", position), received_at_utc_s=100)
    assert isinstance(item, Entry)
    return item


def post(db: Database, *items: Entry | SuspenseItem) -> Sequence[Posted]:
    with db.transaction():
        return store.post(db, items)


pytestmark = pytest.mark.usefixtures("purses")


def test_repeat_answers_exists_and_changes_nothing(ledger_db: Database, till: FakeTill) -> None:
    first = entry(till.tap(500))
    assert post(ledger_db, first) == [CREATED]
    assert post(ledger_db, first, first) == [EXISTS, EXISTS]
    assert ledger_db.number("SELECT count(*) FROM posting") == 2


def test_same_tap_with_another_amount_is_an_alarm_and_goes_to_suspense(ledger_db: Database, till: FakeTill) -> None:
    record = till.tap(500)
    post(ledger_db, entry(record))
    assert post(ledger_db, entry(replace(record, amount_fen=Fen(501)))) == [Posted.EXISTS_WITH_DIFFERENT_AMOUNT]
    (item,) = store.open_suspense(ledger_db)
    assert (item.reason, item.amount_fen) == (Suspense.TAP_DIFFERS, 501)


def test_every_other_content_of_a_tap_is_kept_and_a_repeat_of_one_is_not(ledger_db: Database, till: FakeTill) -> None:
    record = till.tap(500)
    others = [entry(replace(record, amount_fen=Fen(amount)), position=amount) for amount in (501, 502)]
    post(ledger_db, entry(record), *others)
    assert post(ledger_db, *others) == [Posted.EXISTS_WITH_DIFFERENT_AMOUNT] * 2
    kept = [(item.reason, item.amount_fen) for item in store.open_suspense(ledger_db)]
    assert kept == [(Suspense.TAP_DIFFERS, 501), (Suspense.TAP_DIFFERS, 502)]


def test_suspended_tap_that_comes_again_with_other_content_is_kept_too(ledger_db: Database, till: FakeTill) -> None:
    record = till.tap(500, wrong_tac=True)
    items = [
        suspended(changed, reason=Suspense.TAC_WRONG, source=Source("canteen", 1), received_at_utc_s=100)
        for changed in (record, replace(record, amount_fen=Fen(501)), replace(record, counter=9), record)
    ]
    assert post(ledger_db, *items) == [SUSPENDED] * 4
    kept = [(item.amount_fen, item.counter) for item in store.open_suspense(ledger_db)]
    assert kept == [(500, 0), (501, 0), (500, 9)]


@pytest.mark.parametrize("together", [True, False])
def test_one_tac_pays_for_one_purchase_whatever_counters_epochs_and_streams_it_is_copied_with(
    ledger_db: Database, till: FakeTill, together: bool, posted_taps: Callable[[Database], dict[TapId, Fen]]
) -> None:
    genuine = till.tap(500, counter=4)
    copies = [
        replace(genuine, tap_id=replace(genuine.tap_id, epoch=1 + n // 3, seq=1 + n), counter=4 + n)
        for n in range(1, 6)
    ]
    claims = [
        replace(entry(record), source=Source(("canteen", "shops")[n % 2], 1 + n))
        for n, record in enumerate([genuine, *copies])
    ]
    portions = [claims] if together else [[claim] for claim in claims]
    results = [result for portion in portions for result in post(ledger_db, *portion)]
    assert results == [CREATED] + [SUSPENDED] * 5
    assert [item.reason for item in store.open_suspense(ledger_db)] == [Suspense.TTSN_TAKEN] * 5
    assert posted_taps(ledger_db) == {genuine.tap_id: 500}


def test_database_itself_refuses_a_second_purchase_with_the_same_serial(ledger_db: Database, till: FakeTill) -> None:
    post(ledger_db, entry(till.tap(500)))
    columns = (
        "kind, source, source_position, terminal, ttsn, card, amount_fen, subsidy_fen, happened_at_utc_s,"
        " clock_quality, received_at_utc_s, accounting_day"
    )
    with pytest.raises(RuleBroken, match="a_tac_pays_for_one_tap"):
        ledger_db.execute(
            f"INSERT INTO other_entry (id, epoch, seq, counter, {columns}) SELECT 99, 9, 9, 99, {columns} FROM entry"
            " WHERE kind = 2"
        )


def test_purchase_of_a_purse_without_opening_and_one_before_it_are_suspended_with_their_reasons(
    ledger_db: Database, till: FakeTill, numbered_card: Callable[[int], CardId]
) -> None:
    card = numbered_card(9)
    opening = opening_for(card, balance_fen=Fen(0), counter=7, source=Source("onecard", 9), opened_at_utc_s=1)
    early = entry(till.tap(100, card=card, counter=7), position=1)
    assert post(ledger_db, early) == [SUSPENDED]
    before, first = (entry(till.tap(100, card=card, counter=counter), position=2) for counter in (6, 8))
    assert post(ledger_db, opening, before, first) == [CREATED, SUSPENDED, CREATED]
    reasons = [item.reason for item in store.open_suspense(ledger_db)]
    assert reasons == [Suspense.CARD_UNKNOWN, Suspense.BEFORE_OPENING]


@pytest.mark.parametrize("together", [True, False])
def test_counter_that_another_tap_used_goes_to_suspense(
    ledger_db: Database, till: FakeTill, make_till: Callable[[int], FakeTill], together: bool
) -> None:
    mine, clone = entry(till.tap(500, counter=4)), entry(make_till(9).tap(700, counter=4))
    if together:
        assert post(ledger_db, mine, clone) == [CREATED, SUSPENDED]
    else:
        assert [*post(ledger_db, mine), *post(ledger_db, clone)] == [CREATED, SUSPENDED]
    (item,) = store.open_suspense(ledger_db)
    assert (item.reason, item.amount_fen, item.origin) == (Suspense.COUNTER_TAKEN, 700, clone.origin)
    assert post(ledger_db, clone) == [SUSPENDED]
    assert len(store.open_suspense(ledger_db)) == 1


def test_opening_is_posted_once_and_another_one_is_an_alarm(
    ledger_db: Database, numbered_card: Callable[[int], CardId], purse_balances: Callable[[Database], dict[CardId, Fen]]
) -> None:
    def opening(balance: int) -> Entry:
        source = Source("onecard", 1)
        return opening_for(numbered_card(9), balance_fen=Fen(balance), counter=3, source=source, opened_at_utc_s=1)

    assert post(ledger_db, opening(10_000)) == [CREATED]
    assert post(ledger_db, opening(10_000), opening(9_000)) == [EXISTS, Posted.EXISTS_WITH_DIFFERENT_AMOUNT]
    assert purse_balances(ledger_db) == {numbered_card(9): 10_000}


def test_purse_balance_is_opening_less_purchases(
    ledger_db: Database,
    till: FakeTill,
    numbered_card: Callable[[int], CardId],
    purse_balances: Callable[[Database], dict[CardId, Fen]],
) -> None:
    card = numbered_card(9)
    opening = opening_for(card, balance_fen=Fen(9_000), counter=0, source=Source("onecard", 1), opened_at_utc_s=1)
    post(ledger_db, opening, entry(till.tap(1_250, card=card)), entry(till.tap(750, card=card)))
    assert purse_balances(ledger_db) == {card: 7_000}
    balances = {account.number: account.balance_fen for account in store.balances(ledger_db)}
    assert balances[Account.CASH_POINTS] == 9_000
    assert balances[Account.CARD_FLOAT] == -7_000
    assert balances[Account.MERCHANT_PAYABLE] == -2_000


def test_entry_that_was_put_in_out_of_balance_is_found(ledger_db: Database, till: FakeTill) -> None:
    post(ledger_db, entry(till.tap(500)))
    assert store.unbalanced_entries(ledger_db) == []
    ledger_db.execute(
        "INSERT INTO other_posting (id, entry_id, account_id, amount_fen, accounting_day)"
        " VALUES (99, 6, 1001, 5, 20991231)"
    )
    assert store.unbalanced_entries(ledger_db) == [6]


def test_failure_in_the_middle_of_posting_keeps_nothing(ledger_db: Database, till: FakeTill) -> None:
    ledger_db.execute("CREATE TRIGGER disk_fails BEFORE INSERT ON other_posting BEGIN SELECT RAISE(ABORT, 'full'); END")
    with pytest.raises(RuleBroken):
        post(ledger_db, entry(till.tap(500)))
    assert ledger_db.number("SELECT count(*) FROM entry WHERE kind = 2") == 0


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(taps=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 4), st.integers(0, 5_000)), max_size=30))
def test_whatever_is_posted_and_repeated_the_ledger_stays_balanced_and_counts_each_counter_once(
    ledger_db: Database,
    make_till: Callable[[int], FakeTill],
    numbered_card: Callable[[int], CardId],
    taps: list[tuple[int, int, int]],
) -> None:
    number = ledger_db.number("SELECT coalesce(max(epoch), 0) FROM entry") + 1
    till = make_till(number)
    till.epoch = number
    items = [
        entry(till.tap(amount, counter=1_000 * number + counter, card=numbered_card(card)))
        for card, counter, amount in taps
    ]
    before = ledger_db.number("SELECT count(*) FROM entry")
    first = post(ledger_db, *items)
    again = [result for item in items for result in post(ledger_db, item)]
    assert CREATED not in again
    created = ledger_db.number("SELECT count(*) FROM entry") - before
    assert created == len({(card, counter) for card, counter, _ in taps}) == list(first).count(CREATED)
    assert store.unbalanced_entries(ledger_db) == []
    assert sum(account.balance_fen for account in store.balances(ledger_db)) == 0


def test_posting_looks_every_key_up_by_index(ledger_db: Database) -> None:
    asked = {
        booked._TAPS: 3,
        booked._COUNTS: 2,
        booked._SERIALS: 2,
        booked._PURSES: 1,
        store._OPENINGS_KNOWN: 1,
        store._CREDITS_KNOWN: 3,
    }
    for sql, columns in asked.items():
        plan_of = "EXPLAIN QUERY PLAN " + sql.format(rows=booked.placeholders(columns, 3))
        plan = ledger_db.query(plan_of, [1] * 3 * columns, into=lambda *row: str(row[3]))
        assert [step for step in plan if step.startswith("SEARCH")]
        scans = {step for step in plan if step.startswith("SCAN") and "CONSTANT" not in step}
        assert scans <= {"SCAN asked"}
    plan_of = "EXPLAIN QUERY PLAN " + booked._BY_NUMBER.format(marks="%s, %s")
    plan = ledger_db.query(plan_of, (1, 2), into=lambda *row: str(row[3]))
    assert not {f"SCAN {table}" for table in ("sale", "sale_run", "run", "other_entry")} & set(plan)
