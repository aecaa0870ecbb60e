"""Each rule at its border, and which of two objections is told."""

from __future__ import annotations

from dataclasses import replace

import pytest

from drivers.purse import PurseInfo, PurseSession, PurseView
from terminal.rules import Approval, Limits, Terms, Wanted, authorise
from terminal.usage import Usage
from tests.terminal.conftest import INTENT, NOON, at
from wire.hotlist import EMPTY_HOTLIST, Hotlist
from wire.ids import Asn, CardId
from wire.money import Fen
from wire.record import Refusal, TapTime

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
