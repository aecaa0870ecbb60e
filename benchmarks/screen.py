"""From a card on the reader to the sound, with the screen running: the till's own part, beside one bare commit.

The production program and app in this process; the app composes every picture, but writes it to no terminal. Each card
comes as the screen is drawing its amount, the worst moment. The chips' own time is taken off. Left out: PC/SC.
"""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from benchmarks.measure import BareTill, middle_and_p95, scratch_folder, table, timed
from benchmarks.tap import Stopwatch
from sim.booth import Booth
from sim.card.chip import PoweredCard
from sim.day import day_configuration
from terminal.events import AmountEntered, Phase
from terminal.outputs import Outputs
from terminal.result import Approved, Result
from terminal.standing import Standing
from terminal.till import Till
from wire.money import Fen

TAPS: Final = 200
_WARM_UP: Final = 10
_SIZE: Final = (100, 30)  # a 7-inch touch screen
_OWN_S_MAX: Final = 0.005  # the goal, beside one commit
_ANSWER_S_MAX: Final = 20.0
_CARDS: Final = (1, 2, 6, 7, 8, 9, 10, 11, 12, 13)
_CHEAPEST_FEN: Final = 1_00


@dataclass(frozen=True, slots=True)
class ScreenTimes:
    """Seconds: a pair for each tap, taken one after the other."""

    own_s: list[float]
    commit_s: list[float]


class _Ear(Outputs):
    """Where lamps, buzzer and voice would be told."""

    def __init__(self) -> None:
        super().__init__()
        self.asks_card = threading.Event()
        self.heard: queue.SimpleQueue[tuple[float, Result]] = queue.SimpleQueue()

    def show(self, till: Till, standing: Standing) -> None:
        """A card is asked for."""
        if till.phase is Phase.CARD and not till.working:
            self.asks_card.set()

    def ended(self, result: Result, elapsed_ms: float) -> None:
        """The moment of the sound."""
        self.heard.put((time.perf_counter(), result))


class _Taps:
    """A cashier and customers in a thread of their own; the app has the main one."""

    def __init__(self, booth: Booth, ear: _Ear, watches: list[Stopwatch], folder: Path) -> None:
        self._booth, self._ear, self._watches, self._folder = booth, ear, watches, folder

    def run(self, taps: int) -> ScreenTimes:
        """One tap, one floor, one tap, ..."""
        times = ScreenTimes([], [])
        with closing(BareTill(self._folder / "bare.db")) as bare:
            for number in range(_WARM_UP + taps):
                own_s, commit_s = self._tap(number), timed(bare.commit)
                if number >= _WARM_UP:
                    times.own_s.append(own_s)
                    times.commit_s.append(commit_s)
        return times

    def _tap(self, number: int) -> float:
        """Seconds from the card's coming to the sound, without the chips' own."""
        self._ear.asks_card.clear()
        # No price comes twice: the same card would be asked whether it means it.
        self._booth.program.events.put(AmountEntered(Fen(_CHEAPEST_FEN + number)))
        assert self._ear.asks_card.wait(_ANSWER_S_MAX), "the till asks for no card"
        chips_s = sum(watch.seconds for watch in self._watches)
        began_s = time.perf_counter()
        self._booth.hold(_CARDS[number % len(_CARDS)])
        ended_s, result = self._ear.heard.get(timeout=_ANSWER_S_MAX)
        assert isinstance(result, Approved), f"the sale ended in {result}"
        self._booth.lift()
        return ended_s - began_s - (sum(watch.seconds for watch in self._watches) - chips_s)


def measure(*, folder: Path, taps: int = TAPS) -> ScreenTimes:
    """With the app under a driver that draws nowhere."""
    return asyncio.run(_measure(folder, taps))


async def _measure(folder: Path, taps: int) -> ScreenTimes:
    watches: list[Stopwatch] = []

    def watched(chip: PoweredCard) -> PoweredCard:
        watches.append(Stopwatch(chip))
        return watches[-1]

    configuration = replace(day_configuration(), staff=())  # nobody has to sign on
    with scratch_folder(folder) as scratch:
        ear = _Ear()
        booth = Booth(Path(scratch), configuration, monotonic_s=time.monotonic, outputs=ear, watched=watched)
        with booth:
            async with booth.running(size=_SIZE):
                return await asyncio.to_thread(_Taps(booth, ear, watches, Path(scratch)).run, taps)


def report(times: ScreenTimes) -> str:
    """As a table."""
    own, floor = middle_and_p95(times.own_s), middle_and_p95(times.commit_s)
    rows = [("milliseconds", "median", "95 %")]
    for name, (middle, p95) in (
        ("card to sound, the till's own part", own),
        ("one bare commit", floor),
        ("goal: 5 ms and one commit", (floor[0] + _OWN_S_MAX, floor[1] + _OWN_S_MAX)),
    ):
        rows.append((name, f"{middle * 1000:.2f}", f"{p95 * 1000:.2f}"))
    return f"screen: {len(times.own_s)} taps while the screen draws, each beside its floor\n{table(rows)}"
