"""The report that closes a shift (Z-report): what its taps and its cash come to, numbered, chained, signed.

A report's canonical bytes are what the journal keeps, what the chain hashes and the terminal signs; till, server and
auditor add up taps with the same `add_up`. Left out: opening and closing shifts, paper, and the two messages' place in
a session.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from itertools import product
from typing import ClassVar, Final, Self

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from wire import signature
from wire.batch import TOTAL_BITS
from wire.fields import FieldReader, FormatError, varint
from wire.ids import ASN_BYTES, ISSUER_ID_BYTES, TERMINAL_ID_BYTES, CardId, TerminalId
from wire.money import Fen
from wire.record import HASH_BYTES, Outcome, TapKind, TapRecord

SHIFT_VERSION: Final = 1

_KINDS_AND_OUTCOMES: Final = tuple(product(TapKind, Outcome))
_COUNT_BITS: Final = 32


@dataclass(frozen=True, slots=True)
class Sum:
    """So many taps of one kind and outcome, and what they say together; only DEBITED ones have surely moved money."""

    count: int = 0
    amount_fen: int = 0
    subsidy_fen: int = 0
    credit_fen: int = 0

    def plus(self, record: TapRecord) -> Sum:
        """The same with one tap more."""
        return Sum(
            self.count + 1,
            self.amount_fen + record.amount_fen,
            self.subsidy_fen + record.subsidy_fen,
            self.credit_fen + record.credit_fen,
        )

    def is_possible(self, kind: TapKind) -> bool:
        """Whether taps of this kind can come to this; see `TapRecord.is_possible`."""
        if self.count == 0:
            return self == NO_TAPS
        if kind is TapKind.SALE:
            return self.credit_fen == 0
        if kind is TapKind.REVERSAL:
            return self.amount_fen == 0
        if kind is TapKind.REFUND:
            return self.amount_fen == self.subsidy_fen == 0 and self.credit_fen >= self.count
        return self.amount_fen == self.subsidy_fen == self.credit_fen == 0


NO_TAPS: Final = Sum()
Sums = Mapping[tuple[TapKind, Outcome], Sum]


def add_up(records: Iterable[TapRecord]) -> dict[tuple[TapKind, Outcome], Sum]:
    """What these taps come to, by kind and outcome, where there are any: the one way in which a shift's are added."""
    sums: dict[tuple[TapKind, Outcome], Sum] = {}
    for record in records:
        key = record.kind, record.outcome
        sums[key] = sums.get(key, NO_TAPS).plus(record)
    return sums


@dataclass(frozen=True, slots=True, kw_only=True)
class ShiftReport:
    """A closed shift: the taps [first_seq, next_seq) of one journal and the cash beside them.

    `hash_before` is the hash of the report numbered one less (`shift_genesis` before number 1), `journal_hash` the
    chain's hash before tap `next_seq`. `taps` has the kinds and outcomes that came, and no others; `cash_count` and
    `cash_fen` are the sales for cash, in no tap. `proof` is empty until the terminal has signed.
    """

    kind: ClassVar[int] = 21
    terminal: TerminalId
    epoch: int
    number: int
    hash_before: bytes
    first_seq: int
    next_seq: int
    journal_hash: bytes
    opened_at_utc_s: int
    closed_at_utc_s: int
    cashier: CardId = field(repr=False)
    opening_cash_fen: Fen
    counted_cash_fen: Fen
    cash_count: int
    cash_fen: int
    taps: Sums
    proof: bytes = b""

    def of(self, kind: TapKind, outcome: Outcome) -> Sum:
        """The taps of this kind that ended so."""
        return self.taps.get((kind, outcome), NO_TAPS)

    @property
    def expected_cash_fen(self) -> int:
        """What should be in the drawer; what was counted may be more or less."""
        return self.opening_cash_fen + self.cash_fen

    @property
    def canonical(self) -> bytes:
        """The bytes without the signature; layout in `wire/FORMAT.md`."""
        head = b"".join(
            (
                bytes((SHIFT_VERSION,)),
                self.terminal,
                self.epoch.to_bytes(2, "big"),
                self.number.to_bytes(4, "big"),
                self.hash_before,
                self.first_seq.to_bytes(4, "big"),
                self.next_seq.to_bytes(4, "big"),
                self.journal_hash,
                self.opened_at_utc_s.to_bytes(4, "big"),
                self.closed_at_utc_s.to_bytes(4, "big"),
                self.cashier.to_bytes(),
            )
        )
        cash = (self.opening_cash_fen, self.counted_cash_fen, self.cash_count, self.cash_fen)
        return head + b"".join(varint(value) for value in cash) + b"".join(map(self._sum_bytes, _KINDS_AND_OUTCOMES))

    @property
    def hash(self) -> bytes:
        """SHA-256 of the canonical bytes; the next report names it."""
        return hashlib.sha256(self.canonical).digest()

    def signed(self, key: Ed25519PrivateKey) -> Self:
        """The same with the terminal's signature."""
        return replace(self, proof=signature.sign(key, signature.SHIFT, self.canonical))

    def verify(self, public_key: bytes) -> None:
        """Raise `SignatureInvalid` unless the terminal with this key signed it."""
        signature.verify(public_key, signature.SHIFT, self.canonical, self.proof)

    def to_bytes(self) -> bytes:
        """The canonical bytes, signature 64."""
        return self.canonical + self.proof

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """The inverse; `FormatError` for anything else. Who signed it is not known before `verify`."""
        if len(data) < signature.SIGNATURE_BYTES:
            raise FormatError("the report ends before its signature")
        report = cls.from_canonical(data[: -signature.SIGNATURE_BYTES])
        return replace(report, proof=data[-signature.SIGNATURE_BYTES :])

    @classmethod
    def from_canonical(cls, data: bytes) -> Self:
        """Read canonical bytes, without a signature; `FormatError` for what no shift can come to."""
        reader = FieldReader(data)
        if (version := reader.uint(1)) != SHIFT_VERSION:
            raise FormatError(f"shift report version {version} is not known here")
        report = cls(
            terminal=TerminalId(reader.take(TERMINAL_ID_BYTES)),
            epoch=reader.uint(2),
            number=reader.uint(4),
            hash_before=reader.take(HASH_BYTES),
            first_seq=reader.uint(4),
            next_seq=reader.uint(4),
            journal_hash=reader.take(HASH_BYTES),
            opened_at_utc_s=reader.uint(4),
            closed_at_utc_s=reader.uint(4),
            cashier=CardId.from_bytes(reader.take(ISSUER_ID_BYTES + ASN_BYTES)),
            opening_cash_fen=Fen(reader.varint(_COUNT_BITS)),
            counted_cash_fen=Fen(reader.varint(_COUNT_BITS)),
            cash_count=reader.varint(_COUNT_BITS),
            cash_fen=reader.varint(TOTAL_BITS),
            taps={key: found for key in _KINDS_AND_OUTCOMES if (found := _read_sum(reader, key[0])).count},
        )
        reader.finish()
        if not (report.epoch and report.number and 0 < report.first_seq <= report.next_seq):
            raise FormatError("epochs, shifts and taps are numbered from 1, and a shift ends after it began")
        if report.cash_fen < report.cash_count or (report.cash_fen and not report.cash_count):
            raise FormatError(f"{report.cash_count} sales for cash do not come to {report.cash_fen} fen")
        if (count := sum(found.count for found in report.taps.values())) != report.next_seq - report.first_seq:
            raise FormatError(f"a report of {count} taps is not of {report.first_seq} to {report.next_seq}")
        return report

    def _sum_bytes(self, key: tuple[TapKind, Outcome]) -> bytes:
        found = self.of(*key)
        sums = (found.amount_fen, found.subsidy_fen, found.credit_fen) if found.count else ()
        return varint(found.count) + b"".join(varint(value) for value in sums)


@dataclass(frozen=True, slots=True)
class ShiftReceipt:
    """Server: I have every report of this journal up to this number, 0: none; the answer to a report."""

    kind: ClassVar[int] = 22
    number: int

    def to_bytes(self) -> bytes:
        """number 4."""
        return self.number.to_bytes(4, "big")

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """The inverse."""
        reader = FieldReader(data)
        receipt = cls(reader.uint(4))
        reader.finish()
        return receipt


def shift_genesis(terminal: TerminalId, epoch: int) -> bytes:
    """What stands before a journal's first report."""
    return hashlib.sha256(b"campus shifts v1" + terminal + epoch.to_bytes(2, "big")).digest()


def _read_sum(reader: FieldReader, kind: TapKind) -> Sum:
    count = reader.varint(_COUNT_BITS)
    if not count:
        return NO_TAPS
    found = Sum(count, *(reader.varint(TOTAL_BITS) for _ in range(3)))
    if not found.is_possible(kind):
        raise FormatError(f"no {kind.name} taps can come to these sums")
    return found
