"""What is always in sight: whose till, the clock, link, unsent money, hotlist, shift, offline limits, keys. Pure."""

from __future__ import annotations

from typing import Final

from terminal.basket import Mode
from terminal.events import Phase
from terminal.screen.entry import Page
from terminal.screen.layout import spread
from terminal.screen.shown import Shown
from terminal.standing import Standing
from terminal.totals import ShiftTotals
from terminal.words import WORDS
from terminal.words.catalogue import Language, Words
from wire.configuration import Name, Product
from wire.money import format_fen
from wire.record import ClockQuality, Outcome, TapKind

BETWEEN: Final = " | "
ENTER_NAME, BACKSPACE_NAME = "Enter", "Backspace"  # as they stand on the keys, in any language
_SECRET_PHASES: Final = frozenset({Phase.PIN, Phase.STAFF_CARD})


def head(standing: Standing | None, outlet: Name | None, language: Language, width: int) -> str:
    """One line: outlet and terminal, and the clock with what set it."""
    words = WORDS[language]
    if standing is None:
        return spread(f" {words.till}", f"{words.starting} ", width)
    quality = {
        ClockQuality.NETWORK: words.clock_network,
        ClockQuality.BATTERY: words.clock_battery,
        ClockQuality.UNSET: words.clock_unset,
    }[standing.at.quality]
    named = outlet and (outlet.zh if language is Language.ZH_HANS else outlet.english)
    name = named or words.no_name
    clock = f"{standing.at.local():%m-%d %H:%M:%S}  {quality} "
    return spread(f" {name}  {standing.terminal}", clock, width)


def status(standing: Standing | None, language: Language) -> tuple[str, str]:
    """Two lines: the way to the server; the shift and what offline limits leave."""
    words = WORDS[language]
    if standing is None:
        return "", ""
    link = words.link_none if standing.link is None else words.link.format(name=standing.link)
    age_s = standing.receipt_age_s
    heard = words.heard_never if age_s is None else words.heard.format(ago=age(age_s, words))
    upper = [link, heard, _unsent(standing, words), _hotlist(standing, words)]
    shift = standing.shift
    cash = [words.cash.format(amount=format_fen(shift.cash_fen))] if shift is not None and shift.cash_count else []
    lower = [words.shift_none if shift is None else _shift(shift, words), *cash, _offline(standing, words)]
    if standing.configuration_version:
        lower.append(words.version.format(version=standing.configuration_version))
    return f" {BETWEEN.join(upper)}", f" {BETWEEN.join(lower)}"


def legend(shown: Shown, page: Page, language: Language) -> str:
    """One line: what each key does now."""
    words = WORDS[language]
    if page is not Page.SALE:
        ok = [(ENTER_NAME, words.key_enter_ok)] if page in (Page.REFUND_SEQ, Page.RECEIPT_SEQ) else []
        return _keys([("0-9", ""), *ok, ("-", words.key_cancel)])
    keys = [("0-9 .", ""), (ENTER_NAME, enter_word(shown, page, words))]
    if shown.phase not in _SECRET_PHASES:
        keys += [("+", words.key_plus), ("*", words.key_times)]
    keys += [("/", words.key_menu), ("-", words.key_cancel), (BACKSPACE_NAME, words.key_backspace)]
    keys.append(("F2", words.act_language))
    return _keys(keys)


def enter_word(shown: Shown, page: Page, words: Words) -> str:
    """What Enter does now."""
    if page is not Page.SALE or shown.phase not in (Phase.AMOUNT, Phase.CARD) or shown.asks_to_confirm:
        return words.key_enter_ok
    return words.key_enter_add if shown.mode is Mode.PRODUCTS else words.key_enter


def price(product: Product) -> str:
    """What stands on a product's key: the usual price, and that some classes have their own."""
    return format_fen(product.amount_fen) + ("*" if product.class_prices else "")


def age(seconds: int, words: Words) -> str:
    """How long ago, in one unit."""
    for size, unit in ((86_400, words.days), (3_600, words.hours), (60, words.minutes)):
        if seconds >= size:
            return unit.format(n=seconds // size)
    return words.seconds.format(n=seconds)


def _keys(keys: list[tuple[str, str]]) -> str:
    return " " + "  ".join(f"{key} {word}".strip() for key, word in keys)


def _unsent(standing: Standing, words: Words) -> str:
    if standing.unsent == 0:
        return words.all_sent
    return words.unsent.format(count=standing.unsent, amount=format_fen(standing.unsent_fen))


def _hotlist(standing: Standing, words: Words) -> str:
    if standing.downlink_fault is not None or standing.hotlist_version == 0:
        return words.hotlist_none
    text = words.hotlist.format(cards=standing.hotlist_cards)
    aged = standing.hotlist_age_s
    return text if aged is None else f"{text} {words.hotlist_age.format(ago=age(aged, words))}"


def _shift(shift: ShiftTotals, words: Words) -> str:
    sales = shift.of(TapKind.SALE, Outcome.DEBITED)
    amount = format_fen(sales.amount_fen + sales.subsidy_fen)
    return words.shift.format(number=shift.number, count=sales.count, amount=amount)


def _offline(standing: Standing, words: Words) -> str:
    left_s, left_fen = standing.offline_s_left, standing.offline_fen_left
    if left_s is None and left_fen is None:
        return words.offline_free
    time = "" if left_s is None else age(left_s, words)
    amount = "" if left_fen is None else format_fen(left_fen)
    return words.offline_left.format(time=time, amount=amount).replace("  ", " ").rstrip()
