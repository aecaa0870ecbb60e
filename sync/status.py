"""How things stand, for `campus-syncd status`: read from both databases while their writers go on."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from sync.policy import DAY_S, HOUR_S
from sync.store import Enrolment, UplinkReader, Verdict
from terminal.journal import JournalMissing, JournalReader
from wire.configuration import Configuration
from wire.hotlist import EMPTY_HOTLIST
from wire.money import format_fen
from wire.receipt import Suspense

CLOCK_SHOWN_S: Final = 60  # less is the way of the message, or a clock that will do
SUSPENDED_SHOWN: Final = 10  # a person reads no more; programs get all


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """What there is to know; None where it was never said."""

    enrolment: Enrolment | None = None
    next_seq: int = 1
    has_journal: bool = False
    backlog_taps: int = 0
    backlog_fen: int = 0
    backlog_shifts: int = 0
    receipt_age_s: int | None = None
    verdict: Verdict | None = None
    server_ahead_s: int | None = None
    suspended: tuple[tuple[int, Suspense], ...] = ()
    hotlist_version: int = EMPTY_HOTLIST.version
    hotlist_cards: int = 0
    configuration: Configuration | None = None
    bytes_sent: int = 0
    bytes_received: int = 0
    batches: int = 0
    backlog_age_s: int | None = None
    links: dict[str, object] | None = None
    strain_rounds: int = 0
    strain_wait_s: int = 0
    sms_last_hour: int = 0
    sms_last_day: int = 0

    def as_json(self) -> dict[str, object]:
        """The same for programs; the names of the fields are stable."""
        fields = asdict(self)
        fields["suspended"] = [{"seq": seq, "reason": why.name} for seq, why in self.suspended]
        if self.enrolment is not None:
            fields["enrolment"] = {
                "terminal": self.enrolment.terminal.hex(),
                "epoch": self.enrolment.epoch,
                "stream": self.enrolment.stream.label,
                "enrolled_at_utc_s": self.enrolment.enrolled_at_utc_s,
            }
        if (set_by_operator := self.configuration) is not None:
            fields["configuration"] = {
                "outlet": set_by_operator.outlet,
                "outlet_name": set_by_operator.outlet_name.zh,
                "version": set_by_operator.version,
                "stream": set_by_operator.stream.label,
                "tap_fen_max": set_by_operator.others.tap_fen_max,
                "products": len(set_by_operator.products),
                "periods": len(set_by_operator.periods),
            }
        return fields


def read_status(folder: Path, *, now_utc_s: int) -> Status:
    """Read `uplink.db` and `journal.db` in a terminal's folder; either may not be there yet."""
    if not (folder / "uplink.db").exists():
        return Status()
    store = UplinkReader.open(folder / "uplink.db")
    try:
        enrolment = store.enrolment()
        if enrolment is None:
            return Status()
        next_seq, heard_at_utc_s = store.cursor().next_seq, store.heard_at_utc_s()
        hotlist, configuration, counters = store.hotlist(), store.configuration(), store.counters()
        suspended = tuple(store.suspended())
        shifts = store.shifts_acknowledged()
        verdict, server_ahead_s = store.verdict(), store.server_ahead_s()
        links, strain, sms = store.links_seen(), store.strain(), store.sms_sent_at_utc_s()
    finally:
        store.close()
    backlog = _backlog(folder / "journal.db", next_seq)
    taps, fen, since_utc_s, last_shift = backlog or (0, 0, None, 0)
    return Status(
        enrolment=enrolment,
        next_seq=next_seq,
        has_journal=backlog is not None,
        backlog_taps=taps,
        backlog_fen=fen,
        backlog_shifts=max(0, last_shift - shifts),
        receipt_age_s=None if heard_at_utc_s is None else max(0, now_utc_s - heard_at_utc_s),
        verdict=verdict,
        server_ahead_s=server_ahead_s,
        suspended=suspended,
        hotlist_version=hotlist.version,
        hotlist_cards=len(hotlist.cards),
        configuration=configuration,
        bytes_sent=counters.bytes_sent,
        bytes_received=counters.bytes_received,
        batches=counters.batches,
        backlog_age_s=None if since_utc_s is None else max(0, now_utc_s - since_utc_s),
        links=None if links is None else json.loads(links),
        strain_rounds=strain.rounds,
        strain_wait_s=max(0, strain.allowed_at_utc_s(now_utc_s) - now_utc_s),
        sms_last_hour=sum(at > now_utc_s - HOUR_S for at in sms),
        sms_last_day=sum(at > now_utc_s - DAY_S for at in sms),
    )


def status_lines(status: Status) -> list[str]:
    """The same for people."""
    if status.enrolment is None:
        return ["This terminal is not enrolled yet; run campus-syncd enrol with a ticket from the operator."]
    who = status.enrolment
    lines = [f"terminal       {who.terminal.hex()}, {who.stream.label} stream, epoch {who.epoch}"]
    if not status.has_journal:
        lines.append("backlog        none: the till has not run yet")
    elif status.backlog_taps == 0:
        lines.append("backlog        none: the server has every tap")
    else:
        taps = _counted(status.backlog_taps, "tap")
        lines.append(f"backlog        {taps}, {format_fen(status.backlog_fen)} yuan{_age(status)}")
    if status.backlog_shifts:
        lines.append(f"shifts         {_counted(status.backlog_shifts, 'report')} not sent yet")
    until = status.next_seq
    lines.append(f"acknowledged   {'nothing yet' if until == 1 else f'every tap before number {until}'}")
    age = status.receipt_age_s
    lines.append(f"last answer    {'never' if age is None else f'{age} s ago'}")
    if (verdict := status.verdict) is not None:
        since = time.strftime("%Y-%m-%d %H:%M", time.localtime(verdict.since_utc_s))
        lines.append(f"VERDICT        {verdict.code} since {since}: {verdict.words}")
    if (ahead_s := status.server_ahead_s) is not None and abs(ahead_s) > CLOCK_SHOWN_S:
        side = "behind" if ahead_s > 0 else "ahead of"
        lines.append(f"clock          {abs(ahead_s)} s {side} the server's when they last met")
    lines += _link_lines(status)
    lines.append(f"hotlist        version {status.hotlist_version}, {_counted(status.hotlist_cards, 'card')}")
    if (configuration := status.configuration) is not None:
        products, periods = len(configuration.products), len(configuration.periods)
        words = f"{configuration.outlet_name.zh}, {_counted(products, 'product')}, {_counted(periods, 'meal period')}"
        lines.append(f"configuration  version {configuration.version} of outlet {configuration.outlet}: {words}")
    batches = _counted(status.batches, "batch", "batches")
    lines.append(f"carried        {batches}, {status.bytes_sent} bytes up, {status.bytes_received} bytes down")
    if not status.suspended:
        lines.append("suspended      none")
    lines += [f"suspended      tap {seq}: {why.name}" for seq, why in status.suspended[:SUSPENDED_SHOWN]]
    if (more := len(status.suspended) - SUSPENDED_SHOWN) > 0:
        lines.append(f"suspended      and {more} more; --json shows all")
    return lines


def _link_lines(status: Status) -> list[str]:
    """How the daemon found the links, the modem's budget, the messages."""
    seen = status.links or {}
    lines = []
    if seen:
        lines.append(f"link           {seen.get('link') or 'none now'}")
    lines += [f"failing        {link}: {words}" for link, words in _texts(seen.get("failing"))]
    lines += [f"TECHNICIAN     {link}: {words}" for link, words in _texts(seen.get("technician"))]
    if modem := _texts(seen.get("modem")):
        lines.append("modem          " + ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in modem))
    if status.strain_rounds:
        wait = f"the next in {status.strain_wait_s} s at the earliest" if status.strain_wait_s else "another may begin"
        lines.append(f"resets         {_counted(status.strain_rounds, 'round')} of radio and restart; {wait}")
    if status.sms_last_day:
        lines.append(f"messages       {status.sms_last_hour} in the last hour, {status.sms_last_day} in the last day")
    return lines


def _texts(found: object) -> list[tuple[str, object]]:
    return sorted(found.items()) if isinstance(found, dict) else []


def _age(status: Status) -> str:
    return "" if status.backlog_age_s is None else f", the oldest {status.backlog_age_s} s old"


def _counted(count: int, one: str, more: str | None = None) -> str:
    return f"{count} {one if count == 1 else more or one + 's'}"


def _backlog(path: Path, next_seq: int) -> tuple[int, int, int | None, int] | None:
    """Taps and money that the server has not acknowledged, since when, and the last shift; None without a journal."""
    try:
        journal = JournalReader.open(path)
    except JournalMissing:
        return None
    try:
        head, last_shift = journal.head(), journal.last_shift()
        if head.seq + 1 <= next_seq:
            return 0, 0, None, last_shift
        [oldest] = journal.records(next_seq, 1)
        fen = head.total_fen - journal.total_before_fen(next_seq)
        return head.seq + 1 - next_seq, fen, oldest.opened_at.utc_s, last_shift
    finally:
        journal.close()
