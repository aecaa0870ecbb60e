"""A program of the server that is killed at one of its SQL statements: `kill -9` at the worst moment, on purpose.

It is the production program; only the last door to the database counts. Left out: what must be true afterwards, which
is the auditor's to say.
"""

from __future__ import annotations

import argparse
import itertools
import os
import signal
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from settlement.__main__ import main as settlement
from settlement.store.postgres import PostgresConnection
from settlement.store.sqlite import SqliteConnection

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]  # noqa: SLF001  argparse has no public name for it

_DOORS: Final = {
    SqliteConnection: ("execute", "execute_many", "fetch"),
    PostgresConnection: ("execute", "execute_many", "append", "fetch"),
}


def add_parser(commands: Commands) -> None:
    """The command line of `campus-sim killed`."""
    parser = commands.add_parser(
        "killed",
        help="a program of the server that kills itself at one of its SQL statements",
        description="Runs a command of campus-settlement and kills it (SIGKILL) before or after its n-th statement.",
        epilog="example: campus-sim killed --statement 12 --after stream canteen --home /tmp/campus",
    )
    parser.add_argument(
        "--statement", type=int, required=True, metavar="N", help="counted from 1, over all its databases"
    )
    parser.add_argument("--after", action="store_true", help="when it is done, not when it is about to begin")
    parser.add_argument("program", nargs=argparse.REMAINDER, help="the command with its options")


def run(arguments: argparse.Namespace) -> int:
    """Run the program; what it returns, should it end by itself."""
    arm(arguments.statement, after=arguments.after)
    return settlement(arguments.program)


def arm(statement: int, *, after: bool) -> None:
    """Let this process be killed at that statement."""
    count = itertools.count(1)
    for door, names in _DOORS.items():
        for name in names:
            setattr(door, name, _counted(getattr(door, name), count, statement, after=after))


def _counted(
    run_it: Callable[..., object], count: itertools.count[int], last: int, *, after: bool
) -> Callable[..., object]:
    def counted(*arguments: object) -> object:
        is_last = next(count) == last
        if is_last and not after:
            os.kill(os.getpid(), signal.SIGKILL)
        result = run_it(*arguments)
        if is_last:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    return counted
