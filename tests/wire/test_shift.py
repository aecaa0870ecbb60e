"""Shift reports: exact, provable, adding up to the taps that they name; garbage is a typed error."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from wire.fields import FormatError, varint
from wire.ids import Asn, CardId, IssuerId, TerminalId
from wire.money import Fen
from wire.record import Outcome, TapKind, TapRecord
from wire.shift import NO_TAPS, ShiftReceipt, ShiftReport, Sum, add_up, shift_genesis
from wire.signature import SIGNATURE_BYTES, SignatureInvalid, public_bytes

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
TERMINAL = TerminalId(bytes.fromhex("112233445566"))
SALES = {(TapKind.SALE, Outcome.DEBITED): Sum(2, 900, 300, 0)}
REPORT = ShiftReport(
    terminal=TERMINAL,
    epoch=1,
    number=1,
    hash_before=shift_genesis(TERMINAL, 1),
    first_seq=1,
    next_seq=3,
    journal_hash=bytes(32),
    opened_at_utc_s=1_767_261_600,
    closed_at_utc_s=1_767_290_400,
    cashier=CardId(IssuerId(bytes(8)), Asn(bytes(10))),
    opening_cash_fen=Fen(20_000),
    counted_cash_fen=Fen(20_990),
    cash_count=1,
    cash_fen=1_000,
    taps=SALES,
)


@given(st.from_type(ShiftReport))
def test_report_round_trip(report: ShiftReport) -> None:
    assert ShiftReport.from_bytes(report.to_bytes()) == report
    assert ShiftReport.from_canonical(report.canonical) == replace(report, proof=b"")


@given(st.binary(max_size=300))
def test_garbage_is_a_format_error_or_a_report_of_these_bytes(data: bytes) -> None:
    with suppress(FormatError):
        assert ShiftReport.from_bytes(data).to_bytes() == data


@given(st.from_type(ShiftReport), st.data())
def test_report_with_a_flipped_bit_is_another_report_or_a_format_error(
    report: ShiftReport, data: st.DataObject
) -> None:
    changed = bytearray(report.to_bytes())
    changed[data.draw(st.integers(0, len(changed) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    with suppress(FormatError):
        other = ShiftReport.from_bytes(bytes(changed))
        assert other != report
        assert other.to_bytes() == bytes(changed)


def test_report_cut_anywhere_is_refused() -> None:
    raw = REPORT.signed(KEY).to_bytes()
    for size in range(len(raw)):
        with pytest.raises((FormatError, SignatureInvalid)):
            ShiftReport.from_bytes(raw[:size]).verify(public_bytes(KEY))


@given(st.lists(st.from_type(TapRecord), max_size=12))
def test_every_tap_is_added_once_to_its_kind_and_outcome(records: list[TapRecord]) -> None:
    sums = add_up(records)
    assert sum(found.count for found in sums.values()) == len(records)
    for (kind, outcome), found in sums.items():
        taps = [record for record in records if (record.kind, record.outcome) == (kind, outcome)]
        assert found.count == len(taps) > 0
        assert found.amount_fen == sum(record.amount_fen for record in taps)
        assert found.subsidy_fen == sum(record.subsidy_fen for record in taps)
        assert found.credit_fen == sum(record.credit_fen for record in taps)
        assert found.is_possible(kind)


def test_what_never_came_is_nothing() -> None:
    assert REPORT.of(TapKind.REFUND, Outcome.DEBITED) == NO_TAPS
    assert REPORT.of(TapKind.SALE, Outcome.DEBITED).count == 2
    assert REPORT.expected_cash_fen == 21_000


def test_signature_is_the_terminals_and_over_everything_but_itself() -> None:
    signed = REPORT.signed(KEY)
    signed.verify(public_bytes(KEY))
    assert signed.hash == REPORT.hash
    for other in (replace(signed, number=2), replace(signed, counted_cash_fen=Fen(0)), replace(signed, taps={})):
        with pytest.raises(SignatureInvalid):
            other.verify(public_bytes(KEY))


def test_hash_is_another_for_every_report_and_every_journal_starts_its_own_chain() -> None:
    assert replace(REPORT, counted_cash_fen=Fen(20_991)).hash != REPORT.hash
    assert len({shift_genesis(TERMINAL, 1), shift_genesis(TERMINAL, 2), shift_genesis(TerminalId(bytes(6)), 1)}) == 3


@pytest.mark.parametrize(
    "report",
    [
        replace(REPORT, epoch=0),
        replace(REPORT, number=0),
        replace(REPORT, first_seq=0, next_seq=2),
        replace(REPORT, first_seq=4, next_seq=3),
        replace(REPORT, next_seq=4),
        replace(REPORT, taps={}),
        replace(REPORT, cash_count=0),
        replace(REPORT, cash_count=1_001),
        replace(REPORT, taps={(TapKind.SALE, Outcome.DEBITED): Sum(2, 900, 300, 1)}),
        replace(REPORT, taps={(TapKind.REVERSAL, Outcome.DEBITED): Sum(2, 1, 0, 0)}),
        replace(REPORT, taps={(TapKind.REFUND, Outcome.DEBITED): Sum(2, 0, 0, 1)}),
        replace(REPORT, taps={(TapKind.REFUND, Outcome.DEBITED): Sum(2, 0, 1, 2)}),
        replace(REPORT, taps={(TapKind.SIGN_ON, Outcome.DEBITED): Sum(2, 0, 0, 1)}),
    ],
)
def test_report_that_no_shift_comes_to_is_refused(report: ShiftReport) -> None:
    with pytest.raises(FormatError):
        ShiftReport.from_canonical(report.canonical)


def test_number_in_a_longer_spelling_is_refused() -> None:
    short, long = varint(20_000), bytes((0xA0, 0x9C, 0x81, 0x00))
    canonical = REPORT.canonical
    at = canonical.index(short)
    with pytest.raises(FormatError):
        ShiftReport.from_canonical(canonical[:at] + long + canonical[at + len(short) :])


def test_report_of_a_later_version_is_refused() -> None:
    with pytest.raises(FormatError, match="version 2"):
        ShiftReport.from_canonical(b"\2" + REPORT.canonical[1:])


@given(st.integers(0, 0xFFFF_FFFF), st.binary(max_size=8))
def test_receipt_round_trip_and_garbage(number: int, data: bytes) -> None:
    assert ShiftReceipt.from_bytes(ShiftReceipt(number).to_bytes()) == ShiftReceipt(number)
    with suppress(FormatError):
        assert ShiftReceipt.from_bytes(data).to_bytes() == data


def test_report_holds_a_signature_or_is_none() -> None:
    with pytest.raises(FormatError, match="before its signature"):
        ShiftReport.from_bytes(bytes(SIGNATURE_BYTES - 1))
