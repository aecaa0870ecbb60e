"""Datagrams for binary short messages of 140 bytes: taps up, receipts and urgent hotlist entries down.

In the clear stands only what finds key and stream; the rest is sealed with AES-CCM under a key that terminal and server
share since enrolment. A sender numbers its datagrams and never uses a number twice under one key; a receiver may drop
what is not above the highest number it has seen, and need not: taps that are known already are found by their chain.
Left out: who sends when, and modems.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final, Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESCCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from wire.bits import BitReader, to_bytes
from wire.directory import CodingState
from wire.errors import CampusError
from wire.fields import FieldReader, FormatError, varint
from wire.hotlist import MARK_BYTES, Hotlist
from wire.ids import TERMINAL_ID_BYTES, CardId, Stream, TerminalId
from wire.receipt import BatchReceipt, Rejection, Suspense
from wire.record import TapRecord, next_hash
from wire.rows import Links, best_pace, card_after, encode_row, read_card_after, read_rows

DATAGRAM_BYTES_MAX: Final = 140
SMS_KEY_BYTES: Final = 16
SMS_TAG_BYTES: Final = 8
DATAGRAM_NUMBER_BYTES: Final = 3
DATAGRAM_NUMBER_MAX: Final = (1 << 8 * DATAGRAM_NUMBER_BYTES) - 1
# A sender's numbers never fall behind this clock: whoever lost the last one, or has an old backup of it, gives out none
# again. Networks let far fewer messages through than it counts. It runs until 2040, then the last number alone counts.
NUMBERS_FROM_UTC_S: Final = 1_735_689_600  # 2025-01-01
NUMBER_S: Final = 30
UP_TAPS_MAX: Final = 32
UP_TAG_BYTES: Final = 4  # of the chain after the last tap: finds another history, which a batch then proves
RECEIPT_TAG_BYTES: Final = 8

_CLEAR_BYTES: Final = 1 + TERMINAL_ID_BYTES + DATAGRAM_NUMBER_BYTES
_PLAIN_BYTES_MAX: Final = DATAGRAM_BYTES_MAX - _CLEAR_BYTES - SMS_TAG_BYTES
_UP_HEAD_BYTES: Final = 2 + 1 + UP_TAG_BYTES
_SEQ_BITS: Final = 16
_PACE_MAX: Final = 8
_KEY_LABEL: Final = b"campus sms v1"


class SmsInvalid(CampusError):
    """A short message that is no datagram of this system, was damaged, or is sealed with another key."""

    code = "sms-invalid"


class DatagramKind(IntEnum):
    """What a datagram carries. UP comes from terminals, the others from the server."""

    UP = 1
    RECEIPT = 2
    HOTLIST = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """The part in the clear. `number` counts from 1 in each direction, for both kinds from the server together."""

    kind: DatagramKind
    stream: Stream
    terminal: TerminalId
    number: int

    def to_bytes(self) -> bytes:
        """kind and stream 1, terminal 6, number 3."""
        number = self.number.to_bytes(DATAGRAM_NUMBER_BYTES, "big")
        return bytes((self.kind << 4 | self.stream,)) + self.terminal + number

    @classmethod
    def of(cls, data: bytes) -> Self:
        """What stands in the clear of a datagram; `SmsInvalid` if it cannot be one."""
        if not _CLEAR_BYTES + SMS_TAG_BYTES <= len(data) <= DATAGRAM_BYTES_MAX:
            raise SmsInvalid(f"a message of {len(data)} bytes is no datagram")
        try:
            kind, stream = DatagramKind(data[0] >> 4), Stream(data[0] & 0x0F)
        except ValueError as error:
            raise SmsInvalid(f"a message that begins with {data[0]:#04x} is no datagram") from error
        reader = FieldReader(data[1:])
        terminal, number = TerminalId(reader.take(TERMINAL_ID_BYTES)), reader.uint(DATAGRAM_NUMBER_BYTES)
        if number == 0:
            raise SmsInvalid("datagrams are numbered from 1")
        return cls(kind=kind, stream=stream, terminal=terminal, number=number)

    def seal(self, plain: bytes, key: bytes, epoch: int) -> bytes:
        """The whole datagram."""
        assert len(plain) <= _PLAIN_BYTES_MAX, f"a datagram carries {_PLAIN_BYTES_MAX} bytes"
        assert 0 < self.number <= DATAGRAM_NUMBER_MAX, "a new key is due before the numbers run out"
        clear = self.to_bytes()
        return clear + AESCCM(key, SMS_TAG_BYTES).encrypt(self._nonce(epoch), plain, clear)

    def unseal(self, data: bytes, key: bytes, epoch: int) -> bytes:
        """What the datagram that this is the envelope of carries; `SmsInvalid` unless it is whole and of this key."""
        clear, sealed = data[:_CLEAR_BYTES], data[_CLEAR_BYTES:]
        try:
            return AESCCM(key, SMS_TAG_BYTES).decrypt(self._nonce(epoch), sealed, clear)
        except InvalidTag as error:
            raise SmsInvalid("the datagram was damaged or is sealed with another key") from error

    def _nonce(self, epoch: int) -> bytes:
        from_server = self.kind is not DatagramKind.UP
        return bytes((from_server,)) + self.terminal + epoch.to_bytes(2, "big") + self.number.to_bytes(4, "big")


def derive_sms_key(master: bytes, terminal: TerminalId, epoch: int) -> bytes:
    """The key of one journal's datagrams; HKDF-SHA-256, so that no terminal's key tells anything of another's."""
    info = _KEY_LABEL + terminal + epoch.to_bytes(2, "big")
    return HKDF(algorithm=SHA256(), length=SMS_KEY_BYTES, salt=None, info=info).derive(master)


def next_number(last: int, *, now_utc_s: int) -> int:
    """The number for a sender's next datagram, to be kept before it is used; `SmsInvalid` if none is left."""
    by_clock = (now_utc_s - NUMBERS_FROM_UTC_S) // NUMBER_S
    number = max(last, by_clock if by_clock < DATAGRAM_NUMBER_MAX else 0) + 1
    if number > DATAGRAM_NUMBER_MAX:
        raise SmsInvalid("the numbers for short messages have run out; enrol the terminal with a new ticket")
    return number


@dataclass(frozen=True, slots=True, kw_only=True)
class UpDatagram:
    """Consecutive taps of one journal, coded like a batch's. Nobody signed them: the next batch's chain covers them.

    Of the first one's number only the low 16 bits travel (`first_seq`).
    """

    seq_bits: int
    count: int
    pace: int
    head_tag: bytes
    rows: bytes

    def first_seq(self, next_seq: int) -> int:
        """The first tap's number, for a receiver who wants `next_seq`: the nearest one that ends in `seq_bits`."""
        half = 1 << _SEQ_BITS - 1
        nearest = next_seq + (self.seq_bits - next_seq + half) % (2 * half) - half
        return nearest if nearest > 0 else nearest + 2 * half

    def open(self, state: CodingState, hash_before: bytes, *, terminal: TerminalId, epoch: int) -> Links:
        """The taps; `SmsInvalid` unless they continue the history of this state and hash, which is gone then."""
        try:
            links = read_rows(state, self.rows, self.count, hash_before, terminal=terminal, epoch=epoch, pace=self.pace)
        except FormatError as error:
            raise SmsInvalid(f"the taps cannot be read: {error}") from error
        if links.chain_hashes[-1][:UP_TAG_BYTES] != self.head_tag:
            raise SmsInvalid("the taps do not lead to the head hash")
        return links

    def to_bytes(self) -> bytes:
        """low bits of the first number 2, count less 1 (5 bits) and pace less 1 (3 bits) 1, head tag 4, rows."""
        pace_and_count = self.count - 1 << 3 | self.pace - 1
        return self.seq_bits.to_bytes(2, "big") + bytes((pace_and_count,)) + self.head_tag + self.rows

    @classmethod
    def from_bytes(cls, plain: bytes) -> Self:
        """The inverse; `SmsInvalid` if there is not even a head."""
        if len(plain) <= _UP_HEAD_BYTES:
            raise SmsInvalid("the datagram carries no taps")
        reader = FieldReader(plain)
        seq_bits, pace_and_count = reader.uint(2), reader.uint(1)
        return cls(
            seq_bits=seq_bits,
            count=(pace_and_count >> 3) + 1,
            pace=(pace_and_count & 0x07) + 1,
            head_tag=reader.take(UP_TAG_BYTES),
            rows=reader.take(reader.remaining),
        )


def pack_up(state: CodingState, hash_before: bytes, records: Sequence[TapRecord]) -> UpDatagram:
    """As many of the records, from the first one on, as one datagram carries; at least one. `state` stays as it is."""
    state = state.copy()
    records = records[:UP_TAPS_MAX]
    seq = state.seq
    pace = best_pace(state, records, _PACE_MAX)
    rows, head, count = "", hash_before, 0
    for record in records:
        row = encode_row(state, record, pace)
        if len(rows) + len(row) > 8 * (_PLAIN_BYTES_MAX - _UP_HEAD_BYTES):
            break
        rows += row
        head = next_hash(head, record.to_bytes())
        count += 1
    assert count, "the widest row fits"
    return UpDatagram(
        seq_bits=seq & (1 << _SEQ_BITS) - 1,
        count=count,
        pace=pace,
        head_tag=head[:UP_TAG_BYTES],
        rows=to_bytes(rows),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiptDatagram:
    """Where the server stands in the journal, by the first bytes of the chain's hash, and what it parked.

    `rejection` says why nothing was taken; None: everything below `next_seq` is durable.
    """

    next_seq: int
    head_tag: bytes
    rejection: Rejection | None
    suspended: tuple[tuple[int, Suspense], ...]

    @classmethod
    def of(cls, receipt: BatchReceipt, rejection: Rejection | None = None) -> Self:
        """A receipt as it fits: of many suspended records the first ones."""
        cursor = receipt.cursor
        head_tag = cursor.head_hash[:RECEIPT_TAG_BYTES]
        suspended = receipt.suspended
        while True:
            datagram = cls(next_seq=cursor.next_seq, head_tag=head_tag, rejection=rejection, suspended=suspended)
            if len(datagram.to_bytes()) <= _PLAIN_BYTES_MAX:
                return datagram
            suspended = suspended[:-1]

    def to_bytes(self) -> bytes:
        """next number 4, head tag 8, rejection or 0 1, then distance below the next number and reason of each."""
        rows = b"".join(varint(self.next_seq - seq) + bytes((why,)) for seq, why in self.suspended)
        return self.next_seq.to_bytes(4, "big") + self.head_tag + bytes((self.rejection or 0,)) + rows

    @classmethod
    def from_bytes(cls, plain: bytes) -> Self:
        """The inverse; `SmsInvalid` for anything else."""
        reader = FieldReader(plain)
        try:
            next_seq, head_tag, rejection = reader.uint(4), reader.take(RECEIPT_TAG_BYTES), reader.uint(1)
            suspended: list[tuple[int, Suspense]] = []
            while reader.remaining:
                seq = next_seq - reader.varint()
                if not (suspended[-1][0] if suspended else 0) < seq < next_seq:
                    raise FormatError(f"a receipt up to {next_seq} cannot suspend {seq} here")
                suspended.append((seq, Suspense(reader.uint(1))))
            if next_seq == 0:
                raise FormatError("sequence numbers start at 1")
            return cls(
                next_seq=next_seq,
                head_tag=head_tag,
                rejection=Rejection(rejection) if rejection else None,
                suspended=tuple(suspended),
            )
        except (FormatError, ValueError) as error:
            raise SmsInvalid(f"a receipt cannot be read: {error}") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class HotlistDatagram:
    """Cards to refuse from now on, beside those that the terminal refuses already; together they are the list `mark`.

    It need not be known which of several earlier lists the terminal has, as long as each was a part of the next.
    """

    mark: bytes
    version: int
    cards: tuple[CardId, ...]

    @classmethod
    def between(cls, old: Hotlist, new: Hotlist) -> Self | None:
        """What makes the new list out of the old one; None if that takes more than additions, or more than fit."""
        if not old.cards <= new.cards:
            return None
        cards = tuple(sorted(new.cards - old.cards))
        if len(cards) > _PLAIN_BYTES_MAX:  # less than a byte each
            return None
        datagram = cls(mark=new.mark, version=new.version, cards=cards)
        return datagram if len(datagram.to_bytes()) <= _PLAIN_BYTES_MAX else None

    def added_to(self, hotlist: Hotlist) -> Hotlist | None:
        """The new list; None if that is not what comes out, or if this is older: cards may have come off since."""
        new = Hotlist(self.version, hotlist.cards | frozenset(self.cards))
        return new if self.version >= hotlist.version and new.mark == self.mark else None

    def to_bytes(self) -> bytes:
        """mark 4, version 4, count 1, cards in bits: each after the one before."""
        bits, last = "", None
        for card in self.cards:
            bits += card_after(last, card.to_bytes())
            last = card.to_bytes()
        head = self.mark + self.version.to_bytes(4, "big")
        return head + bytes((len(self.cards),)) + to_bytes(bits)

    @classmethod
    def from_bytes(cls, plain: bytes) -> Self:
        """The inverse; `SmsInvalid` for anything else."""
        reader = FieldReader(plain)
        try:
            mark = reader.take(MARK_BYTES)
            version, count = reader.uint(4), reader.uint(1)
            bits, last = BitReader(reader.take(reader.remaining)), None
            cards: list[CardId] = []
            for _ in range(count):
                last = read_card_after(last, bits)
                cards.append(CardId.from_bytes(last))
            bits.finish()
        except FormatError as error:
            raise SmsInvalid(f"hotlist entries cannot be read: {error}") from error
        return cls(mark=mark, version=version, cards=tuple(cards))
