"""A journal's file: whole or refused, wherever it is cut, damaged or made up."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from wire.batch import SettlementBatch, SignedBatch, sign_batch
from wire.directory import CodingState
from wire.frame import encode_frame
from wire.ids import Asn, CardId, IssuerId, TapId, TerminalId
from wire.journalfile import JournalFileDamaged, journal_file, read_journal_file
from wire.messages import Receipt, Upload
from wire.money import Fen
from wire.receipt import BatchReceipt, Cursor
from wire.record import ClockQuality, Mac2, Outcome, TapRecord, TapTime, genesis_hash
from wire.shift import ShiftReport, add_up, shift_genesis

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
TERMINAL = TerminalId(bytes.fromhex("112233445566"))
TAPS = tuple(
    TapRecord(
        tap_id=TapId(TERMINAL, 1, seq),
        outcome=Outcome.DEBITED,
        reason=None,
        mac2=Mac2.VERIFIED,
        card=CardId(IssuerId(bytes(8)), Asn(bytes(10))),
        amount_fen=Fen(650),
        balance_before_fen=Fen(5_000),
        counter=seq,
        ttsn=seq,
        tac=b"\1\2\3\4",
        opened_at=TapTime(utc_s=1_767_261_600 + seq, boot=1, uptime_s=seq, quality=ClockQuality.NETWORK),
    )
    for seq in (1, 2)
)


def batch() -> SignedBatch:
    body = SettlementBatch(
        terminal=TERMINAL, epoch=1, hash_before=genesis_hash(TERMINAL, 1), total_before_fen=0, records=TAPS
    )
    return sign_batch(body, KEY, CodingState())


def report() -> ShiftReport:
    return ShiftReport(
        terminal=TERMINAL,
        epoch=1,
        number=1,
        hash_before=shift_genesis(TERMINAL, 1),
        first_seq=1,
        next_seq=3,
        journal_hash=bytes(32),
        opened_at_utc_s=0,
        closed_at_utc_s=1,
        cashier=TAPS[0].card,
        opening_cash_fen=Fen(0),
        counted_cash_fen=Fen(0),
        cash_count=0,
        cash_fen=0,
        taps=add_up(TAPS),
    ).signed(KEY)


def whole(*messages: Upload | ShiftReport) -> bytes:
    return b"".join(journal_file(TERMINAL, 1, messages))


def with_digest(content: bytes) -> bytes:
    return content + hashlib.sha256(content).digest()


def test_file_gives_back_its_batches_and_reports() -> None:
    file = read_journal_file(whole(Upload(batch()), report()))
    assert (file.terminal, file.epoch, file.batches, file.reports) == (TERMINAL, 1, (batch(),), (report(),))
    assert read_journal_file(whole()).batches == ()


def test_file_cut_or_with_a_flipped_bit_anywhere_is_refused() -> None:
    data = whole(Upload(batch()), report())
    for at in range(len(data)):
        with pytest.raises(JournalFileDamaged):
            read_journal_file(data[:at])
        with pytest.raises(JournalFileDamaged):
            read_journal_file(data[:at] + bytes((data[at] ^ 0x10,)) + data[at + 1 :])


@given(st.binary(max_size=120))
def test_garbage_is_refused_also_with_a_right_head_and_digest(data: bytes) -> None:
    head = whole()[:-32]
    for content in (data, head + data, head[:16] + data):
        with suppress(JournalFileDamaged):
            file = read_journal_file(with_digest(content))
            assert b"".join(journal_file(file.terminal, file.epoch, ())) == with_digest(content)


@pytest.mark.parametrize(
    "content",
    [
        whole()[:15] + b"\2" + whole()[16:-32],
        whole()[:-32] + encode_frame(Receipt.kind, Receipt(BatchReceipt(Cursor(1, 1, bytes(32)), ())).to_bytes()),
        whole()[:-32] + encode_frame(Upload.kind, batch().raw)[:-1],
        whole()[:-32] + encode_frame(Upload.kind, b"no batch"),
        whole(replace(report(), epoch=2).signed(KEY))[:-32],
    ],
    ids=["later version", "not of a journal", "cut frame", "no batch", "other journal"],
)
def test_content_that_does_not_belong_is_refused_though_the_digest_fits(content: bytes) -> None:
    with pytest.raises(JournalFileDamaged, match="cannot be read"):
        read_journal_file(with_digest(content))
