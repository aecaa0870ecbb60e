"""Whether a card may do what it is presented for: who it is, limits, balance. Pure; `terminal.sale` acts on it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from drivers.apdu import Sw
from drivers.purse import PurseInfo, PurseView
from terminal.subsidy import start_of_day_utc_s
from terminal.usage import Spent, Usage, day_and_minute
from wire.configuration import ClassLimits, Configuration
from wire.hotlist import Hotlist
from wire.money import Fen
from wire.record import Refusal, TapTime

UNDO_S_MAX: Final = 5 * 60  # later only with a supervisor: the customer and the goods are gone by then
DOUBLE_TAP_S_MAX: Final = 10  # the same card for the same price: it lingered, or its holder is not sure that it paid


@dataclass(frozen=True, slots=True)
class Limits:
    """What `terminal.toml` lets this terminal take until a configuration comes down: `tap_fen_max` in one tap."""

    tap_fen_max: Fen


@dataclass(frozen=True, slots=True)
class Offline:
    """How far the till is on its own: seconds since the server was heard, money that it has not got."""

    silent_s: int = 0
    unsent_fen: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What is in force for one tap."""

    hotlist: Hotlist
    limits: Limits
    configuration: Configuration | None = None
    offline: Offline = Offline()

    def limits_of(self, card_class: int) -> ClassLimits:
        """What a card of this class may spend."""
        if self.configuration is None:
            return ClassLimits(tap_fen_max=self.limits.tap_fen_max)
        return self.configuration.limits_of(card_class)


@dataclass(frozen=True, slots=True)
class Approval:
    """The card may."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A sale as the rules see it: what the card pays, and the school; `period`: of the meals that are sold."""

    amount_fen: Fen
    subsidy_fen: Fen = Fen(0)
    meals: int = 0
    period: int = 0
    again: bool = False  # the cashier confirmed that the same is meant twice
    lingered: bool = False  # the card lay on the reader until a moment ago, and this was offered to all

    @property
    def price_fen(self) -> int:
        """What is bought for, whoever pays."""
        return self.amount_fen + self.subsidy_fen


# What a card's refusal of INITIALIZE means for the customer; every other word means that it is no purse to us.
_REFUSAL_BY_STATUS: Final = {
    Sw.BALANCE_INSUFFICIENT: Refusal.INSUFFICIENT_BALANCE,
    Sw.COUNTER_EXHAUSTED: Refusal.COUNTER_EXHAUSTED,
    Sw.CONDITIONS_NOT_SATISFIED: Refusal.CARD_BLOCKED,
    Sw.PERMANENTLY_BLOCKED: Refusal.CARD_BLOCKED,
    Sw.CARD_BLOCKED: Refusal.CARD_BLOCKED,
}


def authorise(view: PurseView, wanted: Wanted, *, terms: Terms, usage: Usage, opened_at: TapTime) -> Approval | Refusal:
    """Decide on one sale. The first rule that objects gives the reason: who it is, then limits, then money."""
    objections = (
        welcome(view.info, terms=terms, opened_at=opened_at),
        next(_objections(view, wanted, terms, usage, opened_at), None),
        purse_objects(view, wanted.amount_fen),
    )
    return next((refusal for refusal in objections if refusal is not None), Approval())


def welcome(info: PurseInfo, *, terms: Terms, opened_at: TapTime) -> Refusal | None:
    """What speaks against this card, whatever it is presented for."""
    today, _ = opened_at.card_date_time()
    if info.card in terms.hotlist.cards:
        return Refusal.HOTLISTED
    if info.blocked:
        return Refusal.CARD_BLOCKED
    if not info.has_purse:
        return Refusal.NO_PURSE
    if today < info.valid_from:
        return Refusal.NOT_YET_VALID
    if today > info.valid_to:
        return Refusal.EXPIRED
    return None


def purse_objects(view: PurseView, amount_fen: Fen) -> Refusal | None:
    """What the card itself says against paying so much."""
    if view.session is None:
        return next((why for word, why in _REFUSAL_BY_STATUS.items() if word == view.status), Refusal.NO_PURSE)
    return Refusal.INSUFFICIENT_BALANCE if view.balance_fen < amount_fen else None


def _objections(view: PurseView, wanted: Wanted, terms: Terms, usage: Usage, opened_at: TapTime) -> Iterator[Refusal]:
    """What the till's own rules say against a sale, in order."""
    limits, configuration = terms.limits_of(view.info.card_class), terms.configuration
    if limits.tap_fen_max == 0:
        yield Refusal.OVER_CLASS_LIMIT
    if wanted.price_fen > limits.tap_fen_max:
        yield Refusal.OVER_TAP_LIMIT
    if configuration is None:
        if _is_double(usage.last(view.card), wanted, opened_at):
            yield Refusal.DOUBLE_TAP
        return
    today, minute = day_and_minute(opened_at)
    period = configuration.period_at(minute)
    if wanted.period and (period is None or period.number != wanted.period):
        yield Refusal.NOT_SOLD_NOW
    midnight_s = start_of_day_utc_s(today)
    if period is not None and (limits.meal_count_max is not None or limits.meal_fen_max is not None):
        meal = usage.since(view.card, midnight_s + 60 * period.from_min)
        if limits.meal_count_max is not None and meal.meals + max(wanted.meals, 1) > limits.meal_count_max:
            yield Refusal.OVER_MEAL_LIMIT
        if limits.meal_fen_max is not None and meal.fen + wanted.price_fen > limits.meal_fen_max:
            yield Refusal.OVER_MEAL_LIMIT
    day_fen = usage.since(view.card, midnight_s).fen if limits.day_fen_max is not None else 0
    if limits.day_fen_max is not None and day_fen + wanted.price_fen > limits.day_fen_max:
        yield Refusal.OVER_DAY_LIMIT
    if _is_double(usage.last(view.card), wanted, opened_at):
        yield Refusal.DOUBLE_TAP
    yield from _offline_objections(configuration, terms.offline, wanted.amount_fen)


def _offline_objections(configuration: Configuration, offline: Offline, amount_fen: Fen) -> Iterator[Refusal]:
    if configuration.offline_s_max is not None and offline.silent_s > configuration.offline_s_max:
        yield Refusal.OFFLINE_TOO_LONG
    if configuration.offline_fen_max is not None and offline.unsent_fen + amount_fen > configuration.offline_fen_max:
        yield Refusal.OFFLINE_TOO_MUCH


def _is_double(last: Spent | None, wanted: Wanted, now: TapTime) -> bool:
    if last is None or wanted.again:
        return False
    soon = last.price_fen == wanted.price_fen and seconds_between(last.at, now) <= DOUBLE_TAP_S_MAX
    return soon or wanted.lingered


def seconds_between(then: TapTime, now: TapTime) -> int:
    """How long ago `then` was; by a clock that nobody sets, unless the machine was started since."""
    return now.uptime_s - then.uptime_s if then.boot == now.boot else abs(now.utc_s - then.utc_s)
