"""What can befall one stream of a running server: killed, stopped, locked, damaged, its disk full; and how it ends.

Each is a context: the trouble lasts as long as its block. Left out: what the others notice.
"""

from __future__ import annotations

import shutil
import signal
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from pathlib import Path
from typing import Final

from benchmarks.service import Server
from settlement.settings import Home
from wire.errors import CampusError
from wire.ids import Stream

DISK_FULL: Final = "disk full"

_DISK_SPARE_BYTES: Final = 64 << 20  # for what a stream takes in before its disk is filled, and after


class MayNotMount(CampusError):
    """A disk small enough to be filled has to be mounted, which the system allows to root alone."""

    code = "may-not-mount"


@contextmanager
def on_small_disk(home: Home, stream: Stream) -> Iterator[None]:
    """The stream's database is on a small disk of its own; for a server that is started and ended in the block.

    Raises `MayNotMount`.
    """
    disk, path = home.root / "small-disk", home.database(stream.label)
    disk.mkdir()
    size = path.stat().st_size + _DISK_SPARE_BYTES
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(disk)]
    if subprocess.run(mount, stderr=subprocess.DEVNULL, check=False).returncode:
        disk.rmdir()
        raise MayNotMount("only root may mount a small disk")
    try:
        _move_database(path, disk / path.name)
        path.symlink_to(disk / path.name)
        try:
            yield
        finally:
            path.unlink()
            _move_database(disk / path.name, path)
    finally:
        subprocess.run(["umount", str(disk)], check=True)
        disk.rmdir()


def _move_database(path: Path, target: Path) -> None:
    _empty_wal(path)  # what the ledger still read was left in the WAL file
    shutil.move(path, target)


def _empty_wal(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db:
        ((is_busy, _, _),) = db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    assert not is_busy, "nobody keeps an old state of a stream's database for seconds"


@contextmanager
def _killed(server: Server, stream: Stream) -> Iterator[None]:
    server.send(stream.label, signal.SIGKILL)
    yield


@contextmanager
def _stopped(server: Server, stream: Stream) -> Iterator[None]:
    server.send(stream.label, signal.SIGSTOP)
    try:
        yield
    finally:
        server.send(stream.label, signal.SIGCONT)


@contextmanager
def _locked(server: Server, stream: Stream) -> Iterator[None]:
    with closing(sqlite3.connect(server.home.database(stream.label), isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


@contextmanager
def _damaged(server: Server, stream: Stream) -> Iterator[None]:
    """Nonsense all over the file, found when the process starts anew; then last night's backup is put in its place."""
    path = server.home.database(stream.label)
    backup = path.with_suffix(".backup")
    with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(backup)) as target:
        source.backup(target)
    server.send(stream.label, signal.SIGKILL)
    with path.open("r+b") as file:
        file.write(b"\xa5" * path.stat().st_size)
    try:
        yield
    finally:
        for end in ("-wal", "-shm"):
            path.with_name(path.name + end).unlink(missing_ok=True)
        backup.replace(path)


@contextmanager
def _full(server: Server, stream: Stream) -> Iterator[None]:
    """No byte is free, in the WAL neither: that keeps its length, and so has room for some thousand taps."""
    path = server.home.database(stream.label).resolve()
    _empty_wal(path)
    ballast = path.with_name("ballast")
    with ballast.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(1 << 16))
    try:
        yield
    finally:
        ballast.unlink()


TROUBLES: Final[dict[str, Callable[[Server, Stream], AbstractContextManager[None]]]] = {
    "killed": _killed,
    "stopped": _stopped,
    "locked": _locked,
    "damaged": _damaged,
    DISK_FULL: _full,  # of a database that is `on_small_disk`: any other disk is everybody's
}
