"""The writer thread starts with its databases or not at all."""

from __future__ import annotations

import time

import pytest

from settlement.settings import Home
from settlement.store.database import SchemaMissing, open_writer
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
