"""Who is owed what: a closed day's takings of each terminal, and the merchants' statements, payable the day after.

The merchant is the one who had the terminal when the tap happened, also for taps that came late. Left out: paying, and
who has which terminal (`settlement.onecard`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from settlement.ledger.entries import Account, Entry, EntryKind, Source, pair
from settlement.ledger.store import add_entries
from settlement.store.database import Database
from settlement.store.router import LEDGER
from wire.money import Fen
from wire.record import ClockQuality

FEE_BASE: Final = 10_000

# A clock that was never set, or is ahead of the server's, does not say when a tap happened; the receipt does.
_WHEN: Final = """
    CASE WHEN {0}.clock_quality = 0 OR {1}.happened_at_utc_s > {0}.received_at_utc_s THEN {0}.received_at_utc_s
         ELSE {1}.happened_at_utc_s END
"""
_TAKEN: Final = f"""
    SELECT entry.source, entry.terminal, {_WHEN.format("entry", "entry")}, entry.kind, paid.amount_fen,
           entry.subsidy_fen
    FROM (SELECT +entry_id AS entry_id, CAST(sum(amount_fen) AS bigint) AS amount_fen FROM other_posting
          WHERE id > %s AND accounting_day = %s AND account_id = 2002 GROUP BY +entry_id) paid
    JOIN other_entry entry ON entry.id = paid.entry_id WHERE entry.kind <> 8
"""
# Usual sales, a run in one piece: what moves a merchant's account, and the first and last time that it happened.
_SOLD: Final = f"""
    SELECT run.id, run.source, run.terminal, min({_WHEN.format("run", "sale")}), max({_WHEN.format("run", "sale")}),
           count(*), run.amount_fen + run.subsidy_fen, run.subsidy_fen
    FROM sale_run run CROSS JOIN sale
    WHERE run.id > %s AND run.accounting_day = %s AND sale.id >= run.id AND sale.id < run.id + run.taps
    AND sale.amount_fen + sale.subsidy_fen > 0
    GROUP BY run.id, run.source, run.terminal, run.amount_fen, run.subsidy_fen
"""
_SOLD_EACH: Final = f"""
    SELECT {_WHEN.format("run", "sale")}, sale.amount_fen + sale.subsidy_fen, sale.subsidy_fen
    FROM sale_run run CROSS JOIN sale WHERE run.id = %s AND sale.id >= run.id AND sale.id < run.id + run.taps
    AND sale.amount_fen + sale.subsidy_fen > 0
"""
_LAST_TAKINGS: Final = "SELECT coalesce(max(id), 0) FROM terminal_day"
_AMOUNTS: Final = ("taps", "gross_fen", "subsidy_fen", "reversed_fen", "refunded_fen", "corrected_fen")
_TAKINGS_COLUMNS: Final = ("id", "day", "source", "terminal", "outlet", "merchant", *_AMOUNTS)
_LAST_NUMBER: Final = "SELECT coalesce(max(number), 0) FROM statement WHERE merchant = %s"
_LAST_STATEMENT: Final = "SELECT coalesce(max(id), 0) FROM statement"
_STATEMENT_COLUMNS: Final = ("merchant", "number", "day", "name", *_AMOUNTS, "fee_fen", "net_fen")
_STATEMENTS: Final = f"""
    SELECT {", ".join(_STATEMENT_COLUMNS)} FROM statement WHERE day >= %s AND day <= %s ORDER BY day, merchant
"""
_TAKINGS: Final = f"""
    SELECT {", ".join(_TAKINGS_COLUMNS[1:])} FROM terminal_day WHERE day >= %s AND day <= %s ORDER BY id
"""


@dataclass(frozen=True, slots=True)
class Owner:
    """Where a terminal stood, and who is paid for what it sold there."""

    outlet: int
    merchant: int
    name: str


class Owners(Protocol):
    """Who had which terminal when."""

    def owner_of(self, source: str, terminal: bytes, utc_s: int) -> Owner:
        """Whose takings of that stream they are."""

    def is_same(self, source: str, terminal: bytes, first_utc_s: int, last_utc_s: int) -> bool:
        """Whether the terminal stood in one outlet all the time in between, both included."""


@dataclass(slots=True)
class Takings:
    """What a terminal took in an outlet on a day; see `TerminalDay` of the tables."""

    day: int
    source: str
    terminal: bytes
    outlet: int
    merchant: int
    taps: int = 0
    gross_fen: int = 0
    subsidy_fen: int = 0
    reversed_fen: int = 0
    refunded_fen: int = 0
    corrected_fen: int = 0

    def add(self, kind: EntryKind, payable_fen: int, subsidy_fen: int, count: int = 1) -> None:
        """Count entries with what they posted to the merchants' account: a credit, below zero, is theirs."""
        if kind is EntryKind.PURCHASE:
            self.taps += count
            self.gross_fen -= payable_fen
            self.subsidy_fen += subsidy_fen
        elif kind is EntryKind.REVERSAL:
            self.reversed_fen += payable_fen
            self.subsidy_fen -= subsidy_fen
        elif kind is EntryKind.REFUND:
            self.refunded_fen += payable_fen
        else:
            self.corrected_fen -= payable_fen

    @property
    def net_fen(self) -> int:
        """What the merchant is owed, before any fee."""
        return self.gross_fen - self.reversed_fen - self.refunded_fen + self.corrected_fen


@dataclass(frozen=True, slots=True)
class Statement:
    """What a merchant is owed for a closed day; numbered for each merchant from 1, and never changed."""

    merchant: int
    number: int
    day: int
    name: str
    taps: int
    gross_fen: int
    subsidy_fen: int
    reversed_fen: int
    refunded_fen: int
    corrected_fen: int
    fee_fen: int
    net_fen: int


@dataclass(slots=True)
class _Share:
    """A merchant's part of a day."""

    name: str
    takings: dict[tuple[str, bytes, int], Takings] = field(default_factory=dict)


def clear_day(
    db: Database,
    day: int,
    *,
    after_entry: int,
    after_posting: int,
    owners: Owners,
    fee_per_10000: int,
    now_utc_s: int,
) -> None:
    """Keep the day's takings, and make each merchant's statement, in the transaction that closes the day."""
    shares = _shares(db, day, after_entry, after_posting, owners)
    takings = [item for _, share in sorted(shares.items()) for _, item in sorted(share.takings.items())]
    first = db.number(_LAST_TAKINGS) + 1
    rows = [(n, *(getattr(item, name) for name in _TAKINGS_COLUMNS[1:])) for n, item in enumerate(takings, first)]
    db.append("terminal_day", _TAKINGS_COLUMNS, rows)
    made = [_statement(db, number, day, share, fee_per_10000) for number, share in sorted(shares.items())]
    first = db.number(_LAST_STATEMENT) + 1
    rows = [(n, *(getattr(item, name) for name in _STATEMENT_COLUMNS)) for n, item in enumerate(made, first)]
    db.append("statement", ("id", *_STATEMENT_COLUMNS), rows)
    _take_fees(db, made, now_utc_s)


def statements(db: Database, first_day: int, last_day: int) -> list[Statement]:
    """All merchants' statements for these days."""
    return db.query(_STATEMENTS, (first_day, last_day), into=Statement)


def takings_of(db: Database, first_day: int, last_day: int) -> list[Takings]:
    """What the statements for these days are made of."""
    return db.query(_TAKINGS, (first_day, last_day), into=Takings)


def _shares(db: Database, day: int, after_entry: int, after_posting: int, owners: Owners) -> dict[int, _Share]:
    shares: dict[int, _Share] = {}

    def takings(source: str, terminal: bytes, utc_s: int) -> Takings:
        owner = owners.owner_of(source, terminal, utc_s)
        share = shares.setdefault(owner.merchant, _Share(owner.name))
        place = (source, terminal, owner.outlet)
        if place not in share.takings:
            share.takings[place] = Takings(day, *place, owner.merchant)
        return share.takings[place]

    for source, terminal, utc_s, kind, *amounts in db.query(_TAKEN, (after_posting, day), into=lambda *row: row):
        takings(source, terminal, utc_s).add(EntryKind(kind), *amounts)
    for run, source, terminal, first, last, count, payable_fen, subsidy_fen in db.query(
        _SOLD, (after_entry, day), into=lambda *row: row
    ):
        if owners.is_same(source, terminal, first, last):
            takings(source, terminal, first).add(EntryKind.PURCHASE, -payable_fen, subsidy_fen, count)
            continue
        for utc_s, price_fen, part_fen in db.query(_SOLD_EACH, (run,), into=lambda *row: row):
            takings(source, terminal, utc_s).add(EntryKind.PURCHASE, -price_fen, part_fen)
    return shares


def _statement(db: Database, merchant: int, day: int, share: _Share, fee_per_10000: int) -> Statement:
    takings = share.takings.values()
    earned_fen = sum(item.net_fen for item in takings)
    fee_fen = max(earned_fen, 0) * fee_per_10000 // FEE_BASE
    return Statement(
        merchant=merchant,
        number=db.number(_LAST_NUMBER, (merchant,)) + 1,
        day=day,
        name=share.name,
        taps=sum(item.taps for item in takings),
        gross_fen=sum(item.gross_fen for item in takings),
        subsidy_fen=sum(item.subsidy_fen for item in takings),
        reversed_fen=sum(item.reversed_fen for item in takings),
        refunded_fen=sum(item.refunded_fen for item in takings),
        corrected_fen=sum(item.corrected_fen for item in takings),
        fee_fen=fee_fen,
        net_fen=earned_fen - fee_fen,
    )


def _take_fees(db: Database, made: Sequence[Statement], now_utc_s: int) -> None:
    """On the day itself, which is being closed."""
    entries = [
        Entry(
            kind=EntryKind.FEE,
            source=Source(LEDGER, statement.number),
            origin=None,
            card=None,
            counter=None,
            ttsn=None,
            amount_fen=Fen(statement.fee_fen),
            happened_at_utc_s=now_utc_s,
            clock_quality=ClockQuality.SERVER,
            received_at_utc_s=now_utc_s,
            booked_on=statement.day,
            postings=pair(Account.MERCHANT_PAYABLE, Account.SERVICE_FEES, Fen(statement.fee_fen), None),
        )
        for statement in made
        if statement.fee_fen
    ]
    add_entries(db, entries)
