"""The ways out of suspense that people may choose, and what each of them books: pure.

Which ways an item has follows from what it would be and from the reason that it waits for. Left out: who may choose,
and that two have to (`settlement.ledger.decide`).
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final

from settlement.ledger.entries import (
    CREDITS,
    LOADS,
    Account,
    Entry,
    EntryKind,
    Posting,
    SuspenseItem,
    load_postings,
    pair,
    tap_postings,
)
from wire.ids import CardId, TapId
from wire.money import Fen
from wire.receipt import Suspense


class How(IntEnum):
    """What becomes of the money."""

    POST = 1
    WRITE_OFF = 2
    ASSIGN = 3
    RETURN = 4
    REJECT = 5

    @property
    def label(self) -> str:
        """As it is typed."""
        return self.name.lower().replace("_", "-")


_SALE_WAYS: Final = {
    # The purse is not in the books, so nothing can be taken from it.
    Suspense.CARD_UNKNOWN: (How.ASSIGN, How.WRITE_OFF, How.REJECT),
    # What the purse held when it was taken over is less by it already.
    Suspense.BEFORE_OPENING: (How.ASSIGN, How.WRITE_OFF, How.REJECT),
    # These are proven by a TAC: some card has paid.
    Suspense.MAC2_REFUSED: (How.POST, How.WRITE_OFF, How.RETURN, How.REJECT),
    Suspense.COUNTER_TAKEN: (How.POST, How.ASSIGN, How.WRITE_OFF, How.RETURN, How.REJECT),
    # These are a terminal's word alone.
    Suspense.OUTCOME_UNKNOWN: (How.POST, How.WRITE_OFF, How.RETURN, How.REJECT),
    Suspense.TAC_WRONG: (How.POST, How.WRITE_OFF, How.REJECT),
    Suspense.TAP_DIFFERS: (How.POST, How.WRITE_OFF, How.REJECT),
    Suspense.TTSN_TAKEN: (How.POST, How.WRITE_OFF, How.REJECT),
}
_CREDIT_WAYS: Final = (How.POST, How.RETURN, How.REJECT)
_LOAD_WAYS: Final = {
    Suspense.CARD_UNKNOWN: (How.RETURN, How.REJECT),
    Suspense.VOIDED_NOT_PENDING: (How.RETURN, How.REJECT),
}
_OTHER_LOAD_WAYS: Final = (How.POST, How.WRITE_OFF, How.RETURN, How.REJECT)
# Nobody paid cash for a collection: unless the purse has it, the holder is owed it as before.
_COLLECTION_WAYS: Final = {
    Suspense.CARD_UNKNOWN: (How.REJECT,),
    Suspense.VOIDED_NOT_PENDING: (How.RETURN, How.REJECT),
}
_OTHER_COLLECTION_WAYS: Final = (How.POST, How.REJECT)


def ways_of(item: SuspenseItem) -> tuple[How, ...]:
    """What people may choose for this item."""
    if item.kind is EntryKind.PURCHASE:
        return _SALE_WAYS[item.reason]
    if item.kind in CREDITS:
        return _CREDIT_WAYS
    if item.kind is EntryKind.LOAD:
        return _LOAD_WAYS.get(item.reason, _OTHER_LOAD_WAYS)
    if item.kind is EntryKind.COLLECTION:
        return _COLLECTION_WAYS.get(item.reason, _OTHER_COLLECTION_WAYS)
    return (How.REJECT,)  # nothing of a sign-on is money


def words_of(item: SuspenseItem, how: How) -> str:
    """What a way means for this item, as the finance office reads it."""
    if how is How.REJECT:
        return "it did not happen: nothing is booked"
    if item.kind is EntryKind.LOAD:
        return {
            How.POST: "the load is booked: cash was taken, and the purse has it",
            How.WRITE_OFF: "the purse has it, but no cash was taken: the school bears it",
            How.RETURN: "cash was taken, but the purse has it not: it is owed to the holder",
        }[how]
    if item.kind is EntryKind.COLLECTION:
        return {
            How.POST: "the purse has it: the holder has collected what was owed",
            How.RETURN: "the purse has it not: it is owed to the holder as before",
        }[how]
    if item.kind in CREDITS:
        return {
            How.POST: "it is booked: the merchant pays, the holder is owed",
            How.RETURN: "the holder is owed, and the school bears it",
        }[how]
    return {
        How.POST: "it is booked as it says: this purse paid, the merchant is owed",
        How.WRITE_OFF: "no purse paid: the school bears it, the merchant is owed",
        How.ASSIGN: "another purse paid, the merchant is owed",
        How.RETURN: "this purse paid, but for nothing: it is owed to the holder, and not to the merchant",
    }[how]


def adjustment_for(
    item: SuspenseItem,
    how: How,
    *,
    assigned_to: CardId | None,
    decided_at_utc_s: int,
    tap_is_free: bool = False,
    count_is_free: bool = False,
) -> Entry:
    """The entry of a way; that of a rejected item has no postings.

    It takes the tap's number, if nothing else in the books has it, so that the same tap is not booked as well when its
    source is read again. Where this purse paid it takes the card's count and the serial, too: whatever else claims them
    later is suspended. A load's are never taken.
    """
    assert how in ways_of(item), f"{how.label} is no way for {item.reason.name}"
    assert (assigned_to is not None) is (how is How.ASSIGN), "another purse goes with ASSIGN"
    is_tap = isinstance(item.origin, TapId)
    paid = is_tap and how in (How.POST, How.RETURN)
    return Entry(
        kind=EntryKind.ADJUSTMENT,
        source=item.source,
        origin=item.origin if is_tap and tap_is_free else None,
        terminal=item.origin.terminal,
        card=assigned_to or item.card,
        counter=item.counter,
        ttsn=item.ttsn if paid and count_is_free else None,
        amount_fen=item.amount_fen,
        subsidy_fen=item.subsidy_fen,
        refers_to=(item.refers_to or None) if paid else None,
        happened_at_utc_s=item.happened_at_utc_s,
        clock_quality=item.clock_quality,
        received_at_utc_s=item.since_utc_s,
        decided_at_utc_s=decided_at_utc_s,
        postings=_postings(item, how, assigned_to or item.card),
    )


def _postings(item: SuspenseItem, how: How, purse: CardId) -> tuple[Posting, ...]:
    if how is How.REJECT:
        return ()
    if item.kind in LOADS.values():
        return _load_postings(item, how)
    if item.kind in CREDITS:
        if how is How.RETURN:
            return pair(Account.WRITE_OFF, Account.REFUNDS_PAYABLE, item.amount_fen, None)
        return tap_postings(item.kind, item.card, item.amount_fen, item.subsidy_fen)
    if how is How.WRITE_OFF:
        price_fen = Fen(item.amount_fen + item.subsidy_fen)
        return pair(Account.WRITE_OFF, Account.MERCHANT_PAYABLE, price_fen, None)
    if how is How.RETURN:
        return pair(Account.CARD_FLOAT, Account.REFUNDS_PAYABLE, item.amount_fen, item.card)
    return tap_postings(item.kind, purse, item.amount_fen, item.subsidy_fen)


def _load_postings(item: SuspenseItem, how: How) -> tuple[Posting, ...]:
    if how is How.WRITE_OFF:
        return pair(Account.WRITE_OFF, Account.CARD_FLOAT, item.amount_fen, item.card)
    if how is How.RETURN and item.reason is Suspense.VOIDED_NOT_PENDING:  # the books have it on the purse
        return pair(Account.CARD_FLOAT, Account.REFUNDS_PAYABLE, item.amount_fen, item.card)
    if how is How.RETURN:
        return pair(Account.CASH_POINTS, Account.REFUNDS_PAYABLE, item.amount_fen, None)
    return load_postings(item.kind, item.card, item.amount_fen)
