"""What the school pays of a sale: which rule holds for a card now, and how much of its allowance is left. Pure.

One rule at a time: of those for the card's class that are valid on this day and in this meal period, the one with the
lowest number. Money that the school paid is counted to the rule that held for the class when it was paid, as the
configuration in force tells it. What it paid today and no rule accounts for any more counts against every rule: new
hours of a meal give nobody a second allowance.
"""

from __future__ import annotations

from datetime import date, datetime, time

from terminal.usage import Usage, day_and_minute
from wire.configuration import Carry, Configuration, Cycle, SubsidyRule
from wire.ids import CardId
from wire.money import Fen
from wire.record import CAMPUS_ZONE, TapTime


def start_of_day_utc_s(day: date) -> int:
    """When this day began on the campus."""
    return int(datetime.combine(day, time(), CAMPUS_ZONE).timestamp())


def rule_for(configuration: Configuration, card_class: int, today: date, minute: int) -> SubsidyRule | None:
    """The rule by which the school would pay for a card of this class then; None: it would pay nothing."""
    for rule in configuration.subsidies:
        if rule.card_class == card_class and rule.first_day <= today <= rule.last_day:
            period = configuration.period_at(minute) if rule.periods else None
            if not rule.periods or (period is not None and period.number in rule.periods):
                return rule
    return None


def allowance_left_fen(
    configuration: Configuration, card_class: int, at: TapTime, *, card: CardId, usage: Usage
) -> Fen:
    """How much the school would still pay for this card now."""
    today, minute = day_and_minute(at)
    rule = rule_for(configuration, card_class, today, minute)
    if rule is None:
        return Fen(0)
    given_fen, since = _given(rule, today)
    used_fen = 0
    for one in usage.subsidised(card, start_of_day_utc_s(since)):
        paid_by = rule_for(configuration, card_class, one.day, one.minute)
        if paid_by is rule or (paid_by is None and one.day >= today):
            used_fen += one.subsidy_fen
    return Fen(max(given_fen - used_fen, 0))


def _given(rule: SubsidyRule, today: date) -> tuple[int, date]:
    """What was given by this rule that can still be spent today, and since when spending counts against it."""
    if rule.carry is Carry.RESET:
        first = today if rule.cycle is Cycle.DAY else today.replace(day=1)
        return rule.amount_fen, max(first, rule.first_day)
    if rule.cycle is Cycle.DAY:
        cycles = (today - rule.first_day).days + 1
    else:
        cycles = (today.year - rule.first_day.year) * 12 + today.month - rule.first_day.month + 1
    return rule.amount_fen * cycles, rule.first_day
