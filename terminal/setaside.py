"""A damaged journal is put aside whole, with all that can be learnt from it; the epoch ends with it.

The till never goes on behind the damage: numbers would be given out twice. So the uplink's database of the same epoch
goes first, and without it neither till nor daemon starts until a new ticket begins a new epoch. Everything is put into
one folder whose name ends in `.part` until all is done; after a cut, a second run goes on where the first one ended.
Left out: what is in the bytes (`terminal.salvage`), words for people (`terminal.journalcommand`).
"""

from __future__ import annotations

import fcntl
import json
import os
from contextlib import ExitStack, closing, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import apsw

from terminal.downlink import Downlink, DownlinkUnreadable, Enrolment, NotEnrolled
from terminal.export import JournalContent, load_terminal_key, sync_folder, write_journal_file
from terminal.journal import JournalDamaged, JournalHead, JournalMissing, JournalReader, lock_journal, unwritable
from terminal.journalview import listed
from terminal.salvage import Salvaged, debits_fen, salvage
from wire.errors import CampusError
from wire.ids import TerminalId
from wire.receipt import Cursor
from wire.record import Outcome, genesis_hash
from wire.shift import ShiftReport
from wire.signature import KeyUnreadable

REPORT_NAME: Final = "report.json"
FOLDER_PREFIX: Final = "journal-set-aside-"

_JOURNAL: Final = "journal.db"
_UPLINK: Final = "uplink.db"
_PART: Final = ".part"
_READ_BYTES: Final = 4096  # what a disk that fails cannot give is lost in pieces of this size


class JournalWhole(CampusError):
    """The journal is whole, so it is not set aside."""

    code = "journal-whole"


class UplinkInUse(CampusError):
    """The sync daemon is running, and would go on with the epoch that ends."""

    code = "uplink-in-use"


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """What was learnt of the damaged journal, as `report.json` keeps it.

    `proven_taps` from number 1 on are whole; `acknowledged_taps` are at the server, None: not known here. From
    `lost_from` on nothing is proven anywhere. `export` is the signed file's name in the folder, None with the reason in
    `no_export`. `evidence` are the records behind that could still be read; `evidence_paid_fen` is what they say was
    paid, `evidence_asked_fen` what was asked of cards whose answer could not be read.
    """

    terminal: str | None
    epoch: int | None
    damage: str
    proven_taps: int
    proven_fen: int
    acknowledged_taps: int | None
    exported_new_taps: int
    exported_new_fen: int
    export: str | None
    no_export: str | None
    shift_reports: int
    lost_from: int
    evidence: list[dict[str, str | int | None]]
    evidence_paid_fen: int
    evidence_asked_fen: int
    ends_enrolment: bool


@dataclass(frozen=True, slots=True)
class _Damaged:
    """The journal with whose it is, what it proves, how far the server has it, and its shifts."""

    identity: tuple[TerminalId, int] | None
    damage: str
    salvaged: Salvaged
    acknowledged: Cursor | None
    reports: list[ShiftReport]
    ends_enrolment: bool


def set_aside(folder: Path, *, utc_s: int) -> tuple[Path, Findings]:
    """Put the damaged journal of a terminal's folder aside; the new folder, and what was found.

    Raises `JournalWhole` or `JournalMissing` if there is nothing to put aside, `JournalInUse` or `UplinkInUse` while a
    program runs, `JournalUnwritable` or what the export raises; then the journal is where it was, or a second run ends
    what was begun.
    """
    with ExitStack() as held:
        held.callback(os.close, lock_journal(folder / _JOURNAL))
        held.callback(os.close, _lock_uplink(folder))
        part = next(iter(sorted(folder.glob(f"{FOLDER_PREFIX}*{_PART}"))), None)
        try:
            if part is not None and ((part / _UPLINK).exists() or (part / _JOURNAL).exists()):
                findings = Findings(**json.loads((part / REPORT_NAME).read_text(encoding="utf-8")))
            else:
                damaged = _examine(folder)
                part = part or _make_part(folder, utc_s)
                findings = _write_findings(damaged, folder, part)
            if findings.ends_enrolment:
                _move_uplink(folder, part)
            _move_journal(folder, part)
            done = part.with_suffix("")
            part.rename(done)
            sync_folder(folder)
        except OSError as error:
            raise unwritable(f"the journal could not be put aside in {folder}", error) from error
    return done, findings


def _lock_uplink(folder: Path) -> int:
    """Hold the lock of the sync daemon; `UplinkInUse` if it runs."""
    try:
        lock_fd = os.open(folder / f"{_UPLINK}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise unwritable(f"{folder} cannot be written", error) from error
    try:
        fcntl.flock(lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(lock_fd)
        raise UplinkInUse("campus-syncd is running on this folder; end it first") from error
    return lock_fd


def _examine(folder: Path) -> _Damaged:
    """Read what can be read; nothing is changed."""
    path = folder / _JOURNAL
    named: tuple[TerminalId, int] | None = None
    reports: list[ShiftReport] = []
    if not path.exists() and (earlier := sorted(folder.glob(f"{FOLDER_PREFIX}*"))):
        raise JournalMissing(f"there is no journal at {path}; the last one was put aside in {earlier[-1].name}")
    try:
        with closing(JournalReader.open(path)) as reader:
            named, reports = (reader.terminal, reader.epoch), _reports(reader)
            head = reader.verify()
    except JournalDamaged as error:
        damage = str(error)
    else:
        raise JournalWhole(f"{path.name} is whole, {head.seq} taps; nothing was changed")
    pieces = [_readable(piece) for piece in (path, path.with_name(f"{path.name}-wal")) if piece.exists()]
    with closing(Downlink(folder / _UPLINK)) as downlink:
        enrolment, acknowledged = _enrolment(downlink)
    enrolled = None if enrolment is None else (enrolment.terminal, enrolment.epoch)
    identity = enrolled or named
    found = Salvaged([], [], []) if identity is None else salvage(pieces, *identity)
    if named is not None and named != enrolled and not (found.proven or found.beyond):
        # Its own name may be damaged, too: another journal it is only with rows of that name.
        others = salvage(pieces, *named)
        if others.proven or others.beyond:
            identity, found, acknowledged = named, others, None
    ends_enrolment = (folder / _UPLINK).exists() and (enrolled is None or identity == enrolled)
    return _Damaged(identity, damage, found, acknowledged, reports, ends_enrolment)


def _reports(reader: JournalReader) -> list[ShiftReport]:
    """The reports of closed shifts up to the first that cannot be read or does not follow."""
    reports: list[ShiftReport] = []
    with suppress(JournalDamaged):
        while page := reader.reports(len(reports) + 1, 1):
            reports += page
    return reports


def _enrolment(downlink: Downlink) -> tuple[Enrolment | None, Cursor | None]:
    try:
        return downlink.enrolment(), downlink.acknowledged().cursor
    except (NotEnrolled, DownlinkUnreadable):
        return None, None


def _readable(path: Path) -> bytes:
    """The file's bytes, with zeros where the disk gives none."""
    pieces = []
    with path.open("rb", buffering=0) as file:
        for at in range(0, os.fstat(file.fileno()).st_size, _READ_BYTES):
            try:
                pieces.append(os.pread(file.fileno(), _READ_BYTES, at))
            except OSError:
                pieces.append(bytes(_READ_BYTES))
    return b"".join(pieces)


def _make_part(folder: Path, utc_s: int) -> Path:
    """An empty folder with the date in its name, that no earlier one has."""
    dated = f"{FOLDER_PREFIX}{datetime.fromtimestamp(utc_s, UTC):%Y%m%dT%H%M%SZ}"
    number, name = 1, dated
    while (folder / name).exists():
        number += 1
        name = f"{dated}-{number}"
    part = folder / f"{name}{_PART}"
    part.mkdir(mode=0o700)
    sync_folder(folder)
    return part


def _write_findings(damaged: _Damaged, folder: Path, part: Path) -> Findings:
    """The signed export, if the server lacks any of it, then the report; both durable."""
    found, cursor = damaged.salvaged, damaged.acknowledged
    proven = len(found.proven)
    at_server = 0 if cursor is None else cursor.next_seq - 1
    export, no_export = None, _no_export(damaged, at_server)
    reports = [
        report
        for report in damaged.reports
        if report.next_seq <= proven + 1 and report.journal_hash == _hash_before(damaged, report.next_seq)
    ]
    if no_export is None and damaged.identity is not None:
        head = JournalHead(proven, found.hashes[-1], found.total_fen)
        content = JournalContent(
            *damaged.identity, head, lambda first, count: found.proven[first - 1 :][:count], reports
        )
        try:
            export = write_journal_file(content, load_terminal_key(folder / "terminal.key"), part)[0].name
        except KeyUnreadable as error:
            no_export = str(error)
    lost_from = max(proven, at_server) + 1
    evidence, new = found.beyond_from(lost_from), found.proven[at_server:] if export is not None else []
    paid_fen, asked_fen = debits_fen(evidence)
    findings = Findings(
        terminal=None if damaged.identity is None else damaged.identity[0].hex(),
        epoch=None if damaged.identity is None else damaged.identity[1],
        damage=damaged.damage,
        proven_taps=proven,
        proven_fen=found.total_fen,
        acknowledged_taps=None if cursor is None else at_server,
        exported_new_taps=len(new),
        exported_new_fen=sum(record.debited_fen for record in new),
        export=export,
        no_export=no_export,
        shift_reports=len(reports),
        lost_from=lost_from,
        evidence=[listed(record, is_open=record.outcome is Outcome.UNKNOWN) for record in evidence],
        evidence_paid_fen=paid_fen,
        evidence_asked_fen=asked_fen,
        ends_enrolment=damaged.ends_enrolment,
    )
    _write_durably(part / REPORT_NAME, json.dumps(asdict(findings), indent=2, ensure_ascii=False) + "\n")
    return findings


def _no_export(damaged: _Damaged, at_server: int) -> str | None:
    """Why there is nothing to be signed; None: there is."""
    proven = len(damaged.salvaged.proven)
    cursor = damaged.acknowledged
    if cursor is not None and at_server <= proven and _hash_before(damaged, cursor.next_seq) != cursor.head_hash:
        return "the server has other taps under these numbers; call the operator"
    return "the server has every tap that could be proven" if proven <= at_server else None


def _hash_before(damaged: _Damaged, seq: int) -> bytes | None:
    if damaged.identity is None:
        return None
    return genesis_hash(*damaged.identity) if seq == 1 else damaged.salvaged.hashes[seq - 2]


def _write_durably(path: Path, text: str) -> None:
    draft = path.with_name(f"{path.name}.new")
    with draft.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    draft.rename(path)
    sync_folder(path.parent)


def _move_uplink(folder: Path, part: Path) -> None:
    """Its side files first: beside them a new database would take their content for its own."""
    if (part / _UPLINK).exists():
        return  # what is in the folder now is of a new enrolment
    try:
        with closing(apsw.Connection(str(folder / _UPLINK), flags=apsw.SQLITE_OPEN_READWRITE)) as connection:
            connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
    except apsw.Error:
        pass  # one that is damaged goes as it is, in three pieces
    for name in (f"{_UPLINK}-wal", f"{_UPLINK}-shm", _UPLINK):
        _move(folder / name, part)


def _move_journal(folder: Path, part: Path) -> None:
    """The -wal last: no till makes a journal beside one, so a journal that is there after a cut is a new epoch's."""
    if not (part / _JOURNAL).exists():
        _move(folder / f"{_JOURNAL}-shm", part)
        _move(folder / _JOURNAL, part)
    if not (folder / _JOURNAL).exists():
        _move(folder / f"{_JOURNAL}-wal", part)


def _move(source: Path, into: Path) -> None:
    """Durably, under a name that nothing has there; nothing happens if there is no such file."""
    if not source.exists():
        return
    number, name = 1, source.name
    while (into / name).exists():
        number += 1
        name = f"{source.name}.{number}"
    source.rename(into / name)
    sync_folder(into)
    sync_folder(source.parent)
