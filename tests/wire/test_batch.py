"""The settlement batch: exact, provable in itself, and provably of the terminal that signed it."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from wire.batch import HEAD_TAG_BYTES, TAPS_MAX, SettlementBatch, SignedBatch, decode_batch, sign_batch
from wire.directory import CodingState
from wire.errors import CampusError
from wire.fields import FormatError, varint
from wire.frame import BODY_BYTES_MAX
from wire.ids import SEQ_MAX, Asn, CardId, IssuerId, TapId, TerminalId
from wire.money import FEN_MAX, Fen
from wire.record import (
    HASH_BYTES,
    ClockQuality,
    Mac2,
    Outcome,
    TapKind,
    TapRecord,
    TapTime,
    VoidReason,
    genesis_hash,
    next_hash,
)
from wire.signature import SIGNATURE_BYTES, SignatureInvalid, public_bytes

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
OTHER_KEY = Ed25519PrivateKey.from_private_bytes(bytes(32))
TERMINAL = TerminalId(bytes.fromhex("112233445566"))
HEADER_BYTES = 15 + HASH_BYTES + HEAD_TAG_BYTES  # up to the totals


def _record(seq: int, amount_fen: int = 650) -> TapRecord:
    return TapRecord(
        tap_id=TapId(TERMINAL, 1, seq),
        outcome=Outcome.DEBITED,
        reason=None,
        mac2=Mac2.VERIFIED,
        card=CardId(IssuerId(bytes(8)), Asn(bytes(10))),
        amount_fen=Fen(amount_fen),
        balance_before_fen=Fen(5000),
        counter=seq,
        ttsn=seq,
        tac=b"\1\2\3\4",
        opened_at=TapTime(utc_s=1767261600 + seq, boot=1, uptime_s=seq, quality=ClockQuality.NETWORK),
    )


def _batch(count: int) -> SettlementBatch:
    return SettlementBatch(
        terminal=TERMINAL,
        epoch=1,
        hash_before=genesis_hash(TERMINAL, 1),
        total_before_fen=0,
        records=tuple(_record(seq) for seq in range(1, count + 1)),
    )


def _sign(batch: SettlementBatch, key: Ed25519PrivateKey = KEY) -> SignedBatch:
    """Signed with the state of a journal of which nothing is known before the batch."""
    return sign_batch(batch, key, CodingState(batch.first_seq))


def _open(signed: SignedBatch) -> list[TapRecord]:
    return signed.open(CodingState(signed.first_seq)).records


def _signed_anew(body: bytes) -> SignedBatch:
    """A batch whose signature is right over a body that is not."""
    return decode_batch(body + KEY.sign(b"campus batch v2" + body))


@given(st.from_type(SettlementBatch))
def test_batch_round_trip_gives_the_canonical_records_back(batch: SettlementBatch) -> None:
    before, after = CodingState(batch.first_seq), CodingState(batch.first_seq)
    signed = sign_batch(batch, KEY, before)
    again = decode_batch(signed.raw)
    assert again == signed
    again.verify(public_bytes(KEY))
    links = again.open(after)
    assert tuple(links.records) == batch.records
    assert links.canonicals == [record.to_bytes() for record in batch.records]
    assert before.seq == after.seq == again.next_seq
    assert (before.cards, before.balances, before.prices) == (after.cards, after.balances, after.prices)


@given(st.from_type(SettlementBatch))
def test_head_hash_and_totals_follow_the_records(batch: SettlementBatch) -> None:
    head = batch.hash_before
    links = _sign(batch).open(CodingState(batch.first_seq))
    for record, chain_hash in zip(batch.records, links.chain_hashes, strict=True):
        head = next_hash(head, record.to_bytes())
        assert head == chain_hash
    assert batch.head_hash == head
    assert batch.total_fen == sum(record.debited_fen for record in batch.records)


@given(st.binary(max_size=400))
def test_random_bytes_are_a_format_error(data: bytes) -> None:
    with pytest.raises(FormatError):
        decode_batch(data)


@settings(max_examples=300)
@given(st.from_type(SettlementBatch), st.data())
def test_mutated_batch_is_a_typed_error_or_a_batch_whose_signature_fails(
    batch: SettlementBatch, data: st.DataObject
) -> None:
    raw = bytearray(_sign(batch).raw)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(raw) - 1))
        raw[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    if bytes(raw) == _sign(batch).raw:
        return
    with suppress(FormatError):  # the rows are garbage, too, to whoever opens them unverified
        _open(decode_batch(bytes(raw)))
    with pytest.raises(CampusError):
        decode_batch(bytes(raw)).verify(public_bytes(KEY))


def test_every_flipped_bit_is_found_by_format_chain_totals_or_signature() -> None:
    raw = _sign(_batch(3)).raw
    for bit in range(len(raw) * 8):
        changed = bytearray(raw)
        changed[bit // 8] ^= 1 << (bit % 8)
        with pytest.raises(CampusError):
            decode_batch(bytes(changed)).verify(public_bytes(KEY))


def test_batch_signed_by_another_key_does_not_verify() -> None:
    signed = decode_batch(_sign(_batch(2), OTHER_KEY).raw)
    with pytest.raises(SignatureInvalid):
        signed.verify(public_bytes(KEY))


def test_total_that_the_records_do_not_add_up_to_is_refused_though_signed() -> None:
    body = bytearray(_sign(_batch(1)).raw[:-SIGNATURE_BYTES])
    assert body[HEADER_BYTES] == 0  # total before: 0, one byte; the total follows
    body[HEADER_BYTES + 1] ^= 0x01
    with pytest.raises(FormatError, match="add up"):
        _open(_signed_anew(bytes(body)))


@pytest.mark.parametrize("at", [15, 15 + HASH_BYTES])
def test_hashes_that_the_records_do_not_join_are_refused_though_signed(at: int) -> None:
    body = bytearray(_sign(_batch(1)).raw[:-SIGNATURE_BYTES])
    body[at] ^= 0x01
    with pytest.raises(FormatError, match="head hash"):
        _open(_signed_anew(bytes(body)))


def test_rows_that_refer_to_another_past_are_refused_though_signed() -> None:
    records = tuple(_record(seq) for seq in range(1, 60))
    state = CodingState.before(41, [record.to_bytes() for record in records[:40]])
    batch = replace(_batch(1), hash_before=bytes(32), records=records[40:])
    signed = sign_batch(batch, KEY, state.copy())
    assert signed.open(state).records == list(batch.records)
    with pytest.raises(FormatError):
        _open(signed)


@pytest.mark.parametrize("extra", [b"\0", b"\1"])
def test_bytes_behind_the_last_row_are_refused_though_signed(extra: bytes) -> None:
    body = _sign(_batch(3)).raw[:-SIGNATURE_BYTES]
    with pytest.raises(FormatError, match="left over"):
        _open(_signed_anew(body + extra))


@pytest.mark.parametrize("count", [0, TAPS_MAX + 1, 0x0FFF])
def test_count_out_of_bounds_is_refused(count: int) -> None:
    body = bytearray(_sign(_batch(1)).raw[:-SIGNATURE_BYTES])
    body[13:15] = count.to_bytes(2, "big")
    with pytest.raises(FormatError, match="1 to 500 taps"):
        _signed_anew(bytes(body))


@pytest.mark.parametrize(("epoch", "first_seq"), [(0, 1), (1, 0), (1, SEQ_MAX)])
def test_batch_of_taps_that_no_journal_has_is_refused(epoch: int, first_seq: int) -> None:
    body = bytearray(_sign(_batch(2)).raw[:-SIGNATURE_BYTES])
    body[7:13] = epoch.to_bytes(2, "big") + first_seq.to_bytes(4, "big")
    with pytest.raises(FormatError, match="has no 2 taps"):
        _signed_anew(bytes(body))


def test_totals_whose_sum_no_database_holds_are_refused() -> None:
    body = bytearray(_sign(_batch(1)).raw[:-SIGNATURE_BYTES])
    assert body[HEADER_BYTES] == 0
    body[HEADER_BYTES : HEADER_BYTES + 1] = varint((1 << 63) - 1)
    with pytest.raises(FormatError, match="beyond 63 bits"):
        _signed_anew(bytes(body))


def test_full_batch_of_the_widest_rows_fits_a_frame() -> None:
    ends = (0, 0xFFFF_FFFF)
    wide = [
        replace(
            _record(seq + 1, 0),
            kind=TapKind.REVERSAL,
            outcome=Outcome.VOIDED,
            reason=VoidReason.NOT_EXECUTED,
            card=CardId(IssuerId(bytes(8)), Asn(seq.to_bytes(10, "big"))),
            subsidy_fen=Fen(FEN_MAX - seq),
            credit_fen=Fen(FEN_MAX - TAPS_MAX - seq),
            refers_to=1,
            balance_before_fen=Fen(FEN_MAX),
            counter=0xFFFF,
            ttsn=ends[seq % 2],
            opened_at=TapTime(
                utc_s=ends[seq % 2],
                boot=0xFFFF_FFFF - seq % 2,
                uptime_s=ends[seq % 2],
                quality=ClockQuality(seq % 2 * 3),
            ),
        )
        for seq in range(1, TAPS_MAX + 1)
    ]
    signed = _sign(replace(_batch(1), records=tuple(wide)))
    assert len(signed.rows) < 90 * TAPS_MAX
    assert _open(decode_batch(signed.raw)) == wide
    assert len(signed.raw) < BODY_BYTES_MAX * 3 // 4


def test_same_batch_signed_twice_has_the_same_digest() -> None:
    assert _sign(_batch(2)).digest == _sign(_batch(2)).digest
    assert _sign(_batch(2)).digest != _sign(_batch(3)).digest


def test_cutting_a_batch_anywhere_is_a_format_error_or_an_invalid_signature() -> None:
    raw = _sign(_batch(2)).raw
    for size in range(len(raw)):
        with pytest.raises(CampusError):
            decode_batch(raw[:size]).verify(public_bytes(KEY))
