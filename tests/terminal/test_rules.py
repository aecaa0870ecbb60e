"""Each rule at its border, and which of two objections is told."""

from __future__ import annotations

from dataclasses import replace

import pytest

from drivers.purse import PurseInfo, PurseSession, PurseView
from terminal.rules import DOUBLE_TAP_S_MAX, Approval, Limits, Offline, Terms, Wanted, authorise
from terminal.usage import Usage
from tests.terminal.conftest import INTENT, NOON, at, later
from tests.terminal.school import BREAKFAST, LUNCH, SCHOOL, STUDENTS, TEACHERS
from tests.terminal.test_usage import tap
from wire.configuration import ClassLimits, Configuration
from wire.hotlist import EMPTY_HOTLIST, Hotlist
from wire.ids import Asn, CardId
from wire.money import Fen
from wire.record import Outcome, Refusal, TapRecord, TapTime, VoidReason

INFO = PurseInfo(
    card=INTENT.card,
    application_type=2,
    valid_from=bytes.fromhex("20260302"),
    valid_to=bytes.fromhex("20260302"),
    blocked=False,
)
SESSION = PurseSession(balance_fen=Fen(5000), counter=7, key_version=1, algorithm=0, random=bytes(4))
VIEW = PurseView(info=INFO, balance_fen=Fen(5000), session=SESSION, status=0x9000)


def decide(
    view: PurseView = VIEW, amount_fen: int = 1200, hotlist: Hotlist = EMPTY_HOTLIST, opened_at: TapTime = NOON
) -> Approval | Refusal:
    limits = Limits(tap_fen_max=Fen(6000))
    terms = Terms(hotlist=hotlist, limits=limits)
    return authorise(view, Wanted(amount_fen=Fen(amount_fen)), terms=terms, usage=Usage(), opened_at=opened_at)


def refused_by_card(status: int) -> PurseView:
    return replace(VIEW, session=None, balance_fen=Fen(0), status=status)


def test_good_card_is_approved_up_to_its_whole_balance() -> None:
    assert decide() == Approval()
    assert decide(amount_fen=5000) == Approval()


@pytest.mark.parametrize(
    ("view", "amount_fen", "refusal"),
    [
        (replace(VIEW, info=replace(INFO, blocked=True)), 1, Refusal.CARD_BLOCKED),
        (replace(VIEW, info=replace(INFO, application_type=1)), 1, Refusal.NO_PURSE),
        (VIEW, 6001, Refusal.OVER_TAP_LIMIT),
        (VIEW, 5001, Refusal.INSUFFICIENT_BALANCE),
        (refused_by_card(0x9401), 1, Refusal.INSUFFICIENT_BALANCE),
        (refused_by_card(0x9402), 1, Refusal.COUNTER_EXHAUSTED),
        (refused_by_card(0x6985), 1, Refusal.CARD_BLOCKED),
        (refused_by_card(0x9303), 1, Refusal.CARD_BLOCKED),
        (refused_by_card(0x6A81), 1, Refusal.CARD_BLOCKED),
        (refused_by_card(0x9403), 1, Refusal.NO_PURSE),
        (refused_by_card(0x6D00), 1, Refusal.NO_PURSE),
    ],
)
def test_each_rule_objects(view: PurseView, amount_fen: int, refusal: Refusal) -> None:
    assert decide(view, amount_fen) is refusal


@pytest.mark.parametrize(
    ("seconds", "verdict"),
    [
        (-12 * 3600 - 1, Refusal.NOT_YET_VALID),
        (-12 * 3600, Approval()),
        (12 * 3600 - 1, Approval()),
        (12 * 3600, Refusal.EXPIRED),
    ],
)
def test_validity_is_by_whole_local_days(seconds: int, verdict: Approval | Refusal) -> None:
    assert decide(opened_at=at(seconds)) == verdict


def test_hotlist_names_issuer_and_serial_number_together() -> None:
    other = CardId(INTENT.card.issuer, Asn(bytes(10)))
    assert decide(hotlist=Hotlist(1, frozenset({INTENT.card}))) is Refusal.HOTLISTED
    assert decide(hotlist=Hotlist(1, frozenset({other}))) == Approval()


def test_who_it_is_comes_before_validity_and_validity_before_money() -> None:
    expired_and_blocked = replace(VIEW, info=replace(INFO, blocked=True))
    hotlist = Hotlist(1, frozenset({INTENT.card}))
    assert decide(expired_and_blocked, 9000, hotlist, at(86_400)) is Refusal.HOTLISTED
    assert decide(expired_and_blocked, 9000, opened_at=at(86_400)) is Refusal.CARD_BLOCKED
    assert decide(VIEW, 9000, opened_at=at(86_400)) is Refusal.EXPIRED


STUDENT = replace(VIEW, info=replace(INFO, card_class=STUDENTS))
TEACHER = replace(VIEW, info=replace(INFO, card_class=TEACHERS))
ONLINE = Offline()
LIMITS = ClassLimits(tap_fen_max=Fen(4_000), meal_count_max=3, meal_fen_max=Fen(6_000), day_fen_max=Fen(10_000))


def limited(limits: ClassLimits = LIMITS, **changes: object) -> Configuration:
    """The school, with these limits for students."""
    students = replace(SCHOOL.classes[0], limits=limits)
    return replace(SCHOOL, classes=(students, SCHOOL.classes[1]), **changes)  # type: ignore[arg-type]  # its own fields


def sell(
    wanted: Wanted,
    *spent: TapRecord,
    view: PurseView = STUDENT,
    configuration: Configuration | None = None,
    offline: Offline = ONLINE,
    opened_at: TapTime = NOON,
) -> Approval | Refusal:
    usage = Usage()
    for record in spent:
        usage.add(record)
    terms = Terms(
        hotlist=EMPTY_HOTLIST,
        limits=Limits(tap_fen_max=Fen(1)),
        configuration=configuration or limited(),
        offline=offline,
    )
    return authorise(view, wanted, terms=terms, usage=usage, opened_at=opened_at)


def price(fen: int, **changes: int) -> Wanted:
    return replace(Wanted(amount_fen=Fen(fen)), **changes)  # type: ignore[arg-type]  # its own fields


def earlier(seq: int, fen: int, seconds: int) -> TapRecord:
    """A sale so many seconds before noon."""
    return tap(seq, amount_fen=Fen(fen), subsidy_fen=Fen(0), opened_at=later(NOON, -seconds))


def test_configuration_takes_the_place_of_the_terminals_own_limit_class_by_class() -> None:
    assert sell(price(4_000)) == Approval()
    assert sell(price(4_001)) is Refusal.OVER_TAP_LIMIT
    assert sell(price(5_000), view=TEACHER) == Approval()
    assert sell(price(5_000), view=replace(TEACHER, info=replace(INFO, card_class=9))) == Approval()


def test_what_the_school_pays_counts_against_limits_and_not_against_the_purse() -> None:
    assert sell(price(3_900, subsidy_fen=101)) is Refusal.OVER_TAP_LIMIT
    poor = replace(STUDENT, balance_fen=Fen(100))
    assert sell(price(100, subsidy_fen=500), view=poor) == Approval()


def test_class_with_a_limit_of_nothing_may_not_pay() -> None:
    assert sell(price(1), configuration=limited(ClassLimits(tap_fen_max=Fen(0)))) is Refusal.OVER_CLASS_LIMIT


def test_meal_limit_counts_sales_and_money_of_this_period() -> None:
    two = (earlier(1, 1_000, 1_200), earlier(2, 1_000, 600))
    assert sell(price(1_000), *two) == Approval()
    assert sell(price(1_000, meals=2), *two) is Refusal.OVER_MEAL_LIMIT
    assert sell(price(1_000), *two, earlier(3, 100, 300)) is Refusal.OVER_MEAL_LIMIT
    assert sell(price(4_000), *two) == Approval()
    assert sell(price(3_000), earlier(1, 3_001, 60)) is Refusal.OVER_MEAL_LIMIT
    breakfast = [earlier(seq, 100, 4 * 3_600) for seq in (1, 2, 3)]
    assert sell(price(1_000), *breakfast) == Approval()


def test_day_limit_counts_since_midnight() -> None:
    spent = [earlier(1, 3_500, 5 * 3_600), earlier(2, 3_500, 3 * 3_600)]
    assert sell(price(3_000), *spent) == Approval()
    assert sell(price(3_001), *spent) is Refusal.OVER_DAY_LIMIT
    assert sell(price(3_001), earlier(1, 9_000, 12 * 3_600 + 1)) == Approval()


def test_clock_that_was_set_back_gives_no_second_day() -> None:
    tomorrow = [replace(earlier(1, 9_000, 0), opened_at=later(NOON, 86_400))]
    assert sell(price(3_001), *tomorrow, configuration=limited(replace(LIMITS, meal_fen_max=None))) is (
        Refusal.OVER_DAY_LIMIT
    )


def test_meal_is_sold_only_in_the_period_that_was_shown() -> None:
    assert sell(price(1_000, period=LUNCH, meals=1)) == Approval()
    assert sell(price(1_000, period=BREAKFAST, meals=1)) is Refusal.NOT_SOLD_NOW
    assert sell(price(1_000, period=LUNCH, meals=1), opened_at=later(NOON, 2 * 3_600)) is Refusal.NOT_SOLD_NOW


@pytest.mark.parametrize("with_configuration", [True, False])
def test_double_tap_is_the_same_card_for_the_same_price_within_seconds(with_configuration: bool) -> None:
    wanted = price(1_000)

    def again(last: TapRecord, wanted: Wanted = wanted) -> Approval | Refusal:
        usage = Usage()
        usage.add(last)
        configuration = limited() if with_configuration else None
        terms = Terms(hotlist=EMPTY_HOTLIST, limits=Limits(tap_fen_max=Fen(9_000)), configuration=configuration)
        return authorise(STUDENT, wanted, terms=terms, usage=usage, opened_at=NOON)

    assert again(earlier(1, 1_000, DOUBLE_TAP_S_MAX)) is Refusal.DOUBLE_TAP
    assert again(earlier(1, 1_000, DOUBLE_TAP_S_MAX + 1)) == Approval()
    assert again(earlier(1, 1_001, 3)) == Approval()
    assert again(earlier(1, 1_000, 3_600), replace(wanted, lingered=True)) is Refusal.DOUBLE_TAP
    assert again(earlier(1, 3_000, 3_600), replace(wanted, lingered=True)) is Refusal.DOUBLE_TAP
    assert again(earlier(1, 1_000, 3_600), replace(wanted, lingered=True, again=True)) == Approval()
    assert again(earlier(1, 1_000, 3), replace(wanted, again=True)) == Approval()
    restarted = replace(NOON, boot=0, uptime_s=0, utc_s=NOON.utc_s - 5)
    assert again(replace(earlier(1, 1_000, 0), opened_at=restarted)) is Refusal.DOUBLE_TAP
    set_back = replace(later(NOON, -5), utc_s=NOON.utc_s + 9_999)
    assert again(replace(earlier(1, 1_000, 0), opened_at=set_back)) is Refusal.DOUBLE_TAP
    assert again(replace(earlier(1, 1_000, 3), outcome=Outcome.VOIDED, reason=VoidReason.NOT_EXECUTED)) == Approval()


def test_offline_limits_bite_at_their_number() -> None:
    configuration = limited(offline_s_max=3_600, offline_fen_max=Fen(5_000))

    def offline(silent_s: int, unsent_fen: int) -> Approval | Refusal:
        return sell(price(1_000), configuration=configuration, offline=Offline(silent_s, unsent_fen))

    assert offline(3_600, 4_000) == Approval()
    assert offline(3_601, 0) is Refusal.OFFLINE_TOO_LONG
    assert offline(0, 4_001) is Refusal.OFFLINE_TOO_MUCH
    assert sell(price(1_000), offline=Offline(10**9, 10**9)) == Approval()
