"""One tap from presented card to sealed record: purchase dialogue, rules and journal brought together.

The order of commits is the whole matter: opened before DEBIT, sealed before anything is told. A reversal, a refund and
a sign-on are purchases of nothing, which the genuine card alone can make. Left out: what the cashier sees
(`terminal.till`) and where cards come from (`drivers.reader`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from drivers import apdu, purchase
from drivers.channel import CardChannel, CardRemoved, ReaderFault
from drivers.purchase import (
    Commit,
    Decide,
    NotDebited,
    PinChecked,
    Purchase,
    PurchaseProof,
    Quote,
    ToCard,
    ToPsam,
    TornDebit,
    mac2_verdict,
)
from drivers.purse import CardProfile, CardUnreadable, PsamIdentity, PurseInfo, PurseView
from terminal.basket import Offer
from terminal.journal import Journal, JournalUnwritable, TapIntent
from terminal.recovery import Fate, OtherCard, resolve_torn
from terminal.result import (
    Approved,
    NotPaid,
    ProofRefused,
    Refunded,
    Refused,
    Reversed,
    SignedOn,
    StillThere,
    TapResult,
    Torn,
    Unresolved,
    WrongCard,
)
from terminal.rules import UNDO_S_MAX, Approval, Terms, Wanted, authorise, purse_objects, seconds_between, welcome
from terminal.subsidy import allowance_left_fen
from terminal.usage import Usage
from wire.configuration import StaffRole
from wire.ids import CardId
from wire.money import Fen, format_fen
from wire.record import Mac2, Outcome, Refusal, TapKind, TapRecord, TapTime, VoidReason

_NOTHING: Final = Fen(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Deal:
    """What a card that was just selected is presented for. `refusal`: it is turned away before anything is asked."""

    kind: TapKind = TapKind.SALE
    amount_fen: Fen = _NOTHING
    subsidy_fen: Fen = _NOTHING
    credit_fen: Fen = _NOTHING
    refers_to: int = 0
    wanted: Wanted | None = None  # of a sale
    refusal: Refusal | None = None


_Quote = Callable[[PurseInfo, Terms, TapTime], _Deal | TapResult]


class Sale:
    """What all taps at this terminal share. `terms` and `now` are asked anew for every one; the journal's witness
    tells `usage` what it seals.
    """

    def __init__(
        self,
        *,
        journal: Journal,
        psam_channel: CardChannel,
        psam: PsamIdentity,
        profile: CardProfile,
        terms: Callable[[], Terms],
        usage: Usage,
        now: Callable[[], TapTime],
    ) -> None:
        self._journal = journal
        self._psam_channel = psam_channel
        self.psam = psam
        self._profile = profile
        self._terms = terms
        self._usage = usage
        self._now = now
        self._psam_session_of: TapRecord | None = None  # whose MAC2 the PSAM can still check
        self._offer: Offer | None = None  # what the tap in hand, open or torn, pays for

    def charge(
        self,
        card: CardChannel,
        offer: Offer,
        *,
        not_from: CardId | None = None,
        again_for: CardId | None = None,
        just_left: CardId | None = None,
    ) -> TapResult:
        """Sell `offer` to the present card, once, unless it is `not_from`; `again_for` may be a double tap, and
        `just_left` is one if it has paid before.

        Raises `CardUnreadable` before anything is opened, and `JournalUnwritable`; an opened tap then stays open.
        """

        def quote(info: PurseInfo, terms: Terms, at: TapTime) -> _Deal | TapResult:
            if info.card == not_from:
                return StillThere(info.card)
            sale = wanted(offer, info, terms, self._usage, at)
            sale = replace(sale, again=info.card == again_for, lingered=info.card == just_left)
            return _Deal(amount_fen=sale.amount_fen, subsidy_fen=sale.subsidy_fen, wanted=sale)

        self._offer = offer
        return self._present(card, quote)

    def reverse(self, card: CardChannel, sale: TapRecord, *, allowed_by: CardId | None = None) -> TapResult:
        """Take `sale` back, if the present card paid it; `allowed_by` the supervisor's after `UNDO_S_MAX`.

        Raises as `charge` does.
        """

        def quote(info: PurseInfo, terms: Terms, at: TapTime) -> _Deal | TapResult:
            if info.card != sale.card:
                return WrongCard(sale.card)
            in_time = allowed_by is not None or seconds_between(sale.opened_at, at) <= UNDO_S_MAX
            credited = not _can_be_credited(sale) or self._usage.is_credited(sale.tap_id.seq)
            allowed = in_time and not credited and info.card != allowed_by
            return _Deal(
                kind=TapKind.REVERSAL,
                credit_fen=sale.amount_fen,
                subsidy_fen=sale.subsidy_fen,
                refers_to=sale.tap_id.seq,
                refusal=None if allowed else Refusal.REVERSAL_NOT_ALLOWED,
            )

        return self._present(card, quote)

    def refund(
        self, card: CardChannel, credit_fen: Fen, *, refers_to: int, allowed_by: CardId | None = None
    ) -> TapResult:
        """Owe the present card's holder `credit_fen`, of the sale with that number, 0 if it is not known here.

        Nobody allows it to themselves: not to the card `allowed_by`. Raises as `charge` does.
        """
        sale = next(iter(self._journal.records(refers_to, 1)), None) if refers_to else None

        def quote(info: PurseInfo, terms: Terms, _: TapTime) -> _Deal | TapResult:
            if sale is None:
                allowed = refers_to == 0 and credit_fen <= terms.limits_of(info.card_class).tap_fen_max
            else:
                left_fen = sale.amount_fen - self._usage.credited_fen(refers_to)
                allowed = sale.card == info.card and _can_be_credited(sale) and credit_fen <= left_fen
            return _Deal(
                kind=TapKind.REFUND,
                credit_fen=credit_fen,
                refers_to=refers_to if sale else 0,
                refusal=None if allowed and info.card != allowed_by else Refusal.REFUND_NOT_ALLOWED,
            )

        return self._present(card, quote)

    def sign_on(self, card: CardChannel, role: StaffRole, digits: str) -> TapResult:
        """Have the present card check the PIN and prove itself; only a card that is staff's is shown a PIN.

        Raises as `charge` does.
        """

        def quote(info: PurseInfo, terms: Terms, at: TapTime) -> _Deal | TapResult:
            member = None if terms.configuration is None else terms.configuration.staff_member(info.card)
            allowed = member is not None and member.role >= role
            why = welcome(info, terms=terms, opened_at=at)  # before a PIN is typed into a card that is a thief's
            return _Deal(kind=TapKind.SIGN_ON, refusal=why or (None if allowed else Refusal.NOT_A_CASHIER))

        return self._present(card, quote, digits)

    def _present(self, card: CardChannel, quote: _Quote, digits: str = "") -> TapResult:
        """The dialogue with a card, from SELECT to the sealed record."""
        opened_at, terms = self._now(), self._terms()
        dialogue = Purchase(profile=self._profile, psam=self.psam, opened_at=opened_at)
        deal: _Deal | TapResult = _Deal()
        tap: TapRecord | None = None
        info: PurseInfo | None = None
        step = dialogue.start()
        while True:
            match step:
                case ToCard(command):
                    step = _ask(card, command, dialogue.card_answered, dialogue.card_lost)
                case ToPsam(command):
                    step = _ask(self._psam_channel, command, dialogue.psam_answered, dialogue.psam_lost)
                case Quote(info):
                    deal = quote(info, terms, opened_at)
                    if not isinstance(deal, _Deal):
                        return deal
                    if digits and deal.refusal is None:
                        step = dialogue.pin(digits)
                    else:
                        step = dialogue.priced(deal.amount_fen)
                case PinChecked(right, tries_left):
                    assert info is not None, "a card was selected before its PIN was checked"
                    if not right:
                        return self._refuse_pin(info.card, tries_left, opened_at)
                    step = dialogue.priced(_NOTHING)
                case Decide(view):
                    assert isinstance(deal, _Deal), "a price was quoted"
                    refusal = self._objection(view, deal, terms, opened_at)
                    if refusal is not None:
                        counter = view.session.counter if view.session else 0
                        intent = _intent(deal, view.card, view.balance_fen, counter, 0, opened_at)
                        self._journal.refuse_tap(intent, refusal)
                        return Refused(refusal, view.card, view.balance_fen)
                    step = dialogue.approved()
                case Commit(view, session, ttsn):
                    assert isinstance(deal, _Deal), "a price was quoted"
                    intent = _intent(deal, view.card, session.balance_fen, session.counter, ttsn, opened_at)
                    tap = self._psam_session_of = self._journal.open_tap(intent)
                    step = dialogue.committed()
                case _:
                    return self._finish(step, card, tap)

    def _objection(self, view: PurseView, deal: _Deal, terms: Terms, opened_at: TapTime) -> Refusal | None:
        if deal.wanted is not None:
            verdict = authorise(view, deal.wanted, terms=terms, usage=self._usage, opened_at=opened_at)
            return None if isinstance(verdict, Approval) else verdict
        why = welcome(view.info, terms=terms, opened_at=opened_at)
        return why or deal.refusal or purse_objects(view, deal.amount_fen)

    def _refuse_pin(self, card: CardId, tries_left: int, opened_at: TapTime) -> Refused:
        refusal = Refusal.PIN_WRONG if tries_left else Refusal.PIN_LOCKED
        self._journal.refuse_tap(_intent(_Deal(kind=TapKind.SIGN_ON), card, _NOTHING, 0, 0, opened_at), refusal)
        return Refused(refusal, card, _NOTHING, tries_left)

    def resolve(self, card: CardChannel, tap: TapRecord) -> TapResult:
        """Close the open, torn `tap` with what the present card says.

        Raises `CardRemoved`, `ReaderFault` or `CardUnreadable` with the tap still open: present the card again.
        """
        answer = resolve_torn(
            card, tap, profile=self._profile, psam=self.psam, check_mac2=lambda mac2: self._check_late(tap, mac2)
        )
        if isinstance(answer, OtherCard):
            return WrongCard(tap.card)
        if answer.fate is Fate.NOT_EXECUTED:
            self._journal.void_tap(tap, VoidReason.NOT_EXECUTED)
            return NotPaid("the card was not debited")
        mac2 = Mac2.VERIFIED if answer.fate is Fate.EXECUTED else Mac2.NOT_CHECKED
        return self._sealed(tap, tac=answer.tac, mac2=mac2)

    def _finish(self, result: purchase.Step, card: CardChannel, tap: TapRecord | None) -> TapResult:
        if isinstance(result, NotDebited):
            return NotPaid(result.why, result.code)
        assert tap is not None, "DEBIT follows the commit"
        if isinstance(result, PurchaseProof):
            return self._sealed(tap, tac=result.tac, mac2=result.mac2)
        assert isinstance(result, TornDebit), f"{result} does not end a purchase"
        try:
            return self.resolve(card, tap)  # the card may still be there
        except (CardRemoved, ReaderFault, CardUnreadable):
            return Torn(tap, result.why, result.code)

    def _sealed(self, tap: TapRecord, *, tac: bytes, mac2: Mac2) -> TapResult:
        """Seal what the card says it did: a debit if the PSAM has had its say, otherwise for the server to decide."""
        try:
            if mac2 is Mac2.NOT_CHECKED:
                return Unresolved(self._journal.seal_unknown(tap, tac=tac))
            record = self._journal.seal_tap(tap, tac=tac, mac2=mac2)
        except JournalUnwritable as error:
            paid = f"card {tap.card} may have paid {format_fen(tap.amount_fen)} (tap {tap.tap_id.seq})"
            raise type(error)(f"{error}; {paid}, which is not recorded yet") from error
        if mac2 is Mac2.REFUSED:
            return ProofRefused(record)
        balance_fen = Fen(tap.balance_before_fen - tap.amount_fen)
        match record.kind:
            case TapKind.SALE:
                offer, self._offer = self._offer, None
                return Approved(record, balance_fen, offer)
            case TapKind.REVERSAL:
                return Reversed(record, balance_fen)
            case TapKind.REFUND:
                return Refunded(record, balance_fen)
            case TapKind.SIGN_ON:
                return SignedOn(record)

    def _check_late(self, tap: TapRecord, mac2: bytes) -> Mac2:
        """MAC2 of a proof that came late: the PSAM can check it only while this tap's session is its last one."""
        if self._psam_session_of != tap:
            return Mac2.NOT_CHECKED
        self._psam_session_of = None  # right or wrong, it looks once
        try:
            _, sw = self._psam_channel.transmit(apdu.credit_sam_for_purchase(mac2))
        except (CardRemoved, ReaderFault):
            return Mac2.NOT_CHECKED
        return mac2_verdict(sw)


def _ask(
    channel: CardChannel,
    command: bytes,
    answered: Callable[[bytes, int], purchase.Step],
    lost: Callable[[CardRemoved | ReaderFault], purchase.Result],
) -> purchase.Step:
    try:
        data, sw = channel.transmit(command)
    except (CardRemoved, ReaderFault) as fault:
        return lost(fault)
    return answered(data, sw)


def subsidy_of(info: PurseInfo, terms: Terms, usage: Usage, at: TapTime) -> Fen:
    """How much of a sale the school would pay for this card now."""
    if terms.configuration is None:
        return _NOTHING
    return allowance_left_fen(terms.configuration, info.card_class, at, card=info.card, usage=usage)


def wanted(offer: Offer, info: PurseInfo, terms: Terms, usage: Usage, at: TapTime) -> Wanted:
    """What this card is to pay for `offer`: the price of its class, less what the school pays."""
    price_fen = offer.fen(info.card_class)
    subsidy_fen = min(price_fen, subsidy_of(info, terms, usage, at))
    return Wanted(
        amount_fen=Fen(price_fen - subsidy_fen),
        subsidy_fen=subsidy_fen,
        meals=offer.meals,
        period=offer.period,
    )


def _can_be_credited(sale: TapRecord) -> bool:
    """Whether it certainly took the money that is to be given back."""
    return sale.kind is TapKind.SALE and sale.outcome is Outcome.DEBITED and sale.mac2 is not Mac2.REFUSED


def _intent(deal: _Deal, card: CardId, balance_fen: Fen, counter: int, ttsn: int, opened_at: TapTime) -> TapIntent:
    return TapIntent(
        kind=deal.kind,
        card=card,
        amount_fen=deal.amount_fen,
        subsidy_fen=deal.subsidy_fen,
        credit_fen=deal.credit_fen,
        balance_before_fen=balance_fen,
        counter=counter,
        ttsn=ttsn,
        refers_to=deal.refers_to,
        opened_at=opened_at,
        meals=max(deal.wanted.meals, 1) if deal.wanted else 1,
    )
