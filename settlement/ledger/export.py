"""Closed days for other bookkeeping: tables as CSV or XLSX, and a beancount file that its own checker balances.

Only closed days, which never change; card numbers are masked. Left out: choosing the days (`settlement.commands`).
"""

from __future__ import annotations

import csv
import os
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from openpyxl import Workbook
from openpyxl.cell import WriteOnlyCell

from settlement.ledger.clearing import statements
from settlement.ledger.days import closes
from settlement.ledger.entries import EntryKind, date_of, next_day, tap_postings
from settlement.ledger.store import read_origin
from settlement.ledger.trial import TrialLine, trial_balance
from settlement.store.database import Database
from wire.errors import CampusError
from wire.ids import CardId
from wire.money import Fen, format_fen
from wire.record import CAMPUS_ZONE

XLSX_ROWS_MAX: Final = 1_048_575  # what a sheet takes, below its heading
_CHUNK: Final = 5_000  # rows read at a time

_POSTINGS: Final = """
    SELECT posting.id, posting.accounting_day, entry.id, entry.kind, entry.source, entry.terminal, entry.epoch,
           entry.seq, posting.purse, entry.happened_at_utc_s, entry.received_at_utc_s, posting.account_id,
           posting.amount_fen
    FROM other_posting posting JOIN other_entry entry ON entry.id = posting.entry_id
    WHERE posting.id > %s AND posting.id <= %s AND posting.accounting_day = %s ORDER BY posting.id LIMIT %s
"""
_SALES: Final = """
    SELECT id, accounting_day, source, terminal, epoch, seq, card, happened_at_utc_s, received_at_utc_s, amount_fen,
           subsidy_fen
    FROM sale_entry WHERE id > %s AND id <= %s AND accounting_day = %s ORDER BY id LIMIT %s
"""
_TOTALS: Final = """
    SELECT day, account_id, account.name, kind, debit_fen, credit_fen FROM day_total
    JOIN account ON account.number = account_id WHERE day >= %s AND day <= %s ORDER BY day, account_id, kind
"""
_BALANCES: Final = """
    SELECT day, account_id, account.name, balance_fen FROM day_balance
    JOIN account ON account.number = account_id WHERE day >= %s AND day <= %s ORDER BY day, account_id
"""
_CURRENCY: Final = "CNY"
_ROOTS: Final = {"1": "Assets", "2": "Liabilities", "4": "Income", "5": "Expenses"}


class ExportTooLong(CampusError):
    """A sheet does not take so many rows."""

    code = "export-too-long"


@dataclass(frozen=True, slots=True)
class Amount:
    """An amount in a table, which is written as yuan."""

    fen: int


Cell = str | int | Amount
Table = tuple[Sequence[str], Callable[[], Iterator[Sequence[Cell]]]]


def tables(db: Database, first_day: int, last_day: int) -> dict[str, Table]:
    """What CSV and XLSX hold, by name: headings, and what reads the rows."""
    return {
        "entries": (
            (
                "day",
                "entry",
                "kind",
                "source",
                "origin",
                "happened",
                "received",
                "account",
                "card",
                "amount",
            ),
            lambda: _entry_rows(db, first_day, last_day),
        ),
        "day_totals": (
            ("day", "account", "name", "kind", "debit", "credit"),
            lambda: _total_rows(db, first_day, last_day),
        ),
        "balances": (("day", "account", "name", "balance"), lambda: _balance_rows(db, first_day, last_day)),
        "statements": (
            (
                "merchant",
                "number",
                "day",
                "name",
                "taps",
                "gross",
                "subsidy",
                "reversed",
                "refunded",
                "corrected",
                "fee",
                "net",
            ),
            lambda: _statement_rows(db, first_day, last_day),
        ),
    }


def write_csv(found: dict[str, Table], folder: Path) -> list[Path]:
    """A file for each table, in a folder that is made for them; amounts in yuan, times on campus.

    Each begins with a byte order mark: without one spreadsheets take Chinese names for another encoding.
    """
    folder.mkdir(mode=0o700, parents=True)
    written = []
    for name, (headings, rows) in found.items():
        path = folder / f"{name}.csv"
        with path.open("w", newline="", encoding="utf-8-sig") as file:
            writer = csv.writer(file)
            writer.writerow(headings)
            writer.writerows(
                [format_fen(cell.fen) if isinstance(cell, Amount) else cell for cell in row] for row in rows()
            )
        written.append(path)
    return written


def write_xlsx(found: dict[str, Table], path: Path) -> None:
    """A sheet for each table; amounts are numbers of yuan. Raises `ExportTooLong`."""
    book = Workbook(write_only=True)
    for name, (headings, rows) in found.items():
        sheet = book.create_sheet(name)
        sheet.freeze_panes = "A2"
        sheet.append(list(headings))
        for number, row in enumerate(rows(), start=1):
            if number > XLSX_ROWS_MAX:
                for begun in book.worksheets:
                    begun.close()
                raise ExportTooLong(f"{name} has more rows than a sheet takes; choose fewer days, or csv")
            cells = []
            for cell in row:
                if isinstance(cell, Amount):
                    amount = WriteOnlyCell(sheet, value=format_fen(cell.fen))
                    amount.data_type = "n"  # the digits go into the file as they are: no float between
                    amount.number_format = "#,##0.00"
                    cells.append(amount)
                else:
                    cells.append(WriteOnlyCell(sheet, value=cell))
            sheet.append(cells)
    part = path.with_name(path.name + ".part")
    book.save(part)
    os.replace(part, path)


def write_beancount(db: Database, first_day: int, last_day: int, path: Path) -> None:
    """Day totals as transactions, one for each kind of entry, and every account's balance after each day."""
    part = path.with_name(path.name + ".part")
    with part.open("w", encoding="utf-8") as file:
        file.writelines(f"{line}\n" for line in beancount_lines(db, first_day, last_day))
    os.replace(part, path)


def beancount_lines(db: Database, first_day: int, last_day: int) -> Iterator[str]:
    """The file's lines. Nothing is padded: what was there before is a transaction of its own, and sums to zero."""
    days = closes(db, first_day, last_day)
    lines = trial_balance(db, first_day, last_day)
    accounts = {line.account: _account(line) for line in lines}
    yield f'option "title" "Campus settlement {date_of(first_day)} to {date_of(last_day)}"'
    yield f'option "operating_currency" "{_CURRENCY}"'
    yield ""
    yield from (f"{date_of(first_day)} open {name} {_CURRENCY}" for name in accounts.values())
    opening = [(accounts[line.account], line.opening_fen) for line in lines if line.opening_fen]
    if opening:
        yield from _transaction(first_day, "balances brought forward", opening)
    moved: dict[int, dict[int, list[tuple[str, int]]]] = defaultdict(lambda: defaultdict(list))
    for day, account, _, kind, *sides in db.query(_TOTALS, (first_day, last_day), into=lambda *row: row):
        debit_fen, credit_fen = sides
        moved[day][kind] += [(accounts[account], fen) for fen in (debit_fen, -credit_fen) if fen]
    balances: dict[int, list[tuple[str, int]]] = defaultdict(list)
    for day, account, _, fen in db.query(_BALANCES, (first_day, last_day), into=lambda *row: row):
        balances[day].append((accounts[account], fen))
    for close in days:
        for kind, postings in sorted(moved[close.day].items()):
            yield from _transaction(close.day, f"{_kind(kind)}, close {close.number}", postings)
        yield ""
        after = date_of(next_day(close.day))
        # To the fen: by itself beancount lets a balance be one fen off.
        yield from (f"{after} balance {name} {format_fen(fen)} ~ 0 {_CURRENCY}" for name, fen in balances[close.day])


def _transaction(day: int, words: str, postings: Iterable[tuple[str, int]]) -> Iterator[str]:
    yield ""
    yield f'{date_of(day)} * "{words}"'
    yield from (f"  {name}  {format_fen(fen)} {_CURRENCY}" for name, fen in postings)


def _account(line: TrialLine) -> str:
    number = str(line.account)
    words = "".join(word.capitalize() for word in re.findall("[a-z]+", line.name))
    return f"{_ROOTS[number[0]]}:{number}-{words}"


def _kind(kind: int) -> str:
    return EntryKind(kind).name.lower().replace("_", "-")


def _local(utc_s: int) -> str:
    """A time on campus, as spreadsheets read it."""
    return f"{datetime.fromtimestamp(utc_s, CAMPUS_ZONE):%Y-%m-%d %H:%M:%S}"


def _entry_rows(db: Database, first_day: int, last_day: int) -> Iterator[Sequence[Cell]]:
    """Day by day, usual sales behind all else, each in the order of its numbers."""
    before = {close.number + 1: close for close in closes(db, 0, last_day)}
    for close in closes(db, first_day, last_day):
        earlier = before.get(close.number)
        postings = earlier.postings_seen if earlier else 0, close.postings_last
        entries = earlier.entries_seen if earlier else 0, close.entries_last
        yield from _read(db, _POSTINGS, *postings, close.day, into=_posting_row)
        yield from _read(db, _SALES, *entries, close.day, into=_sale_rows)


_Numbered = tuple[int, list[Sequence[Cell]]]


def _read(
    db: Database, sql: str, after: int, last: int, day: int, *, into: Callable[..., _Numbered]
) -> Iterator[Sequence[Cell]]:
    """What rows in the order of their numbers make, some thousand at a time."""
    while True:
        found = db.query(sql, (after, last, day, _CHUNK), into=into)
        for _, rows in found:
            yield from rows
        if len(found) < _CHUNK:
            return
        after = found[-1][0]


def _posting_row(
    number: int,
    day: int,
    entry: int,
    kind: int,
    source: str,
    terminal: bytes | None,
    epoch: int | None,
    seq: int | None,
    purse: bytes | None,
    *rest: int,
) -> _Numbered:
    happened, received, account, fen = rest
    origin = "" if terminal is None or epoch is None or seq is None else str(read_origin(source, terminal, epoch, seq))
    head = (str(date_of(day)), entry, _kind(kind), source, origin, _local(happened), _local(received))
    return number, [(*head, account, _shown(purse), Amount(fen))]


def _sale_rows(
    entry: int, day: int, source: str, terminal: bytes, epoch: int, seq: int, card: bytes, *rest: int
) -> _Numbered:
    happened, received, amount_fen, subsidy_fen = rest
    origin = str(read_origin(source, terminal, epoch, seq))
    head = (str(date_of(day)), entry, _kind(EntryKind.PURCHASE), source, origin, _local(happened), _local(received))
    postings = tap_postings(EntryKind.PURCHASE, CardId.from_bytes(card), Fen(amount_fen), Fen(subsidy_fen))
    return entry, [
        (*head, int(posting.account), "" if posting.purse is None else str(posting.purse), Amount(posting.amount_fen))
        for posting in postings
    ]


def _shown(purse: bytes | None) -> str:
    return "" if purse is None else str(CardId.from_bytes(purse))


def _total_rows(db: Database, first_day: int, last_day: int) -> Iterator[Sequence[Cell]]:
    for day, account, name, kind, debit, credit in db.query(_TOTALS, (first_day, last_day), into=lambda *row: row):
        yield str(date_of(day)), account, name, _kind(kind), Amount(debit), Amount(credit)


def _balance_rows(db: Database, first_day: int, last_day: int) -> Iterator[Sequence[Cell]]:
    for day, account, name, fen in db.query(_BALANCES, (first_day, last_day), into=lambda *row: row):
        yield str(date_of(day)), account, name, Amount(fen)


def _statement_rows(db: Database, first_day: int, last_day: int) -> Iterator[Sequence[Cell]]:
    for item in statements(db, first_day, last_day):
        amounts = (item.gross_fen, item.subsidy_fen, item.reversed_fen, item.refunded_fen, item.corrected_fen)
        head = (item.merchant, item.number, str(date_of(item.day)), item.name, item.taps)
        yield (*head, *(Amount(fen) for fen in (*amounts, item.fee_fen, item.net_fen)))
