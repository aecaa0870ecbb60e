"""The supervisor: starts a server's processes, starts again what ends, and ends all of them in order.

Nothing of the processes' work passes through here, only the few lines that each prints about itself; a supervisor that
stalls holds up nobody. None of them outlives it, however it ends (`setpriv --pdeathsig`). Left out: what they do.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from settlement.settings import Settings
from wire.ids import CONSUMPTION_STREAMS

SUPERVISED_ENV: Final = "CAMPUS_SUPERVISED"  # a process that finds it set says on its output, too, why it ends
FAULT_MARK: Final = "campus-settlement: "  # with this before it

PAUSE_S_MIN: Final = 0.5
PAUSE_S_MAX: Final = 30.0  # a port that is free again, or a corrected setting, is found within this
LASTS_S: Final = 60.0  # what ran so long was well: its end is the first one again
KEEPS_ENDING: Final = 4  # ends in a row, some four seconds: by then it is no accident
END_S_MAX: Final = 30.0  # a gateway answers what is under way for 10 s, and its queue may be full


class Event(StrEnum):
    """What is told of a process, or of all."""

    STARTED = "started"
    READY = "ready"
    ENDED = "ended"
    KEEPS_ENDING = "keeps-ending"
    KILLED = "killed"
    ALL_READY = "all-ready"
    STOPPING = "stopping"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class Notice:
    """One thing that happened; `process` and `pid` are None when it is about all of them."""

    event: Event
    words: str
    process: str | None = None
    pid: int | None = None

    def __str__(self) -> str:
        return self.words if self.process is None else f"{self.process}: {self.words}"

    def as_json(self) -> str:
        """One line for a script."""
        return json.dumps({"event": self.event, "process": self.process, "pid": self.pid, "words": self.words})


@dataclass(frozen=True, slots=True)
class LastNotice:
    """The newest thing that happened to a process."""

    process: str
    event: str
    words: str
    at_utc_s: int


@dataclass(frozen=True, slots=True)
class Supervised:
    """What a supervisor last heard of each process; `runs`: it is still there."""

    runs: bool
    notices: tuple[LastNotice, ...]


class Logbook:
    """Keeps the last notice of each process in a file, for whoever shows how they are."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._last: dict[str, LastNotice] = {}

    def note(self, notice: Notice, at_utc_s: int) -> None:
        """Something happened. Raises `OSError`."""
        if notice.process is None:
            return
        self._last[notice.process] = LastNotice(notice.process, notice.event, notice.words, at_utc_s)
        rows = [asdict(row) for row in self._last.values()]
        draft = self._path.with_name(self._path.name + ".new")
        draft.write_text(json.dumps({"pid": os.getpid(), "processes": rows}), encoding="utf-8")
        draft.replace(self._path)  # whole or as before, for whoever reads it meanwhile; nothing rests on it


def read_supervised(path: Path) -> Supervised | None:
    """What a supervisor wrote last; None: there was none, or it is no such file."""
    try:
        tree = json.loads(path.read_text(encoding="utf-8"))
        notices, pid = tuple(LastNotice(**row) for row in tree["processes"]), int(tree["pid"])
    except (OSError, ValueError, TypeError, KeyError):
        return None
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        command = []
    return Supervised(b"serve" in command, notices)  # another program may have got its number since


@dataclass(frozen=True, slots=True)
class Program:
    """One process; `arguments` are for `python -m`. Those that end `last` are asked when the others are gone."""

    name: str
    arguments: tuple[str, ...]
    ends_last: bool = False


def programs_of(settings: Settings, home: Path, passphrase_file: Path | None) -> list[Program]:
    """What the settings name: each stream, the desk and the audit that have a section, and the ledger."""
    common = ("--home", str(home))
    secret = () if passphrase_file is None else ("--passphrase-file", str(passphrase_file))
    programs = [
        Program(stream.label, ("settlement", "stream", stream.label, *common, *secret))
        for stream in CONSUMPTION_STREAMS
        if stream in settings.served
    ]
    if settings.has_top_up:
        programs.append(Program("top-up", ("settlement", "top-up", *common, *secret)))
    if settings.has_audit:
        programs.append(Program("audit", ("settlement", "audit", "--nightly", *common, *secret)))
    if settings.has_web:
        programs.append(Program("web", ("settlement", "web", *common)))
    # Last: what the streams took in while they ended is booked at once if the ledger still gets there.
    return [*programs, Program("ledger", ("settlement", "ledger", *common), ends_last=True)]


class Restarts:
    """How long to wait before a process is started again: longer each time, unless it ran well in between."""

    def __init__(self) -> None:
        self.in_a_row = 0

    def pause_s(self, ran_s: float) -> float:
        """The process ended after `ran_s`."""
        self.in_a_row = 1 if ran_s >= LASTS_S else self.in_a_row + 1
        doublings = min(self.in_a_row - 1, 10)  # beyond the longest pause, and no number without end
        return min(PAUSE_S_MIN * float(2**doublings), PAUSE_S_MAX)


async def supervise(
    programs: Sequence[Program],
    stop: asyncio.Event,
    *,
    tell: Callable[[Notice], None],
    monotonic_s: Callable[[], float],
) -> bool:
    """Keep all programs running until `stop`; False if one did not end cleanly then. From the main thread only."""
    waiting = {program.name for program in programs}

    def ready(notice: Notice) -> None:
        tell(notice)
        if notice.event is Event.READY and notice.process in waiting:
            waiting.remove(notice.process)
            if not waiting:
                tell(Notice(Event.ALL_READY, f"all {len(programs)} processes run"))

    keepers = [_Keeper(program, ready, monotonic_s) for program in programs]
    await stop.wait()
    tell(Notice(Event.STOPPING, "ending all processes"))
    clean = True
    for ends_last in (False, True):
        ends = [keeper.end() for keeper in keepers if keeper.program.ends_last is ends_last]
        clean &= all(await asyncio.gather(*ends))
    tell(Notice(Event.STOPPED, "all processes ended" + ("" if clean else ", not all of them cleanly")))
    return clean


class _Keeper:
    """Keeps one program running, as a task of its own."""

    def __init__(self, program: Program, tell: Callable[[Notice], None], monotonic_s: Callable[[], float]) -> None:
        self.program = program
        self._tell = tell
        self._monotonic_s = monotonic_s
        self._restarts = Restarts()
        self._process: asyncio.subprocess.Process | None = None
        self._ready = False
        self._said = ""
        self._status = 0
        self._ending = asyncio.Event()
        self._task = asyncio.create_task(self._run())

    async def end(self) -> bool:
        """Ask it to end, kill it if it does not; whether it ended cleanly."""
        self._ending.set()
        self._ask_to_end()
        await asyncio.wait({self._task}, timeout=END_S_MAX)
        if not self._task.done() and self._process is not None:
            self._say(Event.KILLED, f"did not end within {END_S_MAX:.0f} s, so it was killed")
            self._process.kill()
        await self._task
        # One that was still starting has no handler for the signal yet.
        return self._status == 0 or (self._status == -signal.SIGTERM and not self._ready)

    async def _run(self) -> None:
        while not self._ending.is_set():
            began_s = self._monotonic_s()
            how = await self._run_once()
            if self._ending.is_set():
                self._say(Event.ENDED, how)
                return
            pause_s = self._restarts.pause_s(self._monotonic_s() - began_s)
            times = self._restarts.in_a_row
            if times < KEEPS_ENDING:
                self._say(Event.ENDED, f"{how}; it is started again in {pause_s:g} s")
            else:
                again = f"{times} times in a row now; tried again in {pause_s:g} s, and the others go on"
                self._say(Event.KEEPS_ENDING, f"keeps ending, {again}. It {how}")
            self._process, self._status = None, 0  # what ended by itself was told already
            try:
                await asyncio.wait_for(self._ending.wait(), pause_s)
            except TimeoutError:
                continue

    async def _run_once(self) -> str:
        """Start it, hear it out, and say how it ended."""
        self._ready, self._said, self._status = False, "", 0
        try:
            self._process = process = await asyncio.create_subprocess_exec(
                # Not TERM: a process that is stopped or stuck would outlive this one.
                *("setpriv", "--pdeathsig", "KILL", sys.executable, "-m", *self.program.arguments),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                env={**os.environ, "PYTHONUNBUFFERED": "1", SUPERVISED_ENV: "1"},
                start_new_session=True,  # Ctrl-C is for the supervisor, which then ends all in order
            )
        except OSError as error:
            self._status = 1
            return f"could not be started: {error}"
        self._say(Event.STARTED, f"process {process.pid} started")
        if self._ending.is_set():
            self._ask_to_end()
        assert process.stdout is not None, "opened as a pipe"
        async for line in process.stdout:
            self._hear(line.decode("utf-8", "replace").strip())
        self._status = await process.wait()
        how = f"was killed by signal {-self._status}" if self._status < 0 else f"ended with status {self._status}"
        return f"{how}: {self._said}" if self._said else how

    def _hear(self, line: str) -> None:
        """A server process prints one line when it is ready, and one if a fault ends it."""
        if line.startswith(FAULT_MARK):
            self._said = line.removeprefix(FAULT_MARK)
        elif line and not self._ready:
            self._ready = True
            self._say(Event.READY, line)

    def _ask_to_end(self) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(signal.SIGTERM)
            self._process.send_signal(signal.SIGCONT)  # one that was stopped hears nothing else

    def _say(self, event: Event, words: str) -> None:
        pid = None if self._process is None else self._process.pid
        self._tell(Notice(event, words, self.program.name, pid))
