r"""The AT port of a modem by V.250: bytes in, bytes out, on a given clock. Left out: the commands, the pty, the radio.

A feature or a TCP stack registers its commands; nothing is known that was not registered, and unknown is ERROR:

    commands = engine.commands
    commands.add("+CSQ", execute=lambda call: Reply("+CSQ: 17,99"))
    commands.add("+QIOPEN", test=Reply('+QIOPEN: (1-16),(0-11),"TCP"'), set=open_socket, read=list_sockets)

`open_socket(call)` reads `call.integer(0, low=1, high=16)`, `call.string(3)`; a `SyntaxFault` from these is ERROR. It
returns one of

* `Reply(*lines, final=Final.OK)`: each line goes out as `\r\nLINE\r\n`; a line may be bytes, and may have `\r\n` within
  (a header with its data). `final` is `Final.OK`, `Final.ERROR`, a `Cme` or `Cms` number, a text of the command's own
  (`"SHUT OK"`, `"CONNECT"`), or None (`AT+CIFSR` has none). After `Final.OK` or None the line's next command follows.
* `Prompt(then, length=5)` or `Prompt(then)`, the latter ended by ^Z and cancelled by ESC: `then(data)` returns any of
  these again.
* `LATER`: the command is under way. Keep `call`, and end it once with `call.answer(Reply(...))`. The port is busy until
  then: what comes in waits, as in real modems.
* `Online(receive, left=...)`: after `CONNECT` all bytes go to `receive(data)`, and `engine.write(data)` is what comes
  back, until `+++` between two silent seconds (then `left()` is called, and OK goes out), or
  `engine.hang_up("NO CARRIER")`. `ATO` returns one again.

`engine.urc("+CMTI: ...", data=b"")` says something unasked: never inside a line, and not while a command runs, unless
the faults want it between two lines of its answer. Results after the OK (`+QIOPEN: 0,0`) are URCs too: asked for while
the command runs, they go out right after its final result. `engine.after(delay_s, act)` does something later, unless a
restart comes first.

Drive it with `receive(data)`, and `timers.run_due()` when `timers.due_s()` has come; take what it says with `output()`.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Final as Constant

from sim.modem.errors import CME_TEXTS, CMS_TEXTS, Cme, Cms
from sim.modem.syntax import Command, Form, SyntaxFault, split_line
from sim.timers import Timer, Timers

LINE_BYTES_MAX: Constant = 2048  # AT+QISENDEX with 512 bytes in hex, and room
HELD_BYTES_MAX: Constant = 65536  # what waits while a command runs; a UART's buffer is smaller, a USB pipe's is not
URCS_HELD_MAX: Constant = 256
LINE_QUIET_S: Constant = 1.0  # half a command holds unsolicited lines back for so long
ESCAPE_GUARD_S: Constant = 1.0  # the silence before and after `+++` (V.250 has S12 for it)
_ESC: Constant = 0x1B
_CTRL_Z: Constant = 0x1A
_ETX: Constant = 0x03


class Final(Enum):
    """The result codes of V.250 that end a command, as (text, number)."""

    OK = ("OK", 0)
    ERROR = ("ERROR", 4)
    NO_CARRIER = ("NO CARRIER", 3)
    BUSY = ("BUSY", 7)


class Reply:
    """A finished answer: information lines and the final result."""

    __slots__ = ("final", "lines")

    def __init__(self, *lines: str | bytes, final: Final | Cme | Cms | str | None = Final.OK) -> None:
        self.lines = lines
        self.final = final


ERROR: Constant = Reply(final=Final.ERROR)
OK: Constant = Reply()
_NOTHING: Constant = Command("", Form.EXECUTE, "")  # bare AT
_UNREADABLE: Constant = Command("?", Form.EXECUTE, "")  # nobody's command: ERROR


class _Later:
    __slots__ = ()


LATER: Constant = _Later()


@dataclass(frozen=True, slots=True, kw_only=True)
class Online:
    """Data mode: where the bytes go, and who is told that `+++` has ended it for now."""

    receive: Callable[[bytes], None]
    left: Callable[[], None] = lambda: None
    result: str = "CONNECT"


class Prompt:
    """Asks for data: `length` bytes, or all up to ^Z. `etx_escapes`: 03 takes the next byte as data (SIM7600)."""

    __slots__ = ("cancelled", "etx_escapes", "length", "sign", "size_max", "then")

    def __init__(
        self,
        then: Callable[[bytes], Answer],
        *,
        length: int | None = None,
        sign: bytes = b"\r\n> ",
        cancelled: Reply = OK,
        etx_escapes: bool = False,
        size_max: int = LINE_BYTES_MAX,
    ) -> None:
        self.then = then
        self.length = length
        self.sign = sign
        self.cancelled = cancelled
        self.etx_escapes = etx_escapes
        self.size_max = size_max


Answer = Reply | Prompt | Online | _Later


class Call:
    """One command being carried out; arguments as in `Command`."""

    __slots__ = ("_answer", "command", "integer", "line", "string")

    def __init__(self, command: Command, line: str, answer: Callable[[Call, Answer], None]) -> None:
        self.command = command
        self.line = line
        self.integer = command.integer
        self.string = command.string
        self._answer = answer

    @property
    def arguments(self) -> tuple[str, ...]:
        """See `Command.arguments`."""
        return self.command.arguments

    def answer(self, answer: Answer) -> None:
        """End a command that was left with `LATER`; nothing happens if the modem has restarted meanwhile."""
        self._answer(self, answer)


Handler = Callable[[Call], Answer]


class Commands:
    """What the modem understands, by name."""

    def __init__(self) -> None:
        self._handlers: dict[tuple[str, Form], Handler] = {}
        self._names: dict[str, None] = {}

    def add(
        self,
        name: str,
        *,
        execute: Handler | Reply | None = None,
        read: Handler | Reply | None = None,
        test: Handler | Reply | None = None,
        set: Handler | Reply | None = None,  # the standard's own name for this form
    ) -> None:
        """Register a command, or forms of it anew; a form that is left out is ERROR, but the test form is OK."""
        name = name.upper()
        self._names[name] = None
        self._handlers.setdefault((name, Form.TEST), lambda _: OK)
        for form, handler in ((Form.EXECUTE, execute), (Form.READ, read), (Form.TEST, test), (Form.SET, set)):
            if handler is not None:
                self._handlers[name, form] = _constant(handler) if isinstance(handler, Reply) else handler

    def remove(self, name: str) -> None:
        """Understand it no longer."""
        self._names.pop(name.upper(), None)
        for form in Form:
            self._handlers.pop((name.upper(), form), None)

    def handler(self, command: Command) -> Handler | None:
        """Who carries it out; None: it is unknown."""
        return self._handlers.get((command.name, command.form))

    @property
    def names(self) -> list[str]:
        """Everything registered, in the order it was."""
        return list(self._names)


def _constant(reply: Reply) -> Handler:
    return lambda _: reply


class Faults:
    """What can go wrong on the AT port. Here nothing does; faults are made by overriding this."""

    def delay_s(self, line: str) -> float:
        """How late the answer to this command line is; `math.inf`: it never comes, and the port hangs."""
        return 0.0

    def interrupts(self) -> bool:
        """Whether unsolicited lines may go out now, though a command runs; asked before each line of its answer."""
        return False

    def garble(self, piece: bytes) -> bytes:
        """The last look at each piece of output (a line, a prompt, an echo)."""
        return piece


@dataclass(slots=True)
class Settings:
    """What ATE, ATQ, ATV, ATS and AT+CMEE set."""

    echo: bool = True
    quiet: bool = False
    verbose: bool = True
    cmee: int = 0
    s: dict[int, int] = field(default_factory=lambda: {3: 13, 4: 10, 5: 8})

    @property
    def line_end(self) -> bytes:
        """S3 and S4."""
        return bytes((self.s[3], self.s[4]))


class Engine:
    """One AT port."""

    def __init__(self, timers: Timers, *, faults: Faults | None = None) -> None:
        self.commands = Commands()
        self.settings = Settings()
        self.faults = faults or Faults()
        self.timers = timers
        # Told of each command line before it is carried out, and of each piece of output; for a log.
        self.watch: Callable[[str, bytes], None] = lambda _way, _data: None
        # Told when there is new output, which may come from a timer or from another modem's thread.
        self.on_output: Callable[[], None] = lambda: None
        self._out = bytearray()
        self._life = 0
        self._last_line = ""
        self._working = False
        self._call: Call | None = None
        self._prompt: Prompt | None = None
        self._online: Online | None = None
        self._forget()

    # --- bytes in, bytes out

    def output(self) -> bytes:
        """What was said since the last call."""
        data = bytes(self._out)
        self._out.clear()
        if self._prompt is not None and data:
            self._after_cr = False  # the prompt is out: an LF that comes now is data
        return data

    def receive(self, data: bytes) -> None:
        """Take what the terminal equipment sends, of any length."""
        if self._deaf:
            return
        if self._online is not None:
            self._receive_online(data)
            return
        room = HELD_BYTES_MAX - len(self._held)
        self._held += data[:room]
        self._work()

    def urc(self, line: str | bytes, *, data: bytes = b"") -> None:
        """Say something unasked, as soon as that is allowed; `data` follows the line's end as it is."""
        if self._deaf:
            return
        text = line.encode("latin-1", "replace") if isinstance(line, str) else line
        if len(self._urcs) < URCS_HELD_MAX:
            self._urcs.append((text, data))
        if self._online is not None:
            return  # said once data mode has ended
        if self._running:
            if self.faults.interrupts():
                self._say_urcs(while_running=True)
        elif self._line:
            self.after(LINE_QUIET_S, self._say_urcs)
        else:
            self._say_urcs()

    def write(self, data: bytes) -> None:
        """Bytes as they are, now: the data of data mode, and noise."""
        piece = self.faults.garble(data)
        if piece and not self._deaf:
            self._out += piece
            self.watch("<", piece)
            self.on_output()

    def after(self, delay_s: float, act: Callable[[], None]) -> Timer:
        """Do it later, unless the modem restarts first."""
        life = self._life
        return self.timers.after(delay_s, lambda: act() if life == self._life else None)

    def restart(self) -> None:
        """As after power-on: what was under way, held or online is gone, and the settings are the factory's."""
        self._life += 1
        self.settings = Settings()
        self._forget()

    def hang(self) -> None:
        """Neither hear nor say anything until `restart`."""
        self._forget()
        self._deaf = True

    def hang_up(self, result: str = "NO CARRIER") -> None:
        """End data mode from the network's side."""
        if self._online is not None:
            self._online = None
            self._say_line(result.encode("ascii", "replace"))
            self._say_urcs()

    @property
    def urcs_waiting(self) -> int:
        """How many unsolicited lines are held back."""
        return len(self._urcs)

    @property
    def is_online(self) -> bool:
        """Whether the port is in data mode."""
        return self._online is not None

    def _forget(self) -> None:
        self._deaf = False
        self._held = bytearray()
        self._line = bytearray()
        self._commands: deque[Command] = deque()
        self._running_line = ""
        self._call = None
        self._prompt = None
        self._prompt_data = bytearray()
        self._escaped = False
        self._after_cr = False
        self._online = None
        self._pluses = b""
        self._last_online_s = -math.inf
        self._urcs: deque[tuple[bytes, bytes]] = deque()

    # --- reading lines and prompts

    @property
    def _running(self) -> bool:
        return self._call is not None or bool(self._commands)

    def _work(self) -> None:
        """Go on until nothing is left to do; a call from within only leaves the work to the one under way."""
        if self._working:
            return
        self._working = True
        try:
            while self._step():
                pass
        finally:
            self._working = False

    def _step(self) -> bool:
        """One command, or one held byte; a running command without a prompt wants none. Returns False if idle."""
        if self._deaf:
            return False
        if self._call is None and self._commands:
            self._begin_next()
            return True
        if not self._held or (self._call is not None and self._prompt is None):
            return False
        if self._online is not None:
            data = bytes(self._held)
            self._held.clear()
            self._receive_online(data)
            return True
        byte = self._held[0]
        del self._held[:1]
        if self._prompt is not None:
            self._take_prompt_byte(byte)
        else:
            self._take_line_byte(byte)
        return True

    def _take_line_byte(self, byte: int) -> None:
        settings = self.settings
        if byte == settings.s[3]:
            self._echo(byte)
            self._after_cr = True
            line = self._line.decode("latin-1")
            self._line.clear()
            self._run_line(line)
        elif byte == settings.s[5] or byte == 0x7F:
            if self._line:
                del self._line[-1:]
                self._echo(byte)
        elif byte >= 0x20:
            self._after_cr = False
            self._echo(byte)
            # An overlong line is remembered as one byte too long, which makes it an ERROR.
            if len(self._line) <= LINE_BYTES_MAX:
                self._line.append(byte)
            if self._line.upper() == b"A/":
                self._line.clear()
                self._run_line(self._last_line)
        # Else: LF, ESC and ^Z outside a prompt, and other control characters, mean nothing.

    def _take_prompt_byte(self, byte: int) -> None:
        prompt = self._prompt
        assert prompt is not None, "only called with one"
        if self._after_cr:
            self._after_cr = False
            if byte == 0x0A:  # the LF of the command line's CR LF
                return
        if prompt.length is None and not self._escaped:
            if prompt.etx_escapes and byte == _ETX:
                self._escaped = True
                return
            if byte == _ESC:
                self._end_prompt(lambda: prompt.cancelled)
                return
            if byte == _CTRL_Z:
                data = bytes(self._prompt_data)
                self._end_prompt((lambda: prompt.then(data)) if len(data) <= prompt.size_max else (lambda: ERROR))
                return
        self._escaped = False
        self._echo(byte)
        if len(self._prompt_data) <= prompt.size_max or prompt.length is not None:
            self._prompt_data.append(byte)
        if prompt.length is not None and len(self._prompt_data) >= prompt.length:
            data = bytes(self._prompt_data)
            self._end_prompt(lambda: prompt.then(data))

    def _end_prompt(self, act: Callable[[], Answer]) -> None:
        call, self._prompt = self._call, None
        self._prompt_data = bytearray()
        assert call is not None, "a prompt belongs to a command"
        self._settle(call, self._guarded(act))

    def _echo(self, byte: int) -> None:
        if self.settings.echo:
            self.write(bytes((byte,)))

    # --- carrying out

    def _run_line(self, line: str) -> None:
        # V.250 5.2: whatever stands before the prefix is not looked at.
        start = line.upper().find("AT")
        if start < 0:
            self._say_urcs()
            return
        self.watch(">", line.encode("latin-1"))
        self._last_line = line = line[start:]
        try:
            if len(line) > LINE_BYTES_MAX:
                raise SyntaxFault("the line is too long")
            commands = split_line(line[2:])
        except SyntaxFault:
            commands = [_UNREADABLE]
        self._commands = deque(commands or [_NOTHING])
        self._running_line = line

    def _begin_next(self) -> None:
        command = self._commands.popleft()
        call = self._call = Call(command, self._running_line, self._answered)
        if command is _NOTHING:
            self._settle(call, OK)
            return
        handler = self.commands.handler(command)
        self._settle(call, ERROR if handler is None else self._guarded(lambda: handler(call)))

    def _guarded(self, act: Callable[[], Answer]) -> Answer:
        try:
            return act()
        except SyntaxFault:
            return ERROR

    def _answered(self, call: Call, answer: Answer) -> None:
        if call is self._call:
            self._settle(call, answer)

    def _settle(self, call: Call, answer: Answer) -> None:
        if call is not self._call:  # the handler has restarted the modem
            return
        if isinstance(answer, _Later):
            return
        if isinstance(answer, Prompt):
            self._prompt, self._prompt_data, self._escaped = answer, bytearray(), False
            self.write(answer.sign)
            return
        delay_s = self.faults.delay_s(call.line)
        if delay_s == math.inf:
            return
        if delay_s > 0:
            self.after(delay_s, lambda: self._finish(call, answer))
        else:
            self._finish(call, answer)

    def _finish(self, call: Call, answer: Reply | Online) -> None:
        if call is not self._call:
            return
        if isinstance(answer, Online):
            self._commands.clear()
            self._enter(answer)
            return
        for line in answer.lines:
            if self._urcs and self.faults.interrupts():
                self._say_urcs(while_running=True)
            self._say_line(line.encode("latin-1", "replace") if isinstance(line, str) else line)
        self._call = None
        if answer.final not in (Final.OK, None) or not self._commands:
            self._commands.clear()
            self._say_final(answer.final)
            self._say_urcs()
        self._work()

    def _enter(self, online: Online) -> None:
        self._say_line(online.result.encode("ascii", "replace"))
        self._call = None
        self._online = online
        self._pluses = b""
        self._last_online_s = self.timers.now_s()
        self._work()

    def _receive_online(self, data: bytes) -> None:
        online = self._online
        assert online is not None, "only called in data mode"
        now_s = self.timers.now_s()
        silent = now_s - self._last_online_s >= ESCAPE_GUARD_S
        self._last_online_s = now_s
        pluses = self._pluses + data
        if b"+++".startswith(pluses) and (self._pluses or silent):
            self._pluses = pluses
            self.after(ESCAPE_GUARD_S, lambda: self._after_guard(pluses))
            return
        self._pluses = b""
        if pluses:
            online.receive(pluses)

    def _after_guard(self, pluses: bytes) -> None:
        online = self._online
        if online is None or not pluses or pluses != self._pluses:
            return
        self._pluses = b""
        if pluses != b"+++":
            online.receive(pluses)
            return
        self._online = None
        online.left()
        self._say_final(Final.OK)
        self._say_urcs()

    # --- saying

    def _say_line(self, line: bytes) -> None:
        end = self.settings.line_end
        self.write((end if self.settings.verbose else b"") + line + end)

    def _say_urcs(self, *, while_running: bool = False) -> None:
        """`while_running` says that the faults have been asked already."""
        if self._running and not while_running:
            return
        while self._urcs and not self._deaf:
            line, data = self._urcs.popleft()
            end = self.settings.line_end
            self.write(end + line + end + data)

    def _say_final(self, final: Final | Cme | Cms | str | None) -> None:
        settings = self.settings
        if final is None or settings.quiet:
            return
        if isinstance(final, Cme) and settings.cmee == 0:
            final = Final.ERROR
        if isinstance(final, Final):
            text, number = final.value
            if settings.verbose:
                self._say_line(text.encode("ascii"))
            else:
                self.write(str(number).encode("ascii") + bytes((settings.s[3],)))
        elif isinstance(final, Cme):
            self._say_line(f"+CME ERROR: {CME_TEXTS[final] if settings.cmee == 2 else int(final)}".encode("ascii"))
        elif isinstance(final, Cms):
            self._say_line(f"+CMS ERROR: {CMS_TEXTS[final] if settings.cmee == 2 else int(final)}".encode("ascii"))
        else:
            self._say_line(final.encode("ascii", "replace"))
