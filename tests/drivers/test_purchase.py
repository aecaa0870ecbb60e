"""The purchase dialogue alone: its order, every place where it is lost, every answer to DEBIT, and DEBIT once."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.apdu import Sw
from drivers.channel import CardRemoved
from drivers.purchase import (
    Commit,
    Decide,
    NotDebited,
    PinChecked,
    Purchase,
    PurchaseProof,
    Quote,
    Step,
    ToCard,
    ToPsam,
    TornDebit,
    mac2_verdict,
)
from drivers.purse import CAMPUS_CARD, CardUnreadable
from tests.drivers.conftest import DEBIT_ANSWER, FCI, INIT_ANSWER, MAC1_ANSWER, NOON, PSAM
from wire.money import Fen
from wire.record import Mac2

GONE = CardRemoved("gone")
OK = Sw.OK
SELECT = "00A4040009A00000000386980701"
INIT = "805001020B01000004B06100000000010F"
DRAW = "807000001CC903814D0007000004B006202603021200000100610000000000123408"
DEBIT = "805401000F0000002A202603021200001122334408"
CHECK = "807200000455667788"


def purchase() -> Purchase:
    return Purchase(profile=CAMPUS_CARD, psam=PSAM, opened_at=NOON)


def until_debit() -> Purchase:
    """A dialogue that has just asked for the debit."""
    dialogue = purchase()
    dialogue.start()
    dialogue.card_answered(FCI, OK)
    dialogue.priced(Fen(1200))
    dialogue.card_answered(INIT_ANSWER, OK)
    dialogue.approved()
    dialogue.psam_answered(MAC1_ANSWER, OK)
    assert dialogue.committed() == ToCard(bytes.fromhex(DEBIT))
    return dialogue


def test_normal_purchase_is_three_card_and_two_psam_commands_in_this_order() -> None:
    dialogue = purchase()
    assert dialogue.start() == ToCard(bytes.fromhex(SELECT))
    quote = dialogue.card_answered(FCI, OK)
    assert isinstance(quote, Quote)
    assert quote.info.card_class == FCI[-2]
    assert dialogue.priced(Fen(1200)) == ToCard(bytes.fromhex(INIT))
    decide = dialogue.card_answered(INIT_ANSWER, OK)
    assert isinstance(decide, Decide)
    assert (decide.view.balance_fen, decide.view.status) == (5000, OK)
    assert dialogue.approved() == ToPsam(bytes.fromhex(DRAW))
    commit = dialogue.psam_answered(MAC1_ANSWER, OK)
    assert isinstance(commit, Commit)
    assert (commit.ttsn, commit.session.counter) == (42, 7)
    assert dialogue.committed() == ToCard(bytes.fromhex(DEBIT))
    assert dialogue.card_answered(DEBIT_ANSWER, OK) == ToPsam(bytes.fromhex(CHECK))
    assert dialogue.psam_answered(b"", OK) == PurchaseProof(bytes.fromhex("AABBCCDD"), Mac2.VERIFIED)


def test_card_without_enough_money_is_asked_for_its_balance() -> None:
    dialogue = purchase()
    dialogue.start()
    dialogue.card_answered(FCI, OK)
    dialogue.priced(Fen(1200))
    assert dialogue.card_answered(b"", Sw.BALANCE_INSUFFICIENT) == ToCard(bytes.fromhex("805C000204"))
    decide = dialogue.card_answered(bytes.fromhex("00000400"), OK)
    assert isinstance(decide, Decide)
    assert (decide.view.balance_fen, decide.view.session, decide.view.status) == (1024, None, Sw.BALANCE_INSUFFICIENT)


@pytest.mark.parametrize("sw", [0x9402, 0x9403, 0x6985, 0x6581, 0x6A81, 0x6E00])
def test_card_that_refuses_initialize_is_shown_to_the_rules(sw: int) -> None:
    dialogue = purchase()
    dialogue.start()
    dialogue.card_answered(FCI, OK)
    dialogue.priced(Fen(1200))
    decide = dialogue.card_answered(b"", sw)
    assert isinstance(decide, Decide)
    assert (decide.view.session, decide.view.status) == (None, sw)


@pytest.mark.parametrize(
    ("sw", "checked"),
    [
        (0x9000, PinChecked(True)),
        (0x63C2, PinChecked(False, 2)),
        (0x63C0, PinChecked(False, 0)),
        (0x6983, PinChecked(False, 0)),
    ],
)
def test_pin_is_checked_before_the_price_is_said(sw: int, checked: PinChecked) -> None:
    dialogue = purchase()
    dialogue.start()
    dialogue.card_answered(FCI, OK)
    assert dialogue.pin("12345") == ToCard(bytes.fromhex("002000000312345F"))
    assert dialogue.card_answered(b"", sw) == checked
    assert dialogue.priced(Fen(0)) == ToCard(bytes.fromhex(INIT.replace("000004B0", "00000000")))


def test_card_that_knows_no_pin_is_none_to_sign_on_with() -> None:
    dialogue = purchase()
    dialogue.start()
    dialogue.card_answered(FCI, OK)
    dialogue.pin("1234")
    with pytest.raises(CardUnreadable):
        dialogue.card_answered(b"", 0x6D00)


def test_card_lost_before_debit_has_not_paid() -> None:
    first = purchase()
    first.start()
    assert first.card_lost(GONE) == NotDebited("gone", "card-removed")
    second = purchase()
    second.start()
    second.card_answered(FCI, OK)
    second.priced(Fen(1200))
    assert second.card_lost(GONE) == NotDebited("gone", "card-removed")
    third = purchase()
    third.start()
    third.card_answered(FCI, OK)
    third.priced(Fen(1200))
    third.card_answered(b"", Sw.BALANCE_INSUFFICIENT)
    assert third.card_lost(GONE) == NotDebited("gone", "card-removed")


@pytest.mark.parametrize(
    ("data", "sw"), [(b"", 0x9403), (b"", 0x9402), (MAC1_ANSWER[:7], 0x9000), (MAC1_ANSWER, 0x6A80)]
)
def test_psam_without_mac1_ends_the_purchase_unopened(data: bytes, sw: int) -> None:
    dialogue = purchase()
    dialogue.start()
    dialogue.card_answered(FCI, OK)
    dialogue.priced(Fen(1200))
    dialogue.card_answered(INIT_ANSWER, OK)
    dialogue.approved()
    result = dialogue.psam_answered(data, sw)
    assert isinstance(result, NotDebited)


def test_card_lost_at_debit_is_torn() -> None:
    assert until_debit().card_lost(GONE) == TornDebit("gone", "card-removed")


@pytest.mark.parametrize("sw", [0x6700, 0x6901, 0x6985, 0x6D00, 0x9302, 0x9401, 0x9402, 0x6581])
def test_error_word_for_debit_is_torn_since_a_reader_may_have_sent_it_twice(sw: int) -> None:
    assert isinstance(until_debit().card_answered(b"", sw), TornDebit)


@given(sw=st.integers(0, 0xFFFF), data=st.binary(max_size=12))
def test_every_answer_to_debit_is_proof_or_torn(sw: int, data: bytes) -> None:
    step = until_debit().card_answered(data, sw)
    assert isinstance(step, ToPsam if sw == 0x9000 and len(data) == 8 else TornDebit)


@pytest.mark.parametrize(
    ("sw", "verdict"),
    [
        (0x9000, Mac2.VERIFIED),
        (0x6985, Mac2.NOT_CHECKED),
        (0x6901, Mac2.NOT_CHECKED),
        (0x9302, Mac2.REFUSED),
        (0x9303, Mac2.REFUSED),
        (0x6F00, Mac2.REFUSED),
    ],
)
def test_psams_word_on_mac2_goes_into_the_proof(sw: int, verdict: Mac2) -> None:
    dialogue = until_debit()
    dialogue.card_answered(DEBIT_ANSWER, OK)
    assert dialogue.psam_answered(b"", sw) == PurchaseProof(bytes.fromhex("AABBCCDD"), verdict)
    assert mac2_verdict(sw) is verdict


def test_psam_lost_after_debit_leaves_the_proof_unchecked() -> None:
    dialogue = until_debit()
    dialogue.card_answered(DEBIT_ANSWER, OK)
    assert dialogue.psam_lost(GONE) == PurchaseProof(bytes.fromhex("AABBCCDD"), Mac2.NOT_CHECKED)


def test_calls_out_of_order_are_bugs_and_never_a_result() -> None:
    dialogue = until_debit()
    dialogue.card_answered(DEBIT_ANSWER, OK)
    for call in (dialogue.committed, dialogue.approved, lambda: dialogue.card_lost(GONE)):
        with pytest.raises(AssertionError):
            call()
    dialogue.psam_answered(b"", OK)
    for call in (dialogue.committed, lambda: dialogue.card_lost(GONE), lambda: dialogue.psam_lost(GONE)):
        with pytest.raises(AssertionError):
            call()


GOOD = {
    "select": FCI,
    "init": INIT_ANSWER,
    "mac1": MAC1_ANSWER,
    "debit": DEBIT_ANSWER,
    "check": b"",
    "balance": bytes(4),
    "pin": b"",
}
WORDS = st.one_of(st.just(0x9000), st.sampled_from(list(Sw)), st.integers(0, 0xFFFF))


@given(st.data())
def test_debit_is_asked_for_at_most_once_and_only_after_the_commit(data: st.DataObject) -> None:
    dialogue, committed, debits = purchase(), 0, 0
    step: Step = dialogue.start()
    try:
        for _ in range(12):
            match step:
                case ToCard(command) | ToPsam(command):
                    if command[1] == 0x54:
                        debits += 1
                        assert committed == 1
                    step = _any_answer(data, dialogue, step, command)
                case Quote() | PinChecked():
                    ask_pin = isinstance(step, Quote) and data.draw(st.booleans())
                    step = dialogue.pin("123456") if ask_pin else dialogue.priced(Fen(1200))
                case Decide(view):
                    if view.session is None:
                        return
                    step = dialogue.approved()
                case Commit():
                    committed += 1
                    step = dialogue.committed()
                case NotDebited():
                    assert committed == 0
                    return
                case TornDebit() | PurchaseProof():
                    assert debits == 1
                    return
        pytest.fail("the dialogue does not end")
    except CardUnreadable:
        assert debits == committed == 0
    finally:
        assert debits <= 1


def _any_answer(data: st.DataObject, dialogue: Purchase, step: ToCard | ToPsam, command: bytes) -> Step:
    name = {0xA4: "select", 0x50: "init", 0x70: "mac1", 0x54: "debit", 0x72: "check", 0x5C: "balance", 0x20: "pin"}[
        command[1]
    ]
    answer, sw = data.draw(st.one_of(st.just(GOOD[name]), st.binary(max_size=16))), data.draw(WORDS)
    lost = data.draw(st.integers(0, 9)) == 0
    if isinstance(step, ToCard):
        return dialogue.card_lost(GONE) if lost else dialogue.card_answered(answer, sw)
    return dialogue.psam_lost(GONE) if lost else dialogue.psam_answered(answer, sw)
