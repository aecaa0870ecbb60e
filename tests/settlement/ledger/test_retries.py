"""Suspended taps are booked when what they lacked has come."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from settlement.ledger import store
from settlement.ledger.entries import Entry, Source, entry_for, opening_for
from settlement.ledger.retries import Retries
from settlement.ledger.store import Posted
from settlement.store.database import Database
from wire.ids import CardId
from wire.money import Fen
from wire.record import TapKind, TapRecord

if TYPE_CHECKING:
    from tests.settlement.conftest import FakeTill


def entry(record: TapRecord) -> Entry:
    item = entry_for(record, suspense=None, source=Source("canteen", record.tap_id.seq), received_at_utc_s=100)
    assert isinstance(item, Entry)
    return item


def post(db: Database, *items: Entry) -> list[Posted]:
    with db.transaction():
        return store.post(db, items)


def open_purse(db: Database, card: CardId) -> None:
    opening = opening_for(card, balance_fen=Fen(9_000), counter=0, source=Source("onecard", 9), opened_at_utc_s=1)
    assert post(db, opening) == [Posted.CREATED]


@pytest.mark.usefixtures("purses")
def test_taps_of_a_card_that_is_imported_late_are_booked_and_what_takes_one_back_with_them(
    ledger_db: Database,
    till: FakeTill,
    numbered_card: Callable[[int], CardId],
    purse_balances: Callable[[Database], dict[CardId, Fen]],
) -> None:
    card, retries = numbered_card(77), Retries()
    sale = till.tap(500, card=card)
    reversal = replace(till.tap(0, card=card), kind=TapKind.REVERSAL, credit_fen=Fen(500), refers_to=sale.tap_id.seq)
    other = till.tap(40, card=card)
    assert post(ledger_db, *map(entry, (sale, reversal, other))) == [Posted.SUSPENDED] * 3
    assert retries.book(ledger_db, now_utc_s=200, news=True) == 0
    open_purse(ledger_db, card)
    assert retries.book(ledger_db, now_utc_s=200, news=False) == 0  # nobody said that something came
    assert retries.book(ledger_db, now_utc_s=200, news=True) == 3
    assert store.open_suspense(ledger_db) == []
    assert purse_balances(ledger_db) == {card: 9_000 - 540}
    assert retries.book(ledger_db, now_utc_s=200, news=True) == 0


@pytest.mark.usefixtures("purses")
def test_tap_that_would_be_refused_for_another_reason_waits_on(
    ledger_db: Database, till: FakeTill, numbered_card: Callable[[int], CardId]
) -> None:
    card, retries = numbered_card(77), Retries()
    first, copy = till.tap(500, card=card, counter=3), till.tap(500, card=card, counter=3)
    post(ledger_db, entry(first), entry(copy))
    open_purse(ledger_db, card)
    assert retries.book(ledger_db, now_utc_s=200, news=True) == 1
    assert [item.origin for item in store.open_suspense(ledger_db)] == [copy.tap_id]
