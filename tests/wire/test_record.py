"""The canonical record: bytes that give themselves back, and the chain over them."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wire.fields import FormatError
from wire.ids import Asn, CardId, IssuerId, TapId, TerminalId
from wire.money import FEN_MAX, Fen
from wire.record import (
    CAMPUS_ZONE,
    RECORD_BYTES,
    ClockQuality,
    Mac2,
    Outcome,
    Refusal,
    TapKind,
    TapRecord,
    TapTime,
    VoidReason,
    card_date_time,
    chain_hashes,
    debited_fen,
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


@given(st.lists(st.from_type(TapRecord), max_size=5), st.booleans())
def test_debits_of_many_records_are_the_sum_of_each(records: list[TapRecord], all_debited: bool) -> None:
    if all_debited:
        records = [replace(record, outcome=Outcome.DEBITED, reason=None) for record in records]
    assert debited_fen(record.to_bytes() for record in records) == sum(record.debited_fen for record in records)


@given(st.binary(max_size=RECORD_BYTES - 1))
def test_record_of_another_length_is_refused(data: bytes) -> None:
    with pytest.raises(FormatError):
        TapRecord.from_bytes(data)


@given(st.from_type(TapRecord))
def test_only_a_debit_moves_money(record: TapRecord) -> None:
    assert record.debited_fen == (record.amount_fen if record.outcome is Outcome.DEBITED else 0)


SALE = TapRecord(
    tap_id=TapId(TerminalId(bytes(6)), 1, 9),
    kind=TapKind.SALE,
    outcome=Outcome.DEBITED,
    reason=None,
    mac2=Mac2.VERIFIED,
    card=CardId(IssuerId(bytes(8)), Asn(bytes(10))),
    amount_fen=Fen(500),
    subsidy_fen=Fen(300),
    credit_fen=Fen(0),
    balance_before_fen=Fen(5_000),
    counter=3,
    ttsn=7,
    tac=b"\1\2\3\4",
    refers_to=0,
    opened_at=TapTime(utc_s=1_767_261_600, boot=1, uptime_s=60, quality=ClockQuality.SERVER),
)
REVERSAL = replace(SALE, kind=TapKind.REVERSAL, amount_fen=Fen(0), credit_fen=Fen(500), refers_to=8)
REFUND = replace(REVERSAL, kind=TapKind.REFUND, subsidy_fen=Fen(0))
SIGN_ON = replace(REFUND, kind=TapKind.SIGN_ON, credit_fen=Fen(0), refers_to=0)
REFUSED = replace(REVERSAL, outcome=Outcome.REFUSED, reason=Refusal.REVERSAL_NOT_ALLOWED)


@pytest.mark.parametrize(
    "record",
    [
        SALE,
        replace(SALE, amount_fen=Fen(0)),
        replace(SALE, subsidy_fen=Fen(FEN_MAX - 500)),
        REVERSAL,
        replace(REVERSAL, credit_fen=Fen(0), refers_to=1),
        replace(REFUSED, refers_to=0),
        REFUND,
        replace(REFUND, refers_to=0),
        SIGN_ON,
    ],
    ids=lambda record: record.kind.name,
)
def test_tap_of_every_kind_comes_back(record: TapRecord) -> None:
    assert record.is_possible
    assert TapRecord.from_bytes(record.to_bytes()) == record


@pytest.mark.parametrize(
    "record",
    [
        replace(SALE, credit_fen=Fen(1)),
        replace(SALE, refers_to=8),
        replace(SALE, subsidy_fen=Fen(FEN_MAX - 499)),
        replace(REVERSAL, amount_fen=Fen(1)),
        replace(REVERSAL, refers_to=0),
        replace(REVERSAL, refers_to=9),
        replace(REFUSED, refers_to=10),
        replace(REFUND, amount_fen=Fen(1)),
        replace(REFUND, credit_fen=Fen(0)),
        replace(REFUND, subsidy_fen=Fen(1)),
        replace(REFUND, refers_to=9),
        replace(SIGN_ON, amount_fen=Fen(1)),
        replace(SIGN_ON, subsidy_fen=Fen(1)),
        replace(SIGN_ON, credit_fen=Fen(1)),
        replace(SIGN_ON, refers_to=1),
    ],
    ids=lambda record: record.kind.name,
)
def test_tap_that_cannot_be_is_refused(record: TapRecord) -> None:
    assert not record.is_possible
    with pytest.raises(FormatError, match=f"no {record.kind.name} can"):
        TapRecord.from_bytes(record.to_bytes())


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


@given(st.integers(0, 0xFFFF_FFFF))
def test_card_date_and_time_are_those_of_any_second(utc_s: int) -> None:
    local = datetime.fromtimestamp(utc_s, CAMPUS_ZONE)
    assert card_date_time(utc_s).hex() == f"{local:%Y%m%d%H%M%S}"


@given(st.lists(st.binary(max_size=9)))
def test_hashes_of_a_chain_are_those_one_after_the_other(records: list[bytes]) -> None:
    head, hashes = bytes(32), chain_hashes(bytes(32), records)
    for record, chain_hash in zip(records, hashes, strict=True):
        head = next_hash(head, record)
        assert chain_hash == head


def test_two_journals_start_two_chains() -> None:
    one, two = TerminalId(bytes(6)), TerminalId(bytes(5) + b"\1")
    assert len({genesis_hash(one, 1), genesis_hash(one, 2), genesis_hash(two, 1)}) == 3
    assert next_hash(genesis_hash(one, 1), b"") != genesis_hash(one, 1)
