"""A terminal far out, for trying its uplink: server and daemon are the production programs, the taps are made here.

Sale, journal and PSAM driver are the till's own, driven in this process faster than any cashier, so that thousands of
taps meet whatever happens on the air. Left out: what happens there (`sim.carrier`), the till's program and screen.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from contextlib import ExitStack, closing
from pathlib import Path
from random import Random
from types import TracebackType
from typing import Final, Self

from drivers.purse import CAMPUS_CARD, read_psam
from settlement.audit.points import Finding
from settlement.commands.common import home_at
from settlement.onecard.keys import FileKeyStore
from settlement.settings import Home
from settlement.store.database import open_reader
from settlement.store.router import LEDGER
from sim.campus import CAMPUS_TOML, OUTLET
from sim.card.issue import issue_card, read_card_image
from sim.card.memory import open_memory
from sim.card.purse import Purse
from sim.crowd import ISSUER
from sim.pcsc.local import Tear, TearableChip, local_channel
from sim.process import Child, ChildFailed
from sim.psam.psam import Psam, issue_psam
from sim.report import audit_home
from sync.clock import Clock
from sync.status import Status, read_status
from terminal.basket import amount_offer
from terminal.downlink import Downlink
from terminal.journal import Journal
from terminal.result import Refused, Torn
from terminal.rules import Limits, Terms
from terminal.sale import Sale
from terminal.usage import Usage
from wire.ids import Asn, CardId, Stream, TerminalId
from wire.money import Fen
from wire.record import ClockQuality, Refusal, TapTime

STREAM: Final = Stream.CANTEEN
TERMINAL: Final = TerminalId(bytes.fromhex("000000000901"))
CARDS: Final = 40
APN: Final = "internet"

_BALANCE: Final = Fen(20_000_00)  # nobody runs dry in a storm
_PRICES_FEN: Final = tuple(range(4_00, 18_50, 50))
_VALID_FROM, _VALID_TO = bytes.fromhex("20240901"), bytes.fromhex("20990831")
_PURCHASE_DEBIT: Final = 2  # the third APDU of a purchase
_LOOK_S: Final = 0.1


class Outpost:
    """A context manager: inside it the server runs; the daemon runs when it is started, as it is configured by then."""

    def __init__(self, home: Path, *, seed: int, clock: Clock, database_url: str | None = None) -> None:
        self.home = home.absolute()
        self._database_url = database_url
        self.terminal_folder = self.home / "terminal"
        self.port = _free_port()
        self._folder = self.home / "sim"
        self._clock = clock
        self._rng = Random(seed)
        self._stack = ExitStack()
        self._children: dict[str, Child] = {}
        self._cards: list[Path] = []
        self._chips: list[TearableChip] = []

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            stack.callback(self._end_all)
            self._set_up()
            self.start("stream")
            self.start("ledger")
            self.configure(f'host = "127.0.0.1"\nport = {self.port}')
            ticket = self._command("settlement", "ticket", "--terminal", TERMINAL.hex(), "--outlet", str(OUTLET))
            self._command("sync", "enrol", ticket.strip())
            self._sale = self._open_till(stack)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stack.close()

    def configure(self, uplink: str, others: str = "") -> None:
        """What the daemon finds in `terminal.toml`: the lines of [uplink], and whole further sections."""
        reader = '[reader]\ncard = "none"\npsam = "none"\n\n[limits]\ntap_fen_max = 10000\n\n'
        text = f'{reader}[uplink]\nserver_name = "settlement.campus"\n{uplink}\n\n{others}\n'
        (self.terminal_folder / "terminal.toml").write_text(text, encoding="utf-8")

    def start(self, name: str) -> None:
        """Start `stream`, `ledger` or `syncd`, and wait until it is ready."""
        arguments, ready = _PROGRAMS[name]
        self._children[name] = child = self._start(name, *arguments)
        child.wait_for(ready)

    def start_to_be_killed(self, name: str, statement: int, *, after: bool) -> Child:
        """Start `stream` or `ledger`, which will kill itself at that SQL statement, ready or not."""
        (_, *arguments), _ = _PROGRAMS[name]
        when = ("--after",) if after else ()
        return self._start(name, "sim", "killed", "--statement", str(statement), *when, *arguments)

    def end(self, name: str) -> None:
        """End a program cleanly; `ChildFailed` if it has ended by itself."""
        self._children.pop(name).end()

    def restart_server(self) -> None:
        """What an operator's update does to a terminal: its server is gone for a moment."""
        self.end("stream")
        self.start("stream")

    def check(self) -> None:
        """Raise `ChildFailed` if a program has ended though it was not asked to."""
        for child in self._children.values():
            if not child.alive:
                raise child.failure()

    def reach_by_sms(self, incoming: Path, outgoing: Path) -> None:
        """The server hears short messages from now on, by the folders of smstools."""
        section = f'\n[sms]\nincoming = "{incoming}"\noutgoing = "{outgoing}"\nper_minute = 60\n'
        settings = Home(self.home).settings
        settings.write_text(settings.read_text(encoding="utf-8") + section, encoding="utf-8")
        self.restart_server()

    def report_lost(self, number: int) -> None:
        """Card `number`, from 0, is put on the hotlist at the server."""
        card = read_card_image(self._cards[number]).card
        self._command("settlement", "hotlist", "add", card.issuer.hex(), card.asn.hex(), "--reason", "lost")

    def refuses(self, number: int) -> bool:
        """Whether the till turns card `number` away as one of the hotlist. The attempt is a tap."""
        chip = self._chips[number]
        result = self._sale.charge(local_channel(chip), amount_offer(Fen(_PRICES_FEN[0])))
        chip.reset()
        return isinstance(result, Refused) and result.refusal is Refusal.HOTLISTED

    def tap(self, *, torn_share: float = 0.01) -> None:
        """One purchase with any card. Some are torn, and their customers walk away."""
        chip = self._rng.choice(self._chips)
        if torn := self._rng.random() < torn_share:
            chip.tear(self._rng.choice(tuple(Tear)), after=_PURCHASE_DEBIT)
        result = self._sale.charge(local_channel(chip), amount_offer(Fen(self._rng.choice(_PRICES_FEN))))
        chip.reset()
        if isinstance(result, Torn):
            self._journal.seal_unknown(result.record)
        assert torn or not isinstance(result, Torn), "a card that nobody pulled away is not torn"

    def status(self) -> Status:
        """How the uplink stands."""
        return read_status(self.terminal_folder, now_utc_s=self._clock.utc_s())

    def wait_until_booked(self, *, timeout_s: float) -> bool:
        """Whether everything that was sealed reached the ledger in time."""
        deadline_s = self._clock.monotonic_s() + timeout_s
        while self._clock.monotonic_s() < deadline_s:
            self.check()
            if self.status().backlog_taps == 0 and self._pulled():
                return True
            time.sleep(_LOOK_S)  # the databases tell nobody when they change
        return False

    def audit(self) -> list[Finding]:
        """The auditor's findings; server and ledger are running, the till makes no tap meanwhile."""
        return audit_home(self.home, self._cards)

    def _start(self, name: str, *arguments: str) -> Child:
        command = [*arguments, "--home", str(self.home)]
        return Child.start(name, command, log=self._folder / f"{name}.log", environment=_environment())

    def _set_up(self) -> None:
        for folder in (self._folder, self.terminal_folder):
            folder.mkdir(mode=0o700, parents=True)
        server, section = Home(self.home), f'[streams.{STREAM.label}]\nhost = "127.0.0.1"\nport = {self.port}\n'
        if self._database_url is not None:
            section += f'\n[database]\nurl = "{self._database_url}"\n'
        server.folder.mkdir(mode=0o700)
        server.settings.write_text(section, encoding="utf-8")
        self._command("settlement", "init")
        self._command("settlement", "configure", str(CAMPUS_TOML))
        keys = FileKeyStore.open(server.sealed_keys, server.passphrase.read_bytes().strip())
        lines = ["issuer,asn,opening_balance_fen,opening_counter"]
        for number in range(1, CARDS + 1):
            card, path = CardId(ISSUER, Asn(bytes.fromhex(f"{number:020d}"))), self._folder / f"{number:02d}.card"
            issue_card(
                path,
                keys=keys.card_keys(card),
                card=card,
                valid_from_bcd=_VALID_FROM,
                valid_to_bcd=_VALID_TO,
                opening_balance_fen=_BALANCE,
            )
            self._cards.append(path)
            lines.append(f"{card.issuer.hex()},{card.asn.hex()},{_BALANCE},0")
        issue_psam(self._folder / "psam", terminal=TERMINAL, purchase_master=keys.purchase_master(), serial=bytes(10))
        (self._folder / "cards.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
        self._command("settlement", "import-cards", str(self._folder / "cards.csv"))
        (self.terminal_folder / "ca.pem").write_bytes((server.authority / "ca.pem").read_bytes())

    def _open_till(self, stack: ExitStack) -> Sale:
        enrolment = self.status().enrolment
        assert enrolment is not None, "enrolled just before"
        for path in self._cards:
            memory = open_memory(path)
            stack.callback(memory.close)
            self._chips.append(TearableChip(Purse(memory, self._rng)))
        psam = Psam(open_memory(self._folder / "psam"))
        stack.callback(psam.close)
        channel = local_channel(psam)
        downlink = stack.enter_context(closing(Downlink(self.terminal_folder / "uplink.db")))
        usage = Usage()
        self._journal = stack.enter_context(
            closing(
                Journal.open_for(
                    self.terminal_folder / "journal.db",
                    terminal=TERMINAL,
                    epoch=enrolment.epoch,
                    acknowledged=None,
                    witness=usage.add,
                )
            )
        )
        began_utc_s, began_s = self._clock.utc_s(), self._clock.monotonic_s()

        def now() -> TapTime:
            uptime_s = int(self._clock.monotonic_s() - began_s)
            return TapTime(utc_s=began_utc_s + uptime_s, boot=1, uptime_s=uptime_s, quality=ClockQuality.NETWORK)

        return Sale(
            journal=self._journal,
            psam_channel=channel,
            psam=read_psam(channel),
            profile=CAMPUS_CARD,
            terms=lambda: Terms(hotlist=downlink.hotlist(), limits=Limits(tap_fen_max=Fen(100_00))),
            usage=usage,
            now=now,
        )

    def _pulled(self) -> bool:
        home = home_at(self.home)
        with (
            open_reader(home.place(STREAM.label), STREAM.label) as stream,
            open_reader(home.place(LEDGER), LEDGER) as ledger,
        ):
            taps = stream.number("SELECT coalesce(max(next_position) - 1, 0) FROM intake")
            read = ledger.query("SELECT position FROM source_cursor WHERE source = %s", (STREAM.label,), into=int)
        return read == [taps]

    def _command(self, *arguments: str) -> str:
        command = [sys.executable, "-m", *arguments, "--home", str(self.home)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=_environment())
        if done.returncode != 0:
            raise ChildFailed(f"{' '.join(arguments[:2])} failed: {(done.stderr or done.stdout).strip()}")
        return done.stdout

    def _end_all(self) -> None:
        for name in list(self._children):
            self.end(name)


_PROGRAMS: Final = {
    "stream": (("settlement", "stream", STREAM.label), "listening on 127.0.0.1:"),
    "ledger": (("settlement", "ledger"), "ledger ready"),
    "syncd": (("sync", "run"), "uplink ready"),
}


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONUNBUFFERED": "1", "PYTHONUTF8": "1"}


def _free_port() -> int:
    """A port that the server can be started on again and again."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
