"""Simulated number pads, scanners and a GPIO chip, as umockdev makes them for programs under `umockdev-wrapper`.

evtest, python-evdev and libgpiod take them for the kernel's: open, grab, the questions by ioctl, reading. Left out:
ENODEV when an input is pulled out (an end of file is read instead), udev's messages, that a grab takes the keys from
other programs, and the lines' own descriptor (`SimulatedChip`).
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from collections.abc import Callable, Sequence
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

_OBJECTS: Final = "libgobject-2.0.so.0"
_HANDLER: Final = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)
_SIZE_SHIFT, _SIZE_MASK, _NUMBER_MASK = 16, 0x3FFF, 0xFF  # asm-generic/ioctl.h
_GPIO_MAJOR: Final = 254

# linux/gpio.h, version 2: the questions, and where in their structures things stand.
_CHIP_INFO, _LINE_INFO, _GET_LINES, _SET_VALUES = 1, 5, 7, 15
_OFFSETS_MAX, _INFO_OFFSET, _FLAGS_AT, _COUNT_AT, _FD_AT = 64, 64, 288, 560, 588
_FLAG_OUTPUT: Final = 1 << 3
_LABEL_BYTES: Final = 32

# An ioctl's number and structure; the structure back, or None for one that the device does not know.
Answer = Callable[[int, bytes], bytes | None]


def under_umockdev() -> bool:
    """Whether this process was started by `umockdev-wrapper`, so that devices can be made in it."""
    return "umockdev" in os.environ.get("LD_PRELOAD", "")


class KernelBench:
    """Where devices are plugged in; one for each process, since they last as long as it does."""

    def __init__(self, scratch: Path) -> None:
        if not under_umockdev():
            raise DeviceMissing("these devices can be simulated only in a program that umockdev-wrapper started")
        self._library = ctypes.CDLL(_LIBRARY)
        for function in ("testbed_new", "ioctl_base_new", "ioctl_client_get_arg", "ioctl_data_resolve"):
            getattr(self._library, f"umockdev_{function}").restype = ctypes.c_void_p
        self._library.umockdev_testbed_get_root_dir.restype = ctypes.c_char_p
        self._library.umockdev_ioctl_client_get_request.restype = ctypes.c_ulong
        self._kept: list[object] = []  # what the library calls back must outlive it
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

    def add_answering(self, name: str, minor: int, answer: Answer) -> None:
        """A character device of the GPIO kind, /dev/NAME, whose ioctls `answer` answers, from another thread."""
        description = (
            f"P: /devices/platform/gpio/{name}\nN: {name}\nE: DEVNAME=/dev/{name}\nE: SUBSYSTEM=gpio\n"
            f"E: MAJOR={_GPIO_MAJOR}\nE: MINOR={minor}\nA: dev={_GPIO_MAJOR}:{minor}\n\n"
        )
        made = self._library.umockdev_testbed_add_from_string(self._testbed, description.encode(), None)
        handler = ctypes.c_void_p(self._library.umockdev_ioctl_base_new())
        callback = _HANDLER(lambda _base, client, _data: self._handle(ctypes.c_void_p(client), answer))
        ctypes.CDLL(_OBJECTS).g_signal_connect_data(handler, b"handle-ioctl", callback, None, None, 0)
        told = self._library.umockdev_testbed_attach_ioctl(self._testbed, f"/dev/{name}".encode(), handler, None)
        assert all((made, told)), "umockdev takes its own format"
        self._kept += [handler, callback]

    def _handle(self, client: ctypes.c_void_p, answer: Answer) -> int:
        request = int(self._library.umockdev_ioctl_client_get_request(client))
        size, number = request >> _SIZE_SHIFT & _SIZE_MASK, request & _NUMBER_MASK
        argument = ctypes.c_void_p(self._library.umockdev_ioctl_client_get_arg(client))
        data = ctypes.c_void_p(
            self._library.umockdev_ioctl_data_resolve(argument, ctypes.c_size_t(0), ctypes.c_size_t(size), None)
        )
        found, length = ctypes.c_void_p(), ctypes.c_size_t(0)
        self._library.umockdev_ioctl_data_retrieve(data, ctypes.byref(found), ctypes.byref(length))
        told = answer(number, ctypes.string_at(found, length.value) if found.value else b"")
        if told is None:
            self._library.umockdev_ioctl_client_complete(client, ctypes.c_long(-1), errno.ENOTTY)
        else:
            self._library.umockdev_ioctl_data_update(data, ctypes.c_size_t(0), told, ctypes.c_int(len(told)))
            self._library.umockdev_ioctl_client_complete(client, ctypes.c_long(0), 0)
        return 1

    def link(self, path: str, node: str) -> None:
        """udev's name for it, also where umockdev looks for the answers to its questions."""
        for place in (self._root, self._root / "ioctl"):
            link = place / path[1:]
            link.parent.mkdir(parents=True, exist_ok=True)
            link.unlink(missing_ok=True)
            link.symlink_to(f"../{Path(node).name}")


class SimulatedKeys:
    """One input device, out at first; `path` is udev's name for it. `time_s` is the kernel's clock in its events."""

    def __init__(self, bench: KernelBench, name: str) -> None:
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


class SimulatedChip:
    """/dev/gpiochip0 with `lines` outputs. `states` has what was switched: offset to on, the newest last.

    A kernel gives out a descriptor with the lines; here the program has to open /dev/gpioline0 itself beforehand, and
    its number goes into `descriptor`.
    """

    def __init__(self, bench: KernelBench, *, lines: int = 32) -> None:
        self.lines = lines
        self.descriptor = -1
        self.states: list[dict[int, bool]] = []
        self._offsets: tuple[int, ...] = ()
        bench.add_answering("gpiochip0", 0, self._answer_chip)
        bench.add_answering("gpioline0", 1, self._answer_lines)

    def _answer_chip(self, number: int, data: bytes) -> bytes | None:
        if number == _CHIP_INFO:
            label = b"simulated".ljust(_LABEL_BYTES, b"\0")
            return b"gpiochip0".ljust(_LABEL_BYTES, b"\0") + label + struct.pack("I", self.lines)
        if number == _LINE_INFO and struct.unpack_from("I", data, _INFO_OFFSET)[0] < self.lines:
            return data
        if number == _GET_LINES and struct.unpack_from("Q", data, _FLAGS_AT)[0] == _FLAG_OUTPUT:
            (count,) = struct.unpack_from("I", data, _COUNT_AT)
            self._offsets = struct.unpack_from(f"{count}I", data)
            self.states.append(dict.fromkeys(self._offsets, False))
            return data[:_FD_AT] + struct.pack("i", self.descriptor)
        return None

    def _answer_lines(self, number: int, data: bytes) -> bytes | None:
        if number != _SET_VALUES:
            return None
        bits, mask = struct.unpack("QQ", data)
        changed = {offset: bool(bits >> place & 1) for place, offset in enumerate(self._offsets) if mask >> place & 1}
        self.states.append({**self.states[-1], **changed})
        return data


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
