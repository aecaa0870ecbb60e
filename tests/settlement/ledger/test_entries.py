"""What one record means in double entry."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from settlement.ledger.entries import (
    Account,
    Entry,
    EntryKind,
    Source,
    SuspenseItem,
    entry_for,
    opening_for,
    suspend_entry,
)
from wire.ids import Asn, CardId, IssuerId
from wire.money import FEN_MAX, Fen
from wire.receipt import Suspense
from wire.record import NO_TAC, ClockQuality, Mac2, Outcome, TapRecord, TapTime, tap_id

if TYPE_CHECKING:
    from tests.settlement.conftest import FakeTill

SOURCE = Source("canteen", 1)
CARD = CardId(IssuerId(bytes(8)), Asn(bytes(10)))

amounts = st.integers(0, FEN_MAX).map(Fen)


def record_of(amount_fen: Fen, outcome: Outcome, utc_s: int) -> TapRecord:
    return TapRecord(
        tap_id=tap_id(bytes(6), 1, 1),
        outcome=outcome,
        reason=None,
        mac2=Mac2.VERIFIED,
        card=CARD,
        amount_fen=amount_fen,
        balance_before_fen=Fen(0),
        counter=7,
        ttsn=1,
        tac=NO_TAC,
        opened_at=TapTime(utc_s=utc_s, boot=1, uptime_s=1, quality=ClockQuality.BATTERY),
    )


@given(
    amount_fen=amounts,
    outcome=st.sampled_from([Outcome.DEBITED, Outcome.UNKNOWN]),
    suspense=st.sampled_from([None, *Suspense]),
    utc_s=st.integers(0, 0xFFFF_FFFF),
)
def test_every_record_becomes_a_balanced_entry_or_an_item_of_its_whole_amount(
    amount_fen: Fen, outcome: Outcome, suspense: Suspense | None, utc_s: int
) -> None:
    record = record_of(amount_fen, outcome, utc_s)
    item = entry_for(record, suspense=suspense, source=SOURCE, received_at_utc_s=utc_s)
    if isinstance(item, SuspenseItem):
        assert item.amount_fen == amount_fen
        assert item.reason is suspense
    else:
        assert isinstance(item, Entry)
        assert sum(posting.amount_fen for posting in item.postings) == 0
        assert sum(max(posting.amount_fen, 0) for posting in item.postings) == amount_fen
        assert suspense is None


@given(balance_fen=amounts, counter=st.integers(0, 0xFFFF))
def test_every_opening_balances_and_credits_the_purse(balance_fen: Fen, counter: int) -> None:
    entry = opening_for(CARD, balance_fen=balance_fen, counter=counter, source=SOURCE, opened_at_utc_s=0)
    assert sum(posting.amount_fen for posting in entry.postings) == 0
    assert -sum(p.amount_fen for p in entry.postings if p.purse == CARD) == balance_fen


def test_unknown_outcome_that_its_stream_found_no_doubt_in_is_a_purchase(till: FakeTill) -> None:
    record = till.tap(1250, outcome=Outcome.UNKNOWN, with_tac=True)
    entry = entry_for(record, suspense=None, source=SOURCE, received_at_utc_s=0)
    assert isinstance(entry, Entry)
    assert (entry.kind, entry.amount_fen) == (EntryKind.PURCHASE, 1250)


def test_purchase_takes_from_the_purse_and_owes_the_merchant(till: FakeTill) -> None:
    entry = entry_for(till.tap(1250), suspense=None, source=SOURCE, received_at_utc_s=0)
    assert isinstance(entry, Entry)
    sides = [(posting.account, posting.amount_fen, posting.purse is not None) for posting in entry.postings]
    assert sides == [(Account.CARD_FLOAT, 1250, True), (Account.MERCHANT_PAYABLE, -1250, False)]


@pytest.mark.parametrize("outcome", [Outcome.REFUSED, Outcome.VOIDED])
def test_tap_that_moved_no_money_means_nothing_to_the_ledger(till: FakeTill, outcome: Outcome) -> None:
    assert entry_for(till.tap(outcome=outcome), suspense=None, source=SOURCE, received_at_utc_s=0) is None


def test_late_record_is_booked_on_the_day_it_was_received_by_campus_time(till: FakeTill) -> None:
    received = 1_764_000_000 + 86_400  # 2025-11-25 16:00 UTC, past midnight on campus
    entry = entry_for(till.tap(), suspense=None, source=SOURCE, received_at_utc_s=received)
    assert isinstance(entry, Entry)
    assert entry.accounting_day == 20251126
    assert entry.happened_at_utc_s < entry.received_at_utc_s


def test_suspended_entry_keeps_tap_card_counter_and_amount(
    till: FakeTill, numbered_card: Callable[[int], CardId]
) -> None:
    entry = entry_for(till.tap(77, card=numbered_card(3)), suspense=None, source=SOURCE, received_at_utc_s=5)
    assert isinstance(entry, Entry)
    item = suspend_entry(entry, Suspense.COUNTER_TAKEN)
    assert (item.origin, item.card, item.counter) == (entry.origin, entry.card, entry.counter)
    assert (item.amount_fen, item.since_utc_s) == (77, 5)
