"""What the audit looks at: streams, top-up desk, card registry and ledger, read once into one scratch database.

Every hash chain and signature is recomputed while reading; what does not fit is kept as an objection. The ledger is
read first, then what it pulls from, so that what is downstream is never newer. Left out: any judgement (`points`).
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeVar

from settlement.ledger.days import wrong_closes
from settlement.office import decisions_after, decisions_genesis, next_decision_hash
from settlement.onecard.loads import LoadEvent, loads_genesis, next_load_hash
from settlement.onecard.registry import PurseOpening, next_opening_hash, openings_genesis
from settlement.settings import Home
from settlement.store.database import Database, Place, SchemaMissing, Value, open_reader
from settlement.store.router import LEDGER, OFFICE, ONECARD, TOPUP
from settlement.streams.store import next_stream_hash, stream_genesis
from wire.batch import BATCH_VERSION, decode_batch
from wire.errors import CampusError
from wire.fields import FormatError
from wire.ids import CONSUMPTION_STREAMS, Asn, CardId, IssuerId, Stream, TerminalId
from wire.money import Fen
from wire.record import LAYOUT, RECORD_BYTES, RECORD_VERSION, genesis_hash, next_hash
from wire.shift import ShiftReport, shift_genesis
from wire.signature import SignatureInvalid

_PAGE: Final = 5_000  # rows read at a time
_INTAKES_PAGE: Final = 200  # each has up to 500 taps

_SCHEMA: Final = """
    CREATE TABLE tap (stream TEXT, position INT, terminal BLOB, epoch INT, seq INT, kind INT, outcome INT, mac2 INT,
                      card BLOB, amount INT, subsidy INT, credit INT, balance INT, counter INT, ttsn INT, refers INT,
                      happened INT, suspense INT, received INT, hash BLOB);
    CREATE TABLE journal (stream TEXT, terminal BLOB, epoch INT, public_key BLOB, next_seq INT, head_hash BLOB,
                          total INT, heard_seq INT, heard_total INT, quarantined TEXT);
    CREATE TABLE fork (stream TEXT, terminal BLOB, epoch INT, seq INT, received INT);
    CREATE TABLE signed (stream TEXT, terminal BLOB, epoch INT, first_seq INT, next_seq INT);
    CREATE TABLE load (position INT, kind INT, point BLOB, epoch INT, number INT, card BLOB, counter INT, amount INT,
                       funding INT);
    CREATE TABLE opening (position INT, card BLOB, balance INT, counter INT);
    CREATE TABLE entry (id INT, kind INT, source TEXT, position INT, terminal BLOB, epoch INT, seq INT, card BLOB,
                        counter INT, ttsn INT, amount INT, subsidy INT, refers INT, day INT);
    CREATE TABLE posting (id INT, entry INT, account INT, purse BLOB, amount INT, day INT);
    CREATE TABLE ended (entry INT, outcome INT);
    CREATE TABLE item (id INT, source TEXT, position INT, terminal BLOB, epoch INT, seq INT, reason INT, kind INT,
                       card BLOB, counter INT, ttsn INT, amount INT, subsidy INT, refers INT, since INT);
    CREATE TABLE resolution (item INT, outcome INT, evidence INT, entry INT, proposed_by TEXT, confirmed_by TEXT);
    CREATE TABLE cursor (source TEXT, lineage INT, position INT);
    CREATE TABLE day_close (number INT, day INT, entries INT);
    CREATE TABLE day_total (day INT, account INT, kind INT, debit INT, credit INT);
    CREATE TABLE day_balance (day INT, account INT, balance INT);
    CREATE TABLE purse (card BLOB, balance INT);
    CREATE TABLE statement (day INT, gross INT, back INT, corrected INT, fee INT, net INT);
    CREATE TABLE taken (day INT, gross INT, back INT, corrected INT);
    CREATE TABLE finished (terminal BLOB, epoch INT, proposed_by TEXT, confirmed_by TEXT);
    CREATE TABLE decided (key BLOB, action INT, body TEXT, by TEXT);
"""
_INDEXES: Final = """
    CREATE INDEX tap_by_id ON tap (terminal, epoch, seq);
    CREATE INDEX tap_by_count ON tap (card, counter);
    CREATE INDEX entry_by_id ON entry (terminal, epoch, seq);
    CREATE INDEX entry_by_number ON entry (id);
    CREATE INDEX posting_by_entry ON posting (entry);
    CREATE INDEX item_by_id ON item (terminal, epoch, seq);
"""
_ENTRY: Final = (
    "id, kind, source, source_position, terminal, epoch, seq, card, counter, ttsn, amount_fen, subsidy_fen, refers_to,"
    " accounting_day"
)
# What is copied as it is from the ledger: scratch table, table and columns there; the first is what it is read on by.
_LEDGER: Final = (
    ("entry", "other_entry", _ENTRY),
    ("posting", "other_posting", "id, entry_id, account_id, purse, amount_fen, accounting_day"),
    ("ended", "entry_resolution", "entry_id, outcome"),
    (
        "item",
        "suspense_item",
        (
            "id, source, source_position, terminal, epoch, seq, reason, kind, card, counter, ttsn, amount_fen,"
            " subsidy_fen, refers_to, since_utc_s"
        ),
    ),
    (
        "resolution",
        "suspense_resolution",
        "suspense_item_id, outcome, evidence_id, entry_id, proposed_by, confirmed_by",
    ),
    ("day_close", "day_close", "number, day, entries"),
)
# The postings that follow from usual sales; the school's part goes through the purse.
_SALES_POSTINGS: Final = """
    INSERT INTO posting (entry, account, purse, amount, day)
    SELECT id, 5003, NULL, subsidy, day FROM entry WHERE subsidy <> 0
    UNION ALL SELECT id, 2001, card, -subsidy, day FROM entry WHERE subsidy <> 0
    UNION ALL SELECT id, 2001, card, amount + subsidy, day FROM entry WHERE amount + subsidy <> 0
    UNION ALL SELECT id, 2002, NULL, -(amount + subsidy), day FROM entry WHERE amount + subsidy <> 0
"""
_ODD_RUNS: Final = """
    SELECT sale_run.id FROM sale_run LEFT JOIN (
        SELECT run_id, count(*) AS taps, min(id) AS first, max(id) AS last, sum(amount_fen) AS amount_fen,
               sum(subsidy_fen) AS subsidy_fen FROM sale GROUP BY run_id) its ON its.run_id = sale_run.id
    WHERE its.run_id IS NULL OR its.taps <> sale_run.taps OR its.first <> sale_run.id
    OR its.last <> sale_run.id + sale_run.taps - 1
    OR its.amount_fen <> sale_run.amount_fen OR its.subsidy_fen <> sale_run.subsidy_fen
"""
_LOST_SALES: Final = "SELECT (SELECT count(*) FROM sale) - (SELECT count(*) FROM sale_entry)"
_LEDGER_SMALL: Final = (
    ("cursor", "SELECT source, lineage, position FROM source_cursor"),
    ("day_total", "SELECT day, account_id, kind, debit_fen, credit_fen FROM day_total"),
    ("day_balance", "SELECT day, account_id, balance_fen FROM day_balance"),
    ("purse", "SELECT purse, balance_fen FROM purse_balance"),
    (
        "statement",
        "SELECT day, gross_fen, reversed_fen + refunded_fen, corrected_fen, fee_fen, net_fen FROM statement",
    ),
    ("taken", "SELECT day, gross_fen, reversed_fen + refunded_fen, corrected_fen FROM terminal_day"),
    ("finished", "SELECT terminal, epoch, proposed_by, confirmed_by FROM finished_journal"),
)

Row = TypeVar("Row")
Progress = Callable[[str], None]
JournalKey = tuple[TerminalId, int]  # and epoch


class EvidenceMissing(CampusError):
    """A database that the audit needs is not there, or cannot be read."""

    code = "evidence-missing"


@dataclass(slots=True)
class Evidence:
    """The scratch database with everything in it, and what did not fit while it was read, by what it is about."""

    db: sqlite3.Connection
    streams: list[Stream] = field(default_factory=list)
    batches: dict[Stream, int] = field(default_factory=dict)  # the last one that was there
    reports: list[tuple[Stream, ShiftReport]] = field(default_factory=list)
    objections: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))

    def rows(self, sql: str, params: Sequence[Value] = (), *, into: Callable[..., Row]) -> Iterator[Row]:
        """What a query over the scratch tables answers, each row given to `into` column by column."""
        for row in self.db.execute(sql, params):
            yield into(*row)

    def number(self, sql: str, params: Sequence[Value] = ()) -> int:
        """The one integer that a query answers."""
        ((value,),) = self.db.execute(sql, params).fetchall()
        assert isinstance(value, int), "the query answers one integer"
        return value

    def object_to(self, about: str, words: str) -> None:
        """Keep an objection that was found while reading."""
        self.objections[about].append(words)


def gather(home: Home, scratch: Path, progress: Progress = lambda _: None) -> Evidence:
    """Read the installation into a new database in the folder `scratch`; the server may be running.

    Raises `EvidenceMissing` without a ledger or a card registry, `StoreFault` if a database cannot be read.
    """
    try:
        progress(LEDGER)
        evidence = gather_ledger(home.place(LEDGER), scratch / "evidence.db")
        progress(ONECARD)
        with open_reader(home.place(ONECARD, role=LEDGER), ONECARD) as onecard, onecard.transaction():
            _read_openings(evidence, onecard)
    except SchemaMissing as error:
        raise EvidenceMissing(f"there is nothing to audit: {error}") from error
    beside = ((TOPUP, _read_loads), (OFFICE, _read_decisions))
    for alias, read in (*beside, *((stream.label, _reader_of(stream)) for stream in CONSUMPTION_STREAMS)):
        progress(alias)
        try:
            with open_reader(home.place(alias, role=LEDGER), alias) as source, source.transaction():
                read(evidence, source)
        except SchemaMissing:
            continue  # this host does not run it
    progress("indexes")
    evidence.db.executescript(_INDEXES)
    return evidence


def gather_ledger(place: Place, scratch: Path) -> Evidence:
    """Read a ledger alone into the new file `scratch`; raises `SchemaMissing` or `StoreFault`."""
    db = sqlite3.connect(scratch, isolation_level=None)
    db.executescript("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -100000;" + _SCHEMA)
    evidence = Evidence(db)
    with open_reader(place, LEDGER) as ledger, ledger.transaction():
        _read_ledger(evidence, ledger)
    return evidence


def _read_ledger(evidence: Evidence, ledger: Database) -> None:
    _fill(evidence, "entry", _ENTRY.count(",") + 1, _pages(ledger, f"SELECT {_ENTRY}, id FROM sale_entry", "id"))
    evidence.db.execute(_SALES_POSTINGS)
    for run in ledger.query(_ODD_RUNS, into=int):
        evidence.object_to("sales", f"the run of sales from entry {run} on is not what its sales are")
    if lost := ledger.number(_LOST_SALES):
        evidence.object_to("sales", f"{lost} sales are in no run, or of no purse that was opened")
    for table, source, columns in _LEDGER:
        width, key = columns.count(",") + 1, columns.split(",")[0]
        _fill(evidence, table, width, _pages(ledger, f"SELECT {columns}, {key} FROM {source}", key))
    for table, sql in _LEDGER_SMALL:
        rows = ledger.query(sql, into=lambda *row: row)
        if rows:
            _fill(evidence, table, len(rows[0]), [rows])
    for words in wrong_closes(ledger):
        evidence.object_to("chains", words)


def _pages(db: Database, select: str, key: str) -> Iterator[list[tuple[Value, ...]]]:
    """All rows, a page at a time, in the order of the key, which is the last column and is not given on."""
    last: Value = 0
    while rows := db.query(f"{select} WHERE {key} > %s ORDER BY {key} LIMIT {_PAGE}", (last,), into=lambda *row: row):
        yield [row[:-1] for row in rows]
        last = rows[-1][-1]


def _fill(evidence: Evidence, table: str, width: int, pages: Iterable[Sequence[Sequence[Value]]]) -> None:
    marks = ",".join("?" * width)
    with closing(evidence.db.cursor()) as cursor:
        cursor.execute("BEGIN")
        for rows in pages:
            cursor.executemany(f"INSERT INTO {table} VALUES ({marks})", rows)
        cursor.execute("COMMIT")


def _read_openings(evidence: Evidence, onecard: Database) -> None:
    sql = """
        SELECT position, issuer, asn, opening_balance_fen, opening_counter, opened_at_utc_s, chain_hash
        FROM purse_opening JOIN card ON card.id = purse_opening.card_id ORDER BY position
    """
    head, rows = openings_genesis(), []
    for number, (position, issuer, asn, balance, counter, at_utc_s, stored) in enumerate(
        onecard.query(sql, into=lambda *row: row), start=1
    ):
        card = CardId(IssuerId(issuer), Asn(asn))
        head = next_opening_hash(head, PurseOpening(card=card, balance_fen=Fen(balance), counter=counter), at_utc_s)
        if position != number or stored != head:
            evidence.object_to("chains", f"the openings' chain breaks at position {position}")
            head = stored
        rows.append((position, card.to_bytes(), balance, counter))
    _fill(evidence, "opening", 4, [rows])


def _read_loads(evidence: Evidence, desk: Database) -> None:
    head, rows = loads_genesis(), []
    sql = "SELECT position, event, chain_hash FROM load_event ORDER BY position"
    for number, (position, raw, stored) in enumerate(desk.query(sql, into=lambda *row: row), start=1):
        head = next_load_hash(head, raw)
        if position != number or stored != head:
            evidence.object_to("chains", f"the loads' chain breaks at position {position}")
            head = stored
        try:
            event = LoadEvent.from_bytes(raw)
        except FormatError as error:
            evidence.object_to("chains", f"load event {position} cannot be read: {error}")
            continue
        load = event.load_id
        purse = (event.card.to_bytes(), event.online_counter, int(event.amount_fen))
        rows.append((position, int(event.kind), load.terminal, load.epoch, load.number, *purse, int(event.funding)))
    _fill(evidence, "load", 9, [rows])


def _read_decisions(evidence: Evidence, office: Database) -> None:
    head, last, rows = decisions_genesis(), 0, []
    while page := decisions_after(office, last, _PAGE):
        for decision in page:
            head = next_decision_hash(head, decision)
            if decision.position != last + 1 or decision.chain_hash != head:
                evidence.object_to("chains", f"the decisions' chain breaks at position {decision.position}")
                head = decision.chain_hash
            last = decision.position
            rows.append((decision.key, decision.action, decision.body, decision.by))
    _fill(evidence, "decided", 4, [rows])


def _reader_of(stream: Stream) -> Callable[[Evidence, Database], None]:
    return lambda evidence, db: _read_stream(evidence, db, stream)


def _read_stream(evidence: Evidence, db: Database, stream: Stream) -> None:
    evidence.streams.append(stream)
    columns = "terminal, epoch, public_key, next_seq, head_hash, total_fen, heard_seq, heard_total_fen"
    journals = db.query(f"SELECT {columns}, quarantined_because FROM terminal", into=lambda *row: (stream.label, *row))
    _fill(evidence, "journal", 10, [journals])
    forks = db.query("SELECT terminal, epoch, seq, received_at_utc_s FROM fork", into=lambda *row: (stream.label, *row))
    _fill(evidence, "fork", 5, [forks])
    _fill(evidence, "tap", 20, _taps(evidence, db, stream))
    keys = {(bytes(journal[1]), journal[2]): bytes(journal[3]) for journal in journals}
    _fill(evidence, "signed", 5, _signed(evidence, db, stream, keys))
    _read_reports(evidence, db, stream, keys)


def _taps(evidence: Evidence, db: Database, stream: Stream) -> Iterator[list[tuple[Value, ...]]]:
    """The stream's journal, tap by tap, both its chains recomputed."""
    sql = f"""
        SELECT position, next_position, terminal, epoch, first_seq, next_seq, records, hash_before, stream_hash,
               received_at_utc_s
        FROM intake WHERE position >= %s ORDER BY position LIMIT {_INTAKES_PAGE}
    """
    at, head = 1, stream_genesis(stream)
    heads: dict[tuple[bytes, int], bytes] = {}
    while intakes := db.query(sql, (at,), into=lambda *row: row):
        end = intakes[-1][1]
        reasons: dict[int, int] = dict(
            db.query(
                "SELECT position, reason FROM suspended_tap WHERE position >= %s AND position < %s",
                (intakes[0][0], end),
                into=lambda *row: row,
            )
        )
        page: list[tuple[Value, ...]] = []
        for position, next_position, terminal, epoch, first_seq, next_seq, records, kept, stored, received in intakes:
            places = range(position, next_position)
            found = [(place, reasons[p]) for place, p in enumerate(places) if p in reasons]
            head = next_stream_hash(head, records, found, received)
            whole = len(records) == RECORD_BYTES * len(places) and len(places) == next_seq - first_seq
            if position != at or not whole or head != stored:
                evidence.object_to("chains", f"the chain of {stream.label} breaks at position {position}")
                head = stored
            at = next_position
            if not whole:
                continue
            before = heads.get((terminal, epoch)) or genesis_hash(TerminalId(terminal), epoch)
            if before != kept:
                name = f"{terminal.hex()}-{epoch}"
                evidence.object_to("chains", f"the journal {name} does not lead to tap {first_seq} at the stream")
            for place in range(len(places)):
                raw = records[RECORD_BYTES * place : RECORD_BYTES * (place + 1)]
                before = next_hash(before, raw)
                row = _tap(raw)
                if row[:3] != (terminal, epoch, first_seq + place):
                    evidence.object_to("chains", f"{stream.label} position {position + place} holds another tap")
                page.append((stream.label, position + place, *row, reasons.get(position + place), received,
                             hashlib.sha256(raw).digest()))  # fmt: skip
            heads[terminal, epoch] = before
        yield page
    for terminal, epoch, stored in db.query("SELECT terminal, epoch, head_hash FROM terminal", into=lambda *row: row):
        if stored != (heads.get((terminal, epoch)) or genesis_hash(TerminalId(terminal), epoch)):
            evidence.object_to("chains", f"the cursor of {terminal.hex()}-{epoch} has another hash than its taps")


def _tap(raw: bytes) -> tuple[Value, ...]:
    """terminal, epoch, seq and what else the scratch table has of a record."""
    (version, terminal, epoch, seq, kind, outcome, _, mac2, card, amount, subsidy, credit, balance, counter, ttsn, _,
     refers, utc_s, *_) = LAYOUT.unpack(raw)  # fmt: skip
    if version != RECORD_VERSION:
        return (terminal, 0, 0, *(0,) * 12)  # its number fits nothing
    money = (amount, subsidy, credit, balance)
    return (terminal, epoch, seq, kind, outcome, mac2, card, *money, counter, ttsn, refers, utc_s)


def _signed(
    evidence: Evidence, db: Database, stream: Stream, keys: Mapping[tuple[bytes, int], bytes]
) -> Iterator[list[tuple[Value, ...]]]:
    """Which numbers each kept batch signs for, its signature checked; messages are signed for by a later batch."""
    for page in _pages(db, "SELECT terminal, epoch, raw, id, id FROM batch", "id"):
        rows: list[tuple[Value, ...]] = []
        for terminal, epoch, raw, number in page:
            assert isinstance(number, int), "the column holds integers"
            evidence.batches[stream] = number
            assert isinstance(terminal, bytes), "the column holds bytes"
            assert isinstance(epoch, int), "the column holds integers"
            assert isinstance(raw, bytes), "the column holds bytes"
            if raw[0] != BATCH_VERSION:
                continue
            try:
                batch = decode_batch(raw)
                batch.verify(keys.get((terminal, epoch), b""))
            except (FormatError, SignatureInvalid, ValueError) as error:
                name = f"{terminal.hex()}-{epoch}"
                evidence.object_to("signatures", f"a batch of {name} at {stream.label} proves nothing: {error}")
                continue
            rows.append((stream.label, batch.terminal, batch.epoch, batch.first_seq, batch.next_seq))
        yield rows


def _read_reports(evidence: Evidence, db: Database, stream: Stream, keys: Mapping[tuple[bytes, int], bytes]) -> None:
    """The terminals' shift reports, their signatures and their own chain checked."""
    heads: dict[tuple[bytes, int], tuple[int, bytes]] = {}
    sql = "SELECT raw FROM shift_report ORDER BY terminal, epoch, number"
    for raw in db.query(sql, into=bytes):
        try:
            report = ShiftReport.from_bytes(raw)
        except FormatError as error:
            evidence.object_to("chains", f"a shift report at {stream.label} cannot be read: {error}")
            continue
        key = (bytes(report.terminal), report.epoch)
        name = f"shift {report.number} of {report.terminal.hex()}-{report.epoch}"
        number, before = heads.get(key) or (0, shift_genesis(report.terminal, report.epoch))
        try:
            report.verify(keys.get(key, b""))
        except (SignatureInvalid, ValueError):
            evidence.object_to("signatures", f"{name} is not signed by its terminal")
        if report.number != number + 1 or report.hash_before != before:
            evidence.object_to("chains", f"{name} does not follow from the one before")
        heads[key] = (report.number, report.hash)
        evidence.reports.append((stream, report))
