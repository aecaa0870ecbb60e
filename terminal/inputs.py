"""Number pad and scanner: their keys and codes handed to whoever draws the screen, their troubles told as notices."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import Final

from drivers.keys import CodeScanned, KeyPressed, KeysFound, KeysLost, KeySource
from terminal.standing import DeviceNotice

_END_S: Final = 2.0


class Inputs:
    """Reads each source in a thread of its own; `on_key` and `on_code` are called from there."""

    def __init__(
        self,
        *,
        keypad: KeySource | None = None,
        scanner: KeySource | None = None,
        on_key: Callable[[str], None],
        on_code: Callable[[str], None],
    ) -> None:
        self._on_key = on_key
        self._on_code = on_code
        self._lost: dict[str, str] = {}
        named = {"keypad-offline": keypad, "scanner-offline": scanner}
        self._sources = {name: source for name, source in named.items() if source is not None}
        self._threads = [
            threading.Thread(target=self._read, args=(name, source), name=name, daemon=True)
            for name, source in self._sources.items()
        ]
        for thread in self._threads:
            thread.start()

    def notices(self) -> Iterable[DeviceNotice]:
        """What is wrong with them."""
        return tuple(DeviceNotice(name, why) for name, why in sorted(self._lost.copy().items()))

    def close(self) -> None:
        """End the threads and let go of the devices."""
        for source in self._sources.values():
            source.stop()
        for thread in self._threads:
            thread.join(_END_S)

    def _read(self, name: str, source: KeySource) -> None:
        for event in source.events():
            match event:
                case KeyPressed(key):
                    self._on_key(key)
                case CodeScanned(text):
                    self._on_code(text)
                case KeysFound():
                    self._lost.pop(name, None)
                case KeysLost(why, code):
                    self._lost[name] = f"{why} [{code}]"
