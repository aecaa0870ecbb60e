"""One tap from presented card to sealed record: purchase dialogue, rules and journal brought together.

The order of commits is the whole matter: opened before DEBIT, sealed before anything is told. Left out: what the
cashier sees (`terminal.till`) and where cards come from (`drivers.reader`).
"""

from __future__ import annotations

from collections.abc import Callable

from drivers import apdu, purchase
from drivers.channel import CardChannel, CardRemoved, ReaderFault
from drivers.purchase import (
    Commit,
    Decide,
    NotDebited,
    Purchase,
    PurchaseProof,
    ToCard,
    ToPsam,
    TornDebit,
    mac2_verdict,
)
from drivers.purse import CardProfile, CardUnreadable, PsamIdentity
from terminal.journal import Journal, JournalUnwritable, TapIntent
from terminal.recovery import Fate, OtherCard, resolve_torn
from terminal.result import (
    Approved,
    NotPaid,
    ProofRefused,
    Refused,
    SaleResult,
    StillThere,
    Torn,
    Unresolved,
    WrongCard,
)
from terminal.rules import Approval, Limits, authorise
from wire.hotlist import Hotlist
from wire.ids import CardId
from wire.money import Fen, format_fen
from wire.record import Mac2, Refusal, TapRecord, TapTime, VoidReason


class Sale:
    """What all sales at this terminal share. `limits`, `hotlist` and `now` are asked anew for every tap."""

    def __init__(
        self,
        *,
        journal: Journal,
        psam_channel: CardChannel,
        psam: PsamIdentity,
        profile: CardProfile,
        limits: Callable[[], Limits],
        hotlist: Callable[[], Hotlist],
        now: Callable[[], TapTime],
    ) -> None:
        self._journal = journal
        self._psam_channel = psam_channel
        self.psam = psam
        self._profile = profile
        self._limits = limits
        self._hotlist = hotlist
        self._now = now
        self._psam_session_of: TapRecord | None = None  # whose MAC2 the PSAM can still check

    def charge(self, card: CardChannel, amount_fen: Fen, *, not_from: CardId | None = None) -> SaleResult:
        """Take `amount_fen` from the present card, once, unless it is `not_from`.

        Raises `CardUnreadable` before anything is opened, and `JournalUnwritable`; an opened tap then stays open.
        """
        opened_at = self._now()
        dialogue = Purchase(profile=self._profile, psam=self.psam, amount_fen=amount_fen, opened_at=opened_at)
        tap: TapRecord | None = None
        step = dialogue.start()
        while True:
            match step:
                case ToCard(command):
                    step = _ask(card, command, dialogue.card_answered, dialogue.card_lost)
                case ToPsam(command):
                    step = _ask(self._psam_channel, command, dialogue.psam_answered, dialogue.psam_lost)
                case Decide(view) if view.card == not_from:
                    return StillThere(view.card)
                case Decide(view):
                    verdict = authorise(
                        view,
                        amount_fen=amount_fen,
                        hotlist=self._hotlist(),
                        limits=self._limits(),
                        opened_at=opened_at,
                    )
                    if isinstance(verdict, Refusal):
                        self._journal.refuse_tap(
                            TapIntent(
                                card=view.card,
                                amount_fen=amount_fen,
                                balance_before_fen=view.balance_fen,
                                counter=view.session.counter if view.session else 0,
                                ttsn=0,
                                opened_at=opened_at,
                            ),
                            verdict,
                        )
                        return Refused(verdict, view.card, view.balance_fen)
                    assert isinstance(verdict, Approval), "a verdict is an approval or a refusal"
                    step = dialogue.approved()
                case Commit(view, session, ttsn):
                    intent = TapIntent(
                        card=view.card,
                        amount_fen=amount_fen,
                        balance_before_fen=session.balance_fen,
                        counter=session.counter,
                        ttsn=ttsn,
                        opened_at=opened_at,
                    )
                    tap = self._psam_session_of = self._journal.open_tap(intent)
                    step = dialogue.committed()
                case _:
                    return self._finish(step, card, tap)

    def resolve(self, card: CardChannel, tap: TapRecord) -> SaleResult:
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

    def _finish(self, result: purchase.Step, card: CardChannel, tap: TapRecord | None) -> SaleResult:
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

    def _sealed(self, tap: TapRecord, *, tac: bytes, mac2: Mac2) -> SaleResult:
        """Seal what the card says it did: a debit if the PSAM has had its say, otherwise for the server to decide."""
        try:
            if mac2 is Mac2.NOT_CHECKED:
                return Unresolved(self._journal.seal_unknown(tap, tac=tac))
            record = self._journal.seal_tap(tap, tac=tac, mac2=mac2)
        except JournalUnwritable as error:
            paid = f"card {tap.card} may have paid {format_fen(tap.amount_fen)} (tap {tap.tap_id.seq})"
            raise JournalUnwritable(f"{error}; {paid}, which is not recorded yet") from error
        if mac2 is Mac2.REFUSED:
            return ProofRefused(record)
        return Approved(record, Fen(tap.balance_before_fen - tap.amount_fen))

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
