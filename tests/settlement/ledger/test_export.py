"""Closed days as other programs read them."""

from __future__ import annotations

import csv
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from openpyxl import load_workbook

from settlement.ledger import export, store
from settlement.ledger.clearing import Owner
from settlement.ledger.days import close_days
from settlement.ledger.entries import Entry, Source, entry_for
from settlement.ledger.export import ExportTooLong, beancount_lines, tables, write_beancount, write_csv, write_xlsx
from settlement.store.database import Database
from wire.money import Fen
from wire.record import TapKind

if TYPE_CHECKING:
    from tests.settlement.conftest import FakeTill

NOON = 1_764_043_200  # 2025-11-25, campus time
FIRST, LAST = 20251125, 20251127


class OneOwner:
    def owner_of(self, source: str, terminal: bytes, utc_s: int) -> Owner:
        return Owner(1, 1, "noodles")

    def is_same(self, source: str, terminal: bytes, first_utc_s: int, last_utc_s: int) -> bool:
        return True


@pytest.fixture
def closed(ledger_db: Database, purses: None, till: FakeTill) -> Database:
    """Three closed days: sales with and without subsidy and a reversal; nothing; and a fee."""
    sale = replace(till.tap(500), subsidy_fen=Fen(250))
    plain = till.tap(1_234)
    back = replace(
        till.tap(0), kind=TapKind.REVERSAL, credit_fen=Fen(500), subsidy_fen=Fen(250), refers_to=sale.tap_id.seq
    )
    late = till.tap(40_001)
    days = ((sale, 0), (plain, 0), (back, 0), (late, 2 * 86_400))
    for record, later_s in days:
        entry = entry_for(
            record, suspense=None, source=Source("canteen", record.tap_id.seq), received_at_utc_s=NOON + later_s
        )
        assert isinstance(entry, Entry)
        with ledger_db.transaction():
            assert store.post(ledger_db, [entry]) == [store.Posted.CREATED]
    for day in (20250101, FIRST, 20251126, LAST):
        close_days(ledger_db, through=day, now_utc_s=NOON, owners=OneOwner(), fee_per_10000=30)
    return ledger_db


def bean_check(path: Path) -> subprocess.CompletedProcess[str]:
    program = Path(sys.executable).with_name("bean-check")
    return subprocess.run([program, str(path)], capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("first", [FIRST, 20251126])
def test_beancounts_own_checker_balances_the_file(closed: Database, tmp_path: Path, first: int) -> None:
    path = tmp_path / "books.beancount"
    write_beancount(closed, first, LAST, path)
    checked = bean_check(path)
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")
    text = path.read_text()
    assert ("brought forward" in text) is (first != FIRST)
    assert "2025-11-28 balance Liabilities:2002-MerchantPayable -411.12 ~ 0 CNY" in text


def test_beancounts_own_checker_finds_a_balance_that_is_one_fen_off(closed: Database, tmp_path: Path) -> None:
    path = tmp_path / "books.beancount"
    lines = "\n".join(beancount_lines(closed, FIRST, LAST))
    assert "-411.12 ~ 0 CNY" in lines
    path.write_text(lines.replace("-411.12 ~ 0 CNY", "-411.11 ~ 0 CNY") + "\n")
    assert bean_check(path).returncode != 0


def test_tables_are_written_as_csv_with_amounts_in_yuan_and_no_card_number(closed: Database, tmp_path: Path) -> None:
    written = write_csv(tables(closed, FIRST, LAST), tmp_path / "out")
    assert [path.name for path in written] == ["entries.csv", "day_totals.csv", "balances.csv", "statements.csv"]
    assert written[0].read_bytes().startswith(b"\xef\xbb\xbf")  # without it spreadsheets garble Chinese names
    with written[0].open(newline="", encoding="utf-8-sig") as file:
        rows = list(csv.DictReader(file))
    assert [row["amount"] for row in rows[:4]] == ["2.50", "-2.50", "7.50", "-7.50"]
    assert rows[0]["received"] == "2025-11-25 12:00:00"  # campus time
    assert {row["day"] for row in rows} == {"2025-11-25", "2025-11-27"}
    assert {len(row["card"]) for row in rows if row["card"]} == {6}
    assert sum(round(100 * float(row["amount"])) for row in rows) == 0
    (statement, last) = written[3].read_text(encoding="utf-8").splitlines()[1:]
    assert statement == "1,1,2025-11-25,noodles,2,19.84,0.00,7.50,0.00,0.00,0.03,12.31"
    assert last.startswith("1,2,2025-11-27,noodles,1,400.01")


def test_tables_are_written_as_sheets_with_numbers(
    closed: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_xlsx(tables(closed, FIRST, LAST), tmp_path / "out.xlsx")
    book = load_workbook(tmp_path / "out.xlsx", read_only=True)
    assert book.sheetnames == ["entries", "day_totals", "balances", "statements"]
    assert [cell.value for cell in list(book["statements"].rows)[1]][-2:] == [0.03, 12.31]
    book.close()
    monkeypatch.setattr(export, "XLSX_ROWS_MAX", 3)
    with pytest.raises(ExportTooLong):
        write_xlsx(tables(closed, FIRST, LAST), tmp_path / "more.xlsx")
    assert not (tmp_path / "more.xlsx").exists()
