"""Receipts, rejections and the cursor that all of them carry."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wire.fields import FieldReader, FormatError, varint
from wire.receipt import RETRYABLE_REJECTIONS, BatchReceipt, Cursor, Rejected, Rejection, Suspense
from wire.record import HASH_BYTES

CURSOR = Cursor(3, 46, bytes(HASH_BYTES))


@given(st.from_type(Cursor))
def test_cursor_round_trip(cursor: Cursor) -> None:
    reader = FieldReader(cursor.to_bytes())
    assert Cursor.read(reader) == cursor
    reader.finish()


@pytest.mark.parametrize("start", ["000000000001", "000100000000"])
def test_cursor_of_epoch_or_number_zero_is_refused(start: str) -> None:
    with pytest.raises(FormatError, match="start at 1"):
        Cursor.read(FieldReader(bytes.fromhex(start) + bytes(HASH_BYTES)))


@given(st.from_type(BatchReceipt))
def test_receipt_round_trip(receipt: BatchReceipt) -> None:
    assert BatchReceipt.from_bytes(receipt.to_bytes()) == receipt


@given(st.binary(max_size=80))
def test_garbage_is_a_format_error_or_a_receipt_of_these_bytes(data: bytes) -> None:
    with suppress(FormatError):
        assert BatchReceipt.from_bytes(data).to_bytes() == data


@given(st.from_type(BatchReceipt), st.data())
def test_mutated_receipt_is_a_format_error_or_a_receipt_of_these_bytes(
    receipt: BatchReceipt, data: st.DataObject
) -> None:
    raw = bytearray(receipt.to_bytes())
    raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    with suppress(FormatError):
        assert BatchReceipt.from_bytes(bytes(raw)).to_bytes() == bytes(raw)


@pytest.mark.parametrize(
    "rows",
    [
        [(0, 1)],  # the cursor itself
        [(46, 1)],  # record 0
        [(2, 1), (2, 1)],  # twice
        [(1, 1), (2, 1)],  # descending
        [(1, 0)],  # no such reason
        [(1, len(Suspense) + 1)],
    ],
)
def test_suspended_rows_that_cannot_be_are_refused(rows: list[tuple[int, int]]) -> None:
    raw = CURSOR.to_bytes() + varint(len(rows))
    raw += b"".join(varint(distance) + bytes((reason,)) for distance, reason in rows)
    with pytest.raises(FormatError):
        BatchReceipt.from_bytes(raw)


def test_huge_count_of_suspended_rows_is_refused_without_work() -> None:
    with pytest.raises(FormatError):
        BatchReceipt.from_bytes(CURSOR.to_bytes() + varint((1 << 64) - 1))


def test_rejection_as_a_fault_says_which_and_keeps_the_detail() -> None:
    fault = Rejected(Rejection.FORK, "record 7 differs")
    assert (fault.code, fault.rejection) == ("rejected", Rejection.FORK)
    assert str(fault) == "FORK: record 7 differs"
    assert str(Rejected(Rejection.BUSY)) == "BUSY"


def test_only_busy_and_gap_may_be_tried_again() -> None:
    assert {rejection.name for rejection in RETRYABLE_REJECTIONS} == {"BUSY", "GAP"}
