"""Commands on single cards and terminals: `hotlist`, `ask`."""

from __future__ import annotations

import argparse
import json

from settlement.commands.common import (
    Add,
    Host,
    UsageFault,
    add_json,
    counted_cards,
    home_of,
    registry_writer,
    terminal_of,
)
from settlement.onecard import hotlist, registry
from settlement.onecard.requests import put_request
from settlement.store.database import open_reader
from settlement.store.router import ONECARD
from settlement.streams.answers import answers_json, answers_text, read_answers
from wire.downlink import Question


def add_commands(command: Add) -> None:
    """Add them."""
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
    add_json(listed)

    text = "ask a terminal for its status or the last lines of its log, or show what it answered"
    examples = ("ask 000000000101 status", "ask 000000000101 log", "ask 000000000101 --json")
    ask = command("ask", _ask, text, *examples)
    add_json(ask)
    ask.add_argument("terminal", metavar="HEX", help="the terminal's number, 12 digits")
    ask.add_argument("what", nargs="?", choices=[what.name.lower() for what in Question], help="else: show the answers")


def _hotlist(args: argparse.Namespace, host: Host) -> int:
    home = home_of(args)
    if args.action == "list":
        with open_reader(home.place(ONECARD), ONECARD) as db:
            current = hotlist.read_hotlist(db)
        cards = [str(card) for card in sorted(current.cards)]
        if args.json:
            print(json.dumps({"version": current.version, "cards": cards}))
        else:
            print(f"version {current.version}: {counted_cards(len(cards))}", *cards, sep="\n")
        return 0
    if args.issuer is None or args.asn is None:
        raise UsageFault(f"hotlist {args.action} needs ISSUER and ASN")
    try:
        card = registry.parse_card(args.issuer, args.asn)
    except ValueError as error:
        raise UsageFault(str(error)) from error
    with registry_writer(home, host) as db:
        changed = hotlist.list_card(db, card, listed=args.action == "add", reason=args.reason, now_utc_s=host.utc_s())
        version = hotlist.read_version(db)
    print(f"card {card}: " + (f"changed, the hotlist is version {version} now" if changed else "nothing to change"))
    return 0


def _ask(args: argparse.Namespace, host: Host) -> int:
    home, terminal = home_of(args), terminal_of(args.terminal)
    if args.what is None:
        found = read_answers(home, terminal)
        print(json.dumps(answers_json(found)) if args.json else answers_text(found, terminal))
        return 0
    with registry_writer(home, host) as db:
        asked = put_request(db, terminal, Question[args.what.upper()], now_utc_s=host.utc_s())
    if args.json:
        print(json.dumps({"request": asked.number, "terminal": terminal.hex(), "what": args.what}))
        return 0
    print(f"request {asked.number}: terminal {terminal.hex()} is asked for its {args.what} as soon as it is connected")
    return 0
