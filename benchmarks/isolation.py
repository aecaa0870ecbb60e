"""What a stream in trouble does to the other three: overloaded tenfold, killed, stopped, locked, damaged, without disk.

Real processes under `campus-settlement serve`, real TLS, open arrivals, calm and trouble in turn. Compared are medians,
from the moment that a batch was due to its receipt. Left out: networks, and terminals that are far away.
"""

from __future__ import annotations

import asyncio
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from statistics import median
from typing import Final

from benchmarks.canteen import Canteen
from benchmarks.measure import scratch_folder, table
from benchmarks.service import Registered, Server, booked, enrol, keys_of, make_home, serving, set_streams
from benchmarks.terminals import SimulatedTerminal, Tally, client_tls
from settlement.onecard.registry import PurseOpening
from settlement.store.database import open_reader
from settlement.streams.store import journal_head
from wire.ids import CONSUMPTION_STREAMS, Stream, TerminalId

ROUNDS: Final = 2
RATIO_MAX: Final = 3.0  # the goal: a neighbour's trouble does not triple anybody's median
STORM_TIMES: Final = 10

_BATCH_TAPS: Final = 50  # so many do not wait for more at a terminal
_CARDS_EACH: Final = 30
_SETTLE_S: Final = 90.0  # what was refused is sent again within this, and booked
_READY_S: Final = 60.0
_CAPACITY_BATCHES: Final = 8
_DISK_FULL: Final = "disk full"


_OWN: Final = ("others refused", "own refused", "own broken", "own lost taps")


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How much is offered: `share` of what a stream alone can take is a stream's calm load."""

    rounds: int = ROUNDS
    phase_s: float = 5.0
    terminals: int = 10
    share: float = 0.13
    troubles: tuple[str, ...] = ("killed", "stopped", "locked", "damaged", _DISK_FULL)


@dataclass(slots=True)
class Row:
    """One trouble of one stream: every stream's tallies in calm and in trouble, and what it lost for good."""

    trouble: str
    stream: Stream
    calm: dict[Stream, Tally] = field(default_factory=lambda: {stream: Tally() for stream in CONSUMPTION_STREAMS})
    storm: dict[Stream, Tally] = field(default_factory=lambda: {stream: Tally() for stream in CONSUMPTION_STREAMS})
    lost_taps: int = 0
    settled: bool = True
    not_tried: str = ""

    def ratio(self, stream: Stream) -> float | None:
        """The stream's median in trouble to its median in calm."""
        calm, storm = self.calm[stream].latencies_s, self.storm[stream].latencies_s
        return median(storm) / median(calm) if calm and storm else None

    @property
    def others(self) -> list[Stream]:
        """The streams that should not notice."""
        return [stream for stream in CONSUMPTION_STREAMS if stream is not self.stream]

    @property
    def refused_by_others(self) -> int:
        """Refusals and broken connections of the others' terminals."""
        return sum(self.storm[stream].refused + self.storm[stream].broken for stream in self.others)


@dataclass(frozen=True, slots=True)
class Isolation:
    """What was measured; `capacity` is in batches a second, of one stream alone."""

    capacity: float
    calm_rate: float
    phase_s: float
    overload: list[Row]
    troubles: list[Row]


def measure(*, seed: int, folder: Path, plan: Plan | None = None) -> Isolation:
    """Set up a server, prepare the batches, and run all phases."""
    with scratch_folder(folder) as scratch:
        return asyncio.run(_Experiment(Path(scratch), Random(seed), plan or Plan()).run())


def report(found: Isolation) -> str:
    """Both tables, with the goals."""
    rows = [("median in trouble / in calm", *(s.label for s in CONSUMPTION_STREAMS), *_OWN)]
    for row in [*found.overload, *found.troubles]:
        name = f"{row.stream.label}: {row.trouble}"
        if row.not_tried:
            rows.append((name, *("" for _ in CONSUMPTION_STREAMS), f"not tried: {row.not_tried}", "", "", ""))
            continue
        cells = []
        for stream in CONSUMPTION_STREAMS:
            ratio = row.ratio(stream)
            mark = "own " if stream is row.stream else ""
            cells.append(f"{mark}-" if ratio is None else f"{mark}{ratio:.2f}")
        own = row.storm[row.stream]
        lost = f"{row.lost_taps}" if row.settled else "not settled"
        rows.append((name, *cells, str(row.refused_by_others), str(own.refused), str(own.broken), lost))
    worst = max((row.ratio(s) or 0.0 for row in [*found.overload, *found.troubles] for s in row.others), default=0.0)
    calm_ms = [
        f"{stream.label} {1000 * median([s for row in found.overload for s in row.calm[stream].latencies_s]):.1f}"
        for stream in CONSUMPTION_STREAMS
    ]
    return (
        f"isolation: one stream alone takes {found.capacity:.0f} batches of {_BATCH_TAPS} a second; each is offered "
        f"{found.calm_rate:.1f} in calm, {STORM_TIMES * found.calm_rate:.0f} when overloaded; phases of "
        f"{found.phase_s:g} s\n{table(rows)}\n"
        f"worst of the others {worst:.2f} (goal below {RATIO_MAX:g}); calm medians in ms: {', '.join(calm_ms)}"
    )


class _Experiment:
    def __init__(self, root: Path, rng: Random, plan: Plan) -> None:
        self._home = make_home(root / "home")
        self._root = root
        self._rng = rng
        self._plan = plan
        self._ports = set_streams(self._home, "idle_timeout_s = 3600\n")
        self._registered = Registered(self._home)
        self._terminals: dict[Stream, list[SimulatedTerminal]] = {}
        self._server: Server
        self._set_up()

    async def run(self) -> Isolation:
        """All phases; the matrix first."""
        overload = [Row(f"{STORM_TIMES} x load", stream) for stream in CONSUMPTION_STREAMS]
        troubles = [Row(name, _stream_for(name)) for name in self._plan.troubles]
        tasks = [asyncio.create_task(t.run()) for group in self._terminals.values() for t in group]
        try:
            async with serving(self._home) as self._server:
                capacity = await self._capacity()
                rate = self._plan.share * capacity
                print(f"  one stream alone: {capacity:.0f} batches a second", file=sys.stderr, flush=True)
                for _ in range(self._plan.rounds):
                    for row in overload:
                        await self._phase(rate, row.calm)
                        await self._phase(rate, row.storm, {row.stream: STORM_TIMES})
                        await self._settle(row)
                for row in (row for row in troubles if row.trouble != _DISK_FULL):
                    await self._trouble(rate, row)
            for row in (row for row in troubles if row.trouble == _DISK_FULL):
                await self._on_small_disk(rate, row)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        return Isolation(capacity, rate, self._plan.phase_s, overload, troubles)

    def _set_up(self) -> None:
        keys, tls = keys_of(self._home), client_tls(str(self._home.authority / "ca.pem"))
        number = 0
        for stream in CONSUMPTION_STREAMS:
            canteens = []
            for _ in range(STORM_TIMES * self._plan.terminals):
                number += 1
                canteens.append(
                    Canteen(
                        self._rng.randrange(1 << 32),
                        terminal=TerminalId(number.to_bytes(6)),
                        keys=keys,
                        first_card=number * _CARDS_EACH,
                        cards=_CARDS_EACH,
                    )
                )
            enrol(self._home, stream, canteens)
            self._terminals[stream] = [
                SimulatedTerminal(stream, canteen, batch_taps=_BATCH_TAPS, port=self._ports[stream], tls=tls)
                for canteen in canteens
            ]

    def _prepare(self, terminal: SimulatedTerminal) -> list[PurseOpening]:
        """A batch more; the cards that were not seen before."""
        [(batch, signed)] = terminal.canteen.batches(1, _BATCH_TAPS)
        terminal.batches.append(signed)
        return self._registered.take(batch.records)

    async def _offer(self, arrivals: list[tuple[float, SimulatedTerminal, Tally]]) -> None:
        """Prepare what will be due, then let it be due one after the other, whatever becomes of it."""
        openings = []
        for _, terminal, _ in arrivals:
            openings += self._prepare(terminal)
            await asyncio.sleep(0)  # the connections live meanwhile
        if openings:
            await asyncio.to_thread(self._registered.put, openings)
        await self._caught_up()
        began_s = time.monotonic()
        for after_s, terminal, tally in arrivals:
            due_s = began_s + after_s
            await asyncio.sleep(max(0.0, due_s - time.monotonic()))  # an arrival has its time
            terminal.offer(due_s, tally)

    async def _capacity(self) -> float:
        """Batches a second of one stream alone, many terminals at once."""
        group = self._terminals[Stream.CANTEEN][: 4 * self._plan.terminals]
        await self._offer([(0.0, terminal, Tally()) for terminal in group])  # connects them
        await self._caught_up()
        tally = Tally()
        await self._offer([(0.0, terminal, tally) for terminal in group for _ in range(_CAPACITY_BATCHES)])
        await self._caught_up()
        return len(tally.latencies_s) / max(tally.latencies_s)

    async def _phase(self, rate: float, tallies: dict[Stream, Tally], times: dict[Stream, int] | None = None) -> None:
        """Every stream is offered `rate`, by as many terminals; one may be offered it several times over."""
        arrivals = []
        for stream in CONSUMPTION_STREAMS:
            many = (times or {}).get(stream, 1)
            group = self._terminals[stream][: many * self._plan.terminals]
            at_s = self._rng.expovariate(rate * many)
            while at_s < self._plan.phase_s:
                arrivals.append((at_s, self._rng.choice(group), tallies[stream]))
                at_s += self._rng.expovariate(rate * many)
        await self._offer(sorted(arrivals, key=lambda arrival: arrival[0]))

    async def _trouble(self, rate: float, row: Row) -> None:
        for _ in range(self._plan.rounds):
            await self._phase(rate, row.calm)
            await self._caught_up()
            with _TROUBLES[row.trouble](self._server, row.stream):
                await self._phase(rate, row.storm)
            await self._settle(row)

    async def _on_small_disk(self, rate: float, row: Row) -> None:
        """The stream's database goes to a small disk, which is then filled to the last byte."""
        small, path = self._root / "small", self._home.database(row.stream.label)
        small.mkdir()
        size = path.stat().st_size + (64 << 20)
        mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(small)]
        if subprocess.run(mount, stderr=subprocess.DEVNULL, check=False).returncode:
            row.not_tried = "only root may mount a small disk"
            return
        try:
            with closing(sqlite3.connect(path)) as db:
                db.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # what the ledger still read was left in the WAL file
            shutil.move(path, small / path.name)
            path.symlink_to(small / path.name)
            for terminal in (t for group in self._terminals.values() for t in group):
                terminal.hang_up()
            async with serving(self._home) as self._server:
                # Connections, and what the streams know of each journal, are made anew: that is no calm.
                await self._phase(rate, Row("warm-up", row.stream).calm)
                await self._caught_up()
                await self._trouble(rate, row)
        finally:
            subprocess.run(["umount", str(small)], check=True)

    async def _settle(self, row: Row) -> None:
        """Wait for all that was refused; count what is in the stream's database beside what was offered."""
        row.settled &= await self._caught_up()
        print(f"  {row.stream.label}: {row.trouble}", file=sys.stderr, flush=True)
        stream = row.stream
        there = await asyncio.to_thread(self._taps_of, stream)
        row.lost_taps = max(row.lost_taps, sum(t.offered_taps for t in self._terminals[stream]) - there)

    def _taps_of(self, stream: Stream) -> int:
        with open_reader(self._home.database(stream.label), stream.label) as db:
            return journal_head(db, stream).position

    async def _caught_up(self) -> bool:
        """All that is due is taken in, and the ledger has read it; False if that takes too long."""
        every = [terminal for group in self._terminals.values() for terminal in group]
        give_up_s = time.monotonic() + _SETTLE_S
        while any(t.waiting > 0 for t in every) or not await asyncio.to_thread(self._is_booked):
            if time.monotonic() > give_up_s:
                return False
            await asyncio.sleep(0.2)  # hundreds of terminals and a database: looked at, now and then
        return True

    def _is_booked(self) -> bool:
        read = booked(self._home)
        return all(read[s] >= sum(t.offered_taps for t in self._terminals[s]) for s in CONSUMPTION_STREAMS)


@contextmanager
def _killed(server: Server, stream: Stream) -> Iterator[None]:
    server.send(stream.label, signal.SIGKILL)
    yield


@contextmanager
def _stopped(server: Server, stream: Stream) -> Iterator[None]:
    server.send(stream.label, signal.SIGSTOP)
    try:
        yield
    finally:
        server.send(stream.label, signal.SIGCONT)


@contextmanager
def _locked(server: Server, stream: Stream) -> Iterator[None]:
    with closing(sqlite3.connect(server.home.database(stream.label), isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


@contextmanager
def _damaged(server: Server, stream: Stream) -> Iterator[None]:
    """Nonsense all over the file, found when the process starts anew; then last night's backup is put in its place."""
    path = server.home.database(stream.label)
    backup = path.with_suffix(".backup")
    with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(backup)) as target:
        source.backup(target)
    server.send(stream.label, signal.SIGKILL)
    with path.open("r+b") as file:
        file.write(b"\xa5" * path.stat().st_size)
    try:
        yield
    finally:
        for end in ("-wal", "-shm"):
            path.with_name(path.name + end).unlink(missing_ok=True)
        backup.replace(path)
        server.send("ledger", signal.SIGTERM)  # it has the old file open, and would read that for ever


@contextmanager
def _full(server: Server, stream: Stream) -> Iterator[None]:
    ballast = server.home.database(stream.label).resolve().parent / "ballast"
    with ballast.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(1 << 16))
    try:
        yield
    finally:
        ballast.unlink()


_TROUBLES: Final[dict[str, Callable[[Server, Stream], AbstractContextManager[None]]]] = {
    "killed": _killed,
    "stopped": _stopped,
    "locked": _locked,
    "damaged": _damaged,
    _DISK_FULL: _full,
}


def _stream_for(trouble: str) -> Stream:
    return Stream.SHOPS if trouble == _DISK_FULL else Stream.CANTEEN
