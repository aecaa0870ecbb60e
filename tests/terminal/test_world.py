"""Till, cards, PSAM and journal together against a plain model of the money, torn at any APDU and restarted at will."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from drivers.channel import CardRemoved, ReaderFault
from drivers.purse import CardUnreadable
from drivers.reader import CardLeft, CardPresented
from sim.pcsc.local import Tear
from terminal.result import NotPaid, SaleResult, Torn, Unresolved
from terminal.till import (
    AmountEntered,
    CancelPressed,
    ChargePurse,
    Command,
    GiveUpTorn,
    ResolveTorn,
    SaleEnded,
    Till,
)
from tests.terminal.conftest import Card, World
from wire.hotlist import Hotlist
from wire.money import Fen
from wire.record import Outcome

CARDS = 3
OPENING_FEN = 5000
NUMBERS = st.integers(0, CARDS - 1)


class Campus(RuleBasedStateMachine):
    """No order of sales, tears, restarts and elopements loses money, makes it, or takes it twice."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="campus-"))
        self.world = World(self.folder)
        self.cards = [self.world.card(number, balance_fen=OPENING_FEN) for number in range(1, CARDS + 1)]
        self.till = Till(None)

    def teardown(self) -> None:
        self.world.journal.close()
        shutil.rmtree(self.folder)

    @rule(amount_fen=st.sampled_from([1, 700, 1200, 4999, 5000, 10_001]).map(Fen))
    def type_amount(self, amount_fen: Fen) -> None:
        assert self.till.handle(AmountEntered(amount_fen)) is None

    @rule(number=NUMBERS)
    def present(self, number: int) -> None:
        self._present(number)

    @rule(number=NUMBERS, how=st.sampled_from(Tear), at=st.integers(0, 4))
    def present_and_tear(self, number: int, how: Tear, at: int) -> None:
        self.cards[number].chip.tear(how, after=at)
        self._present(number)

    @precondition(lambda self: self.till.torn is not None)
    @rule()
    def present_the_card_that_was_torn(self) -> None:
        assert self.till.torn is not None
        self._present(next(n for n, card in enumerate(self.cards) if card.id == self.till.torn.card))

    @rule(number=NUMBERS, how=st.sampled_from(Tear), at=st.integers(0, 1))
    def present_and_lose_the_psam(self, number: int, how: Tear, at: int) -> None:
        self.world.psam.tear(how, after=at)
        self._present(number)
        self.world.psam._tear = None
        if self.world.psam._torn:
            self.world.sale = self.world._new_sale()

    @rule()
    def cancel(self) -> None:
        command = self.till.handle(CancelPressed())
        if command is not None:
            assert isinstance(command, GiveUpTorn)
            self.till.handle(SaleEnded(Unresolved(self.world.journal.seal_unknown(command.tap))))

    @rule(number=NUMBERS)
    def lose_a_card(self, number: int) -> None:
        self.world.hotlist = Hotlist(self.world.hotlist.version + 1, frozenset({self.cards[number].id}))

    @rule()
    def restart(self) -> None:
        self.world.restart()
        self.till = Till(self.world.journal.opened_tap())

    def _present(self, number: int) -> None:
        card = self.cards[number]
        before = card.debits
        command = self.till.handle(CardPresented(card.chip.atr))
        if command is not None:
            self.till.handle(SaleEnded(self._carry_out(command, card)))
            assert card.debits - before <= isinstance(command, ChargePurse), "DEBIT was sent where it must not be"
        self.till.handle(CardLeft())
        card.chip._tear = None

    def _carry_out(self, command: Command, card: Card) -> SaleResult:
        try:
            if isinstance(command, ChargePurse):
                return self.world.sale.charge(self.world.channel(card), command.amount_fen)
            assert isinstance(command, ResolveTorn)
            return self.world.sale.resolve(self.world.channel(card), command.tap)
        except (CardRemoved, ReaderFault, CardUnreadable) as error:
            tap = self.world.journal.opened_tap()
            return NotPaid(str(error)) if tap is None else Torn(tap, str(error))

    @invariant()
    def money_is_where_the_records_say(self) -> None:
        journal = self.world.journal
        records, opened = journal.records(1, 10_000), journal.opened_tap()
        assert self.till.torn == opened
        for card in self.cards:
            mine = [record for record in records if record.card == card.id]
            debited = sum(record.debited_fen for record in mine)
            listed = [record for record in mine if record.outcome is Outcome.UNKNOWN]
            if opened is not None and opened.card == card.id:
                listed.append(opened)
            left = OPENING_FEN - card.purse.balance_fen
            # Each unknown tap took its whole amount or nothing; nothing else took anything.
            possible: set[int] = {debited}
            for record in listed:
                possible |= {amount + record.amount_fen for amount in possible}
            assert left in possible
            counts = [record.outcome for record in mine].count(Outcome.DEBITED)
            assert counts <= card.purse.counter <= counts + len(listed)
        assert journal.verify().total_fen == sum(record.debited_fen for record in records)


TestCampus = Campus.TestCase
TestCampus.settings = settings(max_examples=60, stateful_step_count=30)
