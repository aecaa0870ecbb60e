"""A settlement batch: consecutive sealed taps of one journal with control totals, signed by the terminal.

The coding is a view of the canonical records (`wire.record`): a batch is opened with the coding state before its first
record (`wire.directory`) and gives exactly their bytes back. The hash before it, which the signature covers, commits to
that state: who knows the same history cannot read anything else. Layout in `wire/FORMAT.md`.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from wire import signature
from wire.bits import to_bytes
from wire.directory import CodingState
from wire.fields import FieldReader, FormatError, varint
from wire.ids import SEQ_MAX, TERMINAL_ID_BYTES, TerminalId
from wire.record import HASH_BYTES, TapRecord, debited_fen, next_hash
from wire.rows import Links, best_pace, encode_row, read_rows

BATCH_VERSION: Final = 2
TOTAL_BITS: Final = 63  # what a database's signed integer holds
TAPS_MAX: Final = 500  # one row never exceeds 90 bytes, so a full batch stays far below a frame's limit
HEAD_TAG_BYTES: Final = 4  # finds a coding state that is not the sender's; it proves nothing and need not

_PACE_SHIFT: Final = 12  # above the count's bits
_COUNT_MASK: Final = (1 << _PACE_SHIFT) - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class SettlementBatch:
    """What a terminal has to say: records of one journal, with the chain's hash before them.

    `total_before_fen` is the sum of all debits in this journal before the batch: a server that misses records knows how
    much money is in the gap.
    """

    terminal: TerminalId
    epoch: int
    hash_before: bytes
    total_before_fen: int
    records: tuple[TapRecord, ...]

    @property
    def first_seq(self) -> int:
        """The first record's number; the others follow without a gap."""
        return self.records[0].tap_id.seq

    @property
    def total_fen(self) -> int:
        """The batch's own debits."""
        return sum(record.debited_fen for record in self.records)

    @property
    def head_hash(self) -> bytes:
        """The chain's hash after the last record."""
        head = self.hash_before
        for record in self.records:
            head = next_hash(head, record.to_bytes())
        return head


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedBatch:
    """A batch as it travels and is kept: what can be read without knowing its journal, and the bytes that prove it."""

    terminal: TerminalId
    epoch: int
    first_seq: int
    count: int
    hash_before: bytes
    head_tag: bytes
    total_before_fen: int
    total_fen: int
    pace: int
    rows: bytes
    raw: bytes

    @property
    def next_seq(self) -> int:
        """The number after the last record."""
        return self.first_seq + self.count

    @property
    def digest(self) -> bytes:
        """SHA-256 of the bytes on the wire: the same batch sent again has the same digest."""
        return hashlib.sha256(self.raw).digest()

    def verify(self, public_key: bytes) -> None:
        """Raise `SignatureInvalid` unless the terminal with this key signed it."""
        body, proof = self.raw[: -signature.SIGNATURE_BYTES], self.raw[-signature.SIGNATURE_BYTES :]
        signature.verify(public_key, signature.BATCH, body, proof)

    def open(self, state: CodingState) -> Links:
        """The records, once the rows are read to the last bit and fit the head tag and the total.

        `state` is the one before `first_seq`, in the journal whose hash there is `hash_before`. It is the one before
        `next_seq` afterwards; if this raises `FormatError`, it is nobody's any more.
        """
        assert state.seq == self.first_seq, f"a state before record {state.seq} does not open {self.first_seq}"
        links = read_rows(
            state, self.rows, self.count, self.hash_before, terminal=self.terminal, epoch=self.epoch, pace=self.pace
        )
        if links.chain_hashes[-1][:HEAD_TAG_BYTES] != self.head_tag:
            raise FormatError("the records do not lead to the head hash")
        if debited_fen(links.canonicals) != self.total_fen:
            raise FormatError("the records do not add up to the total")
        return links


def sign_batch(batch: SettlementBatch, key: Ed25519PrivateKey, state: CodingState) -> SignedBatch:
    """Encode and sign; the same batch, key and state give the same bytes.

    `state` is the one before the batch, and the one after it once this returns.
    """
    count = len(batch.records)
    assert 0 < count <= TAPS_MAX, f"a batch holds 1 to {TAPS_MAX} taps"
    assert state.seq == batch.first_seq, f"a state before record {state.seq} does not code {batch.first_seq}"
    pace = best_pace(state, batch.records)
    rows = to_bytes("".join(encode_row(state, record, pace) for record in batch.records))
    body = b"".join(
        (
            bytes((BATCH_VERSION,)),
            batch.terminal,
            batch.epoch.to_bytes(2, "big"),
            batch.first_seq.to_bytes(4, "big"),
            (pace - 1 << _PACE_SHIFT | count).to_bytes(2, "big"),
            batch.hash_before,
            batch.head_hash[:HEAD_TAG_BYTES],
            varint(batch.total_before_fen, TOTAL_BITS),
            varint(batch.total_fen, TOTAL_BITS),
            rows,
        )
    )
    return decode_batch(body + signature.sign(key, signature.BATCH, body))


def decode_batch(data: bytes) -> SignedBatch:
    """Read all but the rows; `FormatError` if that cannot be a batch.

    Who signed it is not known before `SignedBatch.verify`, what is in it not before `SignedBatch.open`.
    """
    reader = FieldReader(data)
    if (version := reader.uint(1)) != BATCH_VERSION:
        raise FormatError(f"batch version {version} is not known here")
    terminal, epoch, first_seq = TerminalId(reader.take(TERMINAL_ID_BYTES)), reader.uint(2), reader.uint(4)
    pace_and_count = reader.uint(2)
    count = pace_and_count & _COUNT_MASK
    if not 0 < count <= TAPS_MAX:
        raise FormatError(f"a batch holds 1 to {TAPS_MAX} taps, not {count}")
    if epoch == 0 or first_seq == 0 or first_seq + count - 1 > SEQ_MAX:
        raise FormatError(f"epoch {epoch} has no {count} taps from {first_seq} on")
    hash_before, head_tag = reader.take(HASH_BYTES), reader.take(HEAD_TAG_BYTES)
    total_before_fen, total_fen = reader.varint(TOTAL_BITS), reader.varint(TOTAL_BITS)
    if total_before_fen + total_fen >> TOTAL_BITS:
        raise FormatError(f"a total of {total_before_fen + total_fen} fen is beyond {TOTAL_BITS} bits")
    if reader.remaining < signature.SIGNATURE_BYTES:
        raise FormatError("the batch ends before its signature")
    return SignedBatch(
        terminal=terminal,
        epoch=epoch,
        first_seq=first_seq,
        count=count,
        hash_before=hash_before,
        head_tag=head_tag,
        total_before_fen=total_before_fen,
        total_fen=total_fen,
        pace=(pace_and_count >> _PACE_SHIFT) + 1,
        rows=reader.take(reader.remaining - signature.SIGNATURE_BYTES),
        raw=data,
    )
