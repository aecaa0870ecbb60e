"""The auditor's view of loads: what desk, cards and ledger each say of them, and where they contradict one another.

Cards are issued with the online count 0. Left out: the money of it, which is the float's (`sim.audit`).
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from settlement.onecard.loads import LoadEvent, LoadEventKind
from sim.card.issue import CardImage
from sim.evidence import COLLECTION, LOAD, DeskEvent, Evidence, LedgerEntry, Suspended
from wire.ids import LoadId
from wire.money import format_fen

POSTED, VOIDED = 1, 2
_RESOLVED = {LoadEventKind.CONFIRMED: POSTED, LoadEventKind.VOIDED: VOIDED}


@dataclass(frozen=True, slots=True)
class Load:
    """One load by the desk's journal: the grant, how it ended, and the position of either event."""

    granted: LoadEvent
    granted_at: int
    ended: LoadEventKind | None = None
    ended_at: int | None = None

    def is_on(self, image: CardImage | None) -> bool:
        """Whether the card has it: its count has passed the load's, which no other holds."""
        passed = image is not None and self.granted.online_counter < image.online_counter
        return passed and self.ended is not LoadEventKind.VOIDED


def loads_of(evidence: Evidence) -> dict[LoadId, Load]:
    """Every load that the desk has granted."""
    found: dict[LoadId, Load] = {}
    for row in evidence.desk:
        event = row.load
        if event is None:
            continue
        if event.kind is LoadEventKind.GRANTED:
            found[event.load_id] = Load(event, row.position)
        elif (load := found.get(event.load_id)) is not None:
            found[event.load_id] = Load(load.granted, load.granted_at, event.kind, row.position)
    return found


def unbooked(evidence: Evidence) -> list[LoadEvent]:
    """Loads that a card has and the books rightly do not: pending, not pulled yet, or in suspense."""
    posted = {entry.load_id for entry in evidence.entries if entry.resolved == POSTED}
    held = {item.tap_id for item in evidence.suspense}
    return [
        load.granted
        for load_id, load in loads_of(evidence).items()
        if load.is_on(evidence.cards.get(load.granted.card))
        and load_id not in posted
        and (load.ended_at is None or load.ended_at > evidence.desk_position or load_id in held)
    ]


def objections_to_loads(evidence: Evidence) -> list[str]:
    """What is wrong with the desk's chain, the cards' online counts, or the ledger's account of them."""
    loads = loads_of(evidence)
    objections = _chain(evidence.desk)
    by_card = defaultdict(list)
    for load in loads.values():
        by_card[load.granted.card].append(load)
    for card, image in evidence.cards.items():
        objections += _line(image, by_card.pop(card, []))
    objections += [f"{len(mine)} loads name card {card}, which was never issued" for card, mine in by_card.items()]
    return objections + _ledger(evidence, loads)


def loads_seen(evidence: Evidence) -> str:
    """How many loads there are, and each that is on its way by name."""
    loads = loads_of(evidence)
    if not loads:
        return "no loads"
    confirmed = sum(load.ended is LoadEventKind.CONFIRMED for load in loads.values())
    not_pulled = sum(row.position > evidence.desk_position for row in evidence.desk)
    seen = [f"{len(loads)} loads, {confirmed} confirmed, {not_pulled} of the desk's events not pulled yet"]
    for load_id, load in loads.items():
        if load.ended is None:
            there = "on the card" if load.is_on(evidence.cards.get(load.granted.card)) else "not on the card"
            seen.append(f"load {load_id} of {format_fen(load.granted.amount_fen)} is pending, {there}")
    return "; ".join(seen)


def _chain(desk: Iterable[DeskEvent]) -> list[str]:
    objections = []
    head = hashlib.sha256(b"campus loads v1").digest()
    granted: set[LoadId] = set()
    ended: set[LoadId] = set()
    for expected, row in enumerate(desk, start=1):
        head = hashlib.sha256(head + row.event).digest()
        if row.position != expected or row.chain_hash != head:
            objections.append(f"the desk's journal breaks at position {row.position}")
            head = row.chain_hash
        event = row.load
        if event is None:
            objections.append(f"the desk's event {row.position} cannot be read")
            continue
        is_grant = event.kind is LoadEventKind.GRANTED
        if (event.load_id in granted) is is_grant or event.load_id in ended:
            objections.append(f"the desk has load {event.load_id} {event.kind.name} out of turn")
        (granted if is_grant else ended).add(event.load_id)
    return objections


def _line(image: CardImage, loads: list[Load]) -> list[str]:
    """One card's online counts: from 0 to now each belongs to one load, and no confirmed one is beyond."""
    confirmed = Counter(load.granted.online_counter for load in loads if load.ended is LoadEventKind.CONFIRMED)
    pending = {load.granted.online_counter for load in loads if load.ended is None}
    objections = [
        f"card {image.card}: load {n} was confirmed {times} times" for n, times in confirmed.items() if times > 1
    ]
    objections += [
        f"card {image.card} took load {n}, which is voided or was never granted"
        for n in range(image.online_counter)
        if n not in confirmed and n not in pending
    ]
    objections += [f"card {image.card} never took load {n}" for n in confirmed if n >= image.online_counter]
    return objections


def _ledger(evidence: Evidence, loads: dict[LoadId, Load]) -> list[str]:
    """Each load that the ledger has pulled is an entry that ended as it did, or is parked; no other load is there."""
    entries: dict[LoadId, list[LedgerEntry]] = defaultdict(list)
    parked: dict[LoadId, list[Suspended]] = defaultdict(list)
    for entry in evidence.entries:
        if entry.kind in (LOAD, COLLECTION) and entry.load_id is not None:
            entries[entry.load_id].append(entry)
    for item in evidence.suspense:
        if isinstance(item.tap_id, LoadId):
            parked[item.tap_id].append(item)
    objections = []
    for load_id, load in loads.items():
        mine, items = entries.pop(load_id, []), parked.pop(load_id, [])
        pulled, ended = load.granted_at <= evidence.desk_position, None
        if load.ended is not None and load.ended_at is not None and load.ended_at <= evidence.desk_position:
            ended = _RESOLVED[load.ended]
        if (not pulled and (mine or items)) or (pulled and not items and len(mine) != 1) or len(mine) > 1:
            objections.append(f"load {load_id} has {len(mine)} entries and {len(items)} suspense items")
        objections += [
            f"load {load_id} is of {format_fen(load.granted.amount_fen)}, the ledger has {format_fen(fen)}"
            for fen in {one.amount_fen for one in mine} | {one.amount_fen for one in items}
            if fen != load.granted.amount_fen
        ]
        objections += [
            f"entry {entry.id} of load {load_id} did not end as the desk says"
            for entry in mine
            if entry.resolved != ended and not items
        ]
    objections += [f"the ledger has an entry for load {load_id}, which the desk never granted" for load_id in entries]
    objections += [f"the ledger has a suspense item for load {load_id}, which nobody granted" for load_id in parked]
    newest = evidence.desk[-1].position if evidence.desk else 0
    if evidence.desk_position > newest:
        objections.append(f"the ledger has read {evidence.desk_position} events of a desk that has {newest}")
    return objections
