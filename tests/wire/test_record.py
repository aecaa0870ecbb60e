"""The canonical record: bytes that give themselves back, and the chain over them."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wire.fields import FormatError
from wire.ids import TerminalId
from wire.record import (
    RECORD_BYTES,
    ClockQuality,
    Outcome,
    Refusal,
    TapRecord,
    TapTime,
    VoidReason,
    genesis_hash,
    next_hash,
    read_reason,
)


@given(st.from_type(TapRecord))
def test_record_round_trip(record: TapRecord) -> None:
    raw = record.to_bytes()
    assert len(raw) == RECORD_BYTES
    assert TapRecord.from_bytes(raw) == record


@given(st.binary(min_size=RECORD_BYTES, max_size=RECORD_BYTES))
def test_garbage_is_a_format_error_or_a_record_of_these_bytes(data: bytes) -> None:
    with suppress(FormatError):
        assert TapRecord.from_bytes(data).to_bytes() == data


@given(st.from_type(TapRecord), st.integers(0, RECORD_BYTES * 8 - 1))
def test_record_with_a_flipped_bit_is_another_record_or_a_format_error(record: TapRecord, bit: int) -> None:
    changed = bytearray(record.to_bytes())
    changed[bit // 8] ^= 1 << (bit % 8)
    with suppress(FormatError):
        other = TapRecord.from_bytes(bytes(changed))
        assert other != record
        assert other.to_bytes() == bytes(changed)


@given(st.binary(max_size=RECORD_BYTES - 1))
def test_record_of_another_length_is_refused(data: bytes) -> None:
    with pytest.raises(FormatError):
        TapRecord.from_bytes(data)


@given(st.from_type(TapRecord))
def test_only_a_debit_moves_money(record: TapRecord) -> None:
    assert record.debited_fen == (record.amount_fen if record.outcome is Outcome.DEBITED else 0)


@pytest.mark.parametrize("outcome", list(Outcome))
def test_reason_is_wanted_exactly_where_an_outcome_has_one(outcome: Outcome) -> None:
    reasons: dict[Outcome, list[int]] = {Outcome.REFUSED: list(Refusal), Outcome.VOIDED: list(VoidReason)}
    fitting = reasons.get(outcome, [0])
    for value in range(256):
        if value in fitting:
            assert (read_reason(outcome, value) or 0) == value
        else:
            with pytest.raises(FormatError, match="does not go with"):
                read_reason(outcome, value)


def test_card_date_and_time_are_the_campus_local_ones() -> None:
    new_year = TapTime(utc_s=1767196799, boot=1, uptime_s=1, quality=ClockQuality.UNSET)  # 31 Dec 15:59:59 UTC
    assert [part.hex() for part in new_year.card_date_time()] == ["20251231", "235959"]
    assert [part.hex() for part in replace(new_year, utc_s=1767196800).card_date_time()] == ["20260101", "000000"]


def test_two_journals_start_two_chains() -> None:
    one, two = TerminalId(bytes(6)), TerminalId(bytes(5) + b"\1")
    assert len({genesis_hash(one, 1), genesis_hash(one, 2), genesis_hash(two, 1)}) == 3
    assert next_hash(genesis_hash(one, 1), b"") != genesis_hash(one, 1)
