"""A small campus on one machine: the production programs around simulated cards, PSAM and readers.

`Campus` sets up its home folder once, then starts stream, ledger, private pcscd and uplink daemon. The till is
started by whoever stands at the counter (`sim.taps`, `sim.counter`). Left out: who buys what (`sim.crowd`), and
whether the money came out right (`sim.audit`).
"""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from random import Random
from types import TracebackType
from typing import Final, Self

from settlement.onecard.keys import FileKeyStore
from settlement.settings import Home
from sim.card.faults import FaultyChip, Plan
from sim.card.memory import open_memory
from sim.crowd import Student, Trait, crowd, issue_cards, write_openings
from sim.pcsc.private import PrivatePcscd
from sim.pcsc.slot import VirtualSlot
from sim.process import Child, ChildFailed
from sim.psam.psam import Psam, issue_psam
from sync.status import read_status
from wire.errors import CampusError
from wire.ids import Stream, TerminalId

STREAM: Final = Stream.CANTEEN
OUTLET: Final = 21
CAMPUS_TOML: Final = Path(__file__).with_name("campus.toml")
TERMINAL: Final = TerminalId(bytes.fromhex("000000000101"))
POINT: Final = TerminalId(bytes.fromhex("000000000501"))
_PSAM_SERIAL: Final = bytes.fromhex("00000000000000000101")
_TAP_FEN_MAX: Final = 100_00
_CARD_SLOT, _PSAM_SLOT = 0, 1

_TERMINAL_TOML: Final = """\
[reader]
card = "{card}"
psam = "{psam}"

[limits]
tap_fen_max = {tap_fen_max}

[uplink]
host = "127.0.0.1"
port = {port}
server_name = "settlement.campus"
linger_s = 3.0
"""


_DEVICES: Final = "\n[devices]\n"

_POINT_TOML: Final = """\
[reader]
card = "{card}"

[uplink]
host = "127.0.0.1"
port = {port}
server_name = "settlement.campus"
"""
_SERVER_TOML: Final = f"""\
[streams.{STREAM.label}]
host = "127.0.0.1"
port = 0

[top-up]
host = "127.0.0.1"
port = 0
"""


class HomeUnusable(CampusError):
    """The home folder holds something else, or cannot be made or written."""

    code = "home-unusable"


class HomeInUse(HomeUnusable):
    """Another simulator runs in this home; two would fight over its programs and databases."""

    code = "home-in-use"


class Campus:
    """A context manager: inside it everything but the till runs. `say` gets one line about each step of the set-up."""

    def __init__(self, home: Path, *, monotonic_s: Callable[[], float], say: Callable[[str], None]) -> None:
        self.home = home.absolute()
        self.folder = self.home / "sim"
        self.terminal_folder = self.home / "terminal"
        self.point_home = self.home / "point"
        self.students = crowd(self.folder / "cards")
        self.children: list[Child] = []
        self._set_up_mark = self.folder / "set-up"
        self._say = say
        self._monotonic_s = monotonic_s
        self._stack = ExitStack()
        self._pcscd = PrivatePcscd(self.folder / "pcscd")
        self._card_slot = VirtualSlot(self._pcscd, _CARD_SLOT, clock=monotonic_s)
        # The top-up point stands elsewhere: its reader belongs to another pcscd.
        self._point_pcscd = PrivatePcscd(self.folder / "point-pcscd")
        self._point_slot = VirtualSlot(self._point_pcscd, _CARD_SLOT, clock=monotonic_s)

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self._make_folders(foreign_is_possible=not self._set_up_mark.exists())
            self._claim(stack)
            self._set_up()
            stream = self._start(stack, "stream", "settlement", "stream", STREAM.label)
            port = int(stream.wait_for("listening on 127.0.0.1:"))
            desk = self._start(stack, "top-up", "settlement", "top-up")
            desk_port = int(desk.wait_for("listening on 127.0.0.1:"))
            self._start(stack, "ledger", "settlement", "ledger").wait_for("ledger ready")
            stack.enter_context(self._pcscd)
            stack.enter_context(self._point_pcscd)
            self._write_configs(port, desk_port)
            if read_status(self.terminal_folder, now_utc_s=0).enrolment is None:
                self._enrol(TERMINAL, ("--outlet", str(OUTLET)), self.home)
            if read_status(self._point_folder, now_utc_s=0).enrolment is None:
                self._enrol(POINT, ("--stream", Stream.TOP_UP.label), self.point_home)
            psam = Psam(open_memory(self.folder / "psam"))
            stack.callback(psam.close)
            psam_slot = VirtualSlot(self._pcscd, _PSAM_SLOT, clock=self._monotonic_s)
            psam_slot.insert(psam)
            stack.callback(psam_slot.remove)
            self._start(stack, "syncd", "sync", "run").wait_for("uplink ready")
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stack.close()

    @property
    def environment(self) -> dict[str, str]:
        """What a program needs in its environment to find the simulated readers."""
        return {
            **os.environ,
            "PCSCLITE_CSOCK_NAME": str(self._pcscd.socket_path),
            "PYTHONUNBUFFERED": "1",
            "PYTHONUTF8": "1",
        }

    def log(self, name: str) -> Path:
        """Where a program's messages go."""
        return self.folder / "logs" / f"{name}.log"

    def start_till(self, stack: ExitStack) -> Child:
        """The till for a program: amounts in, JSON lines out."""
        return self._start(stack, "till", "terminal", "run", "--json")

    def start_point(self, stack: ExitStack, *arguments: str) -> Child:
        """The top-up point for a program, for one load: JSON lines out, PINs in."""
        command = ["sync", "top-up", "--json", *arguments, "--home", str(self.point_home)]
        environment = {**self.environment, "PCSCLITE_CSOCK_NAME": str(self._point_pcscd.socket_path)}
        child = Child.start("point", command, log=self.log("point"), environment=environment)
        stack.callback(child.end)
        return child

    def hand(self) -> Hand:
        """Who holds cards to the till's reader."""
        return Hand(self._card_slot)

    def hand_at_point(self) -> Hand:
        """Who holds cards to the top-up point's reader."""
        return Hand(self._point_slot)

    def check_children(self) -> None:
        """Raise `ChildFailed` if a program has ended though it was not asked to."""
        for child in self.children:
            if not child.alive:
                raise child.failure()

    def _start(self, stack: ExitStack, name: str, *arguments: str) -> Child:
        command = [*arguments, "--home", str(self.home)]
        child = Child.start(name, command, log=self.log(name), environment=self.environment)
        self.children.append(child)
        stack.callback(self._end, child)
        return child

    def _end(self, child: Child) -> None:
        self.children.remove(child)
        child.end()

    def _set_up(self) -> None:
        """Make what is missing; every step may be repeated, so a set-up that was cut short is simply run again."""
        if self._set_up_mark.exists():
            return
        self._say(f"setting up a campus in {self.home}")
        self._command("settlement", "init")
        server = Home(self.home)
        server.settings.write_text(_SERVER_TOML, encoding="utf-8")
        keys = FileKeyStore.open(server.sealed_keys, server.passphrase.read_bytes().strip())
        issue_cards(self.students, keys)
        if not (self.folder / "psam").exists():
            issue_psam(
                self.folder / "psam", terminal=TERMINAL, purchase_master=keys.purchase_master(), serial=_PSAM_SERIAL
            )
        self._command("settlement", "configure", str(CAMPUS_TOML))
        write_openings(self.students, self.folder / "cards.csv")
        self._command("settlement", "import-cards", str(self.folder / "cards.csv"))
        for student in self.students:
            if student.trait is Trait.LOST:
                self._command("settlement", "hotlist", "add", student.card.issuer.hex(), student.card.asn.hex())
        for folder in (self.terminal_folder, self._point_folder):
            (folder / "ca.pem").write_bytes((server.authority / "ca.pem").read_bytes())
        self._set_up_mark.touch()

    def _make_folders(self, *, foreign_is_possible: bool) -> None:
        logs = self.folder / "logs"  # made first: a home without it is not one of ours, however far it got
        try:
            if foreign_is_possible and not logs.is_dir() and self.home.exists():
                there = sorted(path.name for path in self.home.iterdir() if not path.name.startswith("."))
                if there:
                    raise HomeUnusable(f"{self.home} holds other things ({', '.join(there[:3])}); name another --home")
            self.home.mkdir(parents=True, exist_ok=True)
            # Journal, uplink and cards hold card numbers, and the PSAM a master key: nobody else's to read.
            for folder in (
                self.folder,
                logs,
                self.folder / "cards",
                self.terminal_folder,
                self.point_home,
                self._point_folder,
            ):
                folder.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise HomeUnusable(f"{self.home} cannot be used: {error.strerror}") from error

    def _claim(self, stack: ExitStack) -> None:
        """Be the only one in this home until the end, which the kernel sees to even if it is a sudden one."""
        lock = stack.enter_context((self.folder / "lock").open("w"))
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise HomeInUse(f"another ./run uses this home, {self.home}; end it, or name another --home") from error

    @property
    def _point_folder(self) -> Path:
        return self.point_home / "terminal"

    def _write_configs(self, port: int, desk_port: int) -> None:
        card, psam = PrivatePcscd.reader_names
        text = _TERMINAL_TOML.format(card=card, psam=psam, tap_fen_max=_TAP_FEN_MAX, port=port)
        path = self.terminal_folder / "terminal.toml"
        before = path.read_text(encoding="utf-8") if path.exists() else ""
        _, devices, about = before.partition(_DEVICES)  # somebody put them there, for good
        path.write_text(text + devices + about, encoding="utf-8")
        (self._point_folder / "terminal.toml").write_text(
            _POINT_TOML.format(card=card, port=desk_port), encoding="utf-8"
        )

    def _enrol(self, terminal: TerminalId, where: tuple[str, str], home: Path) -> None:
        self._say(f"enrolling terminal {terminal.hex()}")
        ticket = self._command("settlement", "ticket", "--terminal", terminal.hex(), *where)
        self._command("sync", "enrol", ticket.strip(), home=home)

    def _command(self, *arguments: str, home: Path | None = None) -> str:
        """One command of a production program, to its end; its output, or `ChildFailed` with what it complained of."""
        command = [sys.executable, "-m", *arguments, "--home", str(home or self.home)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=self.environment)
        if done.returncode != 0:
            raise ChildFailed(f"{' '.join(arguments[:2])} failed: {(done.stderr or done.stdout).strip()}")
        return done.stdout


class Hand:
    """Holds one card at a time to the reader."""

    def __init__(self, slot: VirtualSlot) -> None:
        self._slot = slot
        self._stack = ExitStack()

    @property
    def idle_since_s(self) -> float | None:
        """When the card answered last, on the campus's clock; None before its first answer."""
        return self._slot.last_apdu_monotonic_s

    def present(self, student: Student, rng: Random, plan: Plan | None = None) -> None:
        """Put this student's card on the reader; `rng` is the card's own source of random numbers, `plan` its fate."""
        with ExitStack() as stack:
            card = student.powered(rng)
            stack.callback(card.close)
            # Only removals are planned here: nothing has to be slow on purpose.
            self._slot.insert(card if plan is None else FaultyChip(card, plan, other=card, pause=lambda _: None))
            stack.callback(self._slot.remove)
            self._stack = stack.pop_all()

    def take_away(self) -> None:
        """Remove the card, if there is one; returns when the reader has noticed."""
        self._stack.close()
