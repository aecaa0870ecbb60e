"""Simulated number pads and scanners: /dev/input/event* as umockdev makes them, for a program under `umockdev-wrapper`.

evtest and python-evdev take them for the kernel's: open, grab, the questions by ioctl, reading. Left out: ENODEV when
one is pulled out (an end of file is read instead), udev's messages, and that a grab takes the keys from other programs.
"""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from drivers.devicefaults import DeviceMissing

_LIBRARY: Final = "libumockdev.so.0"
_SYSTEM_PATH: Final = "/devices/usb1/1-{0}/1-{0}:1.0/input/input{0}/event{0}"
_EV_SYN, _EV_KEY = 0, 1
_PRESSED, _RELEASED = 1, 0
_EVENT: Final = struct.Struct("llHHi")
_TYPES: Final = 0b0001_0011  # SYN, KEY, MSC
_KEY_BYTES, _NAME_BYTES, _TYPE_BYTES = 96, 256, 4


def under_umockdev() -> bool:
    """Whether this process was started by `umockdev-wrapper`, so that devices can be made in it."""
    return "umockdev" in os.environ.get("LD_PRELOAD", "")


class InputBench:
    """Where devices are plugged in: one for each process, for its devices last as long as it does."""

    def __init__(self, scratch: Path) -> None:
        if not under_umockdev():
            raise DeviceMissing("input devices can be simulated only in a program that umockdev-wrapper started")
        self._library = ctypes.CDLL(_LIBRARY)
        self._library.umockdev_testbed_new.restype = ctypes.c_void_p
        self._library.umockdev_testbed_get_root_dir.restype = ctypes.c_char_p
        self._testbed = ctypes.c_void_p(self._library.umockdev_testbed_new())
        self._root = Path(self._library.umockdev_testbed_get_root_dir(self._testbed).decode())
        self._scratch = scratch
        self._numbers = 0

    def add(self, name: str) -> tuple[str, int]:
        """A device under the next number, as the kernel does it at each plugging: its node, and the way to feed it."""
        self._numbers += 1
        node = f"/dev/input/event{self._numbers}"
        ioctls = self._scratch / f"event{self._numbers}.ioctl"
        ioctls.write_text(_ioctls(node, name))
        description = (
            f"P: {_SYSTEM_PATH.format(self._numbers)}\nE: DEVNAME={node}\nE: SUBSYSTEM=input\n"
            f"N: input/event{self._numbers}\n\n"
        )
        made = self._library.umockdev_testbed_add_from_string(self._testbed, description.encode(), None)
        told = self._library.umockdev_testbed_load_ioctl(self._testbed, None, str(ioctls).encode(), None)
        assert all((made, told)), "umockdev takes its own format"
        return node, int(self._library.umockdev_testbed_get_dev_fd(self._testbed, node.encode()))

    def remove(self, node: str, descriptor: int) -> None:
        """Gone: whoever reads it gets an error."""
        number = node.removeprefix("/dev/input/event")
        self._library.umockdev_testbed_remove_device(self._testbed, b"/sys" + _SYSTEM_PATH.format(number).encode())
        (self._root / node[1:]).unlink(missing_ok=True)
        os.close(descriptor)

    def link(self, path: str, node: str) -> None:
        """udev's name for it, also where umockdev looks for the answers to its questions."""
        for place in (self._root, self._root / "ioctl"):
            link = place / path[1:]
            link.parent.mkdir(parents=True, exist_ok=True)
            link.unlink(missing_ok=True)
            link.symlink_to(f"../{Path(node).name}")


class SimulatedKeys:
    """One input device, out at first; `path` is udev's name for it. `time_s` is the kernel's clock in its events."""

    def __init__(self, bench: InputBench, name: str) -> None:
        self.name = name
        self.path = f"/dev/input/by-id/usb-{name.replace(' ', '_')}-event-kbd"
        self.time_s = 1.0
        self._bench = bench
        self._device: tuple[str, int] | None = None

    @property
    def node(self) -> str:
        """The kernel's name for it now."""
        assert self._device is not None, "plugged in"
        return self._device[0]

    def plug(self) -> None:
        """Put it in."""
        self._device = self._bench.add(self.name)
        self._bench.link(self.path, self.node)

    def unplug(self) -> None:
        """Pull it out."""
        assert self._device is not None, "plugged in"
        self._bench.remove(*self._device)
        self._device = None

    def press(self, codes: Sequence[int], *, gap_s: float = 0.004) -> None:
        """Each key down and up."""
        for code in codes:
            for value in (_PRESSED, _RELEASED):
                self.send(code, value)
            self.time_s += gap_s

    def send(self, code: int, value: int) -> None:
        """One key event, as the kernel reports it."""
        assert self._device is not None, "plugged in"
        seconds, fraction = divmod(self.time_s, 1)
        stamp = (int(seconds), int(fraction * 1e6))
        os.write(self._device[1], _EVENT.pack(*stamp, _EV_KEY, code, value) + _EVENT.pack(*stamp, _EV_SYN, 0, 0))


def _ioctls(node: str, name: str) -> str:
    """The answers to a program's questions, in umockdev's form; each length of answer is a question of its own."""
    types, scan = bytes([_TYPES]), b"\x10"
    every_key = b"\xff" * (_KEY_BYTES // 2)
    named = name.encode() + b"\0"
    lines = [f"@DEV {node} (EVDEV)", "EVIOCGVERSION 0 01000100", "EVIOCGID 0 0300F30507000001"]
    lines.append(f"EVIOCGNAME(0) {len(named)} {_padded(named, _NAME_BYTES)}")
    lines += [f"EVIOCGBIT(0) {size} {_padded(types, size)}" for size in (_TYPE_BYTES, _KEY_BYTES)]
    lines += [
        f"EVIOCGBIT(1) {_KEY_BYTES} {_padded(every_key, _KEY_BYTES)}",
        f"EVIOCGBIT(4) 8 {_padded(scan, _KEY_BYTES)}",
        "EVIOCGEFFECTS 0 00000000",
        "EVIOCGREP 0 FA00000021000000",
    ]
    return "\n".join(lines) + "\n"


def _padded(answer: bytes, size: int) -> str:
    return answer.ljust(size, b"\0").hex().upper()
