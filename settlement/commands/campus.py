"""Commands on merchants, outlets and terminals: `configure`, `assign`, `merchants`, `outlets`, `terminals`."""

from __future__ import annotations

import argparse
import json
from datetime import date, datetime
from pathlib import Path

from settlement import authority
from settlement.commands.common import (
    Add,
    Host,
    UsageFault,
    add_json,
    home_of,
    registry_writer,
    terminal_of,
)
from settlement.onecard.campusfile import ConfigurationInvalid, parse_campus
from settlement.onecard.changes import change_lines
from settlement.onecard.configuration import (
    Changes,
    find_changes,
    put_changes,
    read_configurations,
    read_history,
    unknown_staff,
)
from settlement.onecard.doubts import doubt_lines
from settlement.onecard.outlets import assign, find_outlet, read_book, read_merchants, read_outlets
from settlement.onecard.tickets import read_last_tickets
from settlement.store.database import Database, open_reader
from settlement.store.router import ONECARD
from wire.configuration import Configuration, Name
from wire.ids import CONSUMPTION_STREAMS, mask_asn
from wire.record import CAMPUS_ZONE


def add_commands(command: Add) -> None:
    """Add them."""
    text = "put in force what a file says of merchants, outlets and their terminals, and say what that changes"
    configure = command("configure", _configure, text, "configure campus.toml --dry-run", "configure campus.toml")
    configure.add_argument("file", type=Path, help="TOML with [[merchants]] and [[outlets]]")
    configure.add_argument("--dry-run", action="store_true", help="only judge the file and say what it would change")
    add_json(configure)

    text = "let a terminal stand in an outlet, from now or from the beginning of a day on"
    moved = command("assign", _assign, text, "assign 000000000101 21", "assign 000000000101 21 --from 2027-02-15")
    moved.add_argument("terminal", metavar="TERMINAL", help="the terminal's number, 12 digits")
    moved.add_argument("outlet", type=int, metavar="OUTLET", help="the outlet's number")
    moved.add_argument("--from", dest="since", metavar="DATE", help="a day to come, campus time (default: now)")

    text = "list the merchants with their outlets"
    add_json(command("merchants", _merchants, text, "merchants", "merchants --json"))

    text = "list the outlets with what is in force there, or every version of one with what it changed"
    outlets = command("outlets", _outlets, text, "outlets", "outlets 21", "outlets --json")
    outlets.add_argument("outlet", type=int, nargs="?", metavar="OUTLET", help="only this one, with its history")
    add_json(outlets)

    text = "list the terminals with the outlet where each stands, and where it will"
    add_json(command("terminals", _terminals, text, "terminals", "terminals --json"))


def _configure(args: argparse.Namespace, host: Host) -> int:
    home = home_of(args)
    try:
        text = args.file.read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        raise ConfigurationInvalid(f"{args.file} cannot be read: {error}") from error
    file = parse_campus(text)
    if args.dry_run:
        with open_reader(home.place(ONECARD), ONECARD) as db:
            changes = find_changes(db, file)
            doubts = _doubts(db, changes)
    else:
        with registry_writer(home, host) as db:
            changes = put_changes(db, file, authority.load_ticket_key(home.ticket_key), now_utc_s=host.utc_s())
            doubts = _doubts(db, changes)
    if args.json:
        print(json.dumps(_changes_json(changes, doubts, in_force=not args.dry_run)))
        return 0
    lines = _changes_text(changes)
    lines += [f"LOOK AGAIN: outlet {outlet}: {doubt}" for outlet, told in doubts.items() for doubt in told]
    end = "nothing was put in force: --dry-run" if args.dry_run else "in force; connected terminals have it in seconds"
    print("\n".join((*lines, end)) if lines else "the file says what is in force already")
    return 0


def _doubts(db: Database, changes: Changes) -> dict[int, list[str]]:
    """What may not be meant, by outlet."""
    found = {}
    for change in changes.outlets:
        found[change.after.outlet] = doubt_lines(change.before, change.after) + [
            f"staff card {mask_asn(member.card.asn)} of {member.name} is not registered; see import-cards"
            for member in unknown_staff(db, change)
        ]
    return found


def _changes_json(changes: Changes, doubts: dict[int, list[str]], *, in_force: bool) -> dict[str, object]:
    return {
        "in_force": in_force,
        "merchants": [merchant.number for merchant in changes.merchants],
        "outlets": [
            {
                "outlet": change.after.outlet,
                "is_new": change.is_new,
                "version": change.after.version,
                "changes": change_lines(change.before, change.after),
                "doubts": doubts[change.after.outlet],
            }
            for change in changes.outlets
        ],
    }


def _changes_text(changes: Changes) -> list[str]:
    lines = []
    for merchant in changes.merchants:
        was = "is new" if merchant.before is None else f"was {_both(merchant.before)}"
        lines.append(f"merchant {merchant.number} {_both(merchant.after)}: {was}")
    for change in changes.outlets:
        after = change.after
        version = f"version {after.version}" + (", a new outlet" if change.is_new else "")
        lines.append(
            f"outlet {after.outlet} {_both(after.outlet_name)}"
            f" ({after.stream.label}, merchant {change.outlet.merchant}): {version}"
        )
        lines += [f"  {line}" for line in change_lines(change.before, after)]
    return lines


def _assign(args: argparse.Namespace, host: Host) -> int:
    terminal, now_utc_s = terminal_of(args.terminal), host.utc_s()
    from_utc_s = now_utc_s if args.since is None else _midnight(args.since)
    with registry_writer(home_of(args), host) as db:
        changed = assign(db, terminal, args.outlet, from_utc_s=from_utc_s, now_utc_s=now_utc_s)
    since = "now" if args.since is None else args.since
    words = f"stands in outlet {args.outlet} from {since} on" if changed else f"stands in outlet {args.outlet} already"
    print(f"terminal {terminal.hex()} {words}")
    return 0


def _midnight(text: str) -> int:
    try:
        day = date.fromisoformat(text)
    except ValueError as error:
        raise UsageFault(f"--from {text!r} is no day such as 2027-02-15") from error
    return int(datetime(day.year, day.month, day.day, tzinfo=CAMPUS_ZONE).timestamp())


def _merchants(args: argparse.Namespace, _: Host) -> int:
    with open_reader(home_of(args).place(ONECARD), ONECARD) as db:
        merchants, outlets = read_merchants(db), read_outlets(db)
    rows = [
        {
            "merchant": merchant.number,
            "name": merchant.name.zh,
            "name_en": merchant.name.english,
            "outlets": [outlet.number for outlet in outlets if outlet.merchant == merchant.number],
        }
        for merchant in merchants.values()
    ]
    if args.json:
        print(json.dumps(rows))
        return 0
    for merchant in merchants.values():
        numbers = [str(outlet.number) for outlet in outlets if outlet.merchant == merchant.number]
        print(f"{merchant.number:>5}  {_both(merchant.name)}  outlets: {', '.join(numbers) or 'none'}")
    return 0


def _outlets(args: argparse.Namespace, _: Host) -> int:
    with open_reader(home_of(args).place(ONECARD), ONECARD) as db:
        if args.outlet is not None:
            return _history(db, args.outlet, as_json=args.json)
        outlets, merchants, present = read_outlets(db), read_merchants(db), read_configurations(db)
    rows = []
    for outlet in outlets:
        configuration = present.get(outlet.number)
        name = merchants[outlet.merchant].name if configuration is None else configuration.outlet_name
        rows.append(
            {
                "outlet": outlet.number,
                "stream": outlet.stream.label,
                "merchant": outlet.merchant,
                "name": name.zh,
                "name_en": name.english,
                "version": 0 if configuration is None else configuration.version,
                "products": 0 if configuration is None else len(configuration.products),
                "periods": 0 if configuration is None else len(configuration.periods),
            }
        )
    if args.json:
        print(json.dumps(rows))
        return 0
    for row in rows:
        version = f"version {row['version']}" if row["version"] else "not configured: its tills go by terminal.toml"
        print(f"{row['outlet']:>5}  {row['stream']:<12}{row['name']}  merchant {row['merchant']}  {version}")
    return 0


def _history(db: Database, number: int, *, as_json: bool) -> int:
    """Every version of one outlet with what it changed, the newest last."""
    outlet = find_outlet(db, number)
    before: Configuration | None = None
    rows: list[dict[str, object]] = []
    lines = [f"outlet {number} ({outlet.stream.label}, merchant {outlet.merchant})"]
    for made_at_utc_s, configuration in read_history(db, number):
        changes = change_lines(before, configuration)
        rows.append({"version": configuration.version, "made_at_utc_s": made_at_utc_s, "changes": changes})
        lines += [f"version {configuration.version}, {_local(made_at_utc_s)}", *(f"  {line}" for line in changes)]
        before = configuration
    if as_json:
        print(json.dumps({"outlet": number, "merchant": outlet.merchant, "versions": rows}))
    else:
        print(*lines, *([] if rows else ["not configured: its tills go by terminal.toml"]), sep="\n")
    return 0


def _terminals(args: argparse.Namespace, host: Host) -> int:
    now_utc_s = host.utc_s()
    with open_reader(home_of(args).place(ONECARD), ONECARD) as db:
        book, tickets = read_book(db), read_last_tickets(db)
    rows: list[dict[str, object]] = []
    lines = []
    for ticket in tickets:
        serial = ticket.terminal.hex()
        row: dict[str, object] = {"terminal": serial, "stream": ticket.stream.label, "epoch": ticket.epoch}
        line = f"{serial}  {ticket.stream.label:<12}epoch {ticket.epoch}"
        if ticket.stream in CONSUMPTION_STREAMS:
            outlet = book.outlet_at(ticket.terminal, ticket.stream, now_utc_s)
            later = [move for move in book.assignments.get(ticket.terminal, ()) if move.from_utc_s > now_utc_s]
            row |= {"outlet": outlet.number, "merchant": outlet.merchant}
            row["moves"] = [{"outlet": move.outlet, "from_utc_s": move.from_utc_s} for move in later]
            line += f"  outlet {outlet.number}  merchant {outlet.merchant}"
            line += "".join(f"  outlet {move.outlet} from {_local(move.from_utc_s)}" for move in later)
        rows.append(row)
        lines.append(line)
    print(json.dumps(rows) if args.json else "\n".join(lines) or "no terminal was given a ticket yet")
    return 0


def _both(name: Name) -> str:
    return f"{name.zh} ({name.en})" if name.en else name.zh


def _local(utc_s: int) -> str:
    return f"{datetime.fromtimestamp(utc_s, CAMPUS_ZONE):%Y-%m-%d %H:%M}"
