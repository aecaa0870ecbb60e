"""One stream is stopped, its database locked, its process killed or its disk full: the other three go on.

Real processes under `campus-settlement serve`, one server for all of these; each stream has its trouble in turn.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from random import Random

import pytest

from benchmarks.fleet import Arrivals, Fleet
from benchmarks.service import Server, booked, make_home, serving
from benchmarks.terminals import Tally
from benchmarks.troubles import DISK_FULL, TROUBLES, MayNotMount, on_small_disk
from wire.ids import CONSUMPTION_STREAMS, Stream

TERMINALS = 2
BATCH_TAPS = 5
# The canteen's queue has the shortest deadline: a lock is refused as soon as SQLite gives it up.
VICTIMS = {"killed": Stream.SUPERMARKET, "stopped": Stream.TUITION, "locked": Stream.CANTEEN, DISK_FULL: Stream.SHOPS}


@dataclass(frozen=True, slots=True)
class Campus:
    """A server that runs, and terminals that live while the runner does."""

    fleet: Fleet
    server: Server
    runner: asyncio.Runner
    not_mounted: str


@pytest.fixture(scope="module")
def campus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Campus]:
    home = make_home(tmp_path_factory.mktemp("isolation") / "home")
    fleet = Fleet(home, Random(1), each=TERMINALS, batch_taps=BATCH_TAPS)
    not_mounted = ""
    with asyncio.Runner() as runner:
        stack = AsyncExitStack()
        try:
            try:
                stack.enter_context(on_small_disk(home, VICTIMS[DISK_FULL]))
            except MayNotMount as error:
                not_mounted = str(error)
            runner.run(stack.enter_async_context(fleet.living()))
            server = runner.run(stack.enter_async_context(serving(home)))
            yield Campus(fleet, server, runner, not_mounted)
        finally:
            runner.run(stack.aclose())


@pytest.mark.parametrize("trouble", VICTIMS)
def test_others_are_answered_during_the_trouble_and_nothing_of_its_own_is_lost(campus: Campus, trouble: str) -> None:
    if trouble == DISK_FULL and campus.not_mounted:
        pytest.skip(campus.not_mounted)
    victim = VICTIMS[trouble]
    calm, storm = campus.runner.run(in_trouble(campus, trouble, victim))
    for stream in CONSUMPTION_STREAMS:
        assert refusals(calm[stream]) == 0, stream
        assert len(storm[stream].latencies_s) == storm[stream].offered == TERMINALS, stream
        assert stream is victim or refusals(storm[stream]) == 0, stream
        assert campus.fleet.lost_taps(stream) == 0, stream
        assert booked(campus.fleet.home)[stream] == campus.fleet.offered_taps(stream), stream


async def in_trouble(campus: Campus, trouble: str, victim: Stream) -> tuple[dict[Stream, Tally], dict[Stream, Tally]]:
    """A batch of every terminal in calm, and one in trouble; that lasts until it was felt and the others answered."""
    fleet = campus.fleet
    calm, storm = ({stream: Tally() for stream in CONSUMPTION_STREAMS} for _ in range(2))
    await fleet.offer(await prepared(fleet, calm))
    arrivals = await prepared(fleet, storm)
    with TROUBLES[trouble](campus.server, victim):
        await fleet.offer(arrivals)
        await fleet.answered([stream for stream in CONSUMPTION_STREAMS if stream is not victim])
        if trouble == "stopped":  # nobody can be told anything
            assert storm[victim].latencies_s == [], "it was not stopped"
        else:
            await fleet.until_none("refused nothing", lambda: {victim: not refusals(storm[victim])})
    await fleet.settled()
    return calm, storm


async def prepared(fleet: Fleet, tallies: dict[Stream, Tally]) -> Arrivals:
    """A batch for every terminal, all due at once; all before it is booked."""
    arrivals = [(0.0, terminal, tallies[stream]) for stream in tallies for terminal in fleet.terminals[stream]]
    await fleet.prepare(arrivals)
    return arrivals


def refusals(tally: Tally) -> int:
    """Answers of BUSY, and connections that broke."""
    return tally.refused + tally.broken
