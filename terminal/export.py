"""The whole journal on a USB stick, for a terminal that no network reaches: signed, for the server to take in.

Written under another name, made durable, then renamed: on the stick is the whole file or none. Left out: the file's
form (`wire.journalfile`), and taking it in (`campus-settlement import-journal`).
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from terminal.journal import JournalHead, JournalReader
from wire.batch import TAPS_MAX, SettlementBatch, sign_batch
from wire.directory import CodingState
from wire.errors import CampusError
from wire.ids import TerminalId
from wire.journalfile import journal_file
from wire.messages import Upload
from wire.record import TapRecord, genesis_hash
from wire.shift import ShiftReport
from wire.signature import KeyUnreadable, read_private_key

_REPORTS_PAGE: Final = 100
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_READ_ONLY: Final = frozenset({errno.EROFS, errno.EACCES, errno.EPERM})


class StickMissing(CampusError):
    """The folder to export to is not there: the stick is not plugged in, or not mounted there."""

    code = "stick-missing"


class StickReadOnly(CampusError):
    """The stick, or the folder, may not be written."""

    code = "stick-read-only"


class StickFull(CampusError):
    """There is no room for the journal; nothing is left of the attempt."""

    code = "stick-full"


class StickGone(CampusError):
    """The stick was pulled out or failed before everything was on it; what is left there is no journal."""

    code = "stick-gone"


@dataclass(frozen=True, slots=True)
class Exported:
    """What is on the stick now: `head` is the journal's end in it, `reports` how many shift reports."""

    path: Path
    head: JournalHead
    reports: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class JournalContent:
    """What goes into a file: `records(first_seq, count)` gives the taps, which end with `head`."""

    terminal: TerminalId
    epoch: int
    head: JournalHead
    records: Callable[[int, int], list[TapRecord]]
    reports: list[ShiftReport]


def load_terminal_key(path: Path) -> Ed25519PrivateKey:
    """What the terminal signs with; `KeyUnreadable` otherwise."""
    try:
        return read_private_key(path.read_bytes())
    except OSError as error:
        raise KeyUnreadable(f"{path} cannot be read: {error.strerror}; campus-syncd enrol makes it") from error


def export_journal(
    journal: JournalReader, key: Ed25519PrivateKey, folder: Path, *, sync: Callable[[int], None] = os.fsync
) -> Exported:
    """Write every sealed tap and every shift report to a file in `folder`; safe while the till sells on.

    Raises `StickMissing`, `StickReadOnly`, `StickFull`, `StickGone`, or what the journal raises.
    """
    if not folder.is_dir():
        raise StickMissing(f"there is no folder {folder}")
    head, reports = journal.head(), _reports(journal)
    content = JournalContent(journal.terminal, journal.epoch, head, journal.records, reports)
    path, size_bytes = write_journal_file(content, key, folder, sync=sync)
    return Exported(path, head, len(reports), size_bytes)


def write_journal_file(
    content: JournalContent, key: Ed25519PrivateKey, folder: Path, *, sync: Callable[[int], None] = os.fsync
) -> tuple[Path, int]:
    """Where it is now, durable, and how many bytes it has; raises as `export_journal`."""
    name = f"campus-{content.terminal.hex()}-{content.epoch}-{content.head.seq}.journal"
    draft, size_bytes = folder / f".{name}.part", 0
    pieces = journal_file(content.terminal, content.epoch, _messages(content, key))
    try:
        with draft.open("wb") as file:
            for piece in pieces:
                size_bytes += file.write(piece)
            file.flush()
            sync(file.fileno())
        draft.rename(folder / name)
        sync_folder(folder, sync)
    except OSError as error:
        with suppress(OSError):  # the stick may be gone with it
            draft.unlink(missing_ok=True)
        raise _fault(folder, error) from error
    return folder / name, size_bytes


def _reports(journal: JournalReader) -> list[ShiftReport]:
    reports: list[ShiftReport] = []
    while page := journal.reports(len(reports) + 1, _REPORTS_PAGE):
        reports += page
    return reports


def _messages(content: JournalContent, key: Ed25519PrivateKey) -> Iterator[Upload | ShiftReport]:
    """The sealed taps up to the head in signed batches, then the reports of shifts that ended by then."""
    head, state, total_fen = content.head, CodingState(), 0
    hash_before = genesis_hash(content.terminal, content.epoch)
    for first_seq in range(1, head.seq + 1, TAPS_MAX):
        batch = SettlementBatch(
            terminal=content.terminal,
            epoch=content.epoch,
            hash_before=hash_before,
            total_before_fen=total_fen,
            records=tuple(content.records(first_seq, min(TAPS_MAX, head.seq + 1 - first_seq))),
        )
        yield Upload(sign_batch(batch, key, state))
        hash_before, total_fen = batch.head_hash, total_fen + batch.total_fen
    yield from (report.signed(key) for report in content.reports if report.next_seq <= head.seq + 1)


def sync_folder(folder: Path, sync: Callable[[int], None] = os.fsync) -> None:
    """Make renames in `folder` survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        sync(descriptor)
    finally:
        os.close(descriptor)


def _fault(folder: Path, error: OSError) -> CampusError:
    if error.errno in _FULL:
        return StickFull(f"there is no room in {folder}: {error.strerror}")
    if error.errno in _READ_ONLY:
        return StickReadOnly(f"{folder} cannot be written: {error.strerror}")
    return StickGone(f"{folder} failed before the journal was on it: {error.strerror}")
