"""Number pads and scanners through the kernel's input devices (evdev), for this program alone. The one user of evdev.

Left out: what the keys mean (`drivers.keys`).
"""

from __future__ import annotations

import contextlib
import glob
import os
import select
from collections.abc import Iterator
from typing import Final

import evdev

from drivers.devicefaults import DeviceBusy, DeviceFault, DeviceMissing
from drivers.keys import CodeScanned, KeyDecoder, KeyPressed, KeysEvent, KeysFound, KeysLost

_LOOK_AGAIN_S: Final = 1.0  # for a device that is not there


class EvdevKeys:
    """One device, named by a path or glob (/dev/input/by-id/...-event-kbd) or by the name that it gives itself."""

    def __init__(self, name: str, decoder: KeyDecoder) -> None:
        self._name = name
        self._decoder = decoder
        self._stop_out, self._stop_in = os.pipe()
        self._stopped = False

    def events(self) -> Iterator[KeysEvent]:
        """Its keys, over any number of pluggings; looked for every second while it is gone, and told once."""
        told = ""
        while not self._stopped:
            try:
                with self._grabbed() as device:
                    told = ""
                    yield KeysFound()
                    yield from self._keys(device)
            except DeviceFault as fault:
                if fault.code != told:
                    told = fault.code
                    yield KeysLost(str(fault), fault.code)
                self._wait()

    def stop(self) -> None:
        """End `events` soon."""
        self._stopped = True
        os.write(self._stop_in, b"x")

    @contextlib.contextmanager
    def _grabbed(self) -> Iterator[evdev.InputDevice[str]]:
        device = _find(self._name)
        try:
            device.grab()
        except OSError as error:
            device.close()
            raise DeviceBusy(f"another program has the keys of {self._name}") from error
        try:
            yield device
        finally:
            with contextlib.suppress(OSError):  # unplugged: the grab went with it
                device.ungrab()
            device.close()

    def _keys(self, device: evdev.InputDevice[str]) -> Iterator[KeyPressed | CodeScanned]:
        while not self._stopped:
            ready, _, _ = select.select([device.fd, self._stop_out], [], [])
            if self._stop_out in ready:
                return
            try:
                found = list(device.read())
            except BlockingIOError:
                continue
            except OSError as error:
                raise DeviceMissing(f"{self._name} was unplugged") from error
            if not found:  # an end of file, which a device that is there never has
                raise DeviceMissing(f"{self._name} was unplugged")
            for event in found:
                if event.type == evdev.ecodes.EV_KEY:
                    key = self._decoder.take(event.code, event.value, event.timestamp())
                    if key is not None:
                        yield key

    def _wait(self) -> None:
        select.select([self._stop_out], [], [], _LOOK_AGAIN_S)


def _find(name: str) -> evdev.InputDevice[str]:
    paths = sorted(glob.glob(name)) if name.startswith("/") else evdev.list_devices()
    found = []
    for path in paths:
        with contextlib.suppress(OSError):  # gone meanwhile, or not ours to open
            device = evdev.InputDevice(path)
            if name.startswith("/") or device.name == name:
                found.append(device)
            else:
                device.close()
    if len(found) == 1:
        return found[0]
    for device in found:
        device.close()
    if found:
        raise DeviceMissing(f"{name} fits {len(found)} devices; name one of them by /dev/input/by-id/")
    if name.startswith("/") and any(not os.access(path, os.R_OK) for path in paths):
        raise DeviceBusy(f"no permission to open {name}: the user has to be in the group input")
    raise DeviceMissing(f"no input device {name}: plug it in")
