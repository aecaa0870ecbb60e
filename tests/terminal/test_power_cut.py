"""The journal when the power goes: at every I/O operation, with any part of the unsynced writes surviving."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path
from random import Random
from typing import Literal

from sim.disk import CuttableDisk, Image
from terminal.journal import Journal
from tests.terminal.conftest import INTENT, TERMINAL
from wire.errors import CampusError
from wire.record import Mac2, Refusal, TapRecord, VoidReason

SEED = 20_260_302
TAPS = 12
VARIANTS = 6

State = tuple[tuple[TapRecord, ...], TapRecord | None]  # what is sealed, what is open


def state(journal: Journal) -> State:
    return tuple(journal.records(1, 1000)), journal.opened_tap()


def open_journal(folder: Path, synchronous: str = "FULL") -> Journal:
    journal = Journal.open_for(folder / "journal.db", terminal=TERMINAL, epoch=1)
    journal._db.execute("PRAGMA wal_autocheckpoint = 6")  # many checkpoints in few taps
    journal._db.execute(f"PRAGMA synchronous = {synchronous}")
    return journal


def sell(folder: Path, synchronous: str) -> tuple[list[State], CuttableDisk]:
    """Taps of all kinds, with a restart in between; every state that was acknowledged, and every possible cut."""
    open_journal(folder).close()
    states: list[State] = [((), None)]
    with CuttableDisk(lambda: len(states) - 1) as disk:
        journal = open_journal(folder, synchronous)
        for number in range(TAPS):
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
                journal = open_journal(folder, synchronous)
        journal.close()
    return states, disk


def outcome(folder: Path, image: Image, allowed: list[State]) -> Literal["whole", "lost", "damaged"]:
    """Start the till on what a cut left."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for name, body in image.items():
        (folder / name).write_bytes(body)
    try:
        journal = Journal.open_for(folder / "journal.db", terminal=TERMINAL, epoch=1)
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
    states, disk = sell(tmp_path / "till", synchronous)
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
    assert seen["whole"] > 500
    assert min(seen["write"], seen["sync"], seen["delete"]) > 0, "the run did not exercise the disk"


def test_same_cuts_lose_taps_when_commits_are_not_synced(tmp_path: Path) -> None:
    assert outcomes(tmp_path, "NORMAL")["lost"] > 20, "the test above proves nothing"


def test_every_commit_is_one_sync_or_little_more(tmp_path: Path) -> None:
    states, disk = sell(tmp_path, "FULL")
    syncs = sum(cut.operation == "sync journal.db-wal" for cut in disk.cuts)
    assert len(states) - 1 <= syncs <= 2 * len(states)
