"""Datagrams: sealed, within 140 bytes, self-contained; garbage is a typed error."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from wire.directory import CodingState
from wire.errors import CampusError
from wire.hotlist import EMPTY_HOTLIST, Hotlist
from wire.ids import Asn, CardId, IssuerId, Stream, TapId, TerminalId
from wire.receipt import BatchReceipt, Cursor, Rejection, Suspense
from wire.record import Outcome, Refusal, TapRecord, next_hash
from wire.sms import (
    DATAGRAM_BYTES_MAX,
    DATAGRAM_NUMBER_MAX,
    NUMBER_S,
    NUMBERS_FROM_UTC_S,
    UP_TAPS_MAX,
    DatagramKind,
    Envelope,
    HotlistDatagram,
    ReceiptDatagram,
    SmsInvalid,
    UpDatagram,
    derive_sms_key,
    next_number,
    pack_up,
)

TERMINAL = TerminalId(bytes.fromhex("112233445566"))
OTHER = TerminalId(bytes(6))
KEY = derive_sms_key(bytes(16), TERMINAL, 3)
ENVELOPE = Envelope(kind=DatagramKind.UP, stream=Stream.CANTEEN, terminal=TERMINAL, number=7)
CARDS = [CardId(IssuerId(bytes(8)), Asn(bytes.fromhex(f"{number:020d}"))) for number in range(200)]


def journal(drawn: list[TapRecord]) -> list[TapRecord]:
    return [_numbered(record, seq) for seq, record in enumerate(drawn, start=1)]


def _numbered(record: TapRecord, seq: int) -> TapRecord:
    moved = replace(record, tap_id=TapId(TERMINAL, 3, seq), refers_to=min(record.refers_to, seq - 1))
    return moved if moved.is_possible else replace(moved, outcome=Outcome.REFUSED, reason=Refusal.REVERSAL_NOT_ALLOWED)


@given(st.binary(max_size=122), st.sampled_from(DatagramKind), st.sampled_from(Stream), st.integers(1, 0xFF_FFFF))
def test_sealed_content_comes_back_to_whoever_has_the_key(
    plain: bytes, kind: DatagramKind, stream: Stream, number: int
) -> None:
    envelope = Envelope(kind=kind, stream=stream, terminal=TERMINAL, number=number)
    data = envelope.seal(plain, KEY, 3)
    assert len(data) <= DATAGRAM_BYTES_MAX
    assert Envelope.of(data) == envelope
    assert envelope.unseal(data, KEY, 3) == plain


def test_nobody_else_s_key_epoch_number_or_direction_opens_a_datagram() -> None:
    data = ENVELOPE.seal(b"taps", KEY, 3)
    with pytest.raises(SmsInvalid):
        ENVELOPE.unseal(data, derive_sms_key(bytes(16), TERMINAL, 4), 3)
    with pytest.raises(SmsInvalid):
        ENVELOPE.unseal(data, KEY, 4)
    for other in (replace(ENVELOPE, number=8), replace(ENVELOPE, kind=DatagramKind.RECEIPT)):
        with pytest.raises(SmsInvalid):
            other.unseal(other.to_bytes() + data[10:], KEY, 3)


def test_every_flipped_bit_is_found() -> None:
    data = ENVELOPE.seal(b"fourteen taps", KEY, 3)
    for bit in range(8 * len(data)):
        changed = bytearray(data)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(SmsInvalid):
            Envelope.of(bytes(changed)).unseal(bytes(changed), KEY, 3)


@given(st.binary(max_size=200))
def test_random_bytes_are_no_datagram(data: bytes) -> None:
    with pytest.raises(SmsInvalid):
        Envelope.of(data).unseal(data, KEY, 3)


@given(st.binary(max_size=122))
def test_garbage_under_the_right_key_is_a_typed_error_or_a_value(plain: bytes) -> None:
    with suppress(SmsInvalid):
        datagram = UpDatagram.from_bytes(plain)
        assert datagram.to_bytes() == plain
        datagram.open(CodingState(), bytes(32), terminal=TERMINAL, epoch=3)
    with suppress(SmsInvalid):
        ReceiptDatagram.from_bytes(plain)
    with suppress(SmsInvalid):
        HotlistDatagram.from_bytes(plain)


def test_number_beyond_the_last_needs_a_new_key() -> None:
    with pytest.raises(AssertionError, match="new key"):
        replace(ENVELOPE, number=DATAGRAM_NUMBER_MAX + 1).seal(b"", KEY, 3)


@given(st.lists(st.from_type(TapRecord), min_size=1, max_size=UP_TAPS_MAX + 3).map(journal))
def test_packed_taps_come_back_and_the_next_datagram_goes_on_from_there(records: list[TapRecord]) -> None:
    sender, receiver, head, done = CodingState(), CodingState(), bytes(32), 0
    while done < len(records):
        datagram = pack_up(sender, head, records[done:])
        assert len(ENVELOPE.seal(datagram.to_bytes(), KEY, 3)) <= DATAGRAM_BYTES_MAX
        datagram = UpDatagram.from_bytes(datagram.to_bytes())
        assert datagram.first_seq(receiver.seq) == done + 1
        links = datagram.open(receiver, head, terminal=TERMINAL, epoch=3)
        assert links.records == records[done : done + datagram.count]
        assert sender.seq == done + 1, "packing leaves the state alone"
        for record in records[done : done + datagram.count]:
            sender.advance_canonical(record.to_bytes())
            head = next_hash(head, record.to_bytes())
        done += datagram.count


@given(st.lists(st.from_type(TapRecord), min_size=1, max_size=4).map(journal))
def test_taps_that_continue_another_history_are_refused(records: list[TapRecord]) -> None:
    datagram = pack_up(CodingState(), bytes(32), records)
    with pytest.raises(SmsInvalid, match="head hash"):
        datagram.open(CodingState(), b"\1" * 32, terminal=TERMINAL, epoch=3)


@given(st.integers(1, 0xFFFF_FFFF), st.integers(-0x7FFF, 0x7FFF))
def test_first_number_is_the_nearest_to_the_one_wanted(wanted: int, away: int) -> None:
    seq = max(1, wanted + away)
    datagram = UpDatagram(seq_bits=seq & 0xFFFF, count=1, pace=1, head_tag=bytes(4), rows=b"")
    assert datagram.first_seq(wanted) == seq


@given(st.from_type(BatchReceipt), st.none() | st.sampled_from(Rejection))
def test_receipt_says_where_the_server_stands(receipt: BatchReceipt, rejection: Rejection | None) -> None:
    datagram = ReceiptDatagram.of(receipt, rejection)
    assert ReceiptDatagram.from_bytes(datagram.to_bytes()) == datagram
    assert (datagram.next_seq, datagram.rejection) == (receipt.cursor.next_seq, rejection)
    assert receipt.cursor.head_hash.startswith(datagram.head_tag)
    assert datagram.suspended == receipt.suspended


def test_receipt_with_many_suspended_keeps_the_first_of_them() -> None:
    suspended = tuple((seq, Suspense.TAC_WRONG) for seq in range(1, 100))
    datagram = ReceiptDatagram.of(BatchReceipt(Cursor(3, 100, bytes(32)), suspended))
    assert 30 <= len(datagram.suspended) < 99
    assert datagram.suspended == suspended[: len(datagram.suspended)]
    data = replace(ENVELOPE, kind=DatagramKind.RECEIPT).seal(datagram.to_bytes(), KEY, 3)
    assert len(data) <= DATAGRAM_BYTES_MAX


@given(st.from_type(Hotlist), st.sets(st.sampled_from(CARDS), min_size=1, max_size=12))
def test_urgent_entries_make_the_new_list_of_the_old_one(old: Hotlist, more: set[CardId]) -> None:
    assume(old.version < 0xFFFF_FFFE)
    new = Hotlist(old.version + 1, old.cards | more)
    datagram = HotlistDatagram.between(old, new)
    assert datagram is not None
    again = HotlistDatagram.from_bytes(datagram.to_bytes())
    assert again == datagram
    assert again.added_to(old) == new
    assert again.added_to(new) == new
    assert again.added_to(Hotlist(old.version + 2, old.cards)) is None


def test_entries_reach_a_terminal_whatever_part_of_them_came_before() -> None:
    lists = [Hotlist(version, frozenset(CARDS[:version])) for version in range(4)]
    whole = HotlistDatagram.between(lists[0], lists[3])
    assert whole is not None
    assert {whole.added_to(held) for held in lists} == {lists[3]}
    lacking = HotlistDatagram.between(lists[2], lists[3])
    assert lacking is not None
    assert lacking.added_to(lists[1]) is None


def test_list_that_lost_a_card_or_grew_by_too_many_goes_another_way() -> None:
    two = Hotlist(1, frozenset(CARDS[:2]))
    assert HotlistDatagram.between(two, EMPTY_HOTLIST) is None
    assert HotlistDatagram.between(EMPTY_HOTLIST, Hotlist(2, frozenset(CARDS))) is None


def test_number_that_was_lost_is_not_given_again() -> None:
    now = NUMBERS_FROM_UTC_S + 5_000 * NUMBER_S
    assert next_number(0, now_utc_s=now) == 5_001
    assert next_number(5_001, now_utc_s=now) == 5_002
    assert next_number(5_002, now_utc_s=now - 10**6) == 5_003, "a clock that was set back repeats none"
    assert next_number(7, now_utc_s=1) == 8
    assert next_number(7, now_utc_s=4_000_000_000) == 8, "a clock beyond all numbers takes none away"
    assert next_number(DATAGRAM_NUMBER_MAX - 1, now_utc_s=now) == DATAGRAM_NUMBER_MAX
    with pytest.raises(SmsInvalid, match="run out"):
        next_number(DATAGRAM_NUMBER_MAX, now_utc_s=now)


def test_two_directions_never_share_a_nonce() -> None:
    sealed = [replace(ENVELOPE, kind=kind).seal(bytes(40), KEY, 3)[10:-8] for kind in DatagramKind]
    assert sealed[0] not in sealed[1:]


def test_first_number_is_never_below_one() -> None:
    up = UpDatagram(seq_bits=0xFFFF, count=1, pace=1, head_tag=bytes(4), rows=b"\0")
    assert up.first_seq(3) == 0xFFFF


def test_keys_of_two_journals_have_nothing_in_common() -> None:
    keys = {derive_sms_key(m, t, e) for m in (bytes(16), b"\1" * 16) for t in (TERMINAL, OTHER) for e in (1, 2)}
    assert len(keys) == 8


def test_sms_invalid_is_final() -> None:
    assert issubclass(SmsInvalid, CampusError)
    assert (SmsInvalid.code, SmsInvalid.retryable) == ("sms-invalid", False)
