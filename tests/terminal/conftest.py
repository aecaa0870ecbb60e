"""A till's world in one process: one issuer's cards, the terminal's PSAM, its journal, and a clock that is set."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random

import pytest

from drivers.channel import ResolvingChannel
from drivers.purse import CAMPUS_CARD, CardProfile, read_psam
from sim.card.issue import issue_card
from sim.card.memory import Memory, RamFile
from sim.card.profile import CAMPUS
from sim.card.profile import CardProfile as SimProfile
from sim.card.purse import Purse
from sim.pcsc.local import LocalSlot, TearableChip
from sim.psam.psam import Psam, issue_psam
from terminal.journal import Journal, TapIntent
from terminal.rules import Limits, Offline, Terms
from terminal.sale import Sale
from terminal.usage import Usage
from wire.configuration import Configuration
from wire.hotlist import EMPTY_HOTLIST, Hotlist
from wire.ids import Asn, CardId, IssuerId, TerminalId
from wire.money import Fen
from wire.purse_keys import PurseKeys
from wire.record import ClockQuality, TapTime

MASTERS = PurseKeys(
    purchase=bytes.fromhex("101112131415161718191A1B1C1D1E1F"),
    load=bytes.fromhex("202122232425262728292A2B2C2D2E2F"),
    tac=bytes.fromhex("303132333435363738393A3B3C3D3E3F"),
)
ISSUER = IssuerId(bytes.fromhex("6100000000000001"))
TERMINAL = TerminalId(bytes.fromhex("610000000001"))
NOON = TapTime(utc_s=1_772_424_000, boot=1, uptime_s=5, quality=ClockQuality.NETWORK)  # 2026-03-02 12:00 local
INTENT = TapIntent(
    card=CardId(ISSUER, Asn(bytes.fromhex("00006100000000001234"))),
    amount_fen=Fen(1200),
    balance_before_fen=Fen(5000),
    counter=7,
    ttsn=42,
    opened_at=NOON,
)
DEBIT_HEADER = bytes.fromhex("80540100")


@dataclass
class Card:
    """A simulated card in RAM, and what it has been sent."""

    id: CardId
    purse: Purse
    chip: TearableChip

    @property
    def debits(self) -> int:
        """How often DEBIT came."""
        return sum(apdu.startswith(DEBIT_HEADER) for apdu in self.chip.received)


class World:
    """One terminal with its PSAM and journal. Its plain attributes may be set between taps."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.hotlist: Hotlist = EMPTY_HOTLIST
        self.limits = Limits(tap_fen_max=Fen(10_000))
        self.configuration: Configuration | None = None
        self.offline = Offline()
        self.profile: CardProfile = CAMPUS_CARD
        self.now = NOON
        issue_psam(folder / "psam", terminal=TERMINAL, purchase_master=MASTERS.purchase, serial=bytes(10))
        self.psam = TearableChip(Psam(_ram(folder / "psam")))
        self._psam_slot = LocalSlot()
        self.journal = self._open_journal()
        self.sale = self._new_sale()

    def card(
        self,
        number: int = 1,
        *,
        balance_fen: int = 5000,
        counter: int = 0,
        valid_from: str = "20250901",
        valid_to: str = "20290831",
        masters: PurseKeys = MASTERS,
        profile: SimProfile = CAMPUS,
        card_class: int = 0,
    ) -> Card:
        """Issue a card."""
        card, path = CardId(ISSUER, Asn(number.to_bytes(10))), self._folder / f"card-{number}"
        issue_card(
            path,
            keys=masters.of_card(card, two_level=profile.two_level_keys),
            card=card,
            valid_from_bcd=bytes.fromhex(valid_from),
            valid_to_bcd=bytes.fromhex(valid_to),
            opening_balance_fen=Fen(balance_fen),
            opening_counter=counter,
            profile=profile,
            card_class=card_class,
        )
        purse = Purse(_ram(path), Random(number))
        return Card(card, purse, TearableChip(purse))

    def channel(self, card: Card) -> ResolvingChannel:
        """The card, presented once."""
        slot = LocalSlot()
        slot.insert(card.chip)
        return ResolvingChannel(slot)

    def restart(self) -> None:
        """The till's process ends and starts again: the journal is reopened, the PSAM powered anew."""
        self.journal.close()
        self.journal = self._open_journal()
        self.sale = self._new_sale()

    def _open_journal(self) -> Journal:
        self.usage = Usage()
        return Journal.open_for(
            self._folder / "journal.db", terminal=TERMINAL, epoch=1, acknowledged=None, witness=self.usage.add
        )

    def _new_sale(self) -> Sale:
        self._psam_slot.insert(self.psam)
        channel = ResolvingChannel(self._psam_slot)
        return Sale(
            journal=self.journal,
            psam_channel=channel,
            psam=read_psam(channel),
            profile=self.profile,
            terms=lambda: Terms(
                hotlist=self.hotlist,
                limits=self.limits,
                configuration=self.configuration,
                offline=self.offline,
            ),
            usage=self.usage,
            now=self._tick,
        )

    def _tick(self) -> TapTime:
        """The time of a tap, a minute after the one before."""
        now, self.now = self.now, later(self.now, 60)
        return now


def _ram(path: Path) -> Memory:
    return Memory(RamFile(path.read_bytes()))


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.journal.close()


@pytest.fixture
def open_journal(tmp_path: Path) -> Iterator[Callable[[], Journal]]:
    """Opens the one journal in the test's folder, each time closing what was open before."""
    opened: list[Journal] = []

    def close() -> None:
        if opened:
            opened.pop().close()

    def reopen() -> Journal:
        close()
        opened.append(Journal.open_for(tmp_path / "journal.db", terminal=TERMINAL, epoch=1, acknowledged=None))
        return opened[0]

    yield reopen
    close()


def at(seconds: int) -> TapTime:
    """That many seconds after noon."""
    return replace(NOON, utc_s=NOON.utc_s + seconds)


def later(time: TapTime, seconds: int) -> TapTime:
    """That much later by both clocks."""
    return replace(time, utc_s=time.utc_s + seconds, uptime_s=time.uptime_s + seconds)


def make_uplink(path: Path, *, terminal: TerminalId = TERMINAL) -> sqlite3.Connection:
    """An uplink database of an enrolled terminal, as the sync daemon keeps it, still open."""
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA journal_mode = wal")
    connection.executescript(
        """
        CREATE TABLE enrolment (id INTEGER PRIMARY KEY CHECK (id = 1), terminal BLOB NOT NULL, epoch INTEGER NOT NULL,
            stream INTEGER NOT NULL, enrolled_at_utc_s INTEGER NOT NULL) STRICT;
        CREATE TABLE cursor (id INTEGER PRIMARY KEY CHECK (id = 1), epoch INTEGER NOT NULL, next_seq INTEGER NOT NULL,
            head_hash BLOB NOT NULL, heard_at_utc_s INTEGER NOT NULL) STRICT;
        CREATE TABLE hotlist (id INTEGER PRIMARY KEY CHECK (id = 1), body BLOB NOT NULL,
            received_at_utc_s INTEGER NOT NULL) STRICT;
        CREATE TABLE verdict (id INTEGER PRIMARY KEY CHECK (id = 1), code TEXT NOT NULL, words TEXT NOT NULL,
            since_utc_s INTEGER NOT NULL) STRICT;
        CREATE TABLE configuration (id INTEGER PRIMARY KEY CHECK (id = 1), body BLOB NOT NULL) STRICT;
        """
    )
    with connection:
        connection.execute("INSERT INTO enrolment VALUES (1, ?, 1, 2, 1700000000)", (terminal,))
    return connection
