"""The top-up desk's journal of loads: each was granted, then confirmed or voided; the ledger pulls it like a stream's.

Left out: when a load may be granted and what proves its end (`settlement.onecard.desk`), and what it means in the
books (`settlement.ledger`).
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final

from settlement.store.database import Database
from wire.fields import FormatError
from wire.ids import CardId, LoadId, TerminalId, load_id
from wire.load import Funding
from wire.money import Fen
from wire.record import NO_TAC

EVENT_VERSION: Final = 2

_LAYOUT: Final = struct.Struct(">BBBB6sHI18sHII4s6sI")
EVENT_BYTES: Final = _LAYOUT.size

_HEAD: Final = "SELECT position, chain_hash FROM load_event ORDER BY position DESC LIMIT 1"
_APPEND: Final = """
    INSERT INTO load_event (position, kind, terminal, epoch, number, card, online_counter, event, chain_hash)
    VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)
"""
_AFTER: Final = "SELECT position, event, chain_hash FROM load_event WHERE position > %s ORDER BY position LIMIT %s"

_ADD_ANSWER: Final = "INSERT INTO load_answer (position, request, answer) VALUES (%s, %s, %s)"
_FIND_ANSWER: Final = """
    SELECT answer.request, answer.answer FROM load_event granted JOIN load_answer answer USING (position)
    WHERE granted.terminal = %s AND granted.epoch = %s AND granted.number = %s AND granted.kind = 1
"""
_LOAD: Final = "SELECT event FROM load_event WHERE terminal = %s AND epoch = %s AND number = %s ORDER BY position"
_OF_CARD: Final = "SELECT event FROM load_event WHERE card = %s ORDER BY position"
_NEWEST: Final = "SELECT event FROM load_event WHERE card = %s ORDER BY position DESC LIMIT 1"


class LoadEventKind(IntEnum):
    """What became of a load, as far as the desk knows."""

    GRANTED = 1
    CONFIRMED = 2
    VOIDED = 3


class LoadEvidence(IntEnum):
    """What an event rests on. Each is made with a key that only card and issuer have."""

    MAC1 = 1  # GRANTED: the card asked for it
    TAC = 2  # CONFIRMED: the card's TAC over this load, from CREDIT or from GET TRANSACTION PROVE
    COUNTER_MOVED = 3  # CONFIRMED: a later MAC1 over the next counter, which only this load can have moved
    COUNTER_UNCHANGED = 4  # VOIDED: a MAC1 over the same counter and an amount that the desk chose after the grant


_EVIDENCE_OF: Final = {
    LoadEventKind.GRANTED: {LoadEvidence.MAC1},
    LoadEventKind.CONFIRMED: {LoadEvidence.TAC, LoadEvidence.COUNTER_MOVED},
    LoadEventKind.VOIDED: {LoadEvidence.COUNTER_UNCHANGED},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadEvent:
    """One event of one load; all of a load's events carry the same `funding`, `load_id`, `card`, counter, amounts.

    `online_counter` is what INITIALIZE FOR LOAD answered: a load that was voided leaves it to the next one. `terminal`
    is the top-up point that brought the evidence, maybe another than the one that asked (`load_id.terminal`). `tac` is
    zeros unless the evidence is one. A GRANTED's time is the one in MAC2 and TAC.
    """

    kind: LoadEventKind
    evidence: LoadEvidence
    funding: Funding = Funding.CASH
    load_id: LoadId
    card: CardId = field(repr=False)
    online_counter: int
    amount_fen: Fen
    old_balance_fen: Fen
    tac: bytes = NO_TAC
    terminal: TerminalId
    happened_at_utc_s: int

    def to_bytes(self) -> bytes:
        """The canonical bytes, `EVENT_BYTES` long: the fields in this order behind a version byte, big-endian."""
        return _LAYOUT.pack(
            EVENT_VERSION,
            self.kind,
            self.evidence,
            self.funding,
            self.load_id.terminal,
            self.load_id.epoch,
            self.load_id.number,
            self.card.to_bytes(),
            self.online_counter,
            self.amount_fen,
            self.old_balance_fen,
            self.tac,
            self.terminal,
            self.happened_at_utc_s,
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> LoadEvent:
        """Read canonical bytes; `FormatError` for anything that `to_bytes` cannot have written."""
        if len(data) != EVENT_BYTES:
            raise FormatError(f"a load's event has {EVENT_BYTES} bytes, not {len(data)}")
        version, kind, evidence, paid, asked_by, epoch, number, card, *purse, tac, terminal, utc_s = _LAYOUT.unpack(
            data
        )
        if version != EVENT_VERSION:
            raise FormatError(f"version {version} of a load's event is not known here")
        try:
            what, why, funding = LoadEventKind(kind), LoadEvidence(evidence), Funding(paid)
        except ValueError as error:
            names = f"kind {kind}, evidence {evidence} and funding {paid}"
            raise FormatError(f"a load's event of {names} is not known here") from error
        if why not in _EVIDENCE_OF[what] or (tac != NO_TAC and why is not LoadEvidence.TAC):
            raise FormatError(f"evidence {why.name} does not go with a load {what.name}")
        online_counter, amount_fen, old_balance_fen = purse
        return cls(
            kind=what,
            evidence=why,
            funding=funding,
            load_id=load_id(asked_by, epoch, number),
            card=CardId.from_bytes(card),
            online_counter=online_counter,
            amount_fen=Fen(amount_fen),
            old_balance_fen=Fen(old_balance_fen),
            tac=tac,
            terminal=TerminalId(terminal),
            happened_at_utc_s=utc_s,
        )


@dataclass(frozen=True, slots=True)
class LoadRow:
    """One row of the journal as the ledger reads it: `event` are canonical bytes."""

    position: int
    event: bytes
    chain_hash: bytes


def loads_genesis() -> bytes:
    """The chain's start for the desk's journal."""
    return hashlib.sha256(b"campus loads v1").digest()


def next_load_hash(before: bytes, event: bytes) -> bytes:
    """SHA-256(before | canonical event)."""
    return hashlib.sha256(before + event).digest()


def append(db: Database, event: LoadEvent) -> int:
    """Add an event inside the caller's transaction; its position.

    The database refuses a second grant or a second end of one load, an end without a grant, and a grant for a card
    whose last load has no end yet (`RuleBroken`).
    """
    genesis = (0, loads_genesis())
    last_position, before = next(iter(db.query(_HEAD, into=lambda position, head: (position, head))), genesis)
    position, raw, load = last_position + 1, event.to_bytes(), event.load_id
    key = (load.terminal, load.epoch, load.number, event.card.to_bytes(), event.online_counter)
    db.execute(_APPEND, (position, int(event.kind), *key, raw, next_load_hash(before, raw)))
    return position


def loads_after(db: Database, position: int, count_max: int) -> list[LoadRow]:
    """The next rows of the journal."""
    return db.query(_AFTER, (position, count_max), into=LoadRow)


def add_answer(db: Database, position: int, *, request: bytes, answer: bytes) -> None:
    """Keep what was asked and granted at this position of the journal."""
    db.execute(_ADD_ANSWER, (position, request, answer))


def find_answer(db: Database, load: LoadId) -> tuple[bytes, bytes] | None:
    """The request that made this load, and its answer; None if it was never granted."""
    found = db.query(_FIND_ANSWER, (load.terminal, load.epoch, load.number), into=lambda asked, told: (asked, told))
    return next(iter(found), None)


def find_load(db: Database, load: LoadId) -> tuple[LoadEvent, LoadEvent | None] | None:
    """A load's grant and its end, if it has one; None if it was never granted."""
    events = db.query(_LOAD, (load.terminal, load.epoch, load.number), into=LoadEvent.from_bytes)
    return (events[0], events[1] if len(events) > 1 else None) if events else None


def last_load(db: Database, card: CardId) -> tuple[LoadEvent, LoadEvent | None] | None:
    """The newest load of this card, as `find_load` has it: the only one that can be without an end."""
    newest = next(iter(db.query(_NEWEST, (card.to_bytes(),), into=LoadEvent.from_bytes)), None)
    return None if newest is None else find_load(db, newest.load_id)


def refunds_granted(db: Database, card: CardId) -> dict[LoadId, Fen]:
    """What was ever granted to this card out of refunds: each load with its amount, nothing for one that was voided."""
    granted: dict[LoadId, Fen] = {}
    for event in db.query(_OF_CARD, (card.to_bytes(),), into=LoadEvent.from_bytes):
        if event.funding is Funding.REFUND:
            granted[event.load_id] = Fen(0) if event.kind is LoadEventKind.VOIDED else event.amount_fen
    return granted
