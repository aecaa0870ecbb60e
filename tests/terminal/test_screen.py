"""The console screen at every size, words for every result, and keys one by one."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from terminal.events import AmountBegun, AmountEntered, CancelPressed, CashierEvent, SaleEnded, TillFailed
from terminal.result import Approved, NotPaid, ProofRefused, Refused, Result, Torn, Unresolved, WrongCard
from terminal.screen import REFUSAL_WORDS, Keys, amount_entered, draw, result_words, split_keys
from terminal.standing import Standing
from terminal.till import Till
from tests.terminal.conftest import INTENT, NOON, TERMINAL
from wire.ids import TapId
from wire.money import AmountUnreadable, Fen
from wire.record import NO_TAC, Mac2, Outcome, Refusal, TapRecord

RECORD = TapRecord(
    tap_id=TapId(TERMINAL, 1, 4_294_967_295),
    outcome=Outcome.UNKNOWN,
    reason=None,
    mac2=Mac2.NOT_CHECKED,
    card=INTENT.card,
    amount_fen=Fen(0xFFFF_FFFF),
    balance_before_fen=Fen(0xFFFF_FFFF),
    counter=7,
    ttsn=42,
    tac=NO_TAC,
    opened_at=NOON,
)
STATUS = Standing(
    terminal=TERMINAL.hex(),
    at=NOON,
    sealed=12,
    unsent=3,
    unsent_fen=3600,
    receipt_age_s=90,
    hotlist_version=3,
    hotlist_cards=17,
    downlink_fault=None,
)
WHY = (
    "talking to the card failed: The smart card has been removed, so further communication is not possible. (80100069)"
)
RESULTS: list[Result] = [
    Approved(RECORD, Fen(3800)),
    ProofRefused(RECORD),
    *(Refused(refusal, INTENT.card, Fen(5000)) for refusal in Refusal),
    NotPaid(WHY),
    Torn(RECORD, WHY, "card-removed"),
    WrongCard(INTENT.card),
    Unresolved(RECORD),
]
SIZES = [(80, 24), (40, 12), (20, 5), (132, 50), (10, 3), (1, 1), (80, 1), (5, 40)]
STYLE = re.compile("\x1b\\[[0-9;]*m")


def tills() -> list[Till]:
    """A till in each state that looks different."""
    made = [Till(None), Till(RECORD), Till(None), Till(RECORD), Till(None)]
    for till in made[1:]:
        till.reader_fault = None
    made[2].handle(AmountEntered(Fen(1200)))
    made[3].handle(CancelPressed())
    made[4].handle(TillFailed("journal.db could not be written: " + "disk full " * 20))
    for result in RESULTS:
        till = Till(None)
        till.reader_fault = None
        till.handle(SaleEnded(result))
        made.append(till)
    return made


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_every_state_fills_the_screen_exactly(width: int, height: int) -> None:
    keys = Keys()
    keys.problem = "'1.234' is not an amount such as 12.50"
    for till in tills():
        for status in (
            STATUS,
            replace(STATUS, downlink_fault="uplink.db cannot be read: " + "x" * 90, receipt_age_s=None),
        ):
            lines = draw(till, keys, status, width=width, height=height)
            assert len(lines) == height
            assert max(len(STYLE.sub("", line)) for line in lines) <= width


@pytest.mark.parametrize(("width", "height"), [(80, 24), (40, 12), (20, 5)])
def test_amount_and_what_to_do_are_in_sight_on_every_screen(width: int, height: int) -> None:
    for till in tills():
        text = "\n".join(STYLE.sub("", line) for line in draw(till, Keys(), STATUS, width=width, height=height))
        assert "Amount" in text
        assert re.search("OUT OF|NO CARD|NO SALES|TAKE|UNPLUG|APPROVED|REFUSED|NOT|PRESENT|GIVE UP|Type", text)


def test_wide_screen_shows_what_is_always_in_sight() -> None:
    lines = draw(Till(None), Keys(), STATUS, width=80, height=24)
    text = "\n".join(lines)
    for words in ("610000000001", "12:00:00", "12 taps, 3 not yet at the server (36.00)", "1 min ago", "hotlist 3"):
        assert words in text
    assert "configuration" not in text
    configured = draw(Till(None), Keys(), replace(STATUS, configuration_version=4), width=80, height=24)
    assert "17 cards to refuse   configuration 4" in "\n".join(configured)
    assert "all at the server" in "\n".join(draw(Till(None), Keys(), replace(STATUS, unsent=0), width=80, height=24))


@pytest.mark.parametrize("result", RESULTS)
def test_every_result_has_words_without_a_whole_card_number(result: Result) -> None:
    colour, headline, detail = result_words(result)
    assert colour.startswith("\x1b")
    assert headline
    assert detail.endswith(".")
    assert INTENT.card.asn.hex().lstrip("0") not in headline + detail


def test_every_refusal_has_words_of_its_own() -> None:
    assert set(REFUSAL_WORDS) == set(Refusal)
    assert len(set(REFUSAL_WORDS.values())) == len(Refusal)


def press(keys: Keys, text: str) -> list[CashierEvent | None]:
    return [keys.press(key) for key in split_keys(text)]


def test_digits_and_enter_are_an_amount() -> None:
    assert press(Keys(), "12.5\r")[-1] == AmountEntered(Fen(1250))
    assert press(Keys(), "9\x7f8\n")[-1] == AmountEntered(Fen(800))


@pytest.mark.parametrize("text", ["0\r", "1.234\r", ".\r", "1..2\r", "99999999\r"])
def test_text_that_is_no_amount_is_told_and_forgotten(text: str) -> None:
    keys = Keys()
    assert press(keys, text)[-1] is None
    assert keys.problem
    assert keys.typed == ""
    keys.press("1")
    assert (keys.typed, keys.problem) == ("1", "")


def test_esc_clears_what_was_typed_and_then_cancels() -> None:
    keys = Keys()
    assert press(keys, "12") == [AmountBegun(), AmountBegun()]
    assert press(keys, "\x1b") == [None]
    assert press(keys, "\x1b") == [CancelPressed()]


@pytest.mark.parametrize("sequence", ["\x1b[A", "\x1b[3~", "\x1bOP", "\x1b[1;5C", "\x1b[15~", "\x1bx"])
def test_arrows_and_function_keys_are_not_esc(sequence: str) -> None:
    assert split_keys(sequence) == []
    assert split_keys("1" + sequence + "2\x1b") == ["1", "2", "\x1b"]


@given(st.text(max_size=40))
def test_any_keys_give_events_or_nothing(text: str) -> None:
    keys = Keys()
    for event in press(keys, text):
        assert event in (None, CancelPressed(), AmountBegun()) or (
            isinstance(event, AmountEntered) and event.amount_fen > 0
        )
    assert len(keys.typed) <= 8


def test_amount_is_at_least_one_fen() -> None:
    assert amount_entered("0.01") == AmountEntered(Fen(1))
    with pytest.raises(AmountUnreadable):
        amount_entered("0.00")
