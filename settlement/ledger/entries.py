"""What a recorded event means in double entry: pure, from one record to one entry, one suspense item, or nothing.

Amounts are debits above zero and credits below. Where entries lie is `settlement.ledger.store`'s matter.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime
from enum import IntEnum

from wire.ids import CardId, TapId
from wire.money import Fen
from wire.receipt import Suspense
from wire.record import CAMPUS_ZONE, ClockQuality, Outcome, TapRecord


class Account(IntEnum):
    """The places in the chart that entries are posted to so far."""

    CASH_POINTS = 1010
    CARD_FLOAT = 2001
    MERCHANT_PAYABLE = 2002


class EntryKind(IntEnum):
    """What happened."""

    OPENING = 1
    PURCHASE = 2


@dataclass(frozen=True, slots=True)
class Source:
    """Which journal, and where in it, an entry comes from."""

    name: str
    position: int


@dataclass(frozen=True, slots=True)
class Posting:
    """One side of an entry; `purse` tells the card where the account is the card float."""

    account: Account
    amount_fen: int
    purse: CardId | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A balanced set of postings with its three dates: happened (by the terminal's clock), received, accounting day."""

    kind: EntryKind
    source: Source
    tap_id: TapId | None
    card: CardId = field(repr=False)
    counter: int
    ttsn: int | None
    amount_fen: Fen
    happened_at_utc_s: int
    clock_quality: ClockQuality
    received_at_utc_s: int
    postings: tuple[Posting, ...]

    def __post_init__(self) -> None:
        assert sum(posting.amount_fen for posting in self.postings) == 0, "an entry's postings sum to zero"

    @property
    def accounting_day(self) -> date:
        """The day it is booked on: when it was received, so that a late record never changes an earlier day."""
        return datetime.fromtimestamp(self.received_at_utc_s, CAMPUS_ZONE).date()


@dataclass(frozen=True, slots=True, kw_only=True)
class SuspenseItem:
    """A tap whose money waits for an explanation since `since_utc_s`."""

    source: Source
    tap_id: TapId
    reason: Suspense
    card: CardId = field(repr=False)
    counter: int
    ttsn: int
    amount_fen: Fen
    since_utc_s: int


def entry_for(
    record: TapRecord, *, suspense: Suspense | None, source: Source, received_at_utc_s: int
) -> Entry | SuspenseItem | None:
    """The meaning of one tap as its stream judged it; None where no money moved.

    An UNKNOWN one that the stream found no doubt in has a right TAC: the card says what the terminal could not.
    """
    if suspense is not None:
        return suspended(record, reason=suspense, source=source, received_at_utc_s=received_at_utc_s)
    if record.outcome not in (Outcome.DEBITED, Outcome.UNKNOWN):
        return None
    return Entry(
        kind=EntryKind.PURCHASE,
        source=source,
        tap_id=record.tap_id,
        card=record.card,
        counter=record.counter,
        ttsn=record.ttsn,
        amount_fen=record.amount_fen,
        happened_at_utc_s=record.opened_at.utc_s,
        clock_quality=record.opened_at.quality,
        received_at_utc_s=received_at_utc_s,
        postings=_pair(Account.CARD_FLOAT, Account.MERCHANT_PAYABLE, record.amount_fen, record.card),
    )


def opening_for(card: CardId, *, balance_fen: Fen, counter: int, source: Source, opened_at_utc_s: int) -> Entry:
    """What was on a purse when the school took it over: money at the cash points, owed to the card's holder."""
    return Entry(
        kind=EntryKind.OPENING,
        source=source,
        tap_id=None,
        card=card,
        counter=counter,
        ttsn=None,
        amount_fen=balance_fen,
        happened_at_utc_s=opened_at_utc_s,
        clock_quality=ClockQuality.SERVER,
        received_at_utc_s=opened_at_utc_s,
        postings=_pair(Account.CASH_POINTS, Account.CARD_FLOAT, balance_fen, card),
    )


def suspended(record: TapRecord, *, reason: Suspense, source: Source, received_at_utc_s: int) -> SuspenseItem:
    """The record as an item to explain."""
    return SuspenseItem(
        source=source,
        tap_id=record.tap_id,
        reason=reason,
        card=record.card,
        counter=record.counter,
        ttsn=record.ttsn,
        amount_fen=record.amount_fen,
        since_utc_s=received_at_utc_s,
    )


def suspend_entry(entry: Entry, reason: Suspense) -> SuspenseItem:
    """An entry that the ledger could not take, as an item to explain."""
    assert entry.tap_id is not None, "only a tap can be suspended"
    assert entry.ttsn is not None, "a tap has its serial, if only 0"
    return SuspenseItem(
        source=entry.source,
        tap_id=entry.tap_id,
        reason=reason,
        card=entry.card,
        counter=entry.counter,
        ttsn=entry.ttsn,
        amount_fen=entry.amount_fen,
        since_utc_s=entry.received_at_utc_s,
    )


def _pair(debit: Account, credit: Account, amount_fen: Fen, card: CardId) -> tuple[Posting, ...]:
    if amount_fen == 0:
        return ()
    sides = ((debit, int(amount_fen)), (credit, -int(amount_fen)))
    return tuple(Posting(account, amount, card if account is Account.CARD_FLOAT else None) for account, amount in sides)
