"""What stands on a receipt and on a shift's report."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.printer import Line, cells
from terminal.basket import Line as BasketLine
from terminal.basket import Mode, Offer
from terminal.receipts import Form, cash_receipt, has_receipt, receipt, report, signed
from terminal.totals import ShiftTotals
from terminal.words.catalogue import Language
from wire.configuration import ClassPrice, Name
from wire.ids import Asn, CardId, IssuerId, TapId, TerminalId
from wire.money import Fen
from wire.record import ClockQuality, Mac2, Outcome, Refusal, TapKind, TapRecord, TapTime

CARD = CardId(IssuerId(bytes.fromhex("6100000000000001")), Asn(bytes.fromhex("00006100000000001234")))
NOON = TapTime(utc_s=1_772_424_000, boot=1, uptime_s=5, quality=ClockQuality.NETWORK)
SALE = TapRecord(
    tap_id=TapId(TerminalId(bytes.fromhex("610000000001")), 1, 12),
    kind=TapKind.SALE,
    outcome=Outcome.DEBITED,
    reason=None,
    mac2=Mac2.VERIFIED,
    card=CARD,
    amount_fen=Fen(8_50),
    subsidy_fen=Fen(4_00),
    credit_fen=Fen(0),
    balance_before_fen=Fen(50_00),
    counter=7,
    ttsn=42,
    refers_to=0,
    tac=bytes.fromhex("1A2B3C4D"),
    opened_at=NOON,
)
SOLD = Offer(
    Mode.PRODUCTS,
    (
        BasketLine(1, Name("米饭", "Rice"), 2, Fen(1_25), (ClassPrice(1, Fen(1_00)),)),
        BasketLine(2, Name("红烧肉", "Braised pork"), 1, Fen(10_50)),
    ),
)
FORM = Form(
    columns=32,
    languages=(Language.ZH_HANS, Language.EN),
    terminal="610000000001",
    merchant=Name("第一食堂", "First Canteen"),
    outlet=Name("一号窗口", "Window 1"),
)


def text(lines: list[Line]) -> str:
    return "\n".join(line.text for line in lines)


def test_receipt_has_shop_time_lines_subsidy_paid_left_card_and_proof() -> None:
    printed = text(receipt(SALE, FORM, sold=SOLD))
    for words in ("第一食堂", "一号窗口 Window 1", "610000000001", "2026-03-02 12:00:00", "1A2B3C4D"):
        assert words in printed
    rows = {line.rsplit(" ", 1)[0].rstrip(): line.rsplit(" ", 1)[1] for line in printed.splitlines() if " " in line}
    assert rows["米饭 Rice x2"] == "2.00"
    assert rows["红烧肉 Braised pork"] == "10.50"
    assert rows["合计 Total"] == "12.50"
    assert rows["补贴 Subsidy"] == "-4.00"
    assert rows["卡付 By card"] == "8.50"
    assert rows["余额 Left"] == "41.50"
    assert rows["No."] == "12"
    assert "00006100000000001234" not in printed
    assert rows["卡号 Card"] == "**1234"  # what no printer can print would be a question mark
    assert "补打" not in printed


def test_copy_says_so() -> None:
    assert "*** 补打 COPY ***" in text(receipt(SALE, FORM, copy=True))


def test_refund_and_reversal_tell_when_the_money_comes() -> None:
    for kind, title in ((TapKind.REFUND, "REFUND"), (TapKind.REVERSAL, "UNDONE SALE")):
        printed = text(
            receipt(replace(SALE, kind=kind, amount_fen=Fen(0), subsidy_fen=Fen(0), credit_fen=Fen(8_50)), FORM)
        )
        assert title in printed
        assert "8.50" in printed
        assert "next load" in printed


@pytest.mark.parametrize("columns", [32, 48])
@pytest.mark.parametrize("languages", [(Language.ZH_HANS,), (Language.EN,), (Language.ZH_HANS, Language.EN)])
def test_every_line_fits_the_paper(columns: int, languages: tuple[Language, ...]) -> None:
    form = replace(FORM, columns=columns, languages=languages)
    lines = receipt(SALE, form, sold=SOLD, copy=True) + cash_receipt(3, Fen(100), form, NOON)
    lines += report(totals(), form, counted_cash_fen=Fen(5), closed_at=NOON)
    assert [line.text for line in lines if cells(line.text) * (2 if line.double else 1) > columns] == []


NAMES = st.text(st.characters(codec="gb18030", exclude_categories=["C", "Z"]), min_size=1, max_size=20)


@given(NAMES, NAMES, st.integers(1, 99), st.integers(0, 0xFFFF_FFFF))
def test_long_names_and_large_amounts_fit_the_paper(zh: str, en: str, count: int, fen: int) -> None:
    sold = Offer(Mode.PRODUCTS, (BasketLine(1, Name(zh, en), count, Fen(fen // count)),))
    form = replace(FORM, merchant=Name(zh, en), outlet=Name(zh, en))
    lines = receipt(replace(SALE, amount_fen=Fen(fen), subsidy_fen=Fen(0)), form, sold=sold)
    assert all(cells(line.text) * (2 if line.double else 1) <= 32 for line in lines)


def totals() -> ShiftTotals:
    shift = ShiftTotals(number=3, cashier=CARD, opened_at=NOON, opening_cash_fen=Fen(100_00))
    for record in (
        SALE,
        SALE,
        replace(SALE, outcome=Outcome.REFUSED, reason=Refusal.HOTLISTED, tac=bytes(4)),
        replace(SALE, kind=TapKind.REFUND, amount_fen=Fen(0), subsidy_fen=Fen(0), credit_fen=Fen(3_00)),
    ):
        shift = shift.with_tap(record)
    return shift.with_cash(Fen(20_00))


def test_report_adds_up_sales_refunds_and_the_drawer() -> None:
    printed = text(report(totals(), replace(FORM, languages=(Language.EN,)), counted_cash_fen=Fen(119_00)))
    rows = {line.rsplit("  ", 1)[0].strip(): line.rsplit("  ", 1)[-1].strip() for line in printed.splitlines()}
    assert rows["Card sales"] == "2 / 25.00"
    assert rows["of it subsidy"] == "8.00"
    assert rows["Refunds"] == "1 / 3.00"
    assert rows["Refused"] == "1"
    assert rows["Cash sales"] == "1 / 20.00"
    assert rows["Cash expected"] == "120.00"
    assert rows["Cash counted"] == "119.00"
    assert rows["Difference"] == "-1.00"
    assert "Z-report" in printed
    assert "X-report" in text(report(totals(), replace(FORM, languages=(Language.EN,))))


def test_only_taps_that_moved_money_have_receipts() -> None:
    assert has_receipt(SALE)
    assert not has_receipt(replace(SALE, kind=TapKind.SIGN_ON))
    assert not has_receipt(replace(SALE, outcome=Outcome.UNKNOWN))


def test_difference_has_its_sign() -> None:
    assert [signed(fen) for fen in (-100, 0, 5)] == ["-1.00", "0.00", "+0.05"]
