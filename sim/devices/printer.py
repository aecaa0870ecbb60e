"""A simulated receipt printer on a pseudo-terminal. What it does with the bytes is `sim.devices.escpos`'s matter."""

from __future__ import annotations

from pathlib import Path

from sim.devices.escpos import EscposEngine
from sim.devices.port import SerialSimulator


class SimulatedPrinter(SerialSimulator):
    """`engine` has the paper and the faults; set them with `lock` held. `mute`: switched off, the cable still in."""

    def __init__(self, link: Path, *, columns: int = 32, baud: int | None = None) -> None:
        super().__init__(link, baud=baud)
        self.engine = EscposEngine(columns)
        self.mute = False

    def receive(self, data: bytes) -> bytes:
        """Take bytes; answers at once what is asked in real time."""
        return b"" if self.mute else self.engine.feed(data)

    def idle(self) -> bytes:
        """Print what waits."""
        return b"" if self.mute else self.engine.run()

    def text(self) -> str:
        """What is on paper now."""
        with self.lock:
            return self.engine.text()
