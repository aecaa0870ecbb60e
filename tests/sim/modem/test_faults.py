"""Each fault of the port is seen to happen, byte by byte, and to be gone when the faults are off."""

from __future__ import annotations

import re
from random import Random

import pytest

from sim.carrier.carrier import Carrier
from sim.carrier.cell import VirtualClock
from sim.carrier.smsc import Phone
from sim.modem.device import Device
from sim.modem.engine import Answer, Call, Reply
from sim.modem.faults import LATE_S, ROUGH, Mishap, PortFaults, fill_messages
from sim.modem.profile import EC25
from sim.modem.simcard import SimCard

BOOT_S = 3.0
SENDER = "+8613800000077"
SEEDS = 3


class Desk:
    """An EC25 that has booted, its port's faults, and a phone that writes to it."""

    def __init__(self, *mishaps: Mishap, seed: int = 1) -> None:
        self.clock = VirtualClock(100.0)
        self.carrier = Carrier(Random(1), self.clock)
        self.sim = SimCard()
        self.faults = PortFaults(seed, dict.fromkeys(mishaps, 1.0))
        self.faults.active = False
        self.device = Device(EC25, self.sim, self.carrier, Random(2), faults=self.faults)
        self.device.power_on()
        self.run(BOOT_S)
        self.say("ATE0")
        self.faults.active = True
        self.phone = Phone(self.carrier.smsc, SENDER)

    def run(self, seconds: float) -> bytes:
        self.carrier.run_until(self.clock, self.clock() + seconds)
        return self.device.engine.output()

    def say(self, line: str, *, seconds: float = 1.0) -> bytes:
        self.device.engine.receive(line.encode("ascii") + b"\r")
        return self.run(seconds)


def test_late_answer_comes_in_front_of_the_next_commands() -> None:
    desk = Desk(Mishap.LATE)
    assert desk.say("AT+CGMM", seconds=LATE_S - 2) == b""
    desk.faults.active = False
    assert desk.say("AT+CGSN") == b""
    assert desk.run(2.0) == b"\r\nEC25\r\n\r\nOK\r\n\r\n861107030000014\r\n\r\nOK\r\n"
    assert desk.faults.seen == {Mishap.LATE: 1}


def test_unsolicited_line_stands_in_the_middle_of_an_answer() -> None:
    desk = Desk(Mishap.INTERRUPTED)

    def answer(_: Call) -> Answer:
        desk.device.urc('+CMTI: "SM",1')
        return Reply("+SLOW: 1", "+SLOW: 2")

    desk.device.commands.add("+SLOW", execute=answer)
    assert desk.say("AT+SLOW") == b'\r\n+CMTI: "SM",1\r\n\r\n+SLOW: 1\r\n\r\n+SLOW: 2\r\n\r\nOK\r\n'
    assert desk.faults.seen[Mishap.INTERRUPTED] > 0
    desk.faults.active = False
    assert desk.say("AT+SLOW") == b'\r\n+SLOW: 1\r\n\r\n+SLOW: 2\r\n\r\nOK\r\n\r\n+CMTI: "SM",1\r\n'


def test_noise_stands_before_lines_and_leaves_them_whole() -> None:
    desk = Desk(Mishap.NOISE)
    said = desk.say("AT+CGMM")
    assert re.fullmatch(rb"[^\r]+\r\nEC25\r\n[^\r]+\r\nOK\r\n", said, re.DOTALL)
    assert desk.faults.seen == {Mishap.NOISE: 2}


def test_noise_is_sometimes_not_ascii() -> None:
    desk = Desk(Mishap.NOISE)
    assert any(byte >= 0x80 for _ in range(20) for byte in desk.say("AT"))


def test_lost_line_leaves_the_message_in_its_store() -> None:
    desk = Desk(Mishap.LOST_URC)
    desk.say("AT+CNMI=2,1,0,2,0")
    desk.phone.send(desk.sim.number, "hello")
    assert desk.run(60.0) == b""
    assert desk.sim.store.used == 1
    assert desk.faults.seen == {Mishap.LOST_URC: 1}


def test_full_store_takes_no_message_until_there_is_room() -> None:
    desk = Desk()
    desk.say("AT+CNMI=2,1,0,2,0")
    assert fill_messages(desk.sim) == desk.sim.store.capacity
    desk.phone.send(desk.sim.number, "hello")
    assert b"+CMTI" not in desk.run(60.0)
    assert b'+CPMS: "SM",20,20' in desk.say("AT+CPMS?")
    said = desk.say("AT+CMGD=7") + desk.run(60.0)
    assert said == b'\r\nOK\r\n\r\n+CMTI: "SM",7\r\n'


@pytest.mark.parametrize("mishap", Mishap)
def test_nothing_happens_while_the_faults_are_off(mishap: Mishap) -> None:
    desk = Desk(mishap)
    desk.faults.active = False
    assert desk.say("AT+CGMM") == b"\r\nEC25\r\n\r\nOK\r\n"
    assert not desk.faults.seen


@pytest.mark.parametrize("seed", range(SEEDS))
def test_same_seed_brings_the_same_faults(seed: int) -> None:
    runs = []
    for _ in range(2):
        desk = Desk(seed=seed)
        desk.faults.chances = {**ROUGH, Mishap.NOISE: 0.1, Mishap.LATE: 0.05}
        runs.append([desk.say("AT+CGMM", seconds=20.0) for _ in range(50)])
    assert runs[0] == runs[1]
    assert any(b"\r\nEC25" not in said[:6] for said in runs[0])


def test_hung_port_is_silent_until_the_modem_restarts() -> None:
    desk = Desk()
    desk.device.engine.hang()
    desk.phone.send(desk.sim.number, "hello")
    assert desk.say("AT", seconds=60.0) == b""
    desk.device.restart()
    assert b"\r\nRDY\r\n" in desk.run(3.0)
    assert b"OK" in desk.say("AT")
