"""What the pages show, read from every database and from what `serve` wrote down; cards by their last digits.

Left out: words (`words`) and pages (`views`).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from settlement.ledger.store import OpenSuspense, read_cursor
from settlement.onecard.configuration import read_configurations
from settlement.onecard.outlets import OutletBook, read_book, read_merchants
from settlement.report import Report, read_report
from settlement.serve import Supervised, read_supervised
from settlement.settings import Home
from settlement.store.database import Database, SchemaMissing, open_reader
from settlement.store.router import LEDGER, ONECARD
from settlement.streams.store import journal_head
from wire.configuration import Name
from wire.ids import CONSUMPTION_STREAMS, Stream

DAYS_SHOWN: Final = 31
SUSPENSE_SHOWN: Final = 500
_CLOSED: Final = f"SELECT day, closed_at_utc_s, entries FROM day_close ORDER BY number DESC LIMIT {DAYS_SHOWN}"


@dataclass(frozen=True, slots=True)
class StreamState:
    """How far one stream is, and how far the ledger has it.

    `taps_here` is None where its database is not, `heard_at_utc_s` before any terminal came.
    """

    stream: Stream
    taps_here: int | None
    taps_booked: int
    heard_at_utc_s: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TerminalState:
    """How one journal stands; `unsent` taps are what its terminal ever said it has and the stream lacks."""

    stream: Stream
    terminal: str
    epoch: int
    outlet: int
    outlet_name: Name
    last_seq: int
    heard_at_utc_s: int
    unsent: int
    unsent_fen: int
    quarantined_because: str | None
    rolled_back_to_seq: int | None


@dataclass(frozen=True, slots=True)
class ClosedDay:
    """One closed day, as its number counts them."""

    day: int
    closed_at_utc_s: int
    entries: int


@dataclass(frozen=True, slots=True)
class LastAudit:
    """What the newest audit on record said: when, and which of its points do not hold."""

    at_utc_s: int
    broken: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Everything on the pages; `supervised` is None where `serve` never ran, `audit` before the first."""

    now_utc_s: int
    supervised: Supervised | None
    audit: LastAudit | None
    streams: tuple[StreamState, ...]
    terminals: tuple[TerminalState, ...]
    suspense: tuple[OpenSuspense, ...]
    suspense_count: int
    suspense_fen: int
    loads: int
    loads_fen: int
    days: tuple[ClosedDay, ...]
    unbalanced: tuple[int, ...]
    shifts: tuple[str, ...]


def read_standing(home: Home, *, now_utc_s: int, outage_s: int) -> Standing:
    """Read it all; raises `SchemaMissing` or `StoreFault` if a database that has to be there cannot be read."""
    report = read_report(home, now_utc_s=now_utc_s, outage_s=outage_s)
    with open_reader(home.place(ONECARD, role=LEDGER), ONECARD) as onecard:
        book = read_book(onecard)
        names = {number: merchant.name for number, merchant in read_merchants(onecard).items()}
        outlets = {outlet.number: names[outlet.merchant] for outlet in book.outlets.values()}
        outlets |= {number: kept.outlet_name for number, kept in read_configurations(onecard).items()}
    with open_reader(home.place(LEDGER), LEDGER) as ledger:
        streams = tuple(_streams(home, ledger, report))
        days = tuple(ledger.query(_CLOSED, into=ClosedDay))
    return Standing(
        now_utc_s=now_utc_s,
        supervised=read_supervised(home.supervised),
        audit=read_last_audit(home.last_audit),
        streams=streams,
        terminals=tuple(_terminals(report, book, outlets)),
        suspense=tuple(report.suspense[:SUSPENSE_SHOWN]),
        suspense_count=len(report.suspense),
        suspense_fen=sum(item.amount_fen for item in report.suspense),
        loads=len(report.loads),
        loads_fen=sum(load.amount_fen for load in report.loads),
        days=days,
        unbalanced=tuple(report.unbalanced),
        shifts=tuple(
            f"{shift.terminal.hex()}-{shift.epoch} {shift.number}" for rows in report.shifts.values() for shift in rows
        ),
    )


def read_last_audit(path: Path) -> LastAudit | None:
    """The newest audit on record; None: there is none, or it is no such file."""
    try:
        tree = json.loads(path.read_text(encoding="utf-8"))
        broken = tuple(f"{point['point']}. {point['says']}" for point in tree["points"] if not point["holds"])
        return LastAudit(int(tree["at_utc_s"]), broken)
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _streams(home: Home, ledger: Database, report: Report) -> Iterator[StreamState]:
    for stream in CONSUMPTION_STREAMS:
        here: int | None = None
        with suppress(SchemaMissing), open_reader(home.place(stream.label, role=LEDGER), stream.label) as db:
            here = journal_head(db, stream).position
        cursor = read_cursor(ledger, stream.label)
        heard = [item.heard_at_utc_s for item in report.coverage.get(stream, [])]
        yield StreamState(stream, here, 0 if cursor is None else cursor.position, max(heard, default=None))


def _terminals(report: Report, book: OutletBook, names: dict[int, Name]) -> Iterator[TerminalState]:
    for stream, items in report.coverage.items():
        for item in items:
            outlet = book.outlet_at(item.terminal, stream, report.now_utc_s).number
            yield TerminalState(
                stream=stream,
                terminal=item.terminal.hex(),
                epoch=item.epoch,
                outlet=outlet,
                outlet_name=names[outlet],
                last_seq=item.last_seq,
                heard_at_utc_s=item.heard_at_utc_s,
                unsent=len(item.missing),
                unsent_fen=item.missing_fen,
                quarantined_because=item.quarantined_because,
                rolled_back_to_seq=item.rolled_back_to_seq,
            )
