"""Quectel's TCP commands, byte by byte as the application note shows them."""

from __future__ import annotations

import socket
from collections.abc import Callable

import pytest

from sim.carrier.carrier import Carrier
from sim.modem.device import Device
from sim.modem.profile import EC25, Profile

Say = Callable[..., bytes]
Run = Callable[[float], bytes]
Accept = Callable[[], socket.socket]


@pytest.fixture
def profile() -> Profile:
    return EC25


@pytest.fixture
def opened(say: Say, port: int, accept: Accept) -> socket.socket:
    """Socket 0, connected in buffer mode."""
    say('AT+QICSGP=1,1,"internet","user","pw",1')
    say("AT+QIACT=1")
    say(f'AT+QIOPEN=1,0,"TCP","127.0.0.1",{port},0,0')
    return accept()


def lines(*texts: str) -> bytes:
    return b"".join(f"\r\n{text}\r\n".encode() for text in texts)


def test_context_is_set_activated_shown_and_given_back(say: Say, carrier: Carrier) -> None:
    assert say('AT+QICSGP=1,1,"internet","user","pw",1') == lines("OK")
    assert say("AT+QICSGP=1") == lines('+QICSGP: 1,"internet","user","pw",1', "OK")
    assert say("AT+QIACT?") == lines("OK")
    assert say("AT+QIACT=1") == lines("OK")
    assert say("AT+QIACT=1") == lines("ERROR")
    address = carrier.data.bearers[0].address
    assert say("AT+QIACT?") == lines(f'+QIACT: 1,1,1,"{address}"', "OK")
    assert say("AT+QIDEACT=1") == lines("OK")
    assert say("AT+QIACT?") == lines("OK")
    assert carrier.data.bearers == []


def test_wrong_apn_and_no_coverage_are_561(say: Say, carrier: Carrier) -> None:
    say('AT+QICSGP=1,1,"elsewhere"')
    assert say("AT+QIACT=1") == lines("ERROR")
    assert say("AT+QIGETERROR") == lines('+QIGETERROR: 561,"Open PDP context failed"', "OK")
    say('AT+QICSGP=1,1,"internet"')
    carrier.cell.fail(60.0)
    assert say("AT+QIACT=1") == lines("ERROR")


def test_socket_from_opening_to_closing(say: Say, run: Run, port: int, accept: Accept) -> None:
    say("AT+QIACT=1")
    assert say(f'AT+QIOPEN=1,0,"TCP","127.0.0.1",{port},0,0') == lines("OK", "+QIOPEN: 0,0")
    peer = accept()
    assert say("AT+QISTATE=1,0") == lines(f'+QISTATE: 0,"TCP","127.0.0.1",{port},65535,2,1,0,0,"usbmodem"', "OK")
    assert say("AT+QISEND=0,4") == b"\r\n> "
    assert say(b"test") == lines("SEND OK")
    assert peer.recv(100) == b"test"
    assert say("AT+QISEND=0") == b"\r\n> "
    assert say(b"more\x1a") == lines("SEND OK")
    assert peer.recv(100) == b"more"
    assert say('AT+QISENDEX=0,"3132333435"') == lines("SEND OK")
    assert peer.recv(100) == b"12345"
    assert say("AT+QISEND=0,0") == lines("+QISEND: 13,13,0", "OK")
    peer.send(b"fourteen bytes")
    assert run(0.2) == lines('+QIURC: "recv",0')
    assert say("AT+QIRD=0,0") == lines("+QIRD: 14,0,14", "OK")
    assert say("AT+QIRD=0,1500") == b"\r\n+QIRD: 14\r\nfourteen bytes\r\n" + lines("OK")
    assert say("AT+QIRD=0,1500") == lines("+QIRD: 0", "OK")
    assert say("AT+QICLOSE=0") == lines("OK")
    assert peer.recv(100) == b""
    assert say("AT+QISTATE") == lines("OK")


def test_data_is_announced_once_until_it_is_drained(say: Say, run: Run, opened: socket.socket) -> None:
    opened.send(b"abc")
    assert run(0.2) == lines('+QIURC: "recv",0')
    opened.send(b"def")
    assert run(0.2) == b""
    assert say("AT+QIRD=0,2") == b"\r\n+QIRD: 2\r\nab\r\n" + lines("OK")
    opened.send(b"ghi")
    assert run(0.2) == b""
    assert say("AT+QIRD=0,1500") == b"\r\n+QIRD: 7\r\ncdefghi\r\n" + lines("OK")
    opened.send(b"jkl")
    assert run(0.2) == lines('+QIURC: "recv",0')


def test_binary_data_passes_both_ways(say: Say, opened: socket.socket, run: Run) -> None:
    every = bytes(range(256))
    say("AT+QISEND=0,256")
    assert say(every) == lines("SEND OK")
    assert opened.recv(1000) == every
    opened.send(every)
    run(0.2)
    assert say("AT+QIRD=0") == b"\r\n+QIRD: 256\r\n" + every + b"\r\n" + lines("OK")


def test_received_data_comes_as_hex_on_demand(say: Say, opened: socket.socket, run: Run) -> None:
    assert say('AT+QICFG="dataformat",0,1') == lines("OK")
    opened.send(b"\x00\xffOK")
    run(0.2)
    assert say("AT+QIRD=0,1500") == b"\r\n+QIRD: 4\r\n00FF4F4B\r\n" + lines("OK")


def test_sent_data_is_taken_as_hex_on_demand(say: Say, opened: socket.socket) -> None:
    assert say('AT+QICFG="dataformat",1,0') == lines("OK")
    say("AT+QISEND=0,4")
    assert say(b"00ff") == lines("SEND OK")
    assert opened.recv(10) == b"\x00\xff"


def test_direct_push_hands_data_over_at_once(say: Say, run: Run, port: int, accept: Accept) -> None:
    say("AT+QIACT=1")
    say(f'AT+QIOPEN=1,2,"TCP","127.0.0.1",{port},0,1')
    accept().send(b"test")
    assert run(0.2) == b'\r\n+QIURC: "recv",2,4\r\ntest'
    assert say("AT+QIRD=2,1500") == lines("ERROR")


def test_transparent_mode_carries_bytes_until_the_escape(say: Say, run: Run, port: int, accept: Accept) -> None:
    say("AT+QIACT=1")
    assert say(f'AT+QIOPEN=1,0,"TCP","127.0.0.1",{port},0,2') == lines("CONNECT")
    peer = accept()
    say(b"AT\r is data now")
    assert peer.recv(100) == b"AT\r is data now"
    peer.send(b"and back")
    assert run(0.2) == b"and back"
    run(1.1)
    assert say(b"+++", seconds=1.2) == lines("OK")
    assert say("AT+QISTATE=1,0").endswith(lines("OK"))
    assert say("AT+QISWTMD=0,2") == lines("CONNECT")
    peer.close()
    assert run(0.2) == lines("NO CARRIER")


def test_options_change_what_is_said(say: Say, run: Run, opened: socket.socket) -> None:
    say('AT+QICFG="recvind",1')
    say('AT+QICFG="viewmode",1')
    say('AT+QICFG="sendinfo",1')
    assert say('AT+QICFG="viewmode"') == lines('+QICFG: "viewmode",1', "OK")
    opened.send(b"xyz")
    assert run(0.2) == lines('+QIURC: "recv",0,3')
    assert say("AT+QIRD=0,1500") == lines("+QIRD: 3,xyz", "OK")
    say("AT+QISEND=0,1")
    assert say(b"!").startswith(b"\r\n+QISEND: 0,0,")


def test_peer_that_closes_leaves_the_number_taken(say: Say, run: Run, opened: socket.socket, port: int) -> None:
    opened.send(b"bye")
    opened.close()
    assert run(0.2) == lines('+QIURC: "recv",0', '+QIURC: "closed",0')
    assert b",4,1,0,0," in say("AT+QISTATE=1,0")
    assert say("AT+QISEND=0,4") == lines("ERROR")
    assert say("AT+QIRD=0,1500") == b"\r\n+QIRD: 3\r\nbye\r\n" + lines("OK")
    assert say(f'AT+QIOPEN=1,0,"TCP","127.0.0.1",{port}') == lines("OK", "+QIOPEN: 0,563")
    say("AT+QICLOSE=0")
    assert say(f'AT+QIOPEN=1,0,"TCP","127.0.0.1",{port}') == lines("OK", "+QIOPEN: 0,0")


def test_passive_close_frees_the_number(say: Say, run: Run, opened: socket.socket) -> None:
    say('AT+QICFG="passiveclosed",1')
    opened.close()
    assert run(0.2) == lines('+QIURC: "closed",0')
    assert say("AT+QISTATE") == lines("OK")


def test_failed_open_still_owns_its_number(say: Say, listener: socket.socket, port: int) -> None:
    say("AT+QIACT=1")
    listener.close()
    assert say(f'AT+QIOPEN=1,0,"TCP","127.0.0.1",{port},0,0') == lines("OK", "+QIOPEN: 0,566")
    assert say("AT+QIGETERROR") == lines('+QIGETERROR: 566,"Socket connect failed"', "OK")
    assert say(f'AT+QIOPEN=1,0,"TCP","127.0.0.1",{port},0,0') == lines("OK", "+QIOPEN: 0,563")
    say("AT+QICLOSE=0")
    assert say(f'AT+QIOPEN=1,0,"TCP","127.0.0.1",{port},0,0') == lines("OK", "+QIOPEN: 0,566")


def test_opening_without_a_context_or_with_udp_says_which(say: Say, port: int) -> None:
    assert say(f'AT+QIOPEN=1,0,"TCP","127.0.0.1",{port},0,0') == lines("OK", "+QIOPEN: 0,561")
    say("AT+QIACT=1")
    assert say(f'AT+QIOPEN=1,0,"UDP","127.0.0.1",{port},0,0') == lines("OK", "+QIOPEN: 0,555")
    assert say('AT+QIOPEN=1,0,"TCP","nowhere.campus",80,0,0') == lines("OK", "+QIOPEN: 0,565")


def test_name_is_resolved_in_two_lines(say: Say) -> None:
    say("AT+QIACT=1")
    expected = lines("OK", '+QIURC: "dnsgip",0,1,3600', '+QIURC: "dnsgip","127.0.0.1"')
    assert say('AT+QIDNSGIP=1,"server.campus"') == expected
    assert say('AT+QIDNSGIP=1,"nowhere.campus"') == lines("OK", '+QIURC: "dnsgip",565')


def test_context_dropped_by_the_network_needs_deactivation_first(
    say: Say, run: Run, opened: socket.socket, carrier: Carrier, port: int
) -> None:
    carrier.data.bearers[0].drop(told=True)
    assert run(0.2) == lines('+QIURC: "pdpdeact",1')
    assert say("AT+QIACT?") == lines("OK")
    assert say("AT+QISEND=0,4") == lines("ERROR")
    assert say("AT+QIACT=1") == lines("ERROR")
    assert say("AT+QIDEACT=1") == lines("OK")
    assert say("AT+QIACT=1") == lines("OK")
    assert say(f'AT+QIOPEN=1,0,"TCP","127.0.0.1",{port}') == lines("OK", "+QIOPEN: 0,0")


def test_send_ok_does_not_mean_delivered(say: Say, run: Run, opened: socket.socket, carrier: Carrier) -> None:
    carrier.data.bearers[0].drop(told=False)
    say("AT+QISEND=0,4")
    assert say(b"lost") == lines("SEND OK")
    assert say("AT+QISEND=0,0", seconds=10.0) == lines("+QISEND: 4,0,4", "OK")
    opened.settimeout(0.05)
    with pytest.raises(TimeoutError):
        opened.recv(10)
    assert run(30.0) == b""


def test_full_buffer_is_send_fail(say: Say, opened: socket.socket, carrier: Carrier) -> None:
    carrier.cell.fail(60.0)
    results = []
    for _ in range(16):
        say("AT+QISEND=0,1460")
        results.append(say(bytes(1460)))
    assert results[0] == lines("SEND OK")
    assert results[-1] == lines("SEND FAIL")


@pytest.mark.parametrize(
    "line",
    [
        "AT+QISEND=0,1461",
        'AT+QISENDEX=0,"' + "41" * 513 + '"',
        'AT+QISENDEX=0,"4"',
        'AT+QISENDEX=0,"4x"',
        "AT+QIRD=0,1501",
        "AT+QIRD=1,10",
        "AT+QISEND=5,10",
        "AT+QISEND=12,10",
        'AT+QIOPEN=1,12,"TCP","127.0.0.1",1',
        'AT+QIOPEN=1,0,"TCP","",1',
        'AT+QIOPEN=1,0,"TCP","127.0.0.1",65536',
        "AT+QIACT=17",
        "AT+QIACT=0",
        'AT+QICFG="nonsense",1',
        'AT+QICFG="viewmode",2',
        "AT+QIOPEN",
    ],
)
def test_what_is_beyond_the_limits_is_an_error(say: Say, opened: socket.socket, line: str) -> None:
    assert say(line) == lines("ERROR")
    assert say("AT") == lines("OK")


def test_escape_leaves_the_prompt_without_sending(say: Say, opened: socket.socket) -> None:
    say("AT+QISEND=0")
    assert say(b"never mind\x1b") == lines("OK")
    opened.settimeout(0.05)
    with pytest.raises(TimeoutError):
        opened.recv(10)


def test_restart_forgets_sockets_and_contexts(say: Say, run: Run, opened: socket.socket, device: Device) -> None:
    device.restart()
    run(3.0)
    say("ATE0")
    assert say("AT+QISTATE") == lines("OK")
    assert say("AT+QIACT?") == lines("OK")
    assert say("AT+QIACT=1") == lines("OK")
