"""The journal on a USB stick: whole, signed, and every way in which a stick fails."""

from __future__ import annotations

import errno
import os
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from terminal.export import StickFull, StickGone, StickMissing, StickReadOnly, export_journal, load_terminal_key
from terminal.journal import Journal
from tests.terminal.conftest import INTENT
from wire.batch import TAPS_MAX
from wire.directory import CodingState
from wire.errors import CampusError
from wire.journalfile import read_journal_file
from wire.money import Fen
from wire.record import Mac2, Refusal
from wire.signature import KeyUnreadable, public_bytes

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))


@pytest.fixture
def journal(open_journal: Callable[[], Journal]) -> Journal:
    """More taps than one batch holds, and one that is open."""
    journal = open_journal()
    with journal._db:  # one commit for all
        for count in range(TAPS_MAX + 10):
            journal.refuse_tap(replace(INTENT, amount_fen=Fen(count)), Refusal.EXPIRED)
        journal.seal_tap(journal.open_tap(INTENT), tac=b"TAC!", mac2=Mac2.VERIFIED)
        journal.open_tap(INTENT)
    return journal


@pytest.fixture
def stick(tmp_path: Path) -> Path:
    folder = tmp_path / "stick"
    folder.mkdir()
    return folder


def test_every_sealed_tap_is_in_the_file_signed_and_the_open_one_is_not(journal: Journal, stick: Path) -> None:
    exported = export_journal(journal, KEY, stick)
    assert (exported.head, exported.reports) == (journal.head(), 0)
    assert [path.name for path in stick.iterdir()] == [exported.path.name]
    assert exported.path.stat().st_size == exported.size_bytes
    file = read_journal_file(exported.path.read_bytes())
    assert (file.terminal, file.epoch) == (journal.terminal, journal.epoch)
    state, records = CodingState(), []
    for signed in file.batches:
        signed.verify(public_bytes(KEY))
        records += signed.open(state).records
    assert records == journal.records(1, TAPS_MAX + 20)
    assert file.batches[-1].total_before_fen + file.batches[-1].total_fen == journal.head().total_fen


def test_empty_journal_makes_an_empty_file(open_journal: Callable[[], Journal], stick: Path) -> None:
    exported = export_journal(open_journal(), KEY, stick)
    assert read_journal_file(exported.path.read_bytes()).batches == ()


def test_export_again_replaces_the_file(journal: Journal, stick: Path) -> None:
    assert export_journal(journal, KEY, stick) == export_journal(journal, KEY, stick)
    assert len(list(stick.iterdir())) == 1


@contextmanager
def small_files() -> Iterator[None]:
    """No file of this process may grow beyond 600 bytes, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (600, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_full_stick_is_told_and_left_as_it_was(journal: Journal, stick: Path) -> None:
    with small_files(), pytest.raises(StickFull):
        export_journal(journal, KEY, stick)
    assert list(stick.iterdir()) == []


def test_missing_stick_is_told(journal: Journal, stick: Path) -> None:
    with pytest.raises(StickMissing):
        export_journal(journal, KEY, stick / "usb")


def test_stick_that_may_not_be_written_is_told(journal: Journal) -> None:
    with pytest.raises(StickReadOnly):
        export_journal(journal, KEY, Path("/sys"))


@pytest.mark.parametrize(("number", "fault"), [(errno.EIO, StickGone), (errno.ENOSPC, StickFull)])
@pytest.mark.parametrize("at", [1, 2])
def test_stick_that_is_pulled_before_all_is_durable_is_told(
    journal: Journal, stick: Path, number: int, fault: type[CampusError], at: int
) -> None:
    calls = []

    def sync(descriptor: int) -> None:
        calls.append(descriptor)
        if len(calls) == at:
            raise OSError(number, os.strerror(number))

    with pytest.raises(fault):
        export_journal(journal, KEY, stick, sync=sync)
    assert not any(path.name.endswith(".part") for path in stick.iterdir())
    assert export_journal(journal, KEY, stick).head == journal.head()


def test_missing_and_damaged_keys_are_told(tmp_path: Path) -> None:
    with pytest.raises(KeyUnreadable, match="campus-syncd enrol"):
        load_terminal_key(tmp_path / "terminal.key")
    (tmp_path / "terminal.key").write_text("no key")
    with pytest.raises(KeyUnreadable):
        load_terminal_key(tmp_path / "terminal.key")
