"""Every item has a way out, and every way books what it says."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import pytest

from settlement.ledger.entries import EntryKind, Source, SuspenseItem
from settlement.ledger.ways import How, adjustment_for, ways_of, words_of
from wire.ids import Asn, CardId, IssuerId, LoadId, TapId, TerminalId
from wire.money import Fen
from wire.receipt import Suspense
from wire.record import ClockQuality

CARD = CardId(IssuerId(bytes(8)), Asn(bytes(10)))
OTHER = CardId(IssuerId(bytes(8)), Asn(bytes(9) + b"\x01"))
TERMINAL = TerminalId(bytes.fromhex("000000000101"))
OF_CREDITS = (Suspense.CREDIT_UNFOUNDED, Suspense.CREDIT_DOUBLED, Suspense.CREDIT_EXCEEDS_SALE)
OF_LOADS = (
    Suspense.CARD_UNKNOWN,
    Suspense.COUNTER_TAKEN,
    Suspense.TAP_DIFFERS,
    Suspense.CONFIRMED_NOT_PENDING,
    Suspense.VOIDED_NOT_PENDING,
)
OF_TAPS = tuple(
    reason
    for reason in Suspense
    if reason not in (*OF_CREDITS, Suspense.CONFIRMED_NOT_PENDING, Suspense.VOIDED_NOT_PENDING)
)
CASES = [
    *product((EntryKind.PURCHASE, EntryKind.SIGN_ON), OF_TAPS),
    *product((EntryKind.REVERSAL, EntryKind.REFUND), OF_TAPS + OF_CREDITS),
    *product((EntryKind.LOAD,), OF_LOADS),
]


def item(kind: EntryKind, reason: Suspense) -> SuspenseItem:
    amount_fen = 0 if kind is EntryKind.SIGN_ON else 500
    subsidised = kind in (EntryKind.PURCHASE, EntryKind.REVERSAL)
    return SuspenseItem(
        source=Source("canteen", 7),
        origin=LoadId(TERMINAL, 1, 3) if kind is EntryKind.LOAD else TapId(TERMINAL, 1, 3),
        reason=reason,
        kind=kind,
        card=CARD,
        counter=9,
        ttsn=0 if kind is EntryKind.LOAD else 4,
        amount_fen=Fen(amount_fen),
        subsidy_fen=Fen(200 if subsidised else 0),
        happened_at_utc_s=100,
        clock_quality=ClockQuality.NETWORK,
        since_utc_s=200,
    )


def booked(found: SuspenseItem, how: How) -> dict[int, int]:
    assigned_to = OTHER if how is How.ASSIGN else None
    entry = adjustment_for(found, how, assigned_to=assigned_to, decided_at_utc_s=300)
    assert (entry.kind, entry.origin, entry.terminal, entry.ttsn) == (EntryKind.ADJUSTMENT, None, TERMINAL, None)
    purses = {posting.purse for posting in entry.postings if posting.purse is not None}
    assert purses <= {assigned_to or CARD}
    sums: dict[int, int] = {}
    for posting in entry.postings:
        sums[int(posting.account)] = sums.get(int(posting.account), 0) + posting.amount_fen
    return sums


@pytest.mark.parametrize(("kind", "reason"), CASES)
def test_every_item_can_be_rejected_and_every_way_of_it_has_words_and_balances(
    kind: EntryKind, reason: Suspense
) -> None:
    found = item(kind, reason)
    ways = ways_of(found)
    assert How.REJECT in ways
    for how in ways:
        assert words_of(found, how)
        sums = booked(found, how)
        assert sum(sums.values()) == 0
        assert bool(sums) is (how is not How.REJECT)


@pytest.mark.parametrize(
    ("kind", "reason", "how", "sums"),
    [
        (EntryKind.PURCHASE, Suspense.COUNTER_TAKEN, How.POST, {5003: 200, 2001: 500, 2002: -700}),
        (EntryKind.PURCHASE, Suspense.COUNTER_TAKEN, How.ASSIGN, {5003: 200, 2001: 500, 2002: -700}),
        (EntryKind.PURCHASE, Suspense.COUNTER_TAKEN, How.WRITE_OFF, {5002: 700, 2002: -700}),
        (EntryKind.PURCHASE, Suspense.COUNTER_TAKEN, How.RETURN, {2001: 500, 2006: -500}),
        (EntryKind.REVERSAL, Suspense.CREDIT_UNFOUNDED, How.POST, {2002: 700, 2006: -500, 5003: -200}),
        (EntryKind.REFUND, Suspense.CREDIT_UNFOUNDED, How.RETURN, {5002: 500, 2006: -500}),
        (EntryKind.LOAD, Suspense.CONFIRMED_NOT_PENDING, How.POST, {1010: 500, 2001: -500}),
        (EntryKind.LOAD, Suspense.CONFIRMED_NOT_PENDING, How.WRITE_OFF, {5002: 500, 2001: -500}),
        (EntryKind.LOAD, Suspense.CARD_UNKNOWN, How.RETURN, {1010: 500, 2006: -500}),
        (EntryKind.LOAD, Suspense.VOIDED_NOT_PENDING, How.RETURN, {2001: 500, 2006: -500}),
    ],
)
def test_way_books_what_it_says(kind: EntryKind, reason: Suspense, how: How, sums: dict[int, int]) -> None:
    assert booked(item(kind, reason), how) == sums


def test_adjustment_is_booked_on_the_day_of_the_decision_and_keeps_the_times() -> None:
    found = replace(item(EntryKind.PURCHASE, Suspense.TAC_WRONG), since_utc_s=1_764_000_000)
    entry = adjustment_for(found, How.POST, assigned_to=None, decided_at_utc_s=1_764_100_000)
    assert (entry.accounting_day, entry.received_at_utc_s, entry.happened_at_utc_s) == (20251126, 1_764_000_000, 100)


@pytest.mark.parametrize(
    ("kind", "how", "takes_tap", "takes_count"),
    [
        (EntryKind.PURCHASE, How.POST, True, True),
        (EntryKind.PURCHASE, How.RETURN, True, True),
        (EntryKind.PURCHASE, How.ASSIGN, True, False),
        (EntryKind.PURCHASE, How.WRITE_OFF, True, False),
        (EntryKind.REVERSAL, How.REJECT, True, False),
        (EntryKind.LOAD, How.POST, False, False),
    ],
)
def test_adjustment_takes_the_taps_number_and_what_the_purse_paid_for_its_count(
    kind: EntryKind, how: How, takes_tap: bool, takes_count: bool
) -> None:
    found = item(kind, Suspense.COUNTER_TAKEN)
    entry = adjustment_for(
        found,
        how,
        assigned_to=OTHER if how is How.ASSIGN else None,
        decided_at_utc_s=300,
        tap_is_free=True,
        count_is_free=True,
    )
    assert (entry.origin, entry.ttsn) == (found.origin if takes_tap else None, 4 if takes_count else None)
