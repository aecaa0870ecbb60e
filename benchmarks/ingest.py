"""Taps a second that a server takes in and books, signed and with true TACs, against bare commits of as many rows.

Three ways in one run: a stream alone, the ledger alone, and both as processes with TLS between them and the tills.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Final, Protocol

import psycopg

from benchmarks.canteen import Canteen
from benchmarks.measure import ROW, BareFile, BareServer, scratch_folder, table, timed
from benchmarks.service import Registered, booked, enrol, keys_of, make_home, serving, set_streams
from benchmarks.terminals import SimulatedTerminal, Tally, client_tls
from settlement.ledger.pull import OpeningSource, StreamSource, pull_portion
from settlement.ledger.store import Posted
from settlement.settings import Home
from settlement.store.database import Database, open_writer
from settlement.store.router import LEDGER, ONECARD
from settlement.streams.coding import CodingStates
from settlement.streams.ingest import accept_batch
from sim.postgres import PostgresServer
from wire.batch import SignedBatch, decode_batch
from wire.ids import Stream, TerminalId
from wire.messages import Receipt

BATCH_TAPS: Final = 500
ROUNDS: Final = 30
PROCESS_BATCHES: Final = 20  # of each till, through the processes

_STREAM: Final = Stream.CANTEEN
_TILLS: Final = 5  # what is spread comes from so many in turn
_CARDS: Final = 1_000  # of each till
_WARM_UP: Final = 2 * _TILLS  # rounds at least, so that most cards were here before
_NOW_UTC_S: Final = 1_772_500_000
_SETTLE_S: Final = 120.0


@dataclass(frozen=True, slots=True)
class IngestTimes:
    """Seconds of each round by what was done; `batch_taps` in a big batch; what the processes took for `taps`."""

    database: str
    batch_taps: int
    seconds: dict[str, list[float]]
    processes: tuple[int, float] | None = None

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
        return _measure("SQLite", make_home(Path(scratch) / "home"), floor, seed, rounds, batch_taps, process_batches)


def measure_postgresql(
    *, seed: int, rounds: int = ROUNDS, batch_taps: int = BATCH_TAPS, process_batches: int = 0
) -> IngestTimes:
    """The same on a PostgreSQL server of its own, in the system's folder for temporary files."""
    server = PostgresServer.create()
    try:
        with scratch_folder(server.folder) as scratch:
            home = make_home(Path(scratch) / "home", database_url=server.url)
            floor = BareCopy(server.url.replace("/campus?", "/postgres?"))
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
        *([("both as processes, over TLS: taps", _of_processes(times), group)] if times.processes else []),
        (f"floor, group commits of {taps}: rows", group, group),
        ("stream, batches of 1: taps", times.a_second("accept one"), single),
        ("ledger, batches of 1: taps", times.a_second("post one"), single),
        ("floor, commits of 1: rows", single, single),
        ("4 KiB append and fdatasync: appends", times.a_second("append"), single),
    ):
        rows.append((name, f"{rate:,.0f}", f"{rate / floor:.2f}"))
    hot = sum(1 / times.a_second(name) for name in ("accept", "post"))
    hot /= sum(1 / times.a_second(name) for name in ("accept hot", "post hot"))
    return (
        f"ingest, {times.database}: medians of {len(times.seconds['accept'])} rounds\n{table(rows)}\n"
        f"one till alone {hot:.2f} x as fast as {_TILLS} tills in turn (goal 1.0)"
    )


def _of_processes(times: IngestTimes) -> float:
    assert times.processes is not None, "they were measured"
    taps, seconds = times.processes
    return taps / seconds


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
        stack.enter_context(closing(floor))
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
    processes = None
    if process_batches:
        more = {till: _signed(till, process_batches, batch_taps, registered) for till in spread}
        processes = asyncio.run(_through_processes(home, spread, more, batch_taps, per_till))
    return IngestTimes(database, batch_taps, dict(seconds), processes)


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
    home: Home, tills: Sequence[Canteen], signed: dict[Canteen, list[SignedBatch]], batch_taps: int, sent: int
) -> tuple[int, float]:
    """Seconds from the first batch's sending until the ledger has booked the last."""
    ports = set_streams(home, "deadline_s = 15.0\n")
    tls = client_tls(str(home.authority / "ca.pem"))
    terminals = [
        SimulatedTerminal(_STREAM, till, batch_taps=batch_taps, port=ports[_STREAM], tls=tls, sent=sent)
        for till in tills
    ]
    tally, taps = Tally(), 0
    for terminal in terminals:
        terminal.batches += signed[terminal.canteen]
        taps += batch_taps * len(terminal.batches)
    async with serving(home):
        before = (await asyncio.to_thread(booked, home))[_STREAM]  # no opening is waited for: these were read already
        tasks = [asyncio.create_task(terminal.run()) for terminal in terminals]
        began_s = time.monotonic()
        for terminal in terminals:
            for _ in signed[terminal.canteen]:
                terminal.offer(began_s, tally)
        try:
            async with asyncio.timeout(_SETTLE_S):
                while (await asyncio.to_thread(booked, home))[_STREAM] < before + taps:
                    await asyncio.sleep(0.02)  # a database is looked at, now and then
            spent_s = time.monotonic() - began_s
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
    assert not tally.refused, "nothing was refused on the way"
    return taps, spent_s
