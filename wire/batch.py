"""A settlement batch: consecutive sealed taps of one journal with control totals, signed by the terminal.

The coding is a view of the canonical records (`wire.record`): decoding gives exactly their bytes back, which the chain
from `hash_before` to `head_hash` proves before anything else looks at them. Layout in `wire/FORMAT.md`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from wire import signature
from wire.fields import FieldReader, FormatError, delta, varint
from wire.ids import ASN_BYTES, ISSUER_ID_BYTES, TERMINAL_ID_BYTES, CardId, TerminalId
from wire.record import (
    HASH_BYTES,
    NO_TAC,
    TAC_BYTES,
    Outcome,
    TapRecord,
    TapTime,
    check_amount,
    next_hash,
    read_mac2,
    read_outcome,
    read_quality,
    read_reason,
    tap_id,
)

BATCH_VERSION: Final = 1
TOTAL_BITS: Final = 63  # what a database's signed integer holds
TAPS_MAX: Final = 500  # one row never exceeds 90 bytes, so a full batch stays far below a frame's limit

_MAC2_SHIFT, _TAC, _BOOT, _QUALITY = 2, 0x10, 0x20, 0x40
# Cards of one school differ in their last digits, so differences are short; the widest has 144 bits and a sign.
_CARD_BYTES: Final = ISSUER_ID_BYTES + ASN_BYTES
_CARD_DELTA_BITS: Final = 8 * _CARD_BYTES + 1
_WITH_REASON: Final = (Outcome.VOIDED, Outcome.REFUSED)


@dataclass(frozen=True, slots=True, kw_only=True)
class SettlementBatch:
    """Records `first_seq ..` of one journal, with the chain's hash before and after them.

    `total_before_fen` is the sum of all debits in this journal before the batch: a server that misses records knows how
    much money is in the gap.
    """

    terminal: TerminalId
    epoch: int
    first_seq: int
    hash_before: bytes
    total_before_fen: int
    records: tuple[TapRecord, ...]

    @property
    def next_seq(self) -> int:
        """The number after the last record."""
        return self.first_seq + len(self.records)

    @property
    def total_fen(self) -> int:
        """The batch's own debits."""
        return sum(record.debited_fen for record in self.records)

    def hashes(self) -> Iterator[bytes]:
        """The chain's hash after each record."""
        head = self.hash_before
        for record in self.records:
            head = next_hash(head, record.to_bytes())
            yield head

    @property
    def head_hash(self) -> bytes:
        """The chain's hash after the last record."""
        return list(self.hashes())[-1]


@dataclass(frozen=True, slots=True)
class SignedBatch:
    """A batch as it travels and is kept: what it says, and the very bytes that prove who said it."""

    batch: SettlementBatch
    raw: bytes

    @property
    def digest(self) -> bytes:
        """SHA-256 of the bytes on the wire: the same batch sent again has the same digest."""
        return hashlib.sha256(self.raw).digest()

    def verify(self, public_key: bytes) -> None:
        """Raise `SignatureInvalid` unless the terminal with this key signed it."""
        body, proof = self.raw[: -signature.SIGNATURE_BYTES], self.raw[-signature.SIGNATURE_BYTES :]
        signature.verify(public_key, signature.BATCH, body, proof)


def sign_batch(batch: SettlementBatch, key: Ed25519PrivateKey) -> SignedBatch:
    """Encode and sign; the same batch and key give the same bytes."""
    assert 0 < len(batch.records) <= TAPS_MAX, f"a batch holds 1 to {TAPS_MAX} taps"
    body = b"".join(
        (
            bytes((BATCH_VERSION,)),
            batch.terminal,
            batch.epoch.to_bytes(2, "big"),
            batch.first_seq.to_bytes(4, "big"),
            len(batch.records).to_bytes(2, "big"),
            batch.hash_before,
            batch.head_hash,
            varint(batch.total_before_fen, TOTAL_BITS),
            varint(batch.total_fen, TOTAL_BITS),
            _encode_rows(batch.records),
        )
    )
    return SignedBatch(batch, body + signature.sign(key, signature.BATCH, body))


def decode_batch(data: bytes) -> SignedBatch:
    """Read a batch and prove it consistent in itself: row by row, by its chain and by its totals.

    Raises `FormatError` otherwise. Who signed it is not known before `SignedBatch.verify`.
    """
    reader = FieldReader(data)
    if (version := reader.uint(1)) != BATCH_VERSION:
        raise FormatError(f"batch version {version} is not known here")
    terminal, epoch, first_seq = TerminalId(reader.take(TERMINAL_ID_BYTES)), reader.uint(2), reader.uint(4)
    count = reader.uint(2)
    if not 0 < count <= TAPS_MAX:
        raise FormatError(f"a batch holds 1 to {TAPS_MAX} taps, not {count}")
    hash_before, head_hash = reader.take(HASH_BYTES), reader.take(HASH_BYTES)
    total_before_fen, total_fen = reader.varint(TOTAL_BITS), reader.varint(TOTAL_BITS)
    rows = _RowDecoder(reader, terminal, epoch)
    batch = SettlementBatch(
        terminal=terminal,
        epoch=epoch,
        first_seq=first_seq,
        hash_before=hash_before,
        total_before_fen=total_before_fen,
        records=tuple(rows.next(first_seq + index) for index in range(count)),
    )
    reader.take(signature.SIGNATURE_BYTES)
    reader.finish()
    if batch.head_hash != head_hash:
        raise FormatError("the records do not lead to the head hash")
    if batch.total_fen != total_fen:
        raise FormatError("the records do not add up to the total")
    return SignedBatch(batch, data)


def _encode_rows(records: Sequence[TapRecord]) -> bytes:
    out = bytearray()
    card = utc_s = uptime_s = ttsn = boot = quality = 0
    for record in records:
        at = record.opened_at
        out.append(
            (record.outcome - 1)
            | record.mac2 << _MAC2_SHIFT
            | (_TAC if record.tac != NO_TAC else 0)
            | (_BOOT if at.boot != boot else 0)
            | (_QUALITY if at.quality != quality else 0)
        )
        if record.reason is not None:
            out.append(record.reason)
        number = int.from_bytes(record.card.to_bytes(), "big")
        out += delta(number - card, _CARD_DELTA_BITS)
        out += varint(record.amount_fen) + varint(record.balance_before_fen) + varint(record.counter)
        out += delta(record.ttsn - ttsn)
        if record.tac != NO_TAC:
            out += record.tac
        if at.boot != boot:
            out += varint(at.boot)
        if at.quality != quality:
            out.append(at.quality)
        elapsed_s = at.utc_s - utc_s
        out += delta(elapsed_s) + delta(at.uptime_s - uptime_s - elapsed_s)
        card, utc_s, uptime_s, ttsn, boot, quality = number, at.utc_s, at.uptime_s, record.ttsn, at.boot, at.quality
    return bytes(out)


class _RowDecoder:
    """Reads rows in order; each is told by what the ones before it said."""

    def __init__(self, reader: FieldReader, terminal: TerminalId, epoch: int) -> None:
        self._reader = reader
        self._terminal = terminal
        self._epoch = epoch
        self._card = self._utc_s = self._uptime_s = self._ttsn = self._boot = self._quality = 0

    def next(self, seq: int) -> TapRecord:
        """The row for `seq`; `FormatError` where a field leaves its bounds."""
        reader = self._reader
        flags = reader.uint(1)
        if flags & 0x80:
            raise FormatError(f"row flags {flags:#04x} are not known here")
        outcome = read_outcome((flags & 0x03) + 1)
        reason = read_reason(outcome, reader.uint(1) if outcome in _WITH_REASON else 0)
        self._card = _bounded(self._card + reader.delta(_CARD_DELTA_BITS), _CARD_BYTES)
        amount_fen, balance_before_fen = check_amount(reader.varint()), check_amount(reader.varint())
        counter = _bounded(reader.varint(), 2)
        self._ttsn = _bounded(self._ttsn + reader.delta(), 4)
        tac = reader.take(TAC_BYTES) if flags & _TAC else NO_TAC
        if flags & _BOOT:
            self._boot = _bounded(reader.varint(), 4)
        if flags & _QUALITY:
            self._quality = reader.uint(1)
        elapsed_s = reader.delta()
        self._utc_s = _bounded(self._utc_s + elapsed_s, 4)
        self._uptime_s = _bounded(self._uptime_s + elapsed_s + reader.delta(), 4)
        return TapRecord(
            tap_id=tap_id(self._terminal, self._epoch, seq),
            outcome=outcome,
            reason=reason,
            mac2=read_mac2(flags >> _MAC2_SHIFT & 0x03),
            card=CardId.from_bytes(self._card.to_bytes(_CARD_BYTES, "big")),
            amount_fen=amount_fen,
            balance_before_fen=balance_before_fen,
            counter=counter,
            ttsn=self._ttsn,
            tac=tac,
            opened_at=TapTime(
                utc_s=self._utc_s,
                boot=self._boot,
                uptime_s=self._uptime_s,
                quality=read_quality(self._quality),
            ),
        )


def _bounded(value: int, size: int) -> int:
    if not 0 <= value < 1 << (8 * size):
        raise FormatError(f"{value} does not fit {size} bytes")
    return value
