"""Commands that read the books: `report`, `trial-balance`, `roll-forward`, `statements`, `export`, `card`."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from datetime import date, datetime
from pathlib import Path
from typing import Final

from settlement.commands.common import Add, Host, UsageFault, add_json, home_of, progress, read_settings
from settlement.ledger.cardline import Step, read_line
from settlement.ledger.clearing import statements
from settlement.ledger.days import closes
from settlement.ledger.entries import date_of, day_of
from settlement.ledger.export import tables, write_beancount, write_csv, write_xlsx
from settlement.ledger.trial import roll_forward, trial_balance
from settlement.onecard.registry import parse_card
from settlement.report import read_report, report_json, report_text
from settlement.store.database import Database, open_reader
from settlement.store.router import LEDGER
from wire.errors import CampusError
from wire.money import format_fen
from wire.record import CAMPUS_ZONE

_ANY_DAY: Final = (0, 99_991_231)


class NoClosedDay(CampusError):
    """No day of the period is closed."""

    code = "no-closed-day"


def add_commands(command: Add) -> None:
    """Add them."""
    text = "show balances, money on its way, suspense, and which taps of each terminal are here and which are missing"
    report = command("report", _report, text, "report", "report --resolved", "report --json | python -m json.tool")
    report.add_argument("--resolved", action="store_true", help="also what was settled from cards' counters, and why")
    add_json(report)

    text = "show every account over closed days: opening balance, debits, credits, closing balance"
    trial = command("trial-balance", _trial_balance, text, "trial-balance", "trial-balance --from 2026-09-01 --json")
    add_period(trial)
    add_json(trial)

    text = "show how the money on all cards became what it is, over closed days, and whether the cards sum to it"
    roll = command("roll-forward", _roll_forward, text, "roll-forward", "roll-forward --from 2026-09-01 --json")
    add_period(roll)
    add_json(roll)

    text = "show what each merchant is owed for each closed day, payable the day after"
    owed = command("statements", _statements, text, "statements", "statements --merchant 2 --from 2026-09-01 --json")
    owed.add_argument("--merchant", type=int, metavar="NUMBER", help="only this one's")
    add_period(owed)
    add_json(owed)

    text = "write closed days for other bookkeeping; entries, day totals, balances and statements, or a beancount file"
    export = command(
        "export",
        _export,
        text,
        "export --format csv --from 2026-09-01 --to 2026-09-30 september",
        "export --format beancount september.beancount",
    )
    export.add_argument("--format", choices=["csv", "xlsx", "beancount"], required=True, help="what is written")
    export.add_argument("target", type=Path, metavar="TARGET", help="a new folder for csv, else a new file")
    add_period(export)

    text = "show one card's line of counters: what it paid and loaded, and where the line is broken"
    card = command("card", _card, text, "card ISSUER ASN", "card ISSUER ASN --json")
    card.add_argument("issuer", help="16 digits")
    card.add_argument("asn", help="20 digits")
    add_json(card)


def add_period(parser: argparse.ArgumentParser) -> None:
    """The options that choose closed days."""
    for option, words in (("from", "first"), ("to", "last")):
        parser.add_argument(
            f"--{option}",
            dest=f"{words}_day",
            type=date.fromisoformat,
            metavar="DATE",
            help=f"the {words} day, YYYY-MM-DD (default: the last closed one)",
        )


def period_of(args: argparse.Namespace, db: Database) -> tuple[int, int]:
    """The first and last closed day that were asked for; raises `NoClosedDay`."""
    first = None if args.first_day is None else day_of(args.first_day)
    last = None if args.last_day is None else day_of(args.last_day)
    if first is not None and last is not None and last < first:
        raise UsageFault("--to is before --from")
    made = closes(db, first or _ANY_DAY[0], last or _ANY_DAY[1])
    if not made:
        raise NoClosedDay("no day of this period is closed; campus-settlement close-day closes days that are over")
    return made[-1 if first is None else 0].day, made[-1].day


def _report(args: argparse.Namespace, host: Host) -> int:
    home = home_of(args)
    report = read_report(home, now_utc_s=host.utc_s(), outage_s=read_settings(home).checked("ledger").ledger.outage_s)
    if args.json:
        print(json.dumps(report_json(report, resolved=args.resolved)))
    else:
        print(report_text(report, resolved=args.resolved), end="")
    return 1 if report.unbalanced else 0  # whatever else is wrong has its place in the books; this never has


def _trial_balance(args: argparse.Namespace, host: Host) -> int:
    home = home_of(args)
    with open_reader(home.place(LEDGER), LEDGER) as db, db.transaction():
        first, last = period_of(args, db)
        lines = trial_balance(db, first, last)
    right = all(line.is_right for line in lines) and sum(line.closing_fen for line in lines) == 0
    if args.json:
        print(json.dumps({"first_day": first, "last_day": last, "right": right, "accounts": list(map(asdict, lines))}))
        return 0 if right else 1
    print(f"Trial balance {date_of(first)} to {date_of(last)} (yuan; debit above zero, credit below)")
    print(f"  {'':<36}{'opening':>16}{'debit':>16}{'credit':>16}{'closing':>16}")
    for line in lines:
        amounts = (line.opening_fen, line.debit_fen, line.credit_fen, line.closing_fen)
        if any(amounts):
            print(f"  {line.account}  {line.name:<30}" + "".join(f"{format_fen(fen):>16}" for fen in amounts))
    moved = sum(line.debit_fen for line in lines), sum(line.credit_fen for line in lines)
    print(f"  {'':<36}{'':>16}" + "".join(f"{format_fen(fen):>16}" for fen in moved))
    if not right:
        print("  OUT OF BALANCE")
    return 0 if right else 1


def _roll_forward(args: argparse.Namespace, host: Host) -> int:
    home = home_of(args)
    with open_reader(home.place(LEDGER), LEDGER) as db, db.transaction():
        roll = roll_forward(db, *period_of(args, db))
    if args.json:
        print(json.dumps({**asdict(roll), "right": roll.is_right}))
        return 0 if roll.is_right else 1
    print(f"Card float {date_of(roll.first_day)} to {date_of(roll.last_day)} (yuan)")
    for words, fen in (
        ("opening", roll.opening_fen),
        ("+ on purses taken over", roll.taken_over_fen),
        ("+ loads", roll.loads_fen),
        ("+ refunds collected", roll.collected_fen),
        ("+ subsidies", roll.subsidies_fen),
        ("- purchases", -roll.purchases_fen),
        ("+- resolved suspense", roll.adjustments_fen),
        ("= closing", roll.closing_fen),
    ):
        print(f"  {words:<36}{format_fen(fen):>16}")
    if roll.purses_fen is not None:
        print(f"  {'all purses by themselves':<36}{format_fen(roll.purses_fen):>16}")
        print(f"  {f'of them below zero: {roll.overdrawn}':<36}{format_fen(roll.overdrawn_fen):>16}")
    print(f"  {'refunds not collected yet (2006)':<36}{format_fen(roll.refunds_payable_fen):>16}")
    print("In no balance, as of now")
    print(f"  {f'loads on their way: {roll.pending}':<36}{format_fen(roll.pending_fen):>16}")
    print(f"  {f'in suspense: {roll.suspended}':<36}{format_fen(roll.suspended_fen):>16}")
    if not roll.is_right:
        print("THE FLOAT DOES NOT AGREE")
    return 0 if roll.is_right else 1


def _statements(args: argparse.Namespace, host: Host) -> int:
    home = home_of(args)
    with open_reader(home.place(LEDGER), LEDGER) as db, db.transaction():
        found = statements(db, *period_of(args, db))
    found = [item for item in found if args.merchant in (None, item.merchant)]
    if args.json:
        print(json.dumps([asdict(item) for item in found]))
        return 0
    for item in found:
        print(f"Statement {item.merchant}-{item.number}  {item.name}  {date_of(item.day)}  (yuan)")
        for words, fen in (
            (f"sales: {item.taps}", item.gross_fen),
            ("of them paid by the school", item.subsidy_fen),
            ("- taken back", -item.reversed_fen),
            ("- refunded", -item.refunded_fen),
            ("+- resolved suspense", item.corrected_fen),
            ("- fee", -item.fee_fen),
            ("= payable the day after", item.net_fen),
        ):
            print(f"  {words:<36}{format_fen(fen):>16}")
    if not found:
        print("no statements")
    return 0


def _export(args: argparse.Namespace, host: Host) -> int:
    home = home_of(args)
    if args.target.exists():
        raise UsageFault(f"{args.target} is there already")
    with open_reader(home.place(LEDGER), LEDGER) as db, db.transaction():
        first, last = period_of(args, db)
        progress()(f"writing {date_of(first)} to {date_of(last)}")
        if args.format == "beancount":
            write_beancount(db, first, last, args.target)
        elif args.format == "xlsx":
            write_xlsx(tables(db, first, last), args.target)
        else:
            write_csv(tables(db, first, last), args.target)
    print(f"{args.target}: {date_of(first)} to {date_of(last)}")
    return 0


def _card(args: argparse.Namespace, host: Host) -> int:
    home = home_of(args)
    try:
        card = parse_card(args.issuer, args.asn)
    except ValueError as error:
        raise UsageFault(str(error)) from error
    outage_s = read_settings(home).checked("ledger").ledger.outage_s
    with open_reader(home.place(LEDGER), LEDGER) as db, db.transaction():
        line = read_line(db, card, now_utc_s=host.utc_s(), outage_s=outage_s)
    if args.json:
        steps = [{**asdict(step), "origin": None if step.origin is None else str(step.origin)} for step in line.steps]
        problems = [asdict(problem) for problem in line.problems]
        print(json.dumps({"card": str(card), "balance_fen": line.balance_fen, "steps": steps, "problems": problems}))
        return 0
    print(f"Card {card}: {format_fen(line.balance_fen)} yuan by the books")
    for step in line.steps:
        print(f"  {_step_words(step)}")
    if not line.steps:
        print("  nothing in the books")
    for problem in line.problems:
        print(f"  {'ALARM' if problem.alarm else 'waiting'}: {problem.words}")
    return 0


def _step_words(step: Step) -> str:
    count = "-" if step.counter is None else str(step.counter)
    before = "" if step.before_fen is None else f"{format_fen(step.before_fen)} before"
    place = f"entry {step.entry}" if step.item is None else f"SUSPENSE item {step.item}, {step.words}"
    at = datetime.fromtimestamp(step.happened_at_utc_s, CAMPUS_ZONE)
    origin = "" if step.origin is None else f"  {step.origin}"
    amount = format_fen(step.amount_fen)
    return f"{at:%Y-%m-%d %H:%M}  {step.kind:<10}count {count:>5}{amount:>12}  {before:<18}{place}{origin}"
