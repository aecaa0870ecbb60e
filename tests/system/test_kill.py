"""kill -9 of any program at any moment, then the same command again: the auditor is content.

Two kinds: the whole `campus-sim run` as a user starts it, with a program killed at a random moment; and the till killed
at the two moments that matter most, when the card is about to debit and when it just has.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from random import Random, SystemRandom

import pytest

from settlement.audit.auditor import findings_text
from sim.campus import Campus
from sim.card.chip import PoweredCard
from sim.card.purse import Purse
from sim.crowd import Purchase, Student
from sim.process import Child, ChildFailed
from sim.report import audit_campus, wait_until_booked
from sim.taps import Cashier, run_taps
from sync.clock import Clock
from wire.money import Fen

TAPS = 40
VICTIMS = ("terminal run", "sync run", "settlement stream", "settlement ledger")
READY_S_MAX = 60.0
RUN_S_MAX = 180.0
KILL_WITHIN_S = 30.0
LOOK_S = 0.05
CLOCK = Clock(utc_s=lambda: int(time.time()), monotonic_s=time.monotonic)
DEBIT = bytes.fromhex("805401000F")


def start_run(home: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "sim", "run", "--home", str(home), "--taps", str(TAPS)]
    quiet = subprocess.DEVNULL
    return subprocess.Popen(command, stdin=quiet, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def child_of(run: subprocess.Popen[str], words: str) -> int | None:
    """The process id of the child whose command line has these words."""
    for pid in Path(f"/proc/{run.pid}/task/{run.pid}/children").read_text().split():
        try:
            line = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
        except FileNotFoundError:
            continue
        if f"-m {words}" in line:
            return int(pid)
    return None


def kill_in_a_run(home: Path, victim: str, rng: Random) -> None:
    """Start a run, kill the victim at a random moment once the till is there, and see the run say so."""
    run, pause = start_run(home), threading.Event()
    deadline = time.monotonic() + READY_S_MAX
    while child_of(run, "terminal run") is None:
        assert run.poll() is None, f"the run ended before its till started: {run.communicate()}"
        assert time.monotonic() < deadline, "the till was not started in time"
        pause.wait(LOOK_S)
    pause.wait(rng.uniform(0.0, KILL_WITHIN_S))
    pid = child_of(run, victim)
    assert pid is not None, f"{victim} was not running"
    os.kill(pid, signal.SIGKILL)
    _, errors = run.communicate(timeout=RUN_S_MAX)
    assert run.returncode == 2, errors
    assert "killed by signal 9" in errors


def case(home: Path, victim: str, seed: int) -> str:
    """One victim killed, then the same command again; what went wrong, or nothing."""
    try:
        kill_in_a_run(home, victim, Random(seed))
        run = start_run(home)
        output, errors = run.communicate(timeout=RUN_S_MAX)
        assert run.returncode == 0, output + errors
        assert "verdict: content" in output
        assert re.search(rf"taps +{TAPS}:", output), output
    except AssertionError as error:
        return f"{victim} killed with seed {seed}: {error}"
    return ""


def test_any_program_killed_at_a_random_moment_loses_and_doubles_nothing(tmp_path: Path) -> None:
    seeds = {victim: SystemRandom().randrange(2**32) for victim in VICTIMS}
    print(f"seeds: {seeds}")
    with ThreadPoolExecutor(len(VICTIMS)) as pool:
        cases = [
            pool.submit(case, tmp_path / str(number), victim, seeds[victim]) for number, victim in enumerate(VICTIMS)
        ]
    assert [problem for done in cases if (problem := done.result())] == []


@dataclass(frozen=True, slots=True)
class Assassin(PoweredCard):
    """A card that kills the till when DEBIT reaches it: before it acts, or after it has and before it answers."""

    card: Purse
    till: Child
    after: bool

    @property
    def atr(self) -> bytes:
        return self.card.atr

    def reset(self) -> None:
        self.card.reset()

    def close(self) -> None:
        self.card.close()

    def transmit_raw(self, apdu: bytes) -> bytes:
        if not apdu.startswith(DEBIT):
            return self.card.transmit_raw(apdu)
        if self.after:
            answer = self.card.transmit_raw(apdu)
            os.kill(self.till.pid, signal.SIGKILL)
            return answer
        os.kill(self.till.pid, signal.SIGKILL)
        return b"\x6f\x00"


@pytest.mark.parametrize("after", [False, True], ids=["before the card debits", "after the card has debited"])
def test_till_killed_around_a_debit_finishes_the_sale_when_the_card_comes_again(tmp_path: Path, after: bool) -> None:
    with Campus(tmp_path / "home", monotonic_s=time.monotonic, say=print) as campus:
        student = campus.students[0]
        balance_fen = student.balance_fen
        with pytest.raises(ChildFailed, match="signal 9"), ExitStack() as stack:
            kill_around_debit(campus, stack, student, after=after)
        debited = Fen(7_50) if after else Fen(0)
        assert student.balance_fen == balance_fen - debited
        tally = run_taps(campus, count=2, seed=1, progress=lambda done, tally: None)
        assert tally.recovered == 1
        assert wait_until_booked(campus, monotonic_s=time.monotonic)
        findings = audit_campus(campus)
        assert all(finding.holds for finding in findings), findings_text(findings)
        assert findings[1].seen.startswith("3 taps here; ")


def kill_around_debit(campus: Campus, stack: ExitStack, student: Student, *, after: bool) -> None:
    """Sell to a card that kills the till; the stack's end raises because the till did not end by itself."""
    till = campus.start_till(stack)
    hand = campus.hand()
    stack.callback(hand.take_away)
    cashier = Cashier(campus, till, hand, Random(1))
    victim = deadly(student, till, after=after)
    cashier.serve(Purchase(victim, Fen(7_50)))


def deadly(student: Student, till: Child, *, after: bool) -> Student:
    """The same student with a card that kills `till`."""

    class Deadly(Student):
        def powered(self, rng: Random) -> Purse:
            return Assassin(student.powered(rng), till, after)  # type: ignore[return-value]  # a card in all that counts

    return Deadly(student.number, student.card, student.trait, student.path)
