"""A load's messages between a top-up point and the issuer's desk, in the order in which they go.

The card asks with MAC1, the desk grants with MAC2, the card proves with a TAC. While a load of a card has no end at the
desk, nothing more is granted to that card: the desk names the load, and a terminal number to INITIALIZE with, for the
least amount there is, since a card may refuse one that would overfill it. An answer to that which shows the load's own
counter proves that its session on the card is over, and that it was never carried out; one that shows the next counter
proves that it was.

A load is paid with cash at the point, or with what the books owe the holder for sales that were taken back; how much
that is the desk tells. Left out: keys (`wire.pboc`), and what may follow what (`wire.session`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import IntEnum
from typing import ClassVar, Final, Self

from wire.fields import FieldReader, FormatError
from wire.ids import ASN_BYTES, ISSUER_ID_BYTES, TERMINAL_ID_BYTES, CardId, LoadId, TerminalId, load_id
from wire.money import Fen
from wire.pboc import MAC_BYTES
from wire.record import CAMPUS_ZONE, NO_TAC, TAC_BYTES

_RANDOM_BYTES: Final = 4
_CARD_BYTES: Final = ISSUER_ID_BYTES + ASN_BYTES
_DETAIL_BYTES_MAX: Final = 200

CHALLENGE_FEN: Final = Fen(1)  # some cards refuse an amount of zero
NO_CHALLENGE: Final = TerminalId(bytes(TERMINAL_ID_BYTES))


class Funding(IntEnum):
    """Who pays for a load: the person at the point, or the school out of the holder's refunds."""

    CASH = 1
    REFUND = 2


class LoadState(IntEnum):
    """How a load stands at the desk."""

    POSTED = 1
    VOIDED = 2
    PENDING = 3


class LoadRefusal(IntEnum):
    """Why the desk does not do what it is asked; BUSY alone may pass."""

    MAC1_WRONG = 1
    CARD_UNKNOWN = 2
    CARD_UNUSABLE = 3
    HOTLISTED = 4
    OVER_LIMIT = 5
    COUNTER_DISPUTED = 6
    NUMBER_TAKEN = 7
    LOAD_UNKNOWN = 8
    WRONG_PROOF = 9
    BUSY = 10
    RULE_BROKEN = 11
    NOT_OWED = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadInit:
    """What INITIALIZE FOR LOAD was asked (the amount) and answered; the terminal in MAC1 is the point that asks."""

    balance_fen: Fen
    amount_fen: Fen
    online_counter: int
    key_version: int
    algorithm: int
    random: bytes
    mac1: bytes

    def to_bytes(self) -> bytes:
        """balance 4, amount 4, online counter 2, key version 1, algorithm 1, random 4, MAC1 4."""
        purse = self.balance_fen.to_bytes(4, "big") + self.amount_fen.to_bytes(4, "big")
        key = self.online_counter.to_bytes(2, "big") + bytes((self.key_version, self.algorithm))
        return purse + key + self.random + self.mac1

    @classmethod
    def read(cls, reader: FieldReader) -> Self:
        """Take one off the reader."""
        return cls(
            balance_fen=Fen(reader.uint(4)),
            amount_fen=Fen(reader.uint(4)),
            online_counter=reader.uint(2),
            key_version=reader.uint(1),
            algorithm=reader.uint(1),
            random=reader.take(_RANDOM_BYTES),
            mac1=reader.take(MAC_BYTES),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadRequest:
    """Point: the card asks for this load. `number` is the point's own; the same request again gets the same answer."""

    kind: ClassVar[int] = 16
    number: int
    card: CardId = field(repr=False)
    init: LoadInit
    funding: Funding = Funding.CASH

    def to_bytes(self) -> bytes:
        """number 4, card 18, INITIALIZE 20, funding 1."""
        return self.number.to_bytes(4, "big") + self.card.to_bytes() + self.init.to_bytes() + bytes((self.funding,))

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """The inverse; `FormatError` for number 0 or an unknown funding."""
        reader = FieldReader(data)
        number, card = reader.uint(4), CardId.from_bytes(reader.take(_CARD_BYTES))
        init, funding = LoadInit.read(reader), reader.uint(1)
        reader.finish()
        if number == 0:
            raise FormatError("a point numbers its loads from 1")
        if funding not in set(Funding):
            raise FormatError(f"funding {funding} of a load is not known here")
        return cls(number=number, card=card, init=init, funding=Funding(funding))


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadGrant:
    """Desk: the card may be credited, at this time and with this MAC2."""

    kind: ClassVar[int] = 17
    number: int
    granted_at_utc_s: int
    mac2: bytes

    def to_bytes(self) -> bytes:
        """number 4, UTC seconds 4, MAC2 4."""
        return self.number.to_bytes(4, "big") + self.granted_at_utc_s.to_bytes(4, "big") + self.mac2

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """The inverse."""
        reader = FieldReader(data)
        grant = cls(number=reader.uint(4), granted_at_utc_s=reader.uint(4), mac2=reader.take(MAC_BYTES))
        reader.finish()
        return grant


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadResult:
    """Point: what the card says of any point's load; with neither TAC (zeros) nor INITIALIZE, a question.

    `init` was made for `CHALLENGE_FEN` at the terminal number that the desk named for this load.
    """

    kind: ClassVar[int] = 18
    load_id: LoadId
    tac: bytes = NO_TAC
    init: LoadInit | None = None

    def to_bytes(self) -> bytes:
        """load 12 (terminal 6, epoch 2, number 4), TAC 4, INITIALIZE 20 or nothing."""
        return _load_bytes(self.load_id) + self.tac + (b"" if self.init is None else self.init.to_bytes())

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """The inverse."""
        reader = FieldReader(data)
        load, tac = _read_load(reader), reader.take(TAC_BYTES)
        result = cls(load_id=load, tac=tac, init=LoadInit.read(reader) if reader.remaining else None)
        reader.finish()
        return result


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadOutcome:
    """Desk: how a load stands. While one is PENDING this is also the answer to any other request of its card."""

    kind: ClassVar[int] = 19
    load_id: LoadId
    state: LoadState
    online_counter: int
    amount_fen: Fen
    old_balance_fen: Fen
    challenge: TerminalId  # to INITIALIZE with, if the card cannot give the TAC; zeros once the load has ended

    @property
    def new_balance_fen(self) -> Fen:
        """What the load left on the card, if it was carried out."""
        return Fen(self.old_balance_fen + self.amount_fen)

    def to_bytes(self) -> bytes:
        """load 12, state 1, online counter 2, amount 4, old balance 4, challenge 6."""
        head = _load_bytes(self.load_id) + bytes((self.state,)) + self.online_counter.to_bytes(2, "big")
        return head + self.amount_fen.to_bytes(4, "big") + self.old_balance_fen.to_bytes(4, "big") + self.challenge

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """The inverse; `FormatError` for an unknown state."""
        reader = FieldReader(data)
        load, state = _read_load(reader), reader.uint(1)
        if state not in set(LoadState):
            raise FormatError(f"state {state} of a load is not known here")
        outcome = cls(
            load_id=load,
            state=LoadState(state),
            online_counter=reader.uint(2),
            amount_fen=Fen(reader.uint(4)),
            old_balance_fen=Fen(reader.uint(4)),
            challenge=TerminalId(reader.take(TERMINAL_ID_BYTES)),
        )
        reader.finish()
        return outcome


@dataclass(frozen=True, slots=True)
class LoadRefused:
    """Desk: nothing was granted or settled by the last message, and why."""

    kind: ClassVar[int] = 20
    refusal: LoadRefusal
    detail: str

    def to_bytes(self) -> bytes:
        """reason 1, text in UTF-8 up to the end."""
        return bytes((self.refusal,)) + self.detail.encode()[:_DETAIL_BYTES_MAX].decode(errors="ignore").encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """The inverse; `FormatError` for an unknown reason or a text that is not UTF-8."""
        reader = FieldReader(data)
        reason = reader.uint(1)
        try:
            return cls(LoadRefusal(reason), reader.take(reader.remaining).decode())
        except ValueError as error:  # UnicodeDecodeError is one, too
            raise FormatError(f"a load's refusal {reason} cannot be read") from error


@dataclass(frozen=True, slots=True)
class RefundQuestion:
    """Point: what do the books owe the holder of this card? Answered by RefundsOwed, LoadOutcome or LoadRefused."""

    kind: ClassVar[int] = 23
    card: CardId = field(repr=False)

    def to_bytes(self) -> bytes:
        """card 18."""
        return self.card.to_bytes()

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """The inverse."""
        reader = FieldReader(data)
        question = cls(CardId.from_bytes(reader.take(_CARD_BYTES)))
        reader.finish()
        return question


@dataclass(frozen=True, slots=True)
class RefundsOwed:
    """Desk: so much may be asked for as loads that are paid with REFUND."""

    kind: ClassVar[int] = 24
    owed_fen: Fen

    def to_bytes(self) -> bytes:
        """amount 4."""
        return self.owed_fen.to_bytes(4, "big")

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """The inverse."""
        reader = FieldReader(data)
        owed = cls(Fen(reader.uint(4)))
        reader.finish()
        return owed


def load_date_time(granted_at_utc_s: int) -> bytes:
    """A grant's time as it enters MAC2 and TAC and goes to the card: campus time, BCD CCYYMMDDHHMMSS."""
    return bytes.fromhex(datetime.fromtimestamp(granted_at_utc_s, CAMPUS_ZONE).strftime("%Y%m%d%H%M%S"))


def _load_bytes(load: LoadId) -> bytes:
    return load.terminal + load.epoch.to_bytes(2, "big") + load.number.to_bytes(4, "big")


def _read_load(reader: FieldReader) -> LoadId:
    return load_id(reader.take(TERMINAL_ID_BYTES), reader.uint(2), reader.uint(4))
