"""`campus-terminal journal`: filters, one tap with its evidence, export; wrong words are said so."""

from __future__ import annotations

import argparse
import fcntl
import json
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from terminal.journal import Journal, JournalInUse
from terminal.journalcommand import add_journal_command, run_journal
from terminal.shiftbook import Shiftbook
from tests.terminal.conftest import INTENT, NOON, TERMINAL, at, make_uplink
from wire.ids import Asn, CardId
from wire.journalfile import read_journal_file
from wire.money import Fen
from wire.record import Mac2, Refusal

OTHER = CardId(INTENT.card.issuer, Asn(bytes.fromhex("00006100000000009876")))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A terminal whose first shift has two taps, its second so far one, and an open one."""
    journal = Journal.open_for(tmp_path / "journal.db", terminal=TERMINAL, epoch=1, acknowledged=None)
    shifts = Shiftbook(journal)
    shifts.open(INTENT.card, Fen(0), at(0))
    journal.seal_tap(journal.open_tap(INTENT), tac=b"TAC!", mac2=Mac2.VERIFIED)
    journal.refuse_tap(replace(INTENT, card=OTHER, opened_at=at(60)), Refusal.EXPIRED)
    shifts.catch_up()
    shifts.close(Fen(0), at(120))
    journal.refuse_tap(replace(INTENT, opened_at=at(180)), Refusal.EXPIRED)
    journal.open_tap(replace(INTENT, opened_at=at(240)))
    journal.close()
    return tmp_path


def run(folder: Path, *words: str) -> int:
    parser = argparse.ArgumentParser()
    add_journal_command(parser.add_subparsers())
    arguments = parser.parse_args(["journal", *words])
    return run_journal(folder, arguments, utc_s=lambda: NOON.utc_s, monotonic_s=lambda: 0.0)


@pytest.mark.parametrize(
    ("words", "seqs"),
    [
        ((), [1, 2, 3, 4]),
        (("--shift", "1"), [1, 2]),
        (("--shift", "2"), [3, 4]),
        (("--since", "2026-03-02T12:03"), [3, 4]),
        (("--since", "2026-03-03"), []),
        (("--card-suffix", "9876"), [2]),
        (("--card-suffix", "4", "--shift", "1"), [1]),
    ],
)
def test_list_has_the_taps_that_fit_all_filters(
    folder: Path, words: tuple[str, ...], seqs: list[int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(folder, "list", *words, "--json") == 0
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["seq"] for line in found] == seqs
    assert [line["outcome"] for line in found if line["seq"] == 4] == ["OPEN"] * (4 in seqs)
    assert run(folder, "list", *words) == 0
    assert len(capsys.readouterr().out.splitlines()) == len(seqs) + 1


def test_show_has_hashes_shift_and_what_the_server_said(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    uplink = make_uplink(folder / "uplink.db")
    with uplink:
        uplink.execute("CREATE TABLE suspended (seq INTEGER PRIMARY KEY, reason INTEGER NOT NULL) STRICT")
        uplink.execute("INSERT INTO cursor VALUES (1, 1, 3, ?, 1700000000)", (bytes(32),))
        uplink.execute("INSERT INTO suspended VALUES (2, 1)")
    uplink.close()
    words = []
    for seq in ("1", "2", "3", "4"):
        assert run(folder, "show", seq, "--json") == 0
        words.append(json.loads(capsys.readouterr().out))
    assert [shown["server"] for shown in words] == [
        "accepted",
        "suspended: TAC_WRONG",
        "not acknowledged yet",
        "not acknowledged yet",
    ]
    assert [shown["shift"] for shown in words] == [1, 1, None, None]
    assert [shown["hash"] for shown in words][:3] == [shown["hash_before"] for shown in words][1:]
    assert (words[0]["tac"], words[3]["hash"], words[3]["outcome"]) == (b"TAC!".hex(), None, "OPEN")
    assert run(folder, "show", "1") == 0
    out = capsys.readouterr().out
    assert "accepted" in out
    assert INTENT.card.asn.hex().lstrip("0") not in out


@pytest.mark.parametrize(
    ("words", "needs"),
    [
        (("show",), "the number of a tap"),
        (("show", "0"), "the number of a tap"),
        (("show", "nine"), "the number of a tap"),
        (("show", "5"), "not in this journal, which ends with 3"),
        (("export",), "a folder"),
        (("list", "3"), "nothing behind it"),
        (("list", "--shift", "3"), "no shift 3"),
        (("list", "--shift", "0"), "no shift 0"),
    ],
)
def test_wrong_words_are_said_so(
    folder: Path, words: tuple[str, ...], needs: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(folder, *words) == 2
    assert needs in capsys.readouterr().err


@pytest.mark.parametrize("words", [("list", "--since", "noon"), ("list", "--card-suffix", "12345")])
def test_filter_that_cannot_be_read_is_said_so(
    folder: Path, words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        run(folder, *words)
    assert words[1] in capsys.readouterr().err


def test_verify_names_count_money_and_shifts(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(folder, "verify") == 0
    assert capsys.readouterr().out.startswith("3 taps, debits 12.00, closed shifts 1, chain whole, ends in ")
    assert run(folder, "verify", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["taps"], found["total_fen"], found["shifts"]) == (3, 1200, 1)


def test_export_says_what_is_on_the_stick_and_what_is_not(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    key = Ed25519PrivateKey.generate()
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "terminal.key").write_bytes(pem)
    stick = folder / "stick"
    stick.mkdir()
    assert run(folder, "export", str(stick)) == 0
    out = capsys.readouterr().out
    assert "12.00 yuan" in out
    assert "tap 4 is open and not in it" in out
    assert run(folder, "export", str(stick), "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["taps"], found["total_fen"], found["shift_reports"]) == (3, 1200, 1)
    file = read_journal_file(Path(found["file"]).read_bytes())
    assert [report.number for report in file.reports] == [1]


def test_export_beside_the_journal_warns_that_no_stick_is_mounted(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_key(folder)
    assert run(folder, "export", str(folder), "--json") == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out)["mounted"] is False
    assert "没有挂载" in printed.err
    assert "may not be mounted" in printed.err


@pytest.mark.skipif(not Path("/dev/shm").is_mount(), reason="no other file system here")
def test_export_to_a_drive_of_its_own_warns_of_nothing(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_key(folder)
    with tempfile.TemporaryDirectory(dir="/dev/shm") as stick:
        assert run(folder, "export", stick, "--json") == 0
    printed = capsys.readouterr()
    assert (json.loads(printed.out)["mounted"], printed.err) == (True, "")


def test_set_aside_tells_people_and_programs_and_what_to_do_next(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_key(folder)
    shutil.copytree(folder, other := folder / "other")
    for place in (folder, other):
        make_uplink(place / "uplink.db").close()
        with (place / "journal.db").open("r+b") as file:
            file.write(bytes(100))
    assert run(folder, "set-aside") == 0
    lines = capsys.readouterr().out
    for words in ("411", "import-journal campus-610000000001-1-3.journal", "nothing is proven from tap  4", "新票据"):
        assert words in lines
    assert run(other, "set-aside", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["proven_taps"], found["exported_new_taps"], len(found["evidence"])) == (3, 3, 1)
    assert Path(found["folder"]).is_dir()


def test_journal_that_a_till_holds_is_not_set_aside(folder: Path) -> None:
    times = iter(range(0, 100, 6))
    parser = argparse.ArgumentParser()
    add_journal_command(parser.add_subparsers())
    arguments = parser.parse_args(["journal", "set-aside"])
    with (folder / "journal.db.lock").open("ab") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(JournalInUse):
            run_journal(folder, arguments, utc_s=lambda: 0, monotonic_s=lambda: next(times))


def make_key(folder: Path) -> None:
    """The terminal's key."""
    pem = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    (folder / "terminal.key").write_bytes(Ed25519PrivateKey.generate().private_bytes(*pem))
