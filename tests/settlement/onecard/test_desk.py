"""The top-up desk alone: what it grants and believes, and what it answers to repetitions, forgeries, old messages."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from settlement.onecard.hotlist import list_card
from settlement.onecard.loads import LoadEvidence
from settlement.store.database import StoreFault, open_writer
from settlement.store.router import ONECARD
from tests.system.loads import LIMITS, OPENING, PIN, Point, SimCard, World, card_number, make_template
from wire import pboc
from wire.ids import Asn, CardId, LoadId, TerminalId
from wire.load import (
    CHALLENGE_FEN,
    Funding,
    LoadGrant,
    LoadInit,
    LoadOutcome,
    LoadRefusal,
    LoadRefused,
    LoadRequest,
    LoadResult,
    LoadState,
    RefundQuestion,
    RefundsOwed,
    load_date_time,
)
from wire.money import Fen
from wire.purse_keys import PurseKeys, card_key


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_template(tmp_path_factory.mktemp("databases"))


@pytest.fixture
def world(template: Path, tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path, template)
    yield world
    world.close()


class Hand:
    """A card with power on at a point, whose commands a test gives one by one, as no honest program would."""

    def __init__(self, card: SimCard, point: Point) -> None:
        self.card, self.point = card, point
        self.purse = card.purse()
        self.purse.transmit_raw(bytes.fromhex("00A4040009A00000000386980701"))
        assert self.purse.transmit_raw(bytes.fromhex("0020000003") + bytes.fromhex(PIN)) == b"\x90\x00"

    def answer(self, challenge: TerminalId) -> LoadInit:
        return self.initialise(CHALLENGE_FEN, challenge)

    def initialise(self, amount_fen: int, terminal: TerminalId | None = None) -> LoadInit:
        data = b"\x01" + amount_fen.to_bytes(4) + (terminal or self.point.terminal)
        answer = self.purse.transmit_raw(bytes.fromhex("805000020B") + data + b"\x10")
        assert answer[-2:] == b"\x90\x00"
        return LoadInit(
            balance_fen=Fen(int.from_bytes(answer[:4])),
            amount_fen=Fen(amount_fen),
            online_counter=int.from_bytes(answer[4:6]),
            key_version=answer[6],
            algorithm=answer[7],
            random=answer[8:12],
            mac1=answer[12:16],
        )

    def request(self, amount_fen: int, number: int = 1) -> LoadRequest:
        return LoadRequest(number=number, card=self.card.card, init=self.initialise(amount_fen))

    def credit(self, grant: LoadGrant) -> bytes:
        data = load_date_time(grant.granted_at_utc_s) + grant.mac2
        return self.purse.transmit_raw(bytes.fromhex("805200000B") + data + b"\x04")[:-2]


@pytest.fixture
def hand(world: World) -> Hand:
    return Hand(world.cards[0], world.points[0])


def granted(point: Point, request: LoadRequest) -> LoadGrant:
    grant = point.wire.ask(request)
    assert isinstance(grant, LoadGrant)
    return grant


def pending(point: Point, question: LoadRequest | LoadResult) -> LoadOutcome:
    outcome = point.wire.ask(question)
    assert isinstance(outcome, LoadOutcome)
    assert outcome.state is LoadState.PENDING
    return outcome


def state_of(point: Point, question: LoadRequest | LoadResult) -> LoadState | LoadRefusal | None:
    answer = point.wire.ask(question)
    if isinstance(answer, LoadRefused):
        return answer.refusal
    return answer.state if isinstance(answer, LoadOutcome) else None


def load_of(point: Point, number: int = 1) -> LoadId:
    return LoadId(point.terminal, 1, number)


def test_same_request_gets_the_same_answer_after_a_restart_too(world: World, hand: Hand) -> None:
    request = hand.request(5000)
    grant = granted(hand.point, request)
    world.restart_desk()
    assert hand.point.wire.ask(request) == grant
    tac = hand.credit(grant)
    assert state_of(hand.point, LoadResult(load_id=load_of(hand.point), tac=tac)) is LoadState.POSTED
    assert state_of(hand.point, request) is LoadState.POSTED
    assert state_of(hand.point, LoadResult(load_id=load_of(hand.point), tac=tac)) is LoadState.POSTED
    assert world.kinds() == ["GRANTED", "CONFIRMED"]


def test_number_with_other_content_is_refused(hand: Hand) -> None:
    granted(hand.point, hand.request(5000))
    assert state_of(hand.point, hand.request(6000)) is LoadRefusal.NUMBER_TAKEN


@pytest.mark.parametrize("name", ["balance_fen", "amount_fen", "online_counter", "random", "mac1"])
def test_mac1_covers_every_field(world: World, hand: Hand, name: str) -> None:
    request = hand.request(5000)
    value = getattr(request.init, name)
    other = value + 1 if isinstance(value, int) else bytes((value[0] ^ 1,)) + value[1:]
    changes: dict[str, object] = {name: other}
    forged = replace(request, init=replace(request.init, **changes))  # type: ignore[arg-type] # by name
    assert state_of(hand.point, forged) is LoadRefusal.MAC1_WRONG
    assert world.kinds() == []


def test_mac1_made_for_another_point_is_refused(world: World, hand: Hand) -> None:
    assert state_of(world.points[1], hand.request(5000)) is LoadRefusal.MAC1_WRONG


def test_mac1_with_another_issuers_key_is_refused(world: World, hand: Hand) -> None:
    request = hand.request(5000)
    foreign = PurseKeys(*(bytes(range(start, start + 16)) for start in (9, 60, 110)))
    key = pboc.load_session_key(
        dlk=card_key(foreign.load, request.card, two_level=False),
        random=request.init.random,
        online_counter=request.init.online_counter,
    )
    mac1 = pboc.load_mac1(
        session_key=key,
        old_balance_fen=request.init.balance_fen,
        amount_fen=request.init.amount_fen,
        terminal=hand.point.terminal,
    )
    forged = replace(request, init=replace(request.init, mac1=mac1))
    assert state_of(hand.point, forged) is LoadRefusal.MAC1_WRONG


def test_card_that_is_not_registered_is_refused(hand: Hand) -> None:
    request = replace(hand.request(5000), card=CardId(hand.card.card.issuer, Asn(bytes(10))))
    assert state_of(hand.point, request) is LoadRefusal.CARD_UNKNOWN


def test_card_with_a_weak_load_key_is_refused(world: World, hand: Hand, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("settlement.onecard.keys.card_key", lambda *_, **__: bytes(16))
    assert state_of(hand.point, hand.request(5000)) is LoadRefusal.CARD_UNUSABLE
    assert world.kinds() == []


@pytest.mark.parametrize("amount_fen", [0, LIMITS.load_fen_max + 1])
def test_amount_outside_the_limits_is_refused(hand: Hand, amount_fen: int) -> None:
    assert state_of(hand.point, hand.request(amount_fen)) is LoadRefusal.OVER_LIMIT


def test_purse_is_never_filled_over_its_limit(hand: Hand) -> None:
    for number in (1, 2):
        amount_fen = LIMITS.load_fen_max if number == 1 else LIMITS.purse_fen_max - LIMITS.load_fen_max - OPENING
        request = hand.request(amount_fen, number)
        tac = hand.credit(granted(hand.point, request))
        assert state_of(hand.point, LoadResult(load_id=load_of(hand.point, number), tac=tac)) is LoadState.POSTED
    assert state_of(hand.point, hand.request(1, 3)) is LoadRefusal.OVER_LIMIT


def test_listed_card_is_not_loaded_but_its_open_load_is_settled(world: World, hand: Hand) -> None:
    grant = granted(hand.point, hand.request(5000))
    with open_writer(world.folder / "onecard.db", ONECARD) as db:
        list_card(db, card_number(1), listed=True, reason="lost", now_utc_s=1)
    tac = hand.credit(grant)
    assert state_of(hand.point, LoadResult(load_id=load_of(hand.point), tac=tac)) is LoadState.POSTED
    assert state_of(hand.point, hand.request(5000, 2)) is LoadRefusal.HOTLISTED


def test_nothing_is_granted_to_a_card_with_an_open_load(world: World, hand: Hand) -> None:
    granted(hand.point, hand.request(5000))
    outcome = pending(hand.point, hand.request(5000, 2))
    assert (outcome.load_id, outcome.amount_fen) == (load_of(hand.point), 5000)
    assert world.kinds() == ["GRANTED"]


def test_initialize_collected_before_credit_does_not_void_a_load_that_is_on_the_card(world: World, hand: Hand) -> None:
    collected = [hand.initialise(amount_fen) for amount_fen in (5000, CHALLENGE_FEN, 777)]
    grant = granted(hand.point, hand.request(5000))
    tac = hand.credit(grant)
    for init in collected:
        result = LoadResult(load_id=load_of(hand.point), init=init)
        assert state_of(hand.point, result) is LoadRefusal.WRONG_PROOF
        pending(hand.point, LoadRequest(number=2, card=hand.card.card, init=init))
    assert state_of(hand.point, LoadResult(load_id=load_of(hand.point), tac=tac)) is LoadState.POSTED


def test_load_that_was_voided_cannot_be_credited_any_more(world: World, hand: Hand) -> None:
    grant = granted(hand.point, hand.request(5000))
    outcome = pending(hand.point, LoadResult(load_id=load_of(hand.point)))
    proof = LoadResult(load_id=load_of(hand.point), init=hand.answer(outcome.challenge))
    assert state_of(hand.point, proof) is LoadState.VOIDED
    assert hand.credit(grant) == b""
    assert hand.purse.balance_fen == OPENING
    assert world.events()[-1].evidence is LoadEvidence.COUNTER_UNCHANGED
    granted(hand.point, hand.request(5000, 2))


def test_mac1s_collected_for_every_amount_void_no_load_that_the_card_then_takes(world: World, hand: Hand) -> None:
    """Amounts are few: a point collects thousands from a card of its own, and asks for loads until one fits."""
    grant = granted(hand.point, hand.request(5000))
    named = pending(hand.point, LoadResult(load_id=load_of(hand.point)))
    assert len(set(named.challenge)) > 1
    for amount_fen in (CHALLENGE_FEN, 5000, int.from_bytes(named.challenge[:3])):
        session = Hand(hand.card, hand.point).initialise(amount_fen)
        result = LoadResult(load_id=load_of(hand.point), init=session)
        assert state_of(hand.point, result) is LoadRefusal.WRONG_PROOF
    assert hand.credit(grant)
    assert world.kinds() == ["GRANTED"]


def test_number_of_one_load_is_not_that_of_the_next(hand: Hand) -> None:
    granted(hand.point, hand.request(5000))
    first = pending(hand.point, LoadResult(load_id=load_of(hand.point)))
    proof = hand.answer(first.challenge)
    assert state_of(hand.point, LoadResult(load_id=load_of(hand.point), init=proof)) is LoadState.VOIDED
    granted(hand.point, hand.request(5000, 2))
    assert state_of(hand.point, LoadResult(load_id=load_of(hand.point, 2), init=proof)) is LoadRefusal.WRONG_PROOF


def test_initialize_after_credit_confirms_the_load(world: World, hand: Hand) -> None:
    hand.credit(granted(hand.point, hand.request(5000)))
    outcome = pending(hand.point, LoadResult(load_id=load_of(hand.point)))
    proof = LoadResult(load_id=load_of(hand.point), init=hand.answer(outcome.challenge))
    assert state_of(hand.point, proof) is LoadState.POSTED
    assert world.events()[-1].evidence is LoadEvidence.COUNTER_MOVED


def test_number_that_the_desk_names_lives_until_it_is_started_anew(world: World, hand: Hand) -> None:
    granted(hand.point, hand.request(5000))
    question = LoadResult(load_id=load_of(hand.point))
    named = pending(hand.point, question).challenge
    assert pending(hand.point, question).challenge == named
    world.restart_desk()
    assert pending(hand.point, question).challenge != named


@pytest.mark.parametrize("tac", [b"\1\2\3\4", b"\xff" * 4])
def test_forged_tac_leaves_the_load_open(world: World, hand: Hand, tac: bytes) -> None:
    granted(hand.point, hand.request(5000))
    pending(hand.point, LoadResult(load_id=load_of(hand.point), tac=tac))
    assert world.kinds() == ["GRANTED"]


def test_tac_of_another_load_leaves_this_one_open(hand: Hand) -> None:
    first = hand.credit(granted(hand.point, hand.request(5000)))
    assert state_of(hand.point, LoadResult(load_id=load_of(hand.point), tac=first)) is LoadState.POSTED
    granted(hand.point, hand.request(5000, 2))
    pending(hand.point, LoadResult(load_id=load_of(hand.point, 2), tac=first))


def test_load_that_was_never_granted_is_unknown(hand: Hand) -> None:
    assert state_of(hand.point, LoadResult(load_id=load_of(hand.point, 9))) is LoadRefusal.LOAD_UNKNOWN


def test_old_request_that_arrives_after_a_later_load_is_disputed(hand: Hand) -> None:
    held_up = hand.request(5000, 1)
    tac = hand.credit(granted(hand.point, hand.request(5000, 2)))
    assert state_of(hand.point, LoadResult(load_id=load_of(hand.point, 2), tac=tac)) is LoadState.POSTED
    assert state_of(hand.point, held_up) is LoadRefusal.COUNTER_DISPUTED


def test_card_that_counts_a_load_from_elsewhere_is_disputed(world: World, hand: Hand) -> None:
    request = hand.request(5000)
    tac = hand.credit(granted(hand.point, request))
    assert state_of(hand.point, LoadResult(load_id=load_of(hand.point), tac=tac)) is LoadState.POSTED
    foreign = hand.initialise(100)
    mac2 = world.keys.load_mac2(hand.card.card, foreign, hand.point.terminal, granted_at_utc_s=5)
    assert hand.credit(LoadGrant(number=2, granted_at_utc_s=5, mac2=mac2))
    assert state_of(hand.point, hand.request(5000, 2)) is LoadRefusal.COUNTER_DISPUTED


def collecting(hand: Hand, amount_fen: int, number: int) -> LoadRequest:
    return replace(hand.request(amount_fen, number), funding=Funding.REFUND)


def owed(hand: Hand) -> int:
    answer = hand.point.wire.ask(RefundQuestion(hand.card.card))
    assert isinstance(answer, RefundsOwed)
    return answer.owed_fen


def test_what_the_books_owe_is_granted_once_however_far_behind_they_are(world: World, hand: Hand) -> None:
    world.books.credited_fen[hand.card.card] = 800
    assert owed(hand) == 800
    grant = granted(hand.point, collecting(hand, 500, 1))
    state_of(hand.point, LoadResult(load_id=load_of(hand.point), tac=hand.credit(grant)))
    world.restart_desk()
    assert owed(hand) == 300
    assert state_of(hand.point, collecting(hand, 301, 2)) is LoadRefusal.NOT_OWED
    grant = granted(hand.point, collecting(hand, 300, 2))
    state_of(hand.point, LoadResult(load_id=load_of(hand.point, 2), tac=hand.credit(grant)))
    assert state_of(hand.point, collecting(hand, 1, 3)) is LoadRefusal.NOT_OWED
    assert [event.funding for event in world.events()] == [Funding.REFUND] * 4
    world.books.collected[load_of(hand.point)] = Fen(500)  # now that they know of it
    assert owed(hand) == 0


def test_open_collection_holds_what_is_owed_and_a_voided_one_gives_it_back(world: World, hand: Hand) -> None:
    world.books.credited_fen[hand.card.card] = 800
    granted(hand.point, collecting(hand, 800, 1))
    outcome = hand.point.wire.ask(RefundQuestion(hand.card.card))
    assert isinstance(outcome, LoadOutcome)
    assert outcome.state is LoadState.PENDING
    assert state_of(hand.point, collecting(hand, 1, 2)) is LoadState.PENDING
    world.books.collected[load_of(hand.point)] = Fen(800)  # which the books have as pending
    proof = LoadResult(load_id=load_of(hand.point), init=hand.answer(outcome.challenge))
    assert state_of(hand.point, proof) is LoadState.VOIDED
    assert owed(hand) == 800


def test_load_for_cash_takes_nothing_of_what_is_owed(world: World, hand: Hand) -> None:
    world.books.credited_fen[hand.card.card] = 800
    grant = granted(hand.point, hand.request(5000))
    state_of(hand.point, LoadResult(load_id=load_of(hand.point), tac=hand.credit(grant)))
    assert owed(hand) == 800


def test_collection_that_only_the_books_know_was_granted_before_the_desk_was_restored(world: World, hand: Hand) -> None:
    world.books.credited_fen[hand.card.card] = 800
    world.books.collected[load_of(hand.point, 7)] = Fen(800)
    assert owed(hand) == 0
    assert state_of(hand.point, collecting(hand, 1, 1)) is LoadRefusal.NOT_OWED


def test_books_that_cannot_be_read_stop_collecting_and_no_load_for_cash(world: World, hand: Hand) -> None:
    world.books.fault = StoreFault("the disk is gone")
    assert state_of(hand.point, collecting(hand, 1, 1)) is LoadRefusal.BUSY
    told = hand.point.wire.ask(RefundQuestion(hand.card.card))
    assert isinstance(told, LoadRefused)
    assert (told.refusal, "later" in told.detail) == (LoadRefusal.BUSY, True)
    granted(hand.point, hand.request(5000))
    assert world.kinds() == ["GRANTED"]


def test_nobody_hears_what_is_owed_to_a_card_of_another_school(hand: Hand) -> None:
    told = hand.point.wire.ask(RefundQuestion(card_number(99)))
    assert isinstance(told, LoadRefused)
    assert told.refusal is LoadRefusal.CARD_UNKNOWN
