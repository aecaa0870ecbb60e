"""Posting: created, exists, differs, suspended."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from settlement.ledger import store
from settlement.ledger.entries import Account, Entry, Source, SuspenseItem, entry_for, opening_for
from settlement.ledger.store import Posted
from settlement.store.database import Database, RuleBroken
from wire.ids import CardId
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
    assert (item.reason, item.amount_fen, item.tap_id) == (Suspense.COUNTER_TAKEN, 700, clone.tap_id)
    assert post(ledger_db, clone) == [SUSPENDED]
    assert len(store.open_suspense(ledger_db)) == 1


def test_opening_is_posted_once_and_another_one_is_an_alarm(
    ledger_db: Database, numbered_card: Callable[[int], CardId]
) -> None:
    def opening(balance: int) -> Entry:
        source = Source("onecard", 1)
        return opening_for(numbered_card(1), balance_fen=Fen(balance), counter=3, source=source, opened_at_utc_s=1)

    assert post(ledger_db, opening(10_000)) == [CREATED]
    assert post(ledger_db, opening(10_000), opening(9_000)) == [EXISTS, Posted.EXISTS_WITH_DIFFERENT_AMOUNT]
    assert store.purse_balances(ledger_db) == {numbered_card(1): 10_000}


def test_purse_balance_is_opening_less_purchases(
    ledger_db: Database, till: FakeTill, numbered_card: Callable[[int], CardId]
) -> None:
    card = numbered_card(1)
    opening = opening_for(card, balance_fen=Fen(9_000), counter=0, source=Source("onecard", 1), opened_at_utc_s=1)
    post(ledger_db, opening, entry(till.tap(1_250, card=card)), entry(till.tap(750, card=card)))
    assert store.purse_balances(ledger_db) == {card: 7_000}
    balances = {account.number: account.balance_fen for account in store.balances(ledger_db)}
    assert balances[Account.CASH_POINTS] == 9_000
    assert balances[Account.CARD_FLOAT] == -7_000
    assert balances[Account.MERCHANT_PAYABLE] == -2_000


def test_posted_taps_are_told_with_their_amounts(ledger_db: Database, till: FakeTill) -> None:
    records = [till.tap(amount) for amount in (1, 2, 0)]
    post(ledger_db, *(entry(record) for record in records))
    assert store.posted_taps(ledger_db) == {record.tap_id: record.amount_fen for record in records}


def test_entry_that_was_put_in_out_of_balance_is_found(ledger_db: Database, till: FakeTill) -> None:
    post(ledger_db, entry(till.tap(500)))
    assert store.unbalanced_entries(ledger_db) == []
    ledger_db.execute("INSERT INTO posting (entry_id, account_id, amount_fen) VALUES (1, 1001, 5)")
    assert store.unbalanced_entries(ledger_db) == [1]


def test_failure_in_the_middle_of_posting_keeps_nothing(ledger_db: Database, till: FakeTill) -> None:
    ledger_db.execute("CREATE TRIGGER disk_fails BEFORE INSERT ON posting BEGIN SELECT RAISE(ABORT, 'full'); END")
    with pytest.raises(RuleBroken):
        post(ledger_db, entry(till.tap(500)))
    assert ledger_db.number("SELECT count(*) FROM entry") == 0


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
