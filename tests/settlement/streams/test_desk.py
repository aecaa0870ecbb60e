"""The writer thread starts with its databases or not at all."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable

import pytest

from settlement.settings import Home
from settlement.store.database import (
    Collision,
    Database,
    RuleBroken,
    SchemaMissing,
    StoreFault,
    open_reader,
    open_writer,
)
from settlement.store.lock import DatabaseInUse
from settlement.streams import store
from settlement.streams.desk import Desk, WriterThread
from wire.ids import TerminalId


def test_database_that_another_process_writes_stops_the_start(home: Home) -> None:
    def open_desk() -> Desk:
        open_writer(home.database("canteen"), "canteen")
        raise AssertionError("the second writer must not get it")

    with open_writer(home.database("canteen"), "canteen"):
        thread = WriterThread(open_desk, queue_max=1, deadline_s=1.0, monotonic=time.monotonic)
        with pytest.raises(DatabaseInUse):
            thread.start()


def test_missing_database_stops_the_start(home: Home) -> None:
    def open_desk() -> Desk:
        open_writer(home.folder / "nowhere.db", "canteen")
        raise AssertionError("there is no such database")

    with pytest.raises(SchemaMissing):
        WriterThread(open_desk, queue_max=1, deadline_s=1.0, monotonic=time.monotonic).start()


class Closed(Desk):
    """No databases at all: what is tried is the thread."""

    def __init__(self) -> None:
        """Without them."""

    def close(self) -> None:
        """Nothing to close."""


@pytest.mark.parametrize(("collisions", "comes_through"), [(0, True), (3, True), (4, False)])
def test_job_that_collides_with_another_is_done_again_a_few_times(collisions: int, comes_through: bool) -> None:
    left = [Collision("could not serialize access")] * collisions

    def work(_: Desk) -> str:
        if left:
            raise left.pop()
        return "done"

    thread = WriterThread(Closed, queue_max=1, deadline_s=60.0, monotonic=time.monotonic)
    thread.start()
    try:
        if comes_through:
            assert asyncio.run(thread.ask(work)) == "done"
        else:
            with pytest.raises(Collision):
                asyncio.run(thread.ask(work))
    finally:
        thread.finish()


class Plain(Desk):
    """A stream's database and nothing else: what is tried is the thread."""

    def __init__(self, db: Database) -> None:
        """With it."""
        self._db = db

    def close(self) -> None:
        """Close it."""
        self._db.close()

    def keep(self, number: int) -> int:
        """A row in a transaction of its own."""
        with self._db.transaction():
            store.add_answer(self._db, number, TERMINAL, "text", now_utc_s=1)
        return number


TERMINAL = TerminalId(bytes(6))
Work = Callable[[Plain], object]


def done_together(home: Home, *jobs: Work) -> list[object]:
    """What became of jobs that all wait when the thread comes to them."""
    waiting = threading.Event()

    def hold(_: Desk) -> None:
        assert waiting.wait(10), "the others are queued by then"

    async def release() -> None:
        waiting.set()

    async def ask() -> list[object]:
        asked = [thread.ask(job) for job in jobs]  # type: ignore[arg-type] # the desk is a Plain
        _, *answers, _ = await asyncio.gather(thread.ask(hold), *asked, release(), return_exceptions=True)
        return answers

    thread = WriterThread(
        lambda: Plain(open_writer(home.database("canteen"), "canteen")),
        queue_max=20,
        deadline_s=60.0,
        monotonic=time.monotonic,
    )
    thread.start()
    try:
        return asyncio.run(ask())
    finally:
        thread.finish()


def kept(home: Home) -> list[int]:
    """The rows that anybody sees."""
    with open_reader(home.database("canteen"), "canteen") as db:
        return db.query("SELECT number FROM answer ORDER BY number", into=int)


def fail_behind(desk: Plain) -> None:
    with desk._db.transaction():
        store.add_answer(desk._db, 9, TERMINAL, "text", now_utc_s=1)
        raise ValueError("after a row")


def test_jobs_that_wait_are_committed_together_and_told_then(home: Home) -> None:
    seen: list[list[int]] = []
    first, again, second, failed, _ = done_together(
        home,
        lambda desk: desk.keep(1),
        lambda desk: desk.keep(1),
        lambda desk: desk.keep(2),
        fail_behind,
        lambda _: seen.append(kept(home)),
    )
    assert (first, second) == (1, 2)
    assert isinstance(again, RuleBroken)
    assert isinstance(failed, ValueError)
    assert seen == [[]], "nothing is seen before all of it is committed"
    assert kept(home) == [1, 2]


def test_fault_in_a_group_has_each_of_it_done_by_itself(home: Home) -> None:
    faults = [StoreFault("the disk"), StoreFault("the disk")]

    def fail_at_first(_: Desk) -> None:
        raise faults.pop()

    first, failed, second = done_together(home, lambda desk: desk.keep(1), fail_at_first, lambda desk: desk.keep(2))
    assert (first, second) == (1, 2)
    assert isinstance(failed, StoreFault)
    assert kept(home) == [1, 2]
