"""Sales by class and subsidy, undo, refund and sign-on over simulated card and PSAM."""

from __future__ import annotations

from dataclasses import replace

import pytest

from settlement.onecard.keys import FileKeyStore
from settlement.streams.ingest import judge
from sim.pcsc.local import Tear
from terminal.basket import Offer, amount_offer, meal_offer
from terminal.result import (
    Approved,
    NotPaid,
    ProofRefused,
    Refunded,
    Refused,
    Reversed,
    SignedOn,
    Torn,
    Unresolved,
    WrongCard,
)
from terminal.rules import UNDO_S_MAX
from tests.terminal.conftest import MASTERS, Card, World, later
from tests.terminal.school import PIN, SCHOOL, STUDENTS, SUPERVISOR
from wire.configuration import StaffRole
from wire.hotlist import Hotlist
from wire.money import Fen
from wire.purse_keys import PurseKeys
from wire.record import Mac2, Outcome, Refusal, TapKind, TapRecord

PRICE = Fen(1200)
KEYS = FileKeyStore(MASTERS, two_level=False)
WRONG = PurseKeys(purchase=bytes(range(16)), load=bytes(range(16)), tac=bytes(range(16)))


def student(world: World, balance_fen: int = 5_000) -> Card:
    """A student's card at a till that goes by the school's configuration."""
    world.configuration = SCHOOL
    return world.card(1, card_class=STUDENTS, balance_fen=balance_fen)


def sold(world: World, card: Card, offer: Offer | None = None) -> TapRecord:
    result = world.sale.charge(world.channel(card), offer or amount_offer(PRICE))
    assert isinstance(result, Approved)
    return result.record


def test_class_pays_its_price_and_the_school_its_part_first(world: World) -> None:
    card = student(world)
    lunch = meal_offer(SCHOOL.periods[1], 1)
    assert lunch is not None
    record = sold(world, card, lunch)
    assert (record.amount_fen, record.subsidy_fen, card.purse.balance_fen) == (500, 500, 4_500)
    assert judge(record, KEYS) is None
    second = sold(world, card)
    assert (second.amount_fen, second.subsidy_fen) == (PRICE, 0)
    assert world.journal.head().total_fen == 1_700


def test_school_pays_all_of_a_small_price_and_the_card_proves_that_it_was_there(world: World) -> None:
    card = student(world, balance_fen=0)
    record = sold(world, card, amount_offer(Fen(300)))
    assert (record.amount_fen, record.subsidy_fen, record.mac2, card.purse.counter) == (0, 300, Mac2.VERIFIED, 1)
    assert judge(record, KEYS) is None


def test_meals_of_one_tap_count_as_so_many_also_after_a_restart(world: World) -> None:
    card = student(world, balance_fen=20_000)
    lunch = meal_offer(SCHOOL.periods[1], 2)
    assert lunch is not None
    sold(world, card, lunch)
    world.restart()
    again = world.sale.charge(world.channel(card), lunch)
    assert isinstance(again, Refused)
    assert again.refusal is Refusal.OVER_MEAL_LIMIT
    assert (again.card, world.journal.records(2, 1)[0].amount_fen) == (card.id, 2_000)


@pytest.mark.parametrize("restart", [False, True])
def test_torn_meals_count_as_so_many_when_their_card_is_back(world: World, restart: bool) -> None:
    card = student(world, balance_fen=20_000)
    lunch = meal_offer(SCHOOL.periods[1], 3)
    assert lunch is not None
    card.chip.tear(Tear.AFTER, after=2)
    result = world.sale.charge(world.channel(card), lunch)
    assert isinstance(result, Torn)
    if restart:
        world.restart()
    open_tap = world.journal.opened_tap()
    assert open_tap is not None
    done = world.sale.resolve(world.channel(card), open_tap)
    assert isinstance(done, Unresolved if restart else Approved)
    assert world.usage.since(card.id, 0).meals == 3


def test_undo_owes_what_the_card_paid_and_gives_the_school_its_part_back(world: World) -> None:
    card = student(world)
    sale = sold(world, card)
    result = world.sale.reverse(world.channel(card), sale)
    assert isinstance(result, Reversed)
    facts = (result.record.amount_fen, result.record.credit_fen, result.record.subsidy_fen, result.record.refers_to)
    assert facts == (0, 700, 500, sale.tap_id.seq)
    assert (card.purse.balance_fen, card.purse.counter) == (4_300, 2)
    assert judge(result.record, KEYS) is None
    assert world.usage.since(card.id, 0).fen == 0
    assert sold(world, card).subsidy_fen == 500


def test_undo_happens_once_in_time_and_with_the_same_card(world: World) -> None:
    card, other = student(world), world.card(2)
    sale = sold(world, card)
    assert world.sale.reverse(world.channel(other), sale) == WrongCard(card.id)
    assert world.journal.head().seq == 1
    soon = world.now
    world.now = later(sale.opened_at, UNDO_S_MAX + 1)
    late = world.sale.reverse(world.channel(card), sale)
    assert isinstance(late, Refused)
    assert late.refusal is Refusal.REVERSAL_NOT_ALLOWED
    assert isinstance(world.sale.reverse(world.channel(card), sale, allowed_by=SUPERVISOR), Reversed)
    world.now = soon
    twice = world.sale.reverse(world.channel(card), sale, allowed_by=SUPERVISOR)
    assert isinstance(twice, Refused)
    assert twice.refusal is Refusal.REVERSAL_NOT_ALLOWED
    assert sum(record.credit_fen for record in world.journal.records(1, 9) if record.outcome is Outcome.DEBITED) == 700


@pytest.mark.parametrize("sale", [Outcome.UNKNOWN, Mac2.REFUSED])
def test_doubtful_sale_is_not_taken_back(world: World, sale: Outcome | Mac2) -> None:
    card = student(world)
    good = sold(world, card)
    doubtful = replace(good, outcome=sale) if isinstance(sale, Outcome) else replace(good, mac2=sale)
    result = world.sale.reverse(world.channel(card), doubtful)
    assert isinstance(result, Refused)
    assert result.refusal is Refusal.REVERSAL_NOT_ALLOWED


def test_refunds_of_a_sale_come_to_no_more_than_its_card_paid(world: World) -> None:
    card, other = student(world), world.card(2)
    sale = sold(world, card)

    def refund(holder: Card, fen: int, seq: int = sale.tap_id.seq) -> TapRecord | Refusal:
        result = world.sale.refund(world.channel(holder), Fen(fen), refers_to=seq)
        assert isinstance(result, Refunded | Refused)
        return result.record if isinstance(result, Refunded) else result.refusal

    assert refund(other, 100) is Refusal.REFUND_NOT_ALLOWED
    assert refund(card, 701) is Refusal.REFUND_NOT_ALLOWED
    assert refund(card, 100, 99) is Refusal.REFUND_NOT_ALLOWED
    first = refund(card, 400)
    assert isinstance(first, TapRecord)
    assert (first.kind, first.credit_fen, first.refers_to) == (TapKind.REFUND, 400, sale.tap_id.seq)
    assert judge(first, KEYS) is None
    assert refund(card, 301) is Refusal.REFUND_NOT_ALLOWED
    assert isinstance(refund(card, 300), TapRecord)
    assert refund(card, 1) is Refusal.REFUND_NOT_ALLOWED
    assert refund(card, 100, first.tap_id.seq) is Refusal.REFUND_NOT_ALLOWED
    undo = world.sale.reverse(world.channel(card), sale)
    assert isinstance(undo, Refused)
    assert card.purse.balance_fen == 4_300


def test_refund_without_a_number_is_at_most_what_one_tap_may_take(world: World) -> None:
    card = student(world)
    limit_fen = SCHOOL.classes[0].limits.tap_fen_max
    too_much = world.sale.refund(world.channel(card), Fen(limit_fen + 1), refers_to=0)
    assert isinstance(too_much, Refused)
    assert isinstance(world.sale.refund(world.channel(card), limit_fen, refers_to=0), Refunded)


def test_staff_card_proves_itself_by_a_purchase_of_nothing(world: World) -> None:
    world.configuration = SCHOOL
    card = world.card(101)
    result = world.sale.sign_on(world.channel(card), StaffRole.CASHIER, PIN)
    assert isinstance(result, SignedOn)
    assert (result.record.kind, result.record.mac2, card.purse.balance_fen) == (TapKind.SIGN_ON, Mac2.VERIFIED, 5_000)
    assert [apdu[1] for apdu in card.chip.received] == [0xA4, 0x20, 0x50, 0x54]
    assert judge(result.record, KEYS) is None


def test_counterfeit_that_says_yes_to_every_pin_signs_nobody_on(world: World) -> None:
    world.configuration = SCHOOL
    forged = world.card(101, masters=WRONG)

    class Agreeable:
        def transmit(self, apdu: bytes) -> tuple[bytes, int]:
            data, sw = channel.transmit(apdu)
            if apdu[1] == 0x54 and sw != 0x9000:
                return bytes(8), 0x9000
            return (b"", 0x9000) if apdu[1] == 0x20 else (data, sw)

    channel = world.channel(forged)
    result = world.sale.sign_on(Agreeable(), StaffRole.CASHIER, "0000")
    assert isinstance(result, ProofRefused)


@pytest.mark.parametrize(
    ("number", "role", "allowed"),
    [
        (101, StaffRole.CASHIER, True),
        (101, StaffRole.SUPERVISOR, False),
        (102, StaffRole.CASHIER, True),
        (102, StaffRole.SUPERVISOR, True),
        (103, StaffRole.SUPERVISOR, True),
        (7, StaffRole.CASHIER, False),
    ],
)
def test_higher_role_may_what_a_lower_one_may(world: World, number: int, role: StaffRole, allowed: bool) -> None:
    world.configuration = SCHOOL
    result = world.sale.sign_on(world.channel(world.card(number)), role, PIN)
    assert isinstance(result, SignedOn if allowed else Refused)
    if isinstance(result, Refused):
        assert result.refusal is Refusal.NOT_A_CASHIER


def test_lost_staff_card_signs_nobody_on(world: World) -> None:
    world.configuration = SCHOOL
    card = world.card(102)
    world.hotlist = Hotlist(1, frozenset({card.id}))
    result = world.sale.sign_on(world.channel(card), StaffRole.CASHIER, PIN)
    assert isinstance(result, Refused)
    assert result.refusal is Refusal.HOTLISTED
    assert not any(apdu[1] == 0x20 for apdu in card.chip.received), "a thief's card was shown the PIN"


def test_nobody_allows_a_refund_or_a_late_undo_to_their_own_card(world: World) -> None:
    world.configuration = SCHOOL
    card = world.card(102)
    sale = sold(world, card)
    refund = world.sale.refund(world.channel(card), PRICE, refers_to=sale.tap_id.seq, allowed_by=SUPERVISOR)
    undo = world.sale.reverse(world.channel(card), sale, allowed_by=SUPERVISOR)
    assert isinstance(refund, Refused)
    assert isinstance(undo, Refused)
    assert (refund.refusal, undo.refusal) == (Refusal.REFUND_NOT_ALLOWED, Refusal.REVERSAL_NOT_ALLOWED)
    assert isinstance(world.sale.reverse(world.channel(card), sale), Reversed), "in time it needs nobody's word"


@pytest.mark.parametrize("how", list(Tear))
def test_torn_undo_is_asked_of_the_card_like_any_other_tap(world: World, how: Tear) -> None:
    card = student(world)
    sale = sold(world, card)
    card.chip.tear(how, after=2)
    result = world.sale.reverse(world.channel(card), sale)
    assert isinstance(result, Torn)
    ended = world.sale.resolve(world.channel(card), result.record)
    if how is Tear.BEFORE:
        assert isinstance(ended, NotPaid)
        assert not world.usage.is_credited(sale.tap_id.seq)
        assert isinstance(world.sale.reverse(world.channel(card), sale), Reversed)
    else:
        assert isinstance(ended, Reversed)
        assert world.usage.is_credited(sale.tap_id.seq)
