"""The shifts in the journal's file: opened, cash taken, closed with the Z-report; what is committed stays.

Each is one insert and so one commit: a power cut leaves a shift open or closed, never half. A shift begins where the
one before it ended, so that every tap is in one Z-report. Left out: who may open one (`terminal.till`), the report's
coding (`wire.shift`), and sending it (`sync`).
"""

from __future__ import annotations

from typing import Final

from terminal.journal import Journal, JournalDamaged
from terminal.result import CashTaken, ShiftClosed, ShiftOpened
from terminal.totals import ShiftTotals, last_sale_after
from wire.ids import CardId
from wire.money import Fen
from wire.record import ClockQuality, TapRecord, TapTime
from wire.shift import ShiftReport, shift_genesis

_PAGE: Final = 500
_LOOK_BACK: Final = 50  # without a shift, the last sale can be taken back only if it was one of so many taps


class Shiftbook:
    """The shifts of one journal; one shift is open, or none. What it knows of taps is as of the last `catch_up`."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self.totals: ShiftTotals | None = self._open_shift()
        self.last_sale: TapRecord | None = (
            None  # the one that can be taken back next: in the open shift, if there is one
        )
        head_seq = journal.head().seq
        _, first_seq = self._next_shift()
        self._next_seq = max(head_seq - _LOOK_BACK, first_seq) if self.totals is None else first_seq
        self.catch_up()

    def catch_up(self) -> ShiftTotals | None:
        """The open shift's totals with every tap that is sealed by now; None: no shift is open."""
        while records := self._journal.records(self._next_seq, _PAGE):
            for record in records:
                self.totals = None if self.totals is None else self.totals.with_tap(record)
                self.last_sale = last_sale_after(self.last_sale, record)
            self._next_seq += len(records)
        return self.totals

    def open(self, cashier: CardId, opening_cash_fen: Fen, at: TapTime) -> ShiftOpened:
        """Commit that a shift begins. Raises what the journal raises."""
        assert self.totals is None, "one shift at a time"
        number, first_seq = self._next_shift()
        time = (at.utc_s, at.boot, at.uptime_s, at.quality)
        self._journal.keep(
            "INSERT INTO shift_opened VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (number, cashier.to_bytes(), first_seq, opening_cash_fen, *time),
        )
        self.totals = self._open_shift()
        self._next_seq = first_seq
        self.catch_up()
        return ShiftOpened(number, cashier, at, opening_cash_fen)

    def take_cash(self, amount_fen: Fen, at: TapTime) -> CashTaken:
        """Commit a sale that was paid in cash."""
        assert self.totals is not None, "cash is taken in a shift"
        ((last,),) = self._journal.rows("SELECT coalesce(max(number), 0) FROM cash_sale")
        number = _number(last) + 1
        self._journal.keep(
            "INSERT INTO cash_sale VALUES (?, ?, ?, ?)", (number, self.totals.number, amount_fen, at.utc_s)
        )
        self.totals = self.totals.with_cash(amount_fen)
        return CashTaken(number, amount_fen, at)

    def close(self, counted_cash_fen: Fen, at: TapTime) -> ShiftClosed:
        """Commit that the shift ends, with its report. No tap may be open."""
        totals = self.catch_up()
        assert totals is not None, "the shift that is open is closed"
        number, first_seq = self._next_shift()
        before = self._journal.reports(number - 1, 1) if number > 1 else []
        head = self._journal.head()
        report = ShiftReport(
            terminal=self._journal.terminal,
            epoch=self._journal.epoch,
            number=number,
            hash_before=before[0].hash if before else shift_genesis(self._journal.terminal, self._journal.epoch),
            first_seq=first_seq,
            next_seq=head.seq + 1,
            journal_hash=head.hash,
            opened_at_utc_s=totals.opened_at.utc_s,
            closed_at_utc_s=at.utc_s,
            cashier=totals.cashier,
            opening_cash_fen=totals.opening_cash_fen,
            counted_cash_fen=counted_cash_fen,
            cash_count=totals.cash_count,
            cash_fen=totals.cash_fen,
            taps=totals.taps,
        )
        self._journal.keep(
            "INSERT INTO shift_closed VALUES (?, ?, ?, ?)", (number, head.seq + 1, report.canonical, report.hash)
        )
        self.totals = self.last_sale = None
        return ShiftClosed(totals, counted_cash_fen, at)

    def _open_shift(self) -> ShiftTotals | None:
        """The shift that is open, with its cash and without its taps."""
        rows = self._journal.rows(
            "SELECT number, cashier, opening_cash_fen, utc_s, boot, uptime_s, quality FROM shift_opened "
            "WHERE number > (SELECT coalesce(max(number), 0) FROM shift_closed)"
        )
        if not rows:
            return None
        match rows[0]:
            case int(number), bytes(cashier), int(cash_fen), int(utc_s), int(boot), int(uptime_s), int(quality):
                at = TapTime(utc_s=utc_s, boot=boot, uptime_s=uptime_s, quality=ClockQuality(quality))
                opened = ShiftTotals(
                    number=number,
                    cashier=CardId.from_bytes(cashier),
                    opened_at=at,
                    opening_cash_fen=Fen(cash_fen),
                )
            case _:
                raise JournalDamaged("the open shift cannot be read")
        for (amount_fen,) in self._journal.rows("SELECT amount_fen FROM cash_sale WHERE shift = ?", (number,)):
            opened = opened.with_cash(Fen(_number(amount_fen)))
        return opened

    def _next_shift(self) -> tuple[int, int]:
        """The number of the shift after the last that closed, and its first tap."""
        ((closed, first_seq),) = self._journal.rows(
            "SELECT coalesce(max(number), 0), coalesce(max(next_seq), 1) FROM shift_closed"
        )
        return _number(closed) + 1, _number(first_seq)


def _number(value: object) -> int:
    if not isinstance(value, int):
        raise JournalDamaged("the shift tables hold what is no number")
    return value
