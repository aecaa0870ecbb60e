"""Unknown taps that the ledger has settled, against the cards: right ones are left alone, wrong ones are seen."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sim.audit import (
    cards_did_what_is_booked,
    float_equals_purses,
    torn_taps_are_listed,
)
from sim.card.issue import CardImage
from sim.evidence import Evidence, LedgerEntry, Posting, StreamTap, Suspended
from wire.ids import Asn, CardId, IssuerId, TapId, TerminalId
from wire.money import Fen
from wire.receipt import Suspense
from wire.record import NO_TAC, ClockQuality, Mac2, Outcome, TapRecord, TapTime

CARD = CardId(IssuerId(bytes.fromhex("6100000000000001")), Asn(bytes(10)))
TERMINAL = TerminalId(bytes.fromhex("000000000101"))
EXECUTED, NOT_EXECUTED = 1, 2


def tap(seq: int, counter: int, amount_fen: int, outcome: Outcome = Outcome.UNKNOWN) -> TapRecord:
    return TapRecord(
        tap_id=TapId(TERMINAL, 1, seq),
        outcome=outcome,
        reason=None,
        mac2=Mac2.NOT_CHECKED,
        card=CARD,
        amount_fen=Fen(amount_fen),
        balance_before_fen=Fen(0),
        counter=counter,
        ttsn=seq,
        tac=NO_TAC,
        opened_at=TapTime(utc_s=1, boot=1, uptime_s=1, quality=ClockQuality.NETWORK),
    )


def evidence_of(took: dict[int, int], settled: dict[int, int | None], *taps: TapRecord) -> Evidence:
    """Taps all pulled; `took` are the card's debits by count, `settled` the unknown ones' settlements by number."""
    entries, postings = (
        [LedgerEntry(1, 1, None, 50_00)],
        [Posting(1, 1010, None, 50_00), Posting(1, 2001, CARD, -50_00)],
    )
    suspense, stream = [], []
    for position, record in enumerate(taps, start=1):
        unknown = record.outcome is Outcome.UNKNOWN
        reason = Suspense.OUTCOME_UNKNOWN if unknown else None
        stream.append(StreamTap(position, record.tap_id, record.to_bytes(), reason, 1))
        if unknown:
            outcome = settled.get(record.tap_id.seq)
            suspense.append(Suspended(record.tap_id, Suspense.OUTCOME_UNKNOWN, record.amount_fen, outcome))
        if not unknown or settled.get(record.tap_id.seq) == EXECUTED:
            entries.append(LedgerEntry(len(entries) + 1, 2, record.tap_id, record.amount_fen))
            postings.append(Posting(entries[-1].id, 2001, CARD, record.amount_fen))
            postings.append(Posting(entries[-1].id, 2002, None, -record.amount_fen))
    left = Fen(50_00 - sum(took.values()))
    image = CardImage("campus", CARD, Fen(50_00), 0, left, counter=len(took), online_counter=0, log=())
    return Evidence(
        cards={CARD: image},
        sealed=list(taps),
        opened=[],
        stream=stream,
        entries=entries,
        postings=postings,
        suspense=suspense,
        ledger_position=len(taps),
        copies={},
    )


def objections(evidence: Evidence) -> list[str]:
    checks = (cards_did_what_is_booked, float_equals_purses, torn_taps_are_listed)
    return [text for check in checks for text in check(evidence).objections]


SEEN = Outcome.DEBITED


@pytest.mark.parametrize("settled", [None, EXECUTED])
def test_tap_that_took_its_money_is_torn_money_until_it_is_settled_and_booked_then(settled: int | None) -> None:
    found = evidence_of({0: 5_00, 1: 7_00}, {1: settled}, tap(1, 0, 5_00), tap(2, 1, 7_00, SEEN))
    assert objections(found) == []
    assert float_equals_purses(found).seen.endswith("torn 5.00" if settled is None else "torn 0.00")
    words = "is unknown" if settled is None else "was settled as executed"
    assert torn_taps_are_listed(found).seen == f"tap 1 of 5.00 {words}"


def test_of_several_at_one_count_the_last_is_rightly_settled_as_executed() -> None:
    taps = (tap(1, 0, 5_00), tap(2, 0, 6_00), tap(3, 1, 7_00, SEEN))
    right = evidence_of({0: 6_00, 1: 7_00}, {1: NOT_EXECUTED, 2: EXECUTED}, *taps)
    assert objections(right) == []
    wrong = evidence_of({0: 6_00, 1: 7_00}, {1: EXECUTED, 2: NOT_EXECUTED}, *taps)
    denied = [text for text in objections(wrong) if "denies" in text]
    assert len(denied) == 2


@pytest.mark.parametrize(
    ("took", "settled"),
    [
        ({0: 7_00}, EXECUTED),  # the count is another tap's
        ({}, EXECUTED),  # the card never got there
        ({0: 5_00, 1: 7_00}, NOT_EXECUTED),  # the card has paid
    ],
)
def test_settlement_that_the_card_denies_is_seen(took: dict[int, int], settled: int) -> None:
    others = [tap(2, counter, amount, SEEN) for counter, amount in took.items() if amount == 7_00]
    found = evidence_of(took, {1: settled}, tap(1, 0, 5_00), *others)
    assert any("which the card denies" in text for text in objections(found))


def test_tap_settled_as_not_executed_rightly_gives_no_objection() -> None:
    found = evidence_of({0: 7_00}, {1: NOT_EXECUTED}, tap(1, 0, 5_00), tap(2, 0, 7_00, SEEN))
    assert objections(found) == []


def test_settled_debit_is_seen() -> None:
    found = evidence_of({0: 5_00, 1: 7_00}, {1: EXECUTED}, tap(1, 0, 5_00), tap(2, 1, 7_00, SEEN))
    extra = Suspended(TapId(TERMINAL, 1, 2), Suspense.TAC_WRONG, 7_00, NOT_EXECUTED)
    settled_debit = replace(found, suspense=[*found.suspense, extra])
    assert any("is no tap with an unknown outcome" in text for text in objections(settled_debit))
