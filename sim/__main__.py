"""`campus-sim`: runs a whole small campus on this machine, with the production programs and simulated hardware."""

from __future__ import annotations

import argparse
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from random import SystemRandom
from typing import NoReturn

from settlement.audit.auditor import findings_text
from settlement.audit.points import Finding
from settlement.settings import Home
from sim import killed, pictures, term, trial
from sim.campus import Campus, HomeUnusable
from sim.card import command as card_command
from sim.counter import Counter
from sim.devices import command as devices_command
from sim.modem import command as modem_command
from sim.report import audit_campus, places_lines, uplink_line, uplink_status, wait_until_booked
from sim.taps import Tally, run_taps, tally_lines
from sim.termtaps import Plan
from sync.clock import Clock
from wire.errors import CampusError

_TAPS_WITHOUT_TERMINAL = 50
_WAITING = "waiting until everything is booked (Ctrl-C skips the wait)"
_CLOCK = Clock(utc_s=lambda: int(time.time()), monotonic_s=time.monotonic)


class _Terminated(KeyboardInterrupt):
    """SIGTERM: ends everything, also where Ctrl-C only skips a wait."""


def build_parser() -> argparse.ArgumentParser:
    """The command line of `campus-sim`."""
    parser = argparse.ArgumentParser(
        prog="campus-sim",
        description="A campus to try things on: real till, daemon and server; simulated cards, PSAM and readers.",
        epilog="example: campus-sim run --taps 50",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    run = commands.add_parser(
        "run",
        help="the till on this terminal, or a stream of taps and a report",
        description="Starts everything, sells until Ctrl-C or until the taps are done, then audits cards, journal,\n"
        "stream and ledger. A second run goes on where the first stopped.\n\n"
        "Exit status: 0 the auditor is content, 1 it objects, 2 wrong usage, a folder that cannot be used,\n"
        "or a program that failed (run the same command again), 130 interrupted.",
        epilog="examples:\n"
        "  campus-sim run                        the till on this terminal\n"
        "  campus-sim run --taps 200 --seed 7    a stream of taps, and a report\n"
        "  campus-sim run --taps 0               the auditor alone",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    run.add_argument("--home", type=Path, default=Path("home"), help="the installation's folder (default: ./home)")
    run.add_argument(
        "--taps", type=_count, help=f"that many taps without a screen (without a terminal: {_TAPS_WITHOUT_TERMINAL})"
    )
    run.add_argument("--seed", type=int, default=1, help="what the taps are drawn from (default: 1)")
    card_command.add_parser(commands)
    modem_command.add_parser(commands)
    devices_command.add_parser(commands)
    trial.add_parser(commands)
    pictures.add_parser(commands)
    killed.add_parser(commands)
    term.add_parser(commands)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; see the parser's description for the exit status."""
    arguments = build_parser().parse_args(argv)
    if arguments.command == "killed":
        return killed.run(arguments)  # with the signals and faults of the program that it runs
    signal.signal(signal.SIGTERM, _terminate)
    if arguments.command == "pictures":
        return _pictures(arguments)
    if arguments.command == "card":
        return _card(arguments)
    if arguments.command == "modem":
        return _modem(arguments)
    if arguments.command == "devices":
        pause = time.sleep  # between two looks at what came; the devices have threads of their own
        return devices_command.run(arguments, lines=devices_command.typed(sys.stdin.fileno()), pause=pause, say=_say)
    if arguments.command == "storm":
        return _storm(arguments)
    if arguments.command == "term":
        return _term(arguments)
    taps = taps_wanted(arguments.taps, has_screen=sys.stdin.isatty() and sys.stdout.isatty())
    try:
        return _run(arguments.home, taps, arguments.seed)
    except KeyboardInterrupt:
        print("\ncampus-sim: interrupted; the same command goes on from here", file=sys.stderr)
        return 130
    except CampusError as error:
        print(f"\ncampus-sim: {error} [{error.code}]", file=sys.stderr)
        if not isinstance(error, HomeUnusable):
            print("campus-sim: nothing is lost by this; the same command goes on from here", file=sys.stderr)
        return 2


def _card(arguments: argparse.Namespace) -> int:
    try:
        pause = time.sleep  # a served card has the pace of a real one
        return card_command.run(arguments, rng=SystemRandom(), clock=time.monotonic, pause=pause, say=_say)
    except CampusError as error:
        print(f"campus-sim: {error} [{error.code}]", file=sys.stderr)
        return 2


def _pictures(arguments: argparse.Namespace) -> int:
    try:
        return pictures.run(arguments.dir, monotonic_s=time.monotonic, say=_say)
    except CampusError as error:
        print(f"campus-sim: {error} [{error.code}]", file=sys.stderr)
        return 2


def _modem(arguments: argparse.Namespace) -> int:
    try:
        pause = time.sleep  # between two looks at what came; the modem has a thread of its own
        return modem_command.run(arguments, rng=SystemRandom(), clock=_CLOCK, pause=pause, say=_say)
    except CampusError as error:
        print(f"campus-sim: {error} [{error.code}]", file=sys.stderr)
        return 2


def _storm(arguments: argparse.Namespace) -> int:
    try:
        return trial.run(arguments, clock=_CLOCK, say=_say)
    except CampusError as error:
        print(f"campus-sim: {error} [{error.code}]", file=sys.stderr)
        return 2


def _term(arguments: argparse.Namespace) -> int:
    on_screen = sys.stderr.isatty()

    def progress(words: str) -> None:
        """One line that is written over, and that a line of the report takes the place of."""
        if on_screen:
            print(f"\r{words and '... '}{words}\x1b[K", end="", file=sys.stderr, flush=True)

    def say(line: str) -> None:
        progress("")
        _say(line)

    plan = Plan(seed=arguments.seed, taps=arguments.taps)
    try:
        term.run(Home(arguments.home), plan, clock=time.monotonic, say=say, progress=progress, as_json=arguments.json)
        return 0
    except KeyboardInterrupt:
        progress("")
        print("campus-sim: interrupted; the next term needs another folder", file=sys.stderr)
        return 130
    except CampusError as error:
        progress("")
        print(f"campus-sim: {error} [{error.code}]", file=sys.stderr)
        return 2


def taps_wanted(asked: int | None, *, has_screen: bool) -> int | None:
    """How many taps to make; None: the till goes on the screen."""
    return _TAPS_WITHOUT_TERMINAL if asked is None and not has_screen else asked


def _run(home: Path, taps: int | None, seed: int) -> int:
    with Campus(home, monotonic_s=time.monotonic, say=_say) as campus:
        before = uplink_status(campus)
        lines = []
        if taps is None:
            Counter(campus, monotonic_s=time.monotonic, seed=seed).run()
        else:
            tally = run_taps(campus, count=taps, seed=seed, progress=lambda done, tally: _progress(done, taps, tally))
            lines += [f"Run of {taps} taps, seed {seed}", *tally_lines(tally)]
        lines += _wait(campus, till_has_closed=taps is None)
        lines.append(uplink_line(before, uplink_status(campus)))
        findings: list[Finding] = audit_campus(campus)
    print("\n".join([*lines, "Auditor", findings_text(findings), *places_lines(campus.home)]))
    return 0 if all(finding.holds for finding in findings) else 1


def _wait(campus: Campus, *, till_has_closed: bool) -> list[str]:
    """Until everything is booked or somebody has had enough of it; what there is to say if it is not."""
    try:  # whoever reads the line may press Ctrl-C at once
        if till_has_closed:
            _say(f"The till has closed; {_WAITING}")
        lasting = (lambda: None) if till_has_closed else (lambda: _say(_WAITING))
        if wait_until_booked(campus, monotonic_s=time.monotonic, lasting=lasting):
            return []
        why = "not everything reached the ledger in time"
    except _Terminated:
        raise
    except KeyboardInterrupt:
        why = "the wait was skipped"
    return [f"  {why}; the auditor names what is on its way"]


def _progress(done: int, taps: int, tally: Tally) -> None:
    """One line that is written over on a terminal, and at the end only in a log."""
    line = f"tap {done} of {taps}: {tally.approved} approved, {tally.other.total()} not"
    if sys.stdout.isatty():
        print(f"\r{line}\x1b[K", end="\n" if done == taps else "", flush=True)
    elif done == taps:
        print(line, flush=True)


def _say(line: str) -> None:
    print(line, flush=True)


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise argparse.ArgumentTypeError(f"a number of taps is 0 or more, not {text!r}")
    return int(text)


def _terminate(*_: object) -> NoReturn:
    raise _Terminated


if __name__ == "__main__":
    sys.exit(main())
