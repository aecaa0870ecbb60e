"""Doing it all over: streams from the batches as they came, the ledger from the streams, in other orders and portions.

What comes of it must be what is in the books. Only the production code decides here; nothing of the installation is
written. Left out: what the other points look at (`points`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from random import Random
from typing import Final

from settlement.audit.evidence import Evidence, Progress, gather_ledger
from settlement.ledger import store as ledger_store
from settlement.ledger.pull import JournalSource, LoadSource, OpeningSource, StreamSource, pull_portion
from settlement.onecard.keys import KeyStore
from settlement.settings import Home
from settlement.store.database import Database, migrate, open_reader, open_writer
from settlement.store.router import LEDGER, ONECARD, TOPUP
from settlement.streams import store
from settlement.streams.coding import CodingStates
from settlement.streams.ingest import accept_batch, accept_datagram
from wire.batch import BATCH_VERSION, decode_batch
from wire.ids import Stream, TerminalId
from wire.messages import Receipt
from wire.receipt import Suspense
from wire.record import genesis_hash

_BATCHES_PAGE: Final = 60  # shuffled together: what comes too early is offered again and again
_PORTIONS: Final = (1, 3, 40, 500, 2000)
_PORTIONS_OF_MANY: Final = (200, 500, 2000)
_MANY: Final = 20_000  # taps; one at a time would take hours
_ROUNDS_MAX: Final = 1_000  # over batches that wait for others; each round takes at least one in

# Which of several claims to one thing is booked depends on which came first; that all are there does not.
_CONTESTED: Final = ", ".join(
    str(int(reason))
    for reason in (
        Suspense.COUNTER_TAKEN,
        Suspense.TAP_DIFFERS,
        Suspense.TTSN_TAKEN,
        Suspense.CREDIT_UNFOUNDED,
        Suspense.CREDIT_DOUBLED,
        Suspense.CREDIT_EXCEEDS_SALE,
    )
)
# What every claim has come to. What later counts or people made of an item is left out: it follows from time and
# decisions. An item that was booked when what it lacked came counts as booked.
_STATE: Final = f"""
    SELECT coalesce(lower(hex(terminal)), 'purse ..' || substr(hex(card), -4)) || '-' || coalesce(epoch, 0) || '-'
           || coalesce(seq, 0),
           'booked ' || kind || ' ' || hex(card) || ' ' || counter || ' ' || amount || ' ' || subsidy || ' '
           || coalesce(refers, 0) || ' ' || coalesce((SELECT outcome FROM ended WHERE ended.entry = entry.id), 0),
           card, counter
    FROM entry WHERE kind NOT IN (7, 8)
    AND id NOT IN (SELECT entry FROM resolution WHERE outcome IN (1, 4) AND entry NOTNULL)
    UNION ALL
    SELECT lower(hex(terminal)) || '-' || epoch || '-' || seq, 'suspended ' || reason, card, counter
    FROM item WHERE id NOT IN (SELECT item FROM resolution WHERE outcome = 3) AND reason NOT IN ({_CONTESTED})
"""
_CONTESTS: Final = f"""
    SELECT DISTINCT mine.card, mine.counter FROM item AS mine WHERE reason IN ({_CONTESTED})
    UNION SELECT entry.card, entry.counter FROM item JOIN entry ON entry.terminal = item.terminal
    AND (entry.ttsn = item.ttsn OR (entry.epoch = item.epoch AND entry.seq IN (item.seq, item.refers)))
    WHERE reason IN ({_CONTESTED})
"""

Result = tuple[str, list[str]]


def replay_uploads(
    home: Home, evidence: Evidence, *, keys: KeyStore, scratch: Path, random: Random, progress: Progress
) -> Result:
    """Every kept batch and message, each twice and in a shuffled order, into new streams: the same journals."""
    objections: list[str] = []
    count = 0
    for stream in evidence.streams:
        progress(f"uploads of {stream.label}, done over")
        with open_reader(home.place(stream.label, role=LEDGER), stream.label) as kept:
            replayed, said = _replay_stream(kept, evidence, stream, keys, scratch, random)
        count += replayed
        objections += said
    return f"{count} uploads twice, out of order", objections


def _replay_stream(
    kept: Database, evidence: Evidence, stream: Stream, keys: KeyStore, scratch: Path, random: Random
) -> tuple[int, list[str]]:
    path = scratch / f"{stream.label}.db"
    migrate(path, stream.label)
    states = CodingStates()
    count = 0
    with _scratch(path, stream.label) as db:
        with db.transaction():
            for terminal, epoch, key in kept.query(
                "SELECT terminal, epoch, public_key FROM terminal ORDER BY id", into=lambda *row: row
            ):
                genesis = genesis_hash(TerminalId(terminal), epoch)
                store.add_terminal(db, terminal=terminal, epoch=epoch, public_key=key, genesis=genesis, now_utc_s=0)
        waiting: list[bytes] = []
        last = 0
        while rows := kept.query(
            f"SELECT id, raw FROM batch WHERE id > %s AND id <= %s ORDER BY id LIMIT {_BATCHES_PAGE}",
            (last, evidence.batches.get(stream, 0)),  # what came since belongs to the next audit
            into=lambda *row: row,
        ):
            last, count = rows[-1][0], count + len(rows)
            waiting += [raw for _, raw in rows] * 2
            random.shuffle(waiting)
            waiting = _take_in(db, waiting, states, stream, keys)
    with open_reader(path, stream.label) as db:
        return count, _stream_differences(db, evidence, stream)


def _scratch(path: Path, alias: str) -> Database:
    """A database that is thrown away when it has been looked at."""
    db = open_writer(path, alias)
    db.execute("PRAGMA synchronous = OFF")
    return db


def _take_in(db: Database, waiting: list[bytes], states: CodingStates, stream: Stream, keys: KeyStore) -> list[bytes]:
    """Offer what waits until nothing more is taken; what is left begins beyond what is there."""
    for _ in range(_ROUNDS_MAX):
        left = [raw for raw in waiting if not _is_taken(db, raw, states, stream, keys)]
        if len(left) in (0, len(waiting)):
            return left
        waiting = left
    return waiting


def _is_taken(db: Database, raw: bytes, states: CodingStates, stream: Stream, keys: KeyStore) -> bool:
    if raw[0] == BATCH_VERSION:
        answer = accept_batch(db, decode_batch(raw), states=states, stream=stream, keys=keys, now_utc_s=0)
    else:
        answer = accept_datagram(db, raw, states=states, stream=stream, keys=keys, now_utc_s=0)
    return isinstance(answer, Receipt)


def _stream_differences(db: Database, evidence: Evidence, stream: Stream) -> list[str]:
    """The rebuilt stream against the evidence: each journal's end and hash, each suspended tap with its reason."""
    found = {(row.terminal, row.epoch): (row.next_seq, row.head_hash, row.total_fen) for row in store.all_terminals(db)}
    sql = "SELECT terminal, epoch, next_seq, head_hash, total FROM journal WHERE stream = ?"
    objections = [
        f"{terminal.hex()}-{epoch} of {stream.label} ends elsewhere when its uploads come in another order"
        for terminal, epoch, *end in evidence.rows(sql, (stream.label,), into=lambda *row: row)
        if found.get((terminal, epoch)) != tuple(end)
    ]
    rebuilt = set(
        db.query(
            """
            SELECT terminal, epoch, first_seq + suspended_tap.position - intake.position, reason
            FROM suspended_tap JOIN intake ON suspended_tap.position >= intake.position
            AND suspended_tap.position < intake.next_position
            """,
            into=lambda *row: row,
        )
    )
    sql = "SELECT terminal, epoch, seq, suspense FROM tap WHERE stream = ? AND suspense IS NOT NULL"
    there = set(evidence.rows(sql, (stream.label,), into=lambda *row: row))
    objections += [
        f"tap {terminal.hex()}-{epoch}-{seq} is judged otherwise when it comes in another order"
        for terminal, epoch, seq, _ in rebuilt ^ there
    ]
    return objections


def reorder_sources(home: Home, evidence: Evidence, *, scratch: Path, random: Random, progress: Progress) -> Result:
    """The streams and loads into a new ledger, source by source as chance has it, in other portions: the same books."""
    progress("ledger, done over")
    path = scratch / "rebuilt.db"
    migrate(path, LEDGER)
    openings = OpeningSource(home.place(ONECARD, role=LEDGER))
    sources: list[JournalSource] = [
        StreamSource(home.place(stream.label, role=LEDGER), stream) for stream in evidence.streams
    ]
    sources.append(LoadSource(home.place(TOPUP, role=LEDGER)))
    ends: dict[str, int] = dict(
        evidence.rows("SELECT source, position FROM cursor", into=lambda source, position: (source, position))
    )
    try:
        with _scratch(path, LEDGER) as db:
            _pull_to(db, [openings], ends, random, (500,))
            many = evidence.number("SELECT count(*) FROM tap") > _MANY
            _pull_to(db, sources, ends, random, _PORTIONS_OF_MANY if many else _PORTIONS)
    finally:
        for source in (openings, *sources):
            source.close()
    rebuilt = gather_ledger(path, scratch / "rebuilt-evidence.db")
    contested = _contests(evidence) | _contests(rebuilt)
    here, there = _state(evidence, contested), _state(rebuilt, contested)
    objections = []
    if here != there:
        mine, theirs = _lines(evidence, contested), _lines(rebuilt, contested)
        objections = [f"{name} is otherwise when sources are read in another order" for name, _ in mine ^ theirs]
        objections = sorted(set(objections)) or ["something is there twice when sources are read in another order"]
    seen = f"{len(sources)} sources, state {here.hex()[:16]}"
    return seen + (f"; {len(contested)} contested counts left out" if contested else ""), objections


def _pull_to(
    db: Database, sources: Iterable[JournalSource], ends: dict[str, int], random: Random, portions: Sequence[int]
) -> None:
    """Read every source as far as the ledger has, no further."""
    left = {source.name: source for source in sources if ends.get(source.name)}
    while left:
        source = left[random.choice(sorted(left))]
        cursor = ledger_store.read_cursor(db, source.name) or source.start()
        remaining = ends[source.name] - cursor.position
        if remaining <= 0:
            del left[source.name]
            continue
        rows, _ = pull_portion(db, source, min(random.choice(portions), remaining))
        if rows == 0:
            del left[source.name]  # it was restored since; what is missing differs


def _contests(evidence: Evidence) -> set[tuple[bytes, int]]:
    return set(evidence.rows(_CONTESTS, into=lambda card, counter: (card, counter)))


def _lines(evidence: Evidence, contested: set[tuple[bytes, int]]) -> set[tuple[str, str]]:
    return {
        (name, state)
        for name, state, card, counter in evidence.rows(_STATE, into=lambda *row: row)
        if (card, counter) not in contested
    }


def _state(evidence: Evidence, contested: set[tuple[bytes, int]]) -> bytes:
    """A hash over all claims in whatever order: the sum of each one's own."""
    total = 0
    for name, state, card, counter in evidence.rows(_STATE, into=lambda *row: row):
        if (card, counter) not in contested:
            total += int.from_bytes(hashlib.sha256(f"{name} {state}".encode()).digest())
    return (total % 2**256).to_bytes(32)
