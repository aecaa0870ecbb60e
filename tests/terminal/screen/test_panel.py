"""The middle of the screen: every state, in both languages and all three sizes, whole and with nothing cut."""

from __future__ import annotations

from dataclasses import replace

import pytest
from rich.cells import cell_len

from drivers.channel import CardMute, ReaderMissing, ReaderStuck
from drivers.purse import LogRecord, PsamLost
from terminal.basket import Mode, Offer, amount_line, meal_offer, product_line
from terminal.errands import ClosingShift, OpeningShift, Refunding, SigningOn, Undoing
from terminal.events import Notice, Phase, Trouble
from terminal.result import (
    Approved,
    BalanceRead,
    CashTaken,
    NotPaid,
    ProofRefused,
    Refunded,
    Refused,
    Result,
    Reversed,
    ShiftClosed,
    ShiftOpened,
    ShiftReported,
    SignedOn,
    StillThere,
    Torn,
    Trained,
    Unresolved,
    WrongCard,
)
from terminal.screen.entry import Page, Problem, Typed
from terminal.screen.panel import Ink, sheet
from terminal.screen.shown import Shown
from terminal.screen.view import MARKS, Tone, View, view_of
from terminal.standing import DeviceNotice
from terminal.words import WORDS
from terminal.words.catalogue import Language
from terminal.words.codes import CODES
from tests.terminal.conftest import INTENT, NOON, TERMINAL
from tests.terminal.screen.test_bars import FULL, SHIFT
from wire.configuration import ClassPrice, MealPeriod, Name, Product, StaffRole
from wire.ids import TapId
from wire.money import Fen
from wire.record import NO_TAC, Mac2, Outcome, Refusal, TapKind, TapRecord

# The panel's cells at 80x24 with the training banner, at 100x30 (800x480 pixels of 8x16) above two rows of products, at
# 120x40 above three, and at 80x17 without a keypad.
PANELS = ((52, 18), (60, 16), (76, 22), (80, 12))
RECORD = TapRecord(
    tap_id=TapId(TERMINAL, 1, 4_294_967_295),
    outcome=Outcome.DEBITED,
    reason=None,
    mac2=Mac2.VERIFIED,
    card=INTENT.card,
    amount_fen=Fen(9_999_99),
    subsidy_fen=Fen(300),
    balance_before_fen=Fen(99_999_99),
    counter=7,
    ttsn=42,
    tac=b"TAC!",
    opened_at=NOON,
)
BACK = replace(RECORD, kind=TapKind.REVERSAL, amount_fen=Fen(0), credit_fen=Fen(9_999_99), refers_to=12)
PRODUCTS = tuple(
    Product(number=number, name=Name(f"番茄炒蛋 {number}", f"Tomato and egg {number}"), amount_fen=Fen(4_50))
    for number in range(1, 9)
)
BASKET = Offer(Mode.PRODUCTS, tuple(product_line(product, 2) for product in PRODUCTS[:4]))
LUNCH = MealPeriod(
    number=2,
    name=Name("午餐", "Lunch"),
    from_min=600,
    to_min=840,
    meal_fen=Fen(12_00),
    class_prices=(ClassPrice(2, Fen(15_00)),),
)
WHY = (
    "talking to the card failed: The smart card has been removed, so further communication is not possible. (80100069)"
)
RESULTS: tuple[Result, ...] = (
    Approved(RECORD, Fen(99_999_99)),
    Reversed(BACK, Fen(99_999_99)),
    Refunded(replace(BACK, kind=TapKind.REFUND), Fen(99_999_99)),
    SignedOn(RECORD),
    ProofRefused(RECORD),
    *(Refused(refusal, INTENT.card, Fen(5000), tries_left=2) for refusal in Refusal),
    NotPaid(WHY),
    NotPaid(WHY, "card-removed"),
    *(Torn(RECORD, WHY, code) for code in ("card-removed", ReaderStuck.code)),
    WrongCard(INTENT.card),
    StillThere(INTENT.card),
    Unresolved(replace(RECORD, tac=NO_TAC)),
    Unresolved(RECORD),
    Trained(None, INTENT.card, Fen(12_00), Fen(3_00), Fen(50_00)),
    Trained(Refusal.EXPIRED, INTENT.card, Fen(12_00), Fen(0), Fen(50_00)),
    CashTaken(12, Fen(9_999_99), NOON),
    ShiftOpened(12, INTENT.card, NOON, Fen(100_00)),
    ShiftReported(SHIFT),
    ShiftClosed(SHIFT, Fen(200_00), NOON),
)


def shown(**facts: object) -> Shown:
    plain = Shown(phase=Phase.AMOUNT, mode=Mode.FREE, products=PRODUCTS, period=LUNCH)
    return replace(plain, **facts)  # type: ignore[arg-type]  # each caller names fields of Shown


FREE_OFFER = Offer(Mode.FREE, (amount_line(Fen(9_999_99)),))
STATES = {
    "amount": shown(),
    "fixed": shown(mode=Mode.FIXED),
    "products": shown(mode=Mode.PRODUCTS, products=PRODUCTS[:6]),
    "no products": shown(mode=Mode.PRODUCTS, products=()),
    "meals": shown(phase=Phase.CARD, mode=Mode.MEALS, offer=meal_offer(LUNCH, 2)),
    "no meal": shown(mode=Mode.MEALS, period=None),
    "card": shown(phase=Phase.CARD, offer=FREE_OFFER),
    "basket": shown(phase=Phase.CARD, mode=Mode.PRODUCTS, offer=BASKET),
    "basket held": shown(mode=Mode.PRODUCTS, offer=BASKET, held=True),
    "card lies": shown(phase=Phase.CARD, offer=FREE_OFFER, card_lies=True),
    "working": shown(phase=Phase.CARD, offer=FREE_OFFER, working=True),
    "pin": shown(phase=Phase.PIN, errand=SigningOn(StaffRole.CASHIER)),
    "supervisor's card": shown(phase=Phase.STAFF_CARD, errand=SigningOn(StaffRole.SUPERVISOR, Refunding(7), "1234")),
    "opening": shown(phase=Phase.OPENING_CASH, errand=OpeningShift(INTENT.card, "王师傅")),
    "closing": shown(phase=Phase.COUNTED_CASH, errand=ClosingShift()),
    "undo": shown(phase=Phase.UNDO_CARD, errand=Undoing(RECORD)),
    "refund amount": shown(phase=Phase.REFUND_AMOUNT, errand=Refunding(7)),
    "refund card": shown(phase=Phase.REFUND_CARD, errand=Refunding(7, Fen(12_00))),
    "balance": shown(phase=Phase.BALANCE_CARD),
    "torn": shown(phase=Phase.SAME_CARD, torn=RECORD),
    "torn result": shown(phase=Phase.SAME_CARD, torn=RECORD, result=Torn(RECORD, WHY, "card-removed")),
    "giving up": shown(phase=Phase.SAME_CARD, torn=RECORD, giving_up=True),
    "no reader": shown(reader_fault=Trouble(ReaderMissing.code, WHY)),
    "no psam": shown(psam_fault=Trouble(PsamLost.code, WHY)),
    "mute": shown(card_silent=True),
    "fork": shown(phase=Phase.NOTHING, verdict=Trouble("FORK", WHY)),
    "other verdict": shown(phase=Phase.NOTHING, verdict=Trouble("MALFORMED", WHY)),
    "failed": shown(phase=Phase.NOTHING, failure="disk full"),
    **{f"notice {notice}": shown(notice=notice) for notice in Notice},
    **{f"result {number} {type(result).__name__}": shown(result=result) for number, result in enumerate(RESULTS)},
}


@pytest.mark.parametrize("language", Language)
@pytest.mark.parametrize("state", STATES)
def test_every_state_is_whole_at_every_size(state: str, language: Language) -> None:
    view = view_of(STATES[state], Typed(), Page.SALE, language)
    for width, height in PANELS:
        made = sheet(view, width, height)
        text = "".join(line for _, line in made.lines)
        # Shift reports have the room of the product keys.
        report = "Shift" in state and height < PANELS[0][1]
        assert report or "+" not in text
        assert made.whole, f"{width}x{height}: {text}"
        assert len(made.lines) == height
        assert ">" not in text


@pytest.mark.parametrize("language", Language)
@pytest.mark.parametrize("page", Page)
def test_pages_and_typing_are_whole(page: Page, language: Language) -> None:
    for typed in (Typed(), Typed("104"), Typed("3"), Typed("99"), Typed("1", Problem.amount_wrong)):
        for state in STATES.values():
            view = view_of(state, typed, page, language)
            for width, height in PANELS:
                assert sheet(view, width, height).whole, (width, height, view)


@pytest.mark.parametrize("language", Language)
def test_every_code_is_found_and_told_whole_in_the_help(language: Language) -> None:
    for code in CODES:
        view = view_of(shown(), Typed(str(code.number)), Page.HELP, language)
        text = " ".join(view.lines)
        assert code.advice(language).cashier in text
        assert code.advice(language).technician in text
        assert sheet(view, *PANELS[0]).whole


@pytest.mark.parametrize("result", RESULTS, ids=lambda result: str(type(result).__name__))
def test_no_result_shows_a_card_number_unmasked(result: Result) -> None:
    for language in Language:
        view = view_of(shown(result=result), Typed(), Page.SALE, language)
        assert INTENT.card.asn.hex().lstrip("0") not in repr(view)


def test_approved_refused_and_same_card_differ_in_colour_and_in_words() -> None:
    views = [
        view_of(shown(result=result), Typed(), Page.SALE, Language.ZH_HANS)
        for result in (RESULTS[0], Refused(Refusal.EXPIRED, INTENT.card, Fen(0)), Torn(RECORD, WHY, "card-removed"))
    ]
    assert [view.tone for view in views] == [Tone.GOOD, Tone.BAD, Tone.AGAIN]
    assert len({view.headline for view in views}) == len({MARKS[view.tone] for view in views}) == 3


def test_pin_is_shown_as_asterisks() -> None:
    view = view_of(STATES["pin"], Typed("1234"), Page.SALE, Language.EN)
    assert view.figure == "****"


def test_refusal_shows_the_number_to_say_on_the_phone() -> None:
    view = view_of(shown(result=Refused(Refusal.EXPIRED, INTENT.card, Fen(0))), Typed(), Page.SALE, Language.EN)
    assert WORDS[Language.EN].say_code.format(number=103) in view.lines


def test_long_table_shows_its_end_and_a_balance_its_taps() -> None:
    taps = tuple(replace(RECORD, tap_id=TapId(TERMINAL, 1, seq)) for seq in range(30, 0, -1))
    log = tuple(
        LogRecord(amount_fen=Fen(500), tti=6, terminal=TERMINAL, date="20260302", time="120000") for _ in range(10)
    )
    read = BalanceRead(
        card=INTENT.card, card_class=1, balance_fen=Fen(40_50), subsidy_left_fen=Fen(300), taps=taps, log=log
    )
    view = view_of(shown(result=read), Typed(), Page.SALE, Language.EN)
    assert view.figure == "40.50"
    lines = sheet(view, *PANELS[0]).lines
    assert any(ink is Ink.FIGURE for ink, _ in lines)
    assert all(cell_len(line) <= PANELS[0][0] for _, line in lines)


@pytest.mark.parametrize("language", Language)
def test_device_that_fails_is_a_notice_and_stops_nothing(language: Language) -> None:
    paperless = replace(FULL, devices=(DeviceNotice("printer-no-paper", "x"), DeviceNotice("voice-silent", "y")))
    for state in (shown(standing=paperless), shown(standing=paperless, result=RESULTS[0])):
        view = view_of(state, Typed(), Page.SALE, language)
        assert "501" in view.note
        assert "506" in view.note
        assert view.tone in (Tone.CALM, Tone.GOOD)
        assert all(sheet(view, *panel).whole for panel in PANELS)


def test_what_finds_no_room_is_told() -> None:
    view = View(tone=Tone.CALM, headline="x", figure="12345.00", lines=("word " * 200,))
    assert not sheet(view, 40, 10).whole
    lines = sheet(replace(view, lines=(), rows=(("a", "b"),) * 30), 40, 12).lines
    assert any(ink is Ink.DIM and line.startswith("  +") for ink, line in lines)


def test_card_that_is_mute_has_its_own_words() -> None:
    view = view_of(STATES["mute"], Typed(), Page.SALE, Language.EN)
    assert CardMute.code in " ".join(view.small)
