"""A top-up point with simulated cards and the real desk: torn at every command and write, both prove conventions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

import pytest

from drivers.purse import CAMPUS_CARD, CardProfile
from settlement.onecard.loads import LoadEvidence
from sim.card.profile import CAMPUS, CAMPUS_T0, PROVE_BEFORE
from sim.card.profile import CardProfile as SimProfile
from sync.store import UplinkStore
from sync.storefile import StoreUnwritable
from sync.topup import (
    CardTrouble,
    EarlierSettled,
    LeaveCard,
    Loaded,
    LoadFailed,
    LoadOpen,
    OtherCard,
    PutCardBack,
    RefundWaits,
    StillOpen,
    StillThere,
)
from tests.system.loads import NO_FAULT, OPENING, PIN, STOPPED, Fault, World, make_template
from wire.money import Fen

MakeWorld = Callable[..., World]
NORMAL_APDUS = 5  # SELECT, INITIALIZE, VERIFY, INITIALIZE, CREDIT
CREDIT = 4

PROFILES = [
    pytest.param(CAMPUS, CAMPUS_CARD, id="N+1"),
    pytest.param(CAMPUS_T0, CAMPUS_CARD, id="T=0"),
    pytest.param(PROVE_BEFORE, CardProfile(aid=CAMPUS_CARD.aid, prove_offset=0, key_levels=2), id="N"),
    pytest.param(PROVE_BEFORE, CAMPUS_CARD, id="N, profile says N+1"),
]


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_template(tmp_path_factory.mktemp("databases"))


@pytest.fixture
def make_world(template: Path, tmp_path: Path) -> Iterator[MakeWorld]:
    worlds: list[World] = []

    def make(sim_profile: SimProfile = CAMPUS, profile: CardProfile = CAMPUS_CARD) -> World:
        folder = tmp_path / str(len(worlds))
        folder.mkdir()
        worlds.append(World(folder, template, sim_profile=sim_profile, profile=profile))
        return worlds[-1]

    yield make
    for world in worlds:
        world.close()


@pytest.fixture
def world(make_world: MakeWorld) -> World:
    return make_world()


@pytest.mark.parametrize(("sim_profile", "profile"), PROFILES)
def test_load_ends_on_the_card_and_confirmed(
    make_world: MakeWorld, sim_profile: SimProfile, profile: CardProfile
) -> None:
    world = make_world(sim_profile, profile)
    point, card = world.points[0], world.cards[0]
    assert point.sell(50_00, (card, NO_FAULT)) == Loaded(card.card, Fen(50_00), Fen(OPENING + 50_00), delivered=True)
    assert card.purse().balance_fen == OPENING + 50_00
    assert world.kinds() == ["GRANTED", "CONFIRMED"]
    assert point.store.open_loads() == []
    assert point.sell(1, (card, NO_FAULT)).new_balance_fen == OPENING + 50_01
    world.assert_no_money_lost_or_made()


@pytest.mark.parametrize(("sim_profile", "profile"), PROFILES)
@pytest.mark.parametrize("carried_out", [False, True])
@pytest.mark.parametrize("elsewhere", [False, True])
def test_card_torn_at_any_command_is_loaded_once_when_it_is_back(
    make_world: MakeWorld, sim_profile: SimProfile, profile: CardProfile, carried_out: bool, elsewhere: bool
) -> None:
    for apdu in range(NORMAL_APDUS + 4):
        world = make_world(sim_profile, profile)
        card, fault = world.cards[0], Fault(apdu=apdu, carried_out=carried_out)
        here, there = world.points
        if not elsewhere:
            here.sell(50_00, (card, fault), (card, NO_FAULT))
            assert card.purse().balance_fen == OPENING + 50_00
        else:
            with suppress(LoadFailed, LoadOpen):  # the clerk gives up
                here.sell(50_00, (card, fault))
            taken, was_open = card.purse().balance_fen > OPENING, world.open_load(card) is not None
            if taken and was_open:
                with pytest.raises(LoadFailed, match="nothing more was loaded"):
                    there.sell(7, (card, NO_FAULT))
            else:
                there.sell(7, (card, NO_FAULT))
            assert card.purse().balance_fen == OPENING + (50_00 if taken else 0) + (0 if was_open and taken else 7)
            here.program().settle_kept()
            assert here.store.open_loads() == []
        assert world.open_load(card) is None
        world.assert_no_money_lost_or_made()


def test_card_whose_power_goes_at_any_write_is_loaded_once_when_it_is_back(make_world: MakeWorld) -> None:
    for steps in range(0, 480, 16):
        world = make_world()
        card = world.cards[0]
        world.points[0].sell(50_00, (card, Fault(write_steps=steps)), (card, NO_FAULT))
        assert card.purse().balance_fen == OPENING + 50_00, steps
        assert world.open_load(card) is None
        world.assert_no_money_lost_or_made()


def test_torn_load_that_was_not_taken_is_voided_by_a_fresh_initialize(world: World) -> None:
    card = world.cards[0]
    world.points[0].sell(50_00, (card, Fault(apdu=CREDIT)), (card, NO_FAULT))
    assert world.kinds() == ["GRANTED", "VOIDED", "GRANTED", "CONFIRMED"]
    assert world.events()[1].evidence is LoadEvidence.COUNTER_UNCHANGED


def test_torn_load_that_was_taken_is_confirmed_by_its_tac_without_a_pin(world: World) -> None:
    card, point = world.cards[0], world.points[0]
    loaded = point.sell(50_00, (card, Fault(apdu=CREDIT, carried_out=True)), (card, NO_FAULT))
    assert loaded == Loaded(card.card, Fen(50_00), Fen(OPENING + 50_00), delivered=True)
    assert world.events()[1].evidence is LoadEvidence.TAC
    assert len(point.clerk.asked) == 1
    assert [type(event) for event in point.clerk.told].count(PutCardBack) == 1


def test_card_that_cannot_prove_its_load_any_more_is_believed_by_its_counter(world: World) -> None:
    card, (here, there) = world.cards[0], world.points
    with pytest.raises(LoadOpen, match="stopped"):
        here.sell(50_00, (card, Fault(apdu=CREDIT, carried_out=True)))
    card.spend(12_00)
    with pytest.raises(LoadFailed, match="nothing more was loaded"):
        there.sell(1_00, (card, NO_FAULT))
    assert EarlierSettled(card.card, Fen(50_00), posted=True) in there.clerk.told
    assert [event.evidence for event in world.events()] == [LoadEvidence.MAC1, LoadEvidence.COUNTER_MOVED]
    assert world.events()[1].terminal == there.terminal
    here.restart()
    here.program().settle_kept()
    assert here.store.open_loads() == []
    world.assert_no_money_lost_or_made()


def test_other_card_is_not_loaded_while_one_is_torn(world: World) -> None:
    first, second = world.cards
    point = world.points[0]
    point.sell(50_00, (first, Fault(apdu=CREDIT)), (second, NO_FAULT), (first, NO_FAULT))
    assert OtherCard(second.card, first.card) in point.clerk.told
    assert second.purse().balance_fen == OPENING


def test_load_open_over_a_restart_of_the_point_is_named_and_ended_by_the_card(world: World) -> None:
    card, point = world.cards[0], world.points[0]
    with pytest.raises(LoadOpen):
        point.sell(50_00, (card, Fault(apdu=CREDIT)))
    point.restart()
    point.program().settle_kept()
    assert StillOpen(card.card, Fen(50_00)) in point.clerk.told
    assert point.sell(2_00, (card, NO_FAULT)).new_balance_fen == OPENING + 2_00
    assert point.store.open_loads() == []


@pytest.mark.parametrize("question", range(3))
@pytest.mark.parametrize("loss", ["question", "answer"])
def test_line_lost_at_any_message_loses_no_money(make_world: MakeWorld, question: int, loss: str) -> None:
    for fault in (NO_FAULT, Fault(apdu=CREDIT), Fault(apdu=CREDIT, carried_out=True)):
        world = make_world()
        card, point = world.cards[0], world.points[0]
        point.wire.losses = [""] * question + [loss]
        try:
            point.sell(50_00, (card, fault), (card, NO_FAULT), (card, NO_FAULT))
        except (LoadFailed, LoadOpen):
            assert card.purse().balance_fen == OPENING
        world.assert_no_money_lost_or_made()
        point.restart()
        point.program().settle_kept()
        assert world.open_load(card) is None or card.purse().balance_fen == OPENING


def test_proof_that_the_desk_does_not_hear_of_goes_with_the_next_sale(world: World) -> None:
    card, point = world.cards[0], world.points[0]
    point.wire.losses = ["", "question"]
    assert not point.sell(50_00, (card, NO_FAULT)).delivered
    assert world.kinds() == ["GRANTED"]
    point.restart()
    point.sell(1_00, (world.cards[1], NO_FAULT))
    assert world.kinds(card) == ["GRANTED", "CONFIRMED"]


def test_desk_restarted_between_any_two_messages_ends_the_load_all_the_same(make_world: MakeWorld) -> None:
    for fault in (NO_FAULT, Fault(apdu=CREDIT), Fault(apdu=CREDIT, carried_out=True)):
        world = make_world()
        card, point = world.cards[0], world.points[0]
        ask = point.wire.ask

        def ask_after_restart(question: object, world: World = world, ask: Callable[..., object] = ask) -> object:
            world.restart_desk()
            return ask(question)

        point.wire.ask = ask_after_restart  # type: ignore[method-assign,assignment] # every question finds a new desk
        try:
            point.sell(50_00, (card, fault), (card, NO_FAULT))
        except (LoadFailed, LoadOpen):
            # Each desk names another amount: the proof by INITIALIZE needs one that lives from question to answer.
            assert fault == Fault(apdu=CREDIT)
            assert card.purse().balance_fen == OPENING
        world.assert_no_money_lost_or_made()


def test_wrong_pin_is_asked_again_with_the_tries_left_and_never_shown_twice(world: World) -> None:
    card, point = world.cards[0], world.points[0]
    point.clerk.pins = ["000000", "000000", "12", PIN]
    point.sell(50_00, (card, NO_FAULT))
    assert [tries for tries, _ in point.clerk.asked] == [None, 2, 2, 2]
    assert "already" in point.clerk.asked[2][1]
    assert card.purse().balance_fen == OPENING + 50_00


def test_wrong_digits_are_remembered_for_the_cards_next_presentation(world: World) -> None:
    card, point = world.cards[0], world.points[0]
    point.clerk.pins = ["000000", None]
    program = point.program()
    point.reader.coming = [(card, NO_FAULT)]
    with pytest.raises(LoadFailed, match="no PIN"):
        program.sell(Fen(1_00))
    point.clerk.pins = ["000000"]
    program._events = None
    point.reader.coming = [(card, NO_FAULT)]
    program.sell(Fen(1_00))
    assert "already" in point.clerk.asked[-1][1]


def test_card_that_locks_its_pin_is_not_loaded(world: World) -> None:
    card, point = world.cards[0], world.points[0]
    point.clerk.pins = ["000000", "111111", "222222"]
    with pytest.raises(LoadFailed, match="locked its PIN"):
        point.sell(50_00, (card, NO_FAULT))
    assert world.kinds() == []


@pytest.mark.parametrize("bit", range(0, 48, 5))
def test_damaged_answer_to_credit_is_settled_by_the_card(make_world: MakeWorld, bit: int) -> None:
    world = make_world()
    card = world.cards[0]
    world.points[0].sell(50_00, (card, Fault(apdu=CREDIT, flipped_bit=bit)), (card, NO_FAULT))
    assert card.purse().balance_fen == OPENING + 50_00
    assert world.kinds() == ["GRANTED", "CONFIRMED"]


@pytest.mark.parametrize("apdu", range(NORMAL_APDUS))
@pytest.mark.parametrize("carried_out", [False, True])
def test_stopped_by_hand_at_any_command_says_what_is_known(world: World, apdu: int, carried_out: bool) -> None:
    card, point = world.cards[0], world.points[0]
    fault = Fault(apdu=apdu, carried_out=carried_out, by_hand=True)
    with pytest.raises(LoadOpen if apdu == CREDIT else LoadFailed, match="stopped by hand"):
        point.sell(50_00, (card, fault))
    assert (world.open_load(card) is not None) is (apdu == CREDIT)
    world.assert_no_money_lost_or_made()


def test_next_sale_finds_the_reader_after_one_was_stopped_by_hand(world: World) -> None:
    card, point = world.cards[0], world.points[0]
    point.reader.coming = [(card, STOPPED), (card, NO_FAULT)]
    program = point.program()
    with pytest.raises(LoadFailed, match="stopped by hand"):
        program.sell(Fen(1_00))
    assert program.sell(Fen(2_00)).new_balance_fen == OPENING + 2_00


def test_stopped_by_hand_after_the_cards_proof_is_loaded(world: World) -> None:
    card, point = world.cards[0], world.points[0]
    point.wire.losses = ["", "by hand"]
    assert not point.sell(50_00, (card, NO_FAULT)).delivered
    point.program().settle_kept()
    assert world.kinds() == ["GRANTED", "CONFIRMED"]


def test_desk_that_is_no_longer_trusted_leaves_a_torn_load_open_in_words(world: World) -> None:
    card, point = world.cards[0], world.points[0]
    point.wire.losses = ["", "not trusted"]
    with pytest.raises(LoadOpen, match="run out"):
        point.sell(50_00, (card, Fault(apdu=CREDIT)), (card, NO_FAULT))


def test_point_restored_from_a_backup_passes_the_numbers_that_it_has_forgotten(world: World) -> None:
    card, point = world.cards[0], world.points[0]
    backup = point.path.read_bytes()
    for _ in range(9):
        point.sell(1, (card, NO_FAULT))
    point.store.close()
    point.path.write_bytes(backup)
    point.store = UplinkStore.open_or_make(point.path)
    point.store.enrol(point.enrolment)
    assert point.sell(5, (card, NO_FAULT)).new_balance_fen == OPENING + 14
    world.assert_no_money_lost_or_made()


def test_card_that_never_left_is_not_loaded_for_the_next_customer(world: World) -> None:
    first, second = world.cards
    point = world.points[0]
    point.reader.perhaps_same = [False, True, False]
    point.reader.coming = [(first, NO_FAULT), (first, NO_FAULT), (second, NO_FAULT)]
    program = point.program()
    program.sell(Fen(1_00))
    assert program.sell(Fen(2_00)).card == second.card
    assert StillThere(first.card) in point.clerk.told
    assert first.purse().balance_fen == OPENING + 1_00


def test_card_that_is_reported_anew_after_each_failure_is_not_tried_for_ever(world: World) -> None:
    card, point = world.cards[0], world.points[0]
    point.reader.perhaps_same = [False] + [True] * 20
    with pytest.raises(LoadFailed, match="stopped"):
        point.sell(1_00, *[(card, Fault(apdu=0))] * 20)
    assert len([event for event in point.clerk.told if isinstance(event, LeaveCard)]) == 4
    assert "take the card away" in str(point.clerk.told[-1])
    assert CardTrouble("the card left the reader too early") in point.clerk.told


def test_full_disk_after_credit_does_not_hide_the_proof_from_the_desk(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    card, point = world.cards[0], world.points[0]

    def full(number: int, tac: bytes) -> NoReturn:
        raise StoreUnwritable("the disk is full")

    monkeypatch.setattr(point.store, "save_tac", full)
    assert point.sell(50_00, (card, NO_FAULT)).delivered
    assert world.kinds() == ["GRANTED", "CONFIRMED"]


def test_what_waits_is_told_after_a_load_and_collected_without_cash(world: World) -> None:
    point, card = world.points[0], world.cards[0]
    world.books.credited_fen[card.card] = 3_50
    point.sell(50_00, (card, NO_FAULT))
    assert point.clerk.told[-1] == RefundWaits(card.card, Fen(3_50))
    assert point.collect(1_00, (card, NO_FAULT)).amount_fen == 1_00
    assert point.clerk.told[-1] == RefundWaits(card.card, Fen(2_50))
    loaded = point.collect(None, (card, NO_FAULT))
    assert (loaded.amount_fen, loaded.new_balance_fen) == (2_50, OPENING + 53_50)
    assert sum(isinstance(event, RefundWaits) for event in point.clerk.told) == 2
    with pytest.raises(LoadFailed, match="nothing is owed"):
        point.collect(None, (card, NO_FAULT))
    world.assert_no_money_lost_or_made()


@pytest.mark.parametrize("apdu", range(NORMAL_APDUS))
@pytest.mark.parametrize("carried_out", [False, True])
def test_refund_torn_at_any_command_is_collected_once(world: World, apdu: int, carried_out: bool) -> None:
    point, card = world.points[0], world.cards[0]
    world.books.credited_fen[card.card] = 3_50
    point.collect(None, (card, Fault(apdu=apdu, carried_out=carried_out)), (card, NO_FAULT))
    assert world.confirmed_fen(card) == 3_50
    with pytest.raises(LoadFailed):
        point.collect(None, (card, NO_FAULT))
    world.assert_no_money_lost_or_made()


def test_refund_left_open_is_settled_before_anything_is_owed_again(world: World) -> None:
    point, card = world.points[0], world.cards[0]
    world.books.credited_fen[card.card] = 3_50
    with pytest.raises(LoadOpen):
        point.collect(None, (card, Fault(apdu=CREDIT, carried_out=True)))
    with pytest.raises(LoadFailed, match="nothing more was loaded"):
        world.points[1].collect(None, (card, NO_FAULT))
    assert EarlierSettled(card.card, Fen(3_50), posted=True) in world.points[1].clerk.told
    with pytest.raises(LoadFailed, match="nothing is owed"):
        world.points[1].collect(None, (card, NO_FAULT))


def test_more_than_is_owed_is_refused_in_words(world: World) -> None:
    world.books.credited_fen[world.cards[0].card] = 3_50
    with pytest.raises(LoadFailed, match="NOT_OWED"):
        world.points[0].collect(3_51, (world.cards[0], NO_FAULT))
    assert world.kinds() == []
