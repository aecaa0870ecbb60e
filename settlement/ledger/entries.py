"""What a recorded event means in double entry: pure, from one event to one entry, one suspense item, or nothing.

Amounts are debits above zero and credits below. A load is an entry that is pending until the top-up desk says how it
ended, which is a `LoadEnd`. Where entries lie is `settlement.ledger.store`'s matter.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, timedelta
from enum import IntEnum
from functools import lru_cache
from typing import Final

from wire.ids import CardId, LoadId, TapId
from wire.load import Funding
from wire.money import Fen
from wire.receipt import Suspense
from wire.record import CAMPUS_ZONE, ClockQuality, Outcome, TapKind, TapRecord

_EPOCH: Final = date(1970, 1, 1)
_ZONE_S: Final = int(CAMPUS_ZONE.utcoffset(None).total_seconds())


class Account(IntEnum):
    """The places in the chart that entries are posted to so far."""

    CASH_POINTS = 1010
    CARD_FLOAT = 2001
    MERCHANT_PAYABLE = 2002
    REFUNDS_PAYABLE = 2006
    SERVICE_FEES = 4002
    WRITE_OFF = 5002
    SUBSIDIES = 5003


class EntryKind(IntEnum):
    """What happened."""

    OPENING = 1
    PURCHASE = 2
    LOAD = 3
    REVERSAL = 4
    REFUND = 5
    SIGN_ON = 6
    ADJUSTMENT = 7
    FEE = 8
    COLLECTION = 9


CREDITS: Final = (EntryKind.REVERSAL, EntryKind.REFUND)  # they take a sale back
LOADS: Final = {Funding.CASH: EntryKind.LOAD, Funding.REFUND: EntryKind.COLLECTION}  # pending until they end
_KINDS: Final = {
    TapKind.SALE: EntryKind.PURCHASE,
    TapKind.REVERSAL: EntryKind.REVERSAL,
    TapKind.REFUND: EntryKind.REFUND,
    TapKind.SIGN_ON: EntryKind.SIGN_ON,
}


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

    `origin` is the tap or load that it is of; an opening has none, an adjustment the `terminal` alone. `counter` is the
    card's offline one, for a load the online one; `balance_before_fen` is what the terminal read before. `amount_fen`
    is what left the purse, what was loaded, or what a reversal or refund of the sale `refers_to` owes the holder.
    `decided_at_utc_s` is set where it was found out, or decided, later than the record came; `booked_on` where the
    accounting day does not follow from these. A load's postings are made
    when it is posted.
    """

    kind: EntryKind
    source: Source
    origin: TapId | LoadId | None
    terminal: bytes | None = None
    card: CardId | None = field(repr=False)
    counter: int | None
    ttsn: int | None
    amount_fen: Fen
    subsidy_fen: Fen = Fen(0)
    refers_to: int | None = None
    balance_before_fen: Fen | None = None
    happened_at_utc_s: int
    clock_quality: ClockQuality
    received_at_utc_s: int
    decided_at_utc_s: int | None = None
    booked_on: int | None = None
    postings: tuple[Posting, ...]

    def __post_init__(self) -> None:
        assert sum(posting.amount_fen for posting in self.postings) == 0, "an entry's postings sum to zero"

    @property
    def accounting_day(self) -> int:
        """The day it is booked on if that is open: when it was received or decided, never an earlier one."""
        if self.booked_on is not None:
            return self.booked_on
        return accounting_day(self.received_at_utc_s if self.decided_at_utc_s is None else self.decided_at_utc_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class SuspenseItem:
    """A tap or load whose money waits for an explanation since `since_utc_s`; a load has the serial 0."""

    source: Source
    origin: TapId | LoadId
    reason: Suspense
    kind: EntryKind
    card: CardId = field(repr=False)
    counter: int
    ttsn: int
    amount_fen: Fen
    subsidy_fen: Fen = Fen(0)
    refers_to: int = 0
    balance_before_fen: Fen | None = None
    happened_at_utc_s: int
    clock_quality: ClockQuality
    since_utc_s: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadEnd:
    """That the top-up desk confirmed a load, which posts its entry, or voided it."""

    source: Source
    load_id: LoadId
    funding: Funding = Funding.CASH
    resolved: Resolved
    card: CardId = field(repr=False)
    counter: int
    amount_fen: Fen
    happened_at_utc_s: int


def entry_for(
    record: TapRecord, *, suspense: Suspense | None, source: Source, received_at_utc_s: int
) -> Entry | SuspenseItem | None:
    """The meaning of one tap as its stream judged it; None where the card was not debited, not even of nothing.

    An UNKNOWN one that the stream found no doubt in has a right TAC: the card says what the terminal could not.
    """
    if suspense is not None:
        return suspended(record, reason=suspense, source=source, received_at_utc_s=received_at_utc_s)
    if record.outcome not in (Outcome.DEBITED, Outcome.UNKNOWN):
        return None
    kind, amount_fen = _KINDS[record.kind], _moved_fen(record)
    return Entry(
        kind=kind,
        source=source,
        origin=record.tap_id,
        card=record.card,
        counter=record.counter,
        ttsn=record.ttsn,
        amount_fen=amount_fen,
        subsidy_fen=record.subsidy_fen,
        refers_to=record.refers_to or None,
        balance_before_fen=record.balance_before_fen,
        happened_at_utc_s=record.opened_at.utc_s,
        clock_quality=record.opened_at.quality,
        received_at_utc_s=received_at_utc_s,
        postings=tap_postings(kind, record.card, amount_fen, record.subsidy_fen),
    )


def _moved_fen(record: TapRecord) -> Fen:
    return record.credit_fen if record.kind in (TapKind.REVERSAL, TapKind.REFUND) else record.amount_fen


def tap_postings(kind: EntryKind, card: CardId, amount_fen: Fen, subsidy_fen: Fen) -> tuple[Posting, ...]:
    """What a tap posts: the school's part of a sale goes through the purse, and what is taken back is owed."""
    float_, merchant = Account.CARD_FLOAT, Account.MERCHANT_PAYABLE
    if kind is EntryKind.PURCHASE and not subsidy_fen:  # most taps
        return pair(float_, merchant, amount_fen, card)
    if kind is EntryKind.PURCHASE:
        paid = pair(Account.SUBSIDIES, float_, subsidy_fen, card)
        return paid + pair(float_, merchant, Fen(amount_fen + subsidy_fen), card)
    if kind in CREDITS:
        owed = pair(merchant, Account.REFUNDS_PAYABLE, amount_fen, card)
        return owed + pair(merchant, Account.SUBSIDIES, subsidy_fen, card)
    assert kind is EntryKind.SIGN_ON, f"no tap is of kind {kind.name}"
    return ()


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
        postings=pair(Account.CASH_POINTS, Account.CARD_FLOAT, balance_fen, card),
    )


def load_for(
    load_id: LoadId,
    card: CardId,
    *,
    funding: Funding = Funding.CASH,
    online_counter: int,
    amount_fen: Fen,
    source: Source,
    granted_at_utc_s: int,
) -> Entry:
    """A load that was granted: pending money from the cash points, or out of the holder's refunds, to the purse."""
    return Entry(
        kind=LOADS[funding],
        source=source,
        origin=load_id,
        card=card,
        counter=online_counter,
        ttsn=None,
        amount_fen=amount_fen,
        happened_at_utc_s=granted_at_utc_s,
        clock_quality=ClockQuality.SERVER,
        received_at_utc_s=granted_at_utc_s,
        postings=load_postings(LOADS[funding], card, amount_fen),
    )


def load_postings(kind: EntryKind, card: CardId, amount_fen: Fen) -> tuple[Posting, ...]:
    """What a load posts once it is confirmed."""
    paid_by = Account.REFUNDS_PAYABLE if kind is EntryKind.COLLECTION else Account.CASH_POINTS
    return pair(paid_by, Account.CARD_FLOAT, amount_fen, card)


def suspended(record: TapRecord, *, reason: Suspense, source: Source, received_at_utc_s: int) -> SuspenseItem:
    """The record as an item to explain."""
    return SuspenseItem(
        source=source,
        origin=record.tap_id,
        reason=reason,
        kind=_KINDS[record.kind],
        card=record.card,
        counter=record.counter,
        ttsn=record.ttsn,
        amount_fen=_moved_fen(record),
        subsidy_fen=record.subsidy_fen,
        refers_to=record.refers_to,
        balance_before_fen=record.balance_before_fen,
        happened_at_utc_s=record.opened_at.utc_s,
        clock_quality=record.opened_at.quality,
        since_utc_s=received_at_utc_s,
    )


def suspend_entry(entry: Entry, reason: Suspense) -> SuspenseItem:
    """An entry that the ledger could not take, as an item to explain."""
    assert entry.origin is not None, "only a tap or a load can be suspended"
    assert entry.card is not None, "it has a card"
    assert entry.counter is not None, "it has a count"
    return SuspenseItem(
        source=entry.source,
        origin=entry.origin,
        reason=reason,
        kind=entry.kind,
        card=entry.card,
        counter=entry.counter,
        ttsn=entry.ttsn or 0,
        amount_fen=entry.amount_fen,
        subsidy_fen=entry.subsidy_fen,
        refers_to=entry.refers_to or 0,
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
        kind=LOADS[end.funding],
        card=end.card,
        counter=end.counter,
        ttsn=0,
        amount_fen=end.amount_fen,
        happened_at_utc_s=end.happened_at_utc_s,
        clock_quality=ClockQuality.SERVER,
        since_utc_s=end.happened_at_utc_s,
    )


def settled_tap(item: SuspenseItem, *, decided_at_utc_s: int) -> Entry:
    """The entry that a suspended tap turned out to be."""
    return Entry(
        kind=item.kind,
        source=item.source,
        origin=item.origin,
        card=item.card,
        counter=item.counter,
        ttsn=item.ttsn,
        amount_fen=item.amount_fen,
        subsidy_fen=item.subsidy_fen,
        refers_to=item.refers_to or None,
        balance_before_fen=item.balance_before_fen,
        happened_at_utc_s=item.happened_at_utc_s,
        clock_quality=item.clock_quality,
        received_at_utc_s=item.since_utc_s,
        decided_at_utc_s=decided_at_utc_s,
        postings=tap_postings(item.kind, item.card, item.amount_fen, item.subsidy_fen),
    )


def accounting_day(utc_s: int) -> int:
    """The campus's day as a whole number such as 20260901."""
    return _day_number((utc_s + _ZONE_S) // 86_400)


@lru_cache(64)
def _day_number(days_since_1970: int) -> int:
    return day_of(_EPOCH + timedelta(days=days_since_1970))


def day_of(day: date) -> int:
    """The day as a number."""
    return day.year * 10_000 + day.month * 100 + day.day


def date_of(day: int) -> date:
    """The inverse of `day_of`."""
    return date(day // 10_000, day // 100 % 100, day % 100)


def next_day(day: int) -> int:
    """The day after."""
    return day_of(date_of(day) + timedelta(days=1))


def pair(debit: Account, credit: Account, amount_fen: Fen, card: CardId | None) -> tuple[Posting, ...]:
    """Two sides of an amount, none for nothing; the card goes with the card float."""
    if amount_fen == 0:
        return ()
    sides = ((debit, int(amount_fen)), (credit, -int(amount_fen)))
    return tuple(Posting(account, amount, card if account is Account.CARD_FLOAT else None) for account, amount in sides)
