"""Whole histories by the short way into the books and by the straight one: the same books, days, statements, lines."""

from __future__ import annotations

import shutil
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import pytest

from settlement.ledger import cardline, days, export, shifts, store, trial
from settlement.ledger.entries import Source, accounting_day, opening_for
from settlement.ledger.owners import RegistryOwners
from settlement.ledger.unknown import Unsettled, settlements
from settlement.ledger.usual import Openings, Taps
from settlement.onecard.outlets import Assignment, Merchant, Outlet, OutletBook
from settlement.store.database import Database, migrate, open_writer
from settlement.streams.store import IntakeRow
from wire.configuration import Name
from wire.ids import CONSUMPTION_STREAMS, Asn, CardId, IssuerId, Stream, TapId, TerminalId
from wire.money import Fen
from wire.receipt import Suspense
from wire.record import ClockQuality, Mac2, Outcome, Refusal, TapKind, TapRecord, TapTime

START = 1_764_000_000
DAY_S = 86_400
TERMINALS = tuple(TerminalId(bytes(5) + bytes((number,))) for number in (1, 2))
OUTLETS = (101, 102, 103)
UNREGISTERED = 5


def card(number: int) -> CardId:
    return CardId(IssuerId(b"\x10" * 8), Asn(number.to_bytes(10)))


def owners(random: Random) -> RegistryOwners:
    """Terminals that are moved between outlets now and then."""
    outlets = {int(stream): Outlet(int(stream), stream, int(stream)) for stream in CONSUMPTION_STREAMS}
    outlets |= {number: Outlet(number, Stream.CANTEEN, number) for number in OUTLETS}
    moved = {}
    for terminal in TERMINALS:
        times = sorted(START + random.randrange(6 * DAY_S) for _ in range(random.randrange(5)))
        moved[terminal] = tuple(Assignment(terminal, random.choice(OUTLETS), at) for at in times)
    merchants = {number: Merchant(number, 1, Name(f"m{number}", "m")) for number in outlets}
    return RegistryOwners(OutletBook(outlets, moved), merchants)


@dataclass
class Taker:
    """What two tills take, and how a stream judges it: mostly usual sales, now and then anything else."""

    random: Random
    position: int = 1
    seqs: dict[TerminalId, int] = field(default_factory=lambda: dict.fromkeys(TERMINALS, 1))
    serials: dict[TerminalId, int] = field(default_factory=lambda: dict.fromkeys(TERMINALS, 1))
    counts: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    sold: dict[TerminalId, list[TapRecord]] = field(default_factory=lambda: defaultdict(list))

    def intake(self, received_at_utc_s: int) -> tuple[IntakeRow, dict[int, int]]:
        """Some taps that came together, and the reasons of those that are suspended."""
        random, first, reasons = self.random, self.position, {}
        terminal = random.choice(TERMINALS)
        records = []
        for _ in range(random.randrange(1, 7)):
            record = self._tap(terminal, received_at_utc_s)
            if record.outcome is Outcome.UNKNOWN and random.random() < 0.8:
                reasons[self.position] = int(Suspense.OUTCOME_UNKNOWN)
            elif random.random() < 0.03:
                reasons[self.position] = int(random.choice((Suspense.TAC_WRONG, Suspense.MAC2_REFUSED)))
            records.append(record.to_bytes())
            self.position += 1
        return IntakeRow(first, self.position, b"".join(records), b"", received_at_utc_s), reasons

    def _tap(self, terminal: TerminalId, received_at_utc_s: int) -> TapRecord:
        random = self.random
        number = UNREGISTERED if random.random() < 0.05 else random.randrange(5)
        seq, ttsn = self.seqs[terminal], self.serials[terminal]
        self.seqs[terminal], self.serials[terminal] = seq + 1, ttsn + 1
        kind, outcome, reason, sale = TapKind.SALE, Outcome.DEBITED, None, None
        amount_fen, subsidy_fen = random.choice((0, 100, 250)), random.choice((0, 0, 0, 50))
        odd = random.random()
        if odd < 0.06 and self.sold[terminal]:
            sale = random.choice(self.sold[terminal])
            kind = random.choice((TapKind.REVERSAL, TapKind.REFUND))
            number, amount_fen = int.from_bytes(sale.card.asn), 0
            subsidy_fen = int(sale.subsidy_fen) if kind is TapKind.REVERSAL else 0
        elif odd < 0.16:
            outcome = Outcome.UNKNOWN
        elif odd < 0.18:
            outcome, reason = Outcome.REFUSED, Refusal.HOTLISTED
        elif odd < 0.2:
            kind, amount_fen, subsidy_fen = TapKind.SIGN_ON, 0, 0
        counter = random.randrange(4) if random.random() < 0.03 else self.counts[number]
        if outcome is Outcome.DEBITED or (outcome is Outcome.UNKNOWN and random.random() < 0.5):
            self.counts[number] = max(self.counts[number], counter + 1)
        record = TapRecord(
            tap_id=TapId(terminal, 1, seq),
            kind=kind,
            outcome=outcome,
            reason=reason,
            mac2=Mac2.VERIFIED,
            card=card(number),
            amount_fen=Fen(amount_fen),
            subsidy_fen=Fen(subsidy_fen),
            credit_fen=Fen(0) if sale is None else Fen(max(sale.amount_fen, kind is TapKind.REFUND)),
            balance_before_fen=Fen(5_000),
            counter=counter,
            ttsn=max(1, ttsn - 2) if random.random() < 0.02 else ttsn,
            tac=b"abcd",
            refers_to=0 if sale is None else sale.tap_id.seq,
            opened_at=TapTime(
                utc_s=received_at_utc_s - random.choice((5, 4_000, 90_000, -50)),
                boot=1,
                uptime_s=1,
                quality=random.choice((ClockQuality.SERVER,) * 6 + (ClockQuality.UNSET,)),
            ),
        )
        if (kind, outcome) == (TapKind.SALE, Outcome.DEBITED):
            self.sold[terminal].append(record)
        return record


def open_purse(db: Database, number: int) -> None:
    opening = opening_for(
        card(number),
        balance_fen=Fen(10_000),
        counter=0,
        source=Source("onecard", number + 1),
        opened_at_utc_s=START - DAY_S,
    )
    with db.transaction():
        store.post(db, [opening])


def books(db: Database) -> Iterator[tuple[str, object]]:
    """Everything that is told of the books, but for the hashes, which are over rows as they are kept."""
    tables = {
        "entry": "*",
        "posting": "*",
        "suspense_item": "*",
        "suspense_resolution": "*",
        "day_total": "day, account_id, kind, debit_fen, credit_fen",
        "day_balance": "day, account_id, balance_fen",
        "terminal_day": "day, source, terminal, outlet, taps, gross_fen, subsidy_fen, reversed_fen, refunded_fen",
        "statement": "merchant, number, day, taps, gross_fen, subsidy_fen, corrected_fen, fee_fen, net_fen",
        "day_close": "number, day, entries, entries_seen, entries_last",
    }
    for table, columns in tables.items():
        yield table, sorted(map(repr, db.query(f"SELECT {columns} FROM {table}", into=lambda *row: row)))
    yield "purses", db.query("SELECT * FROM purse_balance WHERE balance_fen <> 0 ORDER BY 1", into=lambda *row: row)
    yield "balances", store.balances(db)
    yield "trial", trial.trial_balance(db, 19_700_102, 20_301_231)
    yield "roll-forward", trial.roll_forward(db, 19_700_102, 20_301_231)
    yield "settled", settlements(db)
    yield "export", sorted(map(repr, export.tables(db, 19_700_102, 20_301_231)["entries"][1]()))
    for number in range(UNREGISTERED + 1):
        line = cardline.read_line(db, card(number), now_utc_s=START + 40 * DAY_S, outage_s=1_000)
        yield f"card {number}", (line.balance_fen, sorted(map(repr, line.steps)), line.problems)
    for terminal in TERMINALS:
        for span in ((1, 5), (3, 9), (1, 999)):
            whole = (terminal, 1, *span)
            yield f"claims {span}", db.query(shifts._CLAIMS, (*whole, *whole, *span, *whole), into=lambda *row: row)
    assert days.wrong_closes(db) == []
    assert store.unbalanced_entries(db) == []


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("histories") / "ledger.db"
    migrate(path, "ledger")
    return path


@pytest.mark.parametrize("seed", range(25))
def test_short_way_leaves_the_same_books_as_the_straight_one(template: Path, tmp_path: Path, seed: int) -> None:
    random = Random(seed)
    taker, whose, openings = Taker(random), owners(random), Openings()
    short, straight = (Path(shutil.copy(template, tmp_path / f"{name}.db")) for name in ("short", "straight"))
    unsettled = Unsettled(outage_s=3_600), Unsettled(outage_s=3_600)
    with open_writer(short, "ledger") as one, open_writer(straight, "ledger") as other:
        both = (one, other)
        for db in both:
            db.execute("PRAGMA synchronous = OFF")
            for number in range(5):
                open_purse(db, number)
        day = 0
        for step in range(random.randrange(4, 10)):
            day += random.choice((0, 0, 1, 2))
            now_utc_s = START + day * DAY_S + step * 3_000
            late_s = 2 * DAY_S if random.random() < 0.1 else 0
            intakes = [taker.intake(now_utc_s - late_s) for _ in range(random.randrange(1, 4))]
            for _ in range(2 if random.random() < 0.15 else 1):  # a source that was restored is read again
                results = []
                for db in both:
                    taps = Taps("canteen", {at: reason for _, its in intakes for at, reason in its.items()})
                    for intake, _ in intakes:
                        taps.read(intake)
                    with db.transaction():
                        results.append(taps.post(db, openings) if db is one else taps.post_straight(db))
                assert results[0] == results[1]
            for db, waiting in zip(both, unsettled, strict=True):
                waiting.settle(db, now_utc_s=now_utc_s + 20_000, complete=True)
            if random.random() < 0.4:
                through = accounting_day(START + (day - random.randrange(3)) * DAY_S)
                for db in both:
                    days.close_days(db, through=through, now_utc_s=now_utc_s, owners=whose, fee_per_10000=60)
        for (name, mine), (_, theirs) in zip(books(one), books(other), strict=True):
            assert mine == theirs, name
        assert one.number("SELECT count(*) FROM sale") > 0
