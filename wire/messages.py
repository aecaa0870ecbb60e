"""The messages of a session, each with its bytes; a load's stand in `wire.load`.

Which may follow which is `wire.session`'s matter.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import ClassVar, Final, Self, get_args

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from wire import signature
from wire.batch import TOTAL_BITS, SignedBatch, decode_batch
from wire.configuration import Configuration
from wire.downlink import NO_MARK, Answer, HotlistDelta, Request
from wire.fields import FieldReader, FormatError
from wire.hotlist import MARK_BYTES, Hotlist
from wire.ids import TERMINAL_ID_BYTES, TerminalId
from wire.load import LoadGrant, LoadOutcome, LoadRefused, LoadRequest, LoadResult, RefundQuestion, RefundsOwed
from wire.receipt import BatchReceipt, Cursor, Rejection
from wire.shift import ShiftReceipt, ShiftReport
from wire.sms import SMS_KEY_BYTES

PROTOCOL_VERSION: Final = 2
NONCE_BYTES: Final = 16
_DETAIL_BYTES_MAX: Final = 200


@dataclass(frozen=True, slots=True)
class Challenge:
    """Server, first of all: the bytes that a terminal has to sign, and the server's time."""

    kind: ClassVar[int] = 1
    nonce: bytes
    utc_s: int

    def to_bytes(self) -> bytes:
        """version 1, nonce 16, UTC seconds 4."""
        return bytes((PROTOCOL_VERSION,)) + self.nonce + self.utc_s.to_bytes(4, "big")

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """The inverse; `FormatError` for another protocol version."""
        reader = FieldReader(data)
        if (version := reader.uint(1)) != PROTOCOL_VERSION:
            raise FormatError(f"the server speaks protocol version {version}, not {PROTOCOL_VERSION}")
        challenge = cls(reader.take(NONCE_BYTES), reader.uint(4))
        reader.finish()
        return challenge


@dataclass(frozen=True, slots=True, kw_only=True)
class Identify:
    """Terminal: who I am, how far my journal goes and how much it debited in all, and what I have from the server."""

    kind: ClassVar[int] = 2
    terminal: TerminalId
    epoch: int
    head_seq: int
    total_fen: int
    hotlist_mark: bytes
    configuration_mark: bytes = NO_MARK
    proof: bytes = b""

    def signed(self, key: Ed25519PrivateKey, nonce: bytes) -> Identify:
        """The same with the terminal's signature over the server's nonce and every field."""
        return replace(self, proof=signature.sign(key, signature.IDENTITY, nonce + self._fields()))

    def verify(self, public_key: bytes, nonce: bytes) -> None:
        """Raise `SignatureInvalid` unless the terminal with this key signed it for this nonce."""
        signature.verify(public_key, signature.IDENTITY, nonce + self._fields(), self.proof)

    def _fields(self) -> bytes:
        return (
            self.terminal
            + self.epoch.to_bytes(2, "big")
            + self.head_seq.to_bytes(4, "big")
            + self.total_fen.to_bytes(8, "big")
            + self.hotlist_mark
            + self.configuration_mark
        )

    def to_bytes(self) -> bytes:
        """terminal 6, epoch 2, head 4, total 8, hotlist mark 4, configuration mark 4, signature 64."""
        return self._fields() + self.proof

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """The inverse."""
        reader = FieldReader(data)
        identify = cls(
            terminal=TerminalId(reader.take(TERMINAL_ID_BYTES)),
            epoch=reader.uint(2),
            head_seq=reader.uint(4),
            total_fen=reader.uint(8),
            hotlist_mark=reader.take(MARK_BYTES),
            configuration_mark=reader.take(MARK_BYTES),
            proof=reader.take(signature.SIGNATURE_BYTES),
        )
        reader.finish()
        if identify.total_fen >> TOTAL_BITS:
            raise FormatError(f"a total of {identify.total_fen} fen is beyond {TOTAL_BITS} bits")
        return identify


@dataclass(frozen=True, slots=True, kw_only=True)
class Enrol:
    """New terminal: the operator's ticket and my public key, signed with its private half."""

    kind: ClassVar[int] = 3
    public_key: bytes
    ticket: bytes
    proof: bytes = b""

    def signed(self, key: Ed25519PrivateKey, nonce: bytes) -> Enrol:
        """The same with a signature that proves possession of the key."""
        proof = signature.sign(key, signature.ENROLMENT, nonce + self.public_key + self.ticket)
        return Enrol(public_key=self.public_key, ticket=self.ticket, proof=proof)

    def verify(self, nonce: bytes) -> None:
        """Raise `SignatureInvalid` unless the sender has the private half of `public_key`."""
        signature.verify(self.public_key, signature.ENROLMENT, nonce + self.public_key + self.ticket, self.proof)

    def to_bytes(self) -> bytes:
        """public key 32, signature 64, ticket."""
        return self.public_key + self.proof + self.ticket

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """The inverse; the ticket itself is checked by whoever has the operator's key."""
        reader = FieldReader(data)
        public_key, proof = reader.take(signature.PUBLIC_KEY_BYTES), reader.take(signature.SIGNATURE_BYTES)
        return cls(public_key=public_key, ticket=reader.take(reader.remaining), proof=proof)


@dataclass(frozen=True, slots=True)
class Enrolled:
    """Server: the terminal is known by its key; its journal starts with this epoch, `sms_key` seals its datagrams.

    `operator_key` is what the operator's configurations are checked with from now on.
    """

    kind: ClassVar[int] = 4
    terminal: TerminalId
    epoch: int
    sms_key: bytes = field(repr=False)
    operator_key: bytes

    def to_bytes(self) -> bytes:
        """terminal 6, epoch 2, SMS key 16, operator's key 32."""
        return self.terminal + self.epoch.to_bytes(2, "big") + self.sms_key + self.operator_key

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """The inverse."""
        reader = FieldReader(data)
        enrolled = cls(
            TerminalId(reader.take(TERMINAL_ID_BYTES)),
            reader.uint(2),
            reader.take(SMS_KEY_BYTES),
            reader.take(signature.PUBLIC_KEY_BYTES),
        )
        reader.finish()
        if enrolled.epoch == 0:
            raise FormatError("epochs start at 1")
        return enrolled


@dataclass(frozen=True, slots=True)
class Welcome:
    """Server: you are who you say; this is where I stand in your journal, `shifts` up to where in its shift reports."""

    kind: ClassVar[int] = 5
    cursor: Cursor
    shifts: int = 0

    def to_bytes(self) -> bytes:
        """The cursor 38, number of the last report 4."""
        return self.cursor.to_bytes() + self.shifts.to_bytes(4, "big")

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """The inverse."""
        reader = FieldReader(data)
        welcome = cls(Cursor.read(reader), reader.uint(4))
        reader.finish()
        return welcome


@dataclass(frozen=True, slots=True)
class Upload:
    """Terminal: one signed batch."""

    kind: ClassVar[int] = 6
    signed_batch: SignedBatch

    def to_bytes(self) -> bytes:
        """The batch's own bytes."""
        return self.signed_batch.raw

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """The inverse; the signature is checked by whoever has the terminal's key."""
        return cls(decode_batch(data))


@dataclass(frozen=True, slots=True)
class Receipt:
    """Server: what became of every record of the oldest batch not answered yet."""

    kind: ClassVar[int] = 7
    receipt: BatchReceipt

    def to_bytes(self) -> bytes:
        """The receipt's own bytes."""
        return self.receipt.to_bytes()

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """The inverse."""
        return cls(BatchReceipt.from_bytes(data))


@dataclass(frozen=True, slots=True)
class Refused:
    """Server: nothing of the oldest unanswered message was taken, why, and where I stand (None: I do not know you)."""

    kind: ClassVar[int] = 8
    rejection: Rejection
    cursor: Cursor | None
    detail: str

    def to_bytes(self) -> bytes:
        """reason 1, cursor present 1, cursor 38 or nothing, text in UTF-8 up to the end."""
        cursor = b"" if self.cursor is None else self.cursor.to_bytes()
        detail = self.detail.encode()[:_DETAIL_BYTES_MAX].decode(errors="ignore").encode()
        return bytes((self.rejection, bool(cursor))) + cursor + detail

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """The inverse; `FormatError` for an unknown reason or a text that is not UTF-8."""
        reader = FieldReader(data)
        reason, has_cursor = reader.uint(1), reader.uint(1)
        if has_cursor > 1:
            raise FormatError("a rejection has one cursor or none")
        cursor = Cursor.read(reader) if has_cursor else None
        try:
            return cls(Rejection(reason), cursor, reader.take(reader.remaining).decode())
        except ValueError as error:  # UnicodeDecodeError is one, too
            raise FormatError(f"rejection {reason} cannot be read") from error


@dataclass(frozen=True, slots=True)
class HotlistUpdate:
    """Server: the cards to refuse from now on, the whole list in place of the old one."""

    kind: ClassVar[int] = 9
    hotlist: Hotlist

    def to_bytes(self) -> bytes:
        """The hotlist's own bytes."""
        return self.hotlist.to_bytes()

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """The inverse."""
        return cls(Hotlist.from_bytes(data))


News = HotlistUpdate | HotlistDelta | Configuration | Request  # what a server says unasked

Message = (
    Challenge
    | Identify
    | Enrol
    | Enrolled
    | Welcome
    | Upload
    | Receipt
    | Refused
    | HotlistUpdate
    | HotlistDelta
    | Configuration
    | Request
    | Answer
    | LoadRequest
    | LoadGrant
    | LoadResult
    | LoadOutcome
    | LoadRefused
    | ShiftReport
    | ShiftReceipt
    | RefundQuestion
    | RefundsOwed
)

MESSAGE_TYPES: Final[dict[int, type[Message]]] = {kind.kind: kind for kind in get_args(Message)}


def read_message(kind: int, body: bytes) -> Message:
    """The message in a frame; `FormatError` for an unknown kind or a body that does not fit it."""
    message = MESSAGE_TYPES.get(kind)
    if message is None:
        raise FormatError(f"message kind {kind} is not known here")
    return message.from_bytes(body)
