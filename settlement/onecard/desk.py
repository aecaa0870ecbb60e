"""The top-up desk: grants loads to registered cards, and learns from the cards alone what became of each.

A card has one open load. It ends as CONFIRMED with the card's TAC, or with a MAC1 over the next online counter: nothing
else was granted at this one, so nothing else can have moved it. It ends as VOIDED with a MAC1 over its own counter and
a terminal number that the desk drew after the grant: to make that MAC1 the card had to begin anew, which ended the only
session in which MAC2 was good. So no point, honest or not, can have a load voided that is on a card or will be. An
amount would not do in place of the number: a card may refuse it, and amounts are so few that a point could collect
MAC1s beforehand and ask for loads until one fits.

A load may be paid with what the books owe the holder. The books are behind, so what they owe is all that they ever
credited to the card, less all that was ever granted here: confirmed or not, but for what was voided. Left out:
connections (`settlement.streams.gateway`), and what is in the books.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from settlement.onecard import loads, registry
from settlement.onecard.keys import KeyStore
from settlement.onecard.loads import LoadEvent, LoadEventKind, LoadEvidence
from settlement.store.database import Database
from settlement.streams.desk import Clock, Desk
from settlement.streams.door import Door
from wire.batch import SignedBatch
from wire.errors import CampusError
from wire.ids import TERMINAL_ID_BYTES, CardId, LoadId, Stream, TerminalId
from wire.load import (
    CHALLENGE_FEN,
    NO_CHALLENGE,
    Funding,
    LoadGrant,
    LoadInit,
    LoadOutcome,
    LoadRefusal,
    LoadRefused,
    LoadRequest,
    LoadResult,
    LoadState,
    RefundQuestion,
    RefundsOwed,
)
from wire.messages import Identify, Receipt, Refused
from wire.money import Fen, format_fen
from wire.purse_keys import KeyHalvesEqual
from wire.receipt import Rejection
from wire.record import NO_TAC
from wire.shift import ShiftReceipt, ShiftReport

_STATES: Final = {LoadEventKind.CONFIRMED: LoadState.POSTED, LoadEventKind.VOIDED: LoadState.VOIDED}

_log: Final = logging.getLogger(__name__)

LoadQuestion = LoadRequest | LoadResult | RefundQuestion
LoadAnswer = LoadGrant | LoadOutcome | LoadRefused | RefundsOwed


@dataclass(frozen=True, slots=True)
class LoadLimits:
    """The most that one load may bring, and the most that a purse may hold."""

    load_fen_max: int
    purse_fen_max: int


@dataclass(frozen=True, slots=True)
class Credited:
    """What the books ever credited to a card's holder, and which loads they know to have collected some of it."""

    credited_fen: Fen
    collected: dict[LoadId, Fen]


class Books(Protocol):
    """What the desk reads of the ledger."""

    def credited(self, card: CardId) -> Credited:
        """As of what is posted; raises `StoreFault`, or `SchemaMissing` where there is no ledger."""

    def close(self) -> None:
        """Let go of the database."""


class TopupDesk(Desk):
    """The desk's answers; belongs to the thread that made it."""

    def __init__(
        self,
        *,
        db: Database,
        onecard: Database,
        keys: KeyStore,
        door: Door,
        clock: Clock,
        limits: LoadLimits,
        books: Books,
        random: Callable[[int], bytes],
    ) -> None:
        super().__init__(stream=Stream.TOP_UP, db=db, onecard=onecard, keys=keys, door=door, clock=clock)
        self._limits = limits
        self._books = books
        self._random = random
        self._challenges: dict[LoadId, TerminalId] = {}

    def accept(self, signed: SignedBatch) -> Receipt | Refused:
        """A top-up point has no taps."""
        return Refused(Rejection.WRONG_STREAM, None, f"the desk takes no taps, and these are {len(signed.raw)} bytes")

    def take_shift(self, report: ShiftReport) -> ShiftReceipt:
        """A top-up point has no shifts."""
        return ShiftReceipt(0)

    def load(self, message: LoadQuestion, point: Identify) -> LoadAnswer:
        """One question about a load, from a point that was let in; the answer is true once it is returned."""
        try:
            if isinstance(message, RefundQuestion):
                return self._refunds(message.card)
            return self._request(message, point) if isinstance(message, LoadRequest) else self._result(message, point)
        except KeyHalvesEqual as error:
            return LoadRefused(LoadRefusal.CARD_UNUSABLE, str(error))

    def close(self) -> None:
        """See `Desk`."""
        self._books.close()
        super().close()

    def _refunds(self, card: CardId) -> LoadAnswer:
        if not registry.is_registered(self._onecard, card):
            return _unregistered()
        before = loads.last_load(self._db, card)
        if before is not None and before[1] is None:
            return self._outcome(before[0], None)
        owed_fen = self._owed_fen(card)
        return owed_fen if isinstance(owed_fen, LoadRefused) else RefundsOwed(owed_fen)

    def _owed_fen(self, card: CardId) -> Fen | LoadRefused:
        """What may still be granted out of refunds, however far the books are behind; or that nobody knows now."""
        try:
            books = self._books.credited(card)
        except CampusError as error:
            _log.warning("top-up: the books cannot be read: %s", error)
            return LoadRefused(LoadRefusal.BUSY, "what is owed cannot be read from the books now: collect it later")
        # Loads that only the books know were granted by a desk that was restored from a backup since.
        taken = {**books.collected, **loads.refunds_granted(self._db, card)}
        return Fen(max(books.credited_fen - sum(taken.values()), 0))

    def _request(self, request: LoadRequest, point: Identify) -> LoadAnswer:
        load_id, raw = LoadId(point.terminal, point.epoch, request.number), request.to_bytes()
        known = loads.find_answer(self._db, load_id)
        if known is not None:
            return self._again(load_id, same=known[0] == raw, answer=known[1])
        if not registry.is_registered(self._onecard, request.card):
            return _unregistered()
        if not self._keys.verify_load_mac1(request.card, request.init, point.terminal):
            return self._wrong_mac1(load_id)
        before = loads.last_load(self._db, request.card)
        if before is not None and before[1] is None:
            return self._outcome(before[0], None)
        refused = self._refusal(request, load_id, None if before is None else before[1])
        return refused or self._grant(request, load_id)

    def _again(self, load_id: LoadId, *, same: bool, answer: bytes) -> LoadAnswer:
        found = loads.find_load(self._db, load_id)
        assert found is not None, "an answer is kept with its grant"
        if not same:
            return LoadRefused(LoadRefusal.NUMBER_TAKEN, f"load {load_id} was asked for with other content")
        return LoadGrant.from_bytes(answer) if found[1] is None else self._outcome(*found)

    def _refusal(self, request: LoadRequest, load_id: LoadId, ended: LoadEvent | None) -> LoadRefused | None:
        init, limits = request.init, self._limits
        if ended is not None and init.online_counter != _counter_after(ended):
            return self._disputed(load_id, init, _counter_after(ended))
        if request.card in self.hotlist().hotlist.cards:
            return LoadRefused(LoadRefusal.HOTLISTED, "the card is on the list of cards to refuse")
        if not 0 < init.amount_fen <= limits.load_fen_max:
            return LoadRefused(LoadRefusal.OVER_LIMIT, f"a load brings 0.01 to {format_fen(limits.load_fen_max)}")
        if init.balance_fen + init.amount_fen > limits.purse_fen_max:
            most = format_fen(limits.purse_fen_max)
            return LoadRefused(LoadRefusal.OVER_LIMIT, f"a purse holds {most} at most, with this load it would be more")
        return self._more_than_owed(request) if request.funding is Funding.REFUND else None

    def _more_than_owed(self, request: LoadRequest) -> LoadRefused | None:
        owed_fen = self._owed_fen(request.card)
        if isinstance(owed_fen, LoadRefused):
            return owed_fen
        if request.init.amount_fen > owed_fen:
            return LoadRefused(LoadRefusal.NOT_OWED, f"the books owe the holder {format_fen(owed_fen)}, not more")
        return None

    def _grant(self, request: LoadRequest, load_id: LoadId) -> LoadGrant:
        init, now_utc_s = request.init, self._clock()
        mac2 = self._keys.load_mac2(request.card, init, load_id.terminal, granted_at_utc_s=now_utc_s)
        grant = LoadGrant(number=request.number, granted_at_utc_s=now_utc_s, mac2=mac2)
        event = LoadEvent(
            kind=LoadEventKind.GRANTED,
            evidence=LoadEvidence.MAC1,
            funding=request.funding,
            load_id=load_id,
            card=request.card,
            online_counter=init.online_counter,
            amount_fen=init.amount_fen,
            old_balance_fen=init.balance_fen,
            terminal=load_id.terminal,
            happened_at_utc_s=now_utc_s,
        )
        with self._db.transaction():
            position = loads.append(self._db, event)
            loads.add_answer(self._db, position, request=request.to_bytes(), answer=grant.to_bytes())
        return grant

    def _result(self, result: LoadResult, point: Identify) -> LoadAnswer:
        found = loads.find_load(self._db, result.load_id)
        if found is None:
            return LoadRefused(LoadRefusal.LOAD_UNKNOWN, f"load {result.load_id} was never granted here")
        granted, ended = found
        if ended is not None:
            return self._outcome(granted, ended)
        if result.tac != NO_TAC:
            if self._is_tac_of(granted, result.tac):
                return self._end(granted, point, LoadEventKind.CONFIRMED, LoadEvidence.TAC, result.tac)
            _log.warning("top-up: load %s: card %s gave a TAC that is not this load's", granted.load_id, granted.card)
        return self._outcome(granted, None) if result.init is None else self._prove(granted, result.init, point)

    def _prove(self, granted: LoadEvent, init: LoadInit, point: Identify) -> LoadAnswer:
        """What a fresh INITIALIZE shows of the open load."""
        if init.amount_fen != CHALLENGE_FEN or not self._keys.verify_load_mac1(
            granted.card, init, self._challenge(granted.load_id)
        ):
            _log.warning("top-up: load %s: MAC1 is not over the number that was named", granted.load_id)
            return LoadRefused(LoadRefusal.WRONG_PROOF, "the card did not answer to the number that the desk named")
        if init.online_counter == granted.online_counter:
            return self._end(granted, point, LoadEventKind.VOIDED, LoadEvidence.COUNTER_UNCHANGED)
        if init.online_counter == granted.online_counter + 1:
            return self._end(granted, point, LoadEventKind.CONFIRMED, LoadEvidence.COUNTER_MOVED)
        return self._disputed(granted.load_id, init, granted.online_counter)

    def _end(
        self, granted: LoadEvent, point: Identify, kind: LoadEventKind, evidence: LoadEvidence, tac: bytes = NO_TAC
    ) -> LoadOutcome:
        event = LoadEvent(
            kind=kind,
            evidence=evidence,
            funding=granted.funding,
            load_id=granted.load_id,
            card=granted.card,
            online_counter=granted.online_counter,
            amount_fen=granted.amount_fen,
            old_balance_fen=granted.old_balance_fen,
            tac=tac,
            terminal=point.terminal,
            happened_at_utc_s=self._clock(),
        )
        with self._db.transaction():
            loads.append(self._db, event)
        self._challenges.pop(granted.load_id, None)
        return self._outcome(granted, event)

    def _is_tac_of(self, granted: LoadEvent, tac: bytes) -> bool:
        return self._keys.verify_load_tac(
            granted.card,
            tac,
            terminal=granted.load_id.terminal,
            online_counter=granted.online_counter,
            amount_fen=granted.amount_fen,
            new_balance_fen=Fen(granted.old_balance_fen + granted.amount_fen),
            granted_at_utc_s=granted.happened_at_utc_s,
        )

    def _outcome(self, granted: LoadEvent, ended: LoadEvent | None) -> LoadOutcome:
        return LoadOutcome(
            load_id=granted.load_id,
            state=LoadState.PENDING if ended is None else _STATES[ended.kind],
            online_counter=granted.online_counter,
            amount_fen=granted.amount_fen,
            old_balance_fen=granted.old_balance_fen,
            challenge=self._challenge(granted.load_id) if ended is None else NO_CHALLENGE,
        )

    def _challenge(self, load_id: LoadId) -> TerminalId:
        """The number for a fresh INITIALIZE, not to be guessed before it is told; another one after a restart."""
        if load_id not in self._challenges:
            self._challenges[load_id] = TerminalId(self._random(TERMINAL_ID_BYTES))
        return self._challenges[load_id]

    def _wrong_mac1(self, load_id: LoadId) -> LoadRefused:
        _log.warning("top-up: load %s: MAC1 is not one of our cards'", load_id)
        return LoadRefused(LoadRefusal.MAC1_WRONG, "the card did not prove that it is one of ours")

    def _disputed(self, load_id: LoadId, init: LoadInit, expected: int) -> LoadRefused:
        """An honest card counts only loads that were granted here: the desk was restored from a backup, or worse."""
        _log.error(
            "top-up: ALARM: load %s: the card is at online counter %d, not %d", load_id, init.online_counter, expected
        )
        return LoadRefused(
            LoadRefusal.COUNTER_DISPUTED, f"the card has counted {init.online_counter} loads, the desk {expected}"
        )


def _unregistered() -> LoadRefused:
    return LoadRefused(LoadRefusal.CARD_UNKNOWN, "this school does not answer for the card")


def _counter_after(ended: LoadEvent) -> int:
    return ended.online_counter + (1 if ended.kind is LoadEventKind.CONFIRMED else 0)
