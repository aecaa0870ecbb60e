"""The fate of a torn debit from the card's answers alone, and the mistakes that other terminals are known for, over
simulated cards and PSAM.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.channel import CardChannel, CardRemoved
from drivers.purse import CAMPUS_CARD, CardUnreadable, PsamIdentity
from sim.card.profile import CAMPUS, PROVE_BEFORE
from sim.card.profile import CardProfile as SimProfile
from sim.pcsc.local import Tear
from terminal.basket import amount_offer
from terminal.recovery import Fate, OtherCard, Resolution, resolve_torn
from terminal.result import Approved, NotPaid, Torn, Unresolved, WrongCard
from tests.terminal.conftest import INTENT, TERMINAL, Card, World
from wire.ids import TapId
from wire.money import Fen
from wire.record import NO_TAC, Mac2, Outcome, TapKind, TapRecord

TAP = TapRecord(
    tap_id=TapId(TERMINAL, 1, 1),
    outcome=Outcome.UNKNOWN,
    reason=None,
    mac2=Mac2.NOT_CHECKED,
    card=INTENT.card,
    amount_fen=INTENT.amount_fen,
    balance_before_fen=INTENT.balance_before_fen,
    counter=INTENT.counter,
    ttsn=INTENT.ttsn,
    tac=NO_TAC,
    opened_at=INTENT.opened_at,
)
PSAM = PsamIdentity(terminal=TERMINAL, key_index=1)
PROOF = bytes.fromhex("55667788 AABBCCDD")
FCI = bytes.fromhex("6F23 A521 9F0C1E 6100000000000001 02 01 00006100000000001234 20250901 20290831 0000")


def init(balance_fen: int, counter: int) -> bytes:
    return balance_fen.to_bytes(4) + counter.to_bytes(2) + bytes(9)


class Answers:
    """A card that gives these to SELECT, PROVE and INITIALIZE, whatever else is asked being a failure of the test."""

    def __init__(
        self,
        *,
        select: tuple[bytes, int] = (FCI, 0x9000),
        prove: tuple[bytes, int] = (PROOF, 0x9000),
        initialize: tuple[bytes, int],
    ) -> None:
        self._answers = {0xA4: select, 0x5A: prove, 0x50: initialize}
        self.sent: list[bytes] = []

    def transmit(self, apdu: bytes) -> tuple[bytes, int]:
        self.sent.append(apdu)
        return self._answers[apdu[1]]


def resolve(card: Answers, mac2: Mac2 = Mac2.VERIFIED) -> Resolution | OtherCard:
    return resolve_torn(card, TAP, profile=CAMPUS_CARD, psam=PSAM, check_mac2=lambda _: mac2)


# 9000: it was loaded since.
MOVED = [(5000, 7, False), (9000, 7, False), (3800, 8, True), (4999, 8, True), (5000, 8, True), (3800, 9, True)]


@pytest.mark.parametrize(("balance_fen", "counter", "moved"), MOVED)
@pytest.mark.parametrize("mac2", list(Mac2))
@pytest.mark.parametrize("prove", [(PROOF, 0x9000), (b"", 0x9406), (b"", 0x6901), (b"", 0x6985), (PROOF[:4], 0x9000)])
def test_unmoved_counter_means_no_and_only_a_verified_proof_means_yes(
    balance_fen: int, counter: int, moved: bool, mac2: Mac2, prove: tuple[bytes, int]
) -> None:
    result = resolve(Answers(prove=prove, initialize=(init(balance_fen, counter), 0x9000)), mac2)
    proven, ours = prove == (PROOF, 0x9000), (balance_fen, counter) == (3800, 8)
    if not moved:
        assert result == Resolution(Fate.NOT_EXECUTED)
    elif ours and proven and mac2 is Mac2.VERIFIED:
        assert result == Resolution(Fate.EXECUTED, PROOF[4:])
    else:
        assert result == Resolution(Fate.UNKNOWN, PROOF[4:] if ours and proven else NO_TAC)


@pytest.mark.parametrize("sw", [0x9402, 0x9403, 0x6985, 0x6581])
def test_card_that_does_not_initialize_any_more_is_believed_by_its_proof_alone(sw: int) -> None:
    assert resolve(Answers(initialize=(b"", sw))) == Resolution(Fate.EXECUTED, PROOF[4:])
    with pytest.raises(CardUnreadable):
        resolve(Answers(initialize=(b"", sw)), Mac2.REFUSED)
    with pytest.raises(CardUnreadable):
        resolve(Answers(prove=(b"", 0x9406), initialize=(b"", sw)))


@pytest.mark.parametrize(
    ("balance_fen", "counter", "fate"),
    [(5000, 7, Fate.NOT_EXECUTED), (5000, 8, Fate.EXECUTED), (9000, 8, Fate.UNKNOWN), (5000, 9, Fate.UNKNOWN)],
)
def test_torn_purchase_of_nothing_is_told_by_its_counter(balance_fen: int, counter: int, fate: Fate) -> None:
    tap = replace(TAP, kind=TapKind.SIGN_ON, amount_fen=Fen(0))
    card = Answers(initialize=(init(balance_fen, counter), 0x9000))
    result = resolve_torn(card, tap, profile=CAMPUS_CARD, psam=PSAM, check_mac2=lambda _: Mac2.VERIFIED)
    assert result == Resolution(fate, PROOF[4:] if fate is Fate.EXECUTED else NO_TAC)


@pytest.mark.parametrize(("balance_fen", "counter", "fate"), [(5000, 7, Fate.NOT_EXECUTED), (3800, 8, Fate.UNKNOWN)])
def test_card_that_initializes_no_purchase_of_nothing_is_asked_with_the_amount(
    balance_fen: int, counter: int, fate: Fate
) -> None:
    class WantsAnAmount(Answers):
        def transmit(self, apdu: bytes) -> tuple[bytes, int]:
            answer = super().transmit(apdu)
            return (b"", 0x6A80) if apdu[1] == 0x50 and apdu[6:10] == bytes(4) else answer

    card = WantsAnAmount(prove=(b"", 0x9406), initialize=(init(balance_fen, counter), 0x9000))
    assert resolve(card) == Resolution(fate)


def test_prove_asks_for_the_number_of_the_profile() -> None:
    card = Answers(initialize=(init(3800, 8), 0x9000))
    resolve(card)
    assert [apdu.hex().upper() for apdu in card.sent[1:]] == ["805A000602000808", "805001020B01000000006100000000010F"]


def test_another_card_is_asked_nothing_more() -> None:
    other = FCI.replace(bytes.fromhex("1234"), bytes.fromhex("1235"))
    card = Answers(select=(other, 0x9000), initialize=(b"", 0x6D00))
    assert isinstance(resolve(card), OtherCard)
    assert len(card.sent) == 1


def test_unreadable_answers_leave_the_question_open() -> None:
    with pytest.raises(CardUnreadable):
        resolve(Answers(select=(b"", 0x6A82), initialize=(b"", 0x9000)))
    with pytest.raises(CardUnreadable):
        resolve(Answers(initialize=(bytes(3), 0x9000)))


@given(prove=st.binary(max_size=12), balance_fen=st.integers(0, 0xFFFF_FFFF), counter=st.integers(0, 0xFFFF))
def test_never_debits_and_executes_only_by_all_witnesses(prove: bytes, balance_fen: int, counter: int) -> None:
    card = Answers(prove=(prove, 0x9000), initialize=(init(balance_fen, counter), 0x9000))
    result = resolve(card)
    assert isinstance(result, Resolution)
    assert (result.fate is Fate.EXECUTED) == ((balance_fen, counter, len(prove)) == (3800, 8, 8) and any(prove[4:]))
    assert all(apdu[1] != 0x54 for apdu in card.sent)


def test_counter_and_balance_that_contradict_each_other_leave_the_question_open() -> None:
    # A bit that was lost on its way would otherwise void a debit that happened.
    with pytest.raises(CardUnreadable, match="did not pay"):
        resolve(Answers(initialize=(init(3800, 7), 0x9000)))


class Overlay:
    """A card some of whose answers another one gives."""

    def __init__(self, card: CardChannel, answers: dict[int, tuple[bytes, int]]) -> None:
        self._card = card
        self._answers = answers
        self.sent: list[bytes] = []

    def transmit(self, apdu: bytes) -> tuple[bytes, int]:
        self.sent.append(apdu)
        return self._answers.get(apdu[1]) or self._card.transmit(apdu)


def torn_sale(world: World, card: Card, how: Tear) -> TapRecord:
    card.chip.tear(how, after=2)
    result = world.sale.charge(world.channel(card), amount_offer(INTENT.amount_fen))
    assert isinstance(result, Torn)
    return result.record


@pytest.mark.parametrize("sw", [0x9406, 0x6901, 0x6985, 0x6D00, 0x6581])
def test_known_bug_failed_prove_taken_for_not_debited(world: World, sw: int) -> None:
    card = world.card()
    tap = torn_sale(world, card, Tear.AFTER)
    result = world.sale.resolve(Overlay(world.channel(card), {0x5A: (b"", sw)}), tap)
    assert isinstance(result, Unresolved)
    assert (world.journal.records(1, 9), card.debits) == ([tap], 1)


@pytest.mark.parametrize("profile", [CAMPUS, PROVE_BEFORE])
def test_known_bug_counter_moved_on_in_the_retry(world: World, profile: SimProfile) -> None:
    world.profile = replace(
        CAMPUS_CARD, prove_offset=profile.prove_numbering.value, key_levels=1 + profile.two_level_keys
    )
    world.restart()
    card = world.card(counter=7, profile=profile)
    tap = torn_sale(world, card, Tear.AFTER)
    asked = []
    for step in (1, 2):
        card.chip.tear(Tear.AFTER, after=step)
        asked.append(Overlay(world.channel(card), {}))
        with pytest.raises(CardRemoved):
            world.sale.resolve(asked[-1], tap)
    asked.append(Overlay(world.channel(card), {}))
    assert isinstance(world.sale.resolve(asked[-1], tap), Approved)
    assert len({next(apdu for apdu in channel.sent if apdu[1] == 0x5A) for channel in asked}) == 1
    assert (card.debits, card.purse.balance_fen) == (1, 3800)


@pytest.mark.parametrize("initialize", [None, (b"", 0x6985)])
def test_known_bug_9406_accepted_as_success(world: World, initialize: tuple[bytes, int] | None) -> None:
    card = world.card()
    tap = torn_sale(world, card, Tear.BEFORE)
    answers = {0x5A: (b"", 0x9406)} | ({} if initialize is None else {0x50: initialize})
    if initialize is not None:
        with pytest.raises(CardUnreadable):
            world.sale.resolve(Overlay(world.channel(card), answers), tap)
        assert world.journal.opened_tap() == tap
        return
    assert isinstance(world.sale.resolve(Overlay(world.channel(card), answers), tap), NotPaid)
    assert card.purse.balance_fen == 5000


def test_known_bug_card_known_by_what_the_reader_sees_of_it(world: World) -> None:
    card, other = world.card(1, counter=7), world.card(2, counter=7)
    assert card.chip.atr == other.chip.atr
    tap = torn_sale(world, card, Tear.AFTER)
    asked = Overlay(world.channel(other), {})
    assert world.sale.resolve(asked, tap) == WrongCard(card.id)
    # The same number from another issuer is another card, too.
    public = other.purse._memory["public"]
    other.purse._memory.commit({"public": bytes(8) + public[8:10] + card.id.asn + public[20:]})
    assert world.sale.resolve(world.channel(other), tap) == WrongCard(card.id)
    assert (len(asked.sent), world.journal.opened_tap()) == (1, tap)
    assert isinstance(world.sale.resolve(world.channel(card), tap), Approved)


@pytest.mark.parametrize("profile", [CAMPUS, PROVE_BEFORE])
@pytest.mark.parametrize("offset", [0, 1])
@pytest.mark.parametrize("how", [Tear.BEFORE, Tear.AFTER])
def test_known_bug_previous_debits_number_taken_for_this_ones(
    world: World, profile: SimProfile, offset: int, how: Tear
) -> None:
    world.profile = replace(CAMPUS_CARD, prove_offset=offset, key_levels=1 + profile.two_level_keys)
    world.restart()
    card = world.card(profile=profile)
    assert isinstance(world.sale.charge(world.channel(card), amount_offer(INTENT.amount_fen)), Approved)
    tap = torn_sale(world, card, how)
    result = world.sale.resolve(world.channel(card), tap)
    assert isinstance(result, NotPaid if how is Tear.BEFORE else Approved)
    assert card.purse.balance_fen == (3800 if how is Tear.BEFORE else 2600)
    assert world.journal.head().total_fen == 5000 - card.purse.balance_fen
