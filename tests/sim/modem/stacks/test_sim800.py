"""The SIM800's TCP commands, byte by byte as the manual and drivers for it show them."""

from __future__ import annotations

import socket
from collections.abc import Callable

import pytest

from sim.carrier.carrier import Carrier
from sim.modem.profile import SIM800, Profile

Say = Callable[..., bytes]
Run = Callable[[float], bytes]
Accept = Callable[[], socket.socket]


@pytest.fixture
def profile() -> Profile:
    return SIM800


@pytest.fixture
def online(say: Say) -> None:
    """Several links, quick sending, manual receiving, an address."""
    for line in ("CIPMUX=1", "CIPQSEND=1", "CIPRXGET=1", 'CSTT="internet","",""', "CIICR", "CIFSR"):
        assert b"ERROR" not in say(f"AT+{line}")


@pytest.fixture
def opened(say: Say, online: None, port: int, accept: Accept) -> socket.socket:
    """Link 0."""
    say(f'AT+CIPSTART=0,"TCP","127.0.0.1",{port}')
    return accept()


def lines(*texts: str) -> bytes:
    return b"".join(f"\r\n{text}\r\n".encode() for text in texts)


def state(say: Say) -> str:
    return say("AT+CIPSTATUS").split(b"STATE: ")[1].split(b"\r\n")[0].decode()


def test_states_are_gone_through_in_order(say: Say, run: Run, carrier: Carrier, port: int, accept: Accept) -> None:
    assert say("AT+CIPSHUT") == lines("SHUT OK")
    assert say("AT+CIPMUX=1") == lines("OK")
    assert say("AT+CIPQSEND=1") == lines("OK")
    assert say("AT+CIPRXGET=1") == lines("OK")
    assert state(say) == "IP INITIAL"
    assert say("AT+CIICR") == lines("ERROR")
    assert say('AT+CSTT="internet","",""') == lines("OK")
    assert state(say) == "IP START"
    assert say("AT+CIFSR") == lines("ERROR")
    assert say("AT+CIICR") == lines("OK")
    assert state(say) == "IP GPRSACT"
    assert say(f'AT+CIPSTART=0,"TCP","127.0.0.1",{port}') == lines("ERROR")
    assert say("AT+CIFSR") == lines(carrier.data.bearers[0].address)  # and no OK
    assert state(say) == "IP STATUS"
    assert say(f'AT+CIPSTART=0,"TCP","127.0.0.1",{port}') == lines("OK", "0, CONNECT OK")
    assert state(say) == "IP PROCESSING"
    assert say("AT+CIPSHUT") == lines("SHUT OK")
    assert state(say) == "IP INITIAL"


def test_order_is_explained_with_verbose_errors(say: Say) -> None:
    say("AT+CMEE=1")
    assert say("AT+CIICR") == lines("+CME ERROR: 3")


def test_address_gets_its_ok_from_a_command_behind_it(say: Say, carrier: Carrier) -> None:
    say('AT+CSTT="internet"')
    say("AT+CIICR")
    assert say("AT+CIFSR;E0") == lines(carrier.data.bearers[0].address, "OK")


def test_link_from_opening_to_closing(say: Say, run: Run, online: None, port: int, accept: Accept) -> None:
    assert say(f'AT+CIPSTART=0,"TCP","server.campus",{port}') == lines("OK", "0, CONNECT OK")
    peer = accept()
    assert say("AT+CIPSEND=0,12") == b"\r\n> "
    assert say(b"twelve bytes") == lines("DATA ACCEPT:0,12")
    assert peer.recv(100) == b"twelve bytes"
    assert say("AT+CIPACK=0") == lines("+CIPACK: 12, 12, 0", "OK")
    peer.send(bytes(300))
    assert run(0.2) == lines("+CIPRXGET: 1,0")
    assert say("AT+CIPRXGET=4,0") == lines("+CIPRXGET: 4,0,300", "OK")
    assert say("AT+CIPRXGET=3,0,2") == b"\r\n+CIPRXGET: 3,0,2,298\r\n0000\r\n" + lines("OK")
    assert say("AT+CIPRXGET=2,0,300") == b"\r\n+CIPRXGET: 2,0,298,0\r\n" + bytes(298) + b"\r\n" + lines("OK")
    assert say("AT+CIPRXGET=2,0,300") == lines("+CIPRXGET: 2,0,0,0", "OK")
    assert say("AT+CIPSTATUS=0") == lines(f'+CIPSTATUS: 0,0,"TCP","server.campus","{port}","CONNECTED"', "OK")
    assert say("AT+CIPCLOSE=0,1") == lines("0, CLOSE OK")
    assert say("AT+CIPCLOSE=0,1") == lines("ERROR")
    assert peer.recv(100) == b""


def test_status_comes_after_its_ok_with_a_line_for_each_link(say: Say, opened: socket.socket, port: int) -> None:
    said = say("AT+CIPSTATUS")
    assert said.startswith(lines("OK", "STATE: IP PROCESSING", f'C: 0,0,"TCP","127.0.0.1","{port}","CONNECTED"'))
    assert said.endswith(lines('C: 5,,"","","","INITIAL"'))


def test_slow_sending_waits_for_the_peers_acknowledgement(
    say: Say, run: Run, opened: socket.socket, carrier: Carrier
) -> None:
    say("AT+CIPQSEND=0")
    say("AT+CIPSEND=0,4")
    assert say(b"fast") == lines("0, SEND OK")
    carrier.cell.fail(3.0)
    say("AT+CIPSEND=0,4")
    assert say(b"slow") == b""
    assert run(5.0) == lines("0, SEND OK")


def test_slow_sending_fails_with_its_link(say: Say, run: Run, opened: socket.socket, carrier: Carrier) -> None:
    say("AT+CIPQSEND=0")
    carrier.data.bearers[0].drop(told=False)
    say("AT+CIPSEND=0,4")
    say(b"lost")
    assert run(200.0) == lines("0, SEND FAIL", "0, CLOSED")


def test_peer_that_closes_is_told(say: Say, run: Run, opened: socket.socket, port: int) -> None:
    opened.send(b"bye")
    opened.close()
    assert run(0.2) == lines("+CIPRXGET: 1,0", "0, CLOSED")
    assert say("AT+CIPSEND=0,1") == lines("ERROR")
    assert say("AT+CIPRXGET=2,0,10") == b"\r\n+CIPRXGET: 2,0,3,0\r\nbye\r\n" + lines("OK")
    assert say(f'AT+CIPSTART=0,"TCP","127.0.0.1",{port}') == lines("OK", "0, CONNECT OK")


def test_link_twice_and_closed_ports(say: Say, opened: socket.socket, listener: socket.socket, port: int) -> None:
    assert say(f'AT+CIPSTART=0,"TCP","127.0.0.1",{port}') == lines("OK", "0, ALREADY CONNECT")
    listener.close()
    assert say(f'AT+CIPSTART=1,"TCP","127.0.0.1","{port}"') == lines("OK", "1, CONNECT FAIL")


def test_single_link_goes_through_the_states_by_itself(say: Say, run: Run, port: int, accept: Accept) -> None:
    say('AT+CSTT="internet"')
    assert say(f'AT+CIPSTART="TCP","127.0.0.1","{port}"') == lines("OK", "CONNECT OK")
    peer = accept()
    assert state(say) == "CONNECT OK"
    assert say("AT+CIPSEND") == b"\r\n> "
    assert say(b"hello\x1a") == lines("SEND OK")
    assert peer.recv(100) == b"hello"
    peer.send(b"raw")
    assert run(0.2) == b"\r\nraw\r\n"
    say("AT+CIPHEAD=1")
    peer.send(b"raw")
    assert run(0.2) == b"\r\n+IPD,3:raw\r\n"
    assert say("AT+CIPMUX=1") == lines("ERROR")
    assert say("AT+CIPSEND?") == lines("+CIPSEND: 1460", "OK")
    assert say("AT+CIPCLOSE") == lines("CLOSE OK")


def test_single_link_that_is_refused_tells_its_state(say: Say, listener: socket.socket, port: int) -> None:
    say('AT+CSTT="internet"')
    listener.close()
    assert say(f'AT+CIPSTART="TCP","127.0.0.1",{port}') == lines("OK", "STATE: TCP CLOSED", "CONNECT FAIL")


def test_data_comes_by_itself_without_manual_receiving(say: Say, run: Run, opened: socket.socket) -> None:
    say("AT+CIPRXGET=0")
    opened.send(b"data")
    assert run(0.2) == b"\r\n+RECEIVE,0,4:\r\ndata"


def test_only_shutting_leads_out_of_a_lost_context(say: Say, run: Run, opened: socket.socket, carrier: Carrier) -> None:
    carrier.data.bearers[0].drop(told=True)
    assert run(0.2) == lines("+PDP: DEACT")
    assert state(say) == "PDP DEACT"
    assert say('AT+CSTT="internet"') == lines("ERROR")
    assert say("AT+CIICR") == lines("ERROR")
    assert say("AT+CIPSHUT") == lines("SHUT OK")
    assert say('AT+CSTT="internet"') == lines("OK")
    assert say("AT+CIICR") == lines("OK")


def test_context_without_coverage_or_credit_fails(say: Say, carrier: Carrier) -> None:
    carrier.cell.fail(60.0)
    say('AT+CSTT="internet"')
    assert say("AT+CIICR") == lines("+PDP: DEACT", "ERROR")
    assert state(say) == "PDP DEACT"


def test_name_is_resolved_after_the_ok(say: Say, online: None) -> None:
    assert say('AT+CDNSGIP="server.campus"') == lines("OK", '+CDNSGIP: 1,"server.campus","127.0.0.1"')
    assert say('AT+CDNSGIP="nowhere.campus"') == lines("OK", "+CDNSGIP: 0,8")


@pytest.mark.parametrize(
    "line",
    [
        "AT+CIPSEND=0,1461",
        "AT+CIPSEND=0,0",
        "AT+CIPSEND=6,1",
        "AT+CIPRXGET=2,0,1461",
        "AT+CIPRXGET=3,0,731",
        "AT+CIPRXGET=2,4,10",
        'AT+CIPSTART=1,"UDP","127.0.0.1",80',
        'AT+CIPSTART=1,"TCP","127.0.0.1",0',
        'AT+CIPSTART=1,"TCP","127.0.0.1","99999"',
        'AT+CIPSTART=6,"TCP","127.0.0.1",80',
        "AT+CIPMUX=0",
        "AT+CIPSTATUS=6",
    ],
)
def test_what_is_beyond_the_limits_is_an_error(say: Say, opened: socket.socket, line: str) -> None:
    assert say(line) == lines("ERROR")
    assert say("AT") == lines("OK")
