"""Commands by which people decide about the books: `suspense`, `confirm`, `declare-finished`, `close-day`.

A command writes the decision down; the ledger carries it out: the one that runs, or, while none does, the command
itself in its place.
"""

from __future__ import annotations

import argparse
import json
import secrets
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from datetime import date, datetime
from typing import Final

from settlement.commands.common import (
    Add,
    Host,
    UsageFault,
    add_json,
    command_writer,
    home_of,
    read_settings,
    terminal_of,
)
from settlement.commands.processes import ledger_keeper
from settlement.ledger import decide
from settlement.ledger.days import closes, first_day_of, last_close
from settlement.ledger.decide import Result, find_carried, find_item, proposals
from settlement.ledger.entries import SuspenseItem, accounting_day, date_of, day_of, next_day
from settlement.ledger.shifts import shift_alarms
from settlement.ledger.store import OpenSuspense, open_suspense
from settlement.ledger.ways import How, ways_of, words_of
from settlement.office import KEY_BYTES, Action, DecisionInvalid, find_decision, new_decision, put_decision
from settlement.onecard.registry import parse_card
from settlement.report import REASONS
from settlement.settings import Home
from settlement.store.database import Database, open_reader, open_writer
from settlement.store.lock import DatabaseInUse
from settlement.store.router import LEDGER, OFFICE
from wire.errors import CampusError
from wire.money import format_fen
from wire.record import CAMPUS_ZONE

_CARRIED_S_MAX: Final = 30.0  # a turn of the ledger takes a second at the most
_CLOSED_S_MAX: Final = 600.0  # a day of a large campus takes seconds, a month of them minutes
_POLL_S: Final = 0.1
_DAY_S: Final = 86_400


class DecisionWaits(CampusError):
    """The decision is kept, but the ledger has not carried it out yet; the text says what it waits for."""

    code = "decision-waits"
    retryable = True


def add_commands(command: Add) -> None:
    """Add them."""
    text = "show what waits for an explanation, or propose how to resolve an item"
    suspense = command(
        "suspense",
        _suspense,
        text,
        "suspense list",
        "suspense show 17",
        'suspense resolve 17 --how write-off --reason "till 3 was tested" --by "Li Na"',
        'suspense resolve 18 --how assign --to ISSUER ASN --reason "replaced card" --by "Li Na"',
    )
    suspense.add_argument("action", choices=["list", "show", "resolve"])
    suspense.add_argument("item", nargs="?", type=int, help="the item's number")
    suspense.add_argument("--how", choices=[how.label for how in How], help="what becomes of the money")
    suspense.add_argument("--to", nargs=2, metavar=("ISSUER", "ASN"), help="the purse that paid, with --how assign")
    _add_person(suspense, needed=False)
    add_json(suspense)

    text = "confirm what another person proposed: now it is booked"
    confirm = command("confirm", _confirm, text, 'confirm 4 --by "Wang Wei"')
    confirm.add_argument("number", type=int, help="the proposal's number")
    confirm.add_argument("--by", required=True, metavar="NAME", help="who confirms it")

    text = "propose that nobody waits any more for the taps of a terminal that is lost; what comes is still taken"
    finished = command(
        "declare-finished",
        _declare_finished,
        text,
        'declare-finished 000000000101 1 --reason "burnt" --by "Li Na"',
    )
    finished.add_argument("terminal", metavar="HEX", help="the terminal's number, 12 digits")
    finished.add_argument("epoch", type=int, help="the epoch that is finished")
    _add_person(finished, needed=True)

    text = "close a day, and all open ones before it: the ledger does it as soon as everything of it is here"
    close_day = command("close-day", _close_day, text, "close-day", "close-day 2026-09-01 --by 'Li Na'")
    close_day.add_argument("day", nargs="?", type=date.fromisoformat, help="YYYY-MM-DD (default: yesterday)")
    close_day.add_argument("--by", default="operator", metavar="NAME", help="who wants it (default: operator)")


def _add_person(parser: argparse.ArgumentParser, *, needed: bool) -> None:
    parser.add_argument("--reason", required=needed, metavar="TEXT", help="why; kept with the decision")
    parser.add_argument("--by", required=needed, metavar="NAME", help="who proposes it; another person confirms it")


def _suspense(args: argparse.Namespace, host: Host) -> int:
    home = home_of(args)
    if args.action == "list":
        return _list(home, as_json=args.json, now_utc_s=host.utc_s())
    if args.item is None:
        raise UsageFault(f"suspense {args.action} needs the item's number")
    if args.action == "show":
        return _show(home, args.item, as_json=args.json)
    if args.how is None or args.reason is None or args.by is None:
        raise UsageFault("suspense resolve needs --how, --reason and --by")
    how = next(how for how in How if how.label == args.how)
    facts: dict[str, str | int] = {"item": args.item, "how": int(how), "because": args.reason}
    if (args.to is not None) is not (how is How.ASSIGN):
        raise UsageFault("--to goes with --how assign, and the other way round")
    if args.to is not None:
        try:
            facts["card"] = parse_card(*args.to).to_bytes().hex()
        except ValueError as error:
            raise UsageFault(str(error)) from error
    print(_decide(home, host, Action.RESOLVE, facts, by=args.by))
    return 0


def _confirm(args: argparse.Namespace, host: Host) -> int:
    home = home_of(args)
    with open_reader(home.place(OFFICE, role=LEDGER), OFFICE) as db:
        proposal = find_decision(db, args.number)
    if proposal is None:
        raise DecisionInvalid(f"there is no proposal {args.number}")
    print(_decide(home, host, Action.CONFIRM, {"proposal": proposal.key.hex()}, by=args.by))
    return 0


def _declare_finished(args: argparse.Namespace, host: Host) -> int:
    if not 0 < args.epoch <= 0xFFFF:
        raise UsageFault("an epoch is a number from 1 to 65535")
    facts = {"terminal": terminal_of(args.terminal).hex(), "epoch": args.epoch, "because": args.reason}
    print(_decide(home_of(args), host, Action.FINISH, facts, by=args.by))
    return 0


def _close_day(args: argparse.Namespace, host: Host) -> int:
    home, yesterday = home_of(args), accounting_day(host.utc_s() - _DAY_S)
    day = yesterday if args.day is None else day_of(args.day)
    if day > yesterday:
        raise DecisionInvalid(f"{date_of(day)} is not over yet")
    with open_reader(home.place(LEDGER), LEDGER) as db:
        last = last_close(db)
    if last is not None and day <= last.day:
        print(f"{date_of(day)} is closed already; the last closed day is {date_of(last.day)}")
        return 0

    def closed(db: Database) -> str | None:
        last = last_close(db)
        if last is None or last.day < day:
            return None
        return f"closed up to {date_of(last.day)}: close {last.number}, {last.entries} entries that day"

    print(_decide(home, host, Action.CLOSE_DAY, {"day": day}, by=args.by, until=closed))
    with open_reader(home.place(LEDGER), LEDGER) as db:
        made = closes(db, 0 if last is None else next_day(last.day), day)
        alarms = shift_alarms(home, db, first_day_of(db, made[0]), made[-1].day) if made else []
    for words in alarms:
        print(f"ALARM: {words}")
    return 0


def _decide(
    home: Home,
    host: Host,
    action: Action,
    facts: Mapping[str, str | int],
    *,
    by: str,
    until: Callable[[Database], str | None] | None = None,
) -> str:
    """Write a decision down, wait until the ledger has carried it out, and say what became of it."""
    with command_writer(home, OFFICE, host) as office, open_reader(home.place(LEDGER), LEDGER) as db:
        key = secrets.token_bytes(KEY_BYTES)
        decision = new_decision(office, key=key, action=action, facts=facts, by=by, now_utc_s=host.utc_s())
        if (why_not := decide.objection(db, decision)) is not None:
            raise DecisionInvalid(why_not)
        put_decision(office, decision)

    def carried(db: Database) -> str | None:
        found = find_carried(db, decision.key)
        if found is None:
            return None
        if found.result == Result.REFUSED:
            raise DecisionInvalid(found.words)
        return f"proposal {found.number}: {found.words}" if found.result == Result.WAITS else found.words

    said = _wait(home, host, carried, _CARRIED_S_MAX)
    return said if until is None else _wait(home, host, until, _CLOSED_S_MAX)


def _wait(home: Home, host: Host, done: Callable[[Database], str | None], seconds_max: float) -> str:
    """What `done` finds in the books, as soon as it does; raises `DecisionWaits`."""
    deadline_s = host.monotonic_s() + seconds_max
    why = ""
    with ExitStack() as stack:
        reader = stack.enter_context(open_reader(home.place(LEDGER), LEDGER))
        while host.monotonic_s() < deadline_s:
            if (said := done(reader)) is not None:
                return said
            try:
                why = _turn(home, host)
            except DatabaseInUse:
                why = ""
            time.sleep(_POLL_S)  # another process's commit tells nobody here
    raise DecisionWaits("the ledger has not carried it out yet, and will" + why)


def _turn(home: Home, host: Host) -> str:
    """A turn in place of a ledger that does not run; what holds it up. Raises `DatabaseInUse` if one does."""
    keeper = ledger_keeper(home, read_settings(home).checked("ledger"))
    with open_writer(home.place(LEDGER), LEDGER) as db:
        try:
            faults = keeper.turn(db, now_utc_s=host.utc_s()).round.faults
        finally:
            keeper.close()
    return "".join(f"; {name}: {error}" for name, error in faults.items())


def _list(home: Home, *, as_json: bool, now_utc_s: int) -> int:
    with open_reader(home.place(LEDGER), LEDGER) as db, db.transaction():
        items, waiting = open_suspense(db), proposals(db)
        details = {item.id: detail for item in items if (detail := find_item(db, item.id)) is not None}
    proposed: dict[int, list[int]] = defaultdict(list)
    for proposal in waiting:
        if proposal.action == Action.RESOLVE:
            proposed[proposal.decision.number("item")].append(proposal.number)
    if as_json:
        print(json.dumps([_item_json(item, details[item.id], proposed[item.id], now_utc_s) for item in items]))
        return 0
    for item in items:
        detail = details[item.id]
        waits = "".join(f"  proposal {number} waits" for number in proposed[item.id])
        amount = format_fen(item.amount_fen)
        print(f"{item.id:>6}  {detail.kind.name:<9}{amount:>12}  card {item.card}  {item.reason.name}{waits}")
        print(f"        {REASONS[item.reason]}; ways: {', '.join(how.label for how in ways_of(detail))}")
    for proposal in waiting:
        if proposal.action == Action.FINISH:
            terminal, epoch = proposal.decision.words("terminal"), proposal.decision.number("epoch")
            print(f"proposal {proposal.number} waits: terminal {terminal} epoch {epoch} is finished")
    if not items:
        print("nothing waits for an explanation")
    return 0


def _item_json(item: OpenSuspense, detail: SuspenseItem, proposed: list[int], now_utc_s: int) -> dict[str, object]:
    return {
        "item": item.id,
        "tap": str(item.origin),
        "kind": detail.kind.name,
        "reason": item.reason.name,
        "card": str(item.card),
        "counter": item.counter,
        "amount_fen": item.amount_fen,
        "subsidy_fen": detail.subsidy_fen,
        "age_s": now_utc_s - item.since_utc_s,
        "ways": [how.label for how in ways_of(detail)],
        "proposals": proposed,
    }


def _show(home: Home, number: int, *, as_json: bool) -> int:
    with open_reader(home.place(LEDGER), LEDGER) as db, db.transaction():
        item = find_item(db, number)
        waiting = [
            (proposal.number, How(proposal.decision.number("how")), proposal.by, proposal.decision.words("because"))
            for proposal in proposals(db)
            if proposal.action == Action.RESOLVE and proposal.decision.number("item") == number
        ]
        resolved = decide.resolution_of(db, number)
    if item is None:
        raise DecisionInvalid(f"there is no item {number}")
    facts = {
        "item": number,
        "tap": str(item.origin),
        "source": item.source.name,
        "kind": item.kind.name,
        "reason": item.reason.name,
        "card": str(item.card),
        "counter": item.counter,
        "serial": item.ttsn,
        "amount_fen": item.amount_fen,
        "subsidy_fen": item.subsidy_fen,
        "refers_to": item.refers_to,
        "balance_before_fen": item.balance_before_fen,
        "happened_at_utc_s": item.happened_at_utc_s,
        "since_utc_s": item.since_utc_s,
        "resolved": resolved,
        "ways": {} if resolved else {how.label: words_of(item, how) for how in ways_of(item)},
        "proposals": [
            {"number": number, "how": how.label, "by": by, "because": because} for number, how, by, because in waiting
        ],
    }
    if as_json:
        print(json.dumps(facts))
        return 0
    print(f"item {number}: {item.kind.name} {item.origin}, card {item.card} at count {item.counter}")
    print(f"  {format_fen(item.amount_fen)} yuan, and {format_fen(item.subsidy_fen)} that the school pays")
    print(f"  happened {_local(item.happened_at_utc_s)}, here since {_local(item.since_utc_s)}")
    print(f"  {item.reason.name}: {REASONS[item.reason]}")
    if resolved:
        print(f"  {resolved}")
        return 0
    for how in ways_of(item):
        print(f"  --how {how.label:<10}{words_of(item, how)}")
    for proposed, how, by, because in waiting:
        print(f"  proposal {proposed}: {how.label}, by {by}: {because}")
    return 0


def _local(utc_s: int) -> str:
    return f"{datetime.fromtimestamp(utc_s, CAMPUS_ZONE):%Y-%m-%d %H:%M}"
