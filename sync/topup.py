"""A top-up point: one card at a time is loaded with the desk on the line, and what breaks off is brought to its end.

A request is kept before it is sent, a grant before the card hears of it, the card's proof before the desk does. So
after a power cut, here or at the desk, what is known is known still, and what is not the card tells when it comes back,
here or at any other point. A load is paid with cash, or with what the books owe the holder for sales that were taken
back, which the desk tells. Left out: words and keys (`sync.teller`), the line (`sync.desk`), the dialogue with the card
(`drivers.load`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, Protocol

from drivers.channel import CardChannel, CardRemoved, ReaderFault
from drivers.load import AskPin, Ended, Initialised, Load, LoadProof, NotLoaded, Proven, Selected, Step, TornLoad
from drivers.purchase import ToCard
from drivers.purse import CardProfile, CardUnreadable
from drivers.reader import CardPresented, CardSilent, Reader, ReaderEvent, ReaderLost
from sync.link import LinkDown
from sync.store import Enrolment, LoadEnd, UplinkStore
from sync.storefile import StoreUnwritable
from wire.errors import CampusError
from wire.ids import CardId, LoadId
from wire.load import (
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
    load_date_time,
)
from wire.money import Fen, format_fen
from wire.record import NO_TAC

_EARLIER_MAX: Final = 2  # a card has one open load; a desk that keeps finding others contradicts itself
_AGAIN_MAX: Final = 3  # attempts with a card that the reader reports anew after each and that may never have left
_NUMBERS_MAX: Final = 24  # doubling steps past what a point restored from a backup has forgotten: 2**24 loads
_CHALLENGES_MAX: Final = 2  # a desk that was started anew in between names another number, once


class LoadFailed(CampusError):
    """Nothing was loaded, for the reason in the text; the card is as it was."""

    code = "load-failed"


class LoadOpen(CampusError):
    """The sale was ended after the card was told to take its load; only the card can tell whether it did."""

    code = "load-open"


@dataclass(frozen=True, slots=True)
class PresentCard:
    """The reader waits for a card; with no amount for one that collects all that is owed to its holder."""

    amount_fen: Fen | None
    funding: Funding = Funding.CASH


@dataclass(frozen=True, slots=True)
class LeaveCard:
    """The card is being asked and loaded."""


@dataclass(frozen=True, slots=True)
class PutCardBack:
    """The load broke off after the card was told to take it; only the card can tell whether it did."""

    card: CardId
    amount_fen: Fen
    why: str


@dataclass(frozen=True, slots=True)
class OtherCard:
    """A load is open, and this is not its card."""

    card: CardId
    wanted: CardId


@dataclass(frozen=True, slots=True)
class CardTrouble:
    """A card or the reader could not be used, which has changed nothing."""

    why: str


@dataclass(frozen=True, slots=True)
class StillThere:
    """The card that was loaded last has not left the reader since; nothing was done with it."""

    card: CardId


@dataclass(frozen=True, slots=True)
class EarlierSettled:
    """An earlier load of the card is at its end: posted (it was on the card) or voided (it never was)."""

    card: CardId
    amount_fen: Fen
    posted: bool


@dataclass(frozen=True, slots=True)
class Loaded:
    """The money is on the card; `delivered` tells whether the desk has the proof, which is kept until it does."""

    card: CardId
    amount_fen: Fen
    new_balance_fen: Fen
    delivered: bool


@dataclass(frozen=True, slots=True)
class RefundWaits:
    """The books owe the card's holder so much, which a load can collect."""

    card: CardId
    amount_fen: Fen


@dataclass(frozen=True, slots=True)
class StillOpen:
    """A load of an earlier run has no end yet; its card ends it by coming to any point."""

    card: CardId
    amount_fen: Fen


PointEvent = (
    PresentCard
    | LeaveCard
    | PutCardBack
    | OtherCard
    | CardTrouble
    | StillThere
    | EarlierSettled
    | Loaded
    | RefundWaits
    | StillOpen
)


class Person(Protocol):
    """Who stands at the point."""

    def tell(self, event: PointEvent) -> None:
        """Say what is the case, or what to do."""

    def ask_pin(self, tries_left: int | None, why: str) -> str | None:
        """The holder's PIN, or None to give up; see `AskPin`."""


class Desk(Protocol):
    """What a point asks; raises `LinkDown`."""

    def ask(
        self, question: LoadRequest | LoadResult | RefundQuestion
    ) -> LoadGrant | LoadOutcome | LoadRefused | RefundsOwed:
        """The desk's answer."""


@dataclass(slots=True)
class _Sale:
    """What the person wants loaded, None for all that is owed; and the load of which a card was told and is silent."""

    amount_fen: Fen | None
    funding: Funding
    torn: LoadRequest | None = None


class TopUpPoint:
    """One reader, one desk, one person."""

    def __init__(
        self,
        *,
        store: UplinkStore,
        enrolment: Enrolment,
        reader: Reader,
        profile: CardProfile,
        desk: Desk,
        person: Person,
    ) -> None:
        self.store = store
        self.enrolment = enrolment
        self._reader = reader
        self.profile = profile
        self.desk = desk
        self.person = person
        self._events: Iterator[ReaderEvent] | None = None
        self.wrong_pins: defaultdict[CardId, set[str]] = defaultdict(set)
        self.last_loaded: CardId | None = None  # until a card comes that was certainly lifted
        self._again = 0

    def settle_kept(self) -> None:
        """Deliver the proofs that are kept, and hear of loads that ended elsewhere; what stays open is told."""
        for kept in self.store.open_loads():
            try:
                outcome = self.ask_end(kept.request, kept.tac or NO_TAC)
            except LinkDown:
                if kept.tac is not None:
                    continue  # the card has its money, and the desk hears of it the next time
                outcome = None
            if outcome is None or outcome.state is LoadState.PENDING:
                self.person.tell(StillOpen(kept.request.card, kept.request.init.amount_fen))

    def sell(self, amount_fen: Fen) -> Loaded:
        """Load one card with this amount; raises `LoadFailed`, or `LoadOpen` if it cannot wait for a torn card."""
        return self._carry_out(_Sale(amount_fen, Funding.CASH))

    def collect(self, amount_fen: Fen | None = None) -> Loaded:
        """Load one card with what is owed to its holder, or with this part of it; raises as `sell` does."""
        return self._carry_out(_Sale(amount_fen, Funding.REFUND))

    def _carry_out(self, sale: _Sale) -> Loaded:
        try:
            return self._sell(sale)
        except (KeyboardInterrupt, CampusError) as error:
            self._events = None  # an interrupt has ended the watch, if it came from there
            why = str(error) or "stopped by hand"
            if sale.torn is not None:
                card, fen = sale.torn.card, format_fen(sale.torn.init.amount_fen)
                raise LoadOpen(f"whether {fen} are on card {card} only the card can tell ({why})") from error
            if isinstance(error, CampusError):
                raise
            raise LoadFailed(why) from error

    def _sell(self, sale: _Sale) -> Loaded:
        self.person.tell(PresentCard(sale.amount_fen, sale.funding))
        while True:
            self._await_card()
            try:
                with self._reader.connect() as channel:
                    self.person.tell(LeaveCard())
                    loaded = _Presentation(self, channel, sale).run()
            except (CardRemoved, ReaderFault, CardUnreadable, LinkDown, LoadFailed) as error:
                why = f"the desk cannot be reached: {error}" if isinstance(error, LinkDown) else str(error)
                if sale.torn is not None:
                    self.person.tell(PutCardBack(sale.torn.card, sale.torn.init.amount_fen, why))
                elif isinstance(error, LinkDown | LoadFailed):
                    raise LoadFailed(why) from error
                else:
                    left = type(error) is CardRemoved
                    self.person.tell(CardTrouble("the card left the reader too early" if left else why))
            else:
                if loaded is not None:
                    self.last_loaded, self._again = loaded.card, 0
                    self.person.tell(loaded)
                    if loaded.delivered:
                        self._tell_what_waits(loaded.card)
                    return loaded

    def _tell_what_waits(self, card: CardId) -> None:
        """What is still owed to the holder, if that can be heard: the load is done either way."""
        with suppress(CampusError, KeyboardInterrupt):
            answer = self.desk.ask(RefundQuestion(card))
            if isinstance(answer, RefundsOwed) and answer.owed_fen:
                self.person.tell(RefundWaits(card, answer.owed_fen))

    def _await_card(self) -> None:
        if self._events is None:
            self._events = self._reader.events()
        for event in self._events:
            if isinstance(event, CardPresented) and self._is_welcome(event):
                return
            if isinstance(event, CardSilent):
                self.person.tell(CardTrouble("the card does not answer: put one card flat on the reader"))
            if isinstance(event, ReaderLost):
                self.person.tell(CardTrouble(event.why))
        raise LoadFailed("the reader was stopped")

    def _is_welcome(self, event: CardPresented) -> bool:
        """Whether to look at a card: one that is only reported anew, time after time, has to be lifted first."""
        if not event.perhaps_same:
            self.last_loaded, self._again = None, 0
        self._again += event.perhaps_same
        if self._again == _AGAIN_MAX + 1:
            self.person.tell(CardTrouble("it was tried several times: take the card away first"))
        return self._again <= _AGAIN_MAX

    def _load_id(self, number: int) -> LoadId:
        return LoadId(self.enrolment.terminal, self.enrolment.epoch, number)

    def ask_end(self, request: LoadRequest, tac: bytes) -> LoadOutcome | None:
        """Ask how a load of this point stands, with its proof if there is one; an end is kept."""
        answer = self.desk.ask(LoadResult(load_id=self._load_id(request.number), tac=tac))
        if isinstance(answer, LoadOutcome):
            self.note_end(answer)
            return answer
        return None

    def note_end(self, outcome: LoadOutcome) -> None:
        """Keep the end of a load, if it is one and the load was asked for here."""
        ours = (outcome.load_id.terminal, outcome.load_id.epoch) == (self.enrolment.terminal, self.enrolment.epoch)
        if ours and outcome.state is not LoadState.PENDING:
            end = LoadEnd.POSTED if outcome.state is LoadState.POSTED else LoadEnd.VOIDED
            self.store.end_load(outcome.load_id.number, end)


class _Presentation:
    """One card, from being put on the reader to being taken off."""

    def __init__(self, point: TopUpPoint, channel: CardChannel, sale: _Sale) -> None:
        self._point = point
        self._channel = channel
        self._sale = sale
        self._dialogue = Load(profile=point.profile, terminal=point.enrolment.terminal)

    def run(self) -> Loaded | None:
        """The load, or None when the card has to come again; raises `LoadFailed`, or what channel and desk raise."""
        card = self._select()
        if card == self._point.last_loaded:
            self._point.person.tell(StillThere(card))
            return None
        torn = self._sale.torn
        if torn is not None:
            if card != torn.card:
                self._point.person.tell(OtherCard(card, torn.card))
                return None
            outcome = self._settle_own(torn)
            self._sale.torn = None
            if outcome.state is LoadState.POSTED:
                return Loaded(card, outcome.amount_fen, outcome.new_balance_fen, delivered=True)
        for _ in range(_EARLIER_MAX + 1):
            answer = self._request(card)
            if isinstance(answer, Loaded) or answer is None:
                return answer
            settled = self._settle(answer)
            posted = settled.state is LoadState.POSTED
            self._point.person.tell(EarlierSettled(card, settled.amount_fen, posted))
            if posted:  # whoever brought the card back may not have meant to pay twice
                raise LoadFailed("nothing more was loaded; ask again if it is wanted")
        raise LoadFailed("the desk keeps finding earlier loads of this card; report it to the operator")

    def _request(self, card: CardId) -> Loaded | LoadOutcome | None:
        """Ask for the load and carry out what is granted; or the earlier load that stands in the way."""
        amount_fen = self._wanted(card)
        if isinstance(amount_fen, LoadOutcome):
            return amount_fen
        init = self._initialised(self._dialogue.initialise(amount_fen))
        for doubled in range(_NUMBERS_MAX):
            number = self._point.store.last_load_number() + (1 << doubled)
            request = LoadRequest(number=number, card=card, init=init, funding=self._sale.funding)
            answer = self._ask(request)
            if isinstance(answer, LoadGrant):
                return self._credit(request, answer)
            if isinstance(answer, LoadOutcome):
                return answer
            assert isinstance(answer, LoadRefused), "only a question about refunds is answered by what is owed"
            if answer.refusal is not LoadRefusal.NUMBER_TAKEN:
                raise LoadFailed(_refusal_words(answer))
        raise LoadFailed("the desk knows later loads of this point; report it to the operator")

    def _wanted(self, card: CardId) -> Fen | LoadOutcome:
        """How much to ask for; or the earlier load that stands in the way of knowing what is owed."""
        wanted_fen = self._sale.amount_fen
        if self._sale.funding is Funding.CASH:
            assert wanted_fen is not None, "cash is counted"
            return wanted_fen
        answer = self._point.desk.ask(RefundQuestion(card))
        if isinstance(answer, LoadOutcome):
            return answer
        if isinstance(answer, LoadRefused):
            raise LoadFailed(_refusal_words(answer))
        assert isinstance(answer, RefundsOwed), "a question about refunds is never answered by a grant"
        if answer.owed_fen == 0:
            raise LoadFailed(
                "nothing is owed to this card's holder, or the till's upload has not come to the books yet"
            )
        return answer.owed_fen if wanted_fen is None else wanted_fen

    def _ask(self, request: LoadRequest) -> LoadGrant | LoadOutcome | LoadRefused | RefundsOwed:
        store, granted = self._point.store, False
        store.begin_load(request)
        try:
            answer = self._point.desk.ask(request)
            if isinstance(answer, LoadGrant):
                store.save_grant(answer)
                granted = True
            return answer
        finally:
            if not granted:  # CREDIT was not sent for it, and a grant that still comes finds no card
                store.end_load(request.number, LoadEnd.NOT_BEGUN)

    def _credit(self, request: LoadRequest, grant: LoadGrant) -> Loaded | None:
        self._sale.torn = request  # from here on only the card or the desk can say that it is not
        date_time = load_date_time(grant.granted_at_utc_s)
        step = self._drive(self._dialogue.granted(date_time=date_time, mac2=grant.mac2))
        if isinstance(step, TornLoad):
            self._point.person.tell(PutCardBack(request.card, request.init.amount_fen, step.why))
            return None
        assert isinstance(step, LoadProof), f"CREDIT ends in a proof or torn, not in {step}"
        with suppress(StoreUnwritable):  # the desk can be told all the same, and the card can say it again
            self._point.store.save_tac(request.number, step.tac)
        try:
            outcome = self._point.ask_end(request, step.tac)
        except (CampusError, KeyboardInterrupt):
            outcome = None  # the money is on the card; the proof is kept, and goes with the next sale
        if outcome is not None and outcome.state is LoadState.PENDING:
            # Damaged between card and reader, or no card of ours; PROVE tells.
            self._point.person.tell(
                PutCardBack(request.card, request.init.amount_fen, "the card's proof was not accepted")
            )
            return None
        self._sale.torn = None
        balance_fen = Fen(request.init.balance_fen + request.init.amount_fen)
        return Loaded(request.card, request.init.amount_fen, balance_fen, delivered=outcome is not None)

    def _settle_own(self, torn: LoadRequest) -> LoadOutcome:
        outcome = self._point.ask_end(torn, NO_TAC)
        if outcome is None:
            raise LoadFailed("the desk knows nothing of this load any more; report it to the operator")
        return outcome if outcome.state is not LoadState.PENDING else self._settle(outcome)

    def _settle(self, pending: LoadOutcome) -> LoadOutcome:
        """Have the present card tell the desk what became of its open load; raises `LoadFailed` if it cannot."""
        desk = self._point.desk
        step = self._drive(self._dialogue.prove(pending.online_counter))
        if not isinstance(step, Proven):
            raise _lost(step)
        answer = desk.ask(LoadResult(load_id=pending.load_id, tac=step.tac))
        for _ in range(_CHALLENGES_MAX):
            if isinstance(answer, LoadRefused):
                if answer.refusal is not LoadRefusal.WRONG_PROOF:
                    raise LoadFailed(_refusal_words(answer))
                answer = desk.ask(LoadResult(load_id=pending.load_id))
            assert isinstance(answer, LoadOutcome), "a result is never answered by a grant"
            if answer.state is not LoadState.PENDING:
                break
            init = self._initialised(self._dialogue.answer_challenge(answer.challenge))
            answer = desk.ask(LoadResult(load_id=pending.load_id, tac=step.tac, init=init))
        if not isinstance(answer, LoadOutcome) or answer.state is LoadState.PENDING:
            raise LoadFailed(
                "the desk does not accept what the card says of an earlier load; report it to the operator"
            )
        self._point.note_end(answer)
        return answer

    def _select(self) -> CardId:
        step = self._drive(self._dialogue.start())
        if not isinstance(step, Selected):
            raise _lost(step)
        card = step.info.card
        self._dialogue.wrong_pins = self._point.wrong_pins[card]
        return card

    def _initialised(self, command: ToCard) -> LoadInit:
        step = self._drive(command)
        if not isinstance(step, Initialised):
            raise _lost(step)
        return step.init

    def _drive(self, step: Step) -> Selected | Initialised | Proven | Ended:
        """Carry out steps until one that is a result."""
        while True:
            if isinstance(step, ToCard):
                try:
                    data, sw = self._channel.transmit(step.command)
                except (CardRemoved, ReaderFault) as error:
                    lost = self._dialogue.card_lost(str(error))
                    if isinstance(lost, NotLoaded):
                        raise  # no CREDIT was under way: the card may simply come again
                    return lost
                step = self._dialogue.card_answered(data, sw)
            elif isinstance(step, AskPin):
                digits = self._point.person.ask_pin(step.tries_left, step.why)
                if digits is None:
                    raise LoadFailed("no PIN was given")
                step = self._dialogue.pin(digits)
            else:
                return step


def _lost(step: Selected | Initialised | Proven | Ended) -> CampusError:
    """What it means that the card did not get as far as it should have: gone, or it said no."""
    assert isinstance(step, NotLoaded), f"the dialogue cannot have come to {step}"
    return LoadFailed(step.why)


def _refusal_words(refused: LoadRefused) -> str:
    words = "".join(letter if letter.isprintable() else " " for letter in refused.detail)
    return f"the desk refuses: {words} ({refused.refusal.name})"
