"""A damaged journal is put aside whole: what is told of it, every step at which the power may go, and the way on."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from terminal.downlink import Downlink, NotEnrolled
from terminal.journal import Journal, JournalDamaged, JournalForeign, JournalInUse, JournalLost, JournalMissing
from terminal.setaside import Findings, JournalWhole, UplinkInUse, set_aside
from terminal.shiftbook import Shiftbook
from tests.terminal.conftest import INTENT, TERMINAL, at, make_uplink
from wire.journalfile import read_journal_file
from wire.money import Fen
from wire.record import Mac2, TapRecord

TAPS = 120
ACKNOWLEDGED = 50
STEPS = 15  # each ends with a folder that is made durable
UTC_S = 1_772_424_000
NAME = "journal-set-aside-20260302T040000Z"
Damage = Callable[[Path], None]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[TapRecord]]:
    """An enrolled terminal's folder: 120 taps, a shift closed after 30, one tap open; the server has 50. Its taps."""
    home = tmp_path_factory.mktemp("made")
    with closing(Journal.open_for(home / "journal.db", terminal=TERMINAL, epoch=1, acknowledged=None)) as journal:
        shifts = Shiftbook(journal)
        shifts.open(INTENT.card, Fen(0), at(0))
        for count in range(1, TAPS + 1):
            tap = journal.open_tap(replace(INTENT, amount_fen=Fen(100 + count)))
            journal.seal_tap(tap, tac=b"TAC!", mac2=Mac2.VERIFIED)
            if count == 30:
                shifts.catch_up()
                shifts.close(Fen(0), at(1))
        journal.open_tap(INTENT)
        taps = journal.records(1, TAPS)
        cursor = (1, ACKNOWLEDGED + 1, journal.hash_before(ACKNOWLEDGED + 1))
    with closing(make_uplink(home / "uplink.db")) as uplink, uplink:
        uplink.execute("INSERT INTO cursor VALUES (1, ?, ?, ?, 1700000000)", cursor)
    pem = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    (home / "terminal.key").write_bytes(Ed25519PrivateKey.from_private_bytes(bytes(range(32))).private_bytes(*pem))
    return home, taps


@pytest.fixture
def folder(made: tuple[Path, list[TapRecord]], tmp_path: Path) -> Path:
    """The same, for one test."""
    return shutil.copytree(made[0], tmp_path / "terminal")


@pytest.fixture
def taps(made: tuple[Path, list[TapRecord]]) -> list[TapRecord]:
    """What is sealed in it."""
    return made[1]


def truncate(path: Path) -> None:
    """The last third is gone."""
    os.truncate(path, path.stat().st_size * 2 // 3 // 512 * 512)


def flip(path: Path) -> None:
    """A byte of tap 100, in every copy of it."""
    content = path.read_bytes()
    name = TERMINAL + b"\x00\x01" + (100).to_bytes(4, "big")
    path.write_bytes(content.replace(name + b"\x01\x01", name + b"\x01\x04"))


def zero_page(path: Path) -> None:
    """The page that holds tap 100, sealed, and the taps beside it."""
    content = bytearray(path.read_bytes())
    page = content.rindex(TERMINAL + b"\x00\x01" + (100).to_bytes(4, "big") + b"\x01\x01") // 4096 * 4096
    content[page : page + 4096] = bytes(4096)
    path.write_bytes(content)


def garbage(path: Path) -> None:
    """Nothing of it is left."""
    path.write_bytes(bytes(range(256)) * 100)


def header(path: Path) -> None:
    """SQLite cannot open it any more; every row is still there."""
    with path.open("r+b") as file:
        file.write(bytes(100))


@pytest.mark.parametrize("damage", [truncate, flip, zero_page, garbage, header])
def test_damaged_journal_is_put_aside_to_the_byte_with_what_it_proves(
    folder: Path, taps: list[TapRecord], damage: Damage
) -> None:
    damage(folder / "journal.db")
    broken = (folder / "journal.db").read_bytes()
    done, found = set_aside(folder, utc_s=UTC_S)
    assert (done.name, (done / "journal.db").read_bytes()) == (NAME, broken)
    assert (found.acknowledged_taps, found.terminal, found.epoch) == (ACKNOWLEDGED, TERMINAL.hex(), 1)
    assert Findings(**json.loads((done / "report.json").read_text())) == found
    known: dict[Damage, int] = {flip: 99, garbage: 0, header: TAPS}
    expected = known.get(damage, found.proven_taps)
    assert found.proven_taps == expected
    assert found.proven_fen == sum(tap.debited_fen for tap in taps[:expected])
    assert found.lost_from == max(expected, ACKNOWLEDGED) + 1
    assert (found.export is None) == (expected <= ACKNOWLEDGED)
    if found.export is not None:
        file = read_journal_file((done / found.export).read_bytes())
        assert file.batches[-1].next_seq == expected + 1
        assert found.exported_new_fen == sum(tap.debited_fen for tap in taps[ACKNOWLEDGED:expected])
    assert sorted(path.name for path in folder.iterdir()) == [NAME, "journal.db.lock", "terminal.key", "uplink.db.lock"]
    with pytest.raises(NotEnrolled), closing(Downlink(folder / "uplink.db")) as downlink:
        downlink.enrolment()


def test_taps_behind_the_damage_are_evidence_with_their_money(folder: Path, taps: list[TapRecord]) -> None:
    flip(folder / "journal.db")
    _, found = set_aside(folder, utc_s=UTC_S)
    assert found.evidence_paid_fen == sum(tap.debited_fen for tap in taps[100:])
    # Of tap 100 there is what was asked of the card, of the open one as well.
    assert found.evidence_asked_fen == taps[99].amount_fen + INTENT.amount_fen
    assert {line["seq"] for line in found.evidence} == set(range(100, TAPS + 2))
    assert found.shift_reports == 1
    assert INTENT.card.asn.hex() not in json.dumps(found.evidence)


def test_whole_journal_is_left_as_it_is(folder: Path) -> None:
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(JournalWhole, match="120 taps"):
        set_aside(folder, utc_s=UTC_S)
    after = {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix != ".lock"}
    assert {name: content for name, content in before.items() if not name.endswith(".lock")}.items() <= after.items()


def test_nothing_is_moved_while_a_till_or_the_daemon_runs(folder: Path) -> None:
    garbage(folder / "journal.db")
    for name, fault in (("journal.db.lock", JournalInUse), ("uplink.db.lock", UplinkInUse)):
        with (folder / name).open("ab") as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            with pytest.raises(fault):
                set_aside(folder, utc_s=UTC_S)
    assert (folder / "journal.db").exists()
    assert (folder / "uplink.db").exists()


def test_nothing_earlier_is_overwritten_and_a_second_run_finds_nothing_to_do(folder: Path) -> None:
    shutil.copytree(folder, kept := folder.parent / "kept")
    flip(folder / "journal.db")
    first, _ = set_aside(folder, utc_s=UTC_S)
    with pytest.raises(JournalMissing, match=NAME):
        set_aside(folder, utc_s=UTC_S)
    for name in ("journal.db", "uplink.db"):
        shutil.copy(kept / name, folder)
    garbage(folder / "journal.db")
    second, _ = set_aside(folder, utc_s=UTC_S)
    assert (first.name, second.name) == (NAME, f"{NAME}-2")
    assert (first / "journal.db").read_bytes() != (second / "journal.db").read_bytes()


def test_server_with_other_taps_is_told_and_nothing_is_signed(folder: Path) -> None:
    with closing(make_uplink(folder / "other.db")) as uplink, uplink:
        uplink.execute("INSERT INTO cursor VALUES (1, 1, 21, ?, 1700000000)", (bytes(32),))
    (folder / "other.db").replace(folder / "uplink.db")
    flip(folder / "journal.db")
    _, found = set_aside(folder, utc_s=UTC_S)
    assert found.export is None
    assert "other taps" in (found.no_export or "")


def test_lost_key_leaves_the_export_out_and_says_so(folder: Path) -> None:
    (folder / "terminal.key").unlink()
    flip(folder / "journal.db")
    _, found = set_aside(folder, utc_s=UTC_S)
    assert (found.export, found.exported_new_taps) == (None, 0)
    assert "campus-syncd enrol" in (found.no_export or "")


def test_damage_in_the_wal_is_found_and_left_untouched_by_the_start_and_what_it_proves_is_exported(
    folder: Path, tmp_path: Path
) -> None:
    """SQLite itself would leave out all that follows, and write over it."""
    home = tmp_path / "cut"
    home.mkdir()
    with closing(Journal.open_for(folder / "journal.db", terminal=TERMINAL, epoch=1, acknowledged=None)) as journal:
        left = journal.opened_tap()
        assert left is not None
        journal.seal_tap(left, tac=b"TAC!", mac2=Mac2.VERIFIED)
        for _ in range(5):
            journal.seal_tap(journal.open_tap(INTENT), tac=b"TAC!", mac2=Mac2.VERIFIED)
        for name in ("journal.db", "journal.db-wal", "uplink.db", "terminal.key"):
            shutil.copy(folder / name, home)
    wal = bytearray((home / "journal.db-wal").read_bytes())
    wal[32 + 3 * (24 + 4096) + 8] ^= 1  # the fourth of its pages
    (home / "journal.db-wal").write_bytes(wal)
    before = {name: (home / name).read_bytes() for name in ("journal.db", "journal.db-wal")}
    with pytest.raises(JournalDamaged, match="holds tap 126"):
        Journal.open_for(home / "journal.db", terminal=TERMINAL, epoch=1, acknowledged=None)
    assert {name: (home / name).read_bytes() for name in before} == before
    done, found = set_aside(home, utc_s=UTC_S)
    assert (found.proven_taps, found.evidence) == (126, [])
    assert {name: (done / name).read_bytes() for name in before} == before


class PowerCut(BaseException):
    """The power is gone."""


@pytest.mark.parametrize("enrols_between", [False, True])
@pytest.mark.parametrize("cut_at", range(1, STEPS + 1))
def test_cut_at_any_step_lets_no_till_go_on_and_a_second_run_ends_it(
    folder: Path, cut_at: int, enrols_between: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    flip(folder / "journal.db")
    (folder / "journal.db-wal").write_bytes(b"")
    broken = (folder / "journal.db").read_bytes()
    steps: list[Path] = []

    def sync_until_the_cut(path: Path) -> None:
        steps.append(path)
        if len(steps) == cut_at:
            raise PowerCut

    monkeypatch.setattr("terminal.setaside.sync_folder", sync_until_the_cut)
    with pytest.raises(PowerCut):
        set_aside(folder, utc_s=UTC_S)
    monkeypatch.undo()
    assert not starts(folder)
    began = enrolled = False
    if enrols_between and not (folder / "uplink.db").exists():
        with closing(make_uplink(folder / "uplink.db")) as uplink, uplink:
            uplink.execute("UPDATE enrolment SET epoch = 2")
        began, enrolled = starts(folder), True
    if not (folder / NAME).exists():
        done, found = set_aside(folder, utc_s=UTC_S + 60)
        assert (done.name, found.proven_taps) == (NAME, 99)
    assert (folder / NAME / "journal.db").read_bytes() == broken
    assert {"journal.db-wal", "uplink.db", "report.json"} <= {path.name for path in (folder / NAME).iterdir()}
    assert not list(folder.glob("*.part"))
    assert (folder / "journal.db").exists() == began
    assert (folder / "uplink.db").exists() == starts(folder) == enrolled


def test_no_step_is_left_untried(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flip(folder / "journal.db")
    (folder / "journal.db-wal").write_bytes(b"")
    steps: list[Path] = []
    monkeypatch.setattr("terminal.setaside.sync_folder", steps.append)
    set_aside(folder, utc_s=UTC_S)
    assert len(steps) == STEPS


def starts(folder: Path) -> bool:
    """Whether a till would sell, as `campus-terminal run` begins; a journal that it makes stays."""
    try:
        with closing(Downlink(folder / "uplink.db")) as downlink:
            enrolment, acknowledged = downlink.enrolment(), downlink.acknowledged().cursor
        Journal.open_for(
            folder / "journal.db", terminal=enrolment.terminal, epoch=enrolment.epoch, acknowledged=acknowledged
        ).close()
    except (NotEnrolled, JournalDamaged, JournalForeign, JournalLost):
        return False
    return True
