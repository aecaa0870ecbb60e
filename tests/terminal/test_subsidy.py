"""The school's allowance: whose rule, in which window, how much is left; and that nobody gets more than was given."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from terminal.subsidy import allowance_left_fen, rule_for
from terminal.usage import Usage, day_and_minute
from tests.terminal.conftest import INTENT, NOON
from tests.terminal.school import LUNCH_RULE, SCHOOL, STUDENTS, SUPPER, TEACHERS
from tests.terminal.test_usage import reversal, tap
from wire.configuration import Carry, Configuration, Cycle, SubsidyRule
from wire.money import Fen
from wire.record import CAMPUS_ZONE, Mac2, Outcome, TapTime

CARD = INTENT.card
ALWAYS = replace(LUNCH_RULE, periods=())


def time(month: int, day: int, hour: int = 12, minute: int = 0) -> TapTime:
    local = datetime(2026, month, day, hour, minute, tzinfo=CAMPUS_ZONE)
    return replace(NOON, utc_s=int(local.timestamp()))


def school(*rules: SubsidyRule) -> Configuration:
    return replace(SCHOOL, subsidies=rules)


def left(configuration: Configuration, at: TapTime, *spent: tuple[TapTime, int]) -> int:
    usage = Usage()
    for seq, (when, subsidy_fen) in enumerate(spent, 1):
        usage.add(tap(seq, opened_at=when, subsidy_fen=Fen(subsidy_fen)))
    return allowance_left_fen(configuration, STUDENTS, at, card=CARD, usage=usage)


@pytest.mark.parametrize(
    ("card_class", "at", "rule"),
    [
        (STUDENTS, time(3, 2, 11, 0), LUNCH_RULE),
        (STUDENTS, time(3, 2, 13, 29), LUNCH_RULE),
        (STUDENTS, time(3, 2, 13, 30), None),
        (STUDENTS, time(3, 2, 10, 59), None),
        (STUDENTS, time(3, 1), LUNCH_RULE),
        (STUDENTS, time(2, 28), None),
        (STUDENTS, time(7, 31), LUNCH_RULE),
        (STUDENTS, time(8, 1), None),
        (TEACHERS, time(3, 2), None),
    ],
)
def test_rule_holds_for_its_class_in_its_days_and_periods(
    card_class: int, at: TapTime, rule: SubsidyRule | None
) -> None:
    assert rule_for(SCHOOL, card_class, *day_and_minute(at)) == rule


def test_lowest_number_pays_when_two_rules_hold() -> None:
    second = replace(ALWAYS, number=2, amount_fen=Fen(900))
    both = school(LUNCH_RULE, second)
    assert rule_for(both, STUDENTS, *day_and_minute(time(3, 2))) == LUNCH_RULE
    assert rule_for(both, STUDENTS, *day_and_minute(time(3, 2, 18))) == second
    assert left(both, time(3, 2, 18), (time(3, 2, 12), 500)) == 900


@pytest.mark.parametrize(
    ("rule", "at", "spent", "expected"),
    [
        (ALWAYS, time(3, 2, 23, 59), [(time(3, 2, 0, 0), 300)], 200),
        (ALWAYS, time(3, 3, 0, 0), [(time(3, 2, 23, 59), 300)], 500),
        (ALWAYS, time(3, 2), [(time(3, 3), 300)], 200),
        (ALWAYS, time(3, 2), [(time(3, 2), 300), (time(3, 2), 300)], 0),
        (replace(ALWAYS, carry=Carry.ACCUMULATE), time(3, 1), [], 500),
        (replace(ALWAYS, carry=Carry.ACCUMULATE), time(3, 4), [(time(3, 2), 700)], 1_300),
        (replace(ALWAYS, cycle=Cycle.MONTH), time(3, 31), [(time(3, 1), 300)], 200),
        (replace(ALWAYS, cycle=Cycle.MONTH), time(4, 1, 0, 0), [(time(3, 31, 23, 59), 300)], 500),
        (
            replace(ALWAYS, cycle=Cycle.MONTH, carry=Carry.ACCUMULATE),
            time(5, 1),
            [(time(3, 9), 300), (time(4, 9), 100)],
            1_100,
        ),
        (replace(ALWAYS, cycle=Cycle.MONTH, first_day=date(2026, 3, 9)), time(3, 10), [(time(3, 8), 300)], 500),
        (LUNCH_RULE, time(3, 2, 12), [(time(3, 1, 18), 300)], 500),
        (LUNCH_RULE, time(3, 2, 12), [(time(3, 2, 10, 59), 300)], 200),  # when lunch began earlier, as it was then
        (replace(LUNCH_RULE, carry=Carry.ACCUMULATE), time(3, 2), [(time(3, 1, 10, 59), 300)], 1_000),
    ],
)
def test_what_is_left(rule: SubsidyRule, at: TapTime, spent: list[tuple[TapTime, int]], expected: int) -> None:
    assert left(school(rule), at, *spent) == expected


def test_unknown_sale_has_used_it_and_an_undo_gives_it_back() -> None:
    usage = Usage()
    usage.add(tap(1, opened_at=time(3, 2), outcome=Outcome.UNKNOWN, mac2=Mac2.NOT_CHECKED))
    assert allowance_left_fen(SCHOOL, STUDENTS, time(3, 2), card=CARD, usage=usage) == 0
    usage.add(tap(2, opened_at=time(3, 3)))
    usage.add(reversal(3, 2, opened_at=time(3, 3)))
    assert allowance_left_fen(SCHOOL, STUDENTS, time(3, 3), card=CARD, usage=usage) == 500


def test_other_periods_need_no_rule_of_their_own() -> None:
    assert left(school(replace(LUNCH_RULE, periods=(SUPPER,))), time(3, 2)) == 0


@given(
    st.sampled_from(list(Cycle)),
    st.sampled_from(list(Carry)),
    st.lists(st.tuples(st.integers(0, 60), st.integers(0, 800)), max_size=30),
)
def test_school_never_pays_more_than_it_gave(cycle: Cycle, carry: Carry, wishes: list[tuple[int, int]]) -> None:
    """Whoever takes what is left, day after day, gets at most the allowance of each day, or month, or of all so far."""
    rule = replace(ALWAYS, cycle=cycle, carry=carry)
    configuration, usage = school(rule), Usage()
    paid: list[tuple[date, int]] = []
    for seq, (day, wish_fen) in enumerate(sorted(wishes), 1):
        at = replace(NOON, utc_s=time(3, 1).utc_s + 86_400 * day)
        given_fen = min(wish_fen, allowance_left_fen(configuration, STUDENTS, at, card=CARD, usage=usage))
        usage.add(tap(seq, opened_at=at, subsidy_fen=Fen(given_fen)))
        paid.append((at.local().date(), given_fen))
        today = at.local().date()
        if carry is Carry.RESET:
            same = [fen for when, fen in paid if (when == today if cycle is Cycle.DAY else when.month == today.month)]
            assert sum(same) <= rule.amount_fen
        else:
            cycles = (today - rule.first_day).days + 1 if cycle is Cycle.DAY else today.month - 2
            assert sum(fen for _, fen in paid) <= rule.amount_fen * cycles
