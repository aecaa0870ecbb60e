"""What a card's later counters prove, against a card that knows the truth."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from settlement.ledger.counters import (
    Awaited,
    Decision,
    Executed,
    Later,
    Line,
    NotExecuted,
    UnknownTap,
    Waiting,
    decide,
)

OUTAGE_S = 100
NOW = 1_000
A, B = (b"\1", 1), (b"\2", 1)


def unknown(item: int = 1, journal: tuple[bytes, int] = A, *, claimed: bool = False) -> UnknownTap:
    return UnknownTap(item=item, journal=journal, seq=item, claimed=claimed)


def decided(*taps: UnknownTap, same: int | None = None, since: int | None = None, contested: bool = False) -> Decision:
    later = None if since is None else Later(9, since)
    return decide(taps, Line(same=same, later=later, contested=contested), now_utc_s=NOW, outage_s=OUTAGE_S)


def test_purchase_with_the_same_count_proves_that_none_of_the_taps_took_money() -> None:
    assert decided(unknown(1), unknown(2, B), same=7, since=0, contested=True) == NotExecuted(7)


def test_tap_waits_for_the_card_then_for_other_terminals_and_is_then_executed() -> None:
    assert decided(unknown()) == Waiting(Awaited.NEXT_USE)
    assert decided(unknown(), since=NOW - OUTAGE_S + 1) == Waiting(Awaited.OTHER_TERMINALS, NOW + 1)
    assert decided(unknown(), since=NOW - OUTAGE_S) == Executed(1, 9)


def test_of_several_in_one_journal_the_last_was_executed() -> None:
    assert decided(unknown(2), unknown(3), unknown(1), since=0) == Executed(3, 9)


@pytest.mark.parametrize(
    ("taps", "contested"),
    [
        ((unknown(1, A), unknown(2, B)), False),
        ((unknown(1, claimed=True),), False),
        ((unknown(1),), True),
    ],
)
def test_what_counters_cannot_tell_is_a_persons(taps: tuple[UnknownTap, ...], contested: bool) -> None:
    assert decided(*taps, since=0, contested=contested) == Waiting(Awaited.PERSON)


def test_tap_that_is_booked_otherwise_already_is_a_persons_whoever_has_its_count() -> None:
    assert decided(unknown(1, claimed=True), same=7) == Waiting(Awaited.PERSON)


@dataclass(frozen=True)
class Tap:
    """One tap as it really was; `received` is when the server has it, at the latest an outage after it happened."""

    item: int
    journal: tuple[bytes, int]
    counter: int
    seen: bool
    executed: bool
    received: int


@st.composite
def histories(draw: st.DrawFn) -> list[Tap]:
    """What a card did at three terminals: seen debits, and unknown taps that took money or did not."""
    taps: list[Tap] = []
    counter = 0
    clock = 0
    for item in range(draw(st.integers(1, 12))):
        clock += draw(st.integers(0, 80))
        journal = (bytes((draw(st.integers(1, 3)),)), 1)
        seen = draw(st.booleans())
        executed = seen or draw(st.booleans())
        taps.append(Tap(item, journal, counter, seen, executed, clock + draw(st.integers(0, OUTAGE_S))))
        counter += executed
    return taps


@given(history=histories(), moments=st.lists(st.integers(0, 1_500), max_size=15))
def test_whenever_it_is_asked_the_decision_is_the_truth_and_in_the_end_only_rivals_are_left(
    history: list[Tap], moments: list[int]
) -> None:
    settled: dict[int, bool] = {}
    for now in [*sorted(moments), 2_000, 2_001]:
        here = [tap for tap in history if tap.received <= now]
        for counter in {tap.counter for tap in here}:
            waiting = [tap for tap in here if tap.counter == counter and not tap.seen and tap.item not in settled]
            if waiting:
                decision = decide(
                    [UnknownTap(item=tap.item, journal=tap.journal, seq=tap.item) for tap in waiting],
                    line_of(here, counter, settled),
                    now_utc_s=now,
                    outage_s=OUTAGE_S,
                )
                if isinstance(decision, NotExecuted):
                    settled |= dict.fromkeys((tap.item for tap in waiting), False)
                elif isinstance(decision, Executed):
                    settled[decision.item] = True
    assert settled == {item: history[item].executed for item in settled}
    last_seen = max((tap.counter for tap in history if tap.seen), default=-1)
    for tap in history:
        journals = {other.journal for other in history if other.counter == tap.counter and not other.seen}
        if not tap.seen and tap.item not in settled:
            assert tap.counter > last_seen or len(journals) > 1


def line_of(here: list[Tap], counter: int, settled: dict[int, bool]) -> Line:
    """The books as they would be: seen debits and what was settled as executed; only the former prove anything."""
    same = [tap.item for tap in here if tap.counter == counter and (tap.seen or settled.get(tap.item))]
    later = [tap for tap in here if tap.counter > counter and tap.seen]
    first = min(later, key=lambda tap: tap.counter, default=None)
    return Line(same=same[0] if same else None, later=None if first is None else Later(first.item, first.received))
