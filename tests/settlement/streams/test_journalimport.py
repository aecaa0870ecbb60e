"""A journal from a USB stick: what is new is taken in, what is here already changes nothing, a fork is found."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from settlement.__main__ import main
from settlement.settings import Home
from settlement.store.database import open_reader
from settlement.streams.journalimport import DirectIntake, Imported, import_directly, stream_of_journal
from wire.ids import CardId, Stream, TerminalId
from wire.journalfile import JournalFile, journal_file, read_journal_file
from wire.messages import Receipt, Upload
from wire.money import Fen
from wire.receipt import Rejected, Rejection
from wire.record import Outcome
from wire.shift import ShiftReport, add_up, shift_genesis

if TYPE_CHECKING:
    from tests.settlement.conftest import FakeTill, StreamDriver

NOW = 1_764_000_000


def written(till: FakeTill, *, taps_a_batch: int = 3, shift: bool = False) -> bytes:
    """What the terminal puts on the stick: all its taps and, if asked for, one shift over them."""
    last = len(till.records) + 1
    starts = range(1, last, taps_a_batch)
    uploads = [Upload(till.batch(first, min(first + taps_a_batch, last))) for first in starts]
    reports = [report(till, last)] if shift else []
    return b"".join(journal_file(till.terminal, till.epoch, [*uploads, *reports]))


def report(till: FakeTill, next_seq: int) -> ShiftReport:
    return ShiftReport(
        terminal=till.terminal,
        epoch=till.epoch,
        number=1,
        hash_before=shift_genesis(till.terminal, till.epoch),
        first_seq=1,
        next_seq=next_seq,
        journal_hash=till.head_hash(next_seq),
        opened_at_utc_s=NOW - 60,
        closed_at_utc_s=NOW,
        cashier=CardId.from_bytes(bytes(18)),
        opening_cash_fen=Fen(0),
        counted_cash_fen=Fen(0),
        cash_count=0,
        cash_fen=0,
        taps=add_up(till.records[: next_seq - 1]),
    ).signed(till.key)


def take(canteen: StreamDriver, file: JournalFile) -> Imported:
    intake = DirectIntake(canteen.db, stream=Stream.CANTEEN, keys=canteen.keys, now_utc_s=NOW)
    return import_directly(intake, file)


@pytest.fixture
def sold(canteen: StreamDriver, till: FakeTill) -> FakeTill:
    """Eight taps, of which the stream has none."""
    canteen.enrol(till)
    for count in range(8):
        till.tap(100 + count, outcome=Outcome.REFUSED if count == 5 else Outcome.DEBITED)
    return till


def test_what_is_new_is_taken_in_and_the_same_file_again_changes_nothing(canteen: StreamDriver, sold: FakeTill) -> None:
    file = read_journal_file(written(sold, shift=True))
    assert take(canteen, file) == Imported(8, Fen(sold.total_fen), 1, 8)
    counts = canteen.counts()
    assert counts["tap"] == 8
    assert take(canteen, file) == Imported(0, Fen(0), 0, 8)
    assert canteen.counts() == counts


@pytest.mark.parametrize("known", [1, 3, 4, 8])
def test_taps_that_came_by_the_network_are_not_taken_twice(canteen: StreamDriver, sold: FakeTill, known: int) -> None:
    assert isinstance(canteen.accept(sold.batch(1, known + 1)), Receipt)
    found = take(canteen, read_journal_file(written(sold)))
    assert (found.taps, found.last_seq, canteen.counts()["tap"]) == (8 - known, 8, 8)
    sold.tap()
    assert isinstance(canteen.accept(sold.batch(9)), Receipt), "the network goes on behind the stick"


def test_older_stick_after_a_newer_one_changes_nothing(canteen: StreamDriver, sold: FakeTill) -> None:
    older = read_journal_file(written(sold))
    sold.tap()
    take(canteen, read_journal_file(written(sold)))
    assert take(canteen, older) == Imported(0, Fen(0), 0, 9)


def test_other_history_under_the_same_numbers_is_a_fork_kept_as_evidence(canteen: StreamDriver, sold: FakeTill) -> None:
    assert isinstance(canteen.accept(sold.batch(1, 5)), Receipt)
    sold.records[1] = replace(sold.records[1], amount_fen=Fen(1))
    with pytest.raises(Rejected) as rejected:
        take(canteen, read_journal_file(written(sold)))
    assert rejected.value.rejection is Rejection.FORK
    assert (canteen.counts()["tap"], canteen.counts()["fork"]) == (4, 1)


def test_batch_that_another_key_signed_is_not_taken(
    canteen: StreamDriver, sold: FakeTill, make_till: Callable[[int], FakeTill]
) -> None:
    sold.key = make_till(9).key
    with pytest.raises(Rejected) as rejected:
        take(canteen, read_journal_file(written(sold)))
    assert rejected.value.rejection is Rejection.SIGNATURE_INVALID
    assert canteen.counts()["tap"] == 0


def test_journal_is_found_by_its_stream_and_unknown_ones_are_refused(home: Home, sold: FakeTill) -> None:
    assert stream_of_journal(home, sold.terminal, 1) is Stream.CANTEEN
    for terminal, epoch in ((sold.terminal, 2), (TerminalId(bytes(6)), 1)):
        with pytest.raises(Rejected, match="no stream here"):
            stream_of_journal(home, terminal, epoch)


@pytest.fixture
def stick(tmp_path: Path) -> Path:
    return tmp_path / "till.journal"


def test_command_says_what_was_new(
    home: Home, canteen: StreamDriver, sold: FakeTill, stick: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stick.write_bytes(written(sold, shift=True))
    canteen.db.close()
    assert main(["import-journal", str(stick), "--home", str(home.root), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "stream": "canteen",
        "terminal": sold.terminal.hex(),
        "epoch": 1,
        "new_taps": 8,
        "new_fen": sold.total_fen,
        "new_shift_reports": 1,
        "last_seq": 8,
    }
    assert main(["import-journal", str(stick), "--home", str(home.root)]) == 0
    assert "0 new taps, 0.00 yuan, 0 new shift reports" in capsys.readouterr().out
    with open_reader(home.place("canteen"), "canteen") as db:
        assert db.number("SELECT count(*) FROM tap") == 8


def test_command_names_a_damaged_or_missing_file(
    home: Home, sold: FakeTill, stick: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["import-journal", str(stick), "--home", str(home.root)]
    assert main(command) == 2
    stick.write_bytes(written(sold)[:-1])
    assert main(command) == 1
    assert "[journal-file-damaged]" in capsys.readouterr().err
