"""PIN and PUK, with tries that fall and survive a restart."""

from __future__ import annotations

import pytest

from sim.modem.profile import EC25, SIM800, SIM7600, Profile
from sim.modem.simcard import SimCard
from tests.sim.modem.conftest import Desk, start


@pytest.fixture
def locked() -> Desk:
    desk = start(sim=SimCard(pin_enabled=True))
    desk.say("AT+CMEE=1")
    return desk


def test_a_locked_sim_keeps_everything_back(locked: Desk) -> None:
    assert locked.say("AT+CPIN?") == ["+CPIN: SIM PIN", "OK"]
    assert locked.say("AT+CIMI") == ["+CME ERROR: 11"]
    assert locked.say("AT+CMGL=4") == ["+CMS ERROR: 311"]
    assert locked.say("AT+CREG?") == ["+CREG: 0,0", "OK"]
    assert locked.say('AT+CLCK="SC",2') == ["+CME ERROR: 11"]


def test_the_right_pin_opens_it(locked: Desk) -> None:
    assert locked.say('AT+CPIN="1234"') == ["OK", "+CPIN: READY", "+QIND: SMS DONE", "+QIND: PB DONE"]
    assert locked.say('AT+CPIN="1234"') == ["+CME ERROR: 3"]
    assert locked.say("AT+CREG?") == ["+CREG: 0,1", "OK"]


def test_wrong_pins_end_in_the_puk_and_wrong_puks_in_a_dead_card(locked: Desk) -> None:
    assert locked.say("AT+CPIN=0000") == ["+CME ERROR: 16"]
    assert locked.say("AT+CPIN=99") == ["+CME ERROR: 16"]
    assert locked.say("AT+QPINC?")[0] == '+QPINC: "SC",2,10'
    locked.device.restart()
    locked.pass_time(3)
    locked.say("ATE0;+CMEE=1")
    assert locked.say("AT+CPIN=0000") == ["+CME ERROR: 16"]
    assert locked.say("AT+CPIN=0000") == ["+CME ERROR: 12"]
    assert locked.say("AT+CPIN?") == ["+CPIN: SIM PUK", "OK"]
    assert locked.say("AT+CPIN=1234") == ["+CME ERROR: 12"]
    for _ in range(9):
        assert locked.say('AT+CPIN="00000000","4321"') == ["+CME ERROR: 12"]
    assert locked.say("AT+CPINR")[1] == "+CPINR: SIM PUK,1,10"
    assert locked.say('AT+CPIN="00000000","4321"') == ["+CME ERROR: 13"]
    assert locked.say("AT+CPIN?") == ["+CME ERROR: 13"]


def test_the_puk_sets_a_new_pin(locked: Desk) -> None:
    for _ in range(3):
        locked.say("AT+CPIN=0000")
    assert locked.say('AT+CPIN="12345678","4321"')[0] == "OK"
    assert locked.say("AT+CPIN?") == ["+CPIN: READY", "OK"]
    assert locked.sim is not None
    assert (locked.sim.pin, locked.sim.pin_tries) == ("4321", 3)


def test_the_lock_is_asked_for_changed_and_its_pin_too(desk: Desk) -> None:
    assert desk.say('AT+CLCK="SC",2') == ["+CLCK: 0", "OK"]
    assert desk.say('AT+CPWD="SC","1234","5678"') == ["ERROR"]
    assert desk.say('AT+CLCK="SC",1,"1234"') == ["OK"]
    assert desk.say('AT+CPWD="SC","1234","5678"') == ["OK"]
    assert desk.say('AT+CLCK="SC",2') == ["+CLCK: 1", "OK"]
    desk.device.restart()
    desk.pass_time(3)
    desk.say("ATE0")
    assert desk.say("AT+CPIN?") == ["+CPIN: SIM PIN", "OK"]
    assert desk.say("AT+CPIN=5678")[0] == "OK"
    assert desk.say('AT+CLCK="SC",0,"1"') == ["ERROR"]
    assert desk.say('AT+CLCK="SC",0,"5678"') == ["OK"]


@pytest.mark.parametrize(
    ("profile", "command", "said"),
    [
        (EC25, "AT+QPINC?", '+QPINC: "SC",3,10'),
        (EC25, "AT+CPINR", "+CPINR: SIM PIN,3,3"),
        (SIM7600, "AT+SPIC", "+SPIC: 3,10,3,10"),
        (SIM7600, "AT+CPINR", "+CPINR: SIM PIN,3,3"),
        (SIM800, "AT+SPIC", "+SPIC: 3,10,3,10"),
        (SIM800, "AT+CPINR", "ERROR"),
    ],
)
def test_each_make_tells_the_tries_in_its_way(profile: Profile, command: str, said: str) -> None:
    assert start(profile, SimCard(pin_enabled=True)).say(command)[0] == said
