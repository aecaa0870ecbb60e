"""The journal against a plain model; what must never be taken: gaps, changes, other settings, damage; and power cuts at
every I/O operation.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Literal

import apsw
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from terminal.journal import (
    Journal,
    JournalDamaged,
    JournalForeign,
    JournalInUse,
    JournalLost,
    JournalMissing,
    JournalReader,
    JournalUnwritable,
    TapNotOpen,
)
from terminal.shiftbook import Shiftbook
from tests.terminal.conftest import INTENT, NOON, TERMINAL
from tests.terminal.disk import CuttableDisk, Image
from wire.errors import CampusError
from wire.ids import TerminalId
from wire.money import Fen
from wire.receipt import Cursor
from wire.record import Mac2, Outcome, Refusal, TapRecord, VoidReason, genesis_hash, next_hash

OpenJournal = Callable[[], Journal]
AMOUNTS = st.integers(1, 0xFFFF_FFFF).map(Fen)


class JournalMachine(RuleBasedStateMachine):
    """Any order of calls and restarts gives what a list and one open tap give."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="journal-"))
        self.journal = self._open()
        self.reader = JournalReader.open(self.folder / "journal.db")
        self.sealed: list[TapRecord] = []
        self.opened: TapRecord | None = None

    def _open(self) -> Journal:
        return Journal.open_for(self.folder / "journal.db", terminal=TERMINAL, epoch=1, acknowledged=None)

    def teardown(self) -> None:
        self.reader.close()
        self.journal.close()
        shutil.rmtree(self.folder)

    @rule(amount_fen=AMOUNTS)
    def open_tap(self, amount_fen: Fen) -> None:
        if self.opened is not None:
            with pytest.raises(TapNotOpen):
                self.journal.open_tap(INTENT)
            return
        self.opened = self.journal.open_tap(replace(INTENT, amount_fen=amount_fen))
        assert self.opened.outcome is Outcome.UNKNOWN

    @rule(refusal=st.sampled_from(Refusal))
    def refuse_tap(self, refusal: Refusal) -> None:
        if self.opened is not None:
            with pytest.raises(TapNotOpen):
                self.journal.refuse_tap(INTENT, refusal)
            return
        self.sealed.append(self.journal.refuse_tap(INTENT, refusal))
        assert (self.sealed[-1].outcome, self.sealed[-1].reason) == (Outcome.REFUSED, refusal)

    @precondition(lambda self: self.opened is not None)
    @rule(tac=st.binary(min_size=4, max_size=4), mac2=st.sampled_from(Mac2))
    def seal_tap(self, tac: bytes, mac2: Mac2) -> None:
        assert self.opened is not None
        sealed = self.journal.seal_tap(self.opened, tac=tac, mac2=mac2)
        assert sealed == replace(self.opened, outcome=Outcome.DEBITED, tac=tac, mac2=mac2)
        self.sealed.append(sealed)
        self.opened = None

    @precondition(lambda self: self.opened is not None)
    @rule(reason=st.sampled_from(VoidReason))
    def void_tap(self, reason: VoidReason) -> None:
        assert self.opened is not None
        self.sealed.append(self.journal.void_tap(self.opened, reason))
        assert self.sealed[-1] == replace(self.opened, outcome=Outcome.VOIDED, reason=reason)
        self.opened = None

    @precondition(lambda self: self.opened is not None)
    @rule()
    def seal_unknown(self) -> None:
        assert self.opened is not None
        self.sealed.append(self.journal.seal_unknown(self.opened))
        assert self.sealed[-1] == self.opened
        self.opened = None

    @precondition(lambda self: bool(self.sealed))
    @rule()
    def seal_again(self) -> None:
        with pytest.raises(TapNotOpen):
            self.journal.seal_tap(self.sealed[-1], tac=b"TAC!", mac2=Mac2.VERIFIED)

    @rule()
    def restart(self) -> None:
        self.journal.close()
        self.journal = self._open()

    @invariant()
    def reader_and_writer_agree_with_the_model(self) -> None:
        for journal in (self.journal, self.reader):
            assert journal.records(1, 1000) == self.sealed
            assert journal.opened_tap() == self.opened
            assert [record.tap_id.seq for record in self.sealed] == list(range(1, len(self.sealed) + 1))
            head = journal.head()
            assert (head.seq, head.total_fen) == (len(self.sealed), sum(record.debited_fen for record in self.sealed))
            assert head.hash == journal.hash_before(head.seq + 1)
            assert journal.verify() == head


TestJournalMachine = JournalMachine.TestCase
TestJournalMachine.settings = settings(max_examples=25, stateful_step_count=20)


def sell(journal: Journal, taps: int) -> list[TapRecord]:
    """Taps of two kinds, for a journal that has some."""
    for number in range(taps):
        if number % 3 == 2:
            journal.refuse_tap(INTENT, Refusal.EXPIRED)
        else:
            journal.seal_tap(journal.open_tap(INTENT), tac=b"TAC!", mac2=Mac2.VERIFIED)
    return journal.records(1, taps)


def test_chain_starts_at_genesis_and_goes_on_through_canonical_bytes(open_journal: OpenJournal) -> None:
    journal = open_journal()
    assert journal.head().hash == genesis_hash(TERMINAL, 1)
    records = sell(journal, 5)
    expected = genesis_hash(TERMINAL, 1)
    for record in records:
        assert journal.hash_before(record.tap_id.seq) == expected
        expected = next_hash(expected, record.to_bytes())
    assert journal.head().hash == expected
    assert [journal.total_before_fen(seq) for seq in range(1, 7)] == [0, 1200, 2400, 2400, 3600, 4800]


def test_records_come_in_pages(open_journal: OpenJournal) -> None:
    journal = open_journal()
    records = sell(journal, 7)
    assert journal.records(3, 2) == records[2:4]
    assert journal.records(7, 5) == records[6:]
    assert journal.records(8, 5) == []
    with pytest.raises(JournalDamaged):
        journal.hash_before(9)


def test_past_that_was_changed_is_not_given_out(open_journal: OpenJournal, tmp_path: Path) -> None:
    journal = open_journal()
    sell(journal, 5)
    assert journal.canonical(2, 6) == [record.to_bytes() for record in journal.records(2, 4)]
    changed = bytearray(journal.canonical(3, 4)[0])
    changed[20] ^= 1
    with closing(apsw.Connection(str(tmp_path / "journal.db"))) as other:
        other.execute("DROP TRIGGER sealed_is_never_changed")
        other.execute("UPDATE sealed SET record = ? WHERE seq = 3", (bytes(changed),))
    assert len(journal.canonical(4, 6)) == 2
    with pytest.raises(JournalDamaged, match="from 2 to 6"):
        journal.canonical(2, 6)


def test_each_boot_is_counted_once(open_journal: OpenJournal) -> None:
    journal = open_journal()
    assert [journal.boot_number(name) for name in ("one", "two", "one")] == [1, 2, 1]
    assert open_journal().boot_number("three") == 3


@pytest.mark.parametrize("table", ["journal", "opened", "sealed"])
@pytest.mark.parametrize(
    "sql", ["UPDATE {} SET {} = {}", "DELETE FROM {}", "INSERT OR REPLACE INTO {} SELECT * FROM {}"]
)
def test_triggers_refuse_every_change(open_journal: OpenJournal, table: str, sql: str) -> None:
    journal = open_journal()
    sell(journal, 2)
    journal.open_tap(INTENT)
    before = journal.records(1, 10), journal.opened_tap()
    column = journal._db.pragma("table_info", table)
    assert column
    names = [row[0] for row in journal._db.execute("SELECT name FROM pragma_table_info(?)", (table,))]
    for name in names if sql.startswith("UPDATE") else names[:1]:
        values = (table, name, name) if sql.startswith("UPDATE") else (table,) * sql.count("{}")
        with pytest.raises(apsw.ConstraintError):
            journal._db.execute(sql.format(*values))
    assert (journal.records(1, 10), journal.opened_tap()) == before


@pytest.mark.parametrize(
    "sql",
    [
        "INSERT INTO sealed SELECT seq + 2, record, hash, total_fen FROM sealed WHERE seq = 2",
        "INSERT INTO sealed SELECT seq - 1, record, hash, total_fen FROM sealed WHERE seq = 2",
        "INSERT INTO opened SELECT 5, record, hash, 1 FROM sealed WHERE seq = 2",
        "INSERT INTO opened SELECT 1, record, hash, 1 FROM sealed WHERE seq = 2",
        "INSERT INTO sealed VALUES (3, 'text', zeroblob(32), 0)",
        "INSERT INTO sealed VALUES (3, x'00', x'00', 0)",
        "INSERT INTO sealed VALUES (3, x'00', zeroblob(32), -1)",
        "INSERT INTO journal VALUES (2, zeroblob(6), 1)",
    ],
)
def test_gaps_and_nonsense_are_refused(open_journal: OpenJournal, sql: str) -> None:
    journal = open_journal()
    sell(journal, 2)
    with pytest.raises(apsw.ConstraintError):
        journal._db.execute(sql)
    journal.verify()


def test_open_journal_is_in_wal_mode_and_syncs_every_commit(open_journal: OpenJournal, tmp_path: Path) -> None:
    journal, reader = open_journal(), JournalReader.open(tmp_path / "journal.db")
    for opened in (journal, reader):
        assert (opened._db.pragma("journal_mode"), opened._db.pragma("synchronous")) == ("wal", 2)
    reader.close()


def test_journal_in_another_mode_is_refused(open_journal: OpenJournal, tmp_path: Path) -> None:
    open_journal().close()
    connection = apsw.Connection(str(tmp_path / "journal.db"))
    assert connection.pragma("journal_mode", "delete") == "delete"
    connection.close()
    with pytest.raises(JournalDamaged, match="mode delete"):
        JournalReader.open(tmp_path / "journal.db")
    with pytest.raises(JournalDamaged, match="mode delete"):
        Journal.open_for(tmp_path / "journal.db", terminal=TERMINAL, epoch=1, acknowledged=None)


def test_sqlite_that_does_not_take_full_synchronous_is_refused(open_journal: OpenJournal, tmp_path: Path) -> None:
    open_journal().close()

    def stubborn(connection: apsw.Connection) -> None:
        # What a build with another default, or a hook that "tunes" every connection, would do.
        connection.pragma("synchronous", 1)
        connection.authorizer = lambda _, name, *rest: apsw.SQLITE_IGNORE if name == "synchronous" and rest[0] else 0

    apsw.connection_hooks.append(stubborn)
    try:
        with pytest.raises(JournalDamaged):
            Journal.open_for(tmp_path / "journal.db", terminal=TERMINAL, epoch=1, acknowledged=None)
    finally:
        apsw.connection_hooks.remove(stubborn)


@pytest.mark.parametrize(
    ("terminal", "epoch"), [(TERMINAL, 2), (TerminalId(bytes.fromhex("610000000002")), 1)], ids=["epoch", "terminal"]
)
def test_journal_of_another_enrolment_is_refused_and_kept(
    open_journal: OpenJournal, tmp_path: Path, terminal: TerminalId, epoch: int
) -> None:
    journal = open_journal()
    records = sell(journal, 2)
    journal.close()
    with pytest.raises(JournalForeign):
        Journal.open_for(tmp_path / "journal.db", terminal=terminal, epoch=epoch, acknowledged=None)
    assert JournalReader.open(tmp_path / "journal.db").records(1, 5) == records


def test_second_till_is_refused_until_the_first_has_ended(open_journal: OpenJournal, tmp_path: Path) -> None:
    open_journal()
    with pytest.raises(JournalInUse):
        Journal.open_for(tmp_path / "journal.db", terminal=TERMINAL, epoch=1, acknowledged=None)
    open_journal()


def test_missing_journal_is_told_apart_from_a_damaged_one(tmp_path: Path) -> None:
    with pytest.raises(JournalMissing):
        JournalReader.open(tmp_path / "journal.db")
    (tmp_path / "journal.db").write_bytes(b"")
    with pytest.raises(JournalDamaged):
        JournalReader.open(tmp_path / "journal.db")
    (tmp_path / "journal.db").write_bytes(b"no database at all" * 100)
    with pytest.raises(JournalDamaged):
        Journal.open_for(tmp_path / "journal.db", terminal=TERMINAL, epoch=1, acknowledged=None)


def test_what_a_creation_cut_short_left_is_no_hindrance(open_journal: OpenJournal, tmp_path: Path) -> None:
    (tmp_path / "journal.db.new").write_bytes(b"half a journal")
    (tmp_path / "journal.db.new-wal").write_bytes(b"and its log")
    assert open_journal().head().seq == 0
    assert not list(tmp_path.glob("journal.db.new*"))


@pytest.fixture(scope="module")
def sold(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[TapRecord], TapRecord]:
    """A closed journal, its sealed records and its open tap."""
    folder: Path = tmp_path_factory.mktemp("sold")
    journal = Journal.open_for(folder / "journal.db", terminal=TERMINAL, epoch=1, acknowledged=None)
    journal.boot_number("boot")
    records, opened = sell(journal, 30), journal.open_tap(INTENT)
    journal.close()
    return folder / "journal.db", records, opened


@settings(max_examples=400)
@given(st.data())
def test_damaged_byte_is_found_or_harmless(sold: tuple[Path, list[TapRecord], TapRecord], data: st.DataObject) -> None:
    source, records, opened = sold
    body = bytearray(source.read_bytes())
    at, flip = data.draw(st.integers(0, len(body) - 1)), data.draw(st.integers(1, 255))
    body[at] ^= flip
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "journal.db"
        path.write_bytes(body)
        try:
            journal = Journal.open_for(path, terminal=TERMINAL, epoch=1, acknowledged=None)
        except (JournalDamaged, JournalForeign):
            return
        try:
            assert journal.records(1, 100) == records
            assert journal.opened_tap() == opened
        except JournalDamaged:
            pytest.fail("a journal that verified as whole is damaged after all")
        finally:
            journal.close()


@settings(max_examples=150)
@given(st.data())
def test_reader_gives_no_wrong_record_from_a_damaged_file(
    sold: tuple[Path, list[TapRecord], TapRecord], data: st.DataObject
) -> None:
    source, records, opened = sold
    body = bytearray(source.read_bytes())
    body[data.draw(st.integers(0, len(body) - 1))] ^= data.draw(st.integers(1, 255))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "journal.db"
        path.write_bytes(body)
        try:
            reader = JournalReader.open(path)
        except JournalDamaged:
            return
        try:
            found, still_open = reader.records(1, 100), reader.opened_tap()
        except JournalDamaged:
            return
        finally:
            reader.close()
        assert found == records[: len(found)]
        assert still_open in (opened, None)


def test_every_page_that_is_lost_is_a_typed_fault_or_not_needed(
    sold: tuple[Path, list[TapRecord], TapRecord], tmp_path: Path
) -> None:
    source, records, _ = sold
    body, faults = source.read_bytes(), 0
    for page in range(1, len(body) // 4096):
        (tmp_path / "journal.db").write_bytes(body[: page * 4096] + bytes(4096) + body[(page + 1) * 4096 :])
        try:
            reader = JournalReader.open(tmp_path / "journal.db")
            try:
                assert reader.records(1, 100) == records
                reader.opened_tap()
            finally:
                reader.close()
        except JournalDamaged:
            faults += 1
    assert faults > 0


FULL_DISK = """
import resource, sys
from pathlib import Path
from terminal.journal import Journal, JournalUnwritable
from tests.terminal.conftest import INTENT, TERMINAL
from wire.record import Mac2
import signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
journal = Journal.open_for(Path(sys.argv[1]), terminal=TERMINAL, epoch=1, acknowledged=None)
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
sealed, opened = 0, None
try:
    while True:
        opened = journal.open_tap(INTENT)
        journal.seal_tap(opened, tac=b"TAC!", mac2=Mac2.VERIFIED)
        sealed, opened = sealed + 1, None
except JournalUnwritable:
    print(sealed, opened is not None)
"""


def test_full_disk_stops_the_till_with_nothing_half_done(open_journal: OpenJournal, tmp_path: Path) -> None:
    open_journal().close()
    full = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(tmp_path / "journal.db")],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert full.returncode == 0, full.stderr
    sealed, opened = full.stdout.split()
    journal = open_journal()
    assert journal.verify().seq == int(sealed) > 5
    assert (journal.opened_tap() is not None) == (opened == "True")


def test_folder_that_cannot_be_written_gives_no_journal(tmp_path: Path) -> None:
    with pytest.raises(JournalUnwritable):
        Journal.open_for(tmp_path / "nowhere" / "journal.db", terminal=TERMINAL, epoch=1, acknowledged=None)


SEED = 20_260_302
TAPS = 12
VARIANTS = 4

# What is sealed, what is open; shifts that began, cash sales, reports of shifts that ended.
State = tuple[tuple[TapRecord, ...], TapRecord | None, int, int, tuple[bytes, ...]]


def state(journal: Journal) -> State:
    ((shifts, cash),) = journal.rows("SELECT (SELECT count(*) FROM shift_opened), (SELECT count(*) FROM cash_sale)")
    assert isinstance(shifts, int)
    assert isinstance(cash, int)
    reports = tuple(report.canonical for report in journal.reports(1, 1000))
    return tuple(journal.records(1, 1000)), journal.opened_tap(), shifts, cash, reports


def open_till(folder: Path, synchronous: str = "FULL") -> Journal:
    journal = Journal.open_for(folder / "journal.db", terminal=TERMINAL, epoch=1, acknowledged=None)
    journal._db.execute("PRAGMA wal_autocheckpoint = 6")  # many checkpoints in few taps
    journal._db.execute(f"PRAGMA synchronous = {synchronous}")
    return journal


def keep_shift(shifts: Shiftbook, number: int) -> None:
    """Before tap `number`: a shift begins, takes cash, ends, at least one commit of each."""
    match number:
        case 0 | 6:
            shifts.open(INTENT.card, Fen(20_000), NOON)
        case 2 | 9:
            shifts.take_cash(Fen(500), NOON)
        case 5 | 11:
            shifts.close(Fen(20_500), NOON)


def trade(folder: Path, synchronous: str) -> tuple[list[State], CuttableDisk]:
    """Taps of all kinds in two shifts, with a restart in between; every state that was acknowledged, and every
    possible cut.
    """
    open_till(folder).close()
    states: list[State] = [((), None, 0, 0, ())]
    with CuttableDisk(lambda: len(states) - 1) as disk:
        journal = open_till(folder, synchronous)
        for number in range(TAPS):
            keep_shift(Shiftbook(journal), number)
            if state(journal) != states[-1]:
                states.append(state(journal))
            if number % 4 == 3:
                journal.refuse_tap(INTENT, Refusal.HOTLISTED)
            else:
                tap = journal.open_tap(INTENT)
                states.append(state(journal))
                if number % 4 == 0:
                    journal.seal_tap(tap, tac=b"TAC!", mac2=Mac2.VERIFIED)
                elif number % 4 == 1:
                    journal.void_tap(tap, VoidReason.NOT_EXECUTED)
                else:
                    journal.seal_unknown(tap)
            states.append(state(journal))
            if number == TAPS // 2:
                journal.close()
                journal = open_till(folder, synchronous)
        journal.close()
    return states, disk


def outcome(folder: Path, image: Image, allowed: list[State]) -> Literal["whole", "lost", "damaged"]:
    """Start the till on what a cut left."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for name, body in image.items():
        (folder / name).write_bytes(body)
    try:
        journal = Journal.open_for(folder / "journal.db", terminal=TERMINAL, epoch=1, acknowledged=None)
    except CampusError:
        return "damaged"
    try:
        journal.verify()
        return "whole" if state(journal) in allowed else "lost"
    finally:
        journal.close()


def outcomes(tmp_path: Path, synchronous: str) -> Counter[str]:
    rng = Random(SEED)
    print(f"seed {SEED}")
    (tmp_path / "till").mkdir()
    states, disk = trade(tmp_path / "till", synchronous)
    seen: Counter[str] = Counter()
    for cut in disk.cuts:
        for _ in range(VARIANTS):
            # What was acknowledged is there; what was under way may be.
            seen[outcome(tmp_path / "after", cut.survive(rng), states[cut.mark : cut.mark + 2])] += 1
        seen[cut.operation.split()[0]] += 1
    print(dict(seen))
    return seen


def test_acknowledged_taps_survive_a_cut_at_every_operation(tmp_path: Path) -> None:
    seen = outcomes(tmp_path, "FULL")
    assert (seen["lost"], seen["damaged"]) == (0, 0)
    assert seen["whole"] > 450
    assert min(seen["write"], seen["sync"], seen["delete"]) > 0, "the run did not exercise the disk"


def test_same_cuts_lose_taps_when_commits_are_not_synced(tmp_path: Path) -> None:
    assert outcomes(tmp_path, "NORMAL")["lost"] > 20, "the test above proves nothing"


def test_every_commit_is_one_sync_or_little_more(tmp_path: Path) -> None:
    states, disk = trade(tmp_path, "FULL")
    syncs = sum(cut.operation == "sync journal.db-wal" for cut in disk.cuts)
    assert len(states) - 1 <= syncs <= 2 * len(states)


LOST_CURSORS = [Cursor(1, 4, bytes(32)), Cursor(1, 2, bytes(32)), Cursor(1, 9, bytes(32))]


@pytest.mark.parametrize("cursor", LOST_CURSORS, ids=["other taps", "another first tap", "taps that are gone"])
def test_journal_without_what_the_server_has_is_not_sold_on(tmp_path: Path, cursor: Cursor) -> None:
    path = tmp_path / "journal.db"
    with closing(Journal.open_for(path, terminal=TERMINAL, epoch=1, acknowledged=None)) as journal:
        for _ in range(3):
            journal.refuse_tap(INTENT, Refusal.EXPIRED)
        right = Cursor(1, 3, journal.hash_before(3))
    with pytest.raises(JournalLost):
        Journal.open_for(path, terminal=TERMINAL, epoch=1, acknowledged=cursor)
    Journal.open_for(path, terminal=TERMINAL, epoch=1, acknowledged=right).close()


def test_journal_that_is_gone_is_not_begun_anew(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    with pytest.raises(JournalLost):
        Journal.open_for(path, terminal=TERMINAL, epoch=1, acknowledged=Cursor(1, 2, bytes(32)))
    path.with_name("journal.db-wal").write_bytes(b"what is left of one")
    with pytest.raises(JournalLost):
        Journal.open_for(path, terminal=TERMINAL, epoch=1, acknowledged=None)
    assert not path.exists()
