"""`python -m benchmarks`: what a tap, its bytes and its intake cost beside bare floors, and what a neighbour costs."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from benchmarks import air, ingest, isolation, memory, powercut, screen, size, start, tap
from benchmarks.measure import heading

NAMES: Final = ("tap", "bytes", "air")
ALONE: Final = (
    "screen",
    "start",
    "memory",
    "ingest",
    "ingest-postgresql",
    "isolation",
    "terminals",
)  # half a minute and more of whole programs: only when asked for


def main(argv: Sequence[str] | None = None) -> int:
    """Print the benchmarks that are asked for, all by default."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Ratios against bare floors.")
    parser.add_argument("name", nargs="?", choices=(*NAMES, *ALONE), help="one benchmark (default: the first three)")
    parser.add_argument("--folder", type=Path, default=Path(), help="on the disk to be measured (default: here)")
    parser.add_argument("--seed", type=int, default=1, help="the same seed, the same taps (default: 1)")
    parser.add_argument("--count", type=int, help="taps, days or rounds, instead of the benchmark's own number")
    arguments = parser.parse_args(argv)
    status = 0
    for name in NAMES if arguments.name is None else (arguments.name,):
        print(heading(name, seed=arguments.seed))
        if name == "isolation":
            text, is_met = _run_isolation(arguments.seed, arguments.folder, arguments.count)
            status = 0 if is_met else 1  # not a figure, but a promise
        else:
            text = _run(name, arguments.seed, arguments.folder, arguments.count)
        print(text, end="\n\n", flush=True)
    return status


def _run_isolation(seed: int, folder: Path, count: int | None) -> tuple[str, bool]:
    plan = isolation.Plan() if count is None else isolation.Plan(rounds=count)
    found = isolation.measure(seed=seed, folder=folder, plan=plan)
    return isolation.report(found), found.is_met


def _run(name: str, seed: int, folder: Path, count: int | None) -> str:
    if name == "tap":
        return tap.report(tap.measure(seed=seed, folder=folder, taps=count or tap.TAPS))
    if name == "bytes":
        return size.report(size.measure(seed=seed, days=count or size.DAYS))
    if name == "screen":
        return screen.report(screen.measure(folder=folder, taps=count or screen.TAPS))
    if name == "start":
        return start.report(start.measure(folder=folder, rounds=count or start.ROUNDS))
    if name == "memory":
        return memory.report(memory.measure(folder=folder))
    if name == "air":
        return air.report(air.measure(seed=seed, folder=folder)) if air.may_listen() else air.REFUSED
    if name == "terminals":
        return powercut.report(powercut.measure(seed=seed, folder=folder, terminals=count or powercut.TERMINALS))
    rounds, batches = count or ingest.ROUNDS, min(count or ingest.PROCESS_BATCHES, ingest.PROCESS_BATCHES)
    if name == "ingest-postgresql":
        return ingest.report(ingest.measure_postgresql(seed=seed, rounds=rounds, process_batches=batches))
    return ingest.report(ingest.measure(seed=seed, folder=folder, rounds=rounds, process_batches=batches))


if __name__ == "__main__":
    sys.exit(main())
