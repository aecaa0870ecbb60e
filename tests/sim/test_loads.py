"""The auditor's view of loads: healthy ones are left alone, and each harm is seen by its finding."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from settlement.onecard.loads import LoadEvent, LoadEventKind, LoadEvidence
from sim.audit import (
    cards_did_what_is_booked,
    float_equals_purses,
    loads_are_on_their_cards_once,
)
from sim.card.issue import CardImage
from sim.evidence import LOAD, DeskEvent, Evidence, LedgerEntry, Posting, Suspended
from wire.ids import Asn, CardId, IssuerId, LoadId, TerminalId
from wire.money import Fen
from wire.receipt import Suspense

CARDS, FLOAT, LOADS = range(3)
FINDINGS = (
    cards_did_what_is_booked,
    float_equals_purses,
    loads_are_on_their_cards_once,
)
POINT = TerminalId(bytes.fromhex("000000000901"))
OPENING_FEN = Fen(10_00)
CASH, PURSES = 1010, 2001
EVIDENCE = {
    LoadEventKind.GRANTED: LoadEvidence.MAC1,
    LoadEventKind.CONFIRMED: LoadEvidence.TAC,
    LoadEventKind.VOIDED: LoadEvidence.COUNTER_UNCHANGED,
}
GRANTED, CONFIRMED, VOIDED = LoadEventKind


def card(number: int) -> CardId:
    return CardId(IssuerId(bytes.fromhex("6100000000000001")), Asn(number.to_bytes(10)))


A, B, C = (card(number) for number in range(1, 4))


def load_id(number: int) -> LoadId:
    return LoadId(POINT, 1, number)


@dataclass
class Story:
    """What cards and desk did; `evidence` tells how far the ledger has got with it."""

    cards: dict[CardId, CardImage] = field(
        default_factory=lambda: {
            card: CardImage("campus", card, OPENING_FEN, 0, OPENING_FEN, counter=0, online_counter=0, log=())
            for card in (A, B, C)
        }
    )
    events: list[LoadEvent] = field(default_factory=list)

    def load(self, card: CardId, amount_fen: int, ended: LoadEventKind | None, *, taken: bool = False) -> None:
        image = self.cards[card]
        event = LoadEvent(
            kind=GRANTED,
            evidence=EVIDENCE[GRANTED],
            load_id=load_id(1 + sum(event.kind is GRANTED for event in self.events)),
            card=card,
            online_counter=image.online_counter,
            amount_fen=Fen(amount_fen),
            old_balance_fen=image.balance_fen,
            terminal=POINT,
            happened_at_utc_s=1,
        )
        self.events.append(event)
        if ended is not None:
            self.events.append(replace(event, kind=ended, evidence=EVIDENCE[ended]))
        if taken or ended is CONFIRMED:
            balance_fen, count = Fen(image.balance_fen + amount_fen), image.online_counter + 1
            self.cards[card] = replace(image, balance_fen=balance_fen, online_counter=count)

    def evidence(self, pulled: int | None = None) -> Evidence:
        pulled = len(self.events) if pulled is None else pulled
        entries = [LedgerEntry(number, 1, None, OPENING_FEN) for number in range(1, 4)]
        postings = []
        for entry, purse in zip(entries, (A, B, C), strict=True):
            postings += [Posting(entry.id, CASH, None, OPENING_FEN), Posting(entry.id, PURSES, purse, -OPENING_FEN)]
        for event in self.events[:pulled]:
            if event.kind is GRANTED:
                entries.append(LedgerEntry(len(entries) + 1, LOAD, None, event.amount_fen, event.load_id))
                continue
            at = next(n for n, entry in enumerate(entries) if entry.load_id == event.load_id)
            entries[at] = replace(entries[at], resolved=1 if event.kind is CONFIRMED else 2)
            if event.kind is CONFIRMED:
                number = entries[at].id
                postings.append(Posting(number, CASH, None, event.amount_fen))
                postings.append(Posting(number, PURSES, event.card, -event.amount_fen))
        return Evidence(
            cards=dict(self.cards),
            sealed=[],
            opened=[],
            stream=[],
            entries=entries,
            postings=postings,
            suspense=[],
            ledger_position=0,
            copies={},
            desk=journal(self.events),
            desk_position=pulled,
        )


def journal(events: list[LoadEvent]) -> list[DeskEvent]:
    rows, head = [], hashlib.sha256(b"campus loads v1").digest()
    for position, event in enumerate(events, start=1):
        head = hashlib.sha256(head + event.to_bytes()).digest()
        rows.append(DeskEvent(position, event.to_bytes(), head))
    return rows


@pytest.fixture
def evidence() -> Evidence:
    """Loads of every kind: confirmed, voided and granted anew, pending on the card and not on it, and not pulled."""
    story = Story()
    story.load(A, 5_00, CONFIRMED)
    story.load(A, 7_00, VOIDED)
    story.load(A, 6_00, CONFIRMED)
    story.load(B, 3_00, None, taken=True)
    story.load(C, 4_00, None)
    story.load(A, 2_00, CONFIRMED)
    return story.evidence(pulled=9)


def broken(evidence: Evidence) -> set[int]:
    return {number for number, finding in enumerate(FINDINGS) if not finding(evidence).holds}


def test_loads_on_every_stage_of_their_way_give_no_objection_and_are_named(evidence: Evidence) -> None:
    assert [finding(evidence).objections for finding in FINDINGS] == [()] * 3
    assert loads_are_on_their_cards_once(evidence).seen == (
        "6 loads, 3 confirmed, 1 of the desk's events not pulled yet; "
        "load 000000000901-1-L4 of 3.00 is pending, on the card; "
        "load 000000000901-1-L5 of 4.00 is pending, not on the card"
    )
    assert float_equals_purses(evidence).seen.endswith("- loads on cards and not in the books yet 5.00")


def test_confirmed_load_in_suspense_is_on_its_way() -> None:
    story = Story()
    story.load(A, 5_00, CONFIRMED)
    found = replace(story.evidence(), postings=Story().evidence().postings, entries=Story().evidence().entries)
    parked = [Suspended(load_id(1), Suspense.CARD_UNKNOWN, 5_00)]
    parked += [Suspended(load_id(1), Suspense.CONFIRMED_NOT_PENDING, 5_00)]
    assert broken(replace(found, suspense=parked)) == set()
    assert broken(found) == {FLOAT, LOADS}


Harm = Callable[[Evidence], Evidence]


def with_card(card: CardId, *, balance_fen: int = 0, online: int = 0) -> Harm:
    def harm(e: Evidence) -> Evidence:
        image = e.cards[card]
        changed = replace(
            image, balance_fen=Fen(image.balance_fen + balance_fen), online_counter=image.online_counter + online
        )
        return replace(e, cards={**e.cards, card: changed})

    return harm


def with_entry(number: int, **changes: object) -> Harm:
    def harm(e: Evidence) -> Evidence:
        entries = [replace(o, **changes) if o.load_id == load_id(number) else o for o in e.entries]  # type: ignore[arg-type] # by name
        return replace(e, entries=entries)

    return harm


def without_entry(number: int) -> Harm:
    def harm(e: Evidence) -> Evidence:
        gone = {entry.id for entry in e.entries if entry.load_id == load_id(number)}
        entries = [entry for entry in e.entries if entry.id not in gone]
        return replace(e, entries=entries, postings=[p for p in e.postings if p.entry not in gone])

    return harm


def without_postings(number: int) -> Harm:
    def harm(e: Evidence) -> Evidence:
        (entry,) = (entry.id for entry in e.entries if entry.load_id == load_id(number))
        return replace(e, postings=[posting for posting in e.postings if posting.entry != entry])

    return harm


def with_postings(number: int, *postings: tuple[int, CardId | None, int]) -> Harm:
    def harm(e: Evidence) -> Evidence:
        (entry,) = (entry.id for entry in e.entries if entry.load_id == load_id(number))
        return replace(e, postings=[*e.postings, *(Posting(entry, *posting) for posting in postings)])

    return harm


def with_more(entry: LedgerEntry) -> Harm:
    return lambda e: replace(e, entries=[*e.entries, entry])


def with_events(change: Callable[[list[LoadEvent]], list[LoadEvent]]) -> Harm:
    def harm(e: Evidence) -> Evidence:
        events = [event for row in e.desk if (event := row.load) is not None]
        return replace(e, desk=journal(change(events)))

    return harm


def with_row(position: int, /, **changes: object) -> Harm:
    def harm(e: Evidence) -> Evidence:
        return replace(e, desk=[replace(r, **changes) if r.position == position else r for r in e.desk])  # type: ignore[arg-type] # by name

    return harm


def posted_and_pending(e: Evidence) -> Evidence:
    """Load 5 posted though the desk never confirmed it."""
    return with_postings(5, (CASH, None, 4_00), (PURSES, C, -4_00))(with_entry(5, resolved=1)(e))


HARM: dict[str, tuple[Harm, set[int]]] = {
    "a card with a load that nobody granted": (with_card(C, balance_fen=9_00, online=2), {CARDS, FLOAT, LOADS}),
    "a card that lost a confirmed load": (with_card(A, balance_fen=-2_00, online=-1), {LOADS}),
    "a card that lost a booked load": (with_card(A, balance_fen=-8_00, online=-2), {FLOAT, LOADS}),
    "a card whose counter alone moved": (with_card(C, online=1), {CARDS, FLOAT}),
    "a card that took the load without its counter": (with_card(C, balance_fen=4_00), {CARDS, FLOAT}),
    "a card with a fen too much": (with_card(A, balance_fen=1), {CARDS, FLOAT}),
    "a card that nobody issued": (
        lambda e: replace(e, cards={A: e.cards[A], C: e.cards[C]}),
        {FLOAT, LOADS},
    ),
    "a load confirmed twice": (
        with_events(lambda events: [*events, events[1]]),
        {LOADS},
    ),
    "two confirmed loads at one count": (
        with_events(
            lambda events: [
                *events,
                replace(events[0], load_id=load_id(7)),
                replace(events[1], load_id=load_id(7)),
            ]
        ),
        {CARDS, FLOAT, LOADS},
    ),
    "a load that ended and was never granted": (
        with_events(lambda events: [*events[:8], events[9]]),
        {CARDS, FLOAT, LOADS},
    ),
    "a load voided that the card has": (
        with_events(
            lambda events: [*events[:1], replace(events[1], kind=VOIDED, evidence=EVIDENCE[VOIDED]), *events[2:]]
        ),
        {CARDS, LOADS},
    ),
    "an event that cannot be read": (with_row(8, event=b"garbage"), {LOADS}),
    "a broken chain": (with_row(3, chain_hash=bytes(32)), {LOADS}),
    "a position left out": (with_row(10, position=12), {LOADS}),
    "a ledger that has read more than there is": (lambda e: replace(e, desk_position=12), {FLOAT, LOADS}),
    "a load missing in the ledger": (without_entry(1), {FLOAT, LOADS}),
    "a pending load missing in the ledger": (without_entry(5), {LOADS}),
    "a load twice in the ledger": (with_more(LedgerEntry(99, LOAD, None, 4_00, load_id(5))), {LOADS}),
    "a load that nobody granted in the ledger": (with_more(LedgerEntry(99, LOAD, None, 1, load_id(88))), {LOADS}),
    "a load before it was read": (
        lambda e: replace(e, desk_position=8),
        {LOADS},
    ),
    "a load with another amount": (with_entry(5, amount_fen=4_01), {LOADS}),
    "a load whose postings are missing": (
        lambda e: replace(e, postings=[p for p in e.postings if p.entry != 4]),
        {FLOAT},
    ),
    "a load posted one fen off": (with_entry(1, amount_fen=5_01), {LOADS}),
    "a pending load with postings": (
        with_postings(5, (CASH, None, 4_00), (PURSES, C, -4_00)),
        {FLOAT},
    ),
    "a pending load that was posted": (posted_and_pending, {FLOAT, LOADS}),
    "a voided load that was posted": (with_entry(2, resolved=1), {LOADS}),
    "a confirmed load that is pending": (with_entry(3, resolved=None), {LOADS}),
    "a confirmed load that moved nothing": (
        lambda e: without_postings(3)(with_entry(3, resolved=None)(e)),
        {FLOAT, LOADS},
    ),
    "a load that names no load": (with_entry(5, load_id=None), {LOADS}),
    "a suspense item of no load": (
        lambda e: replace(e, suspense=[Suspended(load_id(88), Suspense.COUNTER_TAKEN, 1)]),
        {LOADS},
    ),
    "a suspense item with another amount": (
        lambda e: replace(e, suspense=[Suspended(load_id(1), Suspense.TAP_DIFFERS, 1)]),
        {LOADS},
    ),
}


@pytest.mark.parametrize("name", HARM)
def test_harm_is_seen_by_the_findings_that_it_breaks_and_by_no_others(evidence: Evidence, name: str) -> None:
    harm, seen_by = HARM[name]
    assert broken(harm(evidence)) == seen_by


STEPS = st.lists(
    st.tuples(st.sampled_from((A, B, C)), st.integers(1, 9_00), st.sampled_from((CONFIRMED, VOIDED))), max_size=12
)


@given(steps=STEPS, last=st.booleans(), data=st.data())
def test_any_healthy_loads_give_no_objection_and_any_fen_out_of_place_does(
    steps: list[tuple[CardId, int, LoadEventKind]], last: bool, data: st.DataObject
) -> None:
    story = Story()
    for who, amount_fen, ended in steps:
        story.load(who, amount_fen, ended)
    story.load(B, 1_00, None, taken=last)
    found = story.evidence(pulled=data.draw(st.integers(0, len(story.events))))
    assert broken(found) == set()
    fen = data.draw(st.sampled_from((-1, 1)))
    assert broken(with_card(data.draw(st.sampled_from((A, B, C))), balance_fen=fen)(found)) == {CARDS, FLOAT}
