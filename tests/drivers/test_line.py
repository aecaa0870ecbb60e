"""The line layer beside the library's own: each of the library's defects is shown on the library, and not on ours."""

from __future__ import annotations

import os
import threading
import time
import tty
from collections.abc import Callable, Iterator
from contextlib import closing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.line import Line
from drivers.modemfaults import AtError, ModemFault, ModemGone, ModemSilent, PortBusy
from tests.drivers.scripted import OK, ScriptedModem

# isort: split
# After drivers.line, which keeps the library's own warnings down when it is first imported.
from gsmmodem.exceptions import CommandError, TimeoutException
from gsmmodem.modem import GsmModem
from gsmmodem.serial_comms import SerialComms

PATIENCE_S = 10.0
SHORT_S = 0.3  # for what never comes

ANSWERS = {
    "AT": OK,
    "AT+CSQ": b"\r\n+CSQ: 20,99\r\n" + OK,
    "AT+CGSN": b"\r\n861107030000014\r\n" + OK,
    "AT+SLOW": b"",
}


@pytest.fixture
def modem() -> Iterator[ScriptedModem]:
    with ScriptedModem(ANSWERS) as modem:
        yield modem


@pytest.fixture
def line(modem: ScriptedModem) -> Iterator[Line]:
    with closing(Line(modem.path)) as line:
        line.connect()
        yield line


@pytest.fixture
def bare(modem: ScriptedModem) -> Iterator[GsmModem]:
    """The library as it is, its port open, without the commands that its connect() sends."""
    bare = GsmModem(modem.path)
    bare.timeout = 0.1  # of its reader, so that it is closed soon
    SerialComms.connect(bare)
    yield bare
    bare.close()


def eventually(condition: Callable[[], object]) -> None:
    deadline_s = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline_s, "it did not come about"
        threading.Event().wait(0.01)  # another thread or the terminal driver is on its way


def unasked(line: Line) -> list[str]:
    """What the modem has said by itself."""
    told: list[str] = []
    line.listener = told.append
    line.pump()
    return told


# Defect 1: a byte that is not UTF-8.


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_library_goes_deaf_unseen_after_a_byte_that_is_no_utf8(modem: ScriptedModem, bare: GsmModem) -> None:
    modem.say(b"\xff\xfe\r\n")
    eventually(lambda: not bare.rxThread.is_alive())
    assert bare.alive
    with pytest.raises(TimeoutException):
        bare.write("AT", timeout=SHORT_S)


def test_line_hears_on_after_bytes_that_are_no_text(modem: ScriptedModem, line: Line) -> None:
    modem.say(b"\xff\xfe\r\n\x00\x80\x1b")
    assert line.exchange("AT+CSQ")[-2:] == ["+CSQ: 20,99", "OK"]


# Defect 2: an unsolicited line within an answer.


def test_library_loses_what_is_said_within_an_answer(modem: ScriptedModem, bare: GsmModem) -> None:
    told: list[object] = []
    bare.notifyCallback = told.append
    modem.answers["AT+CSQ"] = b'\r\n+CMTI: "ME",3\r\n' + ANSWERS["AT+CSQ"]
    with pytest.raises(CommandError):
        assert bare.signalStrength
    assert told == []


def test_line_gives_each_its_own(modem: ScriptedModem, line: Line) -> None:
    modem.answers["AT+CSQ"] = b'\r\n+CMTI: "ME",3\r\n\r\n+CSQ: 20,99\r\n\r\n+CREG: 1\r\n' + OK + b"\r\n+QIOPEN: 0,0\r\n"
    assert line.exchange("AT+CSQ") == ["+CSQ: 20,99", "OK"]
    line.exchange("AT")
    assert unasked(line) == ['+CMTI: "ME",3', "+CREG: 1", "+QIOPEN: 0,0"]


# Defect 3: final results that the library does not know.

FINALS = [b"SEND OK", b"SEND FAIL", b"SHUT OK", b"0, CLOSE OK", b"DATA ACCEPT:0,300", b"CONNECT"]
REFUSALS = [b"+CME ERROR: SIM not inserted", b"NO CARRIER", b"BUSY"]


@pytest.mark.parametrize("final", [b"SHUT OK", b"+CME ERROR: SIM not inserted"])
def test_library_waits_on_after_the_answer_has_ended(final: bytes, modem: ScriptedModem, bare: GsmModem) -> None:
    modem.answers["AT+X"] = b"\r\n" + final + b"\r\n"
    with pytest.raises(TimeoutException):
        bare.write("AT+X", timeout=SHORT_S, parseError=False)


@pytest.mark.parametrize("final", FINALS)
def test_line_knows_every_end_of_an_answer(final: bytes, modem: ScriptedModem, line: Line) -> None:
    modem.answers["AT+X"] = b"\r\n" + final + b"\r\n"
    assert line.exchange("AT+X") == [final.decode()]


@pytest.mark.parametrize("final", REFUSALS)
def test_line_raises_refusals_at_once(final: bytes, modem: ScriptedModem, line: Line) -> None:
    modem.answers["AT+X"] = b"\r\n" + final + b"\r\n"
    with pytest.raises(AtError):
        line.exchange("AT+X")


# Defect 4: text that begins like a final result.

MESSAGE = b'\r\n+CMGR: "REC READ"\r\nOK see you\r\nat noon\r\n' + OK


def test_library_cuts_a_text_that_begins_with_ok(modem: ScriptedModem, bare: GsmModem) -> None:
    modem.answers["AT+CMGR=1"] = MESSAGE
    assert "at noon" not in bare.write("AT+CMGR=1", parseError=False)


def test_line_reads_on_to_the_end(modem: ScriptedModem, line: Line) -> None:
    modem.answers["AT+CMGR=1"] = MESSAGE
    assert line.exchange("AT+CMGR=1") == ['+CMGR: "REC READ"', "OK see you", "at noon", "OK"]


# Defect 5: the prompt.


def test_library_does_not_see_a_prompt_without_space_and_stays_in_it(modem: ScriptedModem, bare: GsmModem) -> None:
    modem.answers["AT+CMGS=9"] = b"\r\n>"
    with pytest.raises(TimeoutException):
        bare.write("AT+CMGS=9", timeout=SHORT_S, expectedResponseTermSeq="> ")
    with pytest.raises(TimeoutException):
        bare.write("AT+CSQ", timeout=SHORT_S)
    assert b"\x1b" not in modem.raw
    assert b"AT+CSQ" not in modem.heard  # it is data of the message now


@pytest.mark.parametrize(
    "prompt", [b"\r\n>", b"\r\n> ", b'\r\n+CMTI: "ME",1\r\n\r\n> ', b'\r\n> \r\n+CMTI: "ME",1\r\n']
)
def test_line_sees_every_prompt(prompt: bytes, modem: ScriptedModem, line: Line) -> None:
    modem.answers |= {"AT+CMGS=9": prompt, "data": b"\r\n+CMGS: 77\r\n" + OK}
    line.exchange("AT+CMGS=9", prompt=True)
    assert line.deliver(b"0011\xff\x1a", 5.0, command="AT+CMGS=9") == ["+CMGS: 77", "OK"]
    assert modem.heard[-1] == b"0011\xff"


def test_line_leaves_a_prompt_that_came_too_late(modem: ScriptedModem, line: Line) -> None:
    modem.answers["AT+CMGS=9"] = b"\r\nwait\r\n>"
    modem.answers["AT+CMGS=8"] = b""
    with pytest.raises(ModemSilent):
        line.exchange("AT+CMGS=8", SHORT_S, prompt=True)
    eventually(lambda: b"\x1b" in modem.raw)
    assert line.exchange("AT+CSQ") == ["+CSQ: 20,99", "OK"]


def test_line_fills_a_prompt_up_that_knows_no_escape(modem: ScriptedModem, line: Line) -> None:
    modem.answers["AT+QISEND=0,300"] = b""
    with pytest.raises(ModemSilent):
        line.exchange("AT+QISEND=0,300", SHORT_S, prompt=True, owed=300)
    line.exchange("AT")
    assert b"\r" * 300 in modem.raw


def test_line_does_not_take_an_end_for_a_prompt(modem: ScriptedModem, line: Line) -> None:
    modem.answers["AT+CMGS=9"] = OK
    with pytest.raises(ModemFault):
        line.exchange("AT+CMGS=9", prompt=True)


# Defect 6: a late answer.

LATE = b"\r\n+SLOW: the wrong number\r\n" + OK


def test_library_takes_a_late_answer_for_the_next_commands(modem: ScriptedModem, bare: GsmModem) -> None:
    with pytest.raises(TimeoutException):
        bare.write("AT+SLOW", timeout=SHORT_S)
    modem.late = LATE
    assert bare.imei == "+SLOW: the wrong number"


def test_line_throws_a_late_answer_away(modem: ScriptedModem, line: Line) -> None:
    with pytest.raises(ModemSilent):
        line.exchange("AT+SLOW", SHORT_S)
    modem.late = LATE
    assert line.exchange("AT+CGSN") == ["861107030000014", "OK"]
    assert line.exchange("AT+CSQ") == ["+CSQ: 20,99", "OK"]


def test_line_says_so_when_the_modem_does_not_answer_any_more(
    modem: ScriptedModem, line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("drivers.line.STEP_S", 0.05)
    modem.answers["AT"] = b""
    for command in ("AT+SLOW", "AT+CSQ"):
        with pytest.raises(ModemSilent):
            line.exchange(command, SHORT_S)
    assert b"AT+CSQ" not in modem.heard
    modem.answers["AT"] = OK
    assert line.exchange("AT+CSQ") == ["+CSQ: 20,99", "OK"]


# Defect 7: a busy modem.


def test_library_asks_a_busy_modem_without_end(modem: ScriptedModem, bare: GsmModem) -> None:
    modem.answers["AT+CPIN?"] = b"\r\n+CME ERROR: 14\r\n"
    asking = threading.Thread(target=lambda: bare.write("AT+CPIN?", timeout=5))
    asking.start()
    eventually(lambda: modem.heard.count(b"AT+CPIN?") >= 3)
    assert asking.is_alive()
    modem.answers["AT+CPIN?"] = b"\r\n+CPIN: READY\r\n" + OK  # or it would go on until its stack is full
    asking.join(PATIENCE_S)


def test_line_asks_a_busy_modem_some_times(modem: ScriptedModem, line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("drivers.line.BUSY_WAIT_S", 0.01)
    modem.answers["AT+CPIN?"] = b"\r\n+CME ERROR: 14\r\n"
    with pytest.raises(AtError):
        line.exchange("AT+CPIN?")
    assert modem.heard.count(b"AT+CPIN?") == 9


# Defect 13: the port goes away.


def test_library_lets_who_waits_wait_on_after_the_port_is_gone(modem: ScriptedModem, bare: GsmModem) -> None:
    unplug = threading.Timer(0.1, modem.unplug)
    unplug.start()
    start_s = time.monotonic()
    with pytest.raises(TimeoutException):
        bare.write("AT+SLOW", timeout=1.0)
    assert time.monotonic() - start_s >= 1.0
    unplug.join()


def test_line_tells_who_waits_that_the_port_is_gone(modem: ScriptedModem, line: Line) -> None:
    reported: list[Exception] = []
    line.fatalErrorCallback = reported.append
    unplug = threading.Timer(0.1, modem.unplug)
    unplug.start()
    start_s = time.monotonic()
    with pytest.raises(ModemGone):
        line.exchange("AT+SLOW", PATIENCE_S)
    assert time.monotonic() - start_s < 2.0
    with pytest.raises(ModemGone):
        line.exchange("AT")
    with pytest.raises(ModemGone):
        line.wait_for_line(PATIENCE_S)
    eventually(lambda: reported)
    assert [type(error) for error in reported] == [ModemGone]
    unplug.join()


# Defect 14: flow control, and a write that nobody takes.


@pytest.fixture
def stuffed() -> Iterator[str]:
    """A terminal that nobody reads from."""
    master, slave = os.openpty()
    tty.setraw(slave)
    yield os.ttyname(slave)
    os.close(slave)
    os.close(master)


def test_library_cannot_be_told_to_leave_flow_control_off(modem: ScriptedModem, bare: GsmModem) -> None:
    assert bare.serial.rtscts
    assert bare.serial.write_timeout is None
    with pytest.raises(TypeError):
        SerialComms.connect(GsmModem(modem.path, rtscts=False))


def test_line_gives_a_write_up_that_the_modem_does_not_take(stuffed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("drivers.serialport.WRITE_S", 0.5)
    with closing(Line(stuffed)) as line:
        line.connect()
        assert not line.serial.rtscts
        assert not line.serial.dsrdtr
        with pytest.raises(ModemSilent):
            line.exchange("AT+X=" + "y" * 200_000, PATIENCE_S)


# And what the library has no defect in.


def test_echo_is_no_part_of_an_answer(modem: ScriptedModem, line: Line) -> None:
    modem.answers["AT+CSQ"] = b"AT+CSQ\r\r\n+CSQ: 20,99\r\n" + OK
    assert line.exchange("AT+CSQ") == ["+CSQ: 20,99", "OK"]
    assert line.echoes == 1


def test_restart_within_a_command_is_told_at_once(modem: ScriptedModem, line: Line) -> None:
    modem.answers["AT+X"] = b"\r\nRDY\r\n"
    start_s = time.monotonic()
    with pytest.raises(ModemSilent, match="restarted"):
        line.exchange("AT+X", PATIENCE_S)
    assert time.monotonic() - start_s < 2.0
    assert unasked(line) == ["RDY"]


def test_restart_instead_of_an_awaited_line_is_told_at_once(modem: ScriptedModem, line: Line) -> None:
    modem.say(b"\r\nRDY\r\n")
    start_s = time.monotonic()
    with pytest.raises(ModemSilent, match="restarted"):
        line.await_line(r"\+QIOPEN: ?0,", PATIENCE_S)
    assert time.monotonic() - start_s < 2.0


def test_ussd_text_of_several_lines_is_told_as_one(modem: ScriptedModem, line: Line) -> None:
    modem.say(b'\r\n+CUSD: 0,"Balance\r\n12.50",15\r\n')
    assert line.await_line(r"\+CUSD", PATIENCE_S).string == '+CUSD: 0,"Balance\n12.50",15'


def test_awaited_line_leaves_what_came_after_it(modem: ScriptedModem, line: Line) -> None:
    told: list[str] = []
    line.listener = told.append
    modem.say(b'\r\n+CMTI: "ME",1\r\n\r\n+QIURC: "dnsgip",0,1,60\r\n\r\n+QIURC: "dnsgip","127.0.0.1"\r\n')
    assert line.await_line(r'\+QIURC: "dnsgip",(\d+)', PATIENCE_S)[1] == "0"
    assert told == ['+CMTI: "ME",1', '+QIURC: "dnsgip",0,1,60']
    assert line.await_line(r'\+QIURC: "dnsgip","([\d.]+)"', PATIENCE_S)[1] == "127.0.0.1"
    with pytest.raises(ModemSilent):
        line.await_line(r"\+NEVER", SHORT_S)


def test_port_is_held_exclusively(modem: ScriptedModem, line: Line) -> None:
    with pytest.raises(PortBusy):
        Line(modem.path).connect()


def test_commands_of_two_threads_do_not_mix(modem: ScriptedModem, line: Line) -> None:
    wrong: list[list[str]] = []

    def ask(command: str, answer: str) -> None:
        for _ in range(100):
            lines = line.exchange(command)
            if lines != [answer, "OK"]:
                wrong.append(lines)

    threads = [
        threading.Thread(target=ask, args=("AT+CSQ", "+CSQ: 20,99")),
        threading.Thread(target=ask, args=("AT+CGSN", "861107030000014")),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_S)
    assert wrong == []
    assert modem.heard.count(b"AT+CSQ") == 100


def test_closed_line_refuses(modem: ScriptedModem) -> None:
    line = Line(modem.path)
    line.connect()
    line.close()
    line.close()
    with pytest.raises(ModemGone):
        line.exchange("AT")


@given(noise=st.lists(st.binary(max_size=40), max_size=6))
def test_noise_never_ends_the_reader(noise: list[bytes]) -> None:
    line = Line("nowhere")
    for piece in noise:
        for raw in piece.split(b"\n"):
            line._handleLineRead(raw.decode("latin-1").strip())
