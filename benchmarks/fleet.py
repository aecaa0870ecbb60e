"""A server's whole fleet of terminals: enrolled, offered batches when they are due, and seen through to the books.

Left out: when what is due, and what befalls the server meanwhile.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from random import Random
from typing import Final

from benchmarks.canteen import Canteen
from benchmarks.service import Registered, booked, enrol, keys_of, set_streams
from benchmarks.terminals import SimulatedTerminal, Tally, client_tls
from settlement.settings import Home
from settlement.store.database import open_reader
from settlement.streams.store import journal_head
from wire.errors import CampusError
from wire.ids import CONSUMPTION_STREAMS, Stream, TerminalId

SETTLE_S_MAX: Final = 90.0  # what was refused is sent again within this, and booked

_CARDS_EACH: Final = 30
_LOOK_S: Final = 0.1  # hundreds of terminals and a database: looked at now and then

Arrivals = Sequence[tuple[float, SimulatedTerminal, Tally]]


class NotSettled(CampusError):
    """What was offered was not all taken in and booked in time."""

    code = "not-settled"


class Fleet:
    """`each` terminals of every stream, with cards of their own, at a server that is not started yet."""

    def __init__(self, home: Home, rng: Random, *, each: int, batch_taps: int) -> None:
        self.home = home
        self.terminals: dict[Stream, list[SimulatedTerminal]] = {}
        self._registered = Registered(home)
        self._batch_taps = batch_taps
        self._lives: list[asyncio.Task[None]] = []
        keys, tls = keys_of(home), client_tls(str(home.authority / "ca.pem"))
        for place, (stream, port) in enumerate(set_streams(home, "idle_timeout_s = 3600\n").items()):
            tills = [
                Canteen(
                    rng.randrange(1 << 32),
                    terminal=TerminalId(number.to_bytes(6)),
                    keys=keys,
                    first_card=number * _CARDS_EACH,
                    cards=_CARDS_EACH,
                )
                for number in range(1 + place * each, 1 + (place + 1) * each)
            ]
            enrol(home, stream, tills)
            self.terminals[stream] = [
                SimulatedTerminal(stream, till, batch_taps=batch_taps, port=port, tls=tls) for till in tills
            ]

    @asynccontextmanager
    async def living(self) -> AsyncIterator[None]:
        """All terminals send what is due, until the end of the block."""
        self._lives = [asyncio.create_task(terminal.run()) for terminal in self._all()]
        try:
            yield
        finally:
            for life in self._lives:
                life.cancel()
            await asyncio.gather(*self._lives, return_exceptions=True)

    async def prepare(self, arrivals: Arrivals) -> None:
        """Sign a batch for each arrival, and wait until all that was offered before is booked; raises `NotSettled`."""
        openings = []
        for _, terminal, _ in arrivals:
            [(batch, signed)] = terminal.canteen.batches(1, self._batch_taps)
            terminal.batches.append(signed)
            openings += self._registered.take(batch.records)  # the cards that were not seen before
            await asyncio.sleep(0)  # the connections live meanwhile
        await asyncio.to_thread(self._registered.put, openings)
        await self.settled()

    async def offer(self, arrivals: Arrivals) -> None:
        """Let what was prepared be due, each so many seconds from now, whatever becomes of those before."""
        began_s = time.monotonic()
        for after_s, terminal, tally in arrivals:
            due_s = began_s + after_s
            await asyncio.sleep(max(0.0, due_s - time.monotonic()))  # an arrival has its time
            terminal.offer(due_s, tally)

    async def settled(self) -> None:
        """Wait until all that is due is taken in, and booked; raises `NotSettled`."""
        await self.answered(CONSUMPTION_STREAMS)
        await self.until_none("taps taken in and not booked", self._unbooked)

    async def answered(self, streams: Sequence[Stream]) -> None:
        """Wait until these streams' terminals have their receipts; raises `NotSettled`."""

        def waiting() -> dict[Stream, int]:
            return {stream: sum(terminal.waiting for terminal in self.terminals[stream]) for stream in streams}

        await self.until_none("batches due and not taken in", waiting)

    async def until_none(self, what: str, counts: Callable[[], dict[Stream, int]]) -> None:
        """Look until no stream has any of this; raises `NotSettled`, or what ended a terminal's life."""
        give_up_s = time.monotonic() + SETTLE_S_MAX
        while left := {s.label: n for s, n in (await asyncio.to_thread(counts)).items() if n > 0}:
            for life in self._lives:
                if life.done():
                    life.result()  # a terminal that is no more would be waited for in vain
            if time.monotonic() > give_up_s:
                raise NotSettled(f"{what} within {SETTLE_S_MAX:.0f} s: {left}")
            await asyncio.sleep(_LOOK_S)  # other processes' work has no event here

    def hang_up(self) -> None:
        """Drop the connections of all who have nothing under way; the others see for themselves that theirs ended."""
        for terminal in self._all():
            if terminal.waiting <= 0:
                terminal.hang_up()

    def lost_taps(self, stream: Stream) -> int:
        """How many of the taps that were due are not in the stream's database."""
        with open_reader(self.home.database(stream.label), stream.label) as db:
            return self.offered_taps(stream) - journal_head(db, stream).position

    def offered_taps(self, stream: Stream) -> int:
        """How many taps were due so far."""
        return sum(terminal.offered_taps for terminal in self.terminals[stream])

    def _all(self) -> list[SimulatedTerminal]:
        return [terminal for group in self.terminals.values() for terminal in group]

    def _unbooked(self) -> dict[Stream, int]:
        read = booked(self.home)
        return {stream: self.offered_taps(stream) - read[stream] for stream in CONSUMPTION_STREAMS}
