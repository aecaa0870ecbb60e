"""Display, lamps and voice behind the till: newest first, faults as notices, and a loop that never waits."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from drivers.devicefaults import DeviceMissing
from drivers.display_cd5220 import Cd5220Display
from drivers.signals import SignalLine
from sim.devices.display import SimulatedDisplay
from terminal.devices import read_devices
from terminal.events import AmountEntered
from terminal.outputs import Outputs, WithDevices, outputs_of
from terminal.result import Approved, Refused, Torn
from terminal.standing import DeviceNotice, Standing
from terminal.till import Till
from terminal.words.catalogue import Language
from tests.terminal.test_receipts import CARD, NOON, SALE
from wire.money import Fen
from wire.record import Refusal

APPROVED = Approved(SALE, Fen(41_50))
STANDING = Standing(terminal="610000000001", at=NOON, sealed=0, unsent=0, unsent_fen=0)


class Lamps:
    """Lines that remember what was switched on; missing while `fault`."""

    def __init__(self) -> None:
        self.history: list[frozenset[SignalLine]] = []
        self.fault = False

    def set(self, on: frozenset[SignalLine]) -> None:
        if self.fault:
            raise DeviceMissing("there is no such chip")
        self.history.append(on)


class SlowVoice:
    """Says one sentence until it is told to go on."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.hushed = 0
        self.go_on = threading.Semaphore(0)
        self.fault = False

    def say(self, sentence: str, language: str) -> None:
        self.said.append(f"{language}: {sentence}")
        if self.fault:
            raise DeviceMissing("no soundcards found")
        assert self.go_on.acquire(timeout=5)

    def hush(self) -> None:
        self.hushed += 1


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("terminal.outputs.RETRY_S", 0.05)


@pytest.fixture
def outputs() -> Iterator[Callable[..., Outputs]]:
    made: list[Outputs] = []

    def make(**devices: object) -> Outputs:
        made.append(Outputs(**devices))  # type: ignore[arg-type]  # passed through as they are
        return made[-1]

    yield make
    for each in made:
        each.close()


Make = Callable[..., Outputs]


def until(condition: Callable[[], object], *, within_s: float = 5.0) -> None:
    ends_s = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < ends_s, "it did not happen in time"
        threading.Event().wait(0.005)


def test_customer_sees_price_and_result_also_after_the_display_was_away(tmp_path: Path, outputs: Make) -> None:
    with SimulatedDisplay(tmp_path / "display") as sim:
        display, till = Cd5220Display(str(sim.link)), Till(None)
        told = outputs(display=display)
        until(lambda: sim.shown[-1:] == [("WELCOME", "")])
        till.handle(AmountEntered(Fen(12_50)))
        told.show(till, STANDING)
        until(lambda: sim.lines[0] == "TO PAY         12.50")
        sim.unplug()
        till.result = APPROVED
        told.show(till, STANDING)
        until(told.notices)
        assert told.notices()[0].code == "display-offline"
        sim.plug()
        until(lambda: sim.lines[1] == "LEFT           41.50")
        until(lambda: told.notices() == ())
        told.close()
        display.close()


def test_lamps_tell_the_newest_result_and_go_out(outputs: Make) -> None:
    lamps = Lamps()
    told = outputs(lamps=lamps)
    told.ended(APPROVED, 5.0)
    until(lambda: {SignalLine.GREEN, SignalLine.BUZZER} in lamps.history)
    told.ended(Refused(Refusal.HOTLISTED, CARD, Fen(0)), 5.0)
    until(lambda: {SignalLine.RED, SignalLine.BUZZER} in lamps.history)
    told.ended(Torn(SALE, "left", "card-removed"), 5.0)
    until(lambda: {SignalLine.YELLOW, SignalLine.BUZZER} in lamps.history)
    told.close()
    assert lamps.history[-1] == frozenset()


def test_missing_lamps_are_a_notice_until_they_are_back(outputs: Make) -> None:
    lamps = Lamps()
    lamps.fault = True
    told = outputs(lamps=lamps)
    until(told.notices)
    assert told.notices()[0].code == "signals-offline"
    lamps.fault = False
    until(lambda: told.notices() == ())


def test_voice_says_the_newest_and_lets_go_of_what_is_stale(outputs: Make) -> None:
    voice = SlowVoice()
    told = outputs(voice=(voice, Language.EN))
    told.ended(APPROVED, 5.0)
    until(lambda: len(voice.said) == 1)
    told.ended(Refused(Refusal.HOTLISTED, CARD, Fen(0)), 5.0)
    told.ended(Torn(SALE, "left", "card-removed"), 5.0)
    assert voice.hushed == 3
    voice.go_on.release(3)
    until(lambda: len(voice.said) == 2)
    assert voice.said[1] == "en: SAME CARD AGAIN"


def test_voice_without_a_sound_card_is_a_notice_and_says_nothing_late(outputs: Make) -> None:
    voice = SlowVoice()
    voice.fault = True
    told = outputs(voice=(voice, Language.ZH_HANS))
    told.ended(APPROVED, 5.0)
    until(told.notices)
    assert told.notices()[0].code == "voice-silent"
    voice.fault = False
    told.ended(APPROVED, 5.0)
    voice.go_on.release(2)
    until(lambda: told.notices() == ())
    assert len(voice.said) == 2


def test_handing_over_takes_no_time_while_every_device_is_stuck(tmp_path: Path, outputs: Make) -> None:
    voice = SlowVoice()
    with SimulatedDisplay(tmp_path / "display") as sim:
        sim.stuck = True
        display, till = Cd5220Display(str(sim.link)), Till(None)
        told = outputs(display=display, lamps=Lamps(), voice=(voice, Language.EN))
        slowest_s = 0.0
        for number in range(200):
            till.result = Approved(SALE, Fen(number))
            began_s = time.perf_counter()
            told.show(till, STANDING)
            told.ended(till.result, 5.0)
            slowest_s = max(slowest_s, time.perf_counter() - began_s)
        assert slowest_s < 0.1
        voice.go_on.release(200)
        told.close()
        display.close()


class SeenScreen:
    """A screen that remembers what was told last."""

    def __init__(self) -> None:
        self.devices: tuple[DeviceNotice, ...] = ()
        self.results = 0

    def show(self, till: Till, standing: Standing) -> None:
        self.devices = standing.devices

    def ended(self, result: object, elapsed_ms: float) -> None:
        self.results += 1


def test_screen_shows_what_is_wrong_with_outputs_and_inputs(outputs: Make) -> None:
    lamps, screen = Lamps(), SeenScreen()
    lamps.fault = True
    told = outputs(lamps=lamps)
    both = WithDevices(screen, told, lambda: [DeviceNotice("keypad-offline", "gone")])
    until(told.notices)
    both.show(Till(None), STANDING)
    both.ended(APPROVED, 5.0)
    assert [notice.code for notice in screen.devices] == ["signals-offline", "keypad-offline"]
    assert screen.results == 1


def test_configured_devices_that_are_not_there_are_notices_and_no_stop(
    tmp_path: Path, open_journal: Callable[[], object]
) -> None:
    open_journal()
    config = read_devices(
        {
            "printer": str(tmp_path / "printer"),
            "display": str(tmp_path / "display"),
            "signals_chip": "/dev/gpiochip99",
            "signals_green": 1,
            "voice": "en",
        }
    )
    told = outputs_of(config, folder=tmp_path, terminal="610000000001", monotonic_s=time.monotonic)
    codes = {"printer-offline", "display-offline", "signals-offline"}
    until(lambda: {notice.code for notice in told.notices()} == codes)
    told.print_receipts(1)
    assert told.unprinted() == ()
    told.close()
