"""People's decisions are carried out: ways out of suspense, and journals that are finished. Two people for each.

The first proposes, another confirms; the ledger checks again what was checked when they did. A decision is known by its
key, so one that is read again changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from settlement.ledger.booked import counts_taken, facts_of_taps, serials_taken
from settlement.ledger.entries import SuspenseItem
from settlement.ledger.store import ITEM_COLUMNS, Posted, add_entries, origin_key, read_item
from settlement.ledger.ways import How, adjustment_for, ways_of, words_of
from settlement.office import Action, Decision
from settlement.store.database import Database
from wire.ids import CardId

BY_PEOPLE: Final = 4  # a suspense item's outcome

_KNOWN: Final = "SELECT number, key, action, body, by, decided_at_utc_s, result, words FROM decision WHERE key = %s"
_ADD: Final = """
    INSERT INTO decision (id, key, number, action, body, by, decided_at_utc_s, result, words)
    VALUES ((SELECT coalesce(max(id), 0) + 1 FROM decision), %s, %s, %s, %s, %s, %s, %s, %s)
"""
_ITEM: Final = f"SELECT {ITEM_COLUMNS} FROM suspense_item item WHERE id = %s"
_RESOLVED: Final = "SELECT count(*) FROM suspense_resolution WHERE suspense_item_id = %s"
_OPENED: Final = "SELECT count(*) FROM other_entry WHERE kind = 1 AND card = %s"
_RESOLVE: Final = """
    INSERT INTO suspense_resolution (suspense_item_id, outcome, evidence_id, entry_id, resolved_at_utc_s, how, because,
                                     proposed_by, confirmed_by)
    VALUES (%s, %s, NULL, %s, %s, %s, %s, %s, %s)
"""
_RESOLUTION: Final = """
    SELECT outcome, entry_id, how, because, proposed_by, confirmed_by FROM suspense_resolution
    WHERE suspense_item_id = %s
"""
_FINISHED: Final = "SELECT terminal, epoch FROM finished_journal"
_FINISH: Final = """
    INSERT INTO finished_journal (id, terminal, epoch, because, proposed_by, confirmed_by, declared_at_utc_s)
    VALUES ((SELECT coalesce(max(id), 0) + 1 FROM finished_journal), %s, %s, %s, %s, %s, %s)
"""
_CLOSE_ASKED: Final = "SELECT body FROM decision WHERE action = 4 AND result = 2 ORDER BY id DESC LIMIT 1"


_PROPOSED: Final = """
    SELECT number, key, action, body, by, decided_at_utc_s, result, words FROM decision WHERE result = 1 ORDER BY id
"""
_CONFIRMED: Final = "SELECT body FROM decision WHERE action = 3 AND result = 2"


class Result(IntEnum):
    """What became of a decision: a proposal WAITS for another person."""

    WAITS = 1
    DONE = 2
    REFUSED = 3


@dataclass(frozen=True, slots=True)
class Carried:
    """A decision that the ledger has read, and what became of it."""

    number: int
    key: bytes
    action: int
    body: str
    by: str
    decided_at_utc_s: int
    result: int
    words: str

    @property
    def decision(self) -> Decision:
        """As it was taken."""
        return Decision(self.number, self.key, self.action, self.body, self.by, self.decided_at_utc_s)


def carry_out(db: Database, decisions: Sequence[Decision]) -> list[Posted]:
    """Carry out each that is new, inside the caller's transaction."""
    results = []
    for decision in decisions:
        if find_carried(db, decision.key) is not None:
            results.append(Posted.EXISTS)
            continue
        result, words = _carry_out(db, decision)
        row = (decision.key, decision.position, decision.action, decision.body, decision.by)
        db.execute(_ADD, (*row, decision.decided_at_utc_s, int(result), words))
        results.append(Posted.CREATED)
    return results


def find_carried(db: Database, key: bytes) -> Carried | None:
    """A decision that was read, by its key."""
    return next(iter(db.query(_KNOWN, (key,), into=Carried)), None)


def proposals(db: Database) -> list[Carried]:
    """The proposals that wait for another person, and could be carried out."""
    done = set(db.query(_CONFIRMED, into=lambda body: Decision(0, b"", 0, body, "", 0).words("proposal")))
    waiting = [proposal for proposal in db.query(_PROPOSED, into=Carried) if proposal.key.hex() not in done]
    return [proposal for proposal in waiting if objection(db, proposal.decision) is None]


def find_item(db: Database, number: int) -> SuspenseItem | None:
    """A suspense item, resolved or not."""
    return next((item for _, item in db.query(_ITEM, (number,), into=read_item)), None)


def resolution_of(db: Database, number: int) -> str | None:
    """How an item was resolved, in words; None if it was not."""
    for outcome, entry, how, because, proposed_by, confirmed_by in db.query(
        _RESOLUTION, (number,), into=lambda *row: row
    ):
        if outcome == BY_PEOPLE:
            return (
                f"resolved by {How(how).label}, entry {entry}: {because} "
                f"(proposed by {proposed_by}, confirmed by {confirmed_by})"
            )
        return {
            1: f"settled from the card's counters: it was paid, entry {entry}",
            2: "settled from the card's counters: it was not paid",
        }.get(outcome, f"booked when what it lacked had come: entry {entry}")
    return None


def finished_journals(db: Database) -> set[tuple[bytes, int]]:
    """The journals (terminal, epoch) that nobody waits for any more."""
    return set(db.query(_FINISHED, into=lambda terminal, epoch: (terminal, epoch)))


def close_asked_for(db: Database) -> int:
    """The day that people asked last to have closed; 0 if none."""
    found = db.query(_CLOSE_ASKED, into=lambda body: Decision(0, b"", int(Action.CLOSE_DAY), body, "", 0))
    return found[0].number("day") if found else 0


def objection(db: Database, decision: Decision) -> str | None:
    """Why a decision cannot be carried out; None if it can, as far as the books go now."""
    if decision.action == Action.RESOLVE:
        return _objection_to_resolving(db, decision)
    if decision.action == Action.FINISH:
        done = (bytes.fromhex(decision.words("terminal")), decision.number("epoch")) in finished_journals(db)
        return "this journal is declared finished already" if done else None
    if decision.action == Action.CONFIRM:
        return _objection_to_confirming(db, decision)
    return None


def _objection_to_resolving(db: Database, decision: Decision) -> str | None:
    number = decision.number("item")
    item, how = find_item(db, number), How(decision.number("how"))
    if item is None:
        return f"there is no item {number}"
    if db.number(_RESOLVED, (number,)):
        return f"item {number} is resolved already"
    if how not in ways_of(item):
        ways = ", ".join(way.label for way in ways_of(item))
        return f"item {number} ({item.reason.name}) can be resolved by: {ways}"
    purse = _purse(decision, item, how)
    if db.number(_OPENED, (purse.to_bytes(),)) == 0 and how in (How.POST, How.ASSIGN):
        return f"purse {purse} is not in the books"
    return None


def _objection_to_confirming(db: Database, decision: Decision) -> str | None:
    proposal = find_carried(db, bytes.fromhex(decision.words("proposal")))
    if proposal is None:
        return "there is no such proposal"
    if proposal.result != Result.WAITS:
        return f"decision {proposal.number} waits for nobody"
    if proposal.by.casefold() == decision.by.casefold():
        return "another person has to confirm it"
    return objection(db, proposal.decision)


def _carry_out(db: Database, decision: Decision) -> tuple[Result, str]:
    try:
        why_not = objection(db, decision)
    except ValueError as error:  # a newer version wrote it
        why_not = str(error)
    if why_not is not None:
        return Result.REFUSED, why_not
    if decision.action == Action.CLOSE_DAY:
        return Result.DONE, "the day is closed as soon as everything of it is here"
    if decision.action != Action.CONFIRM:
        return Result.WAITS, "another person has to confirm it"
    proposal = find_carried(db, bytes.fromhex(decision.words("proposal")))
    assert proposal is not None, "the objection would have said so"
    if proposal.action == Action.FINISH:
        return _finish(db, proposal.decision, decision)
    return _resolve(db, proposal.decision, decision)


def _finish(db: Database, proposal: Decision, confirmed: Decision) -> tuple[Result, str]:
    terminal, epoch = bytes.fromhex(proposal.words("terminal")), proposal.number("epoch")
    people = (proposal.by, confirmed.by, confirmed.decided_at_utc_s)
    db.execute(_FINISH, (terminal, epoch, proposal.words("because"), *people))
    return Result.DONE, f"nobody waits for terminal {terminal.hex()} epoch {epoch} any more; what comes is still taken"


def _resolve(db: Database, proposal: Decision, confirmed: Decision) -> tuple[Result, str]:
    number, how = proposal.number("item"), How(proposal.number("how"))
    item = find_item(db, number)
    assert item is not None, "the objection would have said so"
    assigned_to = _purse(proposal, item, how) if how is How.ASSIGN else None
    at_utc_s = confirmed.decided_at_utc_s
    count, serial = (item.card.to_bytes(), item.counter), (bytes(item.origin.terminal), item.ttsn)
    adjustment = adjustment_for(
        item,
        how,
        assigned_to=assigned_to,
        decided_at_utc_s=at_utc_s,
        tap_is_free=not facts_of_taps(db, [origin_key(item.origin)]),
        count_is_free=not counts_taken(db, [count]) and not serials_taken(db, [serial]),
    )
    (entry,) = add_entries(db, [adjustment])
    people = (proposal.words("because"), proposal.by, confirmed.by)
    db.execute(_RESOLVE, (number, BY_PEOPLE, entry, at_utc_s, int(how), *people))
    return Result.DONE, f"item {number}: {words_of(item, how)}; entry {entry}"


def _purse(decision: Decision, item: SuspenseItem, how: How) -> CardId:
    return CardId.from_bytes(bytes.fromhex(decision.words("card"))) if how is How.ASSIGN else item.card
