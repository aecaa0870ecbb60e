"""What display, lamps and voice tell."""

from __future__ import annotations

import pytest

from drivers.display import DISPLAY_COLUMNS
from drivers.signals import Signal
from terminal.events import AmountEntered
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
    SignedOn,
    StillThere,
    Torn,
    Trained,
    Unresolved,
    WrongCard,
)
from terminal.telling import IDLE, sentence_of, shown_of, signal_of
from terminal.till import Till
from terminal.words.catalogue import Language
from tests.terminal.conftest import NOON
from tests.terminal.test_receipts import CARD, SALE
from wire.money import Fen
from wire.record import Refusal

RESULTS: dict[Result, Signal | None] = {
    Approved(SALE, Fen(41_50)): Signal.APPROVED,
    Reversed(SALE, Fen(0)): Signal.APPROVED,
    Refunded(SALE, Fen(0)): Signal.APPROVED,
    SignedOn(SALE): Signal.APPROVED,
    CashTaken(1, Fen(5), NOON): Signal.APPROVED,
    Trained(None, CARD, Fen(1), Fen(0), Fen(0)): None,
    Trained(Refusal.EXPIRED, CARD, Fen(1), Fen(0), Fen(0)): None,
    Refused(Refusal.HOTLISTED, CARD, Fen(0)): Signal.REFUSED,
    ProofRefused(SALE): Signal.REFUSED,
    Unresolved(SALE): Signal.REFUSED,
    NotPaid("left"): Signal.SAME_CARD,
    Torn(SALE, "left", "card-removed"): Signal.SAME_CARD,
    WrongCard(CARD): Signal.SAME_CARD,
    StillThere(CARD): Signal.SAME_CARD,
    BalanceRead(card=CARD, card_class=0, balance_fen=Fen(5), subsidy_left_fen=Fen(0), taps=(), log=()): None,
}


@pytest.mark.parametrize(("result", "signal"), RESULTS.items())
def test_every_result_has_its_signal_and_fits_the_display(result: Result, signal: Signal | None) -> None:
    assert signal_of(result) is signal
    till = Till(None)
    till.result = result
    assert all(len(line) <= DISPLAY_COLUMNS and line.isascii() for line in shown_of(till))


def test_customer_sees_price_then_what_was_paid_and_what_is_left() -> None:
    till = Till(None)
    assert shown_of(till) == IDLE
    till.handle(AmountEntered(Fen(12_50)))
    assert shown_of(till) == ("TO PAY         12.50", "CARD PLEASE")
    till.result = Approved(SALE, Fen(41_50))
    assert shown_of(till) == ("PAID            8.50", "LEFT           41.50")


def test_amount_is_said_in_both_languages() -> None:
    assert sentence_of(Approved(SALE, Fen(41_50)), Language.ZH_HANS) == "已收八元五角，余额四十一元五角"
    assert sentence_of(Approved(SALE, Fen(41_50)), Language.EN) == (
        "Paid eight yuan, five jiao, Left forty-one yuan, five jiao"
    )


@pytest.mark.parametrize("language", Language)
def test_refusals_and_torn_cards_are_said_in_words(language: Language) -> None:
    for refusal in Refusal:
        assert sentence_of(Refused(refusal, CARD, Fen(0)), language)
    assert sentence_of(Torn(SALE, "left", "card-removed"), language)
    assert sentence_of(NotPaid("left"), language) is None
