"""Copies of the databases that are whole and consistent, taken while they are written, and how one is put back.

A copy is an SQLite file with the same tables and rules, whichever database it is from: it can be put back into either,
and looked into with any tool. Left out: which databases, and in what order (`settlement.commands.backup`).
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

from settlement.store.database import migrate, open_reader
from settlement.store.faults import StoreFault
from settlement.store.lock import WriterLock
from settlement.store.place import Place, ServerPlace
from settlement.store.postgres import PostgresConnection
from settlement.store.server import replace_rows
from settlement.store.sqlite import sync_folder

_PORTION_ROWS: Final = 2_000
_TABLES: Final = """
    SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' AND name <> 'django_migrations'
"""
_RULES: Final = "SELECT name, sql FROM sqlite_master WHERE type = 'trigger'"


def back_up(place: Place, alias: str, target: Path) -> None:
    """A consistent copy as of now at `target`, on the disk when this returns; raises `StoreFault`, `SchemaMissing`."""
    open_reader(place, alias).close()  # a database that this version cannot read is not copied by it
    draft = target.with_name(target.name + ".new")
    draft.unlink(missing_ok=True)
    with _typed_faults(target):
        if isinstance(place, Path):
            with closing(_read_only(place)) as live, closing(sqlite3.connect(draft)) as copy:
                live.backup(copy)
        else:
            _copy_rows(place, alias, draft)
        _settle(draft)
    draft.replace(target)
    sync_folder(target.parent)


def restore(copy: Path, place: Place, alias: str) -> None:
    """Put a copy in the database's place; nobody may have the database open.

    Raises `DatabaseInUse`, `SchemaMissing` for a copy of another version, and `StoreFault`; cut short, it is repeated.
    """
    open_reader(copy, alias).close()
    with _typed_faults(copy):
        if isinstance(place, Path):
            _replace_file(copy, place)
        else:
            with closing(_read_only(copy)) as rows:
                tables = {name: _columns(rows, name) for (name,) in rows.execute(_TABLES).fetchall()}
                replace_rows(place, tables, lambda name: rows.execute(_select(name, tables[name])))


def _replace_file(copy: Path, path: Path) -> None:
    draft = path.with_name(path.name + ".new")
    draft.unlink(missing_ok=True)
    with closing(_read_only(copy)) as source, closing(sqlite3.connect(draft)) as target:
        source.backup(target)
        target.execute("PRAGMA journal_mode = WAL")
    _sync_file(draft)
    with WriterLock(path):
        # First these: another file's log must never be found beside the new one.
        for rest in ("-wal", "-shm"):
            path.with_name(path.name + rest).unlink(missing_ok=True)
        draft.replace(path)
        sync_folder(path.parent)


def _copy_rows(place: ServerPlace, alias: str, draft: Path) -> None:
    """All rows as of one moment, into a file with this version's tables and rules."""
    migrate(draft, alias)
    with closing(PostgresConnection(place, writes=False)) as live, closing(sqlite3.connect(draft)) as copy:
        rules = copy.execute(_RULES).fetchall()
        for name, _ in rules:  # they look at rows one by one, and stand in the way of a whole that keeps them
            copy.execute(f"DROP TRIGGER {name}")
        live.begin()
        for (table,) in copy.execute(_TABLES).fetchall():
            columns = _columns(copy, table)
            copy.execute(f"DELETE FROM {table}")
            values = ", ".join("?" * len(columns))
            for portion in live.portions(_select(table, columns), _PORTION_ROWS):
                copy.executemany(f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({values})", portion)
        live.commit()
        for _, sql in rules:
            copy.execute(sql)
        copy.commit()


def _settle(draft: Path) -> None:
    """One file without a log beside it, whole, on the disk."""
    with closing(sqlite3.connect(draft)) as copy:
        copy.execute("PRAGMA journal_mode = DELETE")
        ((found,),) = copy.execute("PRAGMA quick_check(1)").fetchall()
        if found != "ok" or copy.execute("PRAGMA foreign_key_check").fetchone() is not None:
            raise StoreFault(f"the copy is not whole: {found}")
    _sync_file(draft)


def _columns(db: sqlite3.Connection, table: str) -> list[str]:
    return [name for (name,) in db.execute("SELECT name FROM pragma_table_info(?)", (table,)).fetchall()]


def _select(table: str, columns: list[str]) -> str:
    return f"SELECT {', '.join(columns)} FROM {table} ORDER BY 1"


def _read_only(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)


def _sync_file(path: Path) -> None:
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)


@contextmanager
def _typed_faults(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise StoreFault(f"{path.name}: {error}") from error
