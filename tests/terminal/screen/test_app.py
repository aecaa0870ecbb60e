"""The app under Textual's pilot: number pad alone, touch alone, scanner, languages, sizes; and nothing is lost."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import replace

import pytest
from textual.widgets import Static

from terminal.basket import Mode
from terminal.events import AmountEntered, BalancePressed, CancelPressed, CodeScanned, Phase, ProductPressed
from terminal.result import Approved, Refused
from terminal.screen.app import Key, Panel
from terminal.screen.entry import Page
from terminal.words import WORDS
from terminal.words.catalogue import Language
from tests.terminal.conftest import INTENT
from tests.terminal.screen.conftest import IDLE, in_loop, rig
from tests.terminal.screen.test_bars import FULL
from tests.terminal.screen.test_panel import FREE_OFFER, PRODUCTS, RECORD, STATES
from wire.money import Fen
from wire.record import Refusal

SIZES = ((80, 24), (100, 30), (120, 40))
ZH = WORDS[Language.ZH_HANS]


@in_loop
async def test_sale_is_keyed_in_on_the_number_pad_alone() -> None:
    async with rig() as till:
        await till.pilot.press("1", "2", "full_stop", "5", "enter")
        await till.until(lambda: till.events == [AmountEntered(Fen(1250))])
        await till.pilot.press("minus")
        await till.until(lambda: till.events[-1] == CancelPressed())


@in_loop
async def test_half_typed_amount_stands_in_big_digits() -> None:
    async with rig() as till:
        before = till.text.count("█")
        await till.pilot.press("8", "8")
        await till.until(lambda: till.text.count("█") != before)
        assert till.events == []


@in_loop
async def test_sale_is_keyed_in_by_touch_alone() -> None:
    async with rig((100, 30)) as till:
        for meaning in ("1", ".", "5", "backspace", "7", "enter"):
            await till.touch(meaning)
        await till.until(lambda: till.events == [AmountEntered(Fen(170))])
        await till.touch("/")
        assert till.app.entry.page is Page.MENU
        await till.touch("1")
        await till.until(lambda: till.events[-1] == BalancePressed())


@in_loop
async def test_products_are_touched() -> None:
    many = tuple(replace(PRODUCTS[0], number=number) for number in range(1, 20))
    async with rig((120, 40)) as till:
        await till.take(replace(IDLE, mode=Mode.PRODUCTS, products=many))
        await till.until(lambda: bool(till.app.query("#products Key")))
        await till.touch("product 2")
        await till.until(lambda: till.events == [ProductPressed(2)])
        await till.touch("more")
        shown_before = {key.meaning for key in till.app.query("#products Key").results(Key)}
        assert "product 2" not in shown_before


@in_loop
async def test_scanner_types_a_code() -> None:
    async with rig() as till:
        till.burst("6901234567892")
        await till.until(lambda: till.events == [CodeScanned("6901234567892")])


@in_loop
async def test_language_changes_at_once_by_key_and_by_touch() -> None:
    async with rig() as till:
        assert ZH.type_amount in till.text
        await till.pilot.press("f2")
        await till.until(lambda: WORDS[Language.EN].type_amount in till.text)
        await till.touch("menu 8")
        await till.until(lambda: ZH.type_amount in till.text)


@in_loop
async def test_help_answers_to_a_number() -> None:
    async with rig() as till:
        await till.pilot.press("slash", "0", "1", "0", "4")
        await till.until(lambda: "INSUFFICIENT_BALANCE" in till.text)


@in_loop
async def test_keys_pressed_before_a_result_could_be_seen_are_forgotten() -> None:
    async with rig() as till:
        await till.pilot.press("9", "9")
        till.app.finish()
        await till.take(replace(IDLE, result=Approved(RECORD, Fen(100))))
        await till.pilot.press("enter")
        await till.pilot.pause(0.1)
        assert till.events == []
        assert ZH.approved in till.text


@in_loop
async def test_bell_rings_at_a_result_where_nothing_else_makes_a_sound(monkeypatch: pytest.MonkeyPatch) -> None:
    async with rig(rings=True) as till:
        rung: list[bool] = []
        monkeypatch.setattr(till.app, "bell", lambda: rung.append(True))
        till.app.finish()
        await till.until(lambda: rung == [True])


@pytest.mark.parametrize("language", Language)
@pytest.mark.parametrize("size", SIZES)
@in_loop
async def test_no_bar_or_key_is_cut_at_any_size(size: tuple[int, int], language: Language) -> None:
    async with rig(size) as till:
        if language is Language.EN:
            await till.pilot.press("f2")
        for state in (IDLE, replace(IDLE, training=True, phase=Phase.CARD, offer=FREE_OFFER)):
            await till.take(state)
            text = till.text
            for name in ("head", "upper", "lower", "legend"):
                assert str(till.app.query_one(f"#{name}", Static).content).strip() in text
            for key in till.app.query("#right Key").results(Key):
                for line in str(key.content).splitlines():
                    assert line in text
            assert (WORDS[language].training in text) is state.training


@in_loop
async def test_small_terminal_leaves_the_keypad_to_the_keyboard() -> None:
    async with rig((80, 17)) as till:
        assert not till.app.query_one("#right").display
        assert till.app.query_one(Panel).size.width == 80


@in_loop
async def test_states_are_drawn_one_after_the_other() -> None:
    async with rig() as till:
        for state in list(STATES.values())[::5]:
            await till.take(replace(state, standing=FULL))


@in_loop
async def test_no_key_is_lost_and_the_last_state_is_shown_while_the_till_redraws_under_load() -> None:
    """A thread hands over a thousand states a second; keys are pressed meanwhile."""
    async with rig() as till:
        stop = threading.Event()
        count = 0

        def load() -> None:
            nonlocal count
            while not stop.wait(0.001):
                count += 1
                till.app.take(replace(IDLE, result=Refused(Refusal.EXPIRED, INTENT.card, Fen(count))))

        thread = threading.Thread(target=load)
        thread.start()
        try:
            for _ in range(5):
                till.burst("7")
                await till.pilot.pause(0.01)
            await till.until(lambda: count > 100)
        finally:
            stop.set()
            await asyncio.to_thread(thread.join)
        await till.until(lambda: till.events == [AmountEntered(Fen(700))] * 5)
        till.app.take(replace(IDLE, result=Approved(RECORD, Fen(100))))
        await till.until(lambda: ZH.approved in till.text)
