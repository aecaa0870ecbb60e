"""The AT port by V.250, with a few commands of its own."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.carrier.cell import VirtualClock
from sim.modem.engine import ERROR, LATER, OK, Answer, Call, Engine, Faults, Final, Handler, Online, Prompt, Reply
from sim.modem.errors import Cme, Cms
from sim.timers import Timers


class Port:
    """An engine with commands to try it on."""

    def __init__(self, faults: Faults | None = None) -> None:
        self.clock = VirtualClock()
        self.timers = Timers(self.clock)
        self.engine = Engine(self.timers, faults=faults)
        self.later: list[Call] = []
        self.online: list[bytes] = []
        self.left = 0
        commands = self.engine.commands
        commands.add("+ONE", execute=Reply("+ONE: 1"), set=lambda call: Reply(f"+ONE: {call.integer(0)}"))
        commands.add("+TWO", execute=Reply("+TWO: 1", "+TWO: 2"))
        commands.add("+BAD", execute=Reply(final=Cme.SIM_NOT_INSERTED))
        commands.add("+CMS", execute=Reply(final=Cms.MEMORY_FULL))
        commands.add("+SHUT", execute=Reply(final="SHUT OK"))
        commands.add("+NONE", execute=Reply("10.0.0.1", final=None))
        commands.add("+WAIT", execute=self._wait)
        commands.add("+ASK", execute=lambda _: Prompt(self._asked), set=self._ask)
        commands.add("+ESC", execute=lambda _: Prompt(self._asked, etx_escapes=True))
        commands.add("+LINE", execute=lambda _: Online(receive=self.online.append, left=self._leave))
        for letter, name in (("E", "echo"), ("V", "verbose"), ("Q", "quiet")):
            commands.add(letter, execute=self._switch(name))
        commands.add("+CMEE", set=self._cmee)
        self.send(b"ATE0\r")

    def send(self, data: bytes) -> bytes:
        self.engine.receive(data)
        return self.engine.output()

    def run(self, seconds: float) -> bytes:
        until_s = self.clock() + seconds
        while (due_s := self.timers.due_s()) is not None and due_s <= until_s:
            self.clock.advance(max(0.0, due_s - self.clock()))
            self.timers.run_due()
        self.clock.advance(max(0.0, until_s - self.clock()))
        return self.engine.output()

    def _wait(self, call: Call) -> Answer:
        self.later.append(call)
        return LATER

    def _ask(self, call: Call) -> Answer:
        return Prompt(self._asked, length=call.integer(0, low=1), sign=b"\r\n>")

    def _asked(self, data: bytes) -> Answer:
        return Reply(b"+GOT: " + data)

    def _leave(self) -> None:
        self.left += 1

    def _switch(self, name: str) -> Handler:
        def switch(call: Call) -> Answer:
            setattr(self.engine.settings, name, call.command.text == "1")
            return OK

        return switch

    def _cmee(self, call: Call) -> Answer:
        self.engine.settings.cmee = call.integer(0)
        return OK


@pytest.fixture
def port() -> Port:
    return Port()


@pytest.mark.parametrize(
    "line", [b"AT\r", b"at\r\n", b"\x1bAT\r", b"\x1a\x1aAT\r\n", b"xyzAT\r", b"AT+ONX\x08E\x08\x08\x08\x08\r"]
)
def test_at_is_answered_whatever_stands_before_it(port: Port, line: bytes) -> None:
    assert port.send(line) == b"\r\nOK\r\n"


@pytest.mark.parametrize("line", [b"\r", b"\r\n\r\n", b"0011000A91\x1a", b"hello\r"])
def test_a_line_without_at_is_not_answered(port: Port, line: bytes) -> None:
    assert port.send(line) == b""


@pytest.mark.parametrize(
    "line", [b"AT+NEVER\r", b"AT+ONE?\r", b"AT+ONE=x\r", b"AT9\r", b"AT+ONE=\r", b"AT" + b"E" * 3000 + b"\r"]
)
def test_what_is_unknown_is_an_error(port: Port, line: bytes) -> None:
    assert port.send(line) == b"\r\nERROR\r\n"


def test_the_test_form_of_a_known_command_is_ok(port: Port) -> None:
    assert port.send(b"AT+ONE=?\r") == b"\r\nOK\r\n"


def test_commands_of_one_line_have_one_result(port: Port) -> None:
    assert port.send(b"at+one;+two;+one=5\r") == (
        b"\r\n+ONE: 1\r\n\r\n+TWO: 1\r\n\r\n+TWO: 2\r\n\r\n+ONE: 5\r\n\r\nOK\r\n"
    )


def test_the_first_error_ends_the_line(port: Port) -> None:
    assert port.send(b"AT+ONE;+NEVER;+ONE\r") == b"\r\n+ONE: 1\r\n\r\nERROR\r\n"


def test_a_thousand_commands_in_one_line_are_carried_out(port: Port) -> None:
    assert port.send(b"AT" + b"E0" * 1000 + b"\r") == b"\r\nOK\r\n"


def test_the_echo_returns_each_character(port: Port) -> None:
    port.send(b"ATE1\r")
    assert port.send(b"AT+ONE\r\n") == b"AT+ONE\r\r\n+ONE: 1\r\n\r\nOK\r\n"


def test_a_slash_repeats_the_last_line_at_once(port: Port) -> None:
    port.send(b"AT+ONE\r")
    assert port.send(b"A/") == b"\r\n+ONE: 1\r\n\r\nOK\r\n"


def test_numeric_and_quiet_results(port: Port) -> None:
    assert port.send(b"ATV0\r") == b"0\r"
    assert port.send(b"AT+ONE\r") == b"+ONE: 1\r\n0\r"
    assert port.send(b"AT+NEVER\r") == b"4\r"
    assert port.send(b"ATQ1\r") == b""
    assert port.send(b"AT+ONE\r") == b"+ONE: 1\r\n"


@pytest.mark.parametrize(
    ("cmee", "line", "result"),
    [
        (0, b"AT+BAD\r", b"ERROR"),
        (1, b"AT+BAD\r", b"+CME ERROR: 10"),
        (2, b"AT+BAD\r", b"+CME ERROR: SIM not inserted"),
        (0, b"AT+CMS\r", b"+CMS ERROR: 322"),
        (1, b"AT+CMS\r", b"+CMS ERROR: 322"),
        (2, b"AT+CMS\r", b"+CMS ERROR: memory full"),
        (0, b"AT+SHUT\r", b"SHUT OK"),
    ],
)
def test_results_have_the_form_that_cmee_asks_for(port: Port, cmee: int, line: bytes, result: bytes) -> None:
    port.send(b"AT+CMEE=%d\r" % cmee)
    assert port.send(line) == b"\r\n" + result + b"\r\n"


def test_a_command_may_have_no_result(port: Port) -> None:
    assert port.send(b"AT+NONE\rAT\r") == b"\r\n10.0.0.1\r\n\r\nOK\r\n"


def test_what_comes_while_a_command_runs_waits(port: Port) -> None:
    assert port.send(b"AT+WAIT\rAT+ONE\r") == b""
    port.later[0].answer(Reply("+WAIT: done"))
    assert port.engine.output() == b"\r\n+WAIT: done\r\n\r\nOK\r\n\r\n+ONE: 1\r\n\r\nOK\r\n"
    port.later[0].answer(OK)
    assert port.engine.output() == b""


@pytest.mark.parametrize("end", [b"\r", b"\r\n"])
def test_prompt_data_end_with_ctrl_z(port: Port, end: bytes) -> None:
    assert port.send(b"AT+ASK" + end) == b"\r\n> "
    assert port.send(b"abc\n\r") == b""
    assert port.send(b"\x1a") == b"\r\n+GOT: abc\n\r\r\n\r\nOK\r\n"


def test_prompt_data_of_fixed_length_may_be_any_bytes(port: Port) -> None:
    assert port.send(b"AT+ASK=5\r\n") == b"\r\n>"
    assert port.send(b"\x1a\x1b\r\n\0\x1a") == b"\r\n+GOT: \x1a\x1b\r\n\0\r\n\r\nOK\r\n"


def test_escape_cancels_a_prompt(port: Port) -> None:
    port.send(b"AT+ASK\r")
    assert port.send(b"abc\x1b") == b"\r\nOK\r\n"
    assert port.send(b"AT\r") == b"\r\nOK\r\n"


def test_etx_takes_the_next_byte_as_data(port: Port) -> None:
    port.send(b"AT+ESC\r")
    assert port.send(b"a\x03\x1a\x03\x1b\x03\x03\x1a") == b"\r\n+GOT: a\x1a\x1b\x03\r\n\r\nOK\r\n"


def test_prompt_data_beyond_all_bounds_are_an_error(port: Port) -> None:
    port.send(b"AT+ASK\r")
    assert port.send(b"x" * 5000 + b"\x1a") == b"\r\nERROR\r\n"


def test_an_unsolicited_line_waits_for_the_result(port: Port) -> None:
    port.send(b"AT+WAIT\r")
    port.engine.urc("+CMTI: 1", data=b"raw")
    assert port.engine.output() == b""
    port.later[0].answer(OK)
    assert port.engine.output() == b"\r\nOK\r\n\r\n+CMTI: 1\r\nraw"


def test_an_unsolicited_line_waits_for_a_prompts_data(port: Port) -> None:
    port.send(b"AT+ASK\r")
    port.engine.urc("+CMTI: 1")
    assert port.engine.output() == b""
    assert port.send(b"x\x1a").endswith(b"\r\nOK\r\n\r\n+CMTI: 1\r\n")


def test_half_a_command_holds_an_unsolicited_line_back_for_a_second(port: Port) -> None:
    port.send(b"AT+O")
    port.engine.urc("+CMTI: 1")
    assert port.run(0.9) == b""
    assert port.run(0.2) == b"\r\n+CMTI: 1\r\n"
    assert port.send(b"NE\r") == b"\r\n+ONE: 1\r\n\r\nOK\r\n"


def test_data_mode_ends_with_three_pluses_in_silence(port: Port) -> None:
    assert port.send(b"AT+LINE\rfirst") == b"\r\nCONNECT\r\n"
    port.engine.urc("+CMTI: 1")
    port.run(1.0)
    port.send(b"a+++b")
    port.run(2.0)
    port.send(b"+")
    port.send(b"++")
    assert port.run(1.1) == b"\r\nOK\r\n\r\n+CMTI: 1\r\n"
    assert (b"".join(port.online), port.left) == (b"firsta+++b", 1)
    assert port.send(b"AT\r") == b"\r\nOK\r\n"


def test_pluses_without_silence_are_data(port: Port) -> None:
    port.send(b"AT+LINE\r")
    port.send(b"+++")
    port.run(2.0)
    port.send(b"+++")
    port.run(0.5)
    port.send(b"x")
    port.run(2.0)
    port.send(b"+")
    port.run(2.0)
    assert (b"".join(port.online), port.left) == (b"++++++x+", 0)


def test_the_network_ends_data_mode(port: Port) -> None:
    port.send(b"AT+LINE\r")
    port.engine.hang_up()
    assert port.engine.output() == b"\r\nNO CARRIER\r\n"
    assert port.send(b"AT\r") == b"\r\nOK\r\n"


def test_a_restart_forgets_what_was_under_way(port: Port) -> None:
    port.send(b"AT+WAIT\rAT+ONE\r")
    port.engine.after(1.0, lambda: port.engine.urc("+LATE"))
    port.engine.restart()
    port.later[0].answer(OK)
    assert port.run(5.0) == b""
    assert port.send(b"AT\r") == b"AT\r\r\nOK\r\n"


def test_a_hung_port_is_silent_until_it_restarts(port: Port) -> None:
    port.engine.hang()
    port.engine.urc("+CMTI: 1")
    assert port.send(b"AT\r") == b""
    port.engine.restart()
    assert port.send(b"AT\r").endswith(b"\r\nOK\r\n")


class Bad(Faults):
    """Interrupts, is late, or garbles."""

    def __init__(self, *, late_s: float = 0.0, cuts_in: bool = False, garbage: bytes = b"") -> None:
        self.late_s, self.cuts_in, self.garbage = late_s, cuts_in, garbage

    def delay_s(self, line: str) -> float:
        return self.late_s

    def interrupts(self) -> bool:
        return self.cuts_in

    def garble(self, piece: bytes) -> bytes:
        return self.garbage + piece


def test_a_late_answer_comes_late_and_the_next_command_after_it() -> None:
    port = Port(faults=(bad := Bad()))
    bad.late_s = 3.0
    assert port.send(b"AT+ONE\r") == b""
    bad.late_s = 0.0
    assert port.send(b"AT+TWO\r") == b""
    assert port.run(3.0).startswith(b"\r\n+ONE: 1\r\n\r\nOK\r\n\r\n+TWO: 1\r\n")


def test_an_answer_that_never_comes_hangs_the_port() -> None:
    port = Port(faults=(bad := Bad()))
    bad.late_s = math.inf
    assert port.send(b"AT\r") == b""
    bad.late_s = 0.0
    assert port.send(b"AT\r") + port.run(1000.0) == b""


def test_an_unsolicited_line_can_stand_between_two_lines_of_an_answer() -> None:
    port = Port(faults=(bad := Bad()))
    port.send(b"AT+WAIT\r")
    port.engine.urc("+CMTI: 1")
    bad.cuts_in = True
    port.later[0].answer(Reply("+WAIT: 1", "+WAIT: 2"))
    assert port.engine.output() == b"\r\n+CMTI: 1\r\n\r\n+WAIT: 1\r\n\r\n+WAIT: 2\r\n\r\nOK\r\n"


def test_garbage_stands_in_the_output() -> None:
    port = Port(faults=(bad := Bad()))
    bad.garbage = b"\xfe\xff"
    assert port.send(b"AT\r") == b"\xfe\xff\r\nOK\r\n"


def test_commands_can_be_replaced_and_removed(port: Port) -> None:
    port.engine.commands.add("+ONE", execute=ERROR)
    assert port.send(b"AT+ONE\r") == b"\r\nERROR\r\n"
    port.engine.commands.remove("+TWO")
    assert port.send(b"AT+TWO=?\r") == b"\r\nERROR\r\n"
    assert "+TWO" not in port.engine.commands.names


WORDS = (
    b"AT",
    b"+ONE",
    b"+ASK",
    b"+ASK=3",
    b"+WAIT",
    b"+LINE",
    b"+ESC",
    b";",
    b"\r",
    b"\n",
    b"\x1a",
    b"\x1b",
    b"+++",
    b"A/",
)


@given(st.lists(st.sampled_from(WORDS) | st.binary(max_size=8), max_size=40), st.booleans())
def test_garbage_is_no_exception_and_no_hang(pieces: list[bytes], echo: bool) -> None:
    port = Port()
    port.engine.settings.echo = echo
    for piece in pieces:
        port.send(piece)
        port.engine.urc("+URC")
        for call in port.later:
            call.answer(Reply(final=Final.OK))
        port.run(0.7)
    port.engine.restart()
    assert port.send(b"AT\r").endswith(b"\r\nOK\r\n")


@given(st.binary(max_size=200), st.integers(1, 7))
def test_bytes_cut_anywhere_are_read_alike(data: bytes, size: int) -> None:
    whole, cut = Port(), Port()
    said = whole.send(data)
    assert b"".join(cut.send(data[at : at + size]) for at in range(0, len(data), size)) == said
