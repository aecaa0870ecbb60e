"""The supervisor with real processes: what ends comes back alone, and nothing outlives it."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from settlement.serve import (
    LASTS_S,
    PAUSE_S_MAX,
    PAUSE_S_MIN,
    Event,
    LastNotice,
    Logbook,
    Notice,
    Restarts,
    Supervised,
    programs_of,
    read_supervised,
)
from settlement.settings import Home, parse_settings

ROOT = Path(__file__).parents[2]
DEADLINE_S = 30
TWO_STREAMS = "[streams.canteen]\nport = 0\n[streams.tuition]\nport = 0\n"

Told = dict[str, Any]


class Supervisor:
    """`campus-settlement serve --json`, and what it told so far."""

    def __init__(self, child: subprocess.Popen[str]) -> None:
        self.child = child
        self.told: list[Told] = []

    def until(self, wanted: Callable[[Told], bool]) -> Told:
        """What it tells, up to and with the first that is wanted."""
        assert self.child.stdout is not None
        while True:
            line = self.child.stdout.readline()
            assert line, f"it ended, and told {self.told}"
            self.told.append(json.loads(line))
            if wanted(self.told[-1]):
                return self.told[-1]

    def until_event(self, event: str, process: str | None = None) -> Told:
        return self.until(lambda told: (told["event"], told["process"]) == (event, process))

    def pids(self) -> dict[str, int]:
        """By process, the last one that was started."""
        return {told["process"]: told["pid"] for told in self.told if told["event"] == "started"}

    def starts(self) -> list[str]:
        return [told["process"] for told in self.told if told["event"] == "started"]


@contextmanager
def serving(home: Home, settings: str = TWO_STREAMS) -> Iterator[Supervisor]:
    home.settings.write_text(settings)
    command = [sys.executable, "-m", "settlement", "serve", "--json", "--home", str(home.root)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as child:
        late = threading.Timer(DEADLINE_S, child.kill)  # a line that never comes ends the test, and so the processes
        late.start()
        try:
            yield Supervisor(child)
        finally:
            late.cancel()
            child.kill()


def test_killed_process_is_back_and_the_others_never_stopped(home: Home) -> None:
    with serving(home) as supervisor:
        supervisor.until_event("all-ready")
        before = supervisor.pids()
        os.kill(before["canteen"], signal.SIGKILL)
        ended = supervisor.until_event("ended", "canteen")
        assert ended["words"] == "was killed by signal 9; it is started again in 0.5 s"
        assert "listening on" in supervisor.until_event("ready", "canteen")["words"]
        after = supervisor.pids()
        assert after.pop("canteen") != before.pop("canteen")
        assert after == before
        assert sorted(supervisor.starts()) == ["canteen", "canteen", "ledger", "tuition"]


def test_process_that_is_asked_to_end_is_started_anew(home: Home) -> None:
    with serving(home) as supervisor:
        supervisor.until_event("all-ready")
        os.kill(supervisor.pids()["tuition"], signal.SIGTERM)
        assert "ended with status 0" in supervisor.until_event("ended", "tuition")["words"]
        supervisor.until_event("ready", "tuition")


def test_wrong_settings_of_one_stream_are_said_and_the_others_run(home: Home) -> None:
    with serving(home, TWO_STREAMS + "colour = 3\n") as supervisor:
        words = supervisor.until_event("keeps-ending", "tuition")["words"]
        assert "[streams.tuition] colour is not known" in words
        assert "the others go on" in words
        ready = {told["process"] for told in supervisor.told if told["event"] == "ready"}
        assert ready == {"canteen", "ledger"}
        home.settings.write_text(TWO_STREAMS)
        supervisor.until_event("ready", "tuition")  # corrected, it comes by itself
        supervisor.until_event("all-ready")
        assert sorted(set(supervisor.starts()) - {"tuition"}) == ["canteen", "ledger"]


def test_sigterm_ends_all_in_order_the_ledger_last(home: Home) -> None:
    with serving(home) as supervisor:
        supervisor.until_event("all-ready")
        os.kill(supervisor.pids()["canteen"], signal.SIGSTOP)  # ends cleanly all the same
        supervisor.child.send_signal(signal.SIGTERM)
        assert supervisor.until_event("stopped")["words"] == "all processes ended"
        ends = [told for told in supervisor.told if told["event"] == "ended"]
        assert [end["words"] for end in ends] == ["ended with status 0"] * 3
        assert ends[-1]["process"] == "ledger"
        assert supervisor.child.wait(DEADLINE_S) == 0


def test_nothing_outlives_a_supervisor_that_was_killed(home: Home) -> None:
    with serving(home) as supervisor:
        supervisor.until_event("all-ready")
        pids = supervisor.pids()
        handles = [os.pidfd_open(pid) for pid in pids.values()]
        os.kill(pids["tuition"], signal.SIGSTOP)  # which hears of nothing but SIGKILL
        supervisor.child.kill()
        for name, handle in zip(pids, handles, strict=True):
            gone, _, _ = select.select([handle], [], [], DEADLINE_S)
            os.close(handle)
            with suppress(ProcessLookupError):
                if not gone:
                    os.kill(pids[name], signal.SIGKILL)
            assert gone, f"{name} outlived the supervisor"


def test_pauses_grow_to_a_limit_and_start_afresh_after_a_good_run() -> None:
    restarts = Restarts()
    pauses = [restarts.pause_s(1.0) for _ in range(2_000)]
    assert pauses[:4] == [PAUSE_S_MIN, 1.0, 2.0, 4.0]
    assert pauses[-1] == PAUSE_S_MAX
    assert restarts.pause_s(LASTS_S) == PAUSE_S_MIN


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("", ["ledger"]),
        ("[streams.shops]\nport=0\n[top-up]\nport=0", ["shops", "top-up", "ledger"]),
        ("[streams.shops]\ncolour=3\n[top-up]", ["shops", "top-up", "ledger"]),
    ],
)
def test_what_has_a_section_is_run_the_ledger_always(text: str, names: list[str]) -> None:
    programs = programs_of(parse_settings(text), Path("home"), Path("secret"))
    assert [program.name for program in programs] == names
    assert [program.name for program in programs if program.ends_last] == ["ledger"]
    assert "--passphrase-file" in programs[0].arguments or names == ["ledger"]


def test_last_notice_of_each_process_can_be_read_while_its_supervisor_runs_and_after(tmp_path: Path) -> None:
    file = tmp_path / "serve.json"
    assert read_supervised(file) is None
    logbook = Logbook(file)
    for at, event in enumerate((Event.STARTED, Event.READY)):
        logbook.note(Notice(event, f"words {at}", "canteen", 7), at)
    logbook.note(Notice(Event.ALL_READY, "all run"), 9)
    # Whoever has the number and is no `serve` is another program: this one.
    assert read_supervised(file) == Supervised(False, (LastNotice("canteen", "ready", "words 1", 1),))


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"pid": 1, "processes": [{}]}', '{"pid": "x", "processes": []}'])
def test_what_is_no_logbook_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "serve.json").write_text(text)
    assert read_supervised(tmp_path / "serve.json") is None


def test_pages_are_served_with_the_others_and_tell_of_them(home: Home) -> None:
    with serving(home, "[streams.canteen]\nport = 0\n[web]\nport = 0\n") as supervisor:
        supervisor.until_event("all-ready")
        supervised = read_supervised(home.supervised)
        assert supervised is not None
        assert supervised.runs
        assert {(row.process, row.event) for row in supervised.notices} == {
            ("canteen", "ready"),
            ("web", "ready"),
            ("ledger", "ready"),
        }
