"""A card's line of counters, and where it is broken."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from settlement.ledger import cardline, store
from settlement.ledger.cardline import CardLine, read_line
from settlement.ledger.entries import Entry, LoadEnd, Resolved, Source, entry_for, load_for, opening_for
from settlement.ledger.pending import post_loads
from settlement.store.database import Database
from wire.ids import CardId, LoadId, TerminalId
from wire.money import Fen
from wire.record import TapRecord

if TYPE_CHECKING:
    from tests.settlement.conftest import FakeTill

AT, OUTAGE_S = 1_764_000_000, 86_400
POINT = TerminalId(bytes.fromhex("0000000000f1"))


@pytest.fixture
def card(ledger_db: Database, numbered_card: Callable[[int], CardId]) -> CardId:
    card = numbered_card(9)
    opening = opening_for(card, balance_fen=Fen(1_000), counter=5, source=Source("onecard", 1), opened_at_utc_s=1)
    with ledger_db.transaction():
        store.post(ledger_db, [opening])
    return card


def pay(db: Database, record: TapRecord, before_fen: int) -> None:
    record = replace(record, balance_before_fen=Fen(before_fen))
    entry = entry_for(record, suspense=None, source=Source("canteen", record.tap_id.seq), received_at_utc_s=AT)
    assert isinstance(entry, Entry)
    with db.transaction():
        store.post(db, [entry])


def load(db: Database, card: CardId, fen: int) -> None:
    load_id, source = LoadId(POINT, 1, 1), Source("topup", 1)
    grant = load_for(load_id, card, online_counter=0, amount_fen=Fen(fen), source=source, granted_at_utc_s=AT)
    end = LoadEnd(
        source=source,
        load_id=load_id,
        resolved=Resolved.POSTED,
        card=card,
        counter=0,
        amount_fen=Fen(fen),
        happened_at_utc_s=AT,
    )
    with db.transaction():
        post_loads(db, [grant, end])


def line(db: Database, card: CardId, now_utc_s: int = AT) -> CardLine:
    return read_line(db, card, now_utc_s=now_utc_s, outage_s=OUTAGE_S)


def test_line_that_goes_on_has_no_problem(ledger_db: Database, till: FakeTill, card: CardId) -> None:
    pay(ledger_db, till.tap(300, card=card, counter=5), 1_000)
    load(ledger_db, card, 2_000)
    pay(ledger_db, till.tap(0, card=card, counter=6), 2_700)
    pay(ledger_db, till.tap(50, card=card, counter=7), 2_700)
    found = line(ledger_db, card)
    assert (found.balance_fen, found.problems) == (2_650, [])
    assert [step.kind for step in found.steps] == ["OPENING", "PURCHASE", "PURCHASE", "PURCHASE", "LOAD"]


def test_gap_waits_as_long_as_a_terminal_may_be_cut_off(ledger_db: Database, till: FakeTill, card: CardId) -> None:
    pay(ledger_db, till.tap(300, card=card, counter=7), 1_000)
    (waiting,) = line(ledger_db, card, AT + OUTAGE_S - 1).problems
    assert ("counts 5 to 6" in waiting.words, waiting.alarm) == (True, False)
    (ripe,) = line(ledger_db, card, AT + OUTAGE_S).problems
    assert ripe.alarm


def test_count_that_is_there_twice_is_a_clone_and_no_gap(ledger_db: Database, till: FakeTill, card: CardId) -> None:
    pay(ledger_db, till.tap(300, card=card, counter=5), 1_000)
    pay(ledger_db, till.tap(100, card=card, counter=5), 1_000)
    found = line(ledger_db, card)
    assert [(problem.alarm, "cloned card" in problem.words) for problem in found.problems] == [(True, True)]
    assert [step.words for step in found.steps if step.item is not None] == ["COUNTER_TAKEN"]


def test_balance_that_does_not_continue_is_an_alarm_also_after_the_opening(
    ledger_db: Database, till: FakeTill, card: CardId
) -> None:
    pay(ledger_db, till.tap(300, card=card, counter=5), 900)
    pay(ledger_db, till.tap(100, card=card, counter=6), 601)
    words = [problem.words for problem in line(ledger_db, card).problems]
    assert len(words) == 2
    assert all("does not continue" in said for said in words)


def test_card_that_nobody_knows_has_an_empty_line(ledger_db: Database, numbered_card: Callable[[int], CardId]) -> None:
    assert line(ledger_db, numbered_card(1)) == CardLine(0, [], [])


def test_card_is_found_by_index(ledger_db: Database) -> None:
    plans = []
    for sql in (cardline._TAPS, cardline._BALANCE):
        params = [1] * sql.count("%s")
        plans += ledger_db.query(f"EXPLAIN QUERY PLAN {sql}", params, into=lambda *row: str(row[3]))
    scans = {plan for plan in plans if plan.startswith("SCAN") and "CONSTANT" not in plan}
    assert scans == {"SCAN band"}
