"""A cashier's day at the real till in tmux, with the whole campus behind it: Z-report, journal and ledger agree.

The steps are `sim.day`'s, which the pilot's test carries out too; here they are keys on a pseudo-terminal and cards on
a reader of the real PC/SC stack.
"""

from __future__ import annotations

import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from random import Random

import pytest

from settlement.audit.auditor import findings_text
from sim.campus import Campus
from sim.card.faults import Fault, OneCommand
from sim.day import Day, Hold, Lift, Paper, Press, Printed, See, Step, day_toml, holder
from sim.devices.printer import SimulatedPrinter
from sim.report import audit_campus, wait_until_booked
from terminal.journal import JournalReader
from terminal.screen.entry import BURST_GAP_S
from terminal.words import WORDS
from terminal.words.catalogue import Language
from terminal.words.codes import code_of
from tests.sim.test_day import check_paper, check_report, is_printed, put_paper
from wire.record import TapKind
from wire.shift import add_up

SALES = 300
SEEN_S_MAX = 30.0
LOOK_S = 0.02
AGAIN_S = 0.5
AGAIN = code_of("still-there", "still-there").advice(Language.ZH_HANS).headline
DEBIT = bytes.fromhex("80540100")
TAP = re.compile(WORDS[Language.ZH_HANS].tap_and_card.partition("{seq}")[0] + r"(\d+)")


class Terminal:
    """A tmux server of its own with the till in it, and the hand that holds cards to its reader."""

    def __init__(self, campus: Campus, socket: Path, printer: SimulatedPrinter) -> None:
        self._campus = campus
        self._printer = printer
        self._socket = socket
        self._hand = campus.hand()
        self._rng = Random(1)
        self._last_tap = 0
        self._held = 0
        self._pause = threading.Event()

    def start(self) -> None:
        environment = {name: self._campus.environment[name] for name in ("PCSCLITE_CSOCK_NAME", "PYTHONUTF8")}
        variables = [part for name, value in environment.items() for part in ("-e", f"{name}={value}")]
        command = f"exec {sys.executable} -m terminal run --home {self._campus.home} 2>{self._campus.log('till')}"
        self._tmux("-f", "/dev/null", "new-session", "-d", "-x", "100", "-y", "30", *variables, command)

    def do(self, step: Step) -> None:
        match step:
            case Press(keys):
                for part in re.findall(r"[^\n]+\n?|\n", keys):
                    text, enter = part.removesuffix("\n"), part.endswith("\n")
                    typed = ["send-keys", "-l", "--", text] if text else []
                    ended = ["send-keys", "Enter"] if enter else []
                    self._tmux(*typed, *([";"] if typed and ended else []), *ended)
                    self._pause.wait(3 * BURST_GAP_S)  # what follows at once would be a scanner's
            case Hold(card, torn):
                self._held = card
                self._hold(OneCommand(DEBIT, Fault.ANSWER_LOST) if torn else None)
            case Lift():
                self._hand.take_away()
            case Paper(there):
                put_paper(self._printer, there=there)
            case Printed():
                deadline_s = time.monotonic() + SEEN_S_MAX
                while not is_printed(self._printer, step):
                    assert time.monotonic() < deadline_s, f"{step} is not on:\n{self._printer.text()[-2000:]}"
                    self._pause.wait(LOOK_S)
            case See():
                self._until(step)

    def _hold(self, plan: OneCommand | None = None) -> None:
        self._hand.present(holder(self._campus.students, self._held), Random(self._rng.random()), plan)

    def end(self) -> None:
        """Ctrl-C, and the till is gone."""
        self._hand.take_away()
        self._tmux("send-keys", "C-c")
        deadline_s = time.monotonic() + SEEN_S_MAX
        while (
            subprocess.run(["tmux", "-S", self._socket, "has-session"], capture_output=True, check=False).returncode
            == 0
        ):
            assert time.monotonic() < deadline_s, "the till did not end"
            self._pause.wait(LOOK_S)

    def kill(self) -> None:
        """Whatever is left."""
        self._hand.take_away()
        subprocess.run(["tmux", "-S", self._socket, "kill-server"], capture_output=True, check=False)

    def _until(self, step: See) -> None:
        deadline_s = time.monotonic() + SEEN_S_MAX
        while not self._sees(step, text := self._tmux("capture-pane", "-p")):
            assert time.monotonic() < deadline_s, f"{step} is not on:\n{text}"
            self._campus.check_children()
            if AGAIN in text and AGAIN not in step.texts:  # the hand was faster than the reader: do what it says
                self._hand.take_away()
                self._pause.wait(AGAIN_S)
                self._hold()
                self._pause.wait(AGAIN_S)
            self._pause.wait(LOOK_S)

    def _sees(self, step: See, text: str) -> bool:
        if not step.fits(text):
            return False
        if step.new_tap:
            found = TAP.search(text)
            if found is None or int(found[1]) <= self._last_tap:
                return False
            self._last_tap = int(found[1])
        return True

    def _tmux(self, *arguments: str) -> str:
        command = ["tmux", "-S", str(self._socket), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=SEEN_S_MAX).stdout


@contextmanager
def terminal(campus: Campus, folder: Path, printer: SimulatedPrinter) -> Iterator[Terminal]:
    made = Terminal(campus, folder / "tmux", printer)
    made.start()
    try:
        yield made
    finally:
        made.kill()


@pytest.mark.slow
def test_day_in_a_real_terminal_gives_one_sum_in_z_report_journal_and_ledger(tmp_path: Path) -> None:
    day, home = Day(sales=SALES, seed=7), tmp_path / "home"
    with (
        Campus(home, monotonic_s=time.monotonic, say=lambda line: None) as campus,
        SimulatedPrinter(tmp_path / "printer") as printer,
    ):
        with (campus.terminal_folder / "terminal.toml").open("a", encoding="utf-8") as settings:
            settings.write(f'\n[devices]\nprinter = "{printer.link}"\n')
        file = tmp_path / "day.toml"
        file.write_text(day_toml(), encoding="utf-8")
        configure = [sys.executable, "-m", "settlement", "configure", str(file), "--home", str(home)]
        subprocess.run(configure, check=True, capture_output=True, env=campus.environment)
        with terminal(campus, tmp_path, printer) as till:
            for step in day.steps():
                till.do(step)
            till.end()
        assert wait_until_booked(campus, monotonic_s=time.monotonic, lasting=lambda: None)
        findings = audit_campus(campus)
        assert all(finding.holds for finding in findings), findings_text(findings)
        with closing(JournalReader.open(campus.terminal_folder / "journal.db")) as journal:
            report = journal.reports(1, 1)[0]
            records = journal.records(report.first_seq, report.next_seq - report.first_seq)
        assert report.taps == add_up(records)
        check_report(report, day.expected)
        check_paper(printer, records)
        assert sum(record.kind is TapKind.SALE for record in records) >= SALES
