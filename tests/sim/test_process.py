"""Children of the simulator: what they say, how they end, and that none outlives it. They are small programs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sim.process import Child, ChildFailed

GONE_S_MAX = 15.0
READY = "print('ready 7', flush=True)\n"
OBEDIENT = "import signal, sys\nsignal.signal(signal.SIGTERM, lambda *_: sys.exit(0))\n"
STUBBORN = "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
FOR_EVER = "import threading\nwhile True: threading.Event().wait(0.05)\n"

Start = Callable[[str], Child]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start a program given as text; what is left of it is killed afterwards."""
    children: list[Child] = []

    def run(program: str) -> Child:
        (tmp_path / "program.py").write_text(program)
        child = Child.start(
            "program",
            ["program"],
            log=tmp_path / "log",
            environment={**os.environ, "PYTHONPATH": str(tmp_path)},
            end_s_max=3.0,
        )
        children.append(child)
        return child

    yield run
    for child in children:
        if child.alive:
            os.kill(child.pid, signal.SIGKILL)
            with pytest.raises(ChildFailed, match="signal 9"):
                child.end()


def test_child_that_dies_is_reported_with_the_end_of_its_log(start: Start) -> None:
    child = start("import sys\nfor n in range(20): print('line', n, file=sys.stderr)\nsys.exit(3)")
    with pytest.raises(ChildFailed, match="program ended with status 3") as caught:
        child.wait_for("ready")
    assert str(caught.value).splitlines()[1:] == [f"  line {n}" for n in range(12, 20)]
    with pytest.raises(ChildFailed, match="status 3"):
        child.line(1.0)
    with pytest.raises(ChildFailed, match="status 3"):
        child.end()


def test_ready_line_is_waited_for_and_its_rest_given_back(start: Start) -> None:
    child = start(OBEDIENT + "print('something else')\n" + READY + FOR_EVER)
    assert child.wait_for("ready") == "7"
    assert child.alive
    child.end()
    assert not child.alive


def test_child_that_ends_with_an_error_when_asked_to_end_is_reported(start: Start) -> None:
    child = start(OBEDIENT.replace("exit(0)", "exit(5)") + READY + FOR_EVER)
    child.wait_for("ready")
    with pytest.raises(ChildFailed, match="status 5"):
        child.end()


def test_child_that_ignores_sigterm_is_killed_and_reported(start: Start) -> None:
    child = start(STUBBORN + READY + FOR_EVER)
    child.wait_for("ready")
    with pytest.raises(ChildFailed, match="did not end within 3 s"):
        child.end()
    assert not child.alive


def test_child_that_is_still_starting_may_die_of_sigterm(start: Start) -> None:
    child = start(FOR_EVER)
    child.end()
    assert not child.alive


def test_child_that_was_ready_must_handle_sigterm(start: Start) -> None:
    child = start(READY + FOR_EVER)
    child.wait_for("ready")
    with pytest.raises(ChildFailed, match="signal 15"):
        child.end()


def test_child_that_closes_its_output_but_lives_is_reported(start: Start) -> None:
    child = start(OBEDIENT + "import os\nos.close(1)\n" + FOR_EVER)
    with pytest.raises(ChildFailed, match="still runs"):
        child.wait_for("ready")


def test_what_is_said_arrives_and_saying_it_to_the_dead_is_reported(start: Start) -> None:
    child = start("import sys\nprint(sys.stdin.readline().strip()[::-1], flush=True)\n")
    child.say("12.50")
    assert child.line(GONE_S_MAX) == "05.21"
    with pytest.raises(ChildFailed, match="status 0"):
        child.line(GONE_S_MAX)
    with pytest.raises(ChildFailed, match="status 0"):
        child.say("once more")
    child.end()


def test_silent_child_gives_no_line_in_time(start: Start) -> None:
    child = start(OBEDIENT + READY + FOR_EVER)
    child.wait_for("ready")
    assert child.line(0.05) is None
    child.end()


def test_output_beyond_the_pipes_size_holds_nobody_up(start: Start) -> None:
    child = start(OBEDIENT + "for n in range(4000): print('x' * 100)\nprint('done', flush=True)\n" + FOR_EVER)
    assert child.wait_for("done") == ""
    child.end()


def test_output_that_is_not_text_does_not_end_the_reading(start: Start) -> None:
    child = start(OBEDIENT + "import os\nos.write(1, b'\\xff\\xfe\\n')\n" + READY + FOR_EVER)
    assert child.wait_for("ready") == "7"
    child.end()


def test_child_does_not_outlive_a_killed_parent(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(OBEDIENT + READY + FOR_EVER)
    parent = tmp_path / "parent.py"
    parent.write_text(
        "import os, threading\nfrom pathlib import Path\nfrom sim.process import Child\n"
        f"child = Child.start('program', ['program'], log=Path({str(tmp_path / 'log')!r}), environment=os.environ)\n"
        "child.wait_for('ready')\nprint(child.pid, flush=True)\nthreading.Event().wait()\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(tmp_path), *sys.path))}
    with subprocess.Popen([sys.executable, str(parent)], stdout=subprocess.PIPE, text=True, env=environment) as running:
        assert running.stdout is not None
        child = int(running.stdout.readline())
        running.kill()
    deadline_s, pause = time.monotonic() + GONE_S_MAX, threading.Event()
    while is_running(child) and time.monotonic() < deadline_s:
        pause.wait(0.02)
    assert not is_running(child)


def is_running(pid: int) -> bool:
    """Whether the process is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
