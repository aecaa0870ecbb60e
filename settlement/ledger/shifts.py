"""Shift reports against the books when a day is closed: journal and stream were compared before, this is the third.

Left out: what a stream finds amiss with a report when it comes (`settlement.streams.shifts`), which is told here again.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, time
from typing import Final

from settlement.ledger.entries import CREDITS, EntryKind, date_of, next_day
from settlement.settings import Home
from settlement.store.database import Database, SchemaMissing, open_reader
from settlement.store.router import LEDGER, TOPUP
from settlement.streams.shifts import AlarmedShift, alarmed_shifts
from settlement.streams.store import shifts_between
from wire.batch import TAPS_MAX
from wire.ids import CONSUMPTION_STREAMS, Stream
from wire.money import format_fen
from wire.record import CAMPUS_ZONE, Outcome, TapKind
from wire.shift import ShiftReport

# A tap is in the books once, be it as an entry, in suspense, or first the one and then the other.
_CLAIMS: Final = f"""
    SELECT kind, count(*), CAST(sum(amount_fen) AS bigint), CAST(sum(subsidy_fen) AS bigint) FROM (
        SELECT seq, kind, amount_fen, subsidy_fen FROM other_entry
        WHERE terminal = %s AND epoch = %s AND seq >= %s AND seq < %s AND kind <> {int(EntryKind.ADJUSTMENT)}
        UNION SELECT run.first_seq + sale.id - run.id, {int(EntryKind.PURCHASE)}, sale.amount_fen, sale.subsidy_fen
        FROM sale_run run CROSS JOIN sale
        WHERE run.terminal = %s AND run.epoch = %s AND run.first_seq > %s - {TAPS_MAX} AND run.first_seq < %s
        AND sale.id >= run.id AND sale.id < run.id + run.taps
        AND run.first_seq + sale.id - run.id >= %s AND run.first_seq + sale.id - run.id < %s
        UNION SELECT seq, kind, amount_fen, subsidy_fen FROM suspense_item
        WHERE terminal = %s AND epoch = %s AND seq >= %s AND seq < %s AND source <> '{TOPUP}'
    ) claims GROUP BY kind
"""
_KINDS: Final = {
    TapKind.SALE: EntryKind.PURCHASE,
    TapKind.REVERSAL: EntryKind.REVERSAL,
    TapKind.REFUND: EntryKind.REFUND,
    TapKind.SIGN_ON: EntryKind.SIGN_ON,
}
_MOVED: Final = (Outcome.DEBITED, Outcome.UNKNOWN)  # what the books have something of
_Sum = tuple[int, int, int]  # how many, their amounts, the school's parts


def shift_alarms(home: Home, books: Database, first_day: int, last_day: int) -> list[str]:
    """What is amiss with the shift reports that came on these days, in words; the books have all that came by then."""
    since, until = _midnight(first_day), _midnight(next_day(last_day))
    found: list[str] = []
    for stream in CONSUMPTION_STREAMS:
        try:
            with open_reader(home.place(stream.label, role=LEDGER), stream.label) as db, db.transaction():
                alarmed = [shift for shift in alarmed_shifts(db) if since <= shift.received_at_utc_s < until]
                reports = shifts_between(db, since, until)
        except SchemaMissing:
            continue  # this host does not run that stream
        found += [f"{_name(stream, shift)}: {shift.words}" for shift in alarmed]
        for report in reports:
            found += [f"{_name(stream, report)}: {words}" for words in differences(books, report)]
    return found


def differences(books: Database, report: ShiftReport) -> Iterator[str]:
    """Where the books have other taps, or of other amounts, than the report says; whether booked or in suspense."""
    span = (report.terminal, report.epoch, report.first_seq, report.next_seq)
    here: dict[int, _Sum] = {
        kind: (count, amount_fen, subsidy_fen)
        for kind, count, amount_fen, subsidy_fen in books.query(
            _CLAIMS, (*span, *span, *span[2:], *span), into=lambda *row: row
        )
    }
    for kind, booked_as in _KINDS.items():
        said, booked = _said(report, kind, is_credit=booked_as in CREDITS), here.get(booked_as, (0, 0, 0))
        if said != booked:
            yield f"it says {_words(kind, said)}, and the books have {_words(kind, booked)}"


def _name(stream: Stream, shift: AlarmedShift | ShiftReport) -> str:
    return f"{stream.label} {shift.terminal.hex()} epoch {shift.epoch}, shift {shift.number}"


def _said(report: ShiftReport, kind: TapKind, *, is_credit: bool) -> _Sum:
    sums = [report.of(kind, outcome) for outcome in _MOVED]
    amount_fen = sum(item.credit_fen if is_credit else item.amount_fen for item in sums)
    return sum(item.count for item in sums), amount_fen, sum(item.subsidy_fen for item in sums)


def _words(kind: TapKind, found: _Sum) -> str:
    count, amount_fen, subsidy_fen = found
    school = f" and {format_fen(subsidy_fen)} of the school's" if subsidy_fen else ""
    return f"{count} {kind.name} of {format_fen(amount_fen)}{school}"


def _midnight(day: int) -> int:
    """When the campus's day begins."""
    return int(datetime.combine(date_of(day), time(), CAMPUS_ZONE).timestamp())
