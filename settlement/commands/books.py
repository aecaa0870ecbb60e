"""Commands on the books: `report`."""

from __future__ import annotations

import argparse
import json

from settlement.commands.common import (
    Add,
    Host,
    add_json,
    home_of,
    read_settings,
)
from settlement.report import read_report, report_json, report_text


def add_commands(command: Add) -> None:
    """Add them."""
    text = "show balances, money on its way, suspense, and which taps of each terminal are here and which are missing"
    report = command("report", _report, text, "report", "report --resolved", "report --json | python -m json.tool")
    report.add_argument("--resolved", action="store_true", help="also what was settled from cards' counters, and why")
    add_json(report)


def _report(args: argparse.Namespace, host: Host) -> int:
    home = home_of(args)
    report = read_report(home, now_utc_s=host.utc_s(), outage_s=read_settings(home).checked("ledger").ledger.outage_s)
    if args.json:
        print(json.dumps(report_json(report, resolved=args.resolved)))
    else:
        print(report_text(report, resolved=args.resolved), end="")
    return 1 if report.unbalanced else 0  # whatever else is wrong has its place in the books; this never has
