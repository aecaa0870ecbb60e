"""What a stream in trouble does to the other three: overloaded tenfold, killed, stopped, locked, damaged, without disk.

Real processes under `campus-settlement serve`, real TLS, open arrivals, calm and trouble in turn. Compared are medians,
from the moment that a batch was due to its receipt. Left out: networks, and terminals that are far away.
"""

from __future__ import annotations

import asyncio
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from statistics import median
from typing import Final

from benchmarks.fleet import Arrivals, Fleet
from benchmarks.measure import scratch_folder, table
from benchmarks.service import Server, make_home, serving
from benchmarks.terminals import Tally
from benchmarks.troubles import DISK_FULL, TROUBLES, MayNotMount, on_small_disk
from wire.ids import CONSUMPTION_STREAMS, Stream

ROUNDS: Final = 2
RATIO_MAX: Final = 3.0  # the goal: a neighbour's trouble does not triple anybody's median
STORM_TIMES: Final = 10

_BATCH_TAPS: Final = 50  # so many do not wait for more at a terminal
_CAPACITY_BATCHES: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How much is offered: `share` of what a stream alone can take is a stream's calm load."""

    rounds: int = ROUNDS
    phase_s: float = 5.0
    terminals: int = 10
    share: float = 0.13
    storms: tuple[Stream, ...] = CONSUMPTION_STREAMS
    troubles: tuple[str, ...] = tuple(TROUBLES)


@dataclass(slots=True)
class Row:
    """One trouble of one stream: every stream's tallies in calm and in trouble, and what it lost for good.

    `failed`: why it could not be measured to its end; `not_tried`: why it was not begun.
    """

    trouble: str
    stream: Stream
    calm: dict[Stream, Tally] = field(default_factory=lambda: {stream: Tally() for stream in CONSUMPTION_STREAMS})
    storm: dict[Stream, Tally] = field(default_factory=lambda: {stream: Tally() for stream in CONSUMPTION_STREAMS})
    lost_taps: int = 0
    failed: str = ""
    not_tried: str = ""

    @property
    def name(self) -> str:
        """As it stands in the tables."""
        return f"{self.stream.label}: {self.trouble}"

    def ratio(self, stream: Stream) -> float | None:
        """The stream's median in trouble to its median in calm."""
        calm, storm = self.calm[stream].latencies_s, self.storm[stream].latencies_s
        return median(storm) / median(calm) if calm and storm else None

    @property
    def others(self) -> list[Stream]:
        """The streams that should not notice."""
        return [stream for stream in CONSUMPTION_STREAMS if stream is not self.stream]

    @property
    def worst(self) -> float | None:
        """The highest ratio of the others; None if one of them has none."""
        ratios = [ratio for stream in self.others if (ratio := self.ratio(stream)) is not None]
        return max(ratios) if len(ratios) == len(self.others) else None

    @property
    def refused_by_others(self) -> int:
        """Refusals and broken connections of the others' terminals, in calm too."""
        tallies = [tallies[stream] for tallies in (self.calm, self.storm) for stream in self.others]
        return sum(tally.refused + tally.broken for tally in tallies)

    @property
    def own_refused(self) -> int:
        """Refusals and broken connections of the terminals of the stream in trouble."""
        return self.storm[self.stream].refused + self.storm[self.stream].broken

    @property
    def is_felt(self) -> bool:
        """Whether the trouble was one: its stream refused something, or was slow."""
        own = self.ratio(self.stream)
        return self.own_refused > 0 or own is None or own >= RATIO_MAX

    @property
    def verdict(self) -> str:
        """Whether the goals are met, in a word."""
        if self.not_tried:
            return "not tried"
        if self.failed:
            return "FAILED"
        if not self.is_felt:
            return "UNFELT"  # not even by its own stream, so that it proves nothing of the others
        is_met = self.worst is not None and self.worst < RATIO_MAX
        return "met" if is_met and not self.refused_by_others and not self.lost_taps else "MISSED"


@dataclass(frozen=True, slots=True)
class Isolation:
    """What was measured; `capacity` is in batches a second, of one stream alone."""

    capacity: float
    calm_rate: float
    phase_s: float
    overload: list[Row]
    troubles: list[Row]

    @property
    def rows(self) -> list[Row]:
        """All of them."""
        return [*self.overload, *self.troubles]

    @property
    def is_met(self) -> bool:
        """Every row that could be tried here was measured to its end, and met its goals."""
        return all(row.verdict in ("met", "not tried") for row in self.rows)


def measure(*, seed: int, folder: Path, plan: Plan | None = None) -> Isolation:
    """Set up a server, prepare the batches, and run all phases."""
    with scratch_folder(folder) as scratch:
        return asyncio.run(_Experiment(Path(scratch), Random(seed), plan or Plan()).run())


def report(found: Isolation) -> str:
    """The matrix with its goals, the medians themselves, and the verdict."""
    offered = (
        f"isolation: one stream alone takes {found.capacity:.0f} batches of {_BATCH_TAPS} taps a second; each is "
        f"offered {found.calm_rate:.1f} in calm, {STORM_TIMES * found.calm_rate:.0f} in its storm; phases of "
        f"{found.phase_s:g} s"
    )
    key = "In brackets: the stream in trouble itself. Refused: answers of BUSY, and connections that broke."
    matrix, medians = table(_ratios(found.rows)), table(_medians(found.rows))
    return "\n".join((offered, "", matrix, key, "", medians, "", *_verdicts(found)))


def _ratios(rows: Sequence[Row]) -> list[tuple[str, ...]]:
    labels = tuple(stream.label for stream in CONSUMPTION_STREAMS)
    cells = [
        ("times calm's median", *labels, "worst other", "others refused", "lost taps", "verdict", "own refused"),
        ("goal", *("" for _ in labels), f"below {RATIO_MAX:g}", "0", "0", "", ""),
    ]
    for row in rows:
        if row.not_tried:
            cells.append((row.name, *("" for _ in labels), "", "", "", row.verdict, ""))
            continue
        ratios = []
        for stream in CONSUMPTION_STREAMS:
            text = _number(row.ratio(stream), ".2f")
            ratios.append(f"({text})" if stream is row.stream else text)
        lost = "?" if row.failed else str(row.lost_taps)
        counts = (str(row.refused_by_others), lost, row.verdict, str(row.own_refused))
        cells.append((row.name, *ratios, _number(row.worst, ".2f"), *counts))
    return cells


def _medians(rows: Sequence[Row]) -> list[tuple[str, ...]]:
    cells = [("median in ms, calm > trouble", *(stream.label for stream in CONSUMPTION_STREAMS))]
    for row in rows:
        if not row.not_tried:
            pairs = [(row.calm[stream].latencies_s, row.storm[stream].latencies_s) for stream in CONSUMPTION_STREAMS]
            texts = [[_number(1000 * median(s) if s else None, ".1f") for s in pair] for pair in pairs]
            cells.append((row.name, *(" > ".join(text) for text in texts)))
    return cells


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def _verdicts(found: Isolation) -> Iterator[str]:
    """A line for each goal, one for each row that has no figures, and the verdict over all."""
    tried = [row for row in found.rows if not row.not_tried]
    worst = max((row.worst for row in tried if row.worst is not None), default=None)
    refused, lost = sum(row.refused_by_others for row in tried), sum(row.lost_taps for row in tried)
    slow = "met" if worst is not None and worst < RATIO_MAX else "MISSED"
    yield f"worst of the others {_number(worst, '.2f')}, goal below {RATIO_MAX:g}: {slow}"
    yield f"others refused {refused}, goal 0: {'MISSED' if refused else 'met'}"
    yield f"taps lost {lost}, goal 0: {'MISSED' if lost else 'met'}"
    for row in found.rows:
        if row.failed:
            yield f"{row.name} FAILED: {row.failed}"
        if row.not_tried:
            yield f"{row.name} was not tried: {row.not_tried}"
    if found.is_met:
        yield f"verdict: met, {len(tried)} of {len(found.rows)} rows tried"
    else:
        yield f"verdict: NOT MET by {', '.join(row.name for row in tried if row.verdict != 'met')}"


class _Experiment:
    def __init__(self, root: Path, rng: Random, plan: Plan) -> None:
        self._home = make_home(root / "home")
        self._rng = rng
        self._plan = plan
        self._fleet = Fleet(self._home, rng, each=STORM_TIMES * plan.terminals, batch_taps=_BATCH_TAPS)

    async def run(self) -> Isolation:
        """All phases; the matrix first. A row that fails leaves the others' figures as they are."""
        overload = [Row(f"{STORM_TIMES} x load", stream) for stream in self._plan.storms]
        troubles = [Row(name, _stream_for(name)) for name in self._plan.troubles]
        async with self._fleet.living():
            async with serving(self._home):
                capacity = await self._capacity()
                rate = self._plan.share * capacity
                print(f"  one stream alone: {capacity:.0f} batches a second", file=sys.stderr, flush=True)
                for _ in range(self._plan.rounds):
                    for row in overload:
                        with _failing_alone(row):
                            await self._overload(rate, row)
            for row in troubles:
                with _failing_alone(row):
                    await self._trouble(rate, row)
        return Isolation(capacity, rate, self._plan.phase_s, overload, troubles)

    async def _capacity(self) -> float:
        """Batches a second of one stream alone, many terminals at once."""
        group = self._fleet.terminals[Stream.CANTEEN][: 4 * self._plan.terminals]
        tally = Tally()
        connects = [(0.0, terminal, Tally()) for terminal in group]
        storm = [(0.0, terminal, tally) for terminal in group for _ in range(_CAPACITY_BATCHES)]
        for arrivals in (connects, storm):
            await self._fleet.prepare(arrivals)
            await self._fleet.offer(arrivals)
        await self._fleet.settled()
        return len(tally.latencies_s) / max(tally.latencies_s)

    async def _prepared(self, rate: float, tallies: dict[Stream, Tally], storm: Stream | None = None) -> Arrivals:
        """A phase in which every stream is offered `rate`, by as many terminals; one may be in its storm."""
        arrivals = []
        for stream in CONSUMPTION_STREAMS:
            many = STORM_TIMES if stream is storm else 1
            group = self._fleet.terminals[stream][: many * self._plan.terminals]
            at_s = self._rng.expovariate(rate * many)
            while at_s < self._plan.phase_s:
                arrivals.append((at_s, self._rng.choice(group), tallies[stream]))
                at_s += self._rng.expovariate(rate * many)
        arrivals.sort(key=lambda arrival: arrival[0])
        await self._fleet.prepare(arrivals)
        return arrivals

    async def _overload(self, rate: float, row: Row) -> None:
        if row.failed:
            return
        await self._fleet.offer(await self._prepared(rate, row.calm))
        await self._fleet.offer(await self._prepared(rate, row.storm, row.stream))
        await self._settle(row)

    async def _trouble(self, rate: float, row: Row) -> None:
        """On a server that was started anew, so that it has nothing of the row before."""
        self._fleet.hang_up()
        on_disk = on_small_disk(self._home, row.stream) if row.trouble == DISK_FULL else nullcontext()
        try:
            with on_disk:
                async with serving(self._home) as server:
                    # Connections, and what the streams know of each journal, are made anew: that is no calm.
                    await self._fleet.offer(await self._prepared(rate, Row("warm-up", row.stream).calm))
                    for _ in range(self._plan.rounds):
                        await self._calm_and_trouble(rate, row, server)
        except MayNotMount as error:
            row.not_tried = str(error)

    async def _calm_and_trouble(self, rate: float, row: Row, server: Server) -> None:
        await self._fleet.offer(await self._prepared(rate, row.calm))
        arrivals = await self._prepared(rate, row.storm)
        with TROUBLES[row.trouble](server, row.stream):  # which begins with the first arrival
            await self._fleet.offer(arrivals)
            await self._fleet.answered(row.others)  # while it lasts
        await self._settle(row)

    async def _settle(self, row: Row) -> None:
        """Wait for all that was refused; count what is in the stream's database beside what was offered."""
        await self._fleet.settled()
        print(f"  {row.name}", file=sys.stderr, flush=True)
        row.lost_taps = max(row.lost_taps, await asyncio.to_thread(self._fleet.lost_taps, row.stream))


@contextmanager
def _failing_alone(row: Row) -> Iterator[None]:
    """Whatever goes wrong is the row's, and is told."""
    try:
        yield
    except Exception as error:  # noqa: BLE001 - minutes of other rows' figures are not lost for it
        traceback.print_exception(error)
        row.failed = f"{type(error).__name__}: {error}"


def _stream_for(trouble: str) -> Stream:
    return Stream.SHOPS if trouble == DISK_FULL else Stream.CANTEEN
