"""The `campus-settlement` command: hands clocks and environment to the command that was asked for."""

from __future__ import annotations

import argparse
import logging
import os
import sys
import time
from collections.abc import Sequence

from settlement.commands import audit, backup, books, campus, installation, journals, office, processes, registry
from settlement.commands.common import Host, Run, UsageFault, adder
from settlement.serve import FAULT_MARK, SUPERVISED_ENV
from wire.errors import CampusError


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="campus-settlement",
        description="The settlement server: streams that take the terminals' taps, and the ledger that books them.",
        epilog="examples:\n  campus-settlement init\n  campus-settlement serve",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = adder(parser.add_subparsers(dest="command", required=True, metavar="COMMAND"))
    for group in (installation, campus, registry, books, journals, office, audit, backup, processes):
        group.add_commands(add)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; 0 when it did what was asked, 1 for a fault that it names, 2 for wrong usage.

    `report` of a ledger that is out of balance is such a fault, too.
    """
    args = build_parser().parse_args(argv)
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(message)s")
    run: Run = args.run
    try:
        return run(args, Host(utc_s=_utc_s, monotonic_s=time.monotonic, environ=os.environ))
    except CampusError as error:
        return _fault(f"{error} [{error.code}]", 1)
    except UsageFault as error:
        return _fault(str(error), 2)
    except OSError as error:
        return _fault(str(error), 1)


def _fault(words: str, status: int) -> int:
    """Say what went wrong, to a supervisor as well; the exit status."""
    print(f"{FAULT_MARK}{words}", file=sys.stderr)
    if SUPERVISED_ENV in os.environ:
        print(f"{FAULT_MARK}{words}".replace("\n", "; "), flush=True)
    return status


def _utc_s() -> int:
    return int(time.time())


if __name__ == "__main__":
    sys.exit(main())
