"""`SimulatedModem`: a `Device` on a pseudo-terminal of its own, kept going by one thread. Left out: what it answers.

    with SimulatedModem(profile=EC25, sim=SimCard(), carrier=Carrier(rng, time.monotonic), rng=rng) as modem:
        serial.Serial(str(modem.path))

A stable name, as udev would give, is `link`: a symbolic link that goes with the modem and comes back with it.
"""

from __future__ import annotations

import contextlib
import os
import select
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Final, Self

from sim.carrier.carrier import Carrier
from sim.modem.device import Device
from sim.modem.engine import Faults
from sim.modem.profile import Profile
from sim.modem.pty import Pty
from sim.modem.simcard import SimCard

_WAIT_S_MAX: Final = 0.2  # a virtual clock jumps without waking anybody
_UNSENT_BYTES_MAX: Final = 65_536  # nobody reads: the rest is lost, as in a UART


class SimulatedModem:
    """A modem that is plugged in and switched on. Every method may be called from any thread."""

    def __init__(
        self,
        *,
        profile: Profile,
        sim: SimCard | None,
        carrier: Carrier,
        rng: Random,
        faults: Faults | None = None,
        link: Path | None = None,
        baud: int | None = None,
        watch: Callable[[str, bytes], None] | None = None,
    ) -> None:
        """`baud`: no faster than that, 10 bits a byte. `watch(">" or "<", data)` hears the dialogue."""
        self.carrier = carrier
        self.device = Device(profile, sim, carrier, rng, faults=faults)
        self._link = link
        self._bytes_per_s = baud / 10 if baud else None
        self._pty: Pty | None = None
        self._last_path: Path | None = None
        self._unsent = bytearray()
        self._sent_until_s = 0.0
        self._stopping = False
        self._closed = False
        self._wake_out, self._wake_in = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self.device.engine.on_output = self._wake
        if watch is not None:
            self.device.engine.watch = watch
        self._thread = threading.Thread(target=self._run, name=f"modem {profile.name}", daemon=True)

    def __enter__(self) -> Self:
        try:
            self.plug()
        except OSError:  # its link cannot be made
            self.close()
            raise
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def path(self) -> Path:
        """The pty to open now; the last one while it is unplugged."""
        assert self._last_path is not None, "it was plugged in at least once"
        return self._last_path

    @property
    def is_plugged(self) -> bool:
        """Whether the pty exists."""
        return self._pty is not None

    def plug(self) -> None:
        """Come back under another name, and boot."""
        with self._changing():
            if self._pty is None:
                self._pty = Pty(not_named=self._last_path)
                self._last_path = self._pty.path
                self._unsent.clear()
                self._remove_link()
                if self._link is not None:
                    self._link.symlink_to(self._pty.path)
            self.device.power_on()

    def unplug(self) -> None:
        """Gone from the bus: power and pty."""
        with self._changing():
            self.device.power_off()
            if self._pty is not None:
                self._pty.close()
                self._pty = None
                self._remove_link()

    def brown_out(self, off_s: float = 0.5) -> None:
        """The supply breaks down for a moment: the port vanishes, and comes back under another name."""
        with self._changing():
            self.unplug()
            self.carrier.timers.after(off_s, lambda: None if self._stopping else self.plug())

    def restart(self, off_s: float = 0.3) -> None:
        """It resets itself; the port stays, as on a UART."""
        with self._changing():
            self.device.restart(off_s)

    def hang(self) -> None:
        """Its AT port says nothing more until it is restarted or has no power for a while."""
        with self._changing():
            self.device.engine.hang()

    def noise(self, data: bytes) -> None:
        """Bytes on the line that nobody sent."""
        with self._changing():
            self.device.engine.write(data)

    def urc(self, line: str) -> None:
        """Say something unasked."""
        with self._changing():
            self.device.urc(line)

    def close(self) -> None:
        """Unplug, and end the thread."""
        self._stopping = True
        self._wake()
        if self._thread.is_alive():
            self._thread.join()
        self.unplug()
        with self.carrier.lock:
            if self._closed:
                return
            self._closed = True  # a late timer must not write to whatever has these descriptors next
            os.close(self._wake_in)
            os.close(self._wake_out)

    def _remove_link(self) -> None:
        if self._link is not None and self._link.is_symlink():
            self._link.unlink()

    @contextlib.contextmanager
    def _changing(self) -> Iterator[None]:
        with self.carrier.lock:
            yield
        self._wake()

    def _wake(self) -> None:
        with self.carrier.lock, contextlib.suppress(BlockingIOError):  # full: it wakes anyway
            if not self._closed:
                os.write(self._wake_in, b"\0")

    def _run(self) -> None:
        while not self._stopping:
            with self.carrier.lock:
                self.device.poll()
                self._take_output()
                readers, writers, timeout_s = self._wanted()
            try:
                readable, _, _ = select.select(readers, writers, [], timeout_s)
            except (OSError, ValueError):  # unplugged, or a bearer's socket closed, between the two lines above
                continue
            if self._wake_out in readable:
                with contextlib.suppress(OSError):
                    os.read(self._wake_out, 4096)
            with self.carrier.lock:
                pty = self._pty
                if pty is not None and pty.fileno() in readable and (data := pty.read()):
                    self.device.engine.receive(data)

    def _wanted(self) -> tuple[list[int], list[int], float]:
        """What to wait for: what can be read, what can be written, and how long at most."""
        now_s = self.carrier.clock()
        due_s = self.device.next_due_s()
        timeout_s = _WAIT_S_MAX if due_s is None else min(_WAIT_S_MAX, max(0.0, due_s - now_s))
        sockets = [each.fileno() for pollable in self.device.pollables for each in pollable.sockets()]
        readers = [self._wake_out, *sockets]
        if self._pty is None:
            return readers, [], timeout_s
        readers.append(self._pty.fileno())
        if not self._unsent:
            return readers, [], timeout_s
        if self._sent_until_s > now_s:
            return readers, [], min(timeout_s, self._sent_until_s - now_s)
        return readers, [self._pty.fileno()], timeout_s

    def _take_output(self) -> None:
        said = self.device.engine.output()
        if self._pty is None:
            return
        self._unsent += said[: max(0, _UNSENT_BYTES_MAX - len(self._unsent))]
        now_s = self.carrier.clock()
        if not self._unsent or self._sent_until_s > now_s:
            return
        piece = bytes(self._unsent)
        if self._bytes_per_s is not None:
            piece = piece[: max(1, int(self._bytes_per_s * 0.01))]
        sent = self._pty.write(piece)
        del self._unsent[:sent]
        if self._bytes_per_s is not None:
            self._sent_until_s = now_s + sent / self._bytes_per_s
