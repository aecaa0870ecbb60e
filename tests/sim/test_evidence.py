"""The auditor's evidence from a real home: complete, consistent beside running programs, or a clear error."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest

from settlement.audit.evidence import EvidenceMissing
from settlement.audit.points import Finding
from sim.audit import audit
from sim.card.memory import MemoryFault
from sim.crowd import crowd
from sim.evidence import Evidence, gather, open_reader
from terminal.journal import JournalDamaged
from wire.ids import Stream

DATABASES = (
    "settlement/ledger.db",
    "settlement/onecard.db",
    "settlement/topup.db",
    "settlement/canteen.db",
    "terminal/journal.db",
)


def gathered(home: Path, scratch: Path) -> Evidence:
    scratch.mkdir(exist_ok=True)
    cards = [student.path for student in crowd(home / "sim" / "cards")]
    return gather(home, stream=Stream.CANTEEN, card_files=cards, scratch=scratch)


def findings(evidence: Evidence) -> list[Finding]:
    return audit(evidence)


def test_evidence_of_a_run_is_complete_and_gives_no_objection(home: Path, tmp_path: Path) -> None:
    evidence = gathered(home, tmp_path)
    assert len(evidence.sealed) == len(evidence.stream) == evidence.ledger_position
    assert len(evidence.sealed) >= 8
    assert (len(evidence.cards), evidence.opened) == (20, [])
    assert [finding.objections for finding in findings(evidence)] == [()] * 5


def test_evidence_changes_nothing_in_the_home(copied_home: Path, tmp_path: Path) -> None:
    before = {name: (copied_home / name).read_bytes() for name in DATABASES}
    findings(gathered(copied_home, tmp_path / "scratch"))
    assert {name: (copied_home / name).read_bytes() for name in DATABASES} == before


def test_copy_of_a_database_that_is_being_written_holds_whole_transactions(copied_home: Path, tmp_path: Path) -> None:
    """A writer adds pairs of hotlist entries without a pause; no copy has an odd one."""
    enough = threading.Event()
    written = threading.Event()

    def write() -> None:
        with closing(sqlite3.connect(copied_home / "settlement" / "onecard.db")) as db:
            position = db.execute("SELECT max(position) FROM hotlist_entry").fetchone()[0]
            while not enough.is_set():
                with db:
                    for _ in range(2):
                        position += 1
                        db.execute("INSERT INTO hotlist_entry VALUES (?, x'', x'', 1, 'pair', 0)", (position,))
                written.set()

    writer = threading.Thread(target=write)
    writer.start()
    try:
        assert written.wait(10)
        for number in range(5):
            evidence = gathered(copied_home, tmp_path / str(number))
            with closing(open_reader(evidence.copies["onecard"])) as copy:
                (pairs,) = copy.execute("SELECT count(*) FROM hotlist_entry WHERE reason = 'pair'").fetchone()
            assert pairs % 2 == 0
    finally:
        enough.set()
        writer.join()


@pytest.mark.parametrize("name", DATABASES)
def test_missing_database_is_named(copied_home: Path, tmp_path: Path, name: str) -> None:
    (copied_home / name).unlink()
    with pytest.raises(EvidenceMissing, match=Path(name).name):
        gathered(copied_home, tmp_path / "scratch")
    assert not (copied_home / name).exists()


@pytest.mark.parametrize("name", DATABASES)
def test_file_that_is_no_database_is_an_error_of_ours(copied_home: Path, tmp_path: Path, name: str) -> None:
    for leftover in ("", "-wal", "-shm"):
        (copied_home / (name + leftover)).unlink(missing_ok=True)
    (copied_home / name).write_bytes(b"this is no database at all" * 100)
    with pytest.raises((EvidenceMissing, JournalDamaged)):
        gathered(copied_home, tmp_path / "scratch")


def test_database_without_a_table_is_an_error_of_ours(copied_home: Path, tmp_path: Path) -> None:
    with closing(sqlite3.connect(copied_home / "settlement" / "canteen.db")) as db:
        db.execute("PRAGMA legacy_alter_table = ON")  # the view over it goes on naming it
        db.execute("ALTER TABLE suspended_tap RENAME TO hctab")
    with pytest.raises(EvidenceMissing, match="no such table"):
        gathered(copied_home, tmp_path / "scratch")


def test_missing_card_is_an_error_of_ours(copied_home: Path, tmp_path: Path) -> None:
    (copied_home / "sim" / "cards" / "07.card").unlink()
    with pytest.raises(MemoryFault):
        gathered(copied_home, tmp_path / "scratch")


def test_reader_cannot_write(home: Path) -> None:
    with closing(open_reader(home / "settlement" / "ledger.db")) as db, pytest.raises(sqlite3.OperationalError):
        db.execute("INSERT INTO account VALUES (1, 'mine')")
