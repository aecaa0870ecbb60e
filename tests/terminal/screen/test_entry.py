"""Keys of a number pad, of the screen and of a scanner, and what they mean to the till."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from terminal.basket import Mode, Offer, amount_line
from terminal.events import (
    AmountBegun,
    AmountEntered,
    BalancePressed,
    CancelPressed,
    CashPressed,
    CloseShiftPressed,
    CodeScanned,
    ConfirmPressed,
    LineRemoved,
    MealsEntered,
    ModeChosen,
    Phase,
    PinEntered,
    ProductPressed,
    RefundPressed,
    TrainingPressed,
    UndoPressed,
    XReportPressed,
)
from terminal.screen.entry import (
    BACKSPACE,
    BURST_GAP_S,
    DEAF_S,
    ENTER,
    ESCAPE,
    Act,
    Entry,
    Page,
    Problem,
    ReceiptWanted,
    Wish,
)
from terminal.screen.shown import Shown
from wire.money import Fen

FREE = Shown(phase=Phase.AMOUNT, mode=Mode.FREE)
PRODUCTS = Shown(phase=Phase.AMOUNT, mode=Mode.PRODUCTS)
MEALS = Shown(phase=Phase.CARD, mode=Mode.MEALS)
PIN = Shown(phase=Phase.PIN, mode=Mode.FREE)
DRAWER = Shown(phase=Phase.OPENING_CASH, mode=Mode.FREE)
NAMES = {"\n": ENTER, "\b": BACKSPACE, "\x1b": ESCAPE}


def keyed(keys: str, shown: Shown = FREE, entry: Entry | None = None) -> list[Act]:
    """What these keys come to, each pressed by itself, without what only says that typing began."""
    entry = entry or Entry()
    acts = [act for key in keys for act in entry.press(NAMES.get(key, key), shown)]
    return [act for act in acts if not isinstance(act, AmountBegun)]


@pytest.mark.parametrize(
    ("keys", "fen"),
    [
        ("12\n", 1200),
        ("12.5\n", 1250),
        ("12.50\n", 1250),
        ("12,50\n", 1250),
        (".5\n", 50),
        ("12.\n", 1200),
        ("5.5+3\n", 850),
        ("3*4.5\n", 1350),
        ("2*4+1.5+\n", 950),
        ("129\b\b0.5\n", 1050),
        ("9-12\n", 1200),
        ("9\x1b12\n", 1200),
    ],
)
def test_amounts_sums_and_multiples_are_typed_as_on_any_number_pad(keys: str, fen: int) -> None:
    assert keyed(keys) == [AmountEntered(Fen(fen))]


@pytest.mark.parametrize(
    ("keys", "problem"),
    [
        ("0\n", Problem.amount_zero),
        ("1.234\n", Problem.amount_wrong),
        ("1..2\n", Problem.amount_wrong),
        ("1*2*3\n", Problem.amount_wrong),
        ("99999999+1\n", Problem.amount_wrong),
    ],
)
def test_what_is_no_amount_is_told_and_forgotten(keys: str, problem: Problem) -> None:
    entry = Entry()
    assert keyed(keys, entry=entry) == []
    assert (entry.typed.problem, entry.typed.text) == (problem, "")
    entry.press("1", FREE)
    assert entry.typed.problem is None


def test_first_key_of_an_amount_says_that_it_began() -> None:
    entry = Entry()
    assert [entry.press(key, FREE) for key in "12"] == [[AmountBegun()], []]


def test_drawer_may_hold_nothing() -> None:
    assert keyed("0\n", DRAWER) == [AmountEntered(Fen(0))]


@pytest.mark.parametrize(
    ("keys", "acts"),
    [
        ("12\n", [ProductPressed(12)]),
        ("3*12\n", [ProductPressed(12, 3)]),
        ("3*12+7\n", [ProductPressed(12, 3), ProductPressed(7)]),
        ("4.50\n", [AmountEntered(Fen(450))]),
        ("0*7\n", []),
        ("1*2*3\n", []),
        ("\n", []),
    ],
)
def test_products_are_numbers_and_their_counts(keys: str, acts: list[Act]) -> None:
    assert keyed(keys, PRODUCTS) == acts


def test_backspace_takes_the_last_line_out_of_the_basket() -> None:
    basket = Shown(phase=Phase.CARD, mode=Mode.PRODUCTS, offer=Offer(Mode.PRODUCTS, (amount_line(Fen(5)),)))
    assert keyed("1\b\b", basket) == [LineRemoved(0)]
    assert keyed("\b", FREE) == []


@pytest.mark.parametrize(("keys", "acts"), [("\n", [MealsEntered(1)]), ("2\n", [MealsEntered(2)]), ("0\n", [])])
def test_meals_are_counted(keys: str, acts: list[Act]) -> None:
    assert keyed(keys, MEALS) == acts


def test_pin_is_digits_alone_and_given_at_once() -> None:
    assert keyed("12+3*4.\n", PIN) == [PinEntered("1234")]
    assert keyed("12-34\n", PIN) == [PinEntered("34")]
    assert keyed("\n", PIN) == []


def test_enter_alone_confirms_what_waits_for_a_word() -> None:
    doubted = Shown(phase=Phase.CARD, mode=Mode.FREE, doubted=True)
    assert keyed("\n", doubted) == [ConfirmPressed()]
    assert keyed("\n", FREE) == []


def test_cancel_clears_what_was_typed_and_then_what_is_asked() -> None:
    assert keyed("12--") == [CancelPressed()]


@pytest.mark.parametrize(
    ("digit", "act"),
    [
        ("1", BalancePressed()),
        ("2", UndoPressed()),
        ("4", CashPressed()),
        ("5", XReportPressed()),
        ("6", CloseShiftPressed()),
        ("8", Wish.OTHER_LANGUAGE),
        ("9", TrainingPressed()),
    ],
)
def test_menu_is_a_digit_away(digit: str, act: Act) -> None:
    assert keyed(f"/{digit}") == [act]
    assert Entry().shortcut(digit) == [act]


def test_menu_is_left_by_any_other_key() -> None:
    entry = Entry()
    assert keyed("/-", entry=entry) == []
    assert entry.page is Page.SALE


@pytest.mark.parametrize(
    ("digit", "mode"), [("1", Mode.FREE), ("2", Mode.FIXED), ("3", Mode.PRODUCTS), ("4", Mode.MEALS)]
)
def test_way_of_selling_is_chosen_in_the_menu(digit: str, mode: Mode) -> None:
    assert keyed(f"/7{digit}") == [ModeChosen(mode)]


def test_refund_asks_for_the_receipts_number_first() -> None:
    assert keyed("/3128\n") == [RefundPressed(128)]
    assert keyed("/3\n") == [RefundPressed(0)]
    entry = Entry()
    assert keyed("/312-", entry=entry) == []
    assert entry.page is Page.SALE


def test_receipt_is_asked_for_by_its_number_or_as_the_last() -> None:
    assert keyed("/.128\n") == [ReceiptWanted(128)]
    assert keyed("/.\n") == [ReceiptWanted(0)]


def test_help_takes_three_digits_and_gives_no_event() -> None:
    entry = Entry()
    assert keyed("/01045\b", entry=entry) == []
    assert (entry.page, entry.typed.text) == (Page.HELP, "10")


def test_product_key_takes_what_was_typed_as_its_count() -> None:
    entry = Entry()
    assert entry.product(3) == [ProductPressed(3)]
    keyed("4*", PRODUCTS, entry)
    assert entry.product(3) == [ProductPressed(3, 4)]
    keyed("1.5", FREE, entry)
    assert entry.product(3) == []
    assert entry.typed.problem is Problem.count_wrong


def typed_fast(keys: str, gap_s: float, shown: Shown = FREE) -> list[Act]:
    entry, acts = Entry(), []
    for number, key in enumerate(keys):
        acts += entry.key(NAMES.get(key, key), 100 + number * gap_s, shown)
    return [act for act in [*acts, *entry.flush(shown)] if not isinstance(act, AmountBegun)]


@pytest.mark.parametrize("code", ["6901234567892", "96385074", "https://pay/-1+2", "ABCDEFG"])
def test_burst_that_ends_with_enter_is_a_code(code: str) -> None:
    assert typed_fast(code + "\n", BURST_GAP_S / 10) == [CodeScanned(code)]


def test_number_typed_by_hand_is_an_amount_however_long() -> None:
    assert typed_fast("1234567\n", BURST_GAP_S * 2) == [AmountEntered(Fen(1234567_00))]


@pytest.mark.parametrize("text", ["12.50", "128.50", "1234.50", "99999.99"])
def test_amount_in_a_burst_is_an_amount(text: str) -> None:
    assert typed_fast(text + "\n", 0.0) == [AmountEntered(Fen(int(text.replace(".", ""))))]


def test_pin_in_a_burst_is_no_code() -> None:
    assert typed_fast("12345678\n", 0.0, PIN) == [PinEntered("12345678")]


def test_code_with_a_slash_opens_no_menu_on_its_way() -> None:
    entry = Entry()
    for number, key in enumerate("a/9999999"):
        assert entry.key(key, number / 1000, FREE) == []
    assert entry.page is Page.SALE


def test_rest_of_a_number_begun_before_a_result_is_not_heard() -> None:
    entry = Entry()
    acts: list[Act] = []
    for number, key in enumerate("12"):
        acts += entry.key(key, number * 0.1, FREE)
    acts += entry.flush(FREE)
    entry.forget()
    for number, key in enumerate([".", "5", "0", ENTER]):
        acts += entry.key(key, 0.2 + number * 0.1, FREE)
    assert acts == [AmountBegun()]
    acts = [*entry.key("7", 0.7, FREE), *entry.key(ENTER, 0.8, FREE)]
    assert acts == [AmountBegun(), AmountEntered(Fen(700))]


def test_pause_ends_what_was_begun_before_a_result() -> None:
    entry = Entry()
    entry.miss(1.0)
    assert entry.key("5", 1.1, FREE) == []
    assert [*entry.key("7", 1.1 + DEAF_S * 2, FREE), *entry.flush(FREE)] == [AmountBegun()]


@given(
    st.lists(st.sampled_from([*"0123456789.+-*/,x", ENTER, BACKSPACE, ESCAPE]), max_size=40),
    st.sampled_from(list(Mode)),
)
def test_any_keys_give_events_that_a_till_can_take(keys: list[str], mode: Mode) -> None:
    entry, shown = Entry(), Shown(phase=Phase.AMOUNT, mode=mode)
    for key in keys:
        for act in entry.press(key, shown):
            assert isinstance(act, Act)
            if isinstance(act, AmountEntered):
                assert 0 < act.amount_fen <= 0xFFFF_FFFF
        assert len(entry.typed.text) <= 15
