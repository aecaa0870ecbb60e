"""The file `uplink.db`: made, locked, opened with the settings that lose no commit, and brought up to date.

Left out: what is in it (`sync.store`, `sync.tables`).
"""

from __future__ import annotations

import fcntl
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import BinaryIO, Final

from sync.identity import sync_folder
from sync.tables import MIGRATIONS
from wire.errors import CampusError

_BUSY_S: Final = 5.0  # readers never hold a WAL file for long
_SYNCHRONOUS_FULL: Final = 2
_NOT_TAKEN: Final = (  # the disk or another process is in the way: the same write may succeed later
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
)


class StoreMissing(CampusError):
    """There is no uplink database: this terminal was never enrolled."""

    code = "uplink-missing"


class StoreDamaged(CampusError):
    """The file is no uplink database, or its content makes no sense."""

    code = "uplink-damaged"


class StoreUnwritable(CampusError):
    """The disk is full or failing; nothing of what was to be kept is kept, and the same may succeed later."""

    code = "uplink-unwritable"
    retryable = True


class StoreInUse(CampusError):
    """Another sync daemon, or an enrolment, writes this database."""

    code = "uplink-in-use"


def fault(words: str, error: sqlite3.Error) -> StoreUnwritable | StoreDamaged:
    """What a database's error means: it passes, or a person has to look at the file."""
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF  # without the extended code's detail
    return (StoreUnwritable if code in _NOT_TAKEN else StoreDamaged)(f"{words}: {error}")


def connect(path: Path, mode: str) -> sqlite3.Connection:
    """Open an existing file and assert the one setting that loses no commit in a power cut."""
    connection: sqlite3.Connection | None = None
    try:
        connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode={mode}", uri=True, timeout=_BUSY_S)
        connection.isolation_level = None  # transactions begin and end where `_commit` says
        connection.execute("PRAGMA synchronous = FULL")
        [journal_mode] = connection.execute("PRAGMA journal_mode").fetchone()
        [synchronous] = connection.execute("PRAGMA synchronous").fetchone()
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    except sqlite3.Error as error:
        if connection is not None:
            connection.close()
        words = f"{path} cannot be opened"
        raise (fault(words, error) if mode == "rw" else StoreDamaged(f"{words}: {error}")) from error
    if journal_mode != "wal" or synchronous != _SYNCHRONOUS_FULL or not {"cursor", "batches"} <= tables:
        connection.close()
        raise StoreDamaged(f"{path} is no uplink database (mode {journal_mode}, synchronous {synchronous})")
    return connection


def migrate(connection: sqlite3.Connection, path: Path) -> None:
    """Bring the tables of an older version of this program up to date, all or none."""
    try:
        [done] = connection.execute("PRAGMA user_version").fetchone()
        if later := MIGRATIONS[max(done, 1) :]:
            _apply(connection, later)
    except sqlite3.Error as error:
        raise fault(f"{path} cannot be brought up to date", error) from error


def _apply(connection: sqlite3.Connection, scripts: tuple[str, ...]) -> None:
    connection.executescript(f"BEGIN; {''.join(scripts)} PRAGMA user_version = {len(MIGRATIONS)}; COMMIT;")


def create(path: Path) -> None:
    """Make the file under another name and rename it, so that readers find it whole or not at all."""
    draft = path.with_name(path.name + ".new")
    try:
        for leftover in (draft, draft.with_name(draft.name + "-wal"), draft.with_name(draft.name + "-shm")):
            leftover.unlink(missing_ok=True)
        with closing(sqlite3.connect(draft)) as connection:  # the last one out moves all from the WAL into the file
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            _apply(connection, MIGRATIONS)
        draft.rename(path)
        sync_folder(path.parent)
    except (sqlite3.Error, OSError) as error:
        raise StoreUnwritable(f"{path} cannot be made: {error}") from error


def lock(path: Path) -> BinaryIO:
    """Hold the lock file beside the database; `StoreInUse` if somebody else does."""
    try:
        held = path.with_name(path.name + ".lock").open("ab")
    except OSError as error:
        raise StoreUnwritable(f"{path.parent} cannot be written: {error}") from error
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        held.close()
        raise StoreInUse(f"another campus-syncd is writing {path}") from error
    return held
