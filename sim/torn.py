"""The auditor's view of taps that nobody saw the end of: what the cards' own counters and all journals say of them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from sim.evidence import Evidence
from wire.ids import CardId, TapId
from wire.record import Outcome, TapRecord

SETTLED: Final = {None: "is unknown", 1: "was settled as executed", 2: "was settled as not executed"}


def proven_counts(evidence: Evidence) -> set[tuple[CardId, int]]:
    """Cards and counts of the debits that till or TAC vouches for."""
    confirmed = evidence.confirmed
    return {(r.card, r.counter) for r in evidence.sealed if r.outcome is Outcome.DEBITED or r.tap_id in confirmed}


def executed_unproven(evidence: Evidence) -> list[TapRecord]:
    """Open or unknown taps whose counter the card has passed, with no debit known there: money is off the card.

    Of several at one counter only the last can be: that the card showed the counter again proves the ones before void.
    What was settled as executed is in the books.
    """
    confirmed = evidence.confirmed
    debits = proven_counts(evidence)
    debits |= {(r.card, r.counter) for r in evidence.sealed if r.tap_id in evidence.executed}
    unknown = (r for r in evidence.sealed if r.outcome is Outcome.UNKNOWN and r.tap_id not in confirmed)
    last = {(record.card, record.counter): record for record in (*unknown, *evidence.opened)}
    return [
        record
        for (card, counter), record in last.items()
        if card in evidence.cards
        and evidence.cards[card].opening_counter <= counter < evidence.cards[card].counter
        and (card, counter) not in debits
    ]


def wrongly_settled(evidence: Evidence, unknown: Iterable[TapRecord]) -> list[str]:
    """Settled taps that the cards' own counters, and all that the journals know, speak against."""
    proven, records = proven_counts(evidence), {record.tap_id: record for record in unknown}
    last = {(record.card, record.counter): record.tap_id for record in records.values()}
    objections = []
    for item in evidence.suspense:
        if item.settled is None:
            continue
        record = records.get(item.tap_id) if isinstance(item.tap_id, TapId) else None
        if record is None:
            objections.append(f"{item.tap_id} was settled, but is no tap with an unknown outcome")
            continue
        count = (record.card, record.counter)
        image = evidence.cards.get(record.card)
        passed = image is not None and record.counter < image.counter
        took = passed and count not in proven and last[count] == record.tap_id
        if took is not (item.settled == 1):
            objections.append(f"tap {record.tap_id} {SETTLED[item.settled]}, which the card denies")
    return objections
