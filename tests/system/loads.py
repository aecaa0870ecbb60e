"""Cards, top-up points and a desk in one process, for tests of loads: production code with faults wherever one fits."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from drivers.channel import CardChannel, CardRemoved, ReaderFault, ResolvingChannel
from drivers.purse import CAMPUS_CARD, CardProfile
from drivers.reader import CardPresented, ReaderEvent
from settlement.onecard import loads
from settlement.onecard.desk import Credited, LoadAnswer, LoadLimits, LoadQuestion, TopupDesk
from settlement.onecard.keys import FileKeyStore
from settlement.onecard.loads import LoadEvent, LoadEventKind
from settlement.onecard.registry import PurseOpening, import_cards
from settlement.store.database import migrate, open_reader, open_writer
from settlement.store.place import Place
from settlement.store.router import LEDGER, ONECARD, TOPUP
from settlement.streams.door import Door
from sim.card.issue import issue_card
from sim.card.memory import Memory, MemoryFault, PowerCut, RamFile
from sim.card.profile import CAMPUS
from sim.card.profile import CardProfile as SimProfile
from sim.card.purse import Purse
from sync.link import LinkDown
from sync.store import Enrolment, UplinkStore
from sync.tls import ServerNotTrusted
from sync.topup import Loaded, PointEvent, TopUpPoint
from wire.errors import CampusError
from wire.hotlist import EMPTY_HOTLIST
from wire.ids import Asn, CardId, IssuerId, LoadId, Stream, TerminalId
from wire.load import LoadRequest, LoadResult, RefundQuestion
from wire.messages import Identify, Message, read_message
from wire.money import Fen
from wire.purse_keys import PurseKeys

OPENING = Fen(10_00)
PIN = "123456"
MASTERS = PurseKeys(*(bytes(range(start, start + 16)) for start in (1, 50, 100)))
LIMITS = LoadLimits(load_fen_max=500_00, purse_fen_max=1000_00)
CARD_FEN_MAX = LIMITS.purse_fen_max + 1  # cards are issued with a little more room than the school fills
_INIT_LOAD = bytes.fromhex("80500002")


@dataclass(frozen=True, slots=True)
class Fault:
    """What goes wrong in one presentation: the card leaves at an APDU, its answer is lost or changed, or its power goes
    after so many steps of writing.
    """

    apdu: int | None = None
    carried_out: bool = False
    flipped_bit: int | None = None
    write_steps: int | None = None
    by_hand: bool = False  # not the card goes, but somebody presses Ctrl-C


NO_FAULT = Fault()
STOPPED = Fault(by_hand=True)  # before the card comes


@dataclass(slots=True)
class PaperBooks:
    """What the desk reads of the ledger, written by tests."""

    credited_fen: dict[CardId, int] = field(default_factory=dict)
    collected: dict[LoadId, Fen] = field(default_factory=dict)
    fault: CampusError | None = None

    def credited(self, card: CardId) -> Credited:
        if self.fault is not None:
            raise self.fault
        return Credited(Fen(self.credited_fen.get(card, 0)), self.collected)

    def close(self) -> None:
        """Nothing is open."""


class SimCard:
    """One card's memory; powered anew for each presentation."""

    def __init__(self, card: CardId, image: bytes) -> None:
        self.card = card
        self.file = RamFile(image)
        self.spent_fen = 0
        self.random = Random(int.from_bytes(card.asn))

    def purse(self) -> Purse:
        self.file.steps_left = None
        return Purse(Memory(self.file), self.random)

    def spend(self, amount_fen: int) -> None:
        """A purchase somewhere else."""
        memory = Memory(self.file)
        self.spent_fen += amount_fen
        memory.commit(
            {
                "balance": (memory.number("balance") - amount_fen).to_bytes(4),
                "counter": (memory.number("counter") + 1).to_bytes(2),
                "proof": b"",  # the purchase's own: the load's is gone
            }
        )


class _FaultyCard:
    """A presentation: a `RawCard` with one fault."""

    def __init__(self, card: SimCard, fault: Fault) -> None:
        self.purse = card.purse()
        card.file.steps_left = fault.write_steps
        self.file, self.fault, self.apdus, self.gone = card.file, fault, 0, False

    def transmit_raw(self, apdu: bytes) -> bytes:
        if self.gone:
            raise CardRemoved("the card is gone")
        struck, self.apdus = self.apdus == self.fault.apdu, self.apdus + 1
        if struck and self.fault.flipped_bit is None:
            self.gone = True
            if self.fault.carried_out:
                self.purse.transmit_raw(apdu)
            raise KeyboardInterrupt if self.fault.by_hand else CardRemoved("the card left the reader")
        if _overfills(self.purse, apdu):
            return bytes.fromhex("6985")
        try:
            answer = self.purse.transmit_raw(apdu)
        except (MemoryFault, PowerCut) as error:
            self.gone = True
            raise ReaderFault(str(error)) from error
        if struck and self.fault.flipped_bit is not None:
            bit = self.fault.flipped_bit % (8 * len(answer))
            return (int.from_bytes(answer) ^ 1 << bit).to_bytes(len(answer))
        return answer


def _overfills(purse: Purse, apdu: bytes) -> bool:
    """INITIALIZE FOR LOAD of more than the card may hold, which real cards refuse each in their own words."""
    return apdu[:4] == _INIT_LOAD and purse.balance_fen + int.from_bytes(apdu[6:10]) > CARD_FEN_MAX


class ScriptedReader:
    """A `Reader` to which cards come in the order of `coming`; it stops when no more do."""

    def __init__(self) -> None:
        self.coming: list[tuple[SimCard, Fault]] = []
        self.perhaps_same: list[bool] = []
        self._present: _FaultyCard | None = None

    def events(self) -> Iterator[ReaderEvent]:
        while self.coming:
            card, fault = self.coming.pop(0)
            if fault == STOPPED:
                raise KeyboardInterrupt
            self._present = _FaultyCard(card, fault)
            yield CardPresented(b"", self.perhaps_same.pop(0) if self.perhaps_same else False)

    @contextmanager
    def connect(self) -> Iterator[CardChannel]:
        assert self._present is not None, "a card was presented"
        yield ResolvingChannel(self._present)

    def stop(self) -> None:
        self.coming = []


@dataclass(slots=True)
class Clerk:
    """Who stands at a point: keeps what is told, types the PINs in turn and then the right one."""

    told: list[PointEvent] = field(default_factory=list)
    pins: list[str | None] = field(default_factory=list)
    asked: list[tuple[int | None, str]] = field(default_factory=list)

    def tell(self, event: PointEvent) -> None:
        self.told.append(event)

    def ask_pin(self, tries_left: int | None, why: str) -> str | None:
        self.asked.append((tries_left, why))
        return self.pins.pop(0) if self.pins else PIN


class Wire:
    """A `Desk` for one point: every question and answer as bytes; `losses` say which next messages never arrive."""

    def __init__(self, world: World, identity: Identify) -> None:
        self.world = world
        self.identity = identity
        self.losses: list[str] = []
        self.asked: list[LoadQuestion] = []

    def ask(self, question: LoadQuestion) -> LoadAnswer:
        loss = self.losses.pop(0) if self.losses else ""
        if loss == "question":
            raise LinkDown("the question was lost")
        read = _carried(question)
        assert isinstance(read, LoadRequest | LoadResult | RefundQuestion)
        self.asked.append(read)
        answer = self.world.desk.load(read, self.identity)
        if loss == "not trusted":
            raise ServerNotTrusted("its certificate has run out")
        if loss == "by hand":
            raise KeyboardInterrupt
        if loss == "answer":
            raise LinkDown("the answer was lost")
        assert _carried(answer) == answer
        return answer


class Point:
    """A top-up point with its file, reader, clerk and line."""

    def __init__(self, world: World, number: int, folder: Path, profile: CardProfile) -> None:
        self.terminal = TerminalId((0x500 + number).to_bytes(6))
        self.enrolment = Enrolment(
            terminal=self.terminal, epoch=1, stream=Stream.TOP_UP, enrolled_at_utc_s=1, ticket_digest=bytes(32)
        )
        self.path = folder / f"point-{number}.db"
        self.reader, self.clerk = ScriptedReader(), Clerk()
        identity = Identify(
            terminal=self.terminal, epoch=1, head_seq=0, total_fen=0, hotlist_mark=EMPTY_HOTLIST.mark, proof=bytes(64)
        )
        self.wire = Wire(world, identity)
        self.profile = profile
        self.store = UplinkStore.open_or_make(self.path)
        self.store.enrol(self.enrolment)

    def restart(self) -> None:
        self.store.close()
        self.store = UplinkStore.open_or_make(self.path)

    def program(self) -> TopUpPoint:
        return TopUpPoint(
            store=self.store,
            enrolment=self.enrolment,
            reader=self.reader,
            profile=self.profile,
            desk=self.wire,
            person=self.clerk,
        )

    def sell(self, amount_fen: int, *coming: tuple[SimCard, Fault]) -> Loaded:
        """One sale in a program of its own, as `top-up --amount`."""
        self.reader.coming = list(coming)
        program = self.program()
        program.settle_kept()
        return program.sell(Fen(amount_fen))

    def collect(self, amount_fen: int | None, *coming: tuple[SimCard, Fault]) -> Loaded:
        """As `top-up --collect`, with `--amount` for a part."""
        self.reader.coming = list(coming)
        program = self.program()
        program.settle_kept()
        return program.collect(None if amount_fen is None else Fen(amount_fen))


class World:
    """Points, cards, and the desk on its databases."""

    def __init__(
        self, folder: Path, template: Path, *, sim_profile: SimProfile = CAMPUS, profile: CardProfile = CAMPUS_CARD
    ) -> None:
        self.folder = folder
        for alias in (ONECARD, TOPUP, LEDGER):
            shutil.copyfile(template / f"{alias}.db", folder / f"{alias}.db")
        self.keys = FileKeyStore(MASTERS, two_level=sim_profile.two_level_keys)
        self.cards = [SimCard(card, self._issue(card, sim_profile)) for card in map(card_number, (1, 2))]
        with open_writer(self.place(ONECARD), ONECARD) as db:
            openings = [PurseOpening(card=card.card, balance_fen=OPENING, counter=0) for card in self.cards]
            import_cards(db, openings, now_utc_s=1)
        self.books = PaperBooks()
        self._seconds = itertools.count(1_790_000_000)
        self._random = Random(7)
        self.desk = self._open_desk()
        self.points = [Point(self, number, folder, profile) for number in (1, 2)]

    def place(self, alias: str) -> Place:
        """Where a database is."""
        return self.folder / f"{alias}.db"

    def close(self) -> None:
        for point in self.points:
            point.store.close()
        self.desk.close()

    def restart_desk(self) -> None:
        self.desk.close()
        self.desk = self._open_desk()

    def events(self, card: SimCard | None = None) -> list[LoadEvent]:
        """The desk's journal, as the ledger reads it."""
        with open_reader(self.place(TOPUP), TOPUP) as db:
            events = [LoadEvent.from_bytes(row.event) for row in loads.loads_after(db, 0, 10_000)]
        return [event for event in events if card is None or event.card == card.card]

    def kinds(self, card: SimCard | None = None) -> list[str]:
        return [event.kind.name for event in self.events(card)]

    def confirmed_fen(self, card: SimCard) -> int:
        return sum(event.amount_fen for event in self.events(card) if event.kind is LoadEventKind.CONFIRMED)

    def open_load(self, card: SimCard) -> LoadEvent | None:
        events = self.events(card)
        return events[-1] if events and events[-1].kind is LoadEventKind.GRANTED else None

    def assert_no_money_lost_or_made(self) -> None:
        """Each card holds its opening less what was spent, all confirmed loads, and its open one if it took it."""
        for card in self.cards:
            purse, pending = card.purse(), self.open_load(card)
            taken = pending is not None and purse.online_counter == pending.online_counter + 1
            expected = OPENING - card.spent_fen + self.confirmed_fen(card)
            expected += pending.amount_fen if taken and pending is not None else 0
            assert purse.balance_fen == expected, self.kinds(card)

    def _open_desk(self) -> TopupDesk:
        return TopupDesk(
            db=open_writer(self.place(TOPUP), TOPUP),
            onecard=open_reader(self.place(ONECARD), ONECARD),
            keys=self.keys,
            door=Door(stream=Stream.TOP_UP, ticket_key=bytes(32)),
            clock=lambda: next(self._seconds),
            limits=LIMITS,
            books=self.books,
            random=self._random.randbytes,
        )

    def _issue(self, card: CardId, profile: SimProfile) -> bytes:
        path = self.folder / f"{card.asn.hex()}.card"
        issue_card(
            path,
            keys=self.keys.card_keys(card),
            card=card,
            valid_from_bcd=bytes.fromhex("20240901"),
            valid_to_bcd=bytes.fromhex("20990831"),
            opening_balance_fen=OPENING,
            opening_online_counter=3,
            profile=profile,
        )
        return path.read_bytes()


def make_template(folder: Path) -> Path:
    """The three databases with their tables, to be copied."""
    for alias in (ONECARD, TOPUP, LEDGER):
        migrate(folder / f"{alias}.db", alias)
    return folder


def card_number(number: int) -> CardId:
    return CardId(IssuerId(bytes.fromhex("1000000000000086")), Asn(bytes.fromhex(f"{number:020d}")))


def _carried(message: Message) -> Message:
    return read_message(message.kind, message.to_bytes())
