"""Reports of closed shifts at a stream: taken once their taps are here, compared with them, and kept for good.

Nothing signed is turned away for what it says: what is amiss is an alarm that stands with the report. Left out: what a
day of them comes to, which is the ledger's.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from enum import IntFlag
from typing import Final

from settlement.store.database import Database
from settlement.streams import store
from settlement.streams.store import ShiftRow, TerminalRow
from wire.ids import TerminalId
from wire.record import TapRecord
from wire.shift import ShiftReceipt, ShiftReport, add_up, shift_genesis

_log: Final = logging.getLogger(__name__)


class ShiftAlarm(IntFlag):
    """What is amiss with a report, beside the taps and reports that are here."""

    CHAIN = 1
    RANGE = 2
    JOURNAL = 4
    SUMS = 8
    CONTRADICTED = 16


ALARM_WORDS: Final = {
    ShiftAlarm.CHAIN: "it does not follow from the report before it",
    ShiftAlarm.RANGE: "it does not begin where the reports before it ended",
    ShiftAlarm.JOURNAL: "it is of another journal than the taps here",
    ShiftAlarm.SUMS: "its sums are not those of the taps here",
    ShiftAlarm.CONTRADICTED: "the terminal signed another report under this number, too",
}


@dataclass(frozen=True, slots=True)
class AlarmedShift:
    """A report that somebody has to look at."""

    terminal: TerminalId
    epoch: int
    number: int
    alarms: ShiftAlarm
    received_at_utc_s: int

    @property
    def words(self) -> str:
        """What is amiss, for people."""
        return "; ".join(words for alarm, words in ALARM_WORDS.items() if alarm in self.alarms)


def accept_report(db: Database, report: ShiftReport, *, now_utc_s: int) -> ShiftReceipt:
    """Take a report in and commit, if the one before it and all its taps are here; say up to where all reports are.

    A repeat changes nothing; other content under a number that is here is kept beside it, as evidence. Raises
    `SignatureInvalid`, and `StoreFault` if the database failed; nothing is kept then.
    """
    with db.transaction():
        row = store.find_terminal(db, report.terminal, report.epoch)
        assert row is not None, "whoever was welcomed is known"
        report.verify(row.public_key)
        last = store.last_shift(db, row)
        taken = 0 if last is None else last.number
        if report.number <= taken:
            known = store.find_shift(db, row, report.number)
            if known is None or known.hash != report.hash:
                _say_alarm(report, ShiftAlarm.CONTRADICTED)
                store.add_shift_conflict(db, row, report, now_utc_s=now_utc_s)
            return ShiftReceipt(taken)
        if report.number > taken + 1 or report.next_seq > row.next_seq:
            return ShiftReceipt(taken)
        alarms = _alarms(db, row, report, last)
        if alarms:
            _say_alarm(report, alarms)
        store.add_shift(db, row, report, alarms=int(alarms), now_utc_s=now_utc_s)
        return ShiftReceipt(report.number)


def alarmed_shifts(db: Database) -> list[AlarmedShift]:
    """Every report with an alarm, oldest first."""
    found = store.alarmed_shifts(db, contradicted=int(ShiftAlarm.CONTRADICTED))
    return [
        AlarmedShift(TerminalId(terminal), epoch, number, ShiftAlarm(alarms), at)
        for terminal, epoch, number, alarms, at in found
    ]


def _alarms(db: Database, row: TerminalRow, report: ShiftReport, last: ShiftRow | None) -> ShiftAlarm:
    alarms = ShiftAlarm(0)
    if report.hash_before != (shift_genesis(row.terminal, row.epoch) if last is None else last.hash):
        alarms |= ShiftAlarm.CHAIN
    reported = store.reported_up_to(db, row)
    if report.first_seq != reported:
        alarms |= ShiftAlarm.RANGE
    if report.journal_hash != store.hash_before(db, row, report.next_seq):
        alarms |= ShiftAlarm.JOURNAL
    if report.first_seq >= reported:  # else a terminal could have the same taps added up without end
        taps = store.records_between(db, row, report.first_seq, report.next_seq)
        if add_up(map(TapRecord.from_bytes, taps)) != report.taps:
            alarms |= ShiftAlarm.SUMS
    return alarms


def _say_alarm(report: ShiftReport, alarms: ShiftAlarm) -> None:
    words = AlarmedShift(report.terminal, report.epoch, report.number, alarms, 0).words
    _log.error("ALARM: shift %d of %s-%d: %s", report.number, report.terminal.hex(), report.epoch, words)
