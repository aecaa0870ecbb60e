"""What the audit can look at where cards and terminals are at hand, too: five points more than `settlement.audit` has.

Each has its own arithmetic: nothing that booked the money is asked what it booked. What is on its way (unsent, not
pulled, suspended, torn) is named piece by piece, not tolerated.
"""

from __future__ import annotations

import sqlite3
from collections import Counter, defaultdict
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Final

from settlement.audit.points import Finding
from settlement.onecard.loads import LoadEvent
from sim.card.issue import CardImage
from sim.evidence import Evidence
from sim.loads import loads_of, loads_seen, objections_to_loads, unbooked
from sim.torn import SETTLED, executed_unproven, wrongly_settled
from wire.ids import CardId, TapId
from wire.money import format_fen
from wire.receipt import Suspense
from wire.record import Outcome, TapRecord

FLOAT_ACCOUNT: Final = 2001


def audit(evidence: Evidence) -> list[Finding]:
    """What only somebody can tell who has cards and terminals on the table, and may try to change a copy."""
    return [
        cards_did_what_is_booked(evidence),
        float_equals_purses(evidence),
        nothing_can_be_changed(evidence),
        torn_taps_are_listed(evidence),
        loads_are_on_their_cards_once(evidence),
    ]


def cards_did_what_is_booked(evidence: Evidence) -> Finding:
    """Each card's counter and balance are its opening plus exactly the debits and loads that the journals prove."""
    objections: list[str] = []
    by_card: dict[CardId, list[TapRecord]] = defaultdict(list)
    for record in (*evidence.sealed, *evidence.opened):
        by_card[record.card].append(record)
    loaded = _by_card(
        load.granted for load in loads_of(evidence).values() if load.is_on(evidence.cards.get(load.granted.card))
    )
    for card, image in evidence.cards.items():
        objections += _card_objections(image, by_card.pop(card, []), evidence.confirmed, loaded.get(card, 0))
    objections += [f"{len(taps)} taps name card {card}, which was never issued" for card, taps in by_card.items()]
    debits = sum(image.counter - image.opening_counter for image in evidence.cards.values())
    return Finding(
        14, "nothing is booked that no card did", f"{len(evidence.cards)} cards, {debits} debits", tuple(objections)
    )


def float_equals_purses(evidence: Evidence) -> Finding:
    """What the ledger holds for each purse, less every named piece on its way, is what the card holds."""
    held: dict[CardId, int] = defaultdict(int)
    objections: list[str] = []
    for posting in evidence.postings:
        if posting.account != FLOAT_ACCOUNT:
            continue
        if posting.purse is None:
            objections.append(f"entry {posting.entry} moves {_signed(posting.amount_fen)} of the float of no purse")
        else:
            held[posting.purse] -= posting.amount_fen
    pieces = {"unsent": _by_card(evidence.unsent()), "not pulled": _by_card(evidence.not_pulled())}
    pieces["suspended"] = _by_card(evidence.suspended_debits())
    pieces["torn"] = _by_card(executed_unproven(evidence))
    loads = _by_card(unbooked(evidence))
    for card in sorted(evidence.cards.keys() | held.keys()):
        image, holds = evidence.cards.get(card), held[card]
        way = sum(piece.get(card, 0) for piece in pieces.values()) - loads.get(card, 0)
        if image is None:
            objections.append(f"the float has {_signed(holds)} for card {card}, which was never issued")
        elif holds - way != image.balance_fen:
            objections.append(
                f"card {card}: float {_signed(holds)} less {_signed(way)} on its way is not the card's "
                f"{format_fen(image.balance_fen)}"
            )
    named = ", ".join(f"{name} {format_fen(sum(piece.values()))}" for name, piece in pieces.items())
    purses = sum(image.balance_fen for image in evidence.cards.values())
    seen = f"float {_signed(sum(held.values()))} = purses {format_fen(purses)} + {named}"
    if loads:
        seen += f" - loads on cards and not in the books yet {format_fen(sum(loads.values()))}"
    return Finding(15, "the float equals all purses and what is on its way", seen, tuple(objections))


def nothing_can_be_changed(evidence: Evidence) -> Finding:
    """On copies of the databases, changing any column of a money table, and deleting from it, fails.

    A table without rows cannot be tried: there the rules that its first row would meet must stand in the schema.
    """
    objections: list[str] = []
    tried = 0
    for path, tables in evidence.money_tables:
        with closing(sqlite3.connect(path)) as copy:
            for table in tables:
                columns = [name for (name,) in copy.execute("SELECT name FROM pragma_table_info(?)", (table,))]
                if not columns:
                    objections.append(f"{path.name}: table {table} is missing")
                elif copy.execute(f"SELECT 1 FROM {table} LIMIT 1").fetchone() is None:
                    objections += _rules_missing(copy, path, table)
                else:
                    attempts = [f"UPDATE {table} SET {name} = {name}" for name in columns] + [f"DELETE FROM {table}"]
                    tried += len(attempts)
                    objections += [f"{path.name}: {sql} was let through" for sql in attempts if _goes(copy, sql)]
    return Finding(16, "no record can be changed or deleted", f"{tried} attempts on copies", tuple(objections))


def torn_taps_are_listed(evidence: Evidence) -> Finding:
    """Every tap whose outcome is not known is listed with amount; at the server as a suspense item.

    What the ledger has settled from later counters is what the cards did.
    """
    unknown = [r for r in evidence.sealed if r.outcome is Outcome.UNKNOWN and r.tap_id not in evidence.confirmed]
    reason = Suspense.OUTCOME_UNKNOWN
    listed = {(item.tap_id, item.amount_fen) for item in evidence.suspense if item.reason == reason}
    pulled = {row.tap_id for row in evidence.stream if row.position <= evidence.ledger_position}
    objections = [
        f"tap {record.tap_id} of {format_fen(record.amount_fen)} is unknown and not listed"
        for record in unknown
        if record.tap_id in pulled and (record.tap_id, record.amount_fen) not in listed
    ]
    objections += wrongly_settled(evidence, unknown)
    settled = {item.tap_id: item.settled for item in evidence.suspense if item.settled is not None}
    still = [f"tap {record.tap_id.seq} of {format_fen(record.amount_fen)} is open" for record in evidence.opened]
    still += [
        f"tap {record.tap_id.seq} of {format_fen(record.amount_fen)} {SETTLED[settled.get(record.tap_id)]}"
        for record in unknown
    ]
    return Finding(
        17, "what is not known is listed with its amount", "; ".join(still) or "nothing is unknown", tuple(objections)
    )


def loads_are_on_their_cards_once(evidence: Evidence) -> Finding:
    """Each card's online counts are one load each, and the ledger has of the desk's journal what it has read."""
    objections = tuple(objections_to_loads(evidence))
    return Finding(18, "every confirmed load is on its card exactly once", loads_seen(evidence), objections)


def _goes(copy: sqlite3.Connection, sql: str) -> bool:
    """Whether the statement is let through; it is undone either way."""
    try:
        copy.execute(sql)
    except sqlite3.IntegrityError:
        return False
    finally:
        copy.rollback()
    return True


def _rules_missing(copy: sqlite3.Connection, path: Path, table: str) -> list[str]:
    """Which of the two insert-only triggers of an empty table are not there."""
    rules = {f"{table}_is_never_changed", f"{table}_is_never_deleted"}
    there = {name for (name,) in copy.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'")}
    return [f"{path.name}: rule {rule} is missing" for rule in sorted(rules - there)]


def _card_objections(image: CardImage, taps: Iterable[TapRecord], confirmed: set[TapId], loaded_fen: int) -> list[str]:
    """One card against the journals: each counter from opening to now belongs to one debit, or to one torn tap."""
    sure = [tap for tap in taps if tap.outcome is Outcome.DEBITED or tap.tap_id in confirmed]
    debits = Counter(tap.counter for tap in sure)
    maybe = {tap.counter: int(tap.amount_fen) for tap in taps if tap.outcome is Outcome.UNKNOWN}
    objections = [
        f"card {image.card}: counter {n} was debited {times} times" for n, times in debits.items() if times > 1
    ]
    spent: int = sum(tap.amount_fen for tap in sure)
    for counter in range(image.opening_counter, image.counter):
        if counter not in debits:
            if counter in maybe:
                spent += maybe[counter]
            else:
                objections.append(f"card {image.card} made debit {counter}, which is in no journal")
    objections += [
        f"card {image.card} never made debit {n}" for n in debits if not image.opening_counter <= n < image.counter
    ]
    if image.opening_balance_fen + loaded_fen - spent != image.balance_fen:
        objections.append(
            f"card {image.card}: {format_fen(image.opening_balance_fen)} and {format_fen(loaded_fen)} loaded less "
            f"{format_fen(spent)} is not {format_fen(image.balance_fen)}"
        )
    return objections


def _by_card(records: Iterable[TapRecord | LoadEvent]) -> dict[CardId, int]:
    sums: dict[CardId, int] = defaultdict(int)
    for record in records:
        sums[record.card] += record.amount_fen
    return sums


def _signed(amount_fen: int) -> str:
    """An amount that ought not to be below zero, but may be."""
    return f"{'-' if amount_fen < 0 else ''}{format_fen(abs(amount_fen))}"
