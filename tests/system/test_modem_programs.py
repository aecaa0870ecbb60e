"""Independent programs on the simulated modem, as they are: gammu, gammu-smsd, smstools, python-gsmmodem-new.

Each is a child with a configuration of its own in a temporary folder; nothing of the system is touched.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

import pytest
from gsmmodem.modem import GsmModem, Sms

from sim.carrier.carrier import Carrier
from sim.carrier.smsc import Phone
from sim.carrier.tpdu import Deliver
from sim.modem.modem import SimulatedModem
from sim.modem.profile import EC25, PROFILES, SIM800, SIM7600, Profile
from sim.modem.simcard import SimCard

NUMBER, OTHER = "+8613900000001", "+2781234567"
SESSION_S_MAX = 20.0
SMSD = shutil.which("smsd", path=f"{os.environ.get('PATH', '')}:/usr/sbin")


class Desk:
    """One modem, and a phone that it can write to."""

    def __init__(self, carrier: Carrier, modem: SimulatedModem, folder: Path) -> None:
        self.carrier, self.modem, self.folder = carrier, modem, folder
        self.phone = Phone(carrier.smsc, OTHER)
        self.gammurc = folder / "gammurc"
        self.gammurc.write_text(f"[gammu]\ndevice = {modem.path}\nconnection = at115200\n")

    def gammu(self, *arguments: str) -> str:
        """Run gammu, and return what it prints."""
        result = subprocess.run(
            ["gammu", "-c", self.gammurc, *arguments],
            capture_output=True,
            encoding="utf-8",
            env=os.environ | {"LC_ALL": "C.UTF-8"},
            timeout=SESSION_S_MAX,
            check=False,
        )
        assert result.returncode == 0, (result.stdout, result.stderr)
        return result.stdout

    def send_in(self, what: str | bytes) -> None:
        """A message for the modem."""
        with self.carrier.lock:
            self.phone.send(NUMBER, what)

    def inbox(self) -> list[Deliver]:
        with self.carrier.lock:
            return list(self.phone.inbox)


def wait_for(condition: Callable[[], bool], what: str) -> None:
    """Until it holds; the programs tell of what they have done by files and messages alone, so it is asked again."""
    deadline = time.monotonic() + SESSION_S_MAX
    tick = threading.Event()
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not come about"
        tick.wait(0.05)


@contextmanager
def plugged(profile: Profile, folder: Path) -> Iterator[Desk]:
    """A modem that is registered and has said all it says at boot, which confuses gammu."""
    rng = Random(1)
    carrier = Carrier(rng, time.monotonic)
    said: list[bytes] = []
    with SimulatedModem(
        profile=profile, sim=SimCard(number=NUMBER), carrier=carrier, rng=rng, watch=lambda _, data: said.append(data)
    ) as modem:
        last = profile.ready_urcs[-1][1].encode()
        wait_for(lambda: any(last in piece for piece in said), "the end of the boot")
        wait_for(lambda: modem.device.is_registered, "registration")
        yield Desk(carrier, modem, folder)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with plugged(EC25, tmp_path) as desk:
        yield desk


@contextmanager
def running(command: list[str | Path], log: Path) -> Iterator[None]:
    """A program that runs until the end of the block."""
    with log.open("wb") as output:
        child = subprocess.Popen(
            ["setpriv", "--pdeathsig", "TERM", *command], stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )
    try:
        yield
        assert child.poll() is None, log.read_text(errors="replace")
    finally:
        child.terminate()
        try:
            child.wait(10)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


# --- gammu


def test_gammu_sends_and_lists_messages(desk: Desk) -> None:
    desk.send_in("Grüße {von} hier")
    desk.gammu("sendsms", "TEXT", OTHER, "-text", "hello [there]")
    wait_for(lambda: len(desk.inbox()) == 1, "the message")
    assert desk.inbox()[0].content.text == "hello [there]"
    assert "Grüße {von} hier" in desk.gammu("getallsms")


@pytest.mark.slow
@pytest.mark.parametrize("profile", [EC25, SIM7600, SIM800], ids=lambda profile: profile.name)
def test_gammu_knows_the_modem_and_the_network(profile: Profile, tmp_path: Path) -> None:
    with plugged(profile, tmp_path) as desk:
        told = desk.gammu("identify")
        assert f"({profile.model})" in told
        assert profile.imei in told
        assert "460001234567890" in told
        told = desk.gammu("networkinfo")
        assert "Network state        : home network" in told
        assert "460 00" in told
        assert "CAMPUS MOBILE" in told
        assert "2026" in desk.gammu("getdatetime")


@pytest.mark.slow
@pytest.mark.parametrize("profile", [EC25, SIM7600, SIM800], ids=lambda profile: profile.name)
def test_gammu_sends_long_and_foreign_texts(profile: Profile, tmp_path: Path) -> None:
    with plugged(profile, tmp_path) as desk:
        desk.gammu("sendsms", "TEXT", OTHER, "-len", "300", "-text", "x" * 300)
        wait_for(lambda: len(desk.inbox()) == 2, "both parts")
        desk.gammu("sendsms", "TEXT", OTHER, "-unicode", "-text", "häß 中文")
        wait_for(lambda: len(desk.inbox()) == 3, "the third message")
        first, second, third = desk.inbox()
        assert "".join(message.content.text or "" for message in (first, second)) == "x" * 300
        assert [message.content.header[-2:] for message in (first, second)] == [b"\x02\x01", b"\x02\x02"]
        assert third.content.text == "häß 中文"


@pytest.mark.slow
def test_gammu_deletes_a_message(desk: Desk) -> None:
    for text in ("first", "second"):
        desk.send_in(text)
    wait_for(lambda: stored(desk) == [1, 2], "both messages")
    desk.gammu("deletesms", "1", "1")
    assert stored(desk) == [2]


@pytest.mark.slow
def test_gammu_asks_for_the_balance(desk: Desk) -> None:
    assert "Balance: 12.50 CNY" in desk.gammu("getussd", "*100#")


@pytest.mark.slow
def test_gammu_unlocks_a_sim(desk: Desk) -> None:
    sim = desk.modem.device.sim
    assert sim is not None
    with desk.carrier.lock:
        sim.pin_enabled, sim.verified = True, False
    assert "PIN" in desk.gammu("getsecuritystatus")
    desk.gammu("entersecuritycode", "PIN", sim.pin)
    assert sim.verified


def stored(desk: Desk) -> list[int]:
    with desk.carrier.lock:
        assert desk.modem.device.sim is not None
        return sorted(desk.modem.device.sim.store.messages)


# --- gammu-smsd


@pytest.mark.slow
def test_gammu_smsd_takes_a_message_in_and_sends_one_out(desk: Desk) -> None:
    boxes = {name: desk.folder / name for name in ("inbox", "outbox", "sent", "error")}
    for box in boxes.values():
        box.mkdir()
    smsdrc = desk.folder / "smsdrc"
    smsdrc.write_text(
        desk.gammurc.read_text()
        + "[smsd]\nservice = files\ncommtimeout = 10\nreceivefrequency = 2\nchecksecurity = 1\nchecksignal = 1\n"
        + f"logfile = {desk.folder}/smsd.log\ninboxpath = {boxes['inbox']}/\noutboxpath = {boxes['outbox']}/\n"
        + f"sentsmspath = {boxes['sent']}/\nerrorsmspath = {boxes['error']}/\n"
    )
    desk.send_in("for the inbox")
    with running(["gammu-smsd", "-c", smsdrc], desk.folder / "output"):
        wait_for(lambda: any(boxes["inbox"].iterdir()), "the inbox's file")
        inject: list[str | Path] = ["gammu-smsd-inject", "-c", smsdrc, "TEXT", OTHER, "-text", "queued"]
        subprocess.run(inject, check=True, capture_output=True, timeout=SESSION_S_MAX)
        wait_for(lambda: any(boxes["sent"].iterdir()), "the sent file")
        wait_for(lambda: len(desk.inbox()) == 1, "the message")
    assert [file.read_text() for file in boxes["inbox"].glob("*.txt")] == ["for the inbox"]
    assert desk.inbox()[0].content.text == "queued"
    assert stored(desk) == []


# --- smstools


def test_smstools_carries_binary_messages_both_ways(desk: Desk) -> None:
    assert SMSD is not None
    spool = {name: desk.folder / name for name in ("outgoing", "checked", "incoming", "sent", "failed")}
    for folder in spool.values():
        folder.mkdir()
    config = desk.folder / "smsd.conf"
    places = "".join(f"{name} = {folder}\n" for name, folder in spool.items())
    config.write_text(
        f"devices = GSM1\n{places}logfile = {desk.folder}/smsd.log\ninfofile = {desk.folder}/working\n"
        f"pidfile = {desk.folder}/pid\ndelaytime = 1\nerrorsleeptime = 1\nautosplit = 0\nexecutable_check = no\n"
        f"[GSM1]\ndevice = {desk.modem.path}\nbaudrate = 115200\nincoming = high\nrtscts = no\nmemory_start = 1\n"
    )
    data = bytes(range(116, 256))
    desk.send_in(data)
    with running([SMSD, "-t", "-c", config], desk.folder / "output"):
        wait_for(lambda: any(spool["incoming"].iterdir()), "the incoming file")
        outgoing = desk.folder / "message"
        outgoing.write_bytes(f"To: {OTHER.removeprefix('+')}\nAlphabet: binary\nUDH: false\n\n".encode() + data[::-1])
        outgoing.rename(spool["outgoing"] / "message")
        wait_for(lambda: len(desk.inbox()) == 1, "the message")
        wait_for(lambda: any(spool["sent"].iterdir()), "the sent file")
    (incoming,) = spool["incoming"].iterdir()
    head, _, body = incoming.read_bytes().partition(b"\n\n")
    assert f"From: {OTHER.removeprefix('+')}".encode() in head
    assert b"Alphabet: binary" in head
    assert body == data
    assert (desk.inbox()[0].content.dcs, desk.inbox()[0].content.body) == (0x04, data[::-1])
    assert stored(desk) == []


# --- python-gsmmodem-new, as shipped


@pytest.mark.parametrize(
    "profile", [EC25, *(pytest.param(profile, marks=pytest.mark.slow) for profile in (SIM7600, SIM800))], ids=PROFILES
)
def test_gsmmodem_connects_and_carries_messages(profile: Profile, tmp_path: Path) -> None:
    received: list[Sms] = []
    with plugged(profile, tmp_path) as desk:
        modem = GsmModem(str(desk.modem.path), 115200, smsReceivedCallbackFunc=received.append)
        try:
            modem.connect()
            assert (modem.imei, modem.imsi, modem.networkName) == (profile.imei, "460001234567890", "CAMPUS MOBILE")
            assert modem.signalStrength in range(32)
            # Two unsolicited lines at once are one too many for it, so the report is waited for.
            modem.sendSms(OTHER, "hello", waitForDeliveryReport=True)
            desk.send_in("and back")
            wait_for(lambda: len(received) == 1, "the answer")
            assert "Balance" in modem.sendUssd("*100#").message
        finally:
            modem.close()
    assert desk.inbox()[0].content.text == "hello"
    assert (received[0].number, received[0].text) == (OTHER, "and back")
