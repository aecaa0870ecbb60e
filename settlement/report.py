"""The operator's report: balances, what waits for an explanation, and what each terminal still owes. Reads only."""

from __future__ import annotations

from dataclasses import dataclass

from settlement.ledger import store as ledger
from settlement.settings import Home
from settlement.store.database import SchemaMissing, open_reader
from settlement.store.router import LEDGER
from settlement.streams.terminals import Coverage, coverage
from wire.ids import CONSUMPTION_STREAMS, Stream
from wire.money import format_fen


@dataclass(frozen=True, slots=True)
class Report:
    """What `read_report` found."""

    now_utc_s: int
    balances: list[ledger.AccountBalance]
    suspense: list[ledger.OpenSuspense]
    unbalanced: list[int]
    coverage: dict[Stream, list[Coverage]]


def read_report(home: Home, *, now_utc_s: int) -> Report:
    """Read the ledger and every stream's database; raises `SchemaMissing` if there is no ledger."""
    with open_reader(home.database(LEDGER), LEDGER) as db:
        balances, suspense, unbalanced = ledger.balances(db), ledger.open_suspense(db), ledger.unbalanced_entries(db)
    covered = {}
    for stream in CONSUMPTION_STREAMS:
        try:
            with open_reader(home.database(stream.label), stream.label) as db:
                covered[stream] = coverage(db)
        except SchemaMissing:
            continue  # this host does not run that stream
    return Report(now_utc_s, balances, suspense, unbalanced, covered)


def report_json(report: Report) -> dict[str, object]:
    """The report for scripts; amounts in fen, card numbers masked."""
    return {
        "now_utc_s": report.now_utc_s,
        "balances": [
            {"account": account.number, "name": account.name, "balance_fen": account.balance_fen}
            for account in report.balances
        ],
        "unbalanced_entries": report.unbalanced,
        "suspense": [
            {
                "tap": str(item.origin),
                "reason": item.reason.name,
                "card": str(item.card),
                "counter": item.counter,
                "amount_fen": item.amount_fen,
                "age_s": report.now_utc_s - item.since_utc_s,
            }
            for item in report.suspense
        ],
        "terminals": [
            {
                "stream": stream.label,
                "terminal": item.terminal.hex(),
                "epoch": item.epoch,
                "last_seq": item.last_seq,
                "total_fen": item.total_fen,
                "missing": len(item.missing),
                "missing_first_seq": item.missing.start if item.missing else None,
                "missing_last_seq": item.missing.stop - 1 if item.missing else None,
                "missing_fen": item.missing_fen,
                "heard_at_utc_s": item.heard_at_utc_s,
                "quarantined_because": item.quarantined_because,
                "rolled_back_to_seq": item.rolled_back_to_seq,
            }
            for stream, items in report.coverage.items()
            for item in items
        ],
    }


def report_text(report: Report) -> str:
    """The report for people."""
    lines = ["Balances (yuan; debit above zero, credit below)"]
    lines += [
        f"  {account.number}  {account.name:<30}{format_fen(account.balance_fen):>16}"
        for account in report.balances
        if account.balance_fen
    ] or ["  nothing posted yet"]
    if report.unbalanced:
        lines.append(f"  ENTRIES OUT OF BALANCE: {', '.join(map(str, report.unbalanced[:20]))}")
    lines += ["", f"Suspense: {len(report.suspense)} {'item' if len(report.suspense) == 1 else 'items'}"]
    lines += [
        f"  {item.origin}  card {item.card}  {item.reason.name:<18}{format_fen(item.amount_fen):>12}"
        f"  {_age(report.now_utc_s - item.since_utc_s)} old"
        for item in report.suspense
    ]
    lines += ["", "Terminals"]
    terminals = [
        _terminal_line(stream, item, report.now_utc_s) for stream, items in report.coverage.items() for item in items
    ]
    return "\n".join(lines + (terminals or ["  none enrolled"])) + "\n"


def _terminal_line(stream: Stream, item: Coverage, now_utc_s: int) -> str:
    state = []
    if item.last_seq:
        state.append(f"taps 1-{item.last_seq}  {format_fen(item.total_fen)} yuan")
    if item.missing:
        state.append(f"missing {item.missing.start}-{item.missing.stop - 1}, {format_fen(item.missing_fen)} yuan")
    else:
        state.append("complete" if item.last_seq else "no taps yet")
    if item.quarantined_because is not None:
        state.append(f"QUARANTINED: {item.quarantined_because}")
    if item.rolled_back_to_seq is not None:
        state.append(f"ROLLED BACK: its journal was seen to end with tap {item.rolled_back_to_seq}")
    state.append(f"(heard {_age(now_utc_s - item.heard_at_utc_s)} ago)")
    return f"  {stream.label:<12}{item.terminal.hex()}  epoch {item.epoch}  {'  '.join(state)}"


def _age(seconds: int) -> str:
    """Seconds as people say them."""
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // size} {unit}"
    return f"{max(seconds, 0)} s"
