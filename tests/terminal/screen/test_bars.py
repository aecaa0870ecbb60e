"""The bars: all that a cashier has to have in sight, in 80 cells and both languages."""

from __future__ import annotations

from dataclasses import replace

import pytest
from rich.cells import cell_len

from terminal.basket import Mode
from terminal.events import Phase
from terminal.screen import bars
from terminal.screen.entry import Page
from terminal.screen.shown import Shown
from terminal.standing import Standing
from terminal.totals import ShiftTotals
from terminal.words import WORDS
from terminal.words.catalogue import Language
from tests.terminal.conftest import INTENT, NOON, TERMINAL
from wire.configuration import Name
from wire.money import Fen
from wire.record import ClockQuality, Outcome, TapKind
from wire.shift import Sum

SHIFT = ShiftTotals(
    number=1234,
    cashier=INTENT.card,
    opened_at=NOON,
    opening_cash_fen=Fen(100_00),
    cash_count=12,
    cash_fen=123_45,
    taps={(TapKind.SALE, Outcome.DEBITED): Sum(1_500, 18_000_00, 500_00, 0)},
)
OUTLET = Name("第一食堂二楼西窗口", "Canteen 1, upstairs, west")
FULL = Standing(
    terminal=TERMINAL.hex(),
    at=NOON,
    sealed=12_345,
    unsent=345,
    unsent_fen=Fen(4_567_89),
    receipt_age_s=59 * 60,
    hotlist_version=12,
    hotlist_cards=317,
    hotlist_age_s=23 * 3600,
    configuration_version=123,
    link="4g",
    offline_s_left=11 * 3600,
    offline_fen_left=Fen(9_876_54),
    shift=SHIFT,
)


@pytest.mark.parametrize("language", Language)
def test_everything_fits_80_cells_on_a_bad_day(language: Language) -> None:
    lines = [bars.head(FULL, OUTLET, language, 80), *bars.status(FULL, language)]
    lines += [bars.legend(Shown(phase=phase, mode=mode), Page.SALE, language) for phase in Phase for mode in Mode]
    lines += [bars.legend(Shown(phase=Phase.AMOUNT, mode=Mode.FREE), page, language) for page in Page]
    assert [line for line in lines if cell_len(line) > 80] == []


@pytest.mark.parametrize("language", Language)
def test_status_says_all_that_has_to_be_in_sight(language: Language) -> None:
    text = " ".join((bars.head(FULL, OUTLET, language, 80), *bars.status(FULL, language)))
    words = WORDS[language]
    for fact in (
        "345",
        "4567.89",
        "317",
        "1500",
        "18500.00",
        "123.45",
        "9876.54",
        words.clock_network,
        "4g",
        "12:00:00",
    ):
        assert fact in text
    bare = Standing(
        terminal=TERMINAL.hex(), at=replace(NOON, quality=ClockQuality.UNSET), sealed=0, unsent=0, unsent_fen=Fen(0)
    )
    text = " ".join((bars.head(bare, None, language, 80), *bars.status(bare, language)))
    for fact in ("clock_unset", "link_none", "heard_never", "all_sent", "hotlist_none", "shift_none", "offline_free"):
        assert getattr(words, fact) in text


def test_nothing_known_yet_is_no_fault() -> None:
    assert bars.status(None, Language.EN) == ("", "")
    assert WORDS[Language.EN].starting in bars.head(None, None, Language.EN, 80)


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0 s"), (59, "59 s"), (60, "1 min"), (7_200, "2 h"), (90_000, "1 d")]
)
def test_ages_have_one_unit(seconds: int, text: str) -> None:
    assert bars.age(seconds, WORDS[Language.EN]) == text
