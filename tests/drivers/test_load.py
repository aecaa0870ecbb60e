"""The load dialogue alone: its order, the PIN, every place where it is lost, every answer to CREDIT, CREDIT once."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.apdu import Sw
from drivers.load import AskPin, Initialised, Load, LoadProof, NotLoaded, Proven, Selected, TornLoad
from drivers.purchase import ToCard
from drivers.purse import CAMPUS_CARD, CardUnreadable
from tests.drivers.conftest import FCI, PSAM
from wire.money import Fen

OK = Sw.OK
INIT_ANSWER = bytes.fromhex("00001388 0007 01 00 C903814D 11223344")
SELECT = ToCard(bytes.fromhex("00A4040009A00000000386980701"))
INIT = ToCard(bytes.fromhex("805000020B01000004B061000000000110"))
DATE_TIME = bytes.fromhex("20260302120000")
CREDIT = ToCard(bytes.fromhex("805200000B") + DATE_TIME + bytes.fromhex("AABBCCDD04"))
TAC = bytes.fromhex("55667788")


def selected() -> Load:
    dialogue = Load(profile=CAMPUS_CARD, terminal=PSAM.terminal)
    assert dialogue.start() == SELECT
    assert isinstance(dialogue.card_answered(FCI, OK), Selected)
    return dialogue


def crediting() -> Load:
    """A dialogue that has just told the card to take the money."""
    dialogue = selected()
    assert dialogue.initialise(Fen(1200)) == INIT
    step = dialogue.card_answered(INIT_ANSWER, OK)
    assert isinstance(step, Initialised)
    assert (step.init.balance_fen, step.init.online_counter, step.init.amount_fen) == (5000, 7, 1200)
    assert step.init.mac1 == bytes.fromhex("11223344")
    assert dialogue.granted(date_time=DATE_TIME, mac2=bytes.fromhex("AABBCCDD")) == CREDIT
    return dialogue


def test_normal_load_is_select_initialize_and_credit() -> None:
    assert crediting().card_answered(TAC, OK) == LoadProof(TAC)


@given(data=st.binary(max_size=10), sw=st.integers(0, 0xFFFF))
def test_answer_to_credit_is_a_proof_or_torn(data: bytes, sw: int) -> None:
    step = crediting().card_answered(data, sw)
    is_proof = sw == OK and len(data) == 4 and data != bytes(4)
    assert isinstance(step, LoadProof if is_proof else TornLoad)


def test_card_lost_at_credit_is_torn_and_before_it_nothing_was_loaded() -> None:
    assert crediting().card_lost("gone") == TornLoad("gone")
    dialogue = Load(profile=CAMPUS_CARD, terminal=PSAM.terminal)
    dialogue.start()
    assert dialogue.card_lost("gone") == NotLoaded("gone")
    dialogue = selected()
    dialogue.initialise(Fen(1))
    assert dialogue.card_lost("gone") == NotLoaded("gone")


def test_credit_goes_out_once_for_one_grant() -> None:
    dialogue = crediting()
    with pytest.raises(AssertionError):
        dialogue.granted(date_time=DATE_TIME, mac2=bytes(4))
    dialogue.card_answered(b"", 0x9302)
    with pytest.raises(AssertionError):
        dialogue.granted(date_time=DATE_TIME, mac2=bytes(4))
    with pytest.raises(AssertionError):
        dialogue.initialise(Fen(1))


def test_pin_is_shown_between_two_initializes() -> None:
    dialogue = selected()
    dialogue.initialise(Fen(1200))
    assert dialogue.card_answered(b"", Sw.PIN_WANTED) == AskPin(None, "")
    assert dialogue.pin("12345") == ToCard(bytes.fromhex("002000000312345F"))
    assert dialogue.card_answered(b"", OK) == INIT
    assert isinstance(dialogue.card_answered(INIT_ANSWER, OK), Initialised)


def test_wrong_digits_are_not_shown_to_the_card_again() -> None:
    dialogue = selected()
    dialogue.initialise(Fen(1200))
    dialogue.card_answered(b"", Sw.PIN_WANTED)
    dialogue.pin("000000")
    assert dialogue.card_answered(b"", 0x63C2) == AskPin(2, "the PIN is wrong")
    for digits in ("000000", "12", "1234567890123", "12a4", "\u0661\u0662\u0663\u0664"):
        again = dialogue.pin(digits)
        assert isinstance(again, AskPin)
        assert again.tries_left == 2
    assert dialogue.wrong_pins == {"000000"}


@pytest.mark.parametrize("sw", [0x63C0, 0x6983, 0x6984, 0x6700])
def test_card_that_takes_no_more_pins_is_not_loaded(sw: int) -> None:
    dialogue = selected()
    dialogue.initialise(Fen(1200))
    dialogue.card_answered(b"", Sw.PIN_WANTED)
    dialogue.pin("000000")
    assert isinstance(dialogue.card_answered(b"", sw), NotLoaded)


def test_card_that_wants_the_pin_after_it_was_right_is_not_loaded() -> None:
    dialogue = selected()
    dialogue.initialise(Fen(1200))
    dialogue.card_answered(b"", Sw.PIN_WANTED)
    dialogue.pin("123456")
    dialogue.card_answered(b"", OK)
    assert isinstance(dialogue.card_answered(b"", Sw.PIN_WANTED), NotLoaded)


@pytest.mark.parametrize("offset", [0, 1])
def test_proof_is_asked_for_by_the_profiles_number_and_then_by_the_other(offset: int) -> None:
    dialogue = Load(profile=replace(CAMPUS_CARD, prove_offset=offset), terminal=PSAM.terminal)
    dialogue.start()
    dialogue.card_answered(FCI, OK)
    asked = [dialogue.prove(7).command]
    step = dialogue.card_answered(b"", Sw.PROOF_NOT_AVAILABLE)
    assert isinstance(step, ToCard)
    asked.append(step.command)
    assert asked == [bytes.fromhex(f"805A0002020{7 + add:03X}08") for add in (offset, 1 - offset)]
    assert dialogue.card_answered(bytes(4) + TAC, OK) == Proven(TAC)
    assert isinstance(dialogue.initialise(Fen(1)), ToCard)


def test_card_without_a_proof_says_so_and_can_be_asked_on() -> None:
    dialogue = selected()
    dialogue.prove(7)
    dialogue.card_answered(b"", Sw.PROOF_NOT_AVAILABLE)
    assert dialogue.card_answered(b"", Sw.NOT_INITIALIZED) == Proven(bytes(4))
    assert dialogue.initialise(Fen(1200)) == INIT


def test_blocked_card_is_not_loaded() -> None:
    dialogue = Load(profile=CAMPUS_CARD, terminal=PSAM.terminal)
    dialogue.start()
    assert isinstance(dialogue.card_answered(FCI, Sw.APPLICATION_BLOCKED), NotLoaded)


@given(data=st.binary(max_size=40), sw=st.integers(0, 0xFFFF) | st.just(0x9000))
def test_garbage_before_credit_is_a_step_or_a_typed_error(data: bytes, sw: int) -> None:
    dialogue = selected()
    dialogue.initialise(Fen(1))
    try:
        step = dialogue.card_answered(data, sw)
    except CardUnreadable:
        return
    assert isinstance(step, Initialised | AskPin | NotLoaded)
