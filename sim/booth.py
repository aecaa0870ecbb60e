"""A till in this process: the production program and screen over a simulated reader, PSAM and cards, in RAM.

For pictures, pilots and benchmarks of the screen. Left out: the daemon and the server (`sim.campus`).
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Final, Self

from textual.pilot import Pilot

from drivers.purse import CAMPUS_CARD
from sim.campus import TERMINAL
from sim.card.chip import PoweredCard
from sim.card.faults import Fault, FaultyChip, OneCommand
from sim.card.flaws import Flaw, give_flaw
from sim.card.issue import issue_card
from sim.card.memory import Memory, RamFile
from sim.card.purse import Purse
from sim.crowd import Student, Trait, crowd
from sim.pcsc.local import LocalReader
from sim.psam.psam import Psam, issue_psam
from sync.store import Enrolment, UplinkStore
from terminal.devices import DevicesConfig
from terminal.downlink import Downlink
from terminal.journal import Journal
from terminal.outputs import Outputs, WithDevices, outputs_of
from terminal.program import Program, Stop
from terminal.psam import PsamSlot
from terminal.rules import Limits
from terminal.screen.bridge import SWITCH_S, CashierScreen
from terminal.standing import DeviceNotice
from terminal.usage import Usage
from terminal.words.catalogue import Language
from wire.configuration import Configuration
from wire.hotlist import Hotlist
from wire.ids import Stream
from wire.money import Fen
from wire.purse_keys import PurseKeys
from wire.record import ClockQuality, TapTime

DEBIT: Final = bytes.fromhex("80540100")
NOON_UTC_S: Final = 1_772_424_000  # 2026-03-02 12:00 on the campus
_VALID_FROM, _VALID_TO, _EXPIRED_ON = (bytes.fromhex(day) for day in ("20240901", "20990831", "20250831"))
_BALANCE, _NEARLY_EMPTY = Fen(500_00), Fen(3_00)
_STUDENTS: Final = 1


class Booth:
    """A context manager around one till. Whoever runs `screen.app` runs the till's loop with it."""

    def __init__(
        self,
        folder: Path,
        configuration: Configuration | None,
        *,
        monotonic_s: Callable[[], float],
        seed: int = 1,
        language: Language = Language.ZH_HANS,
        outputs: Outputs | None = None,
        printer: Path | None = None,
        watched: Callable[[PoweredCard], PoweredCard] = lambda chip: chip,
    ) -> None:
        rng = Random(seed)
        self.notices: list[DeviceNotice] = []
        self.ahead_s = 0.0  # moves the till's clock
        self.reader = LocalReader()
        self._monotonic_s = monotonic_s
        self._began_s = monotonic_s()
        self._stack = ExitStack()
        self._folder = folder
        self._masters = masters = PurseKeys(*(rng.randbytes(16) for _ in range(3)))
        self.chips = {one.number: watched(_chip(folder, one, masters, rng)) for one in crowd(folder)}
        issue_psam(folder / "psam", terminal=TERMINAL, purchase_master=masters.purchase, serial=bytes(10))
        self.psam_reader = LocalReader()
        self.psam_reader.insert(watched(Psam(Memory(RamFile((folder / "psam").read_bytes())))))
        self._write_uplink(folder / "uplink.db", configuration)
        usage, downlink = Usage(), Downlink(folder / "uplink.db")
        self._stack.callback(downlink.close)
        self.journal = Journal.open_for(
            folder / "journal.db", terminal=TERMINAL, epoch=1, acknowledged=None, witness=usage.add
        )
        self._stack.callback(self.journal.close)
        self.program = Program(
            journal=self.journal,
            usage=usage,
            downlink=downlink,
            reader=self.reader,
            psam=PsamSlot(self.psam_reader, TERMINAL),
            profile=CAMPUS_CARD,
            limits=Limits(tap_fen_max=Fen(100_00)),
            now=self._now,
            monotonic_s=monotonic_s,
        )
        told = outputs or self._outputs(printer)
        self.screen = CashierScreen(
            self.program.events, language=language, rings=False, print_receipt=told.print_receipts
        )
        self.screen.begin_with(lambda screen: self.program.run(WithDevices(screen, told, lambda: tuple(self.notices))))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.program.events.put(Stop())
        self.screen.settle()
        self._stack.close()

    @asynccontextmanager
    async def running(self, size: tuple[int, int]) -> AsyncIterator[Pilot[None]]:
        """The app under a pilot, on no terminal, as it runs in a till; the till's loop beside it."""
        before_s = sys.getswitchinterval()
        sys.setswitchinterval(SWITCH_S)
        try:
            async with self.screen.app.run_test(size=size) as pilot:
                yield pilot
        finally:
            sys.setswitchinterval(before_s)

    def issue(
        self,
        student: Student,
        *,
        card_class: int = _STUDENTS,
        valid_from: bytes = _VALID_FROM,
        opening_counter: int = 0,
        purchase_key_index: int = 1,
        flaw: Flaw | None = None,
    ) -> None:
        """Give this student another card than the crowd has."""
        path = self._folder / f"{student.number}.other"
        issue_card(
            path,
            keys=self._masters.of_card(student.card, two_level=False),
            card=student.card,
            valid_from_bcd=valid_from,
            valid_to_bcd=_VALID_TO,
            opening_balance_fen=_BALANCE,
            opening_counter=opening_counter,
            card_class=card_class,
            purchase_key_index=purchase_key_index,
        )
        memory = Memory(RamFile(path.read_bytes()))
        if flaw is not None:
            give_flaw(memory, flaw)
        self.chips[student.number] = Purse(memory, Random(student.number))

    def hold(self, number: int, *, torn: bool = False) -> None:
        """Put this student's card on the reader; `torn`: the debit's answer is lost with the card."""
        chip = self.chips[number]
        plan = OneCommand(DEBIT, Fault.ANSWER_LOST)
        # Only a removal is planned here: nothing has to be slow on purpose.
        self.reader.insert(FaultyChip(chip, plan, other=chip, pause=lambda _: None) if torn else chip)

    def lift(self) -> None:
        """Take the card off the reader."""
        self.reader.remove()

    def _outputs(self, printer: Path | None) -> Outputs:
        config = DevicesConfig(printer=None if printer is None else str(printer))
        made = outputs_of(config, folder=self._folder, terminal=TERMINAL.hex(), monotonic_s=self._monotonic_s)
        self._stack.callback(made.close)
        return made

    def _now(self) -> TapTime:
        elapsed_s = int(self._monotonic_s() - self._began_s + self.ahead_s)
        return TapTime(utc_s=NOON_UTC_S + elapsed_s, boot=1, uptime_s=elapsed_s + 60, quality=ClockQuality.NETWORK)

    def _write_uplink(self, path: Path, configuration: Configuration | None) -> None:
        uplink = UplinkStore.open_or_make(path)
        who = Enrolment(
            terminal=TERMINAL,
            epoch=1,
            stream=Stream.CANTEEN,
            enrolled_at_utc_s=NOON_UTC_S - 3_600,
            ticket_digest=bytes(32),
        )
        uplink.enrol(who)
        lost = frozenset(student.card for student in crowd(path.parent) if student.trait is Trait.LOST)
        uplink.save_hotlist(Hotlist(7, lost), received_at_utc_s=NOON_UTC_S - 7_200)
        uplink.follow(uplink.cursor(), heard_at_utc_s=NOON_UTC_S - 90)
        if configuration is not None:
            uplink.save_configuration(replace(configuration, version=configuration.version or 1, proof=bytes(64)))
        uplink.close()


def _chip(folder: Path, student: Student, masters: PurseKeys, rng: Random) -> PoweredCard:
    path = folder / f"{student.number}.chip"
    issue_card(
        path,
        keys=masters.of_card(student.card, two_level=False),
        card=student.card,
        valid_from_bcd=_VALID_FROM,
        valid_to_bcd=_EXPIRED_ON if student.trait is Trait.EXPIRED else _VALID_TO,
        opening_balance_fen=_NEARLY_EMPTY if student.trait is Trait.NEARLY_EMPTY else _BALANCE,
        card_class=_STUDENTS,
    )
    return Purse(Memory(RamFile(path.read_bytes())), Random(rng.random()))
