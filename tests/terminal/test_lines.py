"""The till as lines of JSON over pipes: every event in, every result out, and garbage."""

from __future__ import annotations

import contextlib
import json
import os
import queue
from collections.abc import Iterator
from io import StringIO
from typing import TextIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.reader import ReaderFound, ReaderLost
from terminal.basket import Mode
from terminal.events import (
    AmountEntered,
    BalancePressed,
    CancelPressed,
    CashierEvent,
    CashPressed,
    CloseShiftPressed,
    CodeScanned,
    ConfirmPressed,
    LineRemoved,
    MealsEntered,
    ModeChosen,
    PinEntered,
    ProductPressed,
    RefundPressed,
    TillEvent,
    TrainingPressed,
    UndoPressed,
    XReportPressed,
)
from terminal.lines import JsonScreen, LineUnreadable, read_line, result_line
from terminal.program import Redraw, Stop
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
from terminal.standing import Standing
from terminal.till import Till
from terminal.totals import ShiftTotals
from tests.terminal.conftest import INTENT, NOON, TERMINAL, World
from wire.money import AmountUnreadable, Fen
from wire.record import Mac2, Refusal

PATIENCE_S = 10.0
STANDING = Standing(terminal=TERMINAL.hex(), at=NOON, sealed=0, unsent=0, unsent_fen=0)


@pytest.fixture
def pipe() -> Iterator[tuple[TextIO, TextIO]]:
    """The two ends of a pipe: for the screen, for the test."""
    reading, writing = os.pipe()
    with open(reading) as out, open(writing, "w") as into:
        yield out, into


def sent(out: StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in out.getvalue().splitlines()]


def test_lines_become_events_and_their_end_stops_the_till(pipe: tuple[TextIO, TextIO]) -> None:
    events: queue.SimpleQueue[TillEvent | Redraw | Stop] = queue.SimpleQueue()
    out = StringIO()
    JsonScreen(events, pipe[0], out)
    pipe[1].write("12.50\n  3 \ncancel\nfree\n0\n\n")
    pipe[1].close()
    got = [events.get(timeout=PATIENCE_S) for _ in range(4)]
    assert got == [AmountEntered(Fen(1250)), AmountEntered(Fen(300)), CancelPressed(), Stop()]
    assert [line["event"] for line in sent(out)] == ["unreadable"] * 3


def test_waiting_is_told_when_it_changes(pipe: tuple[TextIO, TextIO]) -> None:
    out, till = StringIO(), Till(None)
    screen = JsonScreen(queue.SimpleQueue(), pipe[0], out)
    for event in (ReaderFound(), ReaderFound(), AmountEntered(Fen(5)), ReaderLost("gone", "reader-missing")):
        till.handle(event)
        screen.show(till, STANDING)
    assert [(line["for"], line["fault"]) for line in sent(out)] == [
        ("amount", None),
        ("card", None),
        ("card", "gone [reader-missing]"),
    ]
    assert sent(out)[1] == {
        "event": "waiting",
        "for": "card",
        "fault": None,
        "mode": "free",
        "offer": {"prices_fen": [5], "lines": [{"number": 0, "count": 1, "each_fen": 5}]},
        "notice": None,
        "training": False,
        "shift": False,
        "configuration": 0,
    }


def test_results_carry_their_facts_and_no_card_number(pipe: tuple[TextIO, TextIO], world: World) -> None:
    out = StringIO()
    screen = JsonScreen(queue.SimpleQueue(), pipe[0], out)
    record = world.journal.seal_tap(world.journal.open_tap(INTENT), tac=b"TAC!", mac2=Mac2.VERIFIED)
    screen.ended(Approved(record, Fen(3800)), 12.34567)
    screen.ended(Refused(Refusal.EXPIRED, INTENT.card, Fen(5000)), 3)
    approved, refused = sent(out)
    assert (approved["kind"], approved["seq"], approved["amount_fen"], approved["balance_fen"], approved["ms"]) == (
        "Approved",
        1,
        1200,
        3800,
        12.346,
    )
    assert (refused["kind"], refused["refusal"]) == ("Refused", "EXPIRED")
    assert INTENT.card.asn.hex().lstrip("0") not in out.getvalue()


EVENTS: list[tuple[str, CashierEvent]] = [
    ('{"do": "amount", "fen": 0}', AmountEntered(Fen(0))),
    ('{"do": "balance"}', BalancePressed()),
    ('{"do": "cancel"}', CancelPressed()),
    ('{"do": "cash"}', CashPressed()),
    ('{"do": "close-shift"}', CloseShiftPressed()),
    ('{"do": "confirm"}', ConfirmPressed()),
    ('{"do": "meals", "count": 3}', MealsEntered(3)),
    ('{"do": "mode", "mode": "fixed"}', ModeChosen(Mode.FIXED)),
    ('{"do": "pin", "digits": "1234"}', PinEntered("1234")),
    ('{"do": "product", "number": 7}', ProductPressed(7)),
    ('{"do": "product", "number": 7, "count": 2}', ProductPressed(7, 2)),
    ('{"do": "refund"}', RefundPressed()),
    ('{"do": "refund", "seq": 12}', RefundPressed(12)),
    ('{"do": "remove", "number": 7}', LineRemoved(7)),
    ('{"do": "scan", "code": "6901234567892"}', CodeScanned("6901234567892")),
    ('{"do": "training"}', TrainingPressed()),
    ('{"do": "undo"}', UndoPressed()),
    ('{"do": "x-report"}', XReportPressed()),
]


@pytest.mark.parametrize(("line", "event"), EVENTS)
def test_every_key_has_a_line(line: str, event: CashierEvent) -> None:
    assert read_line(line) == event


def test_no_line_is_forgotten() -> None:
    kinds = {type(event) for _, event in EVENTS}
    assert {kind.__name__ for kind in CashierEvent.__args__} - {kind.__name__ for kind in kinds} == {"AmountBegun"}


@pytest.mark.parametrize(
    "line",
    [
        "{",
        "{}",
        '{"do": 7}',
        '{"do": "dance"}',
        '{"do": "cash", "fen": 1}',
        '{"do": "amount"}',
        '{"do": "amount", "fen": 1.5}',
        '{"do": "amount", "fen": true}',
        '{"do": "amount", "fen": -1}',
        '{"do": "amount", "fen": 4294967296}',
        '{"do": "meals", "count": 0}',
        '{"do": "product", "number": 7, "count": 100}',
        '{"do": "mode", "mode": "FREE"}',
        '{"do": "scan", "code": ""}',
    ],
)
def test_line_that_means_nothing_says_so(line: str) -> None:
    with pytest.raises(LineUnreadable):
        read_line(line)


@given(
    st.one_of(
        st.text(),
        st.recursive(
            st.none() | st.integers() | st.text(),
            lambda inner: st.dictionaries(
                st.sampled_from(["do", "fen", "count", "number", "code", "digits", "seq", "mode", "x"]), inner
            ),
        ).map(json.dumps),
    )
)
def test_garbage_is_an_event_or_a_typed_error(line: str) -> None:
    with contextlib.suppress(LineUnreadable, AmountUnreadable):
        read_line(line)


def test_every_result_is_a_line_without_card_number_or_pin(world: World) -> None:
    record = world.journal.seal_tap(world.journal.open_tap(INTENT), tac=b"TAC!", mac2=Mac2.VERIFIED)
    totals = ShiftTotals(number=1, cashier=INTENT.card, opened_at=NOON, opening_cash_fen=Fen(100)).with_tap(record)
    results: list[Result] = [
        Approved(record, Fen(1)),
        Reversed(record, Fen(1)),
        Refunded(record, Fen(1)),
        SignedOn(record),
        ProofRefused(record),
        Refused(Refusal.PIN_WRONG, INTENT.card, Fen(0), 2),
        NotPaid("why", "card-mute"),
        Torn(record, "why", "card-removed"),
        WrongCard(INTENT.card),
        StillThere(INTENT.card),
        Unresolved(record),
        BalanceRead(
            card=INTENT.card, card_class=2, balance_fen=Fen(5), subsidy_left_fen=Fen(0), taps=(record,), log=()
        ),
        Trained(Refusal.EXPIRED, INTENT.card, Fen(1), Fen(2), Fen(3)),
        CashTaken(1, Fen(500), NOON),
        ShiftOpened(1, INTENT.card, NOON, Fen(0)),
        ShiftReported(totals.with_cash(Fen(500))),
        ShiftClosed(totals, Fen(600), NOON),
    ]
    assert {type(result).__name__ for result in results} == {kind.__name__ for kind in Result.__args__}
    lines = [result_line(result, 1.0) for result in results]
    said = json.dumps(lines)
    assert INTENT.card.asn.hex().lstrip("0") not in said
    assert [line["kind"] for line in lines] == [type(result).__name__ for result in results]
    by_kind = {str(line["kind"]): line for line in lines}
    assert by_kind["Refused"]["tries_left"] == 2
    assert by_kind["ShiftReported"]["expected_cash_fen"] == 600
    assert by_kind["ShiftReported"]["taps"] == [
        {"kind": "SALE", "outcome": "DEBITED", "count": 1, "amount_fen": 1200, "subsidy_fen": 0, "credit_fen": 0}
    ]
