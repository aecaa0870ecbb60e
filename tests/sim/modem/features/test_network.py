"""Radio and registration."""

from __future__ import annotations

import pytest

from sim.carrier.carrier import Registration
from sim.modem.profile import EC25, PROFILES, SIM800, SIM7600, Profile
from sim.modem.simcard import SimCard
from tests.sim.modem.conftest import Desk, start


def test_registration_is_told_in_three_ways(desk: Desk) -> None:
    assert desk.say("AT+CREG?;+CGREG?;+CEREG?") == ["+CREG: 0,1", "+CGREG: 0,1", "+CEREG: 0,1", "OK"]
    desk.say("AT+CREG=1;+CEREG=2")
    assert desk.say("AT+CREG?;+CEREG?") == ["+CREG: 1,1", '+CEREG: 2,1,"1A2B","0A1B2C03",7', "OK"]
    desk.carrier.cell.fail(10.0)
    assert desk.pass_time(2).split() == ["+CREG:", "2", "+CEREG:", "2"]
    assert desk.say("AT+CSQ") == ["+CSQ: 99,99", "OK"]
    assert [line for line in desk.pass_time(12).split("\r\n") if line] == ["+CREG: 1", '+CEREG: 1,"1A2B","0A1B2C03",7']


@pytest.mark.parametrize(("accepts", "state"), [(Registration.ROAMING, 5), (Registration.DENIED, 3)])
def test_the_network_may_deny_or_take_as_a_guest(desk: Desk, accepts: Registration, state: int) -> None:
    desk.say("AT+CREG=1")
    desk.carrier.accepts = accepts
    assert f"+CREG: {state}" in desk.pass_time(1.0)
    assert (desk.say("AT+COPS?")[0] == "+COPS: 0") is (accepts is Registration.DENIED)


def test_the_operator_has_three_names_and_a_set_of_characters(desk: Desk) -> None:
    assert desk.say("AT+COPS?") == ['+COPS: 0,0,"CAMPUS MOBILE",7', "OK"]
    assert desk.say("AT+COPS=3,2;+COPS?") == ['+COPS: 0,2,"46000",7', "OK"]
    assert desk.say('AT+CSCS="UCS2";+COPS=3,1;+COPS?') == ['+COPS: 0,1,"00430041004D005000550053",7', "OK"]


def test_deregistration_and_the_way_back(desk: Desk) -> None:
    assert desk.say("AT+COPS=2") == ["OK"]
    assert desk.say("AT+CREG?;+COPS?") == ["+CREG: 0,0", "+COPS: 2", "OK"]
    assert desk.say('AT+COPS=1,2,"99999"') == ["ERROR"]
    assert desk.say('AT+COPS=1,2,"46000"') == ["OK"]
    assert desk.say("AT+COPS?") == ['+COPS: 1,2,"46000",7', "OK"]
    assert desk.say("AT+COPS=0") == ["OK"]


def test_a_scan_takes_its_time(desk: Desk) -> None:
    assert desk.say("AT+COPS=?") == []
    assert '+COPS: (2,"CAMPUS MOBILE","CAMPUS","46000",7),,(0-4),(0-2)' in desk.pass_time(3.0)


def test_the_radio_is_turned_off_and_on(desk: Desk) -> None:
    assert desk.say("AT+CFUN=4") == ["OK"]
    assert desk.say("AT+CFUN?;+CREG?;+CSQ") == ["+CFUN: 4", "+CREG: 0,0", "+CSQ: 99,99", "OK"]
    assert desk.say("AT+CFUN=1") == ["OK"]
    assert desk.say("AT+CREG?") == ["+CREG: 0,1", "OK"]
    assert desk.say("AT+CFUN=7") == ["ERROR"]


@pytest.mark.parametrize(
    ("profile", "command"),
    [*((profile, "AT+CFUN=1,1") for profile in PROFILES.values()), (SIM7600, "AT+CRESET")],
)
def test_a_reset_boots_as_the_make_does(profile: Profile, command: str) -> None:
    desk = start(profile, SimCard())
    desk.say("AT+CREG=1;+CMEE=1;+CMGF=1")
    said = desk.say(command, seconds=3.0)
    expected = [line for _, line in (*profile.boot_urcs, *profile.ready_urcs)]
    assert said == ["OK", *(line.replace("+CPIN", "+CPIN: READY") for line in expected)]
    desk.say("ATE0")
    assert desk.say("AT+CREG?;+CMEE?;+CMGF?") == ["+CREG: 0,1", "+CMEE: 0", "+CMGF: 0", "OK"]


@pytest.mark.parametrize(("profile", "command"), [(EC25, "AT+QPOWD"), (SIM7600, "AT+CPOF"), (SIM800, "AT+CPOWD=1")])
def test_a_power_down_is_told_and_the_board_boots_it_again(profile: Profile, command: str) -> None:
    desk = start(profile, SimCard())
    assert desk.say(command) == ["OK", *([profile.off_urc] if profile.off_urc else [])]
    assert desk.say("AT") == []
    assert "RDY" in desk.pass_time(5)


def test_packet_service_follows_the_registration(desk: Desk) -> None:
    assert desk.say("AT+CGATT?;+CGATT=1") == ["+CGATT: 1", "OK"]
    desk.say("AT+CFUN=4")
    assert desk.say("AT+CGATT?") == ["+CGATT: 0", "OK"]
    assert desk.say("AT+CGATT=1") == ["ERROR"]
