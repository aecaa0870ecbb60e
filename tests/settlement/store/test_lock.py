"""One writing process a file."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from settlement.store.lock import DatabaseInUse, WriterLock


def test_second_writer_is_told_who_has_it(tmp_path: Path) -> None:
    with WriterLock(tmp_path / "a.db"):
        with pytest.raises(DatabaseInUse, match=f"a.db is written by process {os.getpid()}"):
            WriterLock(tmp_path / "a.db")
        WriterLock(tmp_path / "b.db").close()


def test_lock_is_free_again_after_close_and_a_second_close_does_nothing(tmp_path: Path) -> None:
    lock = WriterLock(tmp_path / "a.db")
    lock.close()
    with WriterLock(tmp_path / "a.db"):
        lock.close()
        with pytest.raises(DatabaseInUse):
            WriterLock(tmp_path / "a.db")
