"""Our line layer, slipped under python-gsmmodem-new: what reads and writes the port for every command.

The library's own layer dies of one byte above 0x7F, hands a late answer to the next command, swallows what the modem
says by itself while an answer is awaited, and never leaves a prompt. This one does not (drivers/DRIVERS.md says how).
Left out: which commands there are (`drivers.modem`, `drivers.stacks`).
"""

from __future__ import annotations

import re
import threading
import warnings
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import serial

from drivers import at
from drivers.modemfaults import AtError, ModemGarbled, ModemGone, ModemSilent
from drivers.serialport import READ_S, open_port

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # the library's regular expressions are not raw strings, which newer Pythons tell
    from gsmmodem.serial_comms import SerialComms

ESC: Final = b"\x1b"
CTRL_Z: Final = "\x1a"

ANSWER_S: Final = 10.0  # for the commands whose manual names no time of its own
LINE_BYTES_MAX: Final = 8_192  # the longest answer line is 1500 bytes as hex; more without an end is noise
UNHEARD_MAX: Final = 512  # unsolicited lines that nobody has fetched; the oldest go first
QUIET_S: Final = 0.3  # a modem at 115200 Bd never pauses for so long within an answer
STEP_S: Final = 2.0  # for the answer to a bare AT
STEPS_MAX: Final = 6  # bare ATs until the modem counts as hung
BUSY_TRIES: Final = 8  # of a command that the modem is too busy for: a SIM needs up to some seconds after power-up
BUSY_WAIT_S: Final = 0.5


@dataclass(slots=True)
class _Pending:
    """The command that waits for its answer."""

    command: str
    prompt: bool
    lines: list[str] = field(default_factory=list)
    done: bool = False
    prompted: bool = False
    restarted: bool = False


class Line(SerialComms):  # type: ignore[misc]  # the library has no types
    """The port of one modem. One thread reads; commands of any thread follow one another under `lock`.

    After a `ModemSilent` the next command first brings the line in step: whatever answer still comes is then thrown
    away and never taken for another command's.
    """

    RESPONSE_TERM = at.FINAL
    fatalErrorCallback: Callable[[Exception], None]  # noqa: N815  the library's name

    def __init__(self, port: str, *args: object, **kwargs: object) -> None:
        super().__init__(port, *args, **kwargs)
        self.lock: threading.RLock = self._txLock
        self._heard = threading.Condition()
        self._pending: _Pending | None = None
        self._unsolicited: deque[str] = deque(maxlen=UNHEARD_MAX)
        self._unfinished = ""
        self._stray = 0  # lines that came while nobody had asked
        self._out_of_step = False
        self._owed = 0
        self.echoes = 0  # of commands; after ATE0 another one tells of a restart that nobody heard of
        self._gone = "the port is not open"
        self._closing = threading.Event()
        self.listener: Callable[[str], None] = _nobody

    def connect(self) -> None:
        """Open the port and read it; `PortMissing` or `PortBusy`."""
        self.serial = open_port(Path(self.port))
        self._gone = ""
        self.alive = True
        self.rxThread = threading.Thread(target=self._readLoop, name=f"modem {self.port}", daemon=True)
        self.rxThread.start()

    def close(self) -> None:
        """End the reader and let the port go; a second time does nothing."""
        self._closing.set()
        self.alive = False
        if self._gone == "the port is not open":
            return
        self.serial.cancel_read()
        self.rxThread.join(4 * READ_S)
        self._lose("the port was closed")
        self.serial.close()

    def exchange(
        self, command: str, timeout_s: float = ANSWER_S, *, prompt: bool = False, owed: int = 0, shown: str = ""
    ) -> list[str]:
        """Send one command and return its answer's lines, the final result last; with `prompt` up to the prompt.

        Raises `AtError` for a refusal, `ModemSilent`, `ModemGone`. `shown` stands for the command in their text;
        `owed` is how many bytes the prompt will take, where it takes a number of them and no ESC.
        """
        line = command.encode("latin-1") + b"\r"
        with self.lock:
            self._into_step()
            self._owed = owed
            for _ in range(BUSY_TRIES):
                try:
                    return self._ask(line, command, timeout_s, prompt, shown or command)
                except AtError as error:
                    if error.number not in at.BUSY or self._closing.wait(BUSY_WAIT_S):
                        raise
            return self._ask(line, command, timeout_s, prompt, shown or command)

    def probe(self, command: str, timeout_s: float) -> list[str]:
        """As `exchange`, but sends nothing else whatever happens, save ESC after a silence."""
        with self.lock:
            if self._out_of_step:
                self._put(ESC)
            return self._ask(command.encode("latin-1") + b"\r", command, timeout_s, prompt=False, shown=command)

    def deliver(self, data: bytes, timeout_s: float, *, command: str) -> list[str]:
        """Hand `data` to the prompt that `exchange` got, under the same hold of `lock`; returns and raises likewise."""
        with self.lock:
            return self._ask(data, command, timeout_s, prompt=False, shown=command)

    def pump(self) -> None:
        """Tell `listener` what the modem has said by itself since the last time, in order."""
        with self.lock:
            while (line := self._next_unsolicited()) is not None:
                self.listener(line)

    def wait_for_line(self, timeout_s: float) -> None:
        """Until there is something to pump; `ModemGone` when nothing is there and nothing will come."""
        with self._heard:
            self._heard.wait_for(lambda: self._unsolicited or self._gone, timeout_s)
            if not self._unsolicited and self._gone:
                raise ModemGone(self._gone)

    def wait_for_any(self, patterns: Iterable[re.Pattern[str]], timeout_s: float) -> None:
        """Until there is something to pump that fits one of `patterns`, the port is gone, or the time is over."""
        with self._heard:
            self._heard.wait_for(
                lambda: self._gone or any(p.match(line) for line in self._unsolicited for p in patterns), timeout_s
            )
            if self._gone and not self._unsolicited:
                raise ModemGone(self._gone)

    def await_line(self, pattern: str, timeout_s: float, answer: Iterable[str] = ()) -> re.Match[str]:
        """The first line that fits `pattern`, in the `answer` that has just come or said by the modem afterwards.

        What it says before is told to `listener`, that line too. `ModemSilent` when it does not come in time.
        """
        for line in answer:
            if found := re.match(pattern, line):
                return found
        wanted = re.compile(f"{pattern}|{at.RESTART}")
        with self.lock:
            with self._heard:
                self._heard.wait_for(lambda: self._gone or any(map(wanted.match, self._unsolicited)), timeout_s)
            while (said := self._next_unsolicited()) is not None:
                self.listener(said)
                if found := re.match(pattern, said):
                    return found
                if at.is_restart(said):
                    raise ModemSilent(f"the modem restarted instead of saying {pattern.replace(chr(92), '')}")
            if self._gone:
                raise ModemGone(self._gone)
            raise ModemSilent(f"the modem did not say {pattern.replace(chr(92), '')} within {timeout_s:g} s")

    def _next_unsolicited(self) -> str | None:
        with self._heard:
            return self._unsolicited.popleft() if self._unsolicited else None

    @property
    def in_step(self) -> bool:
        """Whether the last command was answered; otherwise the next one may first take some seconds, or fail."""
        return not self._out_of_step

    def lose_step(self) -> None:
        """Let the next command first bring the line in step, as after a silence."""
        self._out_of_step = True

    def write(
        self,
        data: str,
        waitForResponse: bool = True,  # noqa: N803  the library's names
        timeout: float = 5,
        expectedResponseTermSeq: str | None = None,  # noqa: N803
    ) -> list[str] | None:
        """What the library's own methods call; ours call `exchange`, which this is but for the carriage return."""
        if not waitForResponse:
            with self.lock:
                self._put(data.encode("latin-1"))
            return None
        return self.exchange(data.removesuffix("\r"), timeout, prompt=bool(expectedResponseTermSeq))

    def _ask(self, data: bytes, command: str, timeout_s: float, prompt: bool, shown: str) -> list[str]:
        pending = _Pending(command, prompt)
        with self._heard:
            self._pending = pending
        try:
            self._put(data)
            with self._heard:
                self._heard.wait_for(lambda: pending.done or self._gone, timeout_s)
        except ModemSilent:
            self._out_of_step = True
            raise
        finally:
            with self._heard:
                self._pending = None
        if not pending.done and self._gone:
            raise ModemGone(f"{shown}: {self._gone}")
        if pending.restarted or not pending.done:
            self._out_of_step = True
            if prompt and not pending.restarted:
                self._put(ESC)  # the prompt may still come, and would take the next command for data
            why = "the modem restarted" if pending.restarted else f"no final answer within {timeout_s:g} s"
            raise ModemSilent(f"{shown}: {why}")
        if refused := at.refusal(pending.lines[-1], shown) if pending.lines else None:
            refused.lines = pending.lines
            raise refused
        if prompt and not pending.prompted:
            raise ModemGarbled(f"{shown}: {pending.lines[-1]} instead of the prompt")
        return pending.lines

    def _into_step(self) -> None:
        """After a timeout: wait until nothing comes any more, then AT until its OK is the only answer."""
        if not self._out_of_step:
            return
        # A prompt for a number of bytes knows no ESC. Empty lines fill it up, and are nothing to a modem without one;
        # whose connection they go to is finished.
        self._put(ESC + b"\r" * self._owed)
        self._until_quiet()
        for _ in range(STEPS_MAX):
            before = self._stray
            try:
                answer = self._ask(b"AT\r", "AT", STEP_S, False, "AT")
            except AtError:
                continue  # an answer, but not to this AT
            except ModemSilent:
                self._put(ESC)
                continue
            self._until_quiet()
            if self._stray == before and answer == ["OK"]:
                self._out_of_step = False
                return
        raise ModemSilent(f"the modem does not answer: {STEPS_MAX} times AT without an OK")

    def _until_quiet(self) -> None:
        """Wait until no line has come for a while that nobody asked for."""
        with self._heard:
            for _ in range(UNHEARD_MAX):  # a modem that talks without end is not in step, and not waited for
                seen = self._stray
                if not self._heard.wait_for(lambda: self._gone or self._stray != seen, QUIET_S):  # noqa: B023  used at once
                    return
                if self._gone:
                    raise ModemGone(self._gone)

    def _put(self, data: bytes) -> None:
        if self._gone:
            raise ModemGone(self._gone)
        try:
            self.serial.write(data)
        except serial.SerialTimeoutException as error:
            raise ModemSilent("the modem takes no bytes any more") from error
        except (OSError, TypeError) as error:  # pyserial raises TypeError for a port closed in between
            self._lose(f"the port failed: {error}")
            raise ModemGone(self._gone) from error

    def _readLoop(self) -> None:  # noqa: N802  the library's name
        """Everything that comes, as lines, until the port fails or is closed; it never ends without being reported."""
        reason = "the reader failed"
        try:
            waiting = b""
            while self.alive:
                waiting += self.serial.read(max(1, self.serial.in_waiting))
                *lines, waiting = waiting.split(b"\n")
                for raw in lines:
                    self._handleLineRead(raw.decode("latin-1").strip("\r\0 "))
                if waiting.strip() == b">" and self._prompted():
                    waiting = b""
                waiting = waiting[-LINE_BYTES_MAX:]
            reason = "the port was closed"
        except (OSError, TypeError, ValueError) as error:
            reason = f"the port failed: {error}"
        finally:
            self._lose(reason)

    def _prompted(self) -> bool:
        """Whether somebody waits for the prompt that has come; with or without the space that some makers add."""
        with self._heard:
            if self._pending is None or not self._pending.prompt:
                return False
            self._pending.prompted = self._pending.done = True
            self._heard.notify_all()
            return True

    def _handleLineRead(self, line: str, checkForResponseTerm: bool = True) -> None:  # noqa: N802, N803
        """Give one line to whom it belongs: the command that waits, or those who listen."""
        if not line or at.is_noise(line):
            return
        if line == ">" and self._prompted():
            return  # something was said right behind the prompt, which so became a line
        with self._heard:
            pending = self._pending if self._pending and not self._pending.done else None
            if self._unfinished:
                line, self._unfinished = f"{self._unfinished}\n{line}", ""
            elif pending and not pending.lines and line.upper() == pending.command.upper():
                self.echoes += 1
                return
            unsolicited = at.is_unsolicited(line.partition("\n")[0], pending.command if pending else None)
            if unsolicited and at.is_unfinished(line):
                self._unfinished = line
                return
            if pending and not unsolicited:
                pending.lines.append(line)
                pending.done = at.is_final(line)
            elif at.is_unsolicited(line, "AT"):
                self._unsolicited.append(line)
                if pending and at.is_restart(line):
                    pending.restarted = pending.done = True  # it has forgotten what it was asked
            else:
                self._stray += 1  # a late answer, or noise: nobody's
            self._heard.notify_all()

    def _lose(self, reason: str) -> None:
        with self._heard:
            first = not self._gone
            self._gone = self._gone or reason
            self.alive = False
            self._heard.notify_all()
        if first and not self._closing.is_set():
            self.fatalErrorCallback(ModemGone(reason))


def _nobody(line: str) -> None:
    """Listens to nothing."""
