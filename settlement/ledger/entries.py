"""What a recorded event means in double entry: pure, from one event to one entry, one suspense item, or nothing.

Amounts are debits above zero and credits below. A load is an entry that is pending until the top-up desk says how it
ended, which is a `LoadEnd`. Where entries lie is `settlement.ledger.store`'s matter.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime
from enum import IntEnum

from wire.ids import CardId, LoadId, TapId
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
    LOAD = 3


class Resolved(IntEnum):
    """How a pending entry ended: POSTED moved the money, VOIDED did not."""

    POSTED = 1
    VOIDED = 2


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
    """A balanced set of postings with its three dates: happened (by the terminal's clock), received, accounting day.

    `origin` is the tap or load that it is of; an opening has none. `counter` is the card's offline one, for a load the
    online one; `balance_before_fen` is what the terminal read before a purchase. `decided_at_utc_s` is set where the
    ledger itself found out, later than the record came. A load's postings are made when it is posted.
    """

    kind: EntryKind
    source: Source
    origin: TapId | LoadId | None
    card: CardId = field(repr=False)
    counter: int
    ttsn: int | None
    amount_fen: Fen
    balance_before_fen: Fen | None = None
    happened_at_utc_s: int
    clock_quality: ClockQuality
    received_at_utc_s: int
    decided_at_utc_s: int | None = None
    postings: tuple[Posting, ...]

    def __post_init__(self) -> None:
        assert sum(posting.amount_fen for posting in self.postings) == 0, "an entry's postings sum to zero"

    @property
    def accounting_day(self) -> date:
        """The day it is booked on: when it was received or decided, so that nothing late changes an earlier day."""
        return accounting_day(self.received_at_utc_s if self.decided_at_utc_s is None else self.decided_at_utc_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class SuspenseItem:
    """A tap or load whose money waits for an explanation since `since_utc_s`; a load has the serial 0."""

    source: Source
    origin: TapId | LoadId
    reason: Suspense
    card: CardId = field(repr=False)
    counter: int
    ttsn: int
    amount_fen: Fen
    balance_before_fen: Fen | None = None
    happened_at_utc_s: int
    clock_quality: ClockQuality
    since_utc_s: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadEnd:
    """That the top-up desk confirmed a load, which posts its entry, or voided it."""

    source: Source
    load_id: LoadId
    resolved: Resolved
    card: CardId = field(repr=False)
    counter: int
    amount_fen: Fen
    happened_at_utc_s: int


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
        origin=record.tap_id,
        card=record.card,
        counter=record.counter,
        ttsn=record.ttsn,
        amount_fen=record.amount_fen,
        balance_before_fen=record.balance_before_fen,
        happened_at_utc_s=record.opened_at.utc_s,
        clock_quality=record.opened_at.quality,
        received_at_utc_s=received_at_utc_s,
        postings=purchase_postings(record.card, record.amount_fen),
    )


def purchase_postings(card: CardId, amount_fen: Fen) -> tuple[Posting, ...]:
    """What a purchase posts."""
    return _pair(Account.CARD_FLOAT, Account.MERCHANT_PAYABLE, amount_fen, card)


def opening_for(card: CardId, *, balance_fen: Fen, counter: int, source: Source, opened_at_utc_s: int) -> Entry:
    """What was on a purse when the school took it over: money at the cash points, owed to the card's holder."""
    return Entry(
        kind=EntryKind.OPENING,
        source=source,
        origin=None,
        card=card,
        counter=counter,
        ttsn=None,
        amount_fen=balance_fen,
        happened_at_utc_s=opened_at_utc_s,
        clock_quality=ClockQuality.SERVER,
        received_at_utc_s=opened_at_utc_s,
        postings=_pair(Account.CASH_POINTS, Account.CARD_FLOAT, balance_fen, card),
    )


def load_for(
    load_id: LoadId, card: CardId, *, online_counter: int, amount_fen: Fen, source: Source, granted_at_utc_s: int
) -> Entry:
    """A load that was granted: pending money from the cash points to the purse."""
    return Entry(
        kind=EntryKind.LOAD,
        source=source,
        origin=load_id,
        card=card,
        counter=online_counter,
        ttsn=None,
        amount_fen=amount_fen,
        happened_at_utc_s=granted_at_utc_s,
        clock_quality=ClockQuality.SERVER,
        received_at_utc_s=granted_at_utc_s,
        postings=load_postings(card, amount_fen),
    )


def load_postings(card: CardId, amount_fen: Fen) -> tuple[Posting, ...]:
    """What a load posts once it is confirmed."""
    return _pair(Account.CASH_POINTS, Account.CARD_FLOAT, amount_fen, card)


def suspended(record: TapRecord, *, reason: Suspense, source: Source, received_at_utc_s: int) -> SuspenseItem:
    """The record as an item to explain."""
    return SuspenseItem(
        source=source,
        origin=record.tap_id,
        reason=reason,
        card=record.card,
        counter=record.counter,
        ttsn=record.ttsn,
        amount_fen=record.amount_fen,
        balance_before_fen=record.balance_before_fen,
        happened_at_utc_s=record.opened_at.utc_s,
        clock_quality=record.opened_at.quality,
        since_utc_s=received_at_utc_s,
    )


def suspend_entry(entry: Entry, reason: Suspense) -> SuspenseItem:
    """An entry that the ledger could not take, as an item to explain."""
    assert entry.origin is not None, "only a tap or a load can be suspended"
    return SuspenseItem(
        source=entry.source,
        origin=entry.origin,
        reason=reason,
        card=entry.card,
        counter=entry.counter,
        ttsn=entry.ttsn or 0,
        amount_fen=entry.amount_fen,
        balance_before_fen=entry.balance_before_fen,
        happened_at_utc_s=entry.happened_at_utc_s,
        clock_quality=entry.clock_quality,
        since_utc_s=entry.received_at_utc_s,
    )


def suspend_end(end: LoadEnd, reason: Suspense) -> SuspenseItem:
    """The end of a load that the ledger could not take, as an item to explain."""
    return SuspenseItem(
        source=end.source,
        origin=end.load_id,
        reason=reason,
        card=end.card,
        counter=end.counter,
        ttsn=0,
        amount_fen=end.amount_fen,
        happened_at_utc_s=end.happened_at_utc_s,
        clock_quality=ClockQuality.SERVER,
        since_utc_s=end.happened_at_utc_s,
    )


def settled_purchase(item: SuspenseItem, *, decided_at_utc_s: int) -> Entry:
    """The purchase that a suspended tap turned out to be."""
    return Entry(
        kind=EntryKind.PURCHASE,
        source=item.source,
        origin=item.origin,
        card=item.card,
        counter=item.counter,
        ttsn=item.ttsn,
        amount_fen=item.amount_fen,
        balance_before_fen=item.balance_before_fen,
        happened_at_utc_s=item.happened_at_utc_s,
        clock_quality=item.clock_quality,
        received_at_utc_s=item.since_utc_s,
        decided_at_utc_s=decided_at_utc_s,
        postings=purchase_postings(item.card, item.amount_fen),
    )


def accounting_day(utc_s: int) -> date:
    """The campus's day."""
    return datetime.fromtimestamp(utc_s, CAMPUS_ZONE).date()


def _pair(debit: Account, credit: Account, amount_fen: Fen, card: CardId) -> tuple[Posting, ...]:
    if amount_fen == 0:
        return ()
    sides = ((debit, int(amount_fen)), (credit, -int(amount_fen)))
    return tuple(Posting(account, amount, card if account is Account.CARD_FLOAT else None) for account, amount in sides)
