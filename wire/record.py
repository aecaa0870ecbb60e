"""The canonical record of one tap, and the hash chain over records.

A record's canonical bytes are what the journal keeps, what the chain hashes and what the server stores; every other
coding is a view that gives exactly these bytes back. How records travel is `wire.batch`'s matter.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from enum import IntEnum
from functools import lru_cache
from typing import Final

from wire.fields import FormatError
from wire.ids import CardId, TapId, TerminalId
from wire.money import FEN_MAX, Fen

RECORD_VERSION: Final = 2
HASH_BYTES: Final = 32
TAC_BYTES: Final = 4
NO_TAC: Final = bytes(TAC_BYTES)

# Cards and terminals keep China Standard Time, which has had no daylight saving since 1991.
CAMPUS_ZONE: Final = timezone(timedelta(hours=8))

LAYOUT: Final = struct.Struct(">B6sHIBBBB18sIIIIHI4sIIIIB")
RECORD_BYTES: Final = LAYOUT.size
_DEBIT: Final = struct.Struct(">14xB20xI39x")  # outcome and amount alone
OUTCOME_AT: Final = 14
MAC2_AT: Final = 16
_AMOUNT_BYTES: Final = (38, 37, 36, 35)  # the lowest first
UNDER_TAC: Final = struct.Struct(">x6s10x18sI14xII4xI9x")  # terminal, card, amount, TTSN, TAC (a number), time
assert _DEBIT.size == UNDER_TAC.size == RECORD_BYTES, "each is a view of a whole record"

HOUR_S: Final = 3_600
_DATE_BYTES: Final = 4
_DAY_S: Final = 86_400
_DATE_TIME_BYTES: Final = 7
_ZONE_HOURS: Final = CAMPUS_ZONE.utcoffset(None) // timedelta(hours=1)
_BCD: Final = [tens << 4 | ones for tens in range(6) for ones in range(10)]
BCD_IN_HOUR: Final = [minute << 8 | second for minute in _BCD for second in _BCD]  # MMSS of each second


class TapKind(IntEnum):
    """What a card was presented for. Each is a purchase at the card, but only a SALE is one of more than nothing.

    A purchase of nothing moves the card's counter and gives its proofs, so it shows that the genuine card was there.
    """

    SALE = 1
    REVERSAL = 2
    REFUND = 3
    SIGN_ON = 4


class Outcome(IntEnum):
    """How a tap ended. Only DEBITED moves money; UNKNOWN may have."""

    DEBITED = 1
    VOIDED = 2
    REFUSED = 3
    UNKNOWN = 4


_DEBITED: Final = int(Outcome.DEBITED)


class Refusal(IntEnum):
    """Why the till did not start a debit."""

    HOTLISTED = 1
    NOT_YET_VALID = 2
    EXPIRED = 3
    INSUFFICIENT_BALANCE = 4
    OVER_TAP_LIMIT = 5
    NO_PURSE = 6
    COUNTER_EXHAUSTED = 7
    CARD_BLOCKED = 8
    OVER_MEAL_LIMIT = 9
    OVER_DAY_LIMIT = 10
    OVER_CLASS_LIMIT = 11
    OFFLINE_TOO_LONG = 12
    OFFLINE_TOO_MUCH = 13
    DOUBLE_TAP = 14
    NOT_SOLD_NOW = 15
    REVERSAL_NOT_ALLOWED = 16
    REFUND_NOT_ALLOWED = 17
    NOT_A_CASHIER = 18
    PIN_WRONG = 19
    PIN_LOCKED = 20


class VoidReason(IntEnum):
    """Why an open tap moved no money."""

    NOT_EXECUTED = 66


class Mac2(IntEnum):
    """What the terminal's PSAM said of the card's MAC2. The TAC, checked by the server, is the stronger proof."""

    NOT_CHECKED = 0
    VERIFIED = 1
    REFUSED = 2


class ClockQuality(IntEnum):
    """What last set the terminal's wall clock, worst first."""

    UNSET = 0
    BATTERY = 1
    NETWORK = 2
    SERVER = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class TapTime:
    """When a tap was opened, by three witnesses: the boot, monotonic time in it, the wall clock with its quality.

    Within a boot `utc_s - uptime_s` changes only when the wall clock was set.
    """

    utc_s: int
    boot: int
    uptime_s: int
    quality: ClockQuality

    def local(self) -> datetime:
        """The wall clock as the campus reads it."""
        return datetime.fromtimestamp(self.utc_s, CAMPUS_ZONE)

    def card_date_time(self) -> tuple[bytes, bytes]:
        """Local date CCYYMMDD (4 bytes BCD) and time HHMMSS (3 bytes BCD) as they enter MAC1 and TAC."""
        both = card_date_time(self.utc_s)
        return both[:_DATE_BYTES], both[_DATE_BYTES:]


@dataclass(frozen=True, slots=True, kw_only=True)
class TapRecord:
    """One tap as it is kept for ever.

    `amount_fen` leaves the purse; `subsidy_fen` is what the school pays of a sale, or gets back by its reversal.
    `credit_fen` is owed to the holder by a reversal or refund, since no terminal can put money back on a card;
    `refers_to` is the number of the sale that it takes back, 0 if that is in no tap of this journal.
    `balance_before_fen` and `counter` are what INITIALIZE FOR PURCHASE returned (0 when it did not answer them), `ttsn`
    the PSAM's serial for this tap (0 when none was drawn), `tac` the card's proof to its issuer (zeros: there is none).
    """

    tap_id: TapId
    kind: TapKind = TapKind.SALE
    outcome: Outcome
    reason: Refusal | VoidReason | None
    mac2: Mac2
    card: CardId
    amount_fen: Fen
    subsidy_fen: Fen = Fen(0)
    credit_fen: Fen = Fen(0)
    balance_before_fen: Fen
    counter: int
    ttsn: int
    tac: bytes
    refers_to: int = 0
    opened_at: TapTime

    @property
    def price_fen(self) -> Fen:
        """What a sale costs, whoever pays it."""
        return Fen(self.amount_fen + self.subsidy_fen)

    @property
    def is_possible(self) -> bool:
        """Whether a tap of this kind can have these amounts, and refer to what it refers to."""
        if self.kind is TapKind.SALE:
            return not (self.credit_fen or self.refers_to) and self.price_fen <= FEN_MAX
        if self.amount_fen or self.refers_to >= self.tap_id.seq:
            return False
        if self.kind is TapKind.REVERSAL:
            return self.refers_to > 0 or self.outcome is Outcome.REFUSED
        if self.kind is TapKind.REFUND:
            return self.credit_fen > 0 and not self.subsidy_fen
        return not (self.subsidy_fen or self.credit_fen or self.refers_to)

    @property
    def debited_fen(self) -> Fen:
        """The money that this record says left the purse."""
        return self.amount_fen if self.outcome is Outcome.DEBITED else Fen(0)

    def to_bytes(self) -> bytes:
        """The canonical bytes, `RECORD_BYTES` long; layout in `wire/FORMAT.md`."""
        return LAYOUT.pack(
            RECORD_VERSION,
            self.tap_id.terminal,
            self.tap_id.epoch,
            self.tap_id.seq,
            self.kind,
            self.outcome,
            self.reason or 0,
            self.mac2,
            self.card.to_bytes(),
            self.amount_fen,
            self.subsidy_fen,
            self.credit_fen,
            self.balance_before_fen,
            self.counter,
            self.ttsn,
            self.tac,
            self.refers_to,
            self.opened_at.utc_s,
            self.opened_at.boot,
            self.opened_at.uptime_s,
            self.opened_at.quality,
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> TapRecord:
        """Read canonical bytes; `FormatError` for anything that `to_bytes` cannot have written."""
        if len(data) != RECORD_BYTES:
            raise FormatError(f"a record has {RECORD_BYTES} bytes, not {len(data)}")
        version, terminal, epoch, seq, kind, outcome, reason, mac2, card, *rest = LAYOUT.unpack(data)
        amount_fen, subsidy_fen, credit_fen, balance_fen, counter, ttsn, tac, refers_to, *clock = rest
        utc_s, boot, uptime_s, quality = clock
        if version != RECORD_VERSION:
            raise FormatError(f"record version {version} is not known here")
        record = cls(
            tap_id=tap_id(terminal, epoch, seq),
            kind=read_kind(kind),
            outcome=read_outcome(outcome),
            reason=read_reason(read_outcome(outcome), reason),
            mac2=read_mac2(mac2),
            card=CardId.from_bytes(card),
            amount_fen=Fen(amount_fen),
            subsidy_fen=Fen(subsidy_fen),
            credit_fen=Fen(credit_fen),
            balance_before_fen=Fen(balance_fen),
            counter=counter,
            ttsn=ttsn,
            tac=tac,
            refers_to=refers_to,
            opened_at=TapTime(utc_s=utc_s, boot=boot, uptime_s=uptime_s, quality=read_quality(quality)),
        )
        if not record.is_possible:
            raise FormatError(f"no {record.kind.name} can have these amounts, or refer to {refers_to}")
        return record


def card_date_time(utc_s: int) -> bytes:
    """Local CCYYMMDDHHMMSS in BCD, 7 bytes, as it enters MAC1 and TAC."""
    hour, second = divmod(utc_s, HOUR_S)
    return (card_hour(hour) << 16 | BCD_IN_HOUR[second]).to_bytes(_DATE_TIME_BYTES, "big")


def card_hour(hour: int) -> int:
    """Local CCYYMMDDHH in BCD, as one number, of an hour since 1970 (UTC); `BCD_IN_HOUR` has what follows it."""
    day, local_hour = divmod(hour + _ZONE_HOURS, 24)
    return _card_date(day) << 8 | _BCD[local_hour]


@lru_cache(400)
def _card_date(day: int) -> int:
    local = datetime.fromtimestamp(day * _DAY_S, UTC)
    return int(f"{local.year:04d}{local.month:02d}{local.day:02d}", 16)


def debited_fen(records: Iterable[bytes]) -> int:
    """What these canonical records say left purses."""
    joined = b"".join(records)
    if joined[OUTCOME_AT::RECORD_BYTES].count(_DEBITED) * RECORD_BYTES == len(joined):
        # Most batches: their amounts are added up byte by byte of all, without a look at each.
        return sum(sum(joined[at::RECORD_BYTES]) << 8 * place for place, at in enumerate(_AMOUNT_BYTES))
    return sum(fen for outcome, fen in _DEBIT.iter_unpack(joined) if outcome == _DEBITED)


def tap_id(terminal: bytes, epoch: int, seq: int) -> TapId:
    """A `TapId` from untrusted numbers; `FormatError` when epoch or sequence is zero or too large."""
    if not (0 < epoch <= 0xFFFF and 0 < seq <= 0xFFFF_FFFF):
        raise FormatError(f"epoch {epoch}, sequence {seq} is no tap's number")
    return TapId(TerminalId(terminal), epoch, seq)


def read_kind(value: int) -> TapKind:
    """`TapKind` from its number, or `FormatError`."""
    try:
        return TapKind(value)
    except ValueError as error:
        raise FormatError(f"kind {value} is not known here") from error


def read_outcome(value: int) -> Outcome:
    """`Outcome` from its number, or `FormatError`."""
    try:
        return Outcome(value)
    except ValueError as error:
        raise FormatError(f"outcome {value} is not known here") from error


def read_reason(outcome: Outcome, value: int) -> Refusal | VoidReason | None:
    """The reason that goes with `outcome`, or `FormatError`: DEBITED and UNKNOWN have none, the others need theirs."""
    try:
        if outcome is Outcome.REFUSED:
            return Refusal(value)
        if outcome is Outcome.VOIDED:
            return VoidReason(value)
    except ValueError as error:
        raise FormatError(f"reason {value} does not go with {outcome.name}") from error
    if value:
        raise FormatError(f"reason {value} does not go with {outcome.name}")
    return None


def read_mac2(value: int) -> Mac2:
    """`Mac2` from its number, or `FormatError`."""
    try:
        return Mac2(value)
    except ValueError as error:
        raise FormatError(f"MAC2 result {value} is not known here") from error


def read_quality(value: int) -> ClockQuality:
    """`ClockQuality` from its number, or `FormatError`."""
    try:
        return ClockQuality(value)
    except ValueError as error:
        raise FormatError(f"clock quality {value} is not known here") from error


def genesis_hash(terminal: TerminalId, epoch: int) -> bytes:
    """The chain's start for one journal, so that two journals never share a chain."""
    return hashlib.sha256(b"campus journal v2" + terminal + epoch.to_bytes(2, "big")).digest()


def next_hash(before: bytes, canonical: bytes) -> bytes:
    """h_n = SHA-256(h_(n-1) | canonical record)."""
    return hashlib.sha256(before + canonical).digest()


def chain_hashes(before: bytes, records: Iterable[bytes]) -> list[bytes]:
    """The chain's hash after each of these canonical records."""
    sha256, hashes = hashlib.sha256, []
    for canonical in records:
        before = sha256(before + canonical).digest()
        hashes.append(before)
    return hashes
