"""`campus-terminal`: runs the till, shows its journal, tests itself. Wires clock, configuration and devices.

What one command alone needs is imported in it: the screen and the devices' programs take time and memory.
"""

from __future__ import annotations

import argparse
import json
import os
import queue
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from drivers.pcsc import PcscReader
from terminal.clock import TapClock
from terminal.config import load_config
from terminal.devices import keypad_of, scanner_of
from terminal.downlink import Downlink
from terminal.events import CodeScanned
from terminal.inputs import Inputs
from terminal.journal import Journal
from terminal.journalcommand import add_journal_command, run_journal
from terminal.lines import JsonScreen
from terminal.outputs import Outputs, WithDevices, outputs_of
from terminal.program import Program, Screen, Stop
from terminal.psam import PsamSlot
from terminal.standing import DeviceNotice
from terminal.starting import Events, clock_notice, started
from terminal.usage import Usage
from terminal.words.codes import in_chinese
from wire.errors import CampusError
from wire.record import ClockQuality

_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")
_TIME_SYNCHRONISED: Final = Path("/run/systemd/timesync/synchronized")
_BATTERY_CLOCK: Final = Path("/dev/rtc0")


def build_parser() -> argparse.ArgumentParser:
    """The command line of `campus-terminal`."""
    parser = argparse.ArgumentParser(
        prog="campus-terminal",
        description="The settlement terminal's till.",
        epilog="example: campus-terminal run --home ./home",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    run = commands.add_parser(
        "run",
        help="sell: type an amount, let a card pay it",
        description="Runs the till on the card reader named in HOME/terminal/terminal.toml.",
        epilog="keys are shown on the screen; Ctrl-C ends it\nexample:\n  campus-terminal run --home ./home",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    run.add_argument("--json", action="store_true", help="amounts as lines in, JSON lines out, instead of a screen")
    journal = add_journal_command(commands)
    selftest = commands.add_parser(
        "selftest",
        help="look at every part of the terminal, and say what to do",
        description="Tests configuration, keys, disk, clock, journal, card reader, card, security module, uplink and\n"
        "the configured devices. Takes no money; what a running till holds is left out. Exit status 1 after a fault.",
        epilog="example:\n  campus-terminal selftest --home ./home",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    selftest.add_argument("--json", action="store_true", help="a JSON line for each part")
    for command in (run, journal, selftest):
        command.add_argument(
            "--home", type=Path, default=Path("home"), help="the installation's folder (default: ./home)"
        )
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; 0 if it went well, 1 with one line on stderr for a `CampusError`, 2 for wrong usage."""
    arguments = build_parser().parse_args(argv)
    folder: Path = arguments.home / "terminal"
    try:
        if arguments.command == "run":
            return _run(folder, as_json=arguments.json)
        if arguments.command == "selftest":
            return _selftest(folder, as_json=arguments.json)
        return run_journal(folder, arguments, utc_s=time.time, monotonic_s=time.monotonic)
    except CampusError as error:
        print(f"campus-terminal: {in_chinese(error.code)}{error} [{error.code}]", file=sys.stderr)
        return 1
    except BrokenPipeError:  # whoever reads the list has seen enough; Python must not complain of it at the end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _run(folder: Path, *, as_json: bool) -> int:
    if not as_json and not (sys.stdin.isatty() and sys.stdout.isatty()):
        print("campus-terminal: 屏幕需要终端；程序请用 --json", file=sys.stderr)
        print("campus-terminal: the screen needs a terminal; use --json for a program", file=sys.stderr)
        return 2
    events: Events = queue.SimpleQueue()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: events.put(Stop()))
    if as_json:  # a program is told by exit status and code; a cashier by the screen
        with ExitStack() as open_things:
            till = _Till(folder, events, open_things)
            till.program.run(WithDevices(JsonScreen(events, sys.stdin, sys.stdout), till.outputs, till.clock_notices))
    else:
        _serve_cashier(folder, events)
    return 0


class _Till:
    """Everything of one till but its screen and its keys; what has to be closed goes to `open_things`."""

    def __init__(self, folder: Path, events: Events, open_things: ExitStack) -> None:
        self.config = load_config(folder / "terminal.toml")
        downlink = Downlink(folder / "uplink.db")
        open_things.callback(downlink.close)
        enrolment = downlink.enrolment()
        usage = Usage()
        journal = Journal.open_for(
            folder / "journal.db",
            terminal=enrolment.terminal,
            epoch=enrolment.epoch,
            acknowledged=downlink.acknowledged().cursor,
            witness=usage.add,
        )
        open_things.callback(journal.close)
        boot = journal.boot_number(_BOOT_ID.read_text(encoding="ascii").strip())
        now = TapClock(boot, utc_s=time.time, uptime_s=time.monotonic, quality=_clock_quality).now
        self.clock_notices = clock_notice(journal, now)
        self.program = Program(
            journal=journal,
            usage=usage,
            downlink=downlink,
            reader=PcscReader(self.config.card_reader),
            psam=PsamSlot(PcscReader(self.config.psam_reader), enrolment.terminal),
            profile=self.config.profile,
            limits=self.config.limits,
            now=now,
            monotonic_s=time.perf_counter,
            events=events,
        )
        self.outputs = outputs_of(
            self.config.devices, folder=folder, terminal=enrolment.terminal.hex(), monotonic_s=time.monotonic
        )
        open_things.callback(self.outputs.close)


def _serve_cashier(folder: Path, events: Events) -> None:
    from terminal.screen.bridge import CashierScreen

    printing: list[Outputs] = []  # once the till has started

    def print_receipt(seq: int) -> None:
        for outputs in printing:
            outputs.print_receipts(seq)

    cashier = CashierScreen(events, print_receipt=print_receipt)
    unset = TapClock(0, utc_s=time.time, uptime_s=time.monotonic, quality=_clock_quality).now

    def serve(screen: Screen) -> None:
        with ExitStack() as open_things:
            till = started(lambda: _opened(folder, events, open_things), screen, events, now=unset)
            if till is None:
                return
            printing.append(till.outputs)
            inputs = Inputs(
                keypad=keypad_of(till.config.devices),
                scanner=scanner_of(till.config.devices),
                on_key=cashier.press,
                on_code=lambda code: events.put(CodeScanned(code)),
            )
            open_things.callback(inputs.close)

            def notices() -> tuple[DeviceNotice, ...]:
                return (*till.clock_notices(), *inputs.notices())

            till.program.run(WithDevices(screen, till.outputs, notices))

    cashier.serve(serve)


def _opened(folder: Path, events: Events, open_things: ExitStack) -> _Till:
    """A till, or what keeps it from starting; then nothing of it stays open."""
    with ExitStack() as attempt:
        till = _Till(folder, events, attempt)
        open_things.push(attempt.pop_all())
        return till


def _selftest(folder: Path, *, as_json: bool) -> int:
    from terminal.selftest import Selftest, State, Surroundings

    around = Surroundings(
        folder=folder,
        reader=PcscReader,
        utc_s=time.time,
        monotonic_s=time.monotonic,
        clock_quality=_clock_quality,
    )
    status = 0
    for finding in Selftest(around).findings():
        print(json.dumps(finding.as_json(), ensure_ascii=False) if as_json else "\n".join(finding.lines()), flush=True)
        status |= finding.state is State.FAULT
    return status


def _clock_quality() -> ClockQuality:
    """Network time if systemd-timesyncd says that it set the clock since boot, else a battery's, if there is one."""
    if _TIME_SYNCHRONISED.exists():
        return ClockQuality.NETWORK
    return ClockQuality.BATTERY if _BATTERY_CLOCK.exists() else ClockQuality.UNSET


if __name__ == "__main__":
    sys.exit(main())
