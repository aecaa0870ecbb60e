"""What a card's later counters prove, against a card that knows the truth."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from settlement.ledger.counters import (
    Awaited,
    Decision,
    Executed,
    Held,
    Later,
    Line,
    Load,
    NotExecuted,
    UnknownTap,
    Waiting,
    decide,
)

OUTAGE_S = 100
NOW = 1_000
A, B = (b"\1", 1), (b"\2", 1)
BEFORE, AFTER = Held(5_000, 400, b"\7"), Held(4_500, 600, b"\7")
HONEST = UnknownTap(item=1, journal=A, seq=1, amount_fen=500, balance_fen=5_000, at_utc_s=500)
LINE = Line(counter=3, same=None, later=Later(9, 0, 4, AFTER), before=BEFORE)


def unknown(item: int = 1, journal: tuple[bytes, int] = A, *, claimed: bool = False) -> UnknownTap:
    return replace(HONEST, item=item, journal=journal, seq=item, claimed=claimed)


def judged(tap: UnknownTap, line: Line, *, complete: bool = True) -> Decision:
    return decide([tap], line, now_utc_s=NOW, outage_s=OUTAGE_S, complete=complete)


def decided(*taps: UnknownTap, same: int | None = None, since: int | None = None, contested: bool = False) -> Decision:
    later = None if since is None else Later(9, since, 4, AFTER)
    line = replace(LINE, same=same, later=later, contested=contested)
    return decide(taps, line, now_utc_s=NOW, outage_s=OUTAGE_S, complete=True)


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


def test_nothing_is_executed_while_terminals_are_known_to_have_taps_that_are_not_here() -> None:
    assert judged(HONEST, LINE, complete=False) == Waiting(Awaited.MISSING_TAPS)
    assert judged(HONEST, replace(LINE, same=7), complete=False) == NotExecuted(7)


@pytest.mark.parametrize(
    ("amount_fen", "balance_fen"),
    [(100_000, 5_000), (499, 5_000), (0, 5_000), (100_000, 104_500), (500, 5_001)],
)
def test_amount_that_does_not_fit_the_balances_is_a_persons_though_the_till_made_its_own_fit(
    amount_fen: int, balance_fen: int
) -> None:
    tap = replace(HONEST, amount_fen=amount_fen, balance_fen=balance_fen)
    assert judged(tap, LINE) == Waiting(Awaited.PERSON_AMOUNT)


@pytest.mark.parametrize(
    ("tap", "line"),
    [
        (HONEST, replace(LINE, later=Later(9, 0, 5, AFTER))),  # a gap
        (HONEST, replace(LINE, later=Later(9, 0, 4, None))),  # booked before balances were kept
        (HONEST, replace(LINE, before=None)),
        (replace(HONEST, balance_fen=None), LINE),
        (HONEST, replace(LINE, later=Later(9, 0, 4, replace(AFTER, terminal=A[0])))),  # its own word
        (HONEST, replace(LINE, before=replace(BEFORE, terminal=A[0]))),
    ],
)
def test_balance_that_cannot_be_followed_on_others_word_is_a_persons(tap: UnknownTap, line: Line) -> None:
    assert judged(tap, line) == Waiting(Awaited.PERSON_BALANCE)


def test_purse_taken_over_at_this_very_count_tells_the_balance_before() -> None:
    assert judged(HONEST, replace(LINE, before=replace(BEFORE, terminal=None))) == Executed(1, 9)


def test_loads_in_between_are_part_of_the_sum_and_a_false_time_does_not_bend_it() -> None:
    between = replace(LINE, later=Later(9, 0, 4, replace(AFTER, fen=7_500)), loads=(Load(1_000, 450), Load(2_000, 550)))
    tap = replace(HONEST, balance_fen=6_000)
    assert judged(tap, between) == Executed(1, 9)
    assert judged(replace(tap, amount_fen=500 + 1_000, at_utc_s=420), between) == Waiting(Awaited.PERSON_AMOUNT)
    assert judged(tap, replace(between, loads=(*between.loads, Load(9, 300), Load(9, 601)))) == Executed(1, 9)


@dataclass(frozen=True)
class Tap:
    """One tap as it really was, and as its till tells it; `received` is when the server has it, an outage late at most.

    `taken` is what left the purse, `real` what was on it before, `loaded` what came on it right after the tap before.
    """

    item: int
    journal: tuple[bytes, int]
    counter: int
    seen: bool
    executed: bool
    at: int
    received: int
    taken: int
    real: int
    loaded: int
    claimed: int
    told: int

    @property
    def honest(self) -> bool:
        return (self.claimed, self.told) == (self.taken, self.real)


DISHONEST = b"\3"
OPENING_FEN = 5_000


@st.composite
def histories(draw: st.DrawFn) -> list[Tap]:
    """What a card did at three terminals: seen debits, and unknown taps that took money or did not.

    Terminal 3 claims any amount for an unknown tap, and tells any balance for each: no TAC covers these.
    """
    taps: list[Tap] = []
    counter, clock, balance = 0, 0, OPENING_FEN
    amounts = st.integers(1, 3)  # few, so that lies fit by chance
    for item in range(draw(st.integers(1, 12))):
        clock += draw(st.integers(2, 80))
        loaded = draw(st.sampled_from((0, 0, 0, 2)))
        balance += loaded
        terminal = bytes((draw(st.integers(1, 3)),))
        seen = draw(st.sampled_from((True, True, False)))
        executed = seen or draw(st.sampled_from((True, True, False)))
        taken, claimed, told = draw(amounts), None, balance
        if terminal == DISHONEST:
            claimed = None if seen else draw(amounts)
            told = balance + (draw(st.integers(-2, 2)) if claimed is None else claimed - taken)  # as if it fitted
        taps.append(
            Tap(
                item,
                (terminal, 1),
                counter,
                seen,
                executed,
                clock,
                clock + draw(st.integers(0, OUTAGE_S)),
                taken,
                balance,
                loaded,
                taken if claimed is None else claimed,
                told,
            )
        )
        counter += executed
        balance -= taken * executed
    return taps


@settings(max_examples=400)
@given(history=histories(), moments=st.lists(st.integers(0, 1_500), max_size=15))
def test_whenever_it_is_asked_the_decision_is_the_truth_and_no_false_amount_is_booked(
    history: list[Tap], moments: list[int]
) -> None:
    settled: dict[int, bool] = {}
    for now in [*sorted(moments), 2_000, 2_001]:
        here = [tap for tap in history if tap.received <= now]
        for counter in {tap.counter for tap in here}:
            waiting = [tap for tap in here if tap.counter == counter and not tap.seen and tap.item not in settled]
            if waiting:
                line = line_of(history, here, counter, settled)
                taps = [unknown_of(tap) for tap in waiting]
                decision = decide(taps, line, now_utc_s=now, outage_s=OUTAGE_S, complete=True)
                if isinstance(decision, NotExecuted):
                    settled |= dict.fromkeys((tap.item for tap in waiting), False)
                elif isinstance(decision, Executed):
                    settled[decision.item] = True
    assert settled == {item: history[item].executed for item in settled}
    assert all(history[item].claimed == history[item].taken for item, executed in settled.items() if executed)
    assert all(can_rest(history, tap) for tap in history if not tap.seen and tap.item not in settled)


def unknown_of(tap: Tap) -> UnknownTap:
    return UnknownTap(
        item=tap.item,
        journal=tap.journal,
        seq=tap.item,
        amount_fen=tap.claimed,
        balance_fen=tap.told,
        at_utc_s=tap.at,
    )


def can_rest(history: list[Tap], tap: Tap) -> bool:
    """Whether nothing could settle it: unused since, a rival, a lie, or no honest other terminal right around it."""
    seen = {other.counter: other for other in history if other.seen}
    if tap.counter in seen:
        return False
    if tap.counter > max(seen, default=-1):
        return True
    unseen = [other for other in history if other.counter == tap.counter and not other.seen]
    if len({other.journal for other in unseen}) > 1 or not unseen[-1].honest:
        return True
    around = [seen.get(tap.counter + 1), *([] if tap.counter == 0 else [seen.get(tap.counter - 1)])]
    return any(other is None or not other.honest or other.journal == tap.journal for other in around)


def line_of(history: list[Tap], here: list[Tap], counter: int, settled: dict[int, bool]) -> Line:
    """The books as they would be: seen debits and what was settled as executed; only the former prove anything."""
    same = [tap.item for tap in here if tap.counter == counter and (tap.seen or settled.get(tap.item))]
    later = [tap for tap in here if tap.counter > counter and tap.seen]
    first = min(later, key=lambda tap: tap.counter, default=None)
    before = Held(OPENING_FEN, 0, None) if counter == 0 else None
    for tap in here:
        if tap.seen and tap.counter == counter - 1:
            before = Held(tap.told - tap.claimed, tap.at, tap.journal[0])
    return Line(
        counter=counter,
        same=same[0] if same else None,
        later=None
        if first is None
        else Later(first.item, first.received, first.counter, Held(first.told, first.at, first.journal[0])),
        before=before,
        loads=tuple(Load(tap.loaded, tap.at - 1) for tap in history if tap.loaded),
    )
