"""Keys and codes reach the screen; devices that are lost are told until they are found."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterator

from drivers.keys import CodeScanned, KeyPressed, KeysEvent, KeysFound, KeysLost
from terminal.inputs import Inputs
from terminal.standing import DeviceNotice


class ScriptedKeys:
    """A source that tells what it is given."""

    def __init__(self) -> None:
        self.queue: queue.SimpleQueue[KeysEvent | None] = queue.SimpleQueue()

    def events(self) -> Iterator[KeysEvent]:
        while (event := self.queue.get()) is not None:
            yield event

    def stop(self) -> None:
        self.queue.put(None)


def test_keys_codes_and_losses_are_told_apart() -> None:
    keypad, scanner = ScriptedKeys(), ScriptedKeys()
    heard: queue.SimpleQueue[str] = queue.SimpleQueue()
    inputs = Inputs(
        keypad=keypad,
        scanner=scanner,
        on_key=lambda key: heard.put(f"key {key}"),
        on_code=lambda code: heard.put(f"code {code}"),
    )
    keypad.queue.put(KeysFound())
    keypad.queue.put(KeyPressed("7"))
    assert heard.get(timeout=5) == "key 7"
    scanner.queue.put(KeysLost("no scanner", "device-missing"))
    scanner.queue.put(CodeScanned("690"))
    assert heard.get(timeout=5) == "code 690"
    assert inputs.notices() == (DeviceNotice("scanner-offline", "no scanner [device-missing]"),)
    scanner.queue.put(KeysFound())
    ends_s = time.monotonic() + 5
    while inputs.notices() and time.monotonic() < ends_s:
        threading.Event().wait(0.005)
    assert inputs.notices() == ()
    inputs.close()
