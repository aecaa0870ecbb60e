"""Commands that make an installation and what goes into it: `init`, `ticket`, `import-cards`."""

from __future__ import annotations

import argparse
import secrets
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from settlement import authority
from settlement.commands.common import (
    Add,
    Host,
    UsageFault,
    add_passphrase,
    counted_cards,
    home_of,
    passphrase_path,
    read_passphrase,
    registry_writer,
    stream_of,
    terminal_of,
)
from settlement.onecard import registry, tickets
from settlement.onecard.keys import FileKeyStore
from settlement.onecard.outlets import find_outlet
from settlement.secretfile import write_secret
from settlement.settings import Home, default_settings_text, parse_settings
from settlement.store.database import migrate
from settlement.store.place import ServerPlace
from settlement.store.router import ALIASES
from settlement.store.server import make_databases
from wire.enrolment import Ticket, ticket_text
from wire.ids import Stream

_DAY_S: Final = 86_400


def add_commands(command: Add) -> None:
    """Add them."""
    text = "make keys, certificates, databases and settings, whatever of them is missing"
    init = command(
        "init",
        _init,
        text,
        "init",
        "init --home /srv/campus --passphrase-file /run/secrets/campus",
        "init --database postgresql://admin@db.campus.example/campus",
    )
    add_passphrase(init)
    init.add_argument("--database", metavar="URL", help="a PostgreSQL server for the new settings (default: SQLite)")

    text = "issue the ticket with which one terminal enrols"
    ticket = command(
        "ticket",
        _ticket,
        text,
        "ticket --terminal 000000000101 --outlet 21",
        "ticket --terminal 000000000501 --stream top-up --days 7",
    )
    ticket.add_argument("--terminal", required=True, metavar="HEX", help="the terminal's number, 12 digits")
    where = ticket.add_mutually_exclusive_group(required=True)
    where.add_argument(
        "--outlet", type=int, metavar="NUMBER", help="the outlet where it stands; its taps go to its stream"
    )
    where.add_argument(
        "--stream",
        choices=[stream.label for stream in Stream],
        help="where its taps go; it stands where it stood, or in the stream's default outlet",
    )
    ticket.add_argument("--days", type=int, default=7, help="how long it is good (default: 7)")

    text = "register cards with what is on their purses, all of a file or none"
    cards = command("import-cards", _import_cards, text, "import-cards cards.csv")
    cards.add_argument("file", type=Path, help=f"CSV with the header {','.join(registry.COLUMNS)}")


def _init(args: argparse.Namespace, host: Host) -> int:
    home = Home(args.home)
    now = datetime.fromtimestamp(host.utc_s(), UTC)
    home.root.mkdir(parents=True, exist_ok=True)
    home.folder.mkdir(mode=0o700, exist_ok=True)  # the databases hold card numbers
    home.authority.mkdir(exist_ok=True)
    made = []
    if not home.settings.exists():
        text = default_settings_text() + (f'\n[database]\nurl = "{args.database}"\n' if args.database else "")
        parse_settings(text)
        write_secret(home.settings, text.encode())  # the url may hold the administrator's password
        made.append("settings")
    if authority.make_authority(home.authority, now):
        made.append("certificate authority")
    if authority.make_server_certificate(home.authority, now):
        made.append("server certificate")
    if authority.make_ticket_key(home.ticket_key, home.ticket_public_key):
        made.append("ticket key")
    if not home.sealed_keys.exists():
        named = passphrase_path(home, args, host)
        if named == home.passphrase and not named.exists():
            write_secret(named, secrets.token_urlsafe(32).encode() + b"\n")
            made.append("passphrase")
        FileKeyStore.create(home.sealed_keys, read_passphrase(named))
        made.append("issuer keys")
    if not home.web_token.exists():
        write_secret(home.web_token, secrets.token_urlsafe(32).encode() + b"\n")
        made.append("web token")
    made += [f"{alias} database" for alias in _make_databases(home_of(args), args.database)]
    print(f"{home.folder}: " + (f"made {', '.join(made)}" if made else "everything was there already"))
    return 0


def _make_databases(home: Home, wanted_url: str | None) -> list[str]:
    """The names of those that were made or changed."""
    if wanted_url not in (None, home.database_url):
        raise UsageFault(f"{home.settings} is there already; name the server in it, in a section [database]")
    places = {alias: home.place(alias) for alias in ALIASES}
    made = [alias for alias, place in places.items() if isinstance(place, Path) and migrate(place, alias)]
    return made + make_databases([place for place in places.values() if isinstance(place, ServerPlace)])


def _ticket(args: argparse.Namespace, host: Host) -> int:
    home = home_of(args)
    terminal = terminal_of(args.terminal)
    if not 0 < args.days <= 365:
        raise UsageFault("--days must be from 1 to 365")
    key = authority.load_ticket_key(home.ticket_key)
    now_utc_s = host.utc_s()
    with registry_writer(home, host) as db:
        stream = stream_of(args.stream) if args.outlet is None else find_outlet(db, args.outlet).stream
        epoch = tickets.give_epoch(db, terminal, stream=stream, outlet=args.outlet, now_utc_s=now_utc_s)
    ticket = Ticket(terminal=terminal, stream=stream, epoch=epoch, expires_utc_s=now_utc_s + args.days * _DAY_S)
    print(ticket_text(ticket.issue(key)))
    return 0


def _import_cards(args: argparse.Namespace, host: Host) -> int:
    openings = registry.read_cards(args.file)
    with registry_writer(home_of(args), host) as db:
        result = registry.import_cards(db, openings, now_utc_s=host.utc_s())
    were = "was" if result.existed == 1 else "were"
    print(f"{counted_cards(result.created)} registered, {result.existed} {were} there already")
    return 0
