"""Messages on a whole modem, with a phone at the other end."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.carrier.tpdu import Submit, encode_submit, octets_content
from sim.modem.device import Device
from sim.modem.profile import EC25, SIM7600
from sim.modem.simcard import SimCard
from tests.sim.modem.conftest import NUMBER, OTHER, Desk, start

DATA = bytes(range(100, 240))


def pdu_of(content: bytes, *, destination: str = OTHER, wants_report: bool = False) -> tuple[int, str]:
    """The length for AT+CMGS, and the hex to type."""
    submit = Submit(reference=0, destination=destination, content=octets_content(content), wants_report=wants_report)
    tpdu = encode_submit(submit)
    return len(tpdu), "00" + tpdu.hex().upper()


def send(desk: Desk, content: bytes, *, destination: str = OTHER, wants_report: bool = False) -> list[str]:
    length, pdu = pdu_of(content, destination=destination, wants_report=wants_report)
    assert desk.say(f"AT+CMGS={length}") == ["> "]
    return desk.say(pdu.encode() + b"\x1a", seconds=0.4)


def test_octets_go_out_in_pdu_mode(desk: Desk) -> None:
    assert send(desk, DATA) == ["+CMGS: 0", "OK"]
    assert send(desk, DATA[::-1]) == ["+CMGS: 1", "OK"]
    desk.pass_time(2)
    assert [(m.sender, m.content.dcs, m.content.body) for m in desk.phone.inbox] == [
        (NUMBER, 4, DATA),
        (NUMBER, 4, DATA[::-1]),
    ]


def test_octets_come_in_and_are_deleted(desk: Desk) -> None:
    desk.phone.send(NUMBER, DATA)
    assert desk.pass_time(2).strip() == '+CMTI: "SM",1'
    head, pdu, ok = desk.say("AT+CMGL=4")
    assert (head, ok) == ("+CMGL: 1,0,,160", "OK")
    assert pdu.startswith("0891683108100005F0")
    assert pdu.endswith(DATA.hex().upper())
    assert desk.say("AT+CMGR=1")[0] == "+CMGR: 1,,160"
    assert desk.say("AT+CMGL=0") == ["OK"]
    assert desk.say("AT+CPMS?")[0] == '+CPMS: "SM",1,20,"SM",1,20,"SM",1,20'
    assert desk.say("AT+CMGD=?") == ["+CMGD: (1),(0-4)", "OK"]
    assert desk.say("AT+CMGD=1") == ["OK"]
    assert desk.say("AT+CMGR=1") == ["+CMS ERROR: 321"]
    assert desk.say("AT+CMGD=21") == ["+CMS ERROR: 321"]


def test_text_mode_both_ways(desk: Desk) -> None:
    desk.say('AT+CMGF=1;+CSCS="IRA"')
    assert desk.say(f'AT+CMGS="{OTHER}"\r\n'.encode()) == ["> "]
    assert desk.say(b"hello [you]\x1a")[0] == "+CMGS: 0"
    desk.phone.send(NUMBER, "and [you]")
    desk.pass_time(2)
    assert desk.phone.inbox[0].content.text == "hello [you]"
    head, text, _ = desk.say('AT+CMGL="ALL"')
    assert head.startswith(f'+CMGL: 1,"REC UNREAD","{OTHER}",,"26/01/01,08:00:')
    assert text == "and [you]"
    assert desk.say("AT+CSDH=1;+CMGR=1")[0].endswith(",145,11")


def test_text_mode_in_ucs2(desk: Desk) -> None:
    desk.say('AT+CMGF=1;+CSCS="UCS2";+CSMP=17,167,0,8')
    desk.say(f'AT+CMGS="{OTHER.encode("utf-16-be").hex()}"')
    assert desk.say(b"4E2D6587\x1a")[0] == "+CMGS: 0"
    desk.phone.send(NUMBER, "中")
    desk.pass_time(2)
    assert desk.phone.inbox[0].content.text == "中文"
    assert desk.say("AT+CMGR=1")[1] == "4E2D"


@pytest.mark.parametrize("typed", [b"zz", b"00", b"", b"0001000A91", b"ff" * 150])
def test_what_is_no_pdu_is_refused(desk: Desk, typed: bytes) -> None:
    desk.say("AT+CMGS=20")
    assert desk.say(typed + b"\x1a") == ["+CMS ERROR: 304"]


def test_escape_sends_nothing(desk: Desk) -> None:
    desk.say("AT+CMGS=20")
    assert desk.say(b"0011\x1b") == ["OK"]
    assert desk.carrier.smsc.counts.submitted == 0


def test_a_report_is_routed_stored_or_dropped(desk: Desk) -> None:
    desk.say("AT+CNMI=2,1,0,1,0")
    send(desk, DATA, wants_report=True)
    head, pdu = [line for line in desk.pass_time(3).split("\r\n") if line]
    assert head == "+CDS: 26"
    assert pdu.endswith("00")
    desk.say("AT+CNMI=2,1,0,2,0")
    send(desk, DATA, wants_report=True)
    assert desk.pass_time(3).strip() == '+CDSI: "SM",1'
    desk.say("AT+CNMI=2,1,0,0,0")
    send(desk, DATA, wants_report=True)
    assert desk.pass_time(3) == ""


def test_a_message_can_come_routed_or_in_silence(desk: Desk) -> None:
    desk.say("AT+CNMI=2,2")
    desk.phone.send(NUMBER, DATA)
    head, pdu = [line for line in desk.pass_time(3).split("\r\n") if line]
    assert head == "+CMT: ,160"
    assert pdu.endswith(DATA.hex().upper())
    assert desk.say("AT+CMGL=4") == ["OK"]
    desk.say("AT+CNMI=2,0")
    desk.phone.send(NUMBER, DATA)
    assert desk.pass_time(3) == ""
    assert len(desk.say("AT+CMGL=4")) == 3
    desk.say('AT+CNMI=2,2;+CMGF=1;+CSCS="IRA"')
    desk.phone.send(NUMBER, "hello")
    assert desk.pass_time(3).split("\r\n")[2] == "hello"


def test_the_stores_are_separate(desk: Desk) -> None:
    assert desk.say('AT+CPMS="SM","SM","ME"') == ["+CPMS: 0,20,0,20,0,99", "OK"]
    desk.phone.send(NUMBER, DATA)
    assert desk.pass_time(3).strip() == '+CMTI: "ME",0'
    assert desk.say("AT+CMGL=4") == ["OK"]
    assert desk.say('AT+CPMS="ME"')[0] == "+CPMS: 1,99,0,20,1,99"
    assert len(desk.say("AT+CMGL=4")) == 3
    assert desk.say('AT+CPMS="XX"') == ["+CMS ERROR: 302"]


def test_a_full_store_gets_what_waits_as_soon_as_there_is_room(desk: Desk) -> None:
    for number in range(23):
        desk.phone.send(NUMBER, str(number))
    desk.pass_time(5)
    assert desk.say("AT+CPMS?")[0].startswith('+CPMS: "SM",20,20')
    assert desk.carrier.smsc.waiting(NUMBER) == 3
    assert desk.say("AT+CMGD=7") == ["OK", '+CMTI: "SM",7']
    assert desk.say("AT+CMGD=1,4")[:3] == ["OK", '+CMTI: "SM",1', '+CMTI: "SM",2']


def test_messages_are_deleted_by_kind(desk: Desk) -> None:
    for number in range(3):
        desk.phone.send(NUMBER, str(number))
    desk.pass_time(3)
    desk.say("AT+CMGR=2")
    assert desk.say("AT+CMGD=1,1;+CMGD=?") == ["+CMGD: (1,3),(0-4)", "OK"]


def test_a_message_is_kept_and_sent_later(desk: Desk) -> None:
    length, pdu = pdu_of(DATA)
    desk.say(f"AT+CMGW={length}")
    assert desk.say(pdu.encode() + b"\x1a") == ["+CMGW: 1", "OK"]
    assert desk.say("AT+CMGL=2")[0].startswith("+CMGL: 1,2,,")
    assert desk.say("AT+CMSS=1") == ["+CMGS: 0", "OK"]
    desk.pass_time(2)
    assert desk.phone.inbox[0].content.body == DATA
    assert desk.say("AT+CMSS=2") == ["+CMS ERROR: 321"]


def test_the_network_can_refuse(desk: Desk) -> None:
    centre = desk.carrier.smsc
    centre.set_credit(NUMBER, 0)
    assert send(desk, DATA) == ["+CMS ERROR: 50"]
    centre.set_credit(NUMBER, None)
    centre.conditions.rate_per_minute = 0
    assert send(desk, DATA) == ["+CMS ERROR: 42"]
    centre.conditions.rate_per_minute = None
    centre.conditions.out_of_order = True
    assert send(desk, DATA) == ["+CMS ERROR: 38"]


def test_without_network_or_centre_nothing_is_sent(desk: Desk) -> None:
    desk.carrier.cell.fail(60)
    desk.pass_time(2)
    assert send(desk, DATA) == ["+CMS ERROR: 331"]
    desk.carrier.cell.heal()
    desk.pass_time(2)
    assert desk.sim is not None
    desk.sim.smsc_known = False
    assert send(desk, DATA) == ["+CMS ERROR: 330"]
    assert desk.say('AT+CSCA="+8613800100501"') == ["OK"]
    assert send(desk, DATA) == ["+CMGS: 0", "OK"]
    assert desk.say("AT+CSCA?")[0] == '+CSCA: "+8613800100501",145'


def test_a_modem_out_of_coverage_gets_its_messages_later(desk: Desk) -> None:
    desk.carrier.cell.fail(30)
    desk.pass_time(2)
    desk.phone.send(NUMBER, DATA)
    assert desk.pass_time(20) == ""
    assert '+CMTI: "SM",1' in desk.pass_time(15)


def test_settings_are_remembered(desk: Desk) -> None:
    assert desk.say("AT+CSMP=49,167,0,4;+CSMP?;+CNMI=1,2,0,1;+CNMI?;+CSMS=1;+CSMS?") == [
        "+CSMP: 49,167,0,4",
        "+CNMI: 2,2,0,1,0",
        "+CSMS: 1,1,1",
        "+CSMS: 1,1,1,1",
        "OK",
    ]


def test_two_modems_write_to_each_other(desk: Desk) -> None:
    second = "+8613900000002"
    other = Device(SIM7600, SimCard(number=second), desk.carrier, Random(3))
    other.power_on()
    desk.pass_time(3)
    assert send(desk, DATA, destination=second) == ["+CMGS: 0", "OK"]
    desk.pass_time(2)
    assert b'+CMTI: "SM",1' in other.engine.output()
    length, pdu = pdu_of(DATA[::-1], destination=NUMBER)
    other.engine.receive(f"AT+CMGS={length}\r".encode())
    other.engine.receive(pdu.encode() + b"\x1a")
    assert '+CMTI: "SM",1' in desk.pass_time(3)
    assert desk.say("AT+CMGR=1")[1].endswith(DATA[::-1].hex().upper())


LINES = st.sampled_from(
    [
        "+CMGS=20",
        "+CMGS=",
        "+CMGF=1",
        "+CMGF=0",
        "+CMGL=4",
        '+CMGL="ALL"',
        "+CMGR=1",
        "+CMGD=1,4",
        '+CMGS="+1"',
        "+CMGW=9",
        '+CSCS="UCS2"',
        '+CSCS="HEX"',
        '+CSCS="GSM"',
        "+CSMP=17,167,0,8",
        "+CSMP=17,167,0,4",
        "+CMSS=1",
        "+CSDH=1",
        "+CUSD=1,x",
    ]
)


@given(
    st.lists(LINES.map(lambda line: f"AT{line}\r".encode()) | st.binary(max_size=30) | st.just(b"\x1a"), max_size=12)
)
def test_garbage_is_no_exception(pieces: list[bytes]) -> None:
    desk = start(EC25, SimCard(number=NUMBER))
    desk.phone.send(NUMBER, "Grüße €")
    desk.phone.send(NUMBER, DATA)
    for piece in pieces:
        desk.say(piece, seconds=0.5)
    desk.say(b"\x1b\r", seconds=2.0)
    assert desk.say(b"\x1bAT\r")[-1] in ("OK", "AT\rOK", "0\r")
