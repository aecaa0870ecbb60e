"""Which report of a closed shift goes up next. Left out: sending it (`sync.uplink`)."""

from __future__ import annotations

from sync.store import UplinkReader
from terminal.journal import JournalReader
from wire.shift import ShiftReport


def reports_wait(store: UplinkReader, journal: JournalReader) -> bool:
    """Whether a shift has closed that the server has no report of, whatever that waits for."""
    return journal.last_shift() > store.shifts_acknowledged()


def next_report(store: UplinkReader, journal: JournalReader) -> ShiftReport | None:
    """The first report that the server lacks, not signed yet; None while it has not all of that shift's taps."""
    waiting = journal.reports(store.shifts_acknowledged() + 1, 1)
    return waiting[0] if waiting and waiting[0].next_seq <= store.cursor().next_seq else None
