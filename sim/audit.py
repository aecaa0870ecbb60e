"""The auditor: does the money come out right, over cards, journal, stream and ledger? Reads evidence, believes nobody.

Each invariant is a function from `Evidence` to a `Finding`, with its own arithmetic: nothing that booked the money is
asked what it booked. What is on its way (unsent, not pulled, suspended, torn) is named piece by piece, not tolerated.
"""

from __future__ import annotations

import hashlib
import sqlite3
import textwrap
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeVar

from settlement.onecard.loads import LoadEvent
from sim.card.issue import CardImage
from sim.evidence import LOAD, PURCHASE, Evidence, LedgerEntry, StreamTap, Suspended
from sim.loads import POSTED, loads_of, loads_seen, objections_to_loads, unbooked
from sim.torn import SETTLED, executed_unproven, wrongly_settled
from wire.ids import CardId, Stream, TapId
from wire.money import format_fen
from wire.receipt import Suspense
from wire.record import Outcome, TapRecord, genesis_hash, next_hash

FLOAT_ACCOUNT: Final = 2001
_OPENING = 1
_DEBIT_AND_CREDIT: Final = {
    _OPENING: (1010, FLOAT_ACCOUNT),
    PURCHASE: (FLOAT_ACCOUNT, 2002),
    LOAD: (1010, FLOAT_ACCOUNT),
}
_OBJECTIONS_SHOWN: Final = 5
_WIDTH: Final = 79
_INDENT: Final = "      "

Item = TypeVar("Item")
Replay = Callable[[bytes], bytes]  # a batch's bytes to the receipt's bytes, through the front door


@dataclass(frozen=True, slots=True)
class Finding:
    """One invariant's result: what it says, what was looked at, and what is wrong (nothing, if all is well)."""

    invariant: str
    seen: str
    objections: tuple[str, ...] = field(default=())

    @property
    def holds(self) -> bool:
        """Whether there is nothing to object to."""
        return not self.objections


def audit(evidence: Evidence, replay: Replay) -> list[Finding]:
    """All findings, in the order of the architecture's list."""
    return [
        taps_are_in_the_ledger_once(evidence),
        cards_did_what_is_booked(evidence),
        entries_balance(evidence),
        float_equals_purses(evidence),
        nothing_can_be_changed(evidence),
        replay_changes_nothing(evidence, replay),
        server_knows_what_is_missing(evidence),
        torn_taps_are_listed(evidence),
        loads_are_on_their_cards_once(evidence),
    ]


def taps_are_in_the_ledger_once(evidence: Evidence) -> Finding:
    """Journal, stream and ledger hold the same taps, each once, by the bytes of the record."""
    objections: list[str] = []
    journal = {record.tap_id: record for record in evidence.sealed}
    stream: dict[object, bytes] = {}
    for row in evidence.stream:
        if row.tap_id in stream:
            objections.append(f"tap {row.tap_id} is in the stream twice")
        stream[row.tap_id] = row.record
        if row.tap_id not in journal:
            objections.append(f"tap {row.tap_id} is in the stream but in no journal")
        elif journal[row.tap_id].to_bytes() != row.record:
            objections.append(f"tap {row.tap_id} differs between journal and stream")
    objections += _chains(evidence)
    objections += _ledger_against_stream(evidence)
    on_its_way = sum(row.position > evidence.ledger_position for row in evidence.stream)
    unsent = len(journal.keys() - stream.keys())
    seen = f"{len(journal)} taps: {len(stream)} at the stream, {unsent} unsent, {on_its_way} not pulled yet"
    return Finding("every sealed tap is in the ledger exactly once", seen, tuple(objections))


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
        "nothing is booked that no card did", f"{len(evidence.cards)} cards, {debits} debits", tuple(objections)
    )


def entries_balance(evidence: Evidence) -> Finding:
    """Every entry's postings sum to zero, and are the debit and the credit that its kind and amount call for."""
    sides: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for posting in evidence.postings:
        sides[posting.entry].append((posting.account, posting.amount_fen))
    objections: list[str] = []
    for entry in evidence.entries:
        posted = sides.pop(entry.id, [])
        total = sum(amount_fen for _, amount_fen in posted)
        if total:
            objections.append(f"the postings of entry {entry.id} sum to {_signed(total)}")
        elif entry.kind not in _DEBIT_AND_CREDIT:
            objections.append(f"entry {entry.id} is of kind {entry.kind}, which nothing here makes")
        elif (entry.tap_id is None) is (entry.kind == PURCHASE) or (entry.load_id is None) is (entry.kind == LOAD):
            named = "no tap" if entry.tap_id is None else "a tap"
            objections.append(f"entry {entry.id} of kind {entry.kind} names {named}")
        elif sorted(posted) != _postings_of(entry):
            objections.append(f"entry {entry.id}: {_signed(entry.amount_fen)} of its kind is posted otherwise")
    objections += [f"there are postings of entry {entry}, which does not exist" for entry in sides]
    seen = f"{len(evidence.entries)} entries, {len(evidence.postings)} postings"
    return Finding("every entry's postings sum to zero", seen, tuple(objections))


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
    return Finding("the float equals all purses and what is on its way", seen, tuple(objections))


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
    return Finding("no record can be changed or deleted", f"{tried} attempts on copies", tuple(objections))


def replay_changes_nothing(evidence: Evidence, replay: Replay) -> Finding:
    """The newest batch, sent again through the front door, gets its first answer again, and nothing is added."""
    if not evidence.batches:
        return Finding("a replayed batch gets its first answer again", "no batches yet")
    raw, receipt = evidence.batches[-1]
    before = evidence.stream_counts()
    objections = [] if replay(raw) == receipt else ["the replayed batch got another receipt than the first time"]
    if evidence.stream_counts() != before:
        objections.append("the replayed batch added rows")
    return Finding(
        "a replayed batch gets its first answer again", f"1 of {len(evidence.batches)} batches", tuple(objections)
    )


def server_knows_what_is_missing(evidence: Evidence) -> Finding:
    """For every terminal: the server's numbers are consecutive, and what it misses is what the journal has more."""
    listed = {(terminal.terminal, terminal.epoch) for terminal in evidence.terminals}
    known = {(r.tap_id.terminal, r.tap_id.epoch) for r in (*evidence.sealed, *evidence.opened)}
    objections = [f"the server does not know terminal {name.hex()}-{epoch}" for name, epoch in sorted(known - listed)]
    seen = []
    for terminal in evidence.terminals:
        has = sorted(
            row.tap_id.seq
            for row in evidence.stream
            if row.tap_id.terminal == terminal.terminal and row.tap_id.epoch == terminal.epoch
        )
        name = f"{terminal.terminal.hex()}-{terminal.epoch}"
        if has != list(range(1, terminal.next_seq)):
            objections.append(f"terminal {name}: the server has {len(has)} taps but counts up to {terminal.next_seq}")
        journal = [
            r for r in evidence.sealed if (r.tap_id.terminal, r.tap_id.epoch) == (terminal.terminal, terminal.epoch)
        ]
        total = sum(r.debited_fen for r in journal if r.tap_id.seq < terminal.next_seq)
        if total != terminal.total_fen:
            objections.append(f"terminal {name}: the server adds up {terminal.total_fen} fen, the journal {total}")
        heard = sum(r.debited_fen for r in journal if r.tap_id.seq <= terminal.heard_seq)
        if heard != terminal.heard_total_fen:
            objections.append(
                f"terminal {name}: it said {terminal.heard_total_fen} fen up to {terminal.heard_seq}, not {heard}"
            )
        if terminal.heard_seq > len(journal):
            objections.append(f"terminal {name}: it once had {terminal.heard_seq} taps, its journal has {len(journal)}")
        missing = max(terminal.heard_seq - terminal.next_seq + 1, 0)
        money = max(terminal.heard_total_fen - terminal.total_fen, 0)
        seen.append(f"{name} has 1 to {terminal.next_seq - 1}, misses {missing} known ({format_fen(money)})")
    return Finding(
        "the server knows which numbers it has and lacks", "; ".join(seen) or "no terminals", tuple(objections)
    )


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
        "what is not known is listed with its amount", "; ".join(still) or "nothing is unknown", tuple(objections)
    )


def loads_are_on_their_cards_once(evidence: Evidence) -> Finding:
    """Each card's online counts are one load each, and the ledger has of the desk's journal what it has read."""
    objections = tuple(objections_to_loads(evidence))
    return Finding("every confirmed load is on its card exactly once", loads_seen(evidence), objections)


def report_lines(findings: Sequence[Finding]) -> list[str]:
    """The verdict as people read it."""
    lines = ["Auditor"]
    for finding in findings:
        lines.append(f"  {'ok' if finding.holds else 'NO'}  {finding.invariant}")
        lines += textwrap.wrap(finding.seen, _WIDTH, initial_indent=_INDENT, subsequent_indent=_INDENT)
        lines += [f"{_INDENT}OBJECTION: {objection}" for objection in finding.objections[:_OBJECTIONS_SHOWN]]
        if len(finding.objections) > _OBJECTIONS_SHOWN:
            lines.append(f"{_INDENT}and {len(finding.objections) - _OBJECTIONS_SHOWN} more")
    broken = sum(not finding.holds for finding in findings)
    lines.append(
        "  verdict: content" if broken == 0 else f"  verdict: OBJECTS, {broken} of {len(findings)} do not hold"
    )
    return lines


def _chains(evidence: Evidence) -> list[str]:
    """Recompute the terminals' chains and the stream's own over what the stream stored."""
    objections = []
    heads: dict[tuple[bytes, int], bytes] = {}
    stream_head = _stream_genesis(evidence.stream_kind)
    intake: list[StreamTap] = []
    for expected, row in enumerate(evidence.stream, start=1):
        key = (row.tap_id.terminal, row.tap_id.epoch)
        head = heads.get(key, genesis_hash(row.tap_id.terminal, row.tap_id.epoch))
        heads[key] = next_hash(head, row.record)
        if heads[key] != row.chain_hash:
            objections.append(f"the chain of terminal {row.tap_id.terminal.hex()} breaks at {row.tap_id}")
            heads[key] = row.chain_hash
        if row.position != expected:
            objections.append(f"the stream's journal has position {row.position} where {expected} belongs")
        intake.append(row)
        if row.stream_hash is not None:
            if _intake_hash(stream_head, intake) != row.stream_hash:
                objections.append(f"the stream's own chain breaks between {intake[0].position} and {row.position}")
            stream_head, intake = row.stream_hash, []
    if intake:
        objections.append(f"the stream's own chain ends before position {intake[0].position}")
    return objections


def _intake_hash(before: bytes, intake: Sequence[StreamTap]) -> bytes:
    """The stream's chain after taps that came together, each received when the last one was."""
    records = b"".join(row.record for row in intake)
    verdicts = b"".join(
        place.to_bytes(2, "big") + bytes((row.suspense & 0xFF,))
        for place, row in enumerate(intake)
        if row.suspense is not None
    )
    received = intake[-1].received_at_utc_s.to_bytes(8, "big")
    return next_hash(before, len(records).to_bytes(4, "big") + records + verdicts + received)


def _stream_genesis(stream: Stream) -> bytes:
    return hashlib.sha256(b"campus stream v1" + bytes((stream,))).digest()


def _ledger_against_stream(evidence: Evidence) -> list[str]:
    """Each tap that the ledger has pulled is booked or parked with the record's own amount; no other tap is."""
    objections: list[str] = []
    posted = _by_tap((entry.tap_id, entry) for entry in evidence.entries if entry.tap_id is not None)
    parked = _by_tap((item.tap_id, item) for item in evidence.suspense if isinstance(item.tap_id, TapId))
    records = [record for row in evidence.stream if row.debits and (record := row.tap) is not None]
    claims = Counter(claim for record in records for claim in _claims(record))
    for row in evidence.stream:
        entries, items = posted.pop(row.tap_id, []), parked.pop(row.tap_id, [])
        record = row.tap
        if record is None:
            objections.append(f"the record of tap {row.tap_id} in the stream cannot be read")
            continue
        pulled = row.position <= evidence.ledger_position
        settled = any(item.settled == 1 for item in items)
        wanted = (0, 0)
        if pulled:
            wanted = _wanted(row, record, parked=row.suspense is not None or bool(items), settled=settled)
        if (len(entries), len(items)) != wanted:
            objections.append(
                f"tap {row.tap_id} ({record.outcome.name}) has {len(entries)} entries and {len(items)} suspense items, "
                f"not {wanted}"
            )
        amounts = {entry.amount_fen for entry in entries} | {item.amount_fen for item in items}
        objections += [
            f"tap {row.tap_id} is of {format_fen(record.amount_fen)}, the ledger has {_signed(amount_fen)}"
            for amount_fen in amounts - {record.amount_fen}
        ]
        objections += [
            f"tap {row.tap_id} is parked for reason {item.reason}, for which there is no ground"
            for item in items
            if not _has_ground(evidence, item, row.suspense, record, claims)
        ]
    objections += [f"the ledger has an entry for tap {tap}, which no stream has" for tap in posted]
    objections += [f"the ledger has a suspense item for tap {tap}, which no stream has" for tap in parked]
    newest = evidence.stream[-1].position if evidence.stream else 0
    if evidence.ledger_position > newest:
        objections.append(f"the ledger has read {evidence.ledger_position} taps of a stream that has {newest}")
    return objections


def _postings_of(entry: LedgerEntry) -> list[tuple[int, int]]:
    """Accounts and amounts that the entry must have, ascending."""
    if entry.amount_fen == 0 or (entry.kind == LOAD and entry.resolved != POSTED):
        return []
    debit, credit = _DEBIT_AND_CREDIT[entry.kind]
    return sorted([(debit, entry.amount_fen), (credit, -entry.amount_fen)])


def _claims(record: TapRecord) -> tuple[tuple[object, ...], tuple[object, ...]]:
    """What only one debit can have: a counter of its card, and a number of its terminal's PSAM."""
    return (Suspense.COUNTER_TAKEN, record.card, record.counter), (
        Suspense.TTSN_TAKEN,
        record.tap_id.terminal,
        record.ttsn,
    )


def _has_ground(
    evidence: Evidence,
    item: Suspended,
    suspense: int | None,
    record: TapRecord,
    claims: Counter[tuple[object, ...]],
) -> bool:
    """A tap is parked for what the stream found, for what another tap claims too, or for a purse that was not there."""
    if suspense is not None:
        return item.reason == suspense
    image = evidence.cards.get(record.card)
    grounds = {claim[0] for claim in _claims(record) if claims[claim] > 1}
    if image is None:
        grounds.add(Suspense.CARD_UNKNOWN)
    elif record.counter < image.opening_counter:
        grounds.add(Suspense.BEFORE_OPENING)
    return item.reason in grounds


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


def _wanted(row: StreamTap, record: TapRecord, *, parked: bool, settled: bool) -> tuple[int, int]:
    """(entries, suspense items) that a pulled tap must have; a debit is booked or parked, never both, never neither.

    One that was parked as unknown is booked as well once it was settled as executed.
    """
    if row.debits:
        return (0, 1) if parked else (1, 0)
    if record.outcome is not Outcome.UNKNOWN:
        return (0, 0)
    return (1, 1) if settled and row.suspense == Suspense.OUTCOME_UNKNOWN else (0, 1)


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


def _by_tap(items: Iterable[tuple[TapId, Item]]) -> dict[TapId, list[Item]]:
    found: dict[TapId, list[Item]] = defaultdict(list)
    for tap_id, item in items:
        found[tap_id].append(item)
    return found


def _signed(amount_fen: int) -> str:
    """An amount that ought not to be below zero, but may be."""
    return f"{'-' if amount_fen < 0 else ''}{format_fen(abs(amount_fen))}"
