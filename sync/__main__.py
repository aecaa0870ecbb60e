"""`campus-syncd`: enrols a terminal, runs the uplink daemon, and says how things stand."""

from __future__ import annotations

import argparse
import getpass
import json
import logging
import signal
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from random import SystemRandom
from threading import Event
from types import FrameType
from typing import Final

from drivers.pcsc import PcscReader
from sync.answers import Answers, LogRing
from sync.clock import Clock
from sync.config import UplinkConfig, load_config, load_point_config
from sync.daemon import Daemon, heals, words_for
from sync.desk import DeskLine
from sync.doctor import Doctor, NotWell, finding_lines
from sync.identity import load_key, load_or_make_key, save_operator_key, save_sms_key
from sync.link import Link, TcpLink
from sync.linkconfig import load_links
from sync.links.assembly import Ways
from sync.notify import notify
from sync.status import read_status, status_lines
from sync.store import AlreadyEnrolled, NotEnrolled, UplinkReader, UplinkStore
from sync.teller import JsonLines, Words
from sync.tls import ClientContext, SessionKeeper, TlsLink, client_context
from sync.topup import LoadFailed, LoadOpen, TopUpPoint
from sync.uplink import enrol, present_ticket, ticket_digest
from terminal.journal import JournalReader
from wire.enrolment import Ticket, TicketUnreadable, parse_ticket_text
from wire.errors import CampusError
from wire.ids import Stream
from wire.messages import Enrolled
from wire.money import AmountUnreadable, Fen, parse_yuan

STOP_S: Final = 2.0  # what an exchange under way gets to finish; cutting it short loses nothing but its answer

CLOCK: Final = Clock(utc_s=lambda: int(time.time()), monotonic_s=time.monotonic)

EXAMPLES: Final = """examples:
  campus-syncd enrol --home home --ticket-file ticket.txt
  campus-syncd run --home home
  campus-syncd status --home home --json
  campus-syncd top-up --home point --amount 50
"""


class Stopped(BaseException):
    """The exchange under way had its time after SIGTERM."""


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="campus-syncd",
        description="Carries a terminal's taps to the settlement server and brings its hotlist down.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    purpose = "let this terminal in with a ticket from the operator"
    enrolling = _command(commands, "enrol", purpose, run_enrol, "TICKET", "--ticket-file ticket.txt")
    ticket = enrolling.add_mutually_exclusive_group(required=True)
    ticket.add_argument("ticket", nargs="?", metavar="TICKET", help="the ticket's text")
    ticket.add_argument("--ticket-file", type=Path, metavar="FILE", help="a file with the ticket's text")
    _command(commands, "run", "carry taps until told to stop (SIGTERM or Ctrl-C)", run_daemon, "", "--home /srv/campus")
    purpose = "show enrolment, backlog, last receipt and what came down"
    status = _command(commands, "status", purpose, run_status, "", "--json")
    status.add_argument("--json", action="store_true", help="for programs: one JSON object")
    purpose = "walk the ways to the server step by step, and say what to do at a fault"
    _command(commands, "doctor", purpose, run_doctor, "", "--home /srv/campus")
    purpose = "load cards with money, with the top-up desk on the line"
    topping = _command(commands, "top-up", purpose, run_topup, "", "--amount 50", "--amount 50 --json", "--collect")
    topping.add_argument("--amount", type=_amount, metavar="YUAN", help="load one card with so much, and end")
    topping.add_argument(
        "--collect",
        action="store_true",
        help="no cash: load one card with what the books owe its holder for sales taken back, or with --amount of it",
    )
    topping.add_argument("--json", action="store_true", help="for programs: a line of JSON for each event")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; 0, or 1 after a fault that is named on stderr."""
    options = build_parser().parse_args(arguments)
    command: Callable[[argparse.Namespace], None] = options.run
    try:
        command(options)
    except CampusError as error:
        print(f"campus-syncd: {words_for(error)}", file=sys.stderr)
        return 1
    except (Stopped, KeyboardInterrupt):
        return 0
    return 0


def run_enrol(options: argparse.Namespace) -> None:
    """Make the key if there is none, present the ticket, keep the answer."""
    folder = _terminal_folder(options)
    ticket = _ticket(options)
    says = Ticket.read(ticket)
    if _enrolled_with(folder, ticket):
        told = _present_again(folder, ticket)
        print(f"terminal {says.terminal.hex()} is already enrolled with this ticket; {told}")
        return
    config, context = load_config(folder / "terminal.toml"), client_context(folder / "ca.pem")
    key = load_or_make_key(folder / "terminal.key")
    store = UplinkStore.open_or_make(folder / "uplink.db")
    try:
        if store.enrolment() is not None:
            raise AlreadyEnrolled("this terminal is enrolled by another ticket; a new life begins in an empty folder")
        link = _connect(config, context, store)
        try:
            enrolment = enrol(link, ticket, store=store, key=key, keep=partial(_keep_keys, folder), clock=CLOCK)
        finally:
            link.close()
    finally:
        store.close()
    print(
        f"terminal {enrolment.terminal.hex()} is enrolled with the {enrolment.stream.label} stream, "
        f"epoch {enrolment.epoch}"
    )


def run_daemon(options: argparse.Namespace) -> None:
    """Carry taps until SIGTERM or SIGINT."""
    folder = _terminal_folder(options)
    config, context = load_config(folder / "terminal.toml"), client_context(folder / "ca.pem")
    links = load_links(folder / "terminal.toml")
    if not (folder / "uplink.db").exists():
        raise NotEnrolled("this terminal is not enrolled; run campus-syncd enrol with a ticket first")
    store = UplinkStore.open_or_make(folder / "uplink.db")
    ring = LogRing()
    try:
        store.enrolled()
        ways = Ways(
            config,
            links,
            folder=folder,
            context=context,
            store=store,
            key=load_key(folder / "terminal.key"),
            clock=CLOCK,
            answer=Answers(folder, ring, CLOCK).answer,
        )
        daemon = Daemon(
            store=store,
            open_journal=lambda: JournalReader.open(folder / "journal.db"),
            open_routes=ways.routes,
            clock=CLOCK,
            stop=_stop_on_signals(),
            linger_s=config.linger_s,
            rng=SystemRandom(),
            overhear=ways.overhear,
            seen=ways.seen,
            beat=partial(notify, "WATCHDOG=1"),
        )
        logging.basicConfig(
            stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s uplink: %(message)s"
        )
        logging.getLogger().addHandler(ring)
        print("uplink ready", flush=True)
        notify("READY=1")
        try:
            daemon.run()
        finally:
            ways.close()
    finally:
        store.close()


def run_topup(options: argparse.Namespace) -> None:
    """Load one card with `--amount` or what it is owed, or one after the other with what is typed."""
    folder = _terminal_folder(options)
    config, context = load_config(folder / "terminal.toml"), client_context(folder / "ca.pem")
    point_config = load_point_config(folder / "terminal.toml")
    if not (folder / "uplink.db").exists():
        raise NotEnrolled("this point is not enrolled; run campus-syncd enrol with a ticket for top-up first")
    store = UplinkStore.open_or_make(folder / "uplink.db")
    try:
        enrolment = store.enrolled()
        if enrolment.stream is not Stream.TOP_UP:
            raise NotEnrolled(
                f"this terminal is enrolled with {enrolment.stream.label}; a top-up point has its own home"
            )
        desk = DeskLine(
            lambda: _connect(config, context, store),
            enrolment=enrolment,
            key=load_key(folder / "terminal.key"),
            clock=CLOCK,
        )
        try:
            point = TopUpPoint(
                store=store,
                enrolment=enrolment,
                reader=PcscReader(point_config.card_reader),
                profile=point_config.profile,
                desk=desk,
                person=JsonLines(_say, sys.stdin.readline) if options.json else Words(_say, getpass.getpass),
            )
            if options.collect:
                _load_one(point, lambda: point.collect(options.amount))
            elif options.amount is not None:
                _load_one(point, lambda: point.sell(options.amount))
            else:
                point.settle_kept()
                _sell_until_empty(point)
        finally:
            desk.close()
    finally:
        store.close()


def _load_one(point: TopUpPoint, load: Callable[[], object]) -> None:
    """One load; it ends well only once the card has it."""
    try:
        point.settle_kept()
        load()
    except KeyboardInterrupt as error:
        raise LoadFailed("stopped by hand") from error


def _sell_until_empty(point: TopUpPoint) -> None:
    """Amounts from the keyboard until an empty line, Ctrl-D or Ctrl-C; a sale that is given up ends nothing."""
    while True:
        try:
            typed = input("Amount in yuan, or r for a refund that waits (empty to end): ").strip()
        except (EOFError, KeyboardInterrupt):
            print()
            return
        if not typed:
            return
        try:
            if typed == "r":
                point.collect()
            else:
                point.sell(_parse_amount(typed))
        except (AmountUnreadable, LoadFailed) as error:
            _say(f"NOT LOADED: {words_for(error)}")
        except LoadOpen as error:
            _say(f"NOT FINISHED: {words_for(error)}")


def run_status(options: argparse.Namespace) -> None:
    """Print how things stand."""
    status = read_status(_terminal_folder(options), now_utc_s=CLOCK.utc_s())
    print(json.dumps(status.as_json(), indent=2) if options.json else "\n".join(status_lines(status)))


def run_doctor(options: argparse.Namespace) -> None:
    """Print every finding; `NotWell` after a fault."""
    folder = _terminal_folder(options)
    config, links = load_config(folder / "terminal.toml"), load_links(folder / "terminal.toml")
    faults = 0
    for finding in Doctor(config, links, folder=folder, clock=CLOCK).examine():
        print("\n".join(finding_lines(finding)), flush=True)
        faults += not finding.is_well
    if faults:
        raise NotWell(f"{faults} of the steps above {'needs' if faults == 1 else 'need'} somebody")


def _command(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    purpose: str,
    run: Callable[[argparse.Namespace], None],
    *examples: str,
) -> argparse.ArgumentParser:
    parser = commands.add_parser(
        name,
        help=purpose,
        description=purpose[0].upper() + purpose[1:] + ".",
        epilog="\n".join(["examples:", *(f"  campus-syncd {name} {words}".rstrip() for words in examples)]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--home", type=Path, default=Path("home"), metavar="H", help="the installation's folder (default: ./home)"
    )
    parser.set_defaults(run=run)
    return parser


def _amount(text: str) -> Fen:
    try:
        return _parse_amount(text)
    except AmountUnreadable as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _parse_amount(text: str) -> Fen:
    amount_fen = parse_yuan(text)
    if amount_fen == 0:
        raise AmountUnreadable("a top-up brings at least 0.01")
    return amount_fen


def _say(line: str) -> None:
    print(line, flush=True)


def _terminal_folder(options: argparse.Namespace) -> Path:
    home: Path = options.home
    return home / "terminal"


def _ticket(options: argparse.Namespace) -> bytes:
    text: str | None = options.ticket
    if text is None:
        path: Path = options.ticket_file
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, ValueError) as error:
            raise TicketUnreadable(f"{path} cannot be read: {error}") from error
    return parse_ticket_text(text)


def _keep_keys(folder: Path, gifts: Enrolled) -> None:
    save_sms_key(folder / "sms.key", gifts.sms_key)
    save_operator_key(folder / "operator.pub", gifts.operator_key)


def _enrolled_with(folder: Path, ticket: bytes) -> bool:
    """Whether this very ticket let the terminal in before; needs no lock, so it works beside a running daemon."""
    if not (folder / "uplink.db").exists():
        return False
    reader = UplinkReader.open(folder / "uplink.db")
    try:
        enrolment = reader.enrolment()
    finally:
        reader.close()
    return enrolment is not None and enrolment.ticket_digest == ticket_digest(ticket)


def _present_again(folder: Path, ticket: bytes) -> str:
    """Show the server the ticket that let this terminal in: one restored from an older backup may have forgotten."""
    config, context = load_config(folder / "terminal.toml"), client_context(folder / "ca.pem")
    key = load_key(folder / "terminal.key")
    try:
        link = _connect(config, context)
        try:
            present_ticket(link, ticket, key=key, keep=partial(_keep_keys, folder), clock=CLOCK)
        finally:
            link.close()
    except CampusError as error:
        if not heals(error):
            raise
        return f"the server could not be asked: {words_for(error)}"
    return "the server knows it"


def _connect(config: UplinkConfig, context: ClientContext, sessions: SessionKeeper | None = None) -> Link:
    link = TcpLink(config.host, config.port)
    try:
        return TlsLink(link, context, config.server_name, clock=CLOCK, sessions=sessions)
    except BaseException:
        link.close()
        raise


def _stop_on_signals() -> Event:
    """An event that SIGTERM or SIGINT sets; what then goes on for longer than `STOP_S` is cut short."""
    stop = Event()

    def ask(_number: int, _frame: FrameType | None) -> None:
        stop.set()
        signal.setitimer(signal.ITIMER_REAL, STOP_S)

    def insist(_number: int, _frame: FrameType | None) -> None:
        raise Stopped

    signal.signal(signal.SIGTERM, ask)
    signal.signal(signal.SIGINT, ask)
    signal.signal(signal.SIGALRM, insist)
    return stop


if __name__ == "__main__":
    sys.exit(main())
