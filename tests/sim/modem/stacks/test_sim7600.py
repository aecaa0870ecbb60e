"""The SIM7600's TCP commands, byte by byte as the command manual shows them."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable

import pytest

from sim.carrier.carrier import Carrier
from sim.modem.device import Device
from sim.modem.profile import SIM7600, Profile

Say = Callable[..., bytes]
Run = Callable[[float], bytes]
Accept = Callable[[], socket.socket]


@pytest.fixture
def profile() -> Profile:
    return SIM7600


@pytest.fixture
def opened(say: Say, port: int, accept: Accept) -> socket.socket:
    """Link 0, connected, with manual receiving."""
    say('AT+CGDCONT=1,"IP","internet"')
    say("AT+NETOPEN")
    say("AT+CIPRXGET=1")
    say(f'AT+CIPOPEN=0,"TCP","127.0.0.1",{port}')
    return accept()


def lines(*texts: str) -> bytes:
    return b"".join(f"\r\n{text}\r\n".encode() for text in texts)


def test_settings_that_drivers_make_are_taken(say: Say) -> None:
    assert say('AT+CGDCONT=1,"IP","internet"') == lines("OK")
    assert say("AT+CGDCONT?") == lines('+CGDCONT: 1,"IP","internet","0.0.0.0",0,0', "OK")
    assert say("AT+CIPMODE=0") == lines("OK")
    assert say("AT+CIPSENDMODE=0") == lines("OK")
    assert say("AT+CIPCCFG=10,0,0,0,1,0,75000") == lines("OK")
    assert say("AT+CIPCCFG?") == lines("+CIPCCFG: 10,0,0,0,1,0,75000", "OK")
    assert say("AT+CIPTIMEOUT=75000,15000,15000") == lines("OK")
    assert say("AT+CIPTIMEOUT?") == lines("+CIPTIMEOUT: 75000,15000,15000", "OK")


def test_network_opens_and_the_two_senses_of_its_number_differ(say: Say, carrier: Carrier) -> None:
    assert say("AT+NETOPEN?") == lines("+NETOPEN: 0", "OK")
    assert say("AT+IPADDR") == lines("+IP ERROR: Network not opened", "ERROR")
    assert say("AT+NETOPEN") == lines("OK", "+NETOPEN: 0")
    assert say("AT+NETOPEN?") == lines("+NETOPEN: 1", "OK")
    assert say("AT+NETOPEN") == lines("+IP ERROR: Network is already opened", "ERROR")
    assert say("AT+IPADDR") == lines(f"+IPADDR: {carrier.data.bearers[0].address}", "OK")
    assert say("AT+NETCLOSE") == lines("OK", "+NETCLOSE: 0")
    assert say("AT+NETCLOSE") == lines("+NETCLOSE: 2", "ERROR")


def test_network_that_cannot_be_opened_says_so_after_its_ok(say: Say, carrier: Carrier) -> None:
    say('AT+CGDCONT=1,"IP","elsewhere"')
    assert say("AT+NETOPEN") == lines("OK", "+NETOPEN: 1")
    assert say("AT+NETOPEN?") == lines("+NETOPEN: 0", "OK")


def test_link_from_opening_to_closing(say: Say, run: Run, port: int, accept: Accept) -> None:
    say("AT+NETOPEN")
    assert say("AT+CIPRXGET=1") == lines("OK")
    assert say(f'AT+CIPOPEN=0,"TCP","127.0.0.1",{port}') == lines("OK", "+CIPOPEN: 0,0")
    peer = accept()
    assert say("AT+CIPSEND=0,5") == b"\r\n>"
    assert say(b"HELLO") == lines("OK", "+CIPSEND: 0,5,5")
    assert peer.recv(100) == b"HELLO"
    peer.send(bytes(1200))
    assert run(0.2) == lines("+CIPRXGET: 1,0")
    assert say("AT+CIPRXGET=4,0") == lines("+CIPRXGET: 4,0,1200", "OK")
    assert say("AT+CIPRXGET=2,0,100") == b"\r\n+CIPRXGET: 2,0,100,1100\r\n" + bytes(100) + b"\r\n" + lines("OK")
    assert say("AT+CIPRXGET=3,0,100") == b"\r\n+CIPRXGET: 3,0,100,1000\r\n" + b"00" * 100 + b"\r\n" + lines("OK")
    assert len(say("AT+CIPRXGET=2,0,1500")) > 1000
    assert say("AT+CIPRXGET=2,0,1500") == lines("+IP ERROR: No data", "ERROR")
    assert say("AT+CIPACK=0") == lines("+CIPACK: 5,5,1200", "OK")
    assert say("AT+CIPCLOSE?") == lines("+CIPCLOSE: 1,0,0,0,0,0,0,0,0,0", "OK")
    assert say("AT+CIPCLOSE=0") == lines("OK", "+CIPCLOSE: 0,0")
    assert say("AT+CIPCLOSE=0") == lines("+CIPCLOSE: 0,4", "ERROR")
    assert peer.recv(100) == b""


def test_data_is_announced_once_until_it_is_drained(say: Say, run: Run, opened: socket.socket) -> None:
    opened.send(b"abc")
    assert run(0.2) == lines("+CIPRXGET: 1,0")
    opened.send(b"def")
    assert run(0.2) == b""
    assert say("AT+CIPRXGET=2,0,100") == b"\r\n+CIPRXGET: 2,0,6,0\r\nabcdef\r\n" + lines("OK")
    opened.send(b"ghi")
    assert run(0.2) == lines("+CIPRXGET: 1,0")


def test_length_left_out_ends_with_ctrl_z_and_etx_escapes(say: Say, opened: socket.socket) -> None:
    assert say("AT+CIPSEND=0,") == b"\r\n>"
    assert say(b"a\x03\x1ab\x03\x1bc\x03\x03d\x1a") == lines("OK", "+CIPSEND: 0,7,7")
    assert opened.recv(100) == b"a\x1ab\x1bc\x03d"


def test_fixed_length_takes_every_byte_as_it_is(say: Say, opened: socket.socket) -> None:
    every = bytes(range(256))
    say("AT+CIPSEND=0,256")
    assert say(every) == lines("OK", "+CIPSEND: 0,256,256")
    assert opened.recv(1000) == every


def test_data_comes_by_itself_without_manual_receiving(say: Say, run: Run, port: int, accept: Accept) -> None:
    say("AT+NETOPEN")
    say(f'AT+CIPOPEN=3,"TCP","127.0.0.1",{port}')
    peer = accept()
    peer.send(b"data")
    assert run(0.2) == f"\r\nRECV FROM:127.0.0.1:{port}\r\n+IPD4\r\ndata".encode()
    say("AT+CIPCCFG=10,0,0,0,1,0,75000")
    peer.send(b"more")
    assert run(0.2) == b"\r\n+RECEIVE,3,4\r\nmore"
    assert say("AT+CIPRXGET=2,3,10") == lines("ERROR")


def test_refused_and_unknown_hosts_are_told_after_the_ok(say: Say, listener: socket.socket, port: int) -> None:
    say("AT+NETOPEN")
    listener.close()
    assert say(f'AT+CIPOPEN=0,"TCP","127.0.0.1",{port}') == lines("OK", "+CIPOPEN: 0,5")
    assert say('AT+CIPOPEN=0,"TCP","nowhere.campus",80') == lines("OK", "+CIPOPEN: 0,11")


def test_opening_out_of_order_is_an_error_at_once(say: Say, port: int, accept: Accept) -> None:
    open_0 = f'AT+CIPOPEN=0,"TCP","127.0.0.1",{port}'
    assert say(open_0) == lines("+CIPOPEN: 0,2", "ERROR")
    say("AT+NETOPEN")
    assert say(open_0) == lines("OK", "+CIPOPEN: 0,0")
    accept()
    assert say(open_0) == lines("+CIPOPEN: 0,2", "ERROR")
    assert say(f'AT+CIPOPEN=10,"TCP","127.0.0.1",{port}') == lines("+IP ERROR: Invalid parameter", "ERROR")
    assert say(f'AT+CIPOPEN=1,"UDP","127.0.0.1",{port}') == lines("+CIPOPEN: 1,4", "ERROR")
    assert say("AT+CIPSEND=1,5") == lines("+CIPERROR: 4", "ERROR")


def test_peer_that_closes_is_told_and_its_last_data_stays(say: Say, run: Run, opened: socket.socket) -> None:
    opened.send(b"bye")
    opened.close()
    assert run(0.2) == lines("+CIPRXGET: 1,0", "+IPCLOSE: 0,1")
    assert say("AT+CIPSEND=0,5") == lines("+CIPERROR: 4", "ERROR")
    assert say("AT+CIPRXGET=2,0,10") == b"\r\n+CIPRXGET: 2,0,3,0\r\nbye\r\n" + lines("OK")


def test_link_that_sends_in_vain_is_closed_by_the_modem(
    say: Say, run: Run, opened: socket.socket, carrier: Carrier
) -> None:
    carrier.data.bearers[0].drop(told=False)
    say("AT+CIPSEND=0,4")
    assert say(b"lost") == lines("OK", "+CIPSEND: 0,4,4")
    assert say("AT+CIPACK=0") == lines("+CIPACK: 4,0,0", "OK")
    assert run(200.0) == lines("+IPCLOSE: 0,2")


def test_full_window_is_told_by_a_count_of_zero(say: Say, opened: socket.socket, carrier: Carrier) -> None:
    carrier.cell.fail(60.0)
    results = []
    for _ in range(16):
        say("AT+CIPSEND=0,1500")
        results.append(say(bytes(1500)))
    assert results[0] == lines("OK", "+CIPSEND: 0,1500,1500")
    assert results[-1] == lines("OK", "+CIPSEND: 0,1500,0")


def test_acknowledgement_is_waited_for_on_demand(say: Say, run: Run, opened: socket.socket, carrier: Carrier) -> None:
    say("AT+CIPSENDMODE=1")
    carrier.cell.fail(2.0)
    say("AT+CIPSEND=0,4")
    assert say(b"slow") == lines("OK")
    assert run(5.0) == lines("+CIPSEND: 0,4,4")


@pytest.mark.parametrize("seed", range(6))
def test_network_that_closes_unexpectedly_may_still_count_as_open(
    say: Say, run: Run, opened: socket.socket, carrier: Carrier, device: Device, seed: int
) -> None:
    device.rng.seed(seed)
    carrier.data.bearers[0].drop(told=True)
    assert run(0.2) == lines("+CIPEVENT: NETWORK CLOSED UNEXPECTEDLY")
    found = re.search(rb"NETOPEN: (\d)", say("AT+NETOPEN?"))
    assert found is not None
    if found[1] == b"1":
        assert say("AT+NETOPEN") == lines("+IP ERROR: Network is already opened", "ERROR")
        assert say("AT+NETCLOSE") == lines("OK", "+NETCLOSE: 0")
    assert say("AT+NETOPEN") == lines("OK", "+NETOPEN: 0")


def test_name_is_resolved_before_the_ok(say: Say) -> None:
    assert say('AT+CDNSGIP="server.campus"') == lines("+CDNSGIP: 0,10", "ERROR")
    say("AT+NETOPEN")
    assert say('AT+CDNSGIP="server.campus"') == lines('+CDNSGIP: 1,"server.campus","127.0.0.1"', "OK")
    assert say('AT+CDNSGIP="nowhere.campus"') == lines("+CDNSGIP: 0,10", "ERROR")


@pytest.mark.parametrize(
    "line",
    [
        "AT+CIPSEND=0,1501",
        "AT+CIPSEND=0,0",
        "AT+CIPRXGET=2,0,1501",
        "AT+CIPRXGET=3,0,751",
        "AT+CIPRXGET=5",
        "AT+CIPRXGET=2,7,10",
        "AT+CIPMODE=1",
        'AT+CIPOPEN=2,"TCP","127.0.0.1",65536',
        "AT+CIPTIMEOUT=1",
        "AT+CIPOPEN",
    ],
)
def test_what_is_beyond_the_limits_is_an_error(say: Say, opened: socket.socket, line: str) -> None:
    assert say(line) == lines("ERROR")
    assert say("AT") == lines("OK")
