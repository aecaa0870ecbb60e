"""The till's state machine alone, against any order of events."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from drivers.reader import CardLeft, CardPresented, CardSilent, ReaderFound, ReaderLost
from terminal.basket import amount_offer
from terminal.events import (
    AmountBegun,
    AmountEntered,
    CancelPressed,
    ChargePurse,
    Command,
    GiveUpTorn,
    Phase,
    ResolveTorn,
    SaleEnded,
    TillEvent,
    TillFailed,
    Trouble,
    VerdictRead,
)
from terminal.result import (
    Approved,
    NotPaid,
    ProofRefused,
    Refused,
    Result,
    StillThere,
    Torn,
    Unresolved,
    WrongCard,
)
from terminal.till import AGAIN_MAX, Till
from tests.terminal.conftest import INTENT, TERMINAL
from wire.ids import CardId, TapId
from wire.money import Fen
from wire.record import NO_TAC, Mac2, Outcome, Refusal, TapRecord

PRICE = Fen(1200)
PRESENTED = CardPresented(b"\x3b")
AGAIN = CardPresented(b"\x3b", perhaps_same=True)
LOST = ReaderLost("gone", "reader-missing")


def record(amount_fen: Fen = PRICE) -> TapRecord:
    return TapRecord(
        tap_id=TapId(TERMINAL, 1, 1),
        outcome=Outcome.UNKNOWN,
        reason=None,
        mac2=Mac2.NOT_CHECKED,
        card=INTENT.card,
        amount_fen=amount_fen,
        balance_before_fen=Fen(5000),
        counter=7,
        ttsn=42,
        tac=NO_TAC,
        opened_at=INTENT.opened_at,
    )


TORN = record()
ENDS: list[Result] = [
    Approved(TORN, Fen(3800)),
    ProofRefused(TORN),
    Refused(Refusal.EXPIRED, INTENT.card, Fen(5000)),
    NotPaid("gone"),
    Torn(TORN, "gone", "card-removed"),
]


def charge(amount_fen: Fen, not_from: CardId | None = None, again_for: CardId | None = None) -> ChargePurse:
    return ChargePurse(amount_offer(amount_fen), not_from, again_for)


def run(till: Till, *events: TillEvent) -> list[Command | None]:
    return [till.handle(event) for event in events]


@pytest.mark.parametrize(
    "events", [(AmountEntered(PRICE), PRESENTED), (PRESENTED, AmountEntered(PRICE))], ids=["amount first", "card first"]
)
def test_amount_and_card_in_either_order_charge_once(events: tuple[TillEvent, TillEvent]) -> None:
    assert run(Till(None), *events) == [None, charge(PRICE)]


@pytest.mark.parametrize(
    ("result", "amount_fen", "phase"),
    [
        (ENDS[0], None, Phase.AMOUNT),
        (ENDS[1], None, Phase.AMOUNT),
        (ENDS[2], None, Phase.AMOUNT),
        (ENDS[3], PRICE, Phase.CARD),
        (ENDS[4], PRICE, Phase.SAME_CARD),
    ],
)
def test_amount_is_kept_for_a_card_that_left_too_early(result: Result, amount_fen: Fen | None, phase: Phase) -> None:
    till = Till(None)
    run(till, AmountEntered(PRICE), PRESENTED)
    assert till.handle(SaleEnded(result)) is None
    assert (till.amount_fen, till.phase, till.result) == (amount_fen, phase, result)


def test_card_left_on_the_reader_pays_once() -> None:
    till = Till(None)
    run(till, AmountEntered(PRICE), PRESENTED, SaleEnded(ENDS[0]))
    assert run(till, AmountEntered(PRICE), AmountEntered(Fen(5))) == [None, None]
    assert run(till, CardLeft(), PRESENTED) == [None, charge(Fen(5))]


def test_card_that_may_not_have_left_is_charged_only_if_it_is_another() -> None:
    till = Till(None)
    run(till, AmountEntered(PRICE), PRESENTED, SaleEnded(ENDS[0]))
    assert run(till, CardLeft(), AGAIN, AmountEntered(Fen(5))) == [None, None, charge(Fen(5), TORN.card)]
    run(till, SaleEnded(StillThere(TORN.card)))
    assert (till.amount_fen, till.card_lies) == (Fen(5), True)
    assert run(till, CardLeft(), PRESENTED) == [None, charge(Fen(5))]


def test_card_that_lay_there_while_the_reader_was_lost_does_not_pay_for_the_next_customer() -> None:
    till = Till(None)
    run(till, AmountEntered(PRICE), PRESENTED, SaleEnded(ENDS[0]), LOST, ReaderFound(), AGAIN)
    assert run(till, AmountEntered(Fen(5))) == [charge(Fen(5), TORN.card)]


def test_card_that_is_reported_anew_after_every_attempt_is_tried_a_few_times_only() -> None:
    till = Till(None)
    run(till, AmountEntered(PRICE), PRESENTED, SaleEnded(ENDS[3]))
    commands = [run(till, CardLeft(), AGAIN, SaleEnded(ENDS[3]))[1] for _ in range(AGAIN_MAX + 2)]
    assert commands == [charge(PRICE)] * AGAIN_MAX + [None] * 2
    assert till.card_lies
    assert run(till, CardLeft(), PRESENTED) == [None, charge(PRICE)]


def test_verdict_lets_a_torn_tap_be_closed_and_no_new_one_begin() -> None:
    verdict = VerdictRead(Trouble("FORK", "tap 7 differs"))
    till = Till(TORN)
    assert run(till, verdict, PRESENTED) == [None, ResolveTorn(TORN)]
    till.handle(SaleEnded(ENDS[0]))
    assert till.phase is Phase.NOTHING
    assert run(till, AmountEntered(PRICE), CardLeft(), PRESENTED) == [None] * 3
    assert run(till, VerdictRead(None)) == [charge(PRICE)]


def test_advice_about_the_reader_goes_when_the_reader_comes_back() -> None:
    till = Till(None)
    stuck = NotPaid("the reader carries nothing", "reader-stuck")
    run(till, AmountEntered(PRICE), PRESENTED, SaleEnded(stuck), LOST)
    told = [till.result]
    till.handle(ReaderFound())
    assert [*told, till.result] == [stuck, None]


def test_silent_thing_is_shown_until_it_leaves_and_charges_nobody() -> None:
    till = Till(None)
    assert run(till, AmountEntered(PRICE), CardSilent()) == [None, None]
    assert till.card_silent
    assert run(till, CardLeft(), PRESENTED) == [None, charge(PRICE)]
    assert not till.card_silent


def test_next_card_does_not_pay_what_another_was_refused_for() -> None:
    till = Till(None)
    run(till, AmountEntered(PRICE), PRESENTED, SaleEnded(ENDS[2]))
    assert run(till, CardLeft(), PRESENTED) == [None, None]


def test_amount_that_is_typed_over_is_charged_to_nobody() -> None:
    till = Till(None)
    assert run(till, AmountEntered(PRICE), AmountBegun(), PRESENTED) == [None, None, None]
    assert run(till, AmountEntered(Fen(5))) == [charge(Fen(5))]


def test_typing_clears_the_last_result_but_not_a_torn_tap() -> None:
    till = Till(None)
    run(till, AmountEntered(PRICE), PRESENTED, SaleEnded(ENDS[0]), AmountBegun())
    assert (till.result, till.phase) == (None, Phase.AMOUNT)
    torn = Till(TORN)
    run(torn, AmountBegun(), AmountEntered(PRICE))
    assert (torn.torn, torn.amount_fen, torn.phase) == (TORN, None, Phase.SAME_CARD)


def test_card_that_left_before_the_amount_is_not_charged() -> None:
    assert run(Till(None), PRESENTED, CardLeft(), AmountEntered(PRICE)) == [None, None, None]
    assert run(Till(None), PRESENTED, LOST, ReaderFound(), AmountEntered(PRICE)) == [None] * 4


def test_torn_tap_of_an_earlier_run_comes_before_everything() -> None:
    till = Till(TORN)
    assert till.phase is Phase.SAME_CARD
    assert run(till, AmountEntered(Fen(5)), PRESENTED) == [None, ResolveTorn(TORN)]
    assert till.handle(SaleEnded(WrongCard(TORN.card))) is None
    assert run(till, CardLeft(), PRESENTED) == [None, ResolveTorn(TORN)]
    till.handle(SaleEnded(Approved(TORN, Fen(3800))))
    assert (till.torn, till.amount_fen, till.phase) == (None, None, Phase.AMOUNT)


def test_torn_sale_that_did_not_happen_is_asked_for_again() -> None:
    till = Till(None)
    run(till, AmountEntered(PRICE), PRESENTED, SaleEnded(Torn(TORN, "gone", "card-removed")), CardLeft(), PRESENTED)
    run(till, SaleEnded(NotPaid("not debited")))
    assert (till.torn, till.amount_fen, till.phase) == (None, PRICE, Phase.CARD)
    assert run(till, CardLeft(), PRESENTED) == [None, charge(PRICE)]


def test_torn_sale_of_an_earlier_run_charges_nobody_when_it_did_not_happen() -> None:
    till = Till(TORN)
    run(till, PRESENTED, SaleEnded(NotPaid("not debited")))
    assert (till.torn, till.amount_fen, till.phase) == (None, None, Phase.AMOUNT)
    assert run(till, CardLeft(), PRESENTED) == [None, None]


def test_giving_up_takes_two_presses_with_nothing_between() -> None:
    till = Till(TORN)
    assert run(till, CancelPressed(), CancelPressed()) == [None, GiveUpTorn(TORN)]
    till.handle(SaleEnded(Unresolved(TORN)))
    assert (till.torn, till.phase) == (None, Phase.AMOUNT)
    other = Till(TORN)
    assert run(other, CancelPressed(), AmountEntered(PRICE), CancelPressed()) == [None] * 3
    assert run(other, PRESENTED, SaleEnded(WrongCard(TORN.card)), CancelPressed()) == [ResolveTorn(TORN), None, None]


def test_failed_till_does_nothing_any_more() -> None:
    till = Till(None)
    run(till, AmountEntered(PRICE), TillFailed("the disk is full"))
    assert run(till, PRESENTED, AmountEntered(PRICE), CancelPressed(), CardLeft(), PRESENTED) == [None] * 5
    assert till.phase is Phase.NOTHING


class TillMachine(RuleBasedStateMachine):
    """Whatever comes in whatever order: one presentation is good for one command, and a torn tap blocks new ones."""

    def __init__(self) -> None:
        super().__init__()
        self.till = Till(None)
        self.torn: TapRecord | None = None
        self.under_way: Command | None = None
        self.fresh = False  # a presentation that no command has used

    def feed(self, event: TillEvent) -> None:
        command = self.till.handle(event)
        if command is None:
            return
        assert self.under_way is None
        if isinstance(command, ChargePurse):
            assert self.torn is None, "charged while a torn tap is open"
        if not isinstance(command, GiveUpTorn):
            assert self.fresh, "one presentation was used twice"
            self.fresh = False
        else:
            assert command.tap == self.torn
        self.under_way = command

    idle = precondition(lambda self: self.under_way is None)

    @idle
    @rule(amount_fen=st.integers(1, 10_000).map(Fen))
    def amount(self, amount_fen: Fen) -> None:
        self.feed(AmountEntered(amount_fen))

    @idle
    @rule()
    def present(self) -> None:
        self.fresh = True
        self.feed(PRESENTED)

    @idle
    @rule()
    def leave(self) -> None:
        self.fresh = False
        self.feed(CardLeft())

    @idle
    @rule()
    def cancel(self) -> None:
        self.feed(CancelPressed())

    @idle
    @rule(lost=st.booleans())
    def reader(self, lost: bool) -> None:
        self.fresh = self.fresh and not lost
        self.feed(LOST if lost else ReaderFound())

    @precondition(lambda self: isinstance(self.under_way, ChargePurse))
    @rule(result=st.sampled_from(ENDS))
    def charged(self, result: Result) -> None:
        self.torn = TORN if isinstance(result, Torn) else None
        self.under_way = None
        self.feed(SaleEnded(result))

    @precondition(lambda self: isinstance(self.under_way, ResolveTorn))
    @rule(result=st.sampled_from([ENDS[0], ENDS[1], ENDS[3], ENDS[4], WrongCard(TORN.card), Unresolved(TORN)]))
    def resolved(self, result: Result) -> None:
        self.torn = TORN if isinstance(result, Torn | WrongCard) else None
        self.under_way = None
        self.feed(SaleEnded(result))

    @precondition(lambda self: isinstance(self.under_way, GiveUpTorn))
    @rule(result=st.sampled_from([Unresolved(TORN), Torn(TORN, "the PSAM is gone", "psam-lost")]))
    def given_up(self, result: Result) -> None:
        self.torn = TORN if isinstance(result, Torn) else None
        self.under_way = None
        self.feed(SaleEnded(result))

    @invariant()
    def torn_is_what_the_model_says(self) -> None:
        if self.under_way is None:
            assert self.till.torn == self.torn
            assert (self.till.phase is Phase.SAME_CARD) == (self.torn is not None)


TestTillMachine = TillMachine.TestCase
TestTillMachine.settings = settings(max_examples=150, stateful_step_count=25)
