"""The operator's report: balances, money on its way, what waits for an explanation, what each terminal still owes.

Reads only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from settlement.ledger import store as ledger
from settlement.ledger.counters import Awaited, Waiting
from settlement.ledger.days import Close, first_day_of, last_close
from settlement.ledger.decide import finished_journals
from settlement.ledger.entries import Account, EntryKind, date_of
from settlement.ledger.pending import PendingLoad, pending_loads
from settlement.ledger.shifts import shift_alarms
from settlement.ledger.unknown import Settled, Settlement, awaited, settlements
from settlement.settings import Home
from settlement.store.database import SchemaMissing, open_reader
from settlement.store.router import LEDGER
from settlement.streams.shifts import AlarmedShift, alarmed_shifts
from settlement.streams.terminals import Coverage, coverage
from wire.ids import CONSUMPTION_STREAMS, Stream
from wire.money import format_fen
from wire.receipt import Suspense
from wire.record import CAMPUS_ZONE

# Why an item is in suspense, as the finance office reads it.
REASONS: Final = {
    Suspense.TAC_WRONG: "the card's proof of payment is wrong: forged, or a card of another issuer",
    Suspense.MAC2_REFUSED: "the till refused the card's answer, though its proof of payment is right",
    Suspense.OUTCOME_UNKNOWN: "nobody saw whether the card paid",
    Suspense.COUNTER_TAKEN: "another tap or load of the card has this count: a copied record, or a cloned card",
    Suspense.TAP_DIFFERS: "it is in the books with other content",
    Suspense.TTSN_TAKEN: "another tap used the same proof of payment",
    Suspense.CARD_UNKNOWN: "this purse was never taken into the books",
    Suspense.BEFORE_OPENING: "the card's count is from before the purse was taken into the books",
    Suspense.CONFIRMED_NOT_PENDING: "a load was confirmed for which nothing is pending",
    Suspense.VOIDED_NOT_PENDING: "a load was voided for which nothing is pending",
    Suspense.CREDIT_UNFOUNDED: "a sale is taken back that is not in the books, or is another card's or of less",
    Suspense.CREDIT_DOUBLED: "a sale is taken back that was taken back before",
    Suspense.CREDIT_EXCEEDS_SALE: "more is taken back than the sale took",
}
_LOAD_AWAITS: Final = "the card at any top-up point: its next load there tells whether this one arrived"
_PERSON: Final = "a person"
_AWAITED_OF: Final = {
    Suspense.CARD_UNKNOWN: f"the card's import, or {_PERSON}",
    Suspense.CREDIT_UNFOUNDED: f"the sale, or {_PERSON}",
}
_AWAITS: Final = {
    Awaited.NEXT_USE: "the card's next purchase",
    Awaited.MISSING_TAPS: "the taps of terminals that miss some or are QUARANTINED: any may have count {counter}",
    Awaited.PERSON: f"{_PERSON}: something else claims count {{counter}}, too",
    Awaited.PERSON_BALANCE: (
        f"{_PERSON}: no other terminal tells the card's balance right before and after count {{counter}}"
    ),
    Awaited.PERSON_AMOUNT: f"{_PERSON}: the claimed amount does not fit the card's next balance",
}


@dataclass(frozen=True, slots=True)
class Report:
    """What `read_report` found; `waiting` by the number of the suspense item."""

    now_utc_s: int
    balances: list[ledger.AccountBalance]
    loads: list[PendingLoad]
    suspense: list[ledger.OpenSuspense]
    waiting: dict[int, Waiting]
    settlements: list[Settlement]
    unbalanced: list[int]
    finished: set[tuple[bytes, int]]
    closed: Close | None
    coverage: dict[Stream, list[Coverage]]
    shifts: dict[Stream, list[AlarmedShift]]
    last_day_shifts: list[str]


def read_report(home: Home, *, now_utc_s: int, outage_s: int) -> Report:
    """Read the ledger and every stream's database; raises `SchemaMissing` if there is no ledger."""
    covered, shifts = _coverage(home)
    journals = {
        (bytes(item.terminal), item.epoch)
        for items in covered.values()
        for item in items
        if item.missing or item.quarantined_because is not None
    }
    with open_reader(home.place(LEDGER), LEDGER) as db, db.transaction():
        finished, closed = finished_journals(db), last_close(db)
        owed = bool(journals - finished)
        return Report(
            now_utc_s=now_utc_s,
            balances=ledger.balances(db),
            loads=pending_loads(db),
            suspense=ledger.open_suspense(db),
            waiting=awaited(db, now_utc_s=now_utc_s, outage_s=outage_s, complete=not owed),
            settlements=settlements(db),
            unbalanced=ledger.unbalanced_entries(db),
            finished=finished,
            closed=closed,
            coverage=covered,
            shifts=shifts,
            last_day_shifts=[] if closed is None else shift_alarms(home, db, first_day_of(db, closed), closed.day),
        )


def _coverage(home: Home) -> tuple[dict[Stream, list[Coverage]], dict[Stream, list[AlarmedShift]]]:
    """What each stream that runs on this host has of its terminals, and the shift reports with an alarm."""
    found: dict[Stream, list[Coverage]] = {}
    shifts: dict[Stream, list[AlarmedShift]] = {}
    for stream in CONSUMPTION_STREAMS:
        try:
            with open_reader(home.place(stream.label, role=LEDGER), stream.label) as db:
                found[stream], shifts[stream] = coverage(db), alarmed_shifts(db)
        except SchemaMissing:
            continue  # this host does not run that stream
    return found, shifts


def report_json(report: Report, *, resolved: bool = False) -> dict[str, object]:
    """The report for scripts; amounts in fen, card numbers masked. `resolved` adds what was settled from counters."""
    found: dict[str, object] = {
        "now_utc_s": report.now_utc_s,
        "balances": [
            {"account": account.number, "name": account.name, "balance_fen": account.balance_fen}
            for account in report.balances
        ],
        "unbalanced_entries": report.unbalanced,
        "last_closed_day": None if report.closed is None else report.closed.day,
        "pending_loads": [
            {
                "load": str(load.load_id),
                "kind": load.kind.name,
                "terminal": load.load_id.terminal.hex(),
                "card": str(load.card),
                "counter": load.counter,
                "amount_fen": load.amount_fen,
                "age_s": report.now_utc_s - load.since_utc_s,
                "awaits": _LOAD_AWAITS,
            }
            for load in report.loads
        ],
        "suspense": [_suspense_json(report, item) for item in report.suspense],
        "terminals": _terminals_json(report),
        "shift_alarms": _shift_alarms_json(report),
        "last_closed_day_shift_alarms": report.last_day_shifts,
    }
    if resolved:
        found["settled"] = [
            {
                "tap": str(item.origin),
                "card": str(item.card),
                "counter": item.counter,
                "amount_fen": item.amount_fen,
                "outcome": item.outcome.name,
                "evidence_entry": item.evidence,
                "evidence_tap": str(item.evidence_tap),
                "evidence_counter": item.evidence_counter,
                "entry": item.entry,
                "resolved_at_utc_s": item.resolved_at_utc_s,
            }
            for item in report.settlements
        ]
    return found


def _terminals_json(report: Report) -> list[dict[str, object]]:
    return [
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
            "declared_finished": (item.terminal, item.epoch) in report.finished,
        }
        for stream, items in report.coverage.items()
        for item in items
    ]


def _shift_alarms_json(report: Report) -> list[dict[str, object]]:
    return [
        {
            "stream": stream.label,
            "terminal": item.terminal.hex(),
            "epoch": item.epoch,
            "shift": item.number,
            "alarms": [alarm.name for alarm in item.alarms],
            "received_at_utc_s": item.received_at_utc_s,
        }
        for stream, items in report.shifts.items()
        for item in items
    ]


def _suspense_json(report: Report, item: ledger.OpenSuspense) -> dict[str, object]:
    return {
        "item": item.id,
        "tap": str(item.origin),
        "terminal": item.origin.terminal.hex(),
        "reason": item.reason.name,
        "card": str(item.card),
        "counter": item.counter,
        "amount_fen": item.amount_fen,
        "age_s": report.now_utc_s - item.since_utc_s,
        "awaits": _awaits(report, item),
        "contradicts_entry": item.contradicts,
    }


def report_text(report: Report, *, resolved: bool = False) -> str:
    """The report for people."""
    lines = ["Balances (yuan; debit above zero, credit below)"]
    lines += [
        f"  {account.number}  {account.name:<30}{format_fen(account.balance_fen):>16}"
        for account in report.balances
        if account.balance_fen
    ] or ["  nothing posted yet"]
    owed_fen = -sum(account.balance_fen for account in report.balances if account.number == Account.REFUNDS_PAYABLE)
    if owed_fen:
        lines.append(f"  {format_fen(owed_fen)} owed to holders, who collect it at a top-up point")
    closed = "no day is closed yet" if report.closed is None else f"closed up to {date_of(report.closed.day)}"
    lines.append(f"  {closed}")
    if report.unbalanced:
        lines.append(f"  ENTRIES OUT OF BALANCE: {', '.join(map(str, report.unbalanced[:20]))}")
    lines += ["", *_load_lines(report), "", *_suspense_lines(report)]
    if resolved:
        lines += ["", *_settled_lines(report.settlements)]
    lines += ["", "Terminals"]
    terminals = [_terminal_line(stream, item, report) for stream, items in report.coverage.items() for item in items]
    lines += terminals or ["  none enrolled"]
    alarms = [
        f"  ALARM: {stream.label} {item.terminal.hex()} epoch {item.epoch}, shift {item.number}: {item.words}"
        for stream, items in report.shifts.items()
        for item in items
    ]
    alarms += [f"  ALARM: last closed day: {words}" for words in report.last_day_shifts]
    return "\n".join([*lines, *(["", "Shift reports", *alarms] if alarms else [])]) + "\n"


def _terminal_line(stream: Stream, item: Coverage, report: Report) -> str:
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
    if (item.terminal, item.epoch) in report.finished:
        state.append("declared finished")
    state.append(f"(heard {_age(report.now_utc_s - item.heard_at_utc_s)} ago)")
    return f"  {stream.label:<12}{item.terminal.hex()}  epoch {item.epoch}  {'  '.join(state)}"


def _load_lines(report: Report) -> list[str]:
    if not report.loads:
        return ["On its way to cards: nothing"]
    total = format_fen(sum(load.amount_fen for load in report.loads))
    lines = [f"On its way to cards: {_counted(len(report.loads), 'load')}, {total} yuan, in no balance yet"]
    lines += [
        f"  {load.load_id}  card {load.card}  {format_fen(load.amount_fen):>12}"
        f"  {_age(report.now_utc_s - load.since_utc_s)} old"
        + ("  out of refunds" if load.kind is EntryKind.COLLECTION else "")
        for load in report.loads
    ]
    return [*lines, f"      awaited: {_LOAD_AWAITS}"]


def _suspense_lines(report: Report) -> list[str]:
    if not report.suspense:
        return ["Suspense: nothing waits for an explanation"]
    total = format_fen(sum(item.amount_fen for item in report.suspense))
    lines = [f"Suspense: {_counted(len(report.suspense), 'item')}, {total} yuan, in no balance"]
    for item in report.suspense:
        lines.append(
            f"  {item.origin}  card {item.card}  {item.reason.name:<18}{format_fen(item.amount_fen):>12}"
            f"  {_age(report.now_utc_s - item.since_utc_s)} old  item {item.id}"
        )
        lines.append(f"      {REASONS[item.reason]}; awaited: {_awaits(report, item)}")
        if item.contradicts is not None:
            lines.append(f"      ALARM: entry {item.contradicts} was booked for this count when nobody had brought it")
    return lines


def _settled_lines(settled: Sequence[Settlement]) -> list[str]:
    if not settled:
        return ["Settled from cards' counters: nothing"]
    lines = [f"Settled from cards' counters: {_counted(len(settled), 'tap')}"]
    for item in settled:
        taken = item.outcome is Settled.EXECUTED
        lines.append(
            f"  {item.origin}  card {item.card}  {format_fen(item.amount_fen):>12}"
            f"  {f'paid: entry {item.entry}' if taken else 'not paid'}, settled {_local(item.resolved_at_utc_s)}"
        )
        why = f"the card went on to count {item.evidence_counter}, and nobody brought count {item.counter}"
        lines.append(
            f"      evidence: entry {item.evidence}, tap {item.evidence_tap}: "
            f"{why if taken else f'it has count {item.counter}, and a card counts each debit once'}"
        )
    return lines


def _awaits(report: Report, item: ledger.OpenSuspense) -> str:
    """What has to come before the item can be resolved."""
    if item.reason is not Suspense.OUTCOME_UNKNOWN:
        return _AWAITED_OF.get(item.reason, _PERSON)
    waiting = report.waiting.get(item.id)
    if waiting is None:
        return "the ledger's next turn"
    if waiting.until_utc_s is not None:
        return f"any other terminal's record of count {item.counter}, until {_local(waiting.until_utc_s)}"
    return _AWAITS[waiting.awaited].format(counter=item.counter)


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _local(utc_s: int) -> str:
    return f"{datetime.fromtimestamp(utc_s, CAMPUS_ZONE):%Y-%m-%d %H:%M}"


def _age(seconds: int) -> str:
    """Seconds as people say them."""
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // size} {unit}"
    return f"{max(seconds, 0)} s"
