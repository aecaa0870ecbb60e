"""The writer thread starts with its databases or not at all."""

from __future__ import annotations

import asyncio
import time

import pytest

from settlement.settings import Home
from settlement.store.database import Collision, SchemaMissing, open_writer
from settlement.store.lock import DatabaseInUse
from settlement.streams.desk import Desk, WriterThread


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
