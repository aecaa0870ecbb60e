"""What the auditor looks at: cards, journal, stream, ledger and registry, read once into plain values.

Databases are copied first, the ledger before the stream and the stream before the journal, so that what is downstream
is never newer than what it came from. Left out: any judgement (`sim.audit`).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sim.card.issue import CardImage, read_card_image
from terminal.journal import JournalReader
from wire.errors import CampusError
from wire.fields import FormatError
from wire.ids import CardId, Stream, TapId, TerminalId
from wire.record import Outcome, TapRecord

_MONEY_TABLES: Final = {
    "ledger": ("entry", "posting", "suspense_item"),
    "onecard": ("card", "purse_opening", "hotlist_entry"),
    "stream": ("tap", "batch", "fork"),
    "journal": ("journal", "opened", "sealed"),
}


class EvidenceMissing(CampusError):
    """A database that the audit needs is not there, or cannot be read."""

    code = "evidence-missing"


@dataclass(frozen=True, slots=True)
class StreamTap:
    """A row of the stream's journal."""

    position: int
    tap_id: TapId
    record: bytes
    chain_hash: bytes
    stream_hash: bytes
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
    """An entry's head; `tap_id` is None for what no tap made."""

    id: int
    kind: int
    tap_id: TapId | None
    amount_fen: int


@dataclass(frozen=True, slots=True)
class Posting:
    """One side of an entry."""

    entry: int
    account: int
    purse: CardId | None
    amount_fen: int


@dataclass(frozen=True, slots=True)
class Suspended:
    """A suspense item."""

    tap_id: TapId
    reason: int
    amount_fen: int


@dataclass(frozen=True, slots=True)
class ServerTerminal:
    """What the server says of one journal."""

    terminal: TerminalId
    epoch: int
    next_seq: int
    total_fen: int
    heard_seq: int
    heard_total_fen: int


@dataclass(frozen=True, slots=True)
class Evidence:
    """Everything, as of one audit. `copies` are the files that were read, by role."""

    cards: dict[CardId, CardImage]
    sealed: list[TapRecord]
    opened: list[TapRecord]
    stream: list[StreamTap]
    terminals: list[ServerTerminal]
    batches: list[tuple[bytes, bytes]]
    entries: list[LedgerEntry]
    postings: list[Posting]
    suspense: list[Suspended]
    ledger_position: int
    stream_kind: Stream
    copies: dict[str, Path]
    stream_path: Path

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

    def stream_counts(self) -> tuple[int, ...]:
        """Rows of the stream's tables right now, read from the live database."""
        with closing(open_reader(self.stream_path)) as live:
            return tuple(live.execute(f"SELECT count(*) FROM {t}").fetchone()[0] for t in _MONEY_TABLES["stream"])

    def _stream_debits(self) -> Iterator[tuple[StreamTap, TapRecord]]:
        for row in self.stream:
            if row.debits and (record := row.tap) is not None:
                yield row, record


def gather(home: Path, *, stream: Stream, card_files: list[Path], scratch: Path) -> Evidence:
    """Copy the installation's databases into `scratch` and read them; `EvidenceMissing` if that cannot be done.

    Servers and daemon may be running. The till must not be: cards are read last, and could be ahead of its journal.
    """
    sources = {
        "ledger": home / "settlement" / "ledger.db",
        "onecard": home / "settlement" / "onecard.db",
        "stream": home / "settlement" / f"{stream.label}.db",
        "journal": home / "terminal" / "journal.db",
    }
    try:
        copies = {role: _copy(path, scratch / path.name) for role, path in sources.items()}
        return _read(copies, stream=stream, stream_path=sources["stream"], card_files=card_files)
    except sqlite3.Error as error:
        raise EvidenceMissing(f"a database in {home} cannot be read: {error}") from error


def open_reader(path: Path) -> sqlite3.Connection:
    """A connection that cannot write, whatever characters the path has; the file's owner may be writing it."""
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)


def _read(copies: dict[str, Path], *, stream: Stream, stream_path: Path, card_files: list[Path]) -> Evidence:
    with closing(sqlite3.connect(copies["stream"])) as db:
        taps = [
            StreamTap(position, _tap_id(*key), record, chain, own, suspense, received)
            for position, *key, record, chain, own, suspense, received in db.execute(
                "SELECT position, terminal, epoch, seq, record, chain_hash, stream_hash, suspense, received_at_utc_s "
                "FROM tap ORDER BY position"
            )
        ]
        terminals = [
            ServerTerminal(*row)
            for row in db.execute(
                "SELECT terminal, epoch, next_seq, total_fen, heard_seq, heard_total_fen FROM terminal ORDER BY id"
            )
        ]
        batches = db.execute("SELECT raw, receipt FROM batch ORDER BY id").fetchall()
    with closing(sqlite3.connect(copies["ledger"])) as db:
        entries = [
            LedgerEntry(number, kind, None if key[0] is None else _tap_id(*key), amount_fen)
            for number, kind, *key, amount_fen in db.execute(
                "SELECT id, kind, terminal, epoch, seq, amount_fen FROM entry ORDER BY id"
            )
        ]
        postings = [
            Posting(entry, account, None if purse is None else CardId.from_bytes(purse), amount_fen)
            for entry, account, purse, amount_fen in db.execute(
                "SELECT entry_id, account_id, purse, amount_fen FROM posting ORDER BY id"
            )
        ]
        suspense = [
            Suspended(_tap_id(*key), reason, amount_fen)
            for *key, reason, amount_fen in db.execute(
                "SELECT terminal, epoch, seq, reason, amount_fen FROM suspense_item ORDER BY id"
            )
        ]
        cursor = db.execute("SELECT position FROM source_cursor WHERE source = ?", (stream.label,)).fetchone()
    sealed, opened = _journal(copies["journal"])
    return Evidence(
        cards=dict(_card(read_card_image(path)) for path in card_files),
        sealed=sealed,
        opened=opened,
        stream=taps,
        terminals=terminals,
        batches=batches,
        entries=entries,
        postings=postings,
        suspense=suspense,
        ledger_position=0 if cursor is None else cursor[0],
        copies=copies,
        stream_kind=stream,
        stream_path=stream_path,
    )


def _journal(path: Path) -> tuple[list[TapRecord], list[TapRecord]]:
    """All sealed taps, after the whole chain was recomputed, and the open one, if any."""
    with closing(JournalReader.open(path)) as journal:
        head = journal.verify()
        left = journal.opened_tap()
        return journal.records(1, head.seq), [] if left is None else [left]


def _card(image: CardImage) -> tuple[CardId, CardImage]:
    return image.card, image


def _tap_id(terminal: bytes, epoch: int, seq: int) -> TapId:
    return TapId(TerminalId(terminal), epoch, seq)


def _copy(source: Path, target: Path) -> Path:
    """A consistent copy of a live database, in WAL mode like the original."""
    if not source.is_file():
        raise EvidenceMissing(f"there is no database {source}, so there is nothing to audit")
    with closing(open_reader(source)) as live, closing(sqlite3.connect(target)) as copy:
        live.backup(copy)
    return target
