"""Whether a card may pay: limits, validity, hotlist, balance. Pure; what comes of it is `terminal.sale`'s matter."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from drivers.apdu import Sw
from drivers.purse import PurseView
from wire.hotlist import Hotlist
from wire.money import Fen
from wire.record import Refusal, TapTime


@dataclass(frozen=True, slots=True)
class Limits:
    """What this terminal may take: `tap_fen_max` in one tap."""

    tap_fen_max: Fen


@dataclass(frozen=True, slots=True)
class Approval:
    """The card may pay."""


# What a card's refusal of INITIALIZE means for the customer; every other word means that it is no purse to us.
_REFUSAL_BY_STATUS: Final = {
    Sw.BALANCE_INSUFFICIENT: Refusal.INSUFFICIENT_BALANCE,
    Sw.COUNTER_EXHAUSTED: Refusal.COUNTER_EXHAUSTED,
    Sw.CONDITIONS_NOT_SATISFIED: Refusal.CARD_BLOCKED,
    Sw.PERMANENTLY_BLOCKED: Refusal.CARD_BLOCKED,
    Sw.CARD_BLOCKED: Refusal.CARD_BLOCKED,
}


def authorise(
    view: PurseView, *, amount_fen: Fen, hotlist: Hotlist, limits: Limits, opened_at: TapTime
) -> Approval | Refusal:
    """Decide on one tap. The first rule that objects gives the reason: who it is, then validity, then money."""
    today, _ = opened_at.card_date_time()
    if view.card in hotlist.cards:
        return Refusal.HOTLISTED
    if view.info.blocked:
        return Refusal.CARD_BLOCKED
    if not view.info.has_purse:
        return Refusal.NO_PURSE
    if today < view.info.valid_from:
        return Refusal.NOT_YET_VALID
    if today > view.info.valid_to:
        return Refusal.EXPIRED
    if amount_fen > limits.tap_fen_max:
        return Refusal.OVER_TAP_LIMIT
    if view.session is None:
        return next((why for word, why in _REFUSAL_BY_STATUS.items() if word == view.status), Refusal.NO_PURSE)
    if view.balance_fen < amount_fen:
        return Refusal.INSUFFICIENT_BALANCE
    return Approval()
