"""kill -9 of the top-up desk at any of its SQL statements: the points ask again, and every fen is where it belongs."""

from __future__ import annotations

import itertools
import multiprocessing
import signal
from collections.abc import Iterator
from contextlib import closing, suppress
from multiprocessing.connection import Connection
from pathlib import Path
from random import Random, SystemRandom
from typing import Final

import pytest

from settlement.ledger.pull import LoadSource, OpeningSource, pull_round
from settlement.onecard.desk import LoadAnswer, LoadQuestion, TopupDesk
from settlement.onecard.keys import FileKeyStore
from settlement.settings import Home
from settlement.store.database import open_reader, open_writer
from settlement.store.place import Place, ServerPlace
from settlement.store.router import ALIASES, LEDGER, ONECARD, TOPUP
from settlement.store.server import make_databases
from settlement.streams.door import Door
from sim.killed import arm
from sim.postgres import PostgresServer
from sync.link import LinkDown
from sync.topup import LoadFailed, LoadOpen
from tests.system.loads import LIMITS, MASTERS, NO_FAULT, OPENING, PaperBooks, World, make_template
from wire.ids import Stream
from wire.messages import Identify

STATEMENTS: Final = 40  # more than the desk needs for its start and two loads
ANSWER_S_MAX: Final = 60.0
PROCESSES: Final = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["tests.system.test_desk_killed"])


def run_desk(asked: Connection, topup: Place, onecard: Place, began: int, statement: int | None, after: bool) -> None:
    """In a process of its own: the production desk, until it is killed."""
    if statement is not None:
        arm(statement, after=after)
    seconds = itertools.count(1_790_000_000 + began * 1_000)
    desk = TopupDesk(
        db=open_writer(topup, TOPUP),
        onecard=open_reader(onecard, ONECARD),
        keys=FileKeyStore(MASTERS, two_level=True),
        door=Door(stream=Stream.TOP_UP, ticket_key=bytes(32)),
        clock=lambda: next(seconds),
        limits=LIMITS,
        books=PaperBooks(),
        random=Random(began).randbytes,
    )
    with closing(desk), suppress(EOFError):
        while True:
            asked.send(desk.load(*asked.recv()))


class MortalDesk:
    """What `World` asks in place of a desk of its own: one in another process, the next when it has died."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.deaths: list[tuple[int, bool]] = []  # to come
        self.died = 0
        self._began = 0
        self._running: tuple[multiprocessing.process.BaseProcess, Connection] | None = None

    def load(self, message: LoadQuestion, point: Identify) -> LoadAnswer:
        if self._running is None:
            self._running = self._start()
        process, line = self._running
        try:
            line.send((message, point))
            assert line.poll(ANSWER_S_MAX), "the desk neither answered nor died"
            answer: LoadAnswer = line.recv()
        except (EOFError, ConnectionError) as error:
            self._end()
            assert process.exitcode == -signal.SIGKILL
            self.died += 1
            raise LinkDown("the desk died") from error
        return answer

    def close(self) -> None:
        if self._running is not None:
            self._end()

    def _start(self) -> tuple[multiprocessing.process.BaseProcess, Connection]:
        statement, after = self.deaths.pop(0) if self.deaths else (None, False)
        self._began += 1
        ours, theirs = PROCESSES.Pipe()
        places = (self.world.place(TOPUP), self.world.place(ONECARD))
        process = PROCESSES.Process(target=run_desk, args=(theirs, *places, self._began, statement, after))
        process.start()
        theirs.close()
        return process, ours

    def _end(self) -> None:
        assert self._running is not None, "it was started"
        process, line = self._running
        line.close()
        process.join(ANSWER_S_MAX)
        self._running = None


class ServerWorld(World):
    """The same, with its databases on a PostgreSQL server."""

    home: Home

    def place(self, alias: str) -> Place:
        return self.home.place(alias)


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.slow)])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    (tmp_path / "template").mkdir()
    template, server = make_template(tmp_path / "template"), None
    kind = World
    if request.param == "postgres":
        server, kind = PostgresServer.create(), ServerWorld
        ServerWorld.home = Home(tmp_path / "home", server.url)
        places = [ServerWorld.home.place(alias) for alias in ALIASES]
        make_databases([place for place in places if isinstance(place, ServerPlace)])
    made = kind(tmp_path, template)
    try:
        yield made
    finally:
        made.close()
        if server is not None:
            server.remove()


def walk(world: World, deaths: list[tuple[int, bool]]) -> None:
    """Sell and die until every death was died; then calm, and nothing is lost or made."""
    world.desk.close()
    desk = MortalDesk(world)
    world.desk = desk  # type: ignore[assignment] # it answers what the points ask, which is all they know of a desk
    desk.deaths = list(deaths)
    turns = itertools.cycle(itertools.product(world.points, world.cards))
    while desk.died < len(deaths):
        point, card = next(turns)
        with suppress(LoadFailed, LoadOpen):
            point.sell(5, (card, NO_FAULT), (card, NO_FAULT))
        world.assert_no_money_lost_or_made()
    for point, card in itertools.product(world.points, world.cards):
        with suppress(LoadFailed, LoadOpen):
            point.sell(1, (card, NO_FAULT), (card, NO_FAULT))
    for point in world.points:
        point.program().settle_kept()
        assert point.store.open_loads() == []
    desk.close()
    world.assert_no_money_lost_or_made()
    assert [world.open_load(card) for card in world.cards] == [None, None]
    ledger_holds_what_the_cards_hold(world)


def ledger_holds_what_the_cards_hold(world: World) -> None:
    openings, loads = OpeningSource(world.place(ONECARD)), LoadSource(world.place(TOPUP))
    with open_writer(world.place(LEDGER), LEDGER) as ledger:
        while pull_round(ledger, openings, [loads]).rows:
            pass
        for card in world.cards:
            held = "SELECT coalesce(-sum(amount_fen), 0) FROM posting WHERE account_id = 2001 AND purse = %s"
            assert ledger.number(held, (card.card.to_bytes(),)) == OPENING + world.confirmed_fen(card)
            assert card.purse().balance_fen == OPENING + world.confirmed_fen(card)
    openings.close()
    loads.close()


def test_desk_killed_at_random_statements_loses_and_doubles_no_load(world: World) -> None:
    rng = SystemRandom()
    deaths = [(rng.randrange(1, STATEMENTS), rng.random() < 0.5) for _ in range(4)]
    print(f"deaths: {deaths}")
    walk(world, deaths)


@pytest.mark.slow
def test_desk_killed_at_every_statement_loses_and_doubles_no_load(world: World) -> None:
    walk(world, [(statement, after) for statement in range(1, STATEMENTS) for after in (False, True)])
