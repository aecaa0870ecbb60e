"""A shift's totals and a card's balance as rows of a table. Pure."""

from __future__ import annotations

from drivers.purse import LogRecord
from terminal.result import BalanceRead, ShiftClosed, masked
from terminal.totals import ShiftTotals
from terminal.words.catalogue import Words
from wire.money import format_fen
from wire.record import Outcome, TapKind, TapRecord
from wire.shift import Sum

Rows = tuple[tuple[str, ...], ...]


def x_rows(totals: ShiftTotals, words: Words) -> Rows:
    """The totals up to now, and what should be in the drawer."""
    return (*_rows(totals, words), (words.report_expected, "", format_fen(totals.expected_cash_fen)))


def z_rows(closed: ShiftClosed, words: Words) -> Rows:
    """The totals at the end, and the drawer as it was counted."""
    totals, counted_fen = closed.totals, closed.counted_cash_fen
    return (
        *x_rows(totals, words),
        (words.report_counted, "", format_fen(counted_fen)),
        (words.report_difference, "", format_fen(counted_fen - totals.expected_cash_fen)),
    )


def balance_rows(read: BalanceRead, words: Words) -> Rows:
    """The card's last taps at this till, then its own log, newest first."""
    taps: Rows = tuple(_tap_row(tap, words) for tap in read.taps)
    log: Rows = tuple((f" {_log_time(line)}", format_fen(line.amount_fen)) for line in read.log if line.amount_fen)
    return (
        *(((words.last_taps,), *taps) if taps else ()),
        *(((words.card_log,), *log) if log else ()),
    )


def _rows(totals: ShiftTotals, words: Words) -> Rows:
    sales = totals.of(TapKind.SALE, Outcome.DEBITED)
    back = [totals.of(kind, Outcome.DEBITED) for kind in (TapKind.REVERSAL, TapKind.REFUND)]
    refused = sum((totals.of(kind, Outcome.REFUSED).count for kind in TapKind), start=0)
    voided = sum((totals.of(kind, Outcome.VOIDED).count for kind in TapKind), start=0)
    unknown = totals.of(TapKind.SALE, Outcome.UNKNOWN)
    opened = totals.opened_at.local().strftime("%Y-%m-%d %H:%M")
    takings_fen = _price_fen(sales) + totals.cash_fen - sum(one.credit_fen + one.subsidy_fen for one in back)
    return (
        (words.report_shift.format(number=totals.number, card=masked(totals.cashier), opened=opened),),
        ("", words.report_count, words.report_amount),
        (words.report_sales, str(sales.count), format_fen(_price_fen(sales))),
        (f"  {words.report_subsidy}", "", format_fen(sales.subsidy_fen)),
        (words.report_reversals, str(back[0].count), format_fen(-_back_fen(back[0]))),
        (words.report_refunds, str(back[1].count), format_fen(-_back_fen(back[1]))),
        (words.report_cash, str(totals.cash_count), format_fen(totals.cash_fen)),
        (words.report_takings, "", format_fen(takings_fen)),
        (words.report_unknown, str(unknown.count), format_fen(_price_fen(unknown))),
        (words.report_refused, str(refused), ""),
        (words.report_voided, str(voided), ""),
        (words.report_opening, "", format_fen(totals.opening_cash_fen)),
    )


def _price_fen(taps: Sum) -> int:
    return taps.amount_fen + taps.subsidy_fen


def _back_fen(taps: Sum) -> int:
    return taps.credit_fen + taps.subsidy_fen


def _log_time(line: LogRecord) -> str:
    return f"{line.date[4:6]}-{line.date[6:]} {line.time[:2]}:{line.time[2:4]}"


def _tap_row(tap: TapRecord, words: Words) -> tuple[str, ...]:
    amount_fen = -tap.credit_fen if tap.credit_fen else tap.amount_fen + tap.subsidy_fen
    known = {Outcome.REFUSED: words.report_refused, Outcome.VOIDED: words.report_voided}
    about = known.get(tap.outcome, words.report_unknown if tap.outcome is Outcome.UNKNOWN else "")
    return (f" {tap.opened_at.local():%m-%d %H:%M}  {tap.tap_id.seq}", about, format_fen(amount_fen))
