"""A server with terminals for a benchmark: its home, its processes under `serve`, tills whose batches are signed ahead.

Left out: what is measured with it.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from random import SystemRandom
from typing import Final

from benchmarks.canteen import EPOCH, Canteen
from settlement.ledger.store import read_cursor
from settlement.onecard.keys import FileKeyStore
from settlement.onecard.registry import PurseOpening, import_cards
from settlement.settings import Home
from settlement.store.database import open_reader, open_writer
from settlement.store.router import LEDGER, ONECARD
from settlement.streams import store
from wire.errors import CampusError
from wire.ids import CONSUMPTION_STREAMS, Stream
from wire.money import Fen
from wire.record import TapRecord, genesis_hash
from wire.signature import public_bytes

_READY_S_MAX: Final = 120.0  # each process imports for two seconds alone, and others may use the machine
_PORT_MIN: Final = 10_000
_PORTS_TRIED: Final = 100


def make_home(root: Path, *, database_url: str | None = None) -> Home:
    """A new installation, on SQLite or on a PostgreSQL server."""
    command = [sys.executable, "-m", "settlement", "init", "--home", str(root)]
    if database_url is not None:
        command += ["--database", database_url]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return Home(root, database_url)


def set_streams(home: Home, extra: str = "") -> dict[Stream, int]:
    """Settings with a free port for each stream, and `extra` keys for all of them; the ports."""
    ports = dict(zip(CONSUMPTION_STREAMS, _free_ports(len(CONSUMPTION_STREAMS)), strict=True))
    sections = [f"[streams.{stream.label}]\nport = {port}\n{extra}" for stream, port in ports.items()]
    if home.database_url is not None:
        sections.insert(0, f'[database]\nurl = "{home.database_url}"\n')
    home.settings.write_text("\n".join(sections))
    return ports


def keys_of(home: Home) -> FileKeyStore:
    """The issuer's keys."""
    return FileKeyStore.open(home.sealed_keys, home.passphrase.read_bytes().strip())


def enrol(home: Home, stream: Stream, canteens: Iterable[Canteen]) -> None:
    """Let tills in, past the port."""
    with open_writer(home.place(stream.label), stream.label) as db:
        for canteen in canteens:
            store.add_terminal(
                db,
                terminal=canteen.terminal,
                epoch=EPOCH,
                public_key=public_bytes(canteen.signing_key),
                genesis=genesis_hash(canteen.terminal, EPOCH),
                now_utc_s=int(time.time()),
            )


class Registered:
    """Which cards the registry knows: each is imported with what it had at its first tap."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._known: set[bytes] = set()

    def take(self, records: Iterable[TapRecord]) -> list[PurseOpening]:
        """The cards among these taps that were not seen before, to be put in the registry."""
        openings = []
        for record in records:
            if (card := record.card.to_bytes()) not in self._known:
                self._known.add(card)
                openings.append(
                    PurseOpening(card=record.card, balance_fen=Fen(record.balance_before_fen), counter=record.counter)
                )
        return openings

    def put(self, openings: list[PurseOpening]) -> None:
        """Put them in."""
        if openings:
            with open_writer(self._home.place(ONECARD), ONECARD) as db:
                import_cards(db, openings, now_utc_s=int(time.time()))


def booked(home: Home) -> dict[Stream, int]:
    """How many taps of each stream the ledger has read."""
    with open_reader(home.place(LEDGER), LEDGER) as db:
        read = {stream: read_cursor(db, stream.label) for stream in CONSUMPTION_STREAMS}
    return {stream: 0 if cursor is None else cursor.position for stream, cursor in read.items()}


class NotServing(CampusError):
    """The server's processes did not all come up; the text has what was last heard of each that did not."""

    code = "not-serving"


class Server:
    """The running supervisor: who is which process now."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self.pids: dict[str, int] = {}
        self._decided = asyncio.Event()
        self._are_ready = False
        self._late: dict[str, str] = {}

    async def hear(self, lines: asyncio.StreamReader) -> None:
        """Follow what it tells, until it ends."""
        async for line in lines:
            told = json.loads(line)
            event, name, words = told["event"], told["process"], told["words"]
            if event == "all-ready":
                self._are_ready = True
            if event in ("all-ready", "keeps-ending"):
                self._decided.set()
            if event == "started":
                self.pids[name] = told["pid"]
            if event == "ready":
                self._late.pop(name, None)
            elif name is not None:
                self._late[name] = words
        self._decided.set()

    async def come_up(self) -> None:
        """Wait until all run. Raises `NotServing` if one keeps ending, the supervisor ends, or it takes too long."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._decided.wait(), _READY_S_MAX)
        if not self._are_ready:
            late = "; ".join(f"{name}: {words}" for name, words in self._late.items())
            raise NotServing(f"the server did not come up: {late or 'it told of no process that was late'}")

    def send(self, name: str, number: signal.Signals) -> None:
        """A signal to one process; to one that has just ended it is none."""
        with suppress(ProcessLookupError):
            os.kill(self.pids[name], number)


@asynccontextmanager
async def serving(home: Home) -> AsyncIterator[Server]:
    """`campus-settlement serve`, until the end of the block. Raises `NotServing`."""
    command = ["setpriv", "--pdeathsig", "TERM", sys.executable, "-m", "settlement", "serve", "--json"]
    with (home.root / "serve.log").open("a") as log:
        process = await asyncio.create_subprocess_exec(
            *command, "--home", str(home.root), stdout=asyncio.subprocess.PIPE, stderr=log
        )
    assert process.stdout is not None, "opened as a pipe"
    server = Server(home)
    hearing = asyncio.create_task(server.hear(process.stdout))
    try:
        await server.come_up()
        yield server
    finally:
        with suppress(ProcessLookupError):  # it may have ended by itself
            process.terminate()
        await process.wait()
        await hearing


def _free_ports(count: int) -> list[int]:
    """Ports that nobody listens on, of those that the system gives to nobody by itself.

    A process that is started again finds its own then: one of the others might have gone to a caller meanwhile.
    """
    given_from = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text(encoding="ascii").split()[0])
    candidates = SystemRandom().sample(range(_PORT_MIN, max(given_from, _PORT_MIN + _PORTS_TRIED)), _PORTS_TRIED)
    free: list[int] = []
    for port in candidates:
        with socket.socket() as one, suppress(OSError):
            one.bind(("127.0.0.1", port))
            free.append(port)
        if len(free) == count:
            return free
    raise NotServing(f"no {count} free ports among {_PORTS_TRIED}")
