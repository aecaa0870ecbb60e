"""The `campus-settlement` command: reads configuration, environment and clock, and wires the processes together."""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import secrets
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Protocol

from settlement import authority
from settlement.ledger.pull import JournalSource, LoadSource, OpeningSource, StreamSource, pull_round
from settlement.ledger.store import Posted
from settlement.ledger.unknown import Unsettled
from settlement.onecard import hotlist, registry, tickets
from settlement.onecard.configuration import (
    ConfigurationInvalid,
    configuration_text,
    parse_configuration,
    put_configuration,
)
from settlement.onecard.desk import LoadLimits, TopupDesk
from settlement.onecard.keys import FileKeyStore, PassphraseUnreadable
from settlement.onecard.requests import put_request
from settlement.report import read_report, report_json, report_text
from settlement.secretfile import write_secret, write_whole
from settlement.serve import FAULT_MARK, SUPERVISED_ENV, Notice, programs_of, supervise
from settlement.settings import (
    Home,
    Settings,
    SettingsInvalid,
    StreamSettings,
    default_settings_text,
    parse_settings,
)
from settlement.store.database import Database, migrate, open_reader, open_writer
from settlement.store.lock import DatabaseInUse
from settlement.store.router import ALIASES, LEDGER, ONECARD, TOPUP
from settlement.streams.answers import answers_text, read_answers
from settlement.streams.desk import Desk, WriterThread
from settlement.streams.door import Door
from settlement.streams.gateway import Gateway
from settlement.streams.sms import SmsDoor
from wire.downlink import Question
from wire.enrolment import Ticket, ticket_text
from wire.errors import CampusError
from wire.ids import CONSUMPTION_STREAMS, TERMINAL_ID_BYTES, Stream, TerminalId

PASSPHRASE_ENV: Final = "CAMPUS_PASSPHRASE_FILE"
_POLL_S: Final = 0.2  # how long a tap waits for the ledger at most, when nothing else waits
_FAULT_POLL_S: Final = 2.0  # a source that cannot be read is tried less often
_LOCK_WAIT_S: Final = 10.0  # two commands on the card registry at once wait for each other
_DAY_S: Final = 86_400

_log: Final = logging.getLogger("settlement")


class UsageFault(Exception):
    """An argument that argparse cannot judge; the text says what is wrong."""


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="campus-settlement",
        description="The settlement server: streams that take the terminals' taps, and the ledger that books them.",
        epilog="examples:\n  campus-settlement init\n  campus-settlement serve",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    add = _adder(commands)
    _add_operator_commands(add)
    _add_processes(add)
    return parser


class _Add(Protocol):
    def __call__(
        self, name: str, run: Callable[[argparse.Namespace], int], text: str, *examples: str
    ) -> argparse.ArgumentParser: ...


def _adder(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> _Add:
    """What adds one command with its help."""

    def command(
        name: str, run: Callable[[argparse.Namespace], int], text: str, *examples: str
    ) -> argparse.ArgumentParser:
        sub = commands.add_parser(
            name,
            help=text,
            description=text[0].upper() + text[1:] + ".",
            epilog="\n  ".join(("examples:", *(f"campus-settlement {example}" for example in examples))),
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        sub.add_argument("--home", type=Path, default=Path("home"), help="the installation's folder (default: ./home)")
        sub.set_defaults(run=run)
        return sub

    return command


def _add_operator_commands(command: _Add) -> None:
    text = "make keys, certificates, databases and settings, whatever of them is missing"
    init = command("init", _init, text, "init", "init --home /srv/campus --passphrase-file /run/secrets/campus")
    _add_passphrase(init)

    text = "issue the ticket with which one terminal enrols"
    ticket = command("ticket", _ticket, text, "ticket --terminal 000000000101 --stream canteen --days 7")
    ticket.add_argument("--terminal", required=True, metavar="HEX", help="the terminal's number, 12 digits")
    ticket.add_argument(
        "--stream", required=True, choices=[stream.label for stream in Stream], help="where its taps go"
    )
    ticket.add_argument("--days", type=int, default=7, help="how long it is good (default: 7)")

    text = "register cards with what is on their purses, all of a file or none"
    cards = command("import-cards", _import_cards, text, "import-cards cards.csv")
    cards.add_argument("file", type=Path, help=f"CSV with the header {','.join(registry.COLUMNS)}")

    text = "show or change the list of cards that terminals refuse"
    listed = command(
        "hotlist",
        _hotlist,
        text,
        "hotlist add ISSUER ASN --reason lost",
        "hotlist remove ISSUER ASN",
        "hotlist list --json",
    )
    listed.add_argument("action", choices=["add", "remove", "list"])
    listed.add_argument("issuer", nargs="?", help="16 digits")
    listed.add_argument("asn", nargs="?", help="20 digits")
    listed.add_argument("--reason", default="lost", help="kept with the change (default: lost)")
    listed.add_argument("--json", action="store_true", help="for scripts")

    text = "put limit, prices and meal periods of a stream's terminals in force, signed with the operator's key"
    configure = command("configure", _configure, text, "configure canteen canteen.toml")
    configure.add_argument("stream", choices=[stream.label for stream in CONSUMPTION_STREAMS])
    configure.add_argument("file", type=Path, help="TOML with tap_fen_max, [[prices]] and [[periods]]")

    text = "ask a terminal for its status or the last lines of its log, or show what it answered"
    ask = command("ask", _ask, text, "ask 000000000101 status", "ask 000000000101 log", "ask 000000000101")
    ask.add_argument("terminal", metavar="HEX", help="the terminal's number, 12 digits")
    ask.add_argument("what", nargs="?", choices=[what.name.lower() for what in Question], help="else: show the answers")

    text = "show balances, money on its way, suspense, and which taps of each terminal are here and which are missing"
    report = command("report", _report, text, "report", "report --resolved", "report --json | python -m json.tool")
    report.add_argument("--resolved", action="store_true", help="also what was settled from cards' counters, and why")
    report.add_argument("--json", action="store_true", help="for scripts")


def _add_processes(command: _Add) -> None:
    text = "run all that the settings name: streams, top-up desk and ledger, each a process that is started again"
    serve = command("serve", _serve_all, text, "serve", "serve --home /srv/campus --json")
    _add_passphrase(serve)
    serve.add_argument("--json", action="store_true", help="a line of JSON for whatever happens, for scripts")

    text = "run one stream: its port and its database"
    stream = command("stream", _stream, text, "stream canteen", "stream tuition --home /srv/campus")
    stream.add_argument("stream", choices=[stream.label for stream in CONSUMPTION_STREAMS])
    _add_passphrase(stream)

    text = "run the top-up desk: grant loads to cards, and learn what became of them"
    _add_passphrase(command("top-up", _top_up, text, "top-up"))

    command("ledger", _ledger, "run the ledger: pull what streams and card registry recorded, and post it", "ledger")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; 0 when it did what was asked, 1 for a fault that it names, 2 for wrong usage.

    `report` of a ledger that is out of balance is such a fault, too.
    """
    args = build_parser().parse_args(argv)
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(message)s")
    run: Callable[[argparse.Namespace], int] = args.run
    try:
        return run(args)
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


def _add_passphrase(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--passphrase-file",
        type=Path,
        help=f"what opens the issuer keys (default: ${PASSPHRASE_ENV}, else settlement/passphrase in the home folder)",
    )


def _init(args: argparse.Namespace) -> int:
    home = Home(args.home)
    now = datetime.now(UTC)
    home.root.mkdir(parents=True, exist_ok=True)
    home.folder.mkdir(mode=0o700, exist_ok=True)  # the databases hold card numbers
    home.authority.mkdir(exist_ok=True)
    made = []
    if not home.settings.exists():
        write_whole(home.settings, default_settings_text().encode())
        made.append("settings")
    if authority.make_authority(home.authority, now):
        made.append("certificate authority")
    if authority.make_server_certificate(home.authority, now):
        made.append("server certificate")
    if authority.make_ticket_key(home.ticket_key, home.ticket_public_key):
        made.append("ticket key")
    if not home.sealed_keys.exists():
        named = _passphrase_path(home, args.passphrase_file)
        if named == home.passphrase and not named.exists():
            write_secret(named, secrets.token_urlsafe(32).encode() + b"\n")
            made.append("passphrase")
        FileKeyStore.create(home.sealed_keys, _read_passphrase(named))
        made.append("issuer keys")
    made += [f"{alias} database" for alias in ALIASES if migrate(home.database(alias), alias)]
    print(f"{home.folder}: " + (f"made {', '.join(made)}" if made else "everything was there already"))
    return 0


def _ticket(args: argparse.Namespace) -> int:
    home = Home(args.home)
    terminal = _terminal(args.terminal)
    if not 0 < args.days <= 365:
        raise UsageFault("--days must be from 1 to 365")
    key = authority.load_ticket_key(home.ticket_key)
    stream, now_utc_s = _stream_of(args.stream), _utc_s()
    with _registry_writer(home) as db:
        epoch = tickets.give_epoch(db, terminal, stream=stream, now_utc_s=now_utc_s)
    ticket = Ticket(terminal=terminal, stream=stream, epoch=epoch, expires_utc_s=now_utc_s + args.days * _DAY_S)
    print(ticket_text(ticket.issue(key)))
    return 0


def _import_cards(args: argparse.Namespace) -> int:
    openings = registry.read_cards(args.file)
    with _registry_writer(Home(args.home)) as db:
        result = registry.import_cards(db, openings, now_utc_s=_utc_s())
    were = "was" if result.existed == 1 else "were"
    print(f"{_cards(result.created)} registered, {result.existed} {were} there already")
    return 0


def _hotlist(args: argparse.Namespace) -> int:
    home = Home(args.home)
    if args.action == "list":
        with open_reader(home.database(ONECARD), ONECARD) as db:
            current = hotlist.read_hotlist(db)
        cards = [str(card) for card in sorted(current.cards)]
        if args.json:
            print(json.dumps({"version": current.version, "cards": cards}))
        else:
            print(f"version {current.version}: {_cards(len(cards))}", *cards, sep="\n")
        return 0
    if args.issuer is None or args.asn is None:
        raise UsageFault(f"hotlist {args.action} needs ISSUER and ASN")
    try:
        card = registry.parse_card(args.issuer, args.asn)
    except ValueError as error:
        raise UsageFault(str(error)) from error
    with _registry_writer(home) as db:
        changed = hotlist.list_card(db, card, listed=args.action == "add", reason=args.reason, now_utc_s=_utc_s())
        version = hotlist.read_version(db)
    print(f"card {card}: " + (f"changed, the hotlist is version {version} now" if changed else "nothing to change"))
    return 0


def _configure(args: argparse.Namespace) -> int:
    home = Home(args.home)
    try:
        text = args.file.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise ConfigurationInvalid(f"{args.file} cannot be read: {error}") from error
    wanted = parse_configuration(text, _stream_of(args.stream))
    with _registry_writer(home) as db:
        made = put_configuration(db, wanted, authority.load_ticket_key(home.ticket_key), now_utc_s=_utc_s())
    print(configuration_text(made))
    return 0


def _ask(args: argparse.Namespace) -> int:
    home, terminal = Home(args.home), _terminal(args.terminal)
    if args.what is None:
        print(answers_text(read_answers(home, terminal), terminal))
        return 0
    with _registry_writer(home) as db:
        asked = put_request(db, terminal, Question[args.what.upper()], now_utc_s=_utc_s())
    print(f"request {asked.number}: terminal {terminal.hex()} is asked for its {args.what} as soon as it is connected")
    return 0


def _serve_all(args: argparse.Namespace) -> int:
    home = Home(args.home)
    programs = programs_of(_read_settings(home), home.root, args.passphrase_file)

    def tell(notice: Notice) -> None:
        with suppress(OSError):  # nobody reads any more; what is told of goes on
            print(notice.as_json() if args.json else notice, flush=True)

    async def run() -> bool:
        return await supervise(programs, _stop_asked(), tell=tell, monotonic_s=time.monotonic)

    return 0 if asyncio.run(run()) else 1


def _stream(args: argparse.Namespace) -> int:
    home, stream = Home(args.home), _stream_of(args.stream)
    settings = _read_settings(home).checked(f"streams.{stream.label}")
    if stream not in settings.streams:
        raise SettingsInvalid(f"settlement.toml has no [streams.{stream.label}]")
    keys, door = _keys(home, args), _door(home, stream)

    def open_desk() -> Desk:
        db, onecard = _open_pair(home, stream.label)
        return Desk(stream=stream, db=db, onecard=onecard, keys=keys, door=door, clock=_utc_s)

    def open_sms(writer: WriterThread) -> SmsDoor | None:
        if settings.sms is None:
            return None
        return SmsDoor(
            stream=stream,
            served=settings.served,
            settings=settings.sms,
            aside=home.sms_aside,
            writer=writer,
            monotonic=time.monotonic,
        )

    _run_gateway(home, stream, settings.streams[stream], door, open_desk, open_sms)
    return 0


def _top_up(args: argparse.Namespace) -> int:
    home = Home(args.home)
    settings = _read_settings(home).checked("top-up").top_up
    if settings is None:
        raise SettingsInvalid("settlement.toml has no [top-up]")
    keys, door = _keys(home, args), _door(home, Stream.TOP_UP)
    limits = LoadLimits(load_fen_max=settings.load_fen_max, purse_fen_max=settings.purse_fen_max)

    def open_desk() -> Desk:
        db, onecard = _open_pair(home, TOPUP)
        return TopupDesk(
            db=db, onecard=onecard, keys=keys, door=door, clock=_utc_s, limits=limits, random=secrets.token_bytes
        )

    _run_gateway(home, Stream.TOP_UP, settings, door, open_desk)
    return 0


def _keys(home: Home, args: argparse.Namespace) -> FileKeyStore:
    return FileKeyStore.open(home.sealed_keys, _read_passphrase(_passphrase_path(home, args.passphrase_file)))


def _door(home: Home, stream: Stream) -> Door:
    return Door(stream=stream, ticket_key=authority.load_ticket_public_key(home.ticket_public_key))


def _open_pair(home: Home, alias: str) -> tuple[Database, Database]:
    """A gateway's own database to write, and the card registry to read."""
    db = open_writer(home.database(alias), alias)
    try:
        return db, open_reader(home.database(ONECARD), ONECARD)
    except CampusError:
        db.close()
        raise


def _run_gateway(
    home: Home,
    stream: Stream,
    settings: StreamSettings,
    door: Door,
    open_desk: Callable[[], Desk],
    open_sms: Callable[[WriterThread], SmsDoor | None] = lambda _: None,
) -> None:
    writer = WriterThread(
        open_desk, queue_max=settings.queue_max, deadline_s=settings.deadline_s, monotonic=time.monotonic
    )
    gateway = Gateway(
        stream=stream,
        settings=settings,
        tls=authority.server_context(home.authority),
        door=door,
        writer=writer,
        clock=_utc_s,
        random=secrets.token_bytes,
        sms=open_sms(writer),
    )
    asyncio.run(_serve(gateway))


async def _serve(gateway: Gateway) -> None:
    """Serve until SIGTERM or SIGINT. The printed line tells whoever started this that it is ready."""
    stop = _stop_asked()
    port = await gateway.start()
    print(f"listening on {gateway.settings.host}:{port}", flush=True)
    await stop.wait()
    await gateway.stop()


def _stop_asked() -> asyncio.Event:
    """Set by SIGTERM or SIGINT."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    return stop


def _ledger(args: argparse.Namespace) -> int:
    """Pull until SIGTERM or SIGINT. The printed line tells whoever started this that it is ready."""
    home = Home(args.home)
    settings = _read_settings(home).checked("ledger")
    openings = OpeningSource(home.database(ONECARD))
    sources: list[JournalSource] = [
        StreamSource(home.database(stream.label), stream) for stream in sorted(settings.served)
    ]
    sources.append(LoadSource(home.database(TOPUP)))
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    with open_writer(home.database(LEDGER), LEDGER) as db:
        print("ledger ready", flush=True)
        _pull_until(stop, db, openings, sources, Unsettled(outage_s=settings.ledger.outage_s))
    openings.close()
    for source in sources:
        source.close()
    return 0


def _pull_until(
    stop: threading.Event,
    db: Database,
    openings: JournalSource,
    sources: Sequence[JournalSource],
    unsettled: Unsettled,
) -> None:
    told: dict[str, str] = {}
    while not stop.is_set():
        outcome = pull_round(db, openings, sources)
        try:
            if settled := unsettled.settle(db, now_utc_s=_utc_s(), complete=outcome.complete):
                _log.info("ledger: %d unknown taps settled from their cards' counters", settled)
        except CampusError as error:
            outcome.faults["suspense"] = error
        faults = {name: f"{error.code}: {error}" for name, error in outcome.faults.items()}
        for name in faults.keys() | told.keys():
            if faults.get(name) != told.get(name):  # once when it begins or changes, once when it ends
                _log.warning("ledger: %s: %s", name, faults.get(name, "can be read again"))
        told = faults
        if differ := outcome.posted[Posted.EXISTS_WITH_DIFFERENT_AMOUNT]:
            _log.error("ledger: ALARM: %d taps or loads came again with other content; they are in suspense", differ)
        if outcome.rows == 0:
            stop.wait(_FAULT_POLL_S if len(faults) == len(sources) + 1 else _POLL_S)


def _report(args: argparse.Namespace) -> int:
    home = Home(args.home)
    report = read_report(home, now_utc_s=_utc_s(), outage_s=_read_settings(home).checked("ledger").ledger.outage_s)
    if args.json:
        print(json.dumps(report_json(report, resolved=args.resolved)))
    else:
        print(report_text(report, resolved=args.resolved), end="")
    return 1 if report.unbalanced else 0  # whatever else is wrong has its place in the books; this never has


def _registry_writer(home: Home) -> Database:
    """The card registry, for one command; waits for another command to finish with it."""
    deadline_s = time.monotonic() + _LOCK_WAIT_S
    while True:
        try:
            return open_writer(home.database(ONECARD), ONECARD)
        except DatabaseInUse:
            if time.monotonic() > deadline_s:
                raise
            time.sleep(0.05)  # a file lock tells nobody when it is free


def _read_settings(home: Home) -> Settings:
    try:
        return parse_settings(home.settings.read_text())
    except OSError as error:
        raise SettingsInvalid(f"{home.settings} cannot be read; `campus-settlement init` makes it") from error


def _passphrase_path(home: Home, named: Path | None) -> Path:
    if named is not None:
        return named
    from_environment = os.environ.get(PASSPHRASE_ENV)
    return Path(from_environment) if from_environment else home.passphrase


def _read_passphrase(path: Path) -> bytes:
    try:
        passphrase = path.read_bytes().strip()
    except OSError as error:
        raise PassphraseUnreadable(f"the passphrase file {path} cannot be read: {error.strerror}") from error
    if not passphrase:
        raise PassphraseUnreadable(f"the passphrase file {path} is empty")
    return passphrase


def _terminal(text: str) -> TerminalId:
    try:
        terminal = bytes.fromhex(text)
    except ValueError:
        terminal = b""
    if len(terminal) != TERMINAL_ID_BYTES:
        raise UsageFault(f"a terminal's number has {2 * TERMINAL_ID_BYTES} hexadecimal digits")
    return TerminalId(terminal)


def _cards(count: int) -> str:
    return f"{count} {'card' if count == 1 else 'cards'}"


def _stream_of(label: str) -> Stream:
    return next(stream for stream in Stream if stream.label == label)


def _utc_s() -> int:
    return int(time.time())


if __name__ == "__main__":
    sys.exit(main())
