"""The coding state is the same from whichever record it is begun, and knows what the records before it said."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest

from wire.directory import PRICES_MAX, WINDOW_TAPS, CodingState, window_start
from wire.ids import Asn, CardId, IssuerId, TapId, TerminalId
from wire.money import Fen
from wire.record import ClockQuality, Mac2, Outcome, Refusal, TapRecord, TapTime, VoidReason

TERMINAL = TerminalId(bytes(6))
ISSUER = IssuerId(bytes(8))


def record(seq: int, rng: Random) -> TapRecord:
    """One of many cards and prices, now and then with an end that is not a debit."""
    outcome = rng.choices(list(Outcome), (90, 2, 5, 3))[0]
    reasons: dict[Outcome, Refusal | VoidReason] = {
        Outcome.REFUSED: Refusal.HOTLISTED,
        Outcome.VOIDED: VoidReason.NOT_EXECUTED,
    }
    return TapRecord(
        tap_id=TapId(TERMINAL, 1, seq),
        outcome=outcome,
        reason=reasons.get(outcome),
        mac2=Mac2.VERIFIED,
        card=CardId(ISSUER, Asn(rng.randrange(900).to_bytes(10, "big"))),
        amount_fen=Fen(rng.choice((rng.randrange(60) * 50, rng.randrange(5_000)))),
        balance_before_fen=Fen(rng.randrange(10_000)),
        counter=rng.randrange(0x10000),
        ttsn=0 if outcome is Outcome.REFUSED else seq,
        tac=bytes(4),
        opened_at=TapTime(utc_s=seq * 7 + 100, boot=1 + seq // 500, uptime_s=seq * 7, quality=ClockQuality.NETWORK),
    )


@pytest.fixture(scope="module")
def journal() -> list[bytes]:
    rng = Random(7)
    return [record(seq, rng).to_bytes() for seq in range(1, 3 * WINDOW_TAPS + 600)]


def facts(state: CodingState) -> dict[str, object]:
    return {name: getattr(state, name) for name in CodingState.__slots__ if not name.startswith("_")}


@pytest.mark.parametrize(("seq", "start"), [(1, 1), (WINDOW_TAPS, 1), (2 * WINDOW_TAPS - 1, 1)])
def test_first_window_begins_with_the_journal(seq: int, start: int) -> None:
    assert window_start(seq) == start


def test_window_holds_one_to_two_steps() -> None:
    for seq in range(2 * WINDOW_TAPS, 5 * WINDOW_TAPS, 97):
        assert WINDOW_TAPS <= seq - window_start(seq) < 2 * WINDOW_TAPS


def test_state_from_the_window_is_the_one_that_went_on_from_the_start(journal: list[bytes]) -> None:
    on, places = CodingState(), {1, 2, 256, 257, 2 * WINDOW_TAPS + 77, 3 * WINDOW_TAPS + 599}
    places |= {step * WINDOW_TAPS + near for step in (1, 2, 3) for near in (-1, 0, 1)}
    for seq in range(1, len(journal) + 1):
        if seq in places:
            fresh = CodingState.before(seq, journal[window_start(seq) - 1 : seq - 1])
            assert facts(fresh) == facts(on), f"before record {seq}"
        on.advance_canonical(journal[seq - 1])


def test_two_states_that_met_stay_together_over_the_next_step(journal: list[bytes]) -> None:
    seq = 2 * WINDOW_TAPS - 300
    early = CodingState.before(seq, journal[: seq - 1])
    late = CodingState.before(seq + 300, journal[window_start(seq + 300) - 1 : seq + 299])
    for canonical in journal[seq - 1 : seq + 299]:
        early.advance_canonical(canonical)
    for canonical in journal[seq + 299 : seq + WINDOW_TAPS + 400]:
        early.advance_canonical(canonical)
        late.advance_canonical(canonical)
    assert facts(early) == facts(late)


def test_copy_goes_its_own_way(journal: list[bytes]) -> None:
    state = CodingState.before(300, journal[:299])
    before = facts(state.copy())
    twin = state.copy()
    for canonical in journal[299:900]:
        twin.advance_canonical(canonical)
    assert facts(state) == before
    assert facts(twin) == facts(CodingState.before(901, journal[:900]))


def test_card_is_foretold_what_its_last_tap_left_it() -> None:
    paid = replace(record(1, Random(1)), outcome=Outcome.DEBITED, reason=None, amount_fen=Fen(300))
    paid = replace(paid, balance_before_fen=Fen(1_000), counter=9)
    refused = replace(paid, tap_id=TapId(TERMINAL, 1, 2), outcome=Outcome.REFUSED, reason=Refusal.HOTLISTED)
    refused = replace(refused, balance_before_fen=Fen(0), counter=0)
    state = CodingState()
    for tap, balance_fen, counter in ((paid, 700, 10), (refused, 0, 0)):
        state.advance_canonical(tap.to_bytes())
        assert (state.cards, state.balances, state.counters) == ([paid.card.to_bytes()], [balance_fen], [counter])


def test_purse_that_wraps_is_foretold_within_its_bounds() -> None:
    paid = replace(record(1, Random(1)), outcome=Outcome.DEBITED, reason=None, amount_fen=Fen(300))
    state = CodingState()
    state.advance_canonical(replace(paid, balance_before_fen=Fen(100), counter=0xFFFF).to_bytes())
    assert (state.balances, state.counters) == ([0xFFFF_FFFF - 199], [0])


def test_serial_from_before_the_window_is_forgotten() -> None:
    drawn = replace(record(1, Random(1)), outcome=Outcome.DEBITED, reason=None, ttsn=9)
    none = replace(drawn, ttsn=0).to_bytes()
    state = CodingState.before(2 * WINDOW_TAPS - 1, [drawn.to_bytes(), *[none] * (2 * WINDOW_TAPS - 3)])
    assert state.ttsn == 9
    state.advance_canonical(none)
    assert state.ttsn == CodingState.before(2 * WINDOW_TAPS, [none] * WINDOW_TAPS).ttsn == 0


def test_first_ranks_are_the_prices_paid_most_often(journal: list[bytes]) -> None:
    state = CodingState.before(WINDOW_TAPS, journal[: WINDOW_TAPS - 1])
    assert len(state.prices) == len(state.ranks) == PRICES_MAX
    assert all(amount_fen % 50 == 0 for amount_fen in state.prices[:40])
