"""Clock, USSD, character set, battery."""

from __future__ import annotations

import pytest

from sim.modem.profile import PROFILES, SIM7600, Profile
from sim.modem.simcard import SimCard
from tests.sim.modem.conftest import Desk, start


def test_the_time_comes_from_the_network(desk: Desk) -> None:
    assert desk.say("AT+CCLK?")[0].startswith('+CCLK: "26/01/01,08:00:0')
    assert desk.say("AT+CCLK?")[0].endswith('+32"')


def test_before_the_network_has_told_it_the_time_is_absurd() -> None:
    desk = start(sim=SimCard(pin_enabled=True))
    assert desk.say("AT+CCLK?")[0].startswith('+CCLK: "80/01/06,')


@pytest.mark.parametrize("text", ["26/13/01,00:00:00+00", "yesterday", "26/02/30,00:00:00"])
def test_a_time_that_is_none_is_an_error(desk: Desk, text: str) -> None:
    assert desk.say(f'AT+CCLK="{text}"') == ["ERROR"]


def test_a_time_set_by_hand_goes_on(desk: Desk) -> None:
    assert desk.say('AT+CTZU=0;+CCLK="30/02/28,23:59:59+00"') == ["OK"]
    assert desk.say("AT+CCLK?") == ['+CCLK: "30/03/01,00:00:00+00"', "OK"]


def test_the_balance_comes_by_ussd(desk: Desk) -> None:
    assert desk.say('AT+CUSD=1,"*100#",15', seconds=0.5) == ["OK"]
    assert desk.pass_time(1.0).strip() == '+CUSD: 0,"Balance: 12.50 CNY, valid until 2027-12-31",15'
    assert desk.say('AT+CUSD=1,"*999#",15', seconds=2.0) == ["OK", "+CUSD: 4"]
    assert desk.say("AT+CUSD=2") == ["OK"]


def test_ussd_is_in_the_character_set(desk: Desk) -> None:
    desk.carrier.ussd_answers["*1#"] = "é"
    desk.say('AT+CSCS="UCS2"')
    assert desk.say('AT+CUSD=1,"002A00310023",15', seconds=2.0) == ["OK", '+CUSD: 0,"00E9",15']
    assert desk.say('AT+CUSD=1,"*1#",15') == ["ERROR"]


def test_ussd_without_a_network_is_an_error(desk: Desk) -> None:
    desk.say("AT+CFUN=4;+CMEE=2")
    assert desk.say('AT+CUSD=1,"*100#",15') == ["+CME ERROR: no network service"]


@pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES)
def test_the_battery_is_told(profile: Profile) -> None:
    said = "+CBC: 3.950V" if profile is SIM7600 else "+CBC: 0,85,3950"
    assert start(profile, SimCard()).say("AT+CBC") == [said, "OK"]


def test_switches_are_remembered(desk: Desk) -> None:
    assert desk.say("AT+CLIP=1;+CLIP?;+CRC?") == ["+CLIP: 1", "+CRC: 0", "OK"]
    assert desk.say('AT+CSCS="KLINGON"') == ["ERROR"]
