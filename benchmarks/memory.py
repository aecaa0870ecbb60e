"""What till and daemon hold of a terminal's memory: resident sets of the real programs, idle, after their start.

The till shows its screen; with all devices configured, their drivers' libraries come on top. What the programs share is
counted in each resident set, and once in the proportional ones. Left out: the kernel and pcscd.
"""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.measure import scratch_folder, table
from benchmarks.start import end, make_home, program_environment, read_until_shown, till_on_screen

TAPS: Final = 2_000
GOAL_BYTES: Final = 150_000_000
_SETTLE_S: Final = 3.0  # for what a program loads in its first seconds
_DEVICES: Final = """
[devices]
printer = "/nonexistent/printer"
display = "/nonexistent/display"
keypad = "/nonexistent/keypad"
scanner = "/nonexistent/scanner"
signals_chip = "/nonexistent/chip"
signals_green = 1
voice = "zh-hans"
"""


@dataclass(frozen=True, slots=True)
class Held:
    """Bytes: the resident set, and the proportional one."""

    resident: int
    proportional: int


@dataclass(frozen=True, slots=True)
class Memory:
    """What each program holds."""

    daemon: Held
    till: Held
    till_with_devices: Held


def measure(*, folder: Path, taps: int = TAPS) -> Memory:
    """The daemon, and the till beside it: without devices, then with all of them."""
    with scratch_folder(folder) as scratch:
        home = Path(scratch) / "home"
        make_home(home, taps=taps)
        with ExitStack() as running:
            daemon = running.enter_context(_daemon(home))
            till = _till(home)
            toml = home / "terminal" / "terminal.toml"
            toml.write_text(toml.read_text(encoding="utf-8") + _DEVICES, encoding="utf-8")
            return Memory(held_by(daemon.pid), till, _till(home))


def report(memory: Memory) -> str:
    """As a table, with the sum that the goal is about."""
    sums = [
        Held(memory.daemon.resident + till.resident, memory.daemon.proportional + till.proportional)
        for till in (memory.till, memory.till_with_devices)
    ]
    rows = [("MB", "resident", "proportional")]
    for name, held in (
        ("daemon", memory.daemon),
        ("till with its screen", memory.till),
        ("both", sums[0]),
        ("till, all devices configured", memory.till_with_devices),
        ("both", sums[1]),
    ):
        rows.append((name, f"{held.resident / 1e6:.1f}", f"{held.proportional / 1e6:.1f}"))
    rows.append(("goal for both", f"{GOAL_BYTES / 1e6:.0f}", ""))
    return f"memory: after {_SETTLE_S:.0f} s without a tap\n{table(rows)}"


def held_by(pid: int) -> Held:
    """What the kernel says of a process."""
    told = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
    found = {name: int(kilobytes) * 1024 for name, kilobytes in re.findall(r"^(\w+):\s+(\d+) kB$", told, re.MULTILINE)}
    return Held(found["Rss"], found["Pss"])


def _till(home: Path) -> Held:
    with till_on_screen(home) as (process, master):
        read_until_shown(master)
        time.sleep(_SETTLE_S)  # that is what is measured: the program after a while
        return held_by(process.pid)


@contextmanager
def _daemon(home: Path) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "sync", "run", "--home", str(home)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=program_environment(),
    )
    assert process.stdout is not None, "opened as a pipe"
    try:
        line = process.stdout.readline()
        assert line == b"uplink ready\n", f"the daemon said {line!r}"
        yield process
    finally:
        end(process)
        process.stdout.close()
