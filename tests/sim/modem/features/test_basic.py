"""V.250's own commands on a whole modem."""

from __future__ import annotations

import pytest

from tests.sim.modem.conftest import Desk


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("AT", ["OK"]),
        ("ATS3?;S4?;S5?", ["013", "010", "008", "OK"]),
        ("ATS0=2S0?", ["002", "OK"]),
        ("ATS3=200", ["ERROR"]),
        ("ATS99?", ["ERROR"]),
        ("ATE5", ["ERROR"]),
        ("AT&C1&D2", ["OK"]),
        ("AT+CMEE=2;+CMEE?", ["+CMEE: 2", "OK"]),
        ("AT+CMEE=3", ["ERROR"]),
        ("AT+IPR=115200", ["OK"]),
        ("AT+IPR=115201", ["ERROR"]),
        ("ATD123;", ["NO CARRIER"]),
        ("AT+WIND?", ["ERROR"]),
        ("AT^SYSINFO", ["ERROR"]),
    ],
)
def test_commands_are_answered(desk: Desk, line: str, said: list[str]) -> None:
    assert desk.say(line) == said


def test_reset_brings_the_echo_back(desk: Desk) -> None:
    assert desk.say("ATZ") == ["OK"]
    assert desk.say("AT+CMEE?") == ["AT+CMEE?\r", "+CMEE: 0", "OK"]


def test_the_list_of_commands_names_those_there_are(desk: Desk) -> None:
    *names, last = desk.say("AT+CLAC")
    assert last == "OK"
    assert {"+CPIN", "+CMGS", "+CLAC"} <= set(names)
    assert all(desk.say(f"AT{name}=?", seconds=5.0)[-1] == "OK" for name in names)
