"""Till, sale, recovery, cards, PSAM and journal together against a plain model of the money, torn wherever it can be.

No run may lose money, make it or take it twice. The model knows what each card really did, by its memory alone.
"""

from __future__ import annotations

import queue
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from enum import Enum, auto
from pathlib import Path
from random import Random
from typing import NoReturn, Protocol

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from drivers.channel import CardChannel, CardRemoved, ReaderFault
from drivers.pcsc import PcscReader
from drivers.purse import CAMPUS_CARD, SECOND_MAKER, CardProfile, CardUnreadable
from drivers.reader import CardLeft, CardPresented, ReaderEvent
from settlement.onecard.keys import FileKeyStore
from settlement.streams.ingest import judge
from sim.card.chip import PoweredCard
from sim.card.flaws import Flaw, give_flaw
from sim.card.memory import Memory, PowerCut, RamFile
from sim.card.profile import CAMPUS, CAMPUS_T0, PROVE_BEFORE
from sim.card.profile import SECOND_MAKER as SIM_SECOND_MAKER
from sim.card.profile import CardProfile as SimProfile
from sim.card.purse import Purse
from sim.pcsc.local import local_channel
from sim.pcsc.private import PrivatePcscd
from sim.pcsc.slot import VirtualSlot
from terminal.events import (
    AmountEntered,
    CancelPressed,
    ChargePurse,
    Command,
    GiveUpTorn,
    ResolveTorn,
    ReverseSale,
    SaleEnded,
    UndoPressed,
)
from terminal.result import Approved, NotPaid, ProofRefused, Result, Torn, Unresolved
from terminal.till import Till
from tests.terminal.conftest import DEBIT_HEADER, MASTERS, World
from wire.hotlist import Hotlist
from wire.ids import CardId
from wire.money import Fen
from wire.record import Mac2, Outcome, TapKind, TapRecord

PATIENCE_S = 15.0
OPENING_FEN = 5000
ORDINARY, EMPTY, BLOCKED = (0, 1, 2), 3, 4
NUMBERS = st.integers(0, BLOCKED)
MAKERS: dict[str, tuple[SimProfile, CardProfile]] = {
    "campus": (CAMPUS, CAMPUS_CARD),
    "campus over T=0": (CAMPUS_T0, CAMPUS_CARD),
    "second maker": (SIM_SECOND_MAKER, SECOND_MAKER),
    "the other number, set right": (PROVE_BEFORE, replace(CAMPUS_CARD, prove_offset=0, key_levels=2)),
    "N+1 taken for N": (CAMPUS, replace(CAMPUS_CARD, prove_offset=0)),
    "N taken for N+1": (SIM_SECOND_MAKER, replace(SECOND_MAKER, prove_offset=1)),
}
# What carries no check against damage and is nobody's word on money: who the card is, and the PSAM's own numbers.
SELECT_HEADER = bytes.fromhex("00A40400")
PROVE_HEADER = bytes.fromhex("805A")
PROOF_NOT_AVAILABLE = bytes.fromhex("9406")


class Kind(Enum):
    """What goes wrong in one presentation."""

    NOTHING = auto()
    CARD_GONE_BEFORE = auto()
    CARD_GONE_AFTER = auto()  # carried out, and nobody hears
    ANSWER_LOST = auto()  # the same, and the reader says so
    CORRUPTED = auto()
    PROOF_REFUSED = auto()  # 9406 to every GET TRANSACTION PROVE
    POWER_CUT = auto()  # in the card, between any two bytes of a write
    PSAM_LOST_BEFORE = auto()
    PSAM_LOST_AFTER = auto()
    TILL_ENDS_BEFORE = auto()  # the till's own power goes, at a command to the card
    TILL_ENDS_AFTER = auto()
    TILL_ENDS_AT_PSAM_BEFORE = auto()
    TILL_ENDS_AT_PSAM_AFTER = auto()


@dataclass(frozen=True)
class Mishap:
    """One fault at one command of its side, the first being 0; `where` is which bit, or which byte of a write."""

    kind: Kind = Kind.NOTHING
    at: int = 0
    where: int = 0


MISHAPS = st.builds(Mishap, st.sampled_from(Kind), st.integers(0, 6), st.integers(0, 900))


class TillEnds(Exception):
    """The till's power went."""


class Card:
    """A chip whose memory outlives its power; what it is sent goes through the mishap of the day."""

    def __init__(self, image: bytes, number: int) -> None:
        self.number = number
        self._memory = RamFile(image)
        self._purse = Purse(Memory(self._memory), Random(number))
        self._gone = False
        self._mishap = Mishap()
        self._commands = 0
        self.debits: list[bytes] = []

    @property
    def atr(self) -> bytes:
        return self._purse.atr

    def truth(self) -> tuple[int, int]:
        """Balance and counter as the memory has them, whatever the card says of them."""
        purse = Purse(Memory(RamFile(bytes(self._memory.image))), Random(0))
        return purse.balance_fen, purse.counter

    def suffer(self, mishap: Mishap) -> None:
        self._mishap, self._commands = mishap, 0

    def reset(self) -> None:
        self._memory.steps_left = None
        self._purse, self._gone = Purse(Memory(self._memory), Random(self._commands)), False

    def transmit_raw(self, apdu: bytes) -> bytes:
        if self._gone:
            raise CardRemoved("the card is gone")
        kind = self._mishap.kind if self._commands == self._mishap.at else Kind.NOTHING
        self._commands += 1
        if kind in (Kind.CARD_GONE_BEFORE, Kind.TILL_ENDS_BEFORE):
            self._leave(kind)
        if self._mishap.kind is Kind.PROOF_REFUSED and apdu.startswith(PROVE_HEADER):
            return PROOF_NOT_AVAILABLE
        self.debits += [apdu] if apdu.startswith(DEBIT_HEADER) else []
        self._memory.steps_left = self._mishap.where if kind is Kind.POWER_CUT else None
        try:
            answer = self._purse.transmit_raw(apdu)
        except PowerCut:
            self._leave(Kind.CARD_GONE_AFTER)
        if kind in (Kind.CARD_GONE_AFTER, Kind.ANSWER_LOST, Kind.TILL_ENDS_AFTER):
            self._leave(kind)
        return self._damaged(answer) if kind is Kind.CORRUPTED and not apdu.startswith(SELECT_HEADER) else answer

    def _damaged(self, answer: bytes) -> bytes:
        place, bit = divmod(self._mishap.where % (8 * len(answer)), 8)
        return answer[:place] + bytes((answer[place] ^ 1 << bit,)) + answer[place + 1 :]

    def _leave(self, kind: Kind) -> NoReturn:
        self._gone = True
        if kind in (Kind.TILL_ENDS_BEFORE, Kind.TILL_ENDS_AFTER):
            raise TillEnds
        raise ReaderFault("the answer was lost") if kind is Kind.ANSWER_LOST else CardRemoved("the card is gone")


class Module:
    """The PSAM, which keeps its own numbers over every loss of power."""

    def __init__(self, psam: PoweredCard) -> None:
        self._psam = psam
        self.lost = False
        self._mishap = Mishap()
        self._commands = 0

    @property
    def atr(self) -> bytes:
        return self._psam.atr

    def suffer(self, mishap: Mishap) -> None:
        self._mishap, self._commands = mishap, 0

    def reset(self) -> None:
        self.lost = False
        self._psam.reset()

    def transmit_raw(self, apdu: bytes) -> bytes:
        if self.lost:
            raise CardRemoved("the PSAM is gone")
        kind = self._mishap.kind if self._commands == self._mishap.at else Kind.NOTHING
        self._commands += 1
        answer = b""
        if kind not in (Kind.PSAM_LOST_BEFORE, Kind.TILL_ENDS_AT_PSAM_BEFORE):
            answer = self._psam.transmit_raw(apdu)
        if kind in (Kind.PSAM_LOST_BEFORE, Kind.PSAM_LOST_AFTER):
            self.lost = True
            raise CardRemoved("the PSAM is gone")
        if kind in (Kind.TILL_ENDS_AT_PSAM_BEFORE, Kind.TILL_ENDS_AT_PSAM_AFTER):
            raise TillEnds
        return answer


class Field(Protocol):
    """Where cards are held to."""

    def hold(self, card: Card) -> AbstractContextManager[CardChannel]:
        """The card's channel, for one presentation."""
        ...


class LocalField:
    """In this process."""

    @contextmanager
    def hold(self, card: Card) -> Iterator[CardChannel]:
        yield local_channel(card)


class Campus(RuleBasedStateMachine):
    """One till, five cards, and everything that can go wrong between them."""

    field: Field = LocalField()

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="campus-"))
        self.world = World(self.folder)
        self.till = Till(None)
        # The model: what each tap's card really did, and what the cards hold by that.
        self.did: dict[int, bool] = {}
        self.holds: dict[int, tuple[int, int]] = {}
        self.damaged: set[int] = set()  # taps whose answers were: their TAC may be wrong

    @initialize(maker=st.sampled_from(sorted(MAKERS)))
    def issue(self, maker: str) -> None:
        sim_profile, self.world.profile = MAKERS[maker]
        self.keys = FileKeyStore(MASTERS, two_level=sim_profile.two_level_keys)
        self.module = Module(self.world.psam)
        self.world.psam = self.module  # type: ignore[assignment]  # a PoweredCard is all that is asked of it
        self.world.restart()
        self.cards: list[Card] = []
        self.ids: list[CardId] = []
        for number in (*ORDINARY, EMPTY, BLOCKED):
            made = self.world.card(number + 1, balance_fen=0 if number == EMPTY else OPENING_FEN, profile=sim_profile)
            if number == BLOCKED:
                give_flaw(made.purse._memory, Flaw.BLOCKED)
            self.ids.append(made.id)
            memory = made.purse._memory._file
            assert isinstance(memory, RamFile)
            self.cards.append(Card(bytes(memory.image), number))
            self.holds[number] = self.cards[number].truth()

    def teardown(self) -> None:
        self.world.journal.close()
        shutil.rmtree(self.folder)

    @rule(amount_fen=st.sampled_from([1, 700, 1200, 4999, 5000, 10_001]).map(Fen))
    def type_amount(self, amount_fen: Fen) -> None:
        assert self.till.handle(AmountEntered(amount_fen)) is None

    @rule(number=NUMBERS, mishap=MISHAPS)
    def present(self, number: int, mishap: Mishap) -> None:
        card = self.cards[number]
        command = self.till.handle(CardPresented(card.atr))
        if command is not None:
            self._carry_out(command, card, mishap)
        self.till.handle(CardLeft())

    @precondition(lambda self: self.till.torn is not None)
    @rule(mishap=MISHAPS)
    def present_the_card_that_was_torn(self, mishap: Mishap) -> None:
        assert self.till.torn is not None
        self.present(self.ids.index(self.till.torn.card), mishap)

    @rule(number=st.sampled_from(ORDINARY), amount_fen=st.sampled_from([1, 1200]).map(Fen), mishap=MISHAPS)
    def sell(self, number: int, amount_fen: Fen, mishap: Mishap) -> None:
        self.type_amount(amount_fen)
        self.present(number, mishap)

    @precondition(lambda self: self.till.last_sale is not None)
    @rule(mishap=MISHAPS, same=st.booleans())
    def undo(self, mishap: Mishap, same: bool) -> None:
        assert self.till.last_sale is not None
        paid = self.ids.index(self.till.last_sale.card)
        self.till.handle(UndoPressed())
        self.present(paid if same else (paid + 1) % len(ORDINARY), mishap)

    @rule()
    def cancel(self) -> None:
        command = self.till.handle(CancelPressed())
        if command is not None:
            assert isinstance(command, GiveUpTorn)
            self.till.handle(SaleEnded(Unresolved(self.world.journal.seal_unknown(command.tap))))

    @rule(number=NUMBERS)
    def lose_a_card(self, number: int) -> None:
        self.world.hotlist = Hotlist(self.world.hotlist.version + 1, frozenset({self.ids[number]}))

    @rule()
    def restart(self) -> None:
        self.module.suffer(Mishap())
        self.world.restart()
        self.till = Till(self.world.journal.opened_tap())

    @rule()
    def psam_loses_its_power(self) -> None:
        self.module.lost = True

    def _carry_out(self, command: Command, card: Card, mishap: Mishap) -> None:
        if self.module.lost:
            self.world.sale = self.world._new_sale()
        debits, before = len(card.debits), card.truth()
        self.mishap = mishap
        card.suffer(mishap)
        self.module.suffer(mishap)
        try:
            result = self._result(command, card)
        except TillEnds:
            result = None
        self.module.suffer(Mishap())
        sent = len(card.debits) - debits
        pays = isinstance(command, ChargePurse | ReverseSale)
        assert sent <= pays, "DEBIT was sent twice, or where it must not be"
        self._learn(command, card.number, before, card.truth())
        if result is None:
            self.restart()
            return
        if isinstance(result, Approved | ProofRefused):
            assert self.did[result.record.tap_id.seq], "goods for nothing"
        if isinstance(result, Torn | NotPaid):
            assert (self.world.journal.opened_tap() is not None) == isinstance(result, Torn)
        self.till.handle(SaleEnded(result))

    def _result(self, command: Command, card: Card) -> Result:
        try:
            with self.field.hold(card) as channel:
                if isinstance(command, ChargePurse):
                    return self.world.sale.charge(channel, command.offer, not_from=command.not_from)
                if isinstance(command, ReverseSale):
                    return self.world.sale.reverse(channel, command.sale, allowed_by=command.allowed_by)
                assert isinstance(command, ResolveTorn)
                return self.world.sale.resolve(channel, command.tap)
        except (CardRemoved, ReaderFault, CardUnreadable) as error:
            tap = self.world.journal.opened_tap()
            return NotPaid(str(error), error.code) if tap is None else Torn(tap, str(error), error.code)

    def _learn(self, command: Command, number: int, before: tuple[int, int], after: tuple[int, int]) -> None:
        """What the card's memory says that this presentation did, for the tap that it was."""
        assert before == self.holds[number]
        self.holds[number] = after
        moved = after != before
        if isinstance(command, ResolveTorn):
            self.damaged |= {command.tap.tap_id.seq} if self.mishap.kind is Kind.CORRUPTED else set()
            assert not moved, "asking a card took its money"
            return
        assert isinstance(command, ChargePurse | ReverseSale)
        price_fen = command.offer.fen(None) if isinstance(command, ChargePurse) else 0
        if moved:
            assert after == (before[0] - price_fen, before[1] + 1), "the card did something else"
        opened, head = self.world.journal.opened_tap(), self.world.journal.head().seq
        seq = opened.tap_id.seq if opened is not None else head
        if moved:
            assert seq not in self.did, "a debit without a tap of its own"
        if self.mishap.kind is Kind.CORRUPTED:
            self.damaged.add(seq)
        self.did.setdefault(seq, moved)

    @invariant()
    def money_is_where_the_records_say(self) -> None:
        journal = self.world.journal
        records, opened = journal.records(1, 10_000), journal.opened_tap()
        assert self.till.torn == opened
        assert [record.tap_id.seq for record in records] == list(range(1, len(records) + 1))
        claimed = 0
        for record in [*records, *([] if opened is None else [opened])]:
            did = self.did[record.tap_id.seq]
            claimed += record.amount_fen * did
            if record.outcome is Outcome.DEBITED:
                assert did, "a debit that no card did"
            elif record.outcome is not Outcome.UNKNOWN:
                assert not did, "a card's money that no record owns to"
            if record.outcome is Outcome.UNKNOWN and judge(record, self.keys) is None:
                assert did, "the server believes what no card did"
            if (
                record.outcome is Outcome.DEBITED
                and record.mac2 is not Mac2.REFUSED
                and record.tap_id.seq not in self.damaged
            ):
                assert judge(record, self.keys) is None
        self._credits_are_for_sales(records)
        gone = sum((0 if number == EMPTY else OPENING_FEN) - held for number, (held, _) in self.holds.items())
        assert claimed == gone, "cards and taps disagree"
        ttsns = [debit[5:9] for card in self.cards for debit in card.debits]
        assert len(set(ttsns)) == len(ttsns), "DEBIT was sent twice for one tap"
        assert journal.verify().total_fen == sum(record.debited_fen for record in records)

    def _credits_are_for_sales(self, records: list[TapRecord]) -> None:
        """What is owed back was certainly paid, by the same card, and is owed once."""
        owed: set[int] = set()
        for record in records:
            if record.kind is not TapKind.REVERSAL or record.outcome in (Outcome.REFUSED, Outcome.VOIDED):
                continue
            sale = records[record.refers_to - 1]
            assert record.refers_to not in owed, "one sale was taken back twice"
            assert (sale.kind, sale.outcome, sale.mac2) == (TapKind.SALE, Outcome.DEBITED, Mac2.VERIFIED)
            assert (sale.card, sale.amount_fen) == (record.card, record.credit_fen)
            owed.add(record.refers_to)


TestCampus = Campus.TestCase
TestCampus.settings = settings(max_examples=70, stateful_step_count=20)


@pytest.mark.slow
def test_much_more_of_the_same() -> None:
    run_state_machine_as_test(Campus, settings=settings(max_examples=3_000, stateful_step_count=30))


class PcscField:
    """Over the real PC/SC stack."""

    def __init__(self, slot: VirtualSlot, reader: PcscReader) -> None:
        self._slot = slot
        self._reader = reader
        self._events: queue.SimpleQueue[ReaderEvent] = queue.SimpleQueue()

    def watch(self) -> None:
        """Put the reader's events where `hold` waits for them, until it is stopped."""
        for event in self._reader.events():
            self._events.put(event)

    @contextmanager
    def hold(self, card: Card) -> Iterator[CardChannel]:
        self._slot.insert(card)
        try:
            while not isinstance(self._events.get(timeout=PATIENCE_S), CardPresented):
                pass
            with self._reader.connect() as channel:
                yield channel
        finally:
            self._slot.remove()


@pytest.fixture
def pcsc_field(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PcscField]:
    with PrivatePcscd(tmp_path_factory.getbasetemp() / "pcscd") as daemon, pytest.MonkeyPatch.context() as patch:
        patch.setenv("PCSCLITE_CSOCK_NAME", str(daemon.socket_path))
        reader = PcscReader(daemon.reader_names[0])
        field = PcscField(VirtualSlot(daemon, 0, clock=time.monotonic), reader)
        thread = threading.Thread(target=field.watch, daemon=True)
        thread.start()
        yield field
        reader.stop()
        thread.join(PATIENCE_S)


@pytest.mark.parametrize(("maker", "debit"), [("campus over T=0", 4), ("second maker", 2)])
def test_the_same_holds_over_the_real_pcscd(pcsc_field: PcscField, maker: str, debit: int) -> None:
    run = Campus()
    run.field = pcsc_field
    run.issue(maker)
    try:
        for mishap in (
            Mishap(Kind.NOTHING),
            Mishap(Kind.CARD_GONE_AFTER, debit),
            Mishap(Kind.POWER_CUT, debit, 300),
            Mishap(Kind.CORRUPTED, debit, 70),
        ):
            run.sell(0, Fen(700), mishap)
            run.money_is_where_the_records_say()
            if run.till.torn is not None:
                run.present_the_card_that_was_torn(Mishap())
                run.money_is_where_the_records_say()
            assert run.till.torn is None
        outcomes = [record.outcome for record in run.world.journal.records(1, 9)]
        assert outcomes.count(Outcome.DEBITED) == 3
    finally:
        run.teardown()
