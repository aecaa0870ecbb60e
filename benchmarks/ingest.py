"""Taps a second that a server takes in and books, signed and with true TACs, against bare commits of as many rows.

Three ways in one run: a stream alone, the ledger alone, and both as processes with TLS between them and the tills.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from statistics import median
from typing import Final, Protocol

import psycopg

from benchmarks.canteen import Canteen
from benchmarks.measure import ROW, BareFile, BareServer, scratch_folder, table, timed
from benchmarks.service import Registered, enrol, keys_of, make_home, serving, set_streams
from benchmarks.terminals import SimulatedTerminal, Tally, client_tls
from settlement.ledger.pull import OpeningSource, StreamSource, pull_portion
from settlement.ledger.store import Posted, read_cursor
from settlement.onecard.keys import FileKeyStore
from settlement.settings import Home
from settlement.store.database import Database, open_reader, open_writer
from settlement.store.router import LEDGER, ONECARD
from settlement.streams.coding import CodingStates
from settlement.streams.ingest import accept_batch
from sim.postgres import PostgresServer
from wire.batch import SignedBatch, decode_batch
from wire.ids import CONSUMPTION_STREAMS, Stream, TerminalId
from wire.messages import Receipt

BATCH_TAPS: Final = 500
ROUNDS: Final = 30
GOALS: Final = {"SQLite": 0.25, "PostgreSQL": 0.08}  # of the floor, through the processes
PROCESS_BATCHES: Final = 24  # of each till in a round through the processes: its begin and end weigh little
PROCESS_ROUNDS: Final = 7  # with the floor in between: a machine's speed drifts
PROCESS_WARM_UP: Final = 6  # before them: a process that has just started knows no card's key, and no journal's past

_STREAM: Final = Stream.CANTEEN
_TILLS: Final = 5  # what is spread comes from so many in turn
_CARDS: Final = 1_000  # of each till
_MORE_TILLS: Final = 12  # through the processes: so many that one always has something on its way
_SERVED: Final = {
    "one stream and the ledger as processes": (_STREAM,),
    "four streams and the ledger as processes": CONSUMPTION_STREAMS,
}
_FLOORS: Final = 9  # bare commits before each round through the processes
_WARM_UP: Final = 2 * _TILLS  # rounds at least, so that most cards were here before
_NOW_UTC_S: Final = 1_772_500_000
_SETTLE_S: Final = 120.0
_LOOK_S: Final = 0.005


@dataclass(frozen=True, slots=True)
class Processes:
    """Rounds of so many taps through the processes: the seconds, the floor's for a row, and processor time of all."""

    taps: int
    rounds: list[tuple[float, float]]
    processor_s: dict[str, float]

    @property
    def a_second(self) -> float:
        """How many taps a second the median round had."""
        return self.taps / median(spent_s for spent_s, _ in self.rounds)

    @property
    def times_floor(self) -> float:
        """The median round's rate by that of the floor beside it."""
        return median(self.taps / spent_s * row_s for spent_s, row_s in self.rounds)


@dataclass(frozen=True, slots=True)
class IngestTimes:
    """Seconds of each round by what was done, `batch_taps` in a big batch; and what went through which processes."""

    database: str
    batch_taps: int
    seconds: dict[str, list[float]]
    processes: dict[str, Processes] = field(default_factory=dict)

    def a_second(self, name: str) -> float:
        """How often the median round could do this."""
        return 1 / median(self.seconds[name])


class Floor(Protocol):
    """Rows of a record's size, committed with nothing around them."""

    def commit(self, count: int) -> None:
        """So many rows together, durably."""

    def close(self) -> None:
        """Let go of the database."""


class BareCopy:
    """Rows by COPY, a commit each time."""

    def __init__(self, url: str) -> None:
        self._db = psycopg.connect(url, autocommit=True)
        self._db.execute("CREATE TABLE bare (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, row bytea NOT NULL)")

    def commit(self, count: int) -> None:
        """Copy `count` rows."""
        with self._db.cursor() as cursor, cursor.copy("COPY bare (row) FROM STDIN") as copy:
            for _ in range(count):
                copy.write_row((ROW,))

    def close(self) -> None:
        """Close the connection."""
        self._db.close()


def measure(
    *, seed: int, folder: Path, rounds: int = ROUNDS, batch_taps: int = BATCH_TAPS, process_batches: int = 0
) -> IngestTimes:
    """On SQLite: each round does everything once, floors included."""
    with scratch_folder(folder) as scratch:
        floor = BareServer(Path(scratch) / "bare.db")
        home = make_home(Path(scratch) / "home")
        with closing(floor):
            return _measure("SQLite", home, floor, seed, rounds, batch_taps, process_batches)


def measure_postgresql(
    *, seed: int, rounds: int = ROUNDS, batch_taps: int = BATCH_TAPS, process_batches: int = 0
) -> IngestTimes:
    """The same on a PostgreSQL server of its own, in the system's folder for temporary files."""
    server = PostgresServer.create()
    try:
        with scratch_folder(server.folder) as scratch:
            home = make_home(Path(scratch) / "home", database_url=server.url)
            floor = BareCopy(server.url.replace("/campus?", "/postgres?"))
            with closing(floor):
                return _measure("PostgreSQL", home, floor, seed, rounds, batch_taps, process_batches)
    finally:
        server.remove()


def report(times: IngestTimes) -> str:
    """As a table, with ratios to the bare commit of as many rows."""
    taps = times.batch_taps
    group, single = taps * times.a_second("group"), times.a_second("commit one")
    rows = [("", "a second", "x floor")]
    for name, rate, floor in (
        (f"stream, batches of {taps}: taps", taps * times.a_second("accept"), group),
        (f"ledger, batches of {taps}: taps", taps * times.a_second("post"), group),
        ("both, one after the other: taps", taps / (1 / times.a_second("accept") + 1 / times.a_second("post")), group),
        *(
            (f"{name}, TLS: taps", run.a_second, run.a_second / run.times_floor)
            for name, run in times.processes.items()
        ),
        (f"floor, group commits of {taps}: rows", group, group),
        ("stream, batches of 1: taps", times.a_second("accept one"), single),
        ("ledger, batches of 1: taps", times.a_second("post one"), single),
        ("floor, commits of 1: rows", single, single),
        ("4 KiB append and fdatasync: appends", times.a_second("append"), single),
    ):
        rows.append((name, f"{rate:,.0f}", f"{rate / floor:.2f}"))
    hot = sum(1 / times.a_second(name) for name in ("accept", "post"))
    hot /= sum(1 / times.a_second(name) for name in ("accept hot", "post hot"))
    lines = [
        f"ingest, {times.database}: medians of {len(times.seconds['accept'])} rounds",
        table(rows),
        f"one till alone {hot:.2f} x as fast as {_TILLS} tills in turn (goal 1.0)",
    ]
    for name, run in times.processes.items():
        goal = GOALS[times.database]
        verdict = "met" if run.times_floor >= goal else "MISSED"
        lines.append(f"{name}: {run.times_floor:.2f} x floor, goal {goal}: {verdict}")
        taps = run.taps * len(run.rounds)
        each = ", ".join(f"{part} {1e6 * spent_s / taps:.1f}" for part, spent_s in run.processor_s.items())
        lines.append(f"{name}: processor time, microseconds a tap: {each}")
    return "\n".join(lines)


def _measure(
    database: str, home: Home, floor: Floor, seed: int, rounds: int, batch_taps: int, process_batches: int
) -> IngestTimes:
    keys = keys_of(home)
    tills = [
        Canteen(seed + n, terminal=TerminalId((n + 1).to_bytes(6)), keys=keys, first_card=n * _CARDS, cards=_CARDS)
        for n in range(_TILLS + 2)
    ]
    *spread, hot, single = tills
    enrol(home, _STREAM, tills)
    per_till = -(-(_WARM_UP + rounds) // _TILLS)
    count, registered = per_till * _TILLS, Registered(home)
    signed: dict[str, Iterator[SignedBatch]] = {}
    made = [_signed(till, per_till, batch_taps, registered) for till in spread]
    signed["spread"] = iter([batches[number] for number in range(per_till) for batches in made])
    signed["hot"] = iter(_signed(hot, count, batch_taps, registered))
    signed["one"] = iter(_signed(single, count, 1, registered))
    seconds: defaultdict[str, list[float]] = defaultdict(list)
    with ExitStack() as stack:
        file = stack.enter_context(closing(BareFile(home.root / "bare")))
        line = _Line(home, stack)
        for number in range(count):
            jobs: dict[str, Callable[[], object]] = {}
            for name, end in (("spread", ""), ("hot", " hot"), ("one", " one")):
                batch = next(signed[name])
                jobs[f"accept{end}"] = partial(line.accept, batch.raw)
                jobs[f"post{end}"] = partial(line.post, batch.count)
            jobs |= {
                "group": partial(floor.commit, batch_taps),
                "commit one": partial(floor.commit, 1),
                "append": file.append,
            }
            for name, job in jobs.items():
                spent_s = timed(job)
                if number >= count - rounds:
                    seconds[name].append(spent_s)
    processes: dict[str, Processes] = {}
    if process_batches:
        count, bare = PROCESS_WARM_UP + PROCESS_ROUNDS * process_batches, partial(floor.commit, batch_taps)
        for number, (name, streams) in enumerate(_SERVED.items()):
            through: dict[Canteen, tuple[Stream, list[SignedBatch]]] = {}
            for n, till in enumerate(_more_tills(seed, len(tills) + number * _MORE_TILLS, keys)):
                through[till] = streams[n % len(streams)], _signed(till, count, batch_taps, registered)
            for stream in streams:
                enrol(home, stream, [till for till, (its, _) in through.items() if its is stream])
            processes[name] = asyncio.run(_through_processes(home, through, batch_taps, bare))
    return IngestTimes(database, batch_taps, dict(seconds), processes)


def _more_tills(seed: int, first: int, keys: FileKeyStore) -> list[Canteen]:
    numbers = range(first, first + _MORE_TILLS)
    return [
        Canteen(seed + n, terminal=TerminalId((n + 1).to_bytes(6)), keys=keys, first_card=n * _CARDS, cards=_CARDS // 2)
        for n in numbers
    ]


def _signed(till: Canteen, count: int, taps: int, registered: Registered) -> list[SignedBatch]:
    """The till's next batches, its cards registered."""
    openings, batches = [], []
    for batch, signed in till.batches(count, taps):
        openings += registered.take(batch.records)
        batches.append(signed)
    registered.put(openings)
    return batches


class _Line:
    """A stream's writer and the ledger's, in this process; all openings are booked."""

    def __init__(self, home: Home, stack: ExitStack) -> None:
        self._keys = keys_of(home)
        self._states = CodingStates()
        self._stream: Database = stack.enter_context(open_writer(home.place(_STREAM.label), _STREAM.label))
        self._ledger: Database = stack.enter_context(open_writer(home.place(LEDGER), LEDGER))
        self._source = stack.enter_context(closing(StreamSource(home.place(_STREAM.label), _STREAM)))
        openings = stack.enter_context(closing(OpeningSource(home.place(ONECARD))))
        while pull_portion(self._ledger, openings)[0]:
            pass

    def accept(self, raw: bytes) -> None:
        """Bytes to rows, and the receipt."""
        answer = accept_batch(
            self._stream,
            decode_batch(raw),
            states=self._states,
            stream=_STREAM,
            keys=self._keys,
            now_utc_s=_NOW_UTC_S,
        )
        assert isinstance(answer, Receipt), f"the batch was answered {answer}"
        assert answer.receipt.suspended == (), "every tap has a good TAC"

    def post(self, taps: int) -> None:
        """Rows to entries and postings."""
        rows, results = pull_portion(self._ledger, self._source)
        assert (rows, set(results)) == (taps, {Posted.CREATED}), "every tap is booked"


async def _through_processes(
    home: Home,
    tills: Mapping[Canteen, tuple[Stream, list[SignedBatch]]],
    batch_taps: int,
    bare: Callable[[], object],
) -> Processes:
    """From the first batch's sending until the ledger has booked the last, once some have gone before."""
    ports = set_streams(home, "deadline_s = 15.0\n")
    tls = client_tls(str(home.authority / "ca.pem"))
    terminals = []
    for till, (stream, batches) in tills.items():
        terminals.append(SimulatedTerminal(stream, till, batch_taps=batch_taps, port=ports[stream], tls=tls))
        terminals[-1].batches += batches
    each = (len(terminals[0].batches) - PROCESS_WARM_UP) // PROCESS_ROUNDS
    rounds: list[tuple[float, float]] = []
    taps = 0
    processor_s: Counter[str] = Counter()
    async with serving(home) as server:
        tasks = [asyncio.create_task(terminal.run()) for terminal in terminals]
        names = sorted({terminal.stream.label for terminal in terminals})
        pids = {"streams": [server.pids[name] for name in names], "ledger": [server.pids[LEDGER]]}
        try:
            await _carry(home, terminals, PROCESS_WARM_UP, batch_taps)
            for _ in range(PROCESS_ROUNDS):
                row_s = median(timed(bare) for _ in range(_FLOORS)) / batch_taps
                before, began_s = _processor_s(pids), time.monotonic()
                taps = await _carry(home, terminals, each, batch_taps)
                rounds.append((time.monotonic() - began_s, row_s))
                processor_s.update({part: spent_s - before[part] for part, spent_s in _processor_s(pids).items()})
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
    return Processes(taps, rounds, dict(processor_s))


async def _carry(home: Home, terminals: Sequence[SimulatedTerminal], count: int, batch_taps: int) -> int:
    """Let each terminal send so many batches, and wait until they are booked; how many taps these are."""
    tally, taps = Tally(), count * batch_taps * len(terminals)
    before, due_s = await asyncio.to_thread(_wait_until_booked, home, 0), time.monotonic()
    for _ in range(count):
        for terminal in terminals:
            terminal.offer(due_s, tally)
    await asyncio.to_thread(_wait_until_booked, home, before + taps)
    assert not tally.refused, "nothing was refused on the way"
    return taps


def _wait_until_booked(home: Home, taps: int) -> int:
    """How many taps of all streams the ledger has read, once these are so many at least; looked at now and then."""
    give_up_s, pause, there = time.monotonic() + _SETTLE_S, threading.Event(), 0
    with open_reader(home.place(LEDGER), LEDGER) as ledger:
        while time.monotonic() < give_up_s:
            cursors = [read_cursor(ledger, stream.label) for stream in CONSUMPTION_STREAMS]
            there = sum(cursor.position for cursor in cursors if cursor is not None)
            if there >= taps:
                return there
            pause.wait(_LOOK_S)
    raise TimeoutError(f"the ledger has read {there} of {taps} taps")


def _processor_s(pids: Mapping[str, Sequence[int]]) -> dict[str, float]:
    """What processor time this process, which has the terminals, and each of these groups has had."""
    spent_s = {"terminals": sum(os.times()[:2])}
    for part, numbers in pids.items():
        stats = [Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split() for pid in numbers]
        spent_s[part] = sum(int(stat[11]) + int(stat[12]) for stat in stats) / os.sysconf("SC_CLK_TCK")
    return spent_s
