"""The evdev driver on devices that umockdev makes; `test_keys_evdev.py` runs this file under `umockdev-wrapper`."""

from __future__ import annotations

import queue
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from drivers.keys import CodeScanned, KeyDecoder, KeyPressed, KeysEvent, KeysFound, KeysLost, PadDecoder, ScanDecoder
from drivers.keys_evdev import EvdevKeys
from sim.devices.kernel import KernelBench, SimulatedKeys

KP_1, KP_2, KP_ENTER, ENTER, DIGIT_6, DIGIT_9 = 79, 80, 96, 28, 7, 10


class Watched:
    """What the driver told, in order."""

    def __init__(self, source: EvdevKeys) -> None:
        self.source = source
        self.told: queue.SimpleQueue[KeysEvent] = queue.SimpleQueue()
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self) -> None:
        for event in self.source.events():
            self.told.put(event)

    def next(self) -> KeysEvent:
        return self.told.get(timeout=5)

    def end(self) -> None:
        self.source.stop()
        self.thread.join(5)
        assert not self.thread.is_alive()


@pytest.fixture(scope="session")
def bench(tmp_path_factory: pytest.TempPathFactory) -> KernelBench:
    return KernelBench(tmp_path_factory.mktemp("umockdev"))


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str, KeyDecoder], Watched]]:
    monkeypatch.setattr("drivers.keys_evdev._LOOK_AGAIN_S", 0.05)
    watched: list[Watched] = []

    def begin(name: str, decoder: KeyDecoder) -> Watched:
        watched.append(Watched(EvdevKeys(name, decoder)))
        return watched[-1]

    yield begin
    for each in watched:
        each.end()


Watch = Callable[[str, KeyDecoder], Watched]


def test_pad_named_by_its_path_is_read(bench: KernelBench, watch: Watch) -> None:
    pad = SimulatedKeys(bench, "Campus Pad")
    pad.plug()
    watched = watch(pad.path, PadDecoder())
    assert watched.next() == KeysFound()
    pad.press([KP_1, KP_2, KP_ENTER])
    assert [watched.next() for _ in range(3)] == [KeyPressed("1"), KeyPressed("2"), KeyPressed("enter")]
    pad.unplug()


def test_scanner_named_by_its_own_name_is_told_from_the_pad_beside_it(bench: KernelBench, watch: Watch) -> None:
    pad, scanner = SimulatedKeys(bench, "Pad"), SimulatedKeys(bench, "Scanner")
    pad.plug()
    scanner.plug()
    on_pad, on_scanner = watch(pad.path, PadDecoder()), watch("Scanner", ScanDecoder())
    assert [on_pad.next(), on_scanner.next()] == [KeysFound(), KeysFound()]
    scanner.press([DIGIT_6, DIGIT_9, ENTER])
    pad.press([KP_1])
    assert on_scanner.next() == CodeScanned("69")
    assert on_pad.next() == KeyPressed("1")
    pad.unplug()
    scanner.unplug()


def test_device_that_vanishes_is_told_once_and_taken_when_it_returns(bench: KernelBench, watch: Watch) -> None:
    pad = SimulatedKeys(bench, "Travelling Pad")
    watched = watch(pad.path, PadDecoder())
    assert isinstance(watched.next(), KeysLost)
    for _ in range(2):
        pad.plug()
        assert watched.next() == KeysFound()
        pad.press([KP_2])
        assert watched.next() == KeyPressed("2")
        pad.unplug()
        lost = watched.next()
        assert isinstance(lost, KeysLost)
        assert lost.code == "device-missing"


def test_two_devices_of_one_name_are_no_choice(bench: KernelBench, watch: Watch) -> None:
    twins = [SimulatedKeys(bench, "Twin"), SimulatedKeys(bench, "Twin")]
    for twin in twins:
        twin.plug()
    lost = watch("Twin", PadDecoder()).next()
    assert isinstance(lost, KeysLost)
    assert "2 devices" in lost.why
    for twin in twins:
        twin.unplug()


def test_evtest_sees_the_simulated_device_as_a_keyboard(bench: KernelBench, tmp_path: Path) -> None:
    pad = SimulatedKeys(bench, "Pad For Evtest")
    pad.plug()
    with subprocess.Popen(["evtest", pad.node], stdout=subprocess.PIPE, text=True) as evtest:
        assert evtest.stdout is not None
        for line in evtest.stdout:
            if line.startswith("Testing"):
                pad.press([KP_1])
            if "KEY_KP1" in line and "value 1" in line:
                break
        else:
            pytest.fail("evtest ended without having seen the key")
        evtest.terminate()
        evtest.stdout.read()
    pad.unplug()
