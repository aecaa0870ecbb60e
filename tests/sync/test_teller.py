"""What the top-up point says: each event in words and as JSON, and the PIN asked for."""

from __future__ import annotations

import json
from typing import get_args

import pytest

from sync.teller import JsonLines, Words, event_words
from sync.topup import (
    CardTrouble,
    EarlierSettled,
    LeaveCard,
    Loaded,
    OtherCard,
    PointEvent,
    PresentCard,
    PutCardBack,
    RefundWaits,
    StillOpen,
    StillThere,
)
from wire.ids import Asn, CardId, IssuerId
from wire.load import Funding
from wire.money import Fen

CARD = CardId(IssuerId(bytes(8)), Asn(bytes.fromhex("00000000000000001234")))
OTHER = CardId(IssuerId(bytes(8)), Asn(bytes.fromhex("00000000000000005678")))
EVENTS: list[PointEvent] = [
    PresentCard(Fen(50_00)),
    PresentCard(None, Funding.REFUND),
    PresentCard(Fen(3_50), Funding.REFUND),
    LeaveCard(),
    PutCardBack(CARD, Fen(50_00), "the card left the reader"),
    OtherCard(OTHER, CARD),
    CardTrouble("the card does not answer"),
    StillThere(CARD),
    EarlierSettled(CARD, Fen(50_00), posted=True),
    Loaded(CARD, Fen(50_00), Fen(60_00), delivered=False),
    RefundWaits(CARD, Fen(3_50)),
    StillOpen(CARD, Fen(50_00)),
]


def test_every_event_has_words_and_a_name_and_no_card_number() -> None:
    assert {type(event) for event in EVENTS} == set(get_args(PointEvent))
    lines: list[str] = []
    for event in EVENTS:
        assert event_words(event)
        JsonLines(lines.append, str).tell(event)
        assert CARD.asn.hex() not in event_words(event) + lines[-1]
    names = [json.loads(line)["event"] for line in lines]
    assert names == [
        "present-card",
        "present-card",
        "present-card",
        "leave-card",
        "put-card-back",
        "other-card",
        "card-trouble",
        "still-there",
        "earlier-settled",
        "loaded",
        "refund-waits",
        "still-open",
    ]
    assert json.loads(lines[9])["new_balance_fen"] == 6000
    assert [json.loads(line)["funding"] for line in lines[:2]] == ["cash", "refund"]


@pytest.mark.parametrize("posted", [True, False])
def test_earlier_load_is_told_by_its_end(posted: bool) -> None:
    words = event_words(EarlierSettled(CARD, Fen(50_00), posted=posted))
    assert ("is on the card" in words) is posted


def test_pin_is_asked_for_with_the_tries_left() -> None:
    said: list[str] = []
    answers = iter(["1234", ""])
    words = Words(said.append, lambda prompt: next(answers))
    assert words.ask_pin(None, "") == "1234"
    assert said == []
    assert words.ask_pin(1, "the PIN is wrong") is None
    assert said == ["  The PIN is wrong; 1 try is left before the card locks it."]


def test_end_of_input_at_the_pin_gives_up() -> None:
    def ask(prompt: str) -> str:
        raise EOFError

    assert Words(print, ask).ask_pin(None, "") is None


def test_ctrl_c_at_the_pin_is_handed_on_behind_a_new_line() -> None:
    said: list[str] = []

    def ask(prompt: str) -> str:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Words(said.append, ask).ask_pin(None, "")
    assert said == [""]


def test_pin_is_read_as_a_line_after_the_json_asks_for_it() -> None:
    said: list[str] = []
    assert JsonLines(said.append, lambda: "1234\n").ask_pin(2, "the PIN is wrong") == "1234"
    assert json.loads(said[0]) == {"event": "ask-pin", "tries_left": 2, "why": "the PIN is wrong"}
