"""A thousand terminals on one gateway: what a connection weighs, and how long all need after a power cut of the campus.

Everything loses its power at once, the server too, and comes back at once: every terminal has taps that nobody has yet,
nobody can resume a TLS session, and whoever is refused comes again after the pauses of `sync.policy`. Left out: the
terminals' own start, networks, and the ledger, which follows behind.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from statistics import median, quantiles
from typing import Final

from benchmarks.canteen import Canteen
from benchmarks.measure import scratch_folder
from benchmarks.service import enrol, keys_of, make_home, serving, set_streams
from benchmarks.terminals import SimulatedTerminal, Tally, client_tls
from settlement.settings import Home
from wire.ids import Stream, TerminalId

TERMINALS: Final = 1_000
_UNSENT_TAPS: Final = 20
_STREAM: Final = Stream.CANTEEN
_CARDS_EACH: Final = 20
_ALL_S: Final = 300.0
_AT_ONCE: Final = 50  # that connect at one time in the quiet before the cut


@dataclass(frozen=True, slots=True)
class PowerCut:
    """What was measured: bytes of the gateway before and with all connections, and seconds to each last receipt."""

    terminals: int
    before_bytes: int
    connected_bytes: int
    start_s: float
    receipts_s: list[float]
    refused: int
    broken: int


def measure(*, seed: int, folder: Path, terminals: int = TERMINALS) -> PowerCut:
    """One gateway under `serve`, with the ledger."""
    with scratch_folder(folder) as scratch:
        home, made = _set_up(Path(scratch), Random(seed), terminals)
        return asyncio.run(_measure(home, made))


def report(found: PowerCut) -> str:
    """As text."""
    each = (found.connected_bytes - found.before_bytes) / found.terminals / 1024
    late = quantiles(found.receipts_s, n=20, method="inclusive")[-1] if len(found.receipts_s) > 1 else 0.0
    return (
        f"terminals: {found.terminals} connected to one gateway, which weighs {found.before_bytes / 2**20:.0f} MiB "
        f"without them and {each:.0f} KiB more for each\n"
        f"after a power cut of the campus, {_UNSENT_TAPS} unsent taps in each: the gateway is ready after "
        f"{found.start_s:.1f} s; from then the median terminal has its receipt after {median(found.receipts_s):.1f} s, "
        f"95 of 100 after {late:.1f} s, the last after {max(found.receipts_s):.1f} s\n"
        f"on the way {found.refused} were refused and {found.broken} connections not finished; all came again"
    )


def _set_up(root: Path, rng: Random, count: int) -> tuple[Home, list[SimulatedTerminal]]:
    home = make_home(root / "home")
    port = set_streams(home, f"idle_timeout_s = 3600\nconnections_max = {2 * count}\n")[_STREAM]
    keys, tls = keys_of(home), client_tls(str(home.authority / "ca.pem"))
    tills = [
        Canteen(
            rng.randrange(1 << 32),
            terminal=TerminalId((number + 1).to_bytes(6)),
            keys=keys,
            first_card=number * _CARDS_EACH,
            cards=_CARDS_EACH,
        )
        for number in range(count)
    ]
    enrol(home, _STREAM, tills)
    terminals = [
        SimulatedTerminal(_STREAM, till, batch_taps=_UNSENT_TAPS, port=port, tls=tls, as_daemon=True) for till in tills
    ]
    for terminal in terminals:
        terminal.batches += [signed for _, signed in terminal.canteen.batches(2, _UNSENT_TAPS)]
    return home, terminals


async def _measure(home: Home, terminals: list[SimulatedTerminal]) -> PowerCut:
    async with serving(home) as server:
        before = _resident_bytes(server.pids[_STREAM.label])
        tasks = await _connect_all(terminals)
        connected = _resident_bytes(server.pids[_STREAM.label])
    # The server is gone, and so is every connection.
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    began_s = time.monotonic()
    async with serving(home):
        start_s = time.monotonic() - began_s
        tally = Tally()
        for terminal in terminals:
            terminal.offer(time.monotonic(), tally)
        tasks = [asyncio.create_task(terminal.run()) for terminal in terminals]
        await _until_done(terminals)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return PowerCut(len(terminals), before, connected, start_s, tally.latencies_s, tally.refused, tally.broken)


async def _connect_all(terminals: Sequence[SimulatedTerminal]) -> list[asyncio.Task[None]]:
    """Each uploads its first batch and stays; some at a time, as on any morning."""
    tasks: list[asyncio.Task[None]] = []
    for start in range(0, len(terminals), _AT_ONCE):
        some = terminals[start : start + _AT_ONCE]
        for terminal in some:
            terminal.offer(time.monotonic(), Tally())
        tasks += [asyncio.create_task(terminal.run()) for terminal in some]
        await _until_done(some)
    return tasks


async def _until_done(terminals: Sequence[SimulatedTerminal]) -> None:
    async with asyncio.timeout(_ALL_S):
        for terminal in terminals:
            while terminal.waiting > 0:
                await asyncio.sleep(0.02)  # a thousand of them: looked at one after the other


def _resident_bytes(pid: int) -> int:
    """What the process has in memory."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    (line,) = [line for line in status.splitlines() if line.startswith("VmRSS:")]
    return int(line.split()[1]) * 1024
