"""What the auditor looks at: cards, journal, stream, top-up desk, ledger and registry, read once into plain values.

Databases are copied first, the ledger before stream and desk and the stream before the journal, so that what is
downstream is never newer than what it came from. Left out: any judgement (`sim.audit`).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from settlement.audit.evidence import EvidenceMissing, JournalKey
from settlement.commands.common import home_at
from settlement.onecard.loads import LoadEvent
from settlement.store.backup import back_up
from settlement.store.database import SchemaMissing, StoreFault
from settlement.store.router import LEDGER, ONECARD, TOPUP
from sim.card.issue import CardImage, read_card_image
from terminal.journal import JournalReader
from wire.fields import FormatError
from wire.ids import CardId, LoadId, Stream, TapId, TerminalId
from wire.record import Outcome, TapRecord

PURCHASE, LOAD, COLLECTION = 2, 3, 9  # an entry's kinds
_MONEY_TABLES: Final = {
    "ledger": (
        "other_entry",
        "other_posting",
        "sale_run",
        "sale",
        "suspense_item",
        "entry_resolution",
        "suspense_resolution",
    ),
    "topup": ("load_event", "load_answer"),
    "onecard": ("card", "purse_opening", "hotlist_entry"),
    "stream": ("intake", "suspended_tap", "batch", "fork", "shift_report", "shift_conflict"),
    "journal": ("journal", "opened", "sealed", "shift_opened", "shift_closed", "cash_sale"),
}


@dataclass(frozen=True, slots=True)
class StreamTap:
    """A tap in the stream's journal; `stream_hash` is that of the intake that ends with it, None within one."""

    position: int
    tap_id: TapId
    record: bytes
    suspense: int | None
    received_at_utc_s: int

    @property
    def tap(self) -> TapRecord | None:
        """The record as it reads; None if it does not."""
        try:
            return TapRecord.from_bytes(self.record)
        except FormatError:
            return None

    @property
    def confirmed(self) -> bool:
        """Whether the terminal could not tell, but the server found its TAC right: the card has paid."""
        tap = self.tap
        return tap is not None and tap.outcome is Outcome.UNKNOWN and self.suspense is None

    @property
    def debits(self) -> bool:
        """Whether the record stands for money off a card: the terminal says so, or the server has confirmed it."""
        return self.confirmed or ((tap := self.tap) is not None and tap.outcome is Outcome.DEBITED)


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """An entry's head; `tap_id` is None for what no tap made, `load_id` for what is no load.

    `resolved` is how a load ended: 1 posted, 2 voided, None while it is pending.
    """

    id: int
    kind: int
    tap_id: TapId | None
    amount_fen: int
    load_id: LoadId | None = None
    resolved: int | None = None


@dataclass(frozen=True, slots=True)
class Posting:
    """One side of an entry."""

    entry: int
    account: int
    purse: CardId | None
    amount_fen: int


@dataclass(frozen=True, slots=True)
class Suspended:
    """A suspense item of a tap or a load; `settled` is what later counters proved: 1 executed, 2 not executed."""

    tap_id: TapId | LoadId
    reason: int
    amount_fen: int
    settled: int | None = None


@dataclass(frozen=True, slots=True)
class DeskEvent:
    """A row of the top-up desk's journal."""

    position: int
    event: bytes
    chain_hash: bytes

    @property
    def load(self) -> LoadEvent | None:
        """The event as it reads; None if it does not."""
        try:
            return LoadEvent.from_bytes(self.event)
        except FormatError:
            return None


@dataclass(frozen=True, slots=True)
class Evidence:
    """Everything, as of one audit. `copies` are the files that were read, by role."""

    cards: dict[CardId, CardImage]
    sealed: list[TapRecord]
    opened: list[TapRecord]
    stream: list[StreamTap]
    entries: list[LedgerEntry]
    postings: list[Posting]
    suspense: list[Suspended]
    ledger_position: int
    copies: dict[str, Path]
    desk: list[DeskEvent] = field(default_factory=list)
    desk_position: int = 0

    @property
    def money_tables(self) -> Iterator[tuple[Path, tuple[str, ...]]]:
        """Every copied database with the tables that nobody may change."""
        return ((self.copies[role], tables) for role, tables in _MONEY_TABLES.items())

    @property
    def confirmed(self) -> set[TapId]:
        """The unknown taps that the server has found to be debits."""
        return {row.tap_id for row in self.stream if row.confirmed}

    def unsent(self) -> list[TapRecord]:
        """Sealed debits that the stream does not have."""
        there = {row.tap_id for row in self.stream}
        return [r for r in self.sealed if r.outcome is Outcome.DEBITED and r.tap_id not in there]

    def not_pulled(self) -> list[TapRecord]:
        """Debits that the stream has accepted and the ledger has not read."""
        return [r for row, r in self._stream_debits() if row.position > self.ledger_position]

    def suspended_debits(self) -> list[TapRecord]:
        """Debits that the ledger holds in suspense instead of an entry."""
        held = {item.tap_id for item in self.suspense}
        return [r for row, r in self._stream_debits() if row.tap_id in held]

    @property
    def executed(self) -> set[TapId | LoadId]:
        """The unknown taps that the ledger has settled as debits."""
        return {item.tap_id for item in self.suspense if item.settled == 1}

    @property
    def journals(self) -> dict[JournalKey, list[bytes]]:
        """The till's sealed records, as the server's audit takes them."""
        found: dict[JournalKey, list[bytes]] = {}
        for record in self.sealed:
            found.setdefault((record.tap_id.terminal, record.tap_id.epoch), []).append(record.to_bytes())
        return found

    def _stream_debits(self) -> Iterator[tuple[StreamTap, TapRecord]]:
        for row in self.stream:
            if row.debits and (record := row.tap) is not None:
                yield row, record


def gather(home: Path, *, stream: Stream, card_files: list[Path], scratch: Path) -> Evidence:
    """Copy the installation's databases into `scratch` and read them; `EvidenceMissing` if that cannot be done.

    Servers and daemon may be running. The till must not be: cards are read last, and could be ahead of its journal.
    """
    server, copies = home_at(home), {}
    try:
        for role, alias in {"ledger": LEDGER, "onecard": ONECARD, "topup": TOPUP, "stream": stream.label}.items():
            copies[role] = scratch / f"{alias}.db"
            back_up(server.place(alias), alias, copies[role])
        copies["journal"] = _copy(home / "terminal" / "journal.db", scratch / "journal.db")
        return _read(copies, stream=stream, card_files=card_files)
    except SchemaMissing as error:
        raise EvidenceMissing(f"{error}, so there is nothing to audit") from error
    except (StoreFault, sqlite3.Error) as error:
        raise EvidenceMissing(f"a database in {home} cannot be read: {error}") from error


def open_reader(path: Path) -> sqlite3.Connection:
    """A connection that cannot write, whatever characters the path has; the file's owner may be writing it."""
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)


def _read(copies: dict[str, Path], *, stream: Stream, card_files: list[Path]) -> Evidence:
    with closing(sqlite3.connect(copies["topup"])) as db:
        rows = db.execute("SELECT position, event, chain_hash FROM load_event ORDER BY position")
        desk = [DeskEvent(*row) for row in rows]
    with closing(sqlite3.connect(copies["ledger"])) as db:
        entries = [
            _entry(*row)
            for row in db.execute(
                "SELECT id, kind, terminal, epoch, seq, amount_fen, outcome FROM entry "
                "LEFT JOIN entry_resolution ON entry_id = id ORDER BY id"
            )
        ]
        postings = [
            Posting(entry, account, None if purse is None else CardId.from_bytes(purse), amount_fen)
            for entry, account, purse, amount_fen in db.execute(
                "SELECT entry_id, account_id, purse, amount_fen FROM posting ORDER BY entry_id"
            )
        ]
        suspense = [
            Suspended(_load_id(*key) if source == "topup" else _tap_id(*key), *rest)
            for source, *key, rest in (
                (*row[:4], row[4:])
                for row in db.execute(
                    "SELECT source, terminal, epoch, seq, reason, amount_fen, outcome FROM suspense_item "
                    "LEFT JOIN suspense_resolution ON suspense_item_id = id ORDER BY id"
                )
            )
        ]
        read: dict[str, int] = dict(db.execute("SELECT source, position FROM source_cursor"))
    sealed, opened = _journal(copies["journal"])
    return Evidence(
        cards=dict(_card(read_card_image(path)) for path in card_files),
        sealed=sealed,
        opened=opened,
        stream=_stream(copies["stream"]),
        entries=entries,
        postings=postings,
        suspense=suspense,
        ledger_position=read.get(stream.label, 0),
        desk=desk,
        desk_position=read.get("topup", 0),
        copies=copies,
    )


def _stream(path: Path) -> list[StreamTap]:
    with closing(sqlite3.connect(path)) as db:
        return [
            StreamTap(position, _tap_id(*key), record, suspense, received)
            for position, *key, record, suspense, received in db.execute(
                "SELECT position, terminal, epoch, seq, record, suspense, received_at_utc_s FROM tap ORDER BY position"
            )
        ]


def _journal(path: Path) -> tuple[list[TapRecord], list[TapRecord]]:
    """All sealed taps, after the whole chain was recomputed, and the open one, if any."""
    with closing(JournalReader.open(path)) as journal:
        head = journal.verify()
        left = journal.opened_tap()
        return journal.records(1, head.seq), [] if left is None else [left]


def _card(image: CardImage) -> tuple[CardId, CardImage]:
    return image.card, image


def _entry(
    number: int, kind: int, terminal: bytes | None, epoch: int, seq: int, amount_fen: int, resolved: int | None
) -> LedgerEntry:
    if terminal is None:
        return LedgerEntry(number, kind, None, amount_fen)
    if kind in (LOAD, COLLECTION):
        return LedgerEntry(number, kind, None, amount_fen, _load_id(terminal, epoch, seq), resolved)
    return LedgerEntry(number, kind, _tap_id(terminal, epoch, seq), amount_fen)


def _load_id(terminal: bytes, epoch: int, number: int) -> LoadId:
    return LoadId(TerminalId(terminal), epoch, number)


def _tap_id(terminal: bytes, epoch: int, seq: int) -> TapId:
    return TapId(TerminalId(terminal), epoch, seq)


def _copy(source: Path, target: Path) -> Path:
    """A consistent copy of a live database, in WAL mode like the original."""
    if not source.is_file():
        raise EvidenceMissing(f"there is no database {source}, so there is nothing to audit")
    with closing(open_reader(source)) as live, closing(sqlite3.connect(target)) as copy:
        live.backup(copy)
    return target
