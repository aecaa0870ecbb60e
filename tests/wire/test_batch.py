"""The settlement batch: exact, provable in itself, and provably of the terminal that signed it."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from wire.batch import TAPS_MAX, SettlementBatch, SignedBatch, decode_batch, sign_batch
from wire.errors import CampusError
from wire.fields import FormatError, delta
from wire.frame import BODY_BYTES_MAX
from wire.ids import Asn, CardId, IssuerId, TapId, TerminalId
from wire.money import FEN_MAX, Fen
from wire.record import (
    HASH_BYTES,
    ClockQuality,
    Mac2,
    Outcome,
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
HEADER_BYTES = 15 + 2 * HASH_BYTES  # up to the totals


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
        first_seq=1,
        hash_before=genesis_hash(TERMINAL, 1),
        total_before_fen=0,
        records=tuple(_record(seq) for seq in range(1, count + 1)),
    )


def _signed_anew(body: bytes) -> SignedBatch:
    """A batch whose signature is right over a body that is not."""
    return decode_batch(body + KEY.sign(b"campus batch v1" + body))


@given(st.from_type(SettlementBatch))
def test_batch_round_trip_gives_the_canonical_records_back(batch: SettlementBatch) -> None:
    signed = sign_batch(batch, KEY)
    again = decode_batch(signed.raw)
    assert again == signed
    assert [record.to_bytes() for record in again.batch.records] == [record.to_bytes() for record in batch.records]
    assert sign_batch(again.batch, KEY).raw == signed.raw
    again.verify(public_bytes(KEY))


@given(st.from_type(SettlementBatch))
def test_head_hash_and_totals_follow_the_records(batch: SettlementBatch) -> None:
    head = batch.hash_before
    for record, expected in zip(batch.records, batch.hashes(), strict=True):
        head = next_hash(head, record.to_bytes())
        assert head == expected
    assert batch.head_hash == head
    assert batch.total_fen == sum(record.debited_fen for record in batch.records)
    assert batch.next_seq == batch.first_seq + len(batch.records)


@given(st.binary(max_size=400))
def test_random_bytes_are_a_format_error(data: bytes) -> None:
    with pytest.raises(FormatError):
        decode_batch(data)


@settings(max_examples=300)
@given(st.from_type(SettlementBatch), st.data())
def test_mutated_batch_is_a_typed_error_or_a_batch_whose_signature_fails(
    batch: SettlementBatch, data: st.DataObject
) -> None:
    raw = bytearray(sign_batch(batch, KEY).raw)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(raw) - 1))
        raw[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    if bytes(raw) == sign_batch(batch, KEY).raw:
        return
    with pytest.raises(CampusError):
        decode_batch(bytes(raw)).verify(public_bytes(KEY))


def test_every_flipped_bit_is_found_by_format_chain_totals_or_signature() -> None:
    raw = sign_batch(_batch(3), KEY).raw
    for bit in range(len(raw) * 8):
        changed = bytearray(raw)
        changed[bit // 8] ^= 1 << (bit % 8)
        with pytest.raises(CampusError):
            decode_batch(bytes(changed)).verify(public_bytes(KEY))


def test_batch_signed_by_another_key_does_not_verify() -> None:
    signed = decode_batch(sign_batch(_batch(2), OTHER_KEY).raw)
    with pytest.raises(SignatureInvalid):
        signed.verify(public_bytes(KEY))


def test_total_that_the_records_do_not_add_up_to_is_refused_though_signed() -> None:
    body = bytearray(sign_batch(_batch(1), KEY).raw[:-SIGNATURE_BYTES])
    assert body[HEADER_BYTES] == 0  # total before: 0, one byte; the total follows
    body[HEADER_BYTES + 1] ^= 0x01
    with pytest.raises(FormatError, match="add up"):
        _signed_anew(bytes(body))


@pytest.mark.parametrize("at", [15, 15 + HASH_BYTES])
def test_hashes_that_the_records_do_not_join_are_refused_though_signed(at: int) -> None:
    body = bytearray(sign_batch(_batch(1), KEY).raw[:-SIGNATURE_BYTES])
    body[at] ^= 0x01
    with pytest.raises(FormatError, match="head hash"):
        _signed_anew(bytes(body))


@pytest.mark.parametrize("count", [0, TAPS_MAX + 1, 0xFFFF])
def test_count_out_of_bounds_is_refused(count: int) -> None:
    body = bytearray(sign_batch(_batch(1), KEY).raw[:-SIGNATURE_BYTES])
    body[13:15] = count.to_bytes(2, "big")
    with pytest.raises(FormatError, match="1 to 500 taps"):
        _signed_anew(bytes(body))


def test_card_below_zero_or_beyond_18_bytes_is_refused() -> None:
    body = sign_batch(_batch(1), KEY).raw[:-SIGNATURE_BYTES]
    row = HEADER_BYTES + 1 + 2  # total before 0, total 650
    end = next(at for at in range(row + 1, len(body)) if body[at] < 0x80) + 1
    for number in (-1, 1 << 144):
        with pytest.raises(FormatError, match=r"does not fit 18 bytes|exceeds 145 bits"):
            _signed_anew(body[: row + 1] + delta(number, 146) + body[end:])


def test_cards_of_one_school_cost_three_bytes_at_most() -> None:
    issuer = IssuerId(bytes.fromhex("1000000000000086"))
    cards = [CardId(issuer, Asn(bytes.fromhex(f"{2026_0000_0000 + number:020d}"))) for number in (1, 4999, 17, 3000)]
    far = [replace(_record(seq), card=cards[0]) for seq in range(1, 5)]
    near = [replace(_record(seq), card=card) for seq, card in enumerate(cards, start=1)]
    size = [len(sign_batch(replace(_batch(1), records=tuple(rows)), KEY).raw) for rows in (far, near)]
    assert size[1] - size[0] <= 3 * 2  # a card like the one before costs one byte


def test_full_batch_of_the_widest_rows_fits_a_frame() -> None:
    ends = (0, 0xFFFF_FFFF)
    wide = [
        replace(
            _record(seq, FEN_MAX),
            outcome=Outcome.VOIDED,
            reason=VoidReason.NOT_EXECUTED,
            card=CardId(IssuerId(bytes(8)), Asn(seq.to_bytes(10, "big"))),
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
    signed = sign_batch(replace(_batch(1), records=tuple(wide)), KEY)
    assert decode_batch(signed.raw) == signed
    assert len(signed.raw) < BODY_BYTES_MAX * 3 // 4


def test_same_batch_signed_twice_has_the_same_digest() -> None:
    assert sign_batch(_batch(2), KEY).digest == sign_batch(_batch(2), KEY).digest
    assert sign_batch(_batch(2), KEY).digest != sign_batch(_batch(3), KEY).digest


def test_cutting_a_batch_anywhere_is_a_format_error() -> None:
    raw = sign_batch(_batch(2), KEY).raw
    for size in range(len(raw)):
        with suppress(FormatError):
            decode_batch(raw[:size])
            pytest.fail(f"{size} of {len(raw)} bytes were taken for a batch")
