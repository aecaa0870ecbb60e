"""The dialogue with a card that is loaded, as a pure state machine: events in, steps out.

SELECT and INITIALIZE FOR LOAD come first, with the PIN in between if the card wants it; then the issuer is asked, and
CREDIT FOR LOAD goes to the card, once for one grant. What became of an earlier load the card is asked with GET
TRANSACTION PROVE. Left out: channels, the issuer and its keys (`wire.load`), and what a point keeps (`sync.topup`).

JR/T 0025.2-2010, load transaction.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from drivers import apdu
from drivers.apdu import Sw, describe_sw
from drivers.purchase import ToCard
from drivers.purse import CardProfile, CardUnreadable, PurseInfo, parse_select
from wire.ids import TerminalId
from wire.load import CHALLENGE_FEN, LoadInit
from wire.money import Fen
from wire.pboc import MAC_BYTES, TTI_LOAD
from wire.record import NO_TAC, TAC_BYTES

PIN_DIGITS: Final = range(4, 13)
LOAD_KEY_INDEX: Final = 1  # the one load key that the standard's cards are issued with
_INIT_ANSWER_BYTES: Final = 16


@dataclass(frozen=True, slots=True)
class Selected:
    """The purse is there: call `initialise` or `prove`."""

    info: PurseInfo


@dataclass(frozen=True, slots=True)
class AskPin:
    """The card wants its holder's PIN: call `pin`, or drop the dialogue.

    `tries_left` is what the card said after a wrong one; None: it was not asked yet. `why` says what was wrong with the
    last answer, empty at first.
    """

    tries_left: int | None
    why: str


@dataclass(frozen=True, slots=True)
class Initialised:
    """What the card asks its issuer for: call `granted` with the answer, or `initialise` or `prove` anew."""

    init: LoadInit


@dataclass(frozen=True, slots=True)
class Proven:
    """What the card gives as the TAC of its load, zeros if it has none; only the issuer can check it."""

    tac: bytes


@dataclass(frozen=True, slots=True)
class LoadProof:
    """The money is on the card, and this is its proof to the issuer."""

    tac: bytes


@dataclass(frozen=True, slots=True)
class NotLoaded:
    """The card or its holder said no before CREDIT was sent in this dialogue."""

    why: str


@dataclass(frozen=True, slots=True)
class TornLoad:
    """CREDIT was sent and no proof came back: only the card can tell what it did. An error word tells nothing."""

    why: str


Ended = LoadProof | NotLoaded | TornLoad
Step = ToCard | Selected | AskPin | Initialised | Proven | Ended


class _State(Enum):
    SELECTING = auto()
    SELECTED = auto()
    INITIALIZING = auto()
    ASKING_PIN = auto()
    VERIFYING = auto()
    INITIALIZED = auto()
    PROVING = auto()
    CREDITING = auto()
    OVER = auto()


_ASKING_CARD: Final = frozenset({_State.SELECTING, _State.INITIALIZING, _State.VERIFYING, _State.PROVING})


class Load:
    """One presentation of one card; `wrong_pins` are digits that this card refused before."""

    def __init__(self, *, profile: CardProfile, terminal: TerminalId, wrong_pins: Iterable[str] = ()) -> None:
        self._profile = profile
        self._terminal = terminal
        self.wrong_pins = set(wrong_pins)
        self._state = _State.SELECTING
        self._amount_fen, self._named = Fen(0), terminal
        self._digits = ""
        self._tries_left: int | None = None
        self._pin_shown = False
        self._numbers: list[int] = []

    def start(self) -> ToCard:
        """The first step."""
        return ToCard(apdu.select_by_aid(self._profile.aid))

    def initialise(self, amount_fen: Fen) -> ToCard:
        """Have the card ask for this amount; whatever an earlier INITIALIZE began on the card is over then."""
        return self._ask_init(amount_fen, self._terminal)

    def answer_challenge(self, challenge: TerminalId) -> ToCard:
        """Have the card answer to the number that the issuer named: `Initialised`, which is never granted."""
        return self._ask_init(CHALLENGE_FEN, challenge)

    def prove(self, online_counter: int) -> ToCard:
        """Ask the card for the TAC of the load at this counter, by the profile's number first, then by the other."""
        assert self._state in (_State.SELECTED, _State.INITIALIZED), f"nothing can be proved in {self._state}"
        self._state = _State.PROVING
        offset = self._profile.prove_offset
        self._numbers = [(online_counter + add) & 0xFFFF for add in (offset, 1 - offset)]
        return self._ask_proof()

    def pin(self, digits: str) -> ToCard | AskPin:
        """The holder's PIN; one that this card has refused is not shown to it again."""
        assert self._state is _State.ASKING_PIN, f"no PIN is awaited in {self._state}"
        if len(digits) not in PIN_DIGITS or not (digits.isascii() and digits.isdigit()):
            return AskPin(self._tries_left, f"a PIN has {PIN_DIGITS[0]} to {PIN_DIGITS[-1]} digits")
        if digits in self.wrong_pins:
            return AskPin(
                self._tries_left, "the card has refused these digits already; start anew if its PIN was changed since"
            )
        self._state = _State.VERIFYING
        self._digits = digits
        return ToCard(apdu.verify_pin(apdu.pin_bytes(digits)))

    def granted(self, *, date_time: bytes, mac2: bytes) -> ToCard:
        """The issuer's grant for what `Initialised` asked. The one place that CREDIT comes from."""
        assert self._state is _State.INITIALIZED, f"nothing can be credited in {self._state}"
        self._state = _State.CREDITING
        return ToCard(apdu.credit_for_load(date_time=date_time, mac2=mac2))

    def card_answered(self, data: bytes, sw: int) -> Step:
        """The card answered the last `ToCard`; raises `CardUnreadable` before CREDIT was sent, never after."""
        match self._state:
            case _State.SELECTING:
                return self._selected(parse_select(data, sw))
            case _State.INITIALIZING:
                return self._initialised(data, sw)
            case _State.VERIFYING:
                return self._verified(sw)
            case _State.PROVING:
                return self._proved(data, sw)
        assert self._state is _State.CREDITING, f"no answer of the card is awaited in {self._state}"
        if sw == Sw.OK and len(data) == TAC_BYTES and data != NO_TAC:
            return self._end(LoadProof(data))
        return self._end(TornLoad(f"the card's answer to CREDIT is no proof: {describe_sw(sw)}, {len(data)} bytes"))

    def card_lost(self, why: str) -> Ended:
        """The card did not answer the last `ToCard`, and is gone."""
        if self._state is _State.CREDITING:
            return self._end(TornLoad(why))
        assert self._state in _ASKING_CARD, f"no answer of the card is awaited in {self._state}"
        return self._end(NotLoaded(why))

    def _selected(self, info: PurseInfo) -> Step:
        if info.blocked:
            return self._end(NotLoaded("the card's purse is blocked"))
        if not info.has_purse:
            return self._end(NotLoaded("the card has no purse"))
        self._state = _State.SELECTED
        return Selected(info)

    def _initialised(self, data: bytes, sw: int) -> Step:
        if sw == Sw.PIN_WANTED and not self._pin_shown:
            self._state = _State.ASKING_PIN
            return AskPin(None, "")
        if sw != Sw.OK:
            return self._end(NotLoaded(f"the card does not take this amount: {describe_sw(sw)}"))
        if len(data) != _INIT_ANSWER_BYTES:
            raise CardUnreadable(f"INITIALIZE FOR LOAD answered {len(data)} bytes instead of {_INIT_ANSWER_BYTES}")
        self._state = _State.INITIALIZED
        return Initialised(
            LoadInit(
                balance_fen=Fen(int.from_bytes(data[:4], "big")),
                amount_fen=self._amount_fen,
                online_counter=int.from_bytes(data[4:6], "big"),
                key_version=data[6],
                algorithm=data[7],
                random=data[8:12],
                mac1=data[12 : 12 + MAC_BYTES],
            )
        )

    def _verified(self, sw: int) -> Step:
        if sw == Sw.OK:
            self._pin_shown = True
            self._state = _State.INITIALIZED
            return self._ask_init(self._amount_fen, self._named)
        if sw & 0xFFF0 == Sw.PIN_WRONG:
            self.wrong_pins.add(self._digits)
            self._tries_left = sw & 0xF
            if self._tries_left:
                self._state = _State.ASKING_PIN
                return AskPin(self._tries_left, "the PIN is wrong")
        if sw == Sw.PIN_LOCKED or self._tries_left == 0:
            return self._end(NotLoaded("the card has locked its PIN; its issuer can unlock it"))
        return self._end(NotLoaded(f"the card does not check the PIN: {describe_sw(sw)}"))

    def _ask_init(self, amount_fen: Fen, terminal: TerminalId) -> ToCard:
        assert self._state in (_State.SELECTED, _State.INITIALIZED), f"no INITIALIZE may go out in {self._state}"
        self._state = _State.INITIALIZING
        self._amount_fen, self._named = amount_fen, terminal
        return ToCard(apdu.initialize_for_load(key_index=LOAD_KEY_INDEX, amount_fen=amount_fen, terminal=terminal))

    def _ask_proof(self) -> ToCard:
        return ToCard(apdu.get_transaction_prove(self._numbers.pop(0), TTI_LOAD))

    def _proved(self, data: bytes, sw: int) -> Step:
        proof = data[MAC_BYTES:] if sw == Sw.OK and len(data) == MAC_BYTES + TAC_BYTES else NO_TAC
        if proof == NO_TAC and self._numbers:
            return self._ask_proof()
        self._state = _State.SELECTED
        return Proven(proof)

    def _end(self, result: Ended) -> Ended:
        self._state = _State.OVER
        return result
