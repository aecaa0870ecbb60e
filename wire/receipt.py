"""The server's answers to a batch: a receipt that accounts for every record in it, or a rejection of the whole.

Both carry the server's cursor (epoch, the number it wants next, the chain's hash before that), so any answer, even a
late or repeated one, puts a terminal right.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from wire.errors import CampusError
from wire.fields import FieldReader, FormatError, varint
from wire.record import HASH_BYTES


class Suspense(IntEnum):
    """Why a record was taken in but its money is parked until somebody explains it."""

    TAC_WRONG = 1
    MAC2_REFUSED = 2
    OUTCOME_UNKNOWN = 3
    COUNTER_TAKEN = 4
    TAP_DIFFERS = 5
    TTSN_TAKEN = 6
    CARD_UNKNOWN = 7
    BEFORE_OPENING = 8
    CONFIRMED_NOT_PENDING = 9
    VOIDED_NOT_PENDING = 10
    CREDIT_UNFOUNDED = 11
    CREDIT_DOUBLED = 12
    CREDIT_EXCEEDS_SALE = 13


class Rejection(IntEnum):
    """Why the server took nothing of what was sent; `RETRYABLE_REJECTIONS` may succeed unchanged later."""

    MALFORMED = 1
    UNKNOWN_TERMINAL = 2
    SIGNATURE_INVALID = 3
    WRONG_EPOCH = 4
    GAP = 5
    FORK = 6
    QUARANTINED = 7
    BUSY = 8
    TICKET_INVALID = 9
    TICKET_SPENT = 10
    TICKET_EXPIRED = 11
    WRONG_STREAM = 12


RETRYABLE_REJECTIONS = frozenset({Rejection.BUSY, Rejection.GAP})


class Rejected(CampusError):
    """The server refused what was sent; `rejection` says why."""

    code = "rejected"

    def __init__(self, rejection: Rejection, detail: str = "") -> None:
        super().__init__(f"{rejection.name}{': ' if detail else ''}{detail}")
        self.rejection = rejection


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where a server stands in one journal: `next_seq` is the first number it lacks, `head_hash` the chain before."""

    epoch: int
    next_seq: int
    head_hash: bytes

    def to_bytes(self) -> bytes:
        """38 bytes: epoch, next number, hash."""
        return self.epoch.to_bytes(2, "big") + self.next_seq.to_bytes(4, "big") + self.head_hash

    @classmethod
    def read(cls, reader: FieldReader) -> Cursor:
        """Take a cursor off the reader; `FormatError` for epoch or number 0, which no journal has."""
        cursor = cls(reader.uint(2), reader.uint(4), reader.take(HASH_BYTES))
        if cursor.epoch == 0 or cursor.next_seq == 0:
            raise FormatError("epochs and sequence numbers start at 1")
        return cursor


@dataclass(frozen=True, slots=True)
class BatchReceipt:
    """Every record below `cursor.next_seq` is durable at the server: ACCEPTED, but for those in `suspended`.

    `suspended` pairs sequence numbers, ascending, with the reason.
    """

    cursor: Cursor
    suspended: tuple[tuple[int, Suspense], ...]

    def to_bytes(self) -> bytes:
        """Cursor, count, then (distance below the cursor, reason) for each suspended record."""
        rows = b"".join(varint(self.cursor.next_seq - seq) + bytes((why,)) for seq, why in self.suspended)
        return self.cursor.to_bytes() + varint(len(self.suspended)) + rows

    @classmethod
    def from_bytes(cls, data: bytes) -> BatchReceipt:
        """The inverse; `FormatError` for anything else."""
        reader = FieldReader(data)
        cursor = Cursor.read(reader)
        suspended: list[tuple[int, Suspense]] = []
        for _ in range(reader.varint()):
            seq = cursor.next_seq - reader.varint()
            if not 0 < seq < cursor.next_seq or (suspended and seq <= suspended[-1][0]):
                raise FormatError(f"a receipt up to {cursor.next_seq} cannot suspend {seq} here")
            suspended.append((seq, _read_suspense(reader.uint(1))))
        reader.finish()
        return cls(cursor, tuple(suspended))


def _read_suspense(value: int) -> Suspense:
    try:
        return Suspense(value)
    except ValueError as error:
        raise FormatError(f"suspense reason {value} is not known here") from error
