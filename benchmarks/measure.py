"""What every benchmark needs: a folder on the disk to be measured, a stopwatch, order statistics, a table, bare floors.

A floor does the same disk work with nothing around it, in the same run; only ratios against it mean anything elsewhere.
"""

from __future__ import annotations

import os
import platform
import sqlite3
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median, quantiles
from typing import Final

import apsw

from wire.record import RECORD_BYTES

ROW: Final = bytes(RECORD_BYTES)
PAGE: Final = bytes(4096)

_SCHEMA: Final = "CREATE TABLE bare (id INTEGER PRIMARY KEY, row BLOB NOT NULL)"
_INSERT: Final = "INSERT INTO bare (row) VALUES (?)"


def timed(action: Callable[[], object]) -> float:
    """How many seconds `action` takes."""
    began_s = time.perf_counter()
    action()
    return time.perf_counter() - began_s


def middle_and_p95(samples: Sequence[float]) -> tuple[float, float]:
    """Median and 95th percentile."""
    return median(samples), quantiles(samples, n=20, method="inclusive")[-1]


def table(rows: Sequence[Sequence[str]]) -> str:
    """Columns under each other: the first to the left, all others to the right."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    lines = (
        "  ".join(
            cell.rjust(width) if index else cell.ljust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    )
    return "\n".join(line.rstrip() for line in lines)


def heading(command: str, *, seed: int) -> str:
    """How to have the same again, and on what it was measured."""
    return (
        f"python -m benchmarks {command} --seed {seed}\n"
        f"{os.cpu_count()} cores, Python {platform.python_version()}, SQLite {apsw.sqlite_lib_version()} in the till, "
        f"{sqlite3.sqlite_version} in the server"
    )


def scratch_folder(parent: Path) -> tempfile.TemporaryDirectory[str]:
    """An empty folder in `parent`, gone at the end."""
    return tempfile.TemporaryDirectory(prefix=".benchmark-", dir=parent)


class BareTill:
    """One small row a commit, with the till's SQLite in WAL and FULL."""

    def __init__(self, path: Path) -> None:
        self._db = apsw.Connection(str(path))
        assert self._db.pragma("journal_mode", "wal") == "wal", "the floor is in WAL"
        self._db.pragma("synchronous", "FULL")
        self._db.execute(_SCHEMA)

    def commit(self) -> None:
        """Insert one row, durably."""
        self._db.execute(_INSERT, (ROW,))

    def close(self) -> None:
        """Close the file."""
        self._db.close()


class BareServer:
    """Any number of rows a commit, with the server's SQLite in WAL and FULL."""

    def __init__(self, path: Path) -> None:
        self._db = sqlite3.connect(path, isolation_level=None)
        assert self._db.execute("PRAGMA journal_mode = WAL").fetchone() == ("wal",), "the floor is in WAL"
        self._db.execute("PRAGMA synchronous = FULL")
        self._db.execute(_SCHEMA)

    def commit(self, count: int) -> None:
        """Insert `count` rows, durably and together."""
        self._db.execute("BEGIN IMMEDIATE")
        self._db.executemany(_INSERT, ((ROW,) for _ in range(count)))
        self._db.execute("COMMIT")

    def close(self) -> None:
        """Close the file."""
        self._db.close()


class BareFile:
    """A page appended and made durable, without any database."""

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)

    def append(self) -> None:
        """Append one page, durably."""
        os.write(self._fd, PAGE)
        os.fdatasync(self._fd)

    def close(self) -> None:
        """Close the file."""
        os.close(self._fd)
