"""How long a till takes from its process's start to ready, beside bare Python's own start and bare imports.

The real programs in a home of their own, without a reader: "ready" is when the till waits for an amount, on its screen
or as a line of JSON. Left out: the machine's own boot, pcscd, and powering the PSAM.
"""

from __future__ import annotations

import os
import pty
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from statistics import median
from typing import Final

from benchmarks.measure import scratch_folder, table, timed
from settlement.authority import make_authority
from sync.identity import load_or_make_key
from sync.store import Enrolment, UplinkStore
from terminal.journal import Journal, TapIntent
from wire.ids import Asn, CardId, IssuerId, Stream, TerminalId
from wire.money import Fen
from wire.record import ClockQuality, Mac2, TapTime

ROUNDS: Final = 5
TAPS: Final = 10_000  # two weeks of a busy till: the journal is verified whole at every start
GOAL_S: Final = 3.0  # on a Raspberry Pi 4
TERMINAL: Final = TerminalId(bytes.fromhex("000000000101"))
_READY_S_MAX: Final = 60.0
_END_S_MAX: Final = 20.0
_SHOWN: Final = TERMINAL.hex().encode()  # stands on the screen as soon as the till's state does
_READ_BYTES: Final = 65_536
_RAM: Final = Path("/dev/shm")
_TOML: Final = """
[reader]
card = "none"
psam = "none"
[limits]
tap_fen_max = 10000
[uplink]
host = "127.0.0.1"
port = 9
"""


@dataclass(frozen=True, slots=True)
class StartTimes:
    """Seconds, one entry a round, by what was started."""

    seconds: dict[str, list[float]]


def measure(*, folder: Path, rounds: int = ROUNDS, taps: int = TAPS) -> StartTimes:
    """Each kind of start in turn, `rounds` times."""
    seconds: dict[str, list[float]] = {name: [] for name in ("python", "imports", "empty", "full", "screen")}
    with scratch_folder(folder) as scratch:
        empty, full = Path(scratch) / "empty", Path(scratch) / "full"
        make_home(empty, taps=0)
        make_home(full, taps=taps)
        _until_shown(empty)  # what an update has to compile is compiled once
        for _ in range(rounds):
            seconds["python"].append(timed(lambda: _run_python("pass")))
            seconds["imports"].append(timed(lambda: _run_python("import terminal.__main__")))
            seconds["empty"].append(_until_waiting(empty))
            seconds["full"].append(_until_waiting(full))
            seconds["screen"].append(_until_shown(full))
    return StartTimes(seconds)


def report(times: StartTimes, *, taps: int = TAPS) -> str:
    """As a table, with the ratios."""
    middles = {name: median(found) for name, found in times.seconds.items()}
    words = {
        "python": "bare Python",
        "imports": "the till's imports",
        "empty": "till ready, new journal",
        "full": f"till ready, {taps:,} taps",
        "screen": f"screen drawn, {taps:,} taps",
    }
    rows = [("from the process's start", "seconds", "ratio to bare Python")]
    rows += [(words[name], f"{middle:.2f}", f"{middle / middles['python']:.1f}") for name, middle in middles.items()]
    rows.append(("goal on a Raspberry Pi 4", f"{GOAL_S:.2f}", ""))
    return f"start: median of {len(times.seconds['python'])}, files in the page cache\n{table(rows)}"


def make_home(home: Path, *, taps: int) -> None:
    """An enrolled terminal's home whose journal has so many taps."""
    folder = home / "terminal"
    folder.mkdir(parents=True)
    (folder / "terminal.toml").write_text(_TOML, encoding="utf-8")
    load_or_make_key(folder / "terminal.key")
    make_authority(folder, datetime.now(UTC))
    with closing(UplinkStore.open_or_make(folder / "uplink.db")) as uplink:
        uplink.enrol(
            Enrolment(terminal=TERMINAL, epoch=1, stream=Stream.CANTEEN, enrolled_at_utc_s=1, ticket_digest=bytes(32))
        )
    rng = Random(taps)
    with scratch_folder(_RAM if _RAM.is_dir() else folder) as made:  # twenty thousand commits, as fast as they can be
        path = Path(made) / "journal.db"
        with closing(Journal.open_for(path, terminal=TERMINAL, epoch=1, acknowledged=None)) as journal:
            for number in range(taps):
                journal.seal_tap(journal.open_tap(_intent(number, rng)), tac=rng.randbytes(4), mac2=Mac2.VERIFIED)
        shutil.copy(path, folder)


def program_environment() -> dict[str, str]:
    """What a till or daemon is started with: no reader of this machine is touched."""
    return os.environ | {"PCSCLITE_CSOCK_NAME": "/nonexistent", "TERM": "xterm-256color"}


@contextmanager
def till_on_screen(home: Path) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """The till with its screen on a pseudo-terminal: the process, and where the screen can be read."""
    master, slave = pty.openpty()
    try:
        process = subprocess.Popen(
            [sys.executable, "-m", "terminal", "run", "--home", str(home)],
            stdin=slave,
            stdout=slave,
            stderr=subprocess.DEVNULL,
            env=program_environment(),
            start_new_session=True,
        )
        os.close(slave)
        try:
            yield process, master
        finally:
            end(process, drain=master)
    finally:
        os.close(master)


def read_until_shown(master: int) -> None:
    """Read the screen until the till's state stands on it."""
    ends_s, seen = time.monotonic() + _READY_S_MAX, b""
    while _SHOWN not in seen:
        ready, _, _ = select.select([master], [], [], max(ends_s - time.monotonic(), 0))
        assert ready, f"no screen within {_READY_S_MAX:.0f} s"
        seen += os.read(master, _READ_BYTES)


def end(process: subprocess.Popen[bytes], *, drain: int | None = None) -> None:
    """SIGTERM, and wait; what it still writes is read, for it may wait for that."""
    process.terminate()
    ends_s = time.monotonic() + _END_S_MAX
    while process.poll() is None and time.monotonic() < ends_s:
        if drain is None:
            with suppress(subprocess.TimeoutExpired):
                process.wait(max(0.0, ends_s - time.monotonic()))
        elif select.select([drain], [], [], 0.1)[0]:
            try:
                os.read(drain, _READ_BYTES)
            except OSError:
                drain = None
    if process.poll() is None:
        process.kill()
    process.wait()


def _run_python(program: str) -> None:
    subprocess.run([sys.executable, "-c", program], check=True, env=program_environment())


def _until_waiting(home: Path) -> float:
    began_s = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "terminal", "run", "--json", "--home", str(home)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=program_environment(),
    )
    assert process.stdout is not None, "opened as a pipe"
    assert process.stdin is not None, "opened as a pipe"
    try:
        line = process.stdout.readline()
        took_s = time.perf_counter() - began_s
        assert b'"waiting"' in line, f"the till said {line!r}"
    finally:
        process.stdin.close()
        end(process)
        process.stdout.close()
    return took_s


def _until_shown(home: Path) -> float:
    began_s = time.perf_counter()
    with till_on_screen(home) as (_, master):
        read_until_shown(master)
        return time.perf_counter() - began_s


def _intent(number: int, rng: Random) -> TapIntent:
    card = CardId(IssuerId(bytes.fromhex("6100000000000001")), Asn(rng.randrange(5_000).to_bytes(10)))
    return TapIntent(
        card=card,
        amount_fen=Fen(rng.randrange(100, 2_000)),
        balance_before_fen=Fen(100_00),
        counter=number & 0xFFFF,
        ttsn=number,
        opened_at=TapTime(utc_s=1_772_424_000 + 30 * number, boot=1, uptime_s=number, quality=ClockQuality.NETWORK),
    )
