"""The purchase dialogue between card and PSAM, as a pure state machine: three commands to the card, two to the PSAM.

Each method takes what just happened and returns what to do next. The order is the point: who it is comes before the
price, the decision before the PSAM is asked, the journal's commit between MAC1 and DEBIT, and DEBIT is returned exactly
once. A purchase of nothing is one like any other; the holder's PIN may be checked before it. Left out: channels,
journal and rules, which `terminal.sale` brings; and what to do about a torn debit (`terminal.recovery`).

JR/T 0025.2-2010, purchase transaction.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from drivers import apdu
from drivers.apdu import Sw, describe_sw
from drivers.channel import CardRemoved, ReaderFault
from drivers.purse import (
    CardProfile,
    CardUnreadable,
    PsamIdentity,
    PsamLost,
    PsamUnusable,
    PurseInfo,
    PurseSession,
    PurseView,
    parse_balance,
    parse_initialize,
    parse_select,
)
from wire.money import Fen
from wire.record import Mac2, TapTime

_MAC1_ANSWER_BYTES: Final = 8
_PROOF_BYTES: Final = 8


@dataclass(frozen=True, slots=True)
class ToCard:
    """Send this to the card, then call `card_answered` or `card_lost`."""

    command: bytes


@dataclass(frozen=True, slots=True)
class ToPsam:
    """Send this to the PSAM, then call `psam_answered` or `psam_lost`."""

    command: bytes


@dataclass(frozen=True, slots=True)
class Quote:
    """Say what this card is to pay: call `priced`, or `pin` before it, or drop the dialogue."""

    info: PurseInfo


@dataclass(frozen=True, slots=True)
class PinChecked:
    """What the card said of the PIN: call `priced` if it was right. `tries_left` after a wrong one; 0: it is locked."""

    right: bool
    tries_left: int = 0


@dataclass(frozen=True, slots=True)
class Decide:
    """Ask the rules about this card, then call `approved`, or drop the dialogue."""

    view: PurseView


@dataclass(frozen=True, slots=True)
class Commit:
    """Make the tap durable with these facts, then call `committed`."""

    view: PurseView
    session: PurseSession
    ttsn: int


@dataclass(frozen=True, slots=True)
class PurchaseProof:
    """The debit happened: the card's proof to its issuer, and what the PSAM said of its proof to us."""

    tac: bytes
    mac2: Mac2


@dataclass(frozen=True, slots=True)
class NotDebited:
    """The card or the PSAM said no before DEBIT was sent, so no money moved and no tap was committed."""

    why: str
    code: str


@dataclass(frozen=True, slots=True)
class TornDebit:
    """DEBIT was sent and no proof came back: only the card can tell what it did (`terminal.recovery`).

    An error word is no proof of the contrary. A reader that repeats a block after a lost answer makes the card say "no
    INITIALIZE before" to a debit that it has carried out.
    """

    why: str
    code: str


Result = PurchaseProof | NotDebited | TornDebit
Step = ToCard | ToPsam | Quote | PinChecked | Decide | Commit | Result


class _State(Enum):
    SELECTING = auto()
    QUOTING = auto()
    VERIFYING = auto()
    INITIALIZING = auto()
    ASKING_BALANCE = auto()
    DECIDING = auto()
    DRAWING_MAC1 = auto()
    COMMITTING = auto()
    DEBITING = auto()
    CHECKING_MAC2 = auto()
    OVER = auto()


_ASKING_CARD: Final = frozenset({_State.SELECTING, _State.VERIFYING, _State.INITIALIZING, _State.ASKING_BALANCE})


class Purchase:
    """One purchase with one card at one terminal; a new one for every presentation of a card."""

    def __init__(self, *, profile: CardProfile, psam: PsamIdentity, opened_at: TapTime) -> None:
        self._profile = profile
        self._psam = psam
        self._amount_fen = Fen(0)
        self._date, self._time = opened_at.card_date_time()
        self._state = _State.SELECTING
        self._info: PurseInfo | None = None
        self._view: PurseView | None = None
        self._initialize_status = 0
        self._ttsn = 0
        self._mac1 = b""
        self._tac = b""

    def start(self) -> Step:
        """The first step."""
        return ToCard(apdu.select_by_aid(self._profile.aid))

    def card_answered(self, data: bytes, sw: int) -> Step:
        """The card answered the last `ToCard`; raises `CardUnreadable` before any money can have moved, never after."""
        if self._state is _State.SELECTING:
            self._info = parse_select(data, sw)
            self._state = _State.QUOTING
            return Quote(self._info)
        if self._state is _State.VERIFYING:
            return self._verified(sw)
        if self._state is _State.INITIALIZING:
            return self._initialized(data, sw)
        if self._state is _State.ASKING_BALANCE:
            return self._decide(parse_balance(data, sw), None, Sw.BALANCE_INSUFFICIENT)
        assert self._state is _State.DEBITING, f"no answer of the card is awaited in {self._state}"
        return self._debited(data, sw)

    def pin(self, digits: str) -> Step:
        """Have the card check its holder's PIN, which a wrong one costs a try."""
        assert self._state is _State.QUOTING, f"no PIN is checked in {self._state}"
        self._state = _State.VERIFYING
        return ToCard(apdu.verify_pin(apdu.pin_bytes(digits)))

    def priced(self, amount_fen: Fen) -> Step:
        """What this card is to pay."""
        assert self._state is _State.QUOTING, f"nothing has its price in {self._state}"
        self._amount_fen = amount_fen
        self._state = _State.INITIALIZING
        return ToCard(
            apdu.initialize_for_purchase(
                key_index=self._psam.key_index, amount_fen=amount_fen, terminal=self._psam.terminal
            )
        )

    def approved(self) -> Step:
        """The rules let the card pay."""
        assert self._state is _State.DECIDING, f"nothing is to be decided in {self._state}"
        session = self._session()
        self._state = _State.DRAWING_MAC1
        return ToPsam(
            apdu.init_sam_for_purchase(
                random=session.random,
                counter=session.counter,
                amount_fen=self._amount_fen,
                date=self._date,
                time=self._time,
                key_version=session.key_version,
                algorithm=session.algorithm,
                factors=self._profile.factors(self._known_view().card),
            )
        )

    def psam_answered(self, data: bytes, sw: int) -> Step:
        """The PSAM answered the last `ToPsam`."""
        if self._state is _State.DRAWING_MAC1:
            if sw != Sw.OK or len(data) != _MAC1_ANSWER_BYTES:
                return self._end(NotDebited(f"the PSAM gave no MAC1: {describe_sw(sw)}", PsamUnusable.code))
            self._ttsn, self._mac1 = int.from_bytes(data[:4], "big"), data[4:]
            self._state = _State.COMMITTING
            return Commit(self._known_view(), self._session(), self._ttsn)
        assert self._state is _State.CHECKING_MAC2, f"no answer of the PSAM is awaited in {self._state}"
        return self._end(self._proof(mac2_verdict(sw)))

    def committed(self) -> Step:
        """The tap is durable: the card may be told to pay. The one place that DEBIT comes from."""
        assert self._state is _State.COMMITTING, f"nothing is to be committed in {self._state}"
        self._state = _State.DEBITING
        return ToCard(
            apdu.debit_for_purchase(ttsn=self._ttsn, date=self._date, time=self._time, mac1=self._mac1),
        )

    def card_lost(self, fault: CardRemoved | ReaderFault) -> Result:
        """The card did not answer the last `ToCard`, and is gone."""
        if self._state is _State.DEBITING:
            return self._end(TornDebit(str(fault), fault.code))
        assert self._state in _ASKING_CARD, f"no answer of the card is awaited in {self._state}"
        return self._end(NotDebited(str(fault), fault.code))

    def psam_lost(self, fault: CardRemoved | ReaderFault) -> Result:
        """The PSAM did not answer the last `ToPsam`. After DEBIT the money has moved all the same."""
        if self._state is _State.CHECKING_MAC2:
            return self._end(self._proof(Mac2.NOT_CHECKED))
        assert self._state is _State.DRAWING_MAC1, f"no answer of the PSAM is awaited in {self._state}"
        return self._end(NotDebited(str(fault), PsamLost.code))

    def _verified(self, sw: int) -> Step:
        self._state = _State.QUOTING
        if sw == Sw.OK:
            return PinChecked(True)
        if sw != Sw.PIN_LOCKED and sw & 0xFFF0 != Sw.PIN_WRONG:
            raise CardUnreadable(f"VERIFY answered {describe_sw(sw)}")
        return PinChecked(False, 0 if sw == Sw.PIN_LOCKED else sw & 0xF)

    def _initialized(self, data: bytes, sw: int) -> Step:
        if sw == Sw.BALANCE_INSUFFICIENT:
            self._state = _State.ASKING_BALANCE
            return ToCard(apdu.get_balance())
        if sw != Sw.OK:
            return self._decide(Fen(0), None, sw)
        session = parse_initialize(data)
        return self._decide(session.balance_fen, session, sw)

    def _decide(self, balance_fen: Fen, session: PurseSession | None, status: int) -> Step:
        assert self._info is not None, "SELECT came first"
        self._view = PurseView(info=self._info, balance_fen=balance_fen, session=session, status=status)
        self._state = _State.DECIDING
        return Decide(self._view)

    def _debited(self, data: bytes, sw: int) -> Step:
        if sw == Sw.OK and len(data) == _PROOF_BYTES:
            self._tac = data[:4]
            self._state = _State.CHECKING_MAC2
            return ToPsam(apdu.credit_sam_for_purchase(data[4:]))
        why = f"the card's answer to DEBIT is no proof: {describe_sw(sw)}, {len(data)} bytes"
        return self._end(TornDebit(why, CardUnreadable.code))

    def _proof(self, mac2: Mac2) -> PurchaseProof:
        return PurchaseProof(self._tac, mac2)

    def _session(self) -> PurseSession:
        session = self._known_view().session
        assert session is not None, "the rules approve only a card that answered INITIALIZE"
        return session

    def _known_view(self) -> PurseView:
        assert self._view is not None, "INITIALIZE came first"
        return self._view

    def _end(self, result: Result) -> Result:
        self._state = _State.OVER
        return result


def mac2_verdict(sw: int) -> Mac2:
    """What CREDIT_SAM_FOR_PURCHASE's status word says of MAC2; a PSAM whose session is over has not looked at it."""
    if sw == Sw.OK:
        return Mac2.VERIFIED
    if sw in (Sw.NOT_INITIALIZED, Sw.CONDITIONS_NOT_SATISFIED):
        return Mac2.NOT_CHECKED
    return Mac2.REFUSED
