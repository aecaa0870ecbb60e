"""Who modem and SIM are, make by make."""

from __future__ import annotations

import pytest

from sim.modem.profile import PROFILES, Profile
from sim.modem.simcard import SimCard
from tests.sim.modem.conftest import Desk, start


@pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES)
def test_a_make_identifies_itself(profile: Profile) -> None:
    desk = start(profile, SimCard())
    assert desk.say("AT+CGMI;+CGMM;+CGMR;+CGSN") == [profile.maker, profile.model, profile.revision, profile.imei, "OK"]
    assert desk.say("ATI") == [*profile.information, "OK"]
    iccid = desk.say(f"AT{profile.iccid_command}")
    assert iccid[0].endswith("89860012345678901234")


def test_the_sim_tells_its_numbers(desk: Desk) -> None:
    assert desk.say("AT+CIMI") == ["460001234567890", "OK"]
    assert desk.say("AT+CNUM") == ['+CNUM: ,"+8613900000001",145', "OK"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("176,12258,0,0,10", '144,0,"98680021436587092143"'),
        ("176,12258,0,8,2", '144,0,"2143"'),
        ("176,28423,0,0,9", '144,0,"084906002143658709"'),
        ("176,28480,0,0,9", "106,130"),
        ("178,12258,0,0,9", "109,0"),
        ("242", "144,0"),
    ],
)
def test_files_of_the_sim_are_read(desk: Desk, arguments: str, said: str) -> None:
    assert desk.say(f"AT+CRSM={arguments}") == [f"+CRSM: {said}", "OK"]


@pytest.mark.parametrize("command", ["+CIMI", "+CNUM", "+QCCID", "+CRSM=242", "+CPMS?", "+CMGL=4", "+CPIN?", "+QPINC?"])
def test_without_a_sim_its_commands_say_so(command: str) -> None:
    desk = start(sim=None)
    desk.say("AT+CMEE=1")
    assert desk.say(f"AT{command}") in (["+CME ERROR: 10"], ["+CMS ERROR: 310"])
