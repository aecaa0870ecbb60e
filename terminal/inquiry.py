"""What can be told of a card without taking anything from it: its balance, and what a sale would come to. Never a
journal's record, never INITIALIZE, never a PSAM.
"""

from __future__ import annotations

from collections.abc import Callable

from drivers.apdu import Sw
from drivers.channel import CardChannel
from drivers.purse import CardProfile, PurseInfo, PurseSession, PurseView, read_log, read_purse
from terminal.basket import Offer
from terminal.journal import JournalReader
from terminal.result import BalanceRead, Trained
from terminal.rules import Approval, Terms, authorise
from terminal.sale import subsidy_of, wanted
from terminal.usage import Usage
from wire.money import Fen
from wire.record import TapTime


class Inquiry:
    """Questions to the present card. They raise `CardUnreadable`, and what the channel raises."""

    def __init__(
        self,
        journal: JournalReader,
        usage: Usage,
        profile: CardProfile,
        terms: Callable[[], Terms],
        now: Callable[[], TapTime],
    ) -> None:
        self._journal = journal
        self._usage = usage
        self._profile = profile
        self._terms = terms
        self._now = now

    def balance(self, card: CardChannel) -> BalanceRead:
        """What is on the card, what the school would still pay now, and its last taps."""
        info, balance_fen = read_purse(card, self._profile)
        seqs = self._usage.last_seqs(info.card)
        return BalanceRead(
            card=info.card,
            card_class=info.card_class,
            balance_fen=balance_fen,
            subsidy_left_fen=subsidy_of(info, self._terms(), self._usage, self._now()),
            taps=tuple(record for seq in seqs for record in self._journal.records(seq, 1)),
            log=tuple(read_log(card)),
        )

    def train(self, card: CardChannel, offer: Offer) -> Trained:
        """What the card would have paid for `offer`, and why it would have been refused, if it would."""
        info, balance_fen = read_purse(card, self._profile)
        at, terms = self._now(), self._terms()
        sale = wanted(offer, info, terms, self._usage, at)
        verdict = authorise(_as_if_asked(info, balance_fen), sale, terms=terms, usage=self._usage, opened_at=at)
        refusal = None if isinstance(verdict, Approval) else verdict
        return Trained(refusal, info.card, sale.amount_fen, sale.subsidy_fen, balance_fen)


def _as_if_asked(info: PurseInfo, balance_fen: Fen) -> PurseView:
    """The view that INITIALIZE would have given of this card; the rules look at nothing else of it."""
    session = PurseSession(balance_fen=balance_fen, counter=0, key_version=0, algorithm=0, random=bytes(4))
    return PurseView(info=info, balance_fen=balance_fen, session=session, status=Sw.OK)
