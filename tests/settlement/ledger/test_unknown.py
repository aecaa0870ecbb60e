"""Unknown taps are settled in the books from what later taps of their cards prove."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from settlement.ledger import booked, store, unknown
from settlement.ledger.counters import Awaited, Waiting
from settlement.ledger.entries import Entry, LoadEnd, Resolved, Source, SuspenseItem, entry_for, load_for
from settlement.ledger.pending import post_loads
from settlement.ledger.store import Posted
from settlement.ledger.unknown import PORTION_MAX, Settled, Unsettled, awaited, settlements
from settlement.store.database import Database, RuleBroken
from wire.ids import CardId, LoadId, TapId, TerminalId
from wire.money import Fen
from wire.receipt import Suspense
from wire.record import Outcome, TapRecord

if TYPE_CHECKING:
    from tests.settlement.conftest import FakeTill

OUTAGE_S = 7 * 86_400
RECEIVED = 1_764_000_000
DUE = RECEIVED + OUTAGE_S

pytestmark = pytest.mark.usefixtures("purses")


@pytest.fixture
def unsettled() -> Unsettled:
    return Unsettled(outage_s=OUTAGE_S)


def item(record: TapRecord, *, received: int = RECEIVED, suspense: Suspense | None = None) -> Entry | SuspenseItem:
    if record.outcome is Outcome.UNKNOWN:
        suspense = Suspense.OUTCOME_UNKNOWN
    found = entry_for(
        record, suspense=suspense, source=Source("canteen", record.tap_id.seq), received_at_utc_s=received
    )
    assert found is not None
    return found


def post(db: Database, *records: TapRecord, received: int = RECEIVED) -> list[Posted]:
    with db.transaction():
        return store.post(db, [item(record, received=received) for record in records])


def torn(till: FakeTill, amount_fen: int, counter: int, card: CardId | None = None) -> TapRecord:
    return till.tap(amount_fen, counter=counter, outcome=Outcome.UNKNOWN, card=card)


@pytest.fixture
def other(make_till: Callable[[int], FakeTill]) -> FakeTill:
    """Another till, on whose word balances are believed."""
    return make_till(7)


def before(other: FakeTill, tap: TapRecord, amount_fen: int = 100) -> TapRecord:
    """The card's purchase right before."""
    found = other.tap(amount_fen, counter=tap.counter - 1, card=tap.card)
    return replace(found, balance_before_fen=Fen(tap.balance_before_fen + amount_fen))


def after(other: FakeTill, tap: TapRecord, amount_fen: int = 700) -> TapRecord:
    """The card's purchase right after."""
    found = other.tap(amount_fen, counter=tap.counter + 1, card=tap.card)
    return replace(found, balance_before_fen=Fen(tap.balance_before_fen - tap.amount_fen))


def settle(db: Database, unsettled: Unsettled, now: int, *, complete: bool = True) -> int:
    return unsettled.settle(db, now_utc_s=now, complete=complete)


PostedTaps = Callable[[Database], dict[TapId, Fen]]


def test_tap_whose_count_another_purchase_has_is_settled_as_not_executed_at_once(
    ledger_db: Database, till: FakeTill, unsettled: Unsettled, posted_taps: PostedTaps
) -> None:
    tap, next_one = torn(till, 500, 3), till.tap(700, counter=3)
    post(ledger_db, tap)
    assert settle(ledger_db, unsettled, RECEIVED) == 0
    post(ledger_db, next_one)
    assert settle(ledger_db, unsettled, RECEIVED, complete=False) == 1
    (settled,) = settlements(ledger_db)
    assert (settled.origin, settled.outcome, settled.entry) == (tap.tap_id, Settled.NOT_EXECUTED, None)
    assert (settled.evidence_tap, settled.evidence_counter) == (next_one.tap_id, 3)
    assert store.open_suspense(ledger_db) == []
    assert posted_taps(ledger_db) == {next_one.tap_id: 700}


def test_tap_is_booked_when_the_card_went_on_and_nobody_else_has_brought_its_count_in_time(
    ledger_db: Database, till: FakeTill, other: FakeTill, unsettled: Unsettled, posted_taps: PostedTaps
) -> None:
    tap = torn(till, 500, 3)
    earlier, later = before(other, tap), after(other, tap)
    post(ledger_db, earlier, tap, later)
    assert settle(ledger_db, unsettled, DUE - 1) == 0
    assert awaited(ledger_db, now_utc_s=DUE - 1, outage_s=OUTAGE_S, complete=True) == {
        1: Waiting(Awaited.OTHER_TERMINALS, DUE)
    }
    assert settle(ledger_db, unsettled, DUE) == 1
    (settled,) = settlements(ledger_db)
    assert (settled.outcome, settled.evidence_tap) == (Settled.EXECUTED, later.tap_id)
    assert settled.entry is not None
    assert posted_taps(ledger_db) == {earlier.tap_id: 100, tap.tap_id: 500, later.tap_id: 700}
    assert store.unbalanced_entries(ledger_db) == []
    assert settle(ledger_db, unsettled, DUE) == 0


def test_settled_tap_keeps_its_own_time_and_is_booked_on_the_day_it_was_settled(
    ledger_db: Database, till: FakeTill, other: FakeTill, unsettled: Unsettled
) -> None:
    tap = torn(till, 500, 3)
    post(ledger_db, before(other, tap), tap, after(other, tap))
    settle(ledger_db, unsettled, DUE)
    sql = (
        "SELECT happened_at_utc_s, clock_quality, received_at_utc_s, balance_before_fen, accounting_day FROM entry"
        " WHERE counter = 3"
    )
    ((*times, day),) = ledger_db.query(sql, into=lambda *row: row)
    assert times == [tap.opened_at.utc_s, tap.opened_at.quality, RECEIVED, tap.balance_before_fen]
    assert day == 20251202


def test_record_that_contradicts_what_was_settled_is_suspended_and_overwrites_nothing(
    ledger_db: Database,
    till: FakeTill,
    make_till: Callable[[int], FakeTill],
    other: FakeTill,
    unsettled: Unsettled,
    posted_taps: PostedTaps,
) -> None:
    tap = torn(till, 500, 3)
    post(ledger_db, before(other, tap), tap, after(other, tap))
    settle(ledger_db, unsettled, DUE)
    booked = posted_taps(ledger_db)
    conflicting = make_till(9).tap(900, counter=3)
    assert post(ledger_db, conflicting, received=DUE + 1) == [Posted.SUSPENDED]
    (alarm,) = store.open_suspense(ledger_db)
    assert (alarm.origin, alarm.reason) == (conflicting.tap_id, Suspense.COUNTER_TAKEN)
    assert posted_taps(ledger_db) == booked
    assert settle(ledger_db, unsettled, DUE + OUTAGE_S) == 0


def test_nothing_is_booked_while_a_source_was_not_read_to_its_end(
    ledger_db: Database, till: FakeTill, other: FakeTill, unsettled: Unsettled
) -> None:
    tap = torn(till, 500, 3)
    post(ledger_db, before(other, tap), tap, after(other, tap))
    assert settle(ledger_db, unsettled, DUE, complete=False) == 0
    waiting = awaited(ledger_db, now_utc_s=DUE, outage_s=OUTAGE_S, complete=False)
    assert list(waiting.values()) == [Waiting(Awaited.MISSING_TAPS)]
    assert settle(ledger_db, unsettled, DUE) == 1


def test_of_several_at_one_count_in_one_journal_the_last_is_booked_and_proves_the_others(
    ledger_db: Database, till: FakeTill, other: FakeTill, unsettled: Unsettled, posted_taps: PostedTaps
) -> None:
    first, second = torn(till, 500, 3), torn(till, 600, 3)
    earlier, later = before(other, second), after(other, second)
    post(ledger_db, earlier, first, second, later)
    assert [settle(ledger_db, unsettled, DUE) for _ in range(3)] == [1, 1, 0]
    assert posted_taps(ledger_db) == {earlier.tap_id: 100, second.tap_id: 600, later.tap_id: 700}
    outcomes = {settled.origin: (settled.outcome, settled.evidence_tap) for settled in settlements(ledger_db)}
    assert outcomes == {
        second.tap_id: (Settled.EXECUTED, later.tap_id),
        first.tap_id: (Settled.NOT_EXECUTED, second.tap_id),
    }


@pytest.mark.parametrize("from_same_till", [True, False])
def test_unknown_tap_that_comes_after_its_count_was_settled_for_another_is_a_persons(
    ledger_db: Database,
    till: FakeTill,
    make_till: Callable[[int], FakeTill],
    other: FakeTill,
    unsettled: Unsettled,
    posted_taps: PostedTaps,
    *,
    from_same_till: bool,
) -> None:
    tap = torn(till, 500, 3)
    earlier, later = before(other, tap), after(other, tap)
    post(ledger_db, earlier, tap, later)
    assert settle(ledger_db, unsettled, DUE) == 1
    late = torn(till if from_same_till else make_till(9), 600, 3)
    post(ledger_db, late, received=DUE + 1)
    assert settle(ledger_db, unsettled, DUE + OUTAGE_S) == 0
    assert [found.origin for found in store.open_suspense(ledger_db)] == [late.tap_id]
    assert list(awaited(ledger_db, now_utc_s=DUE, outage_s=OUTAGE_S, complete=True).values()) == [
        Waiting(Awaited.PERSON)
    ]
    assert posted_taps(ledger_db) == {earlier.tap_id: 100, tap.tap_id: 500, later.tap_id: 700}


def test_of_two_counts_in_a_row_neither_tells_the_others_balance(
    ledger_db: Database, till: FakeTill, other: FakeTill, unsettled: Unsettled
) -> None:
    first = torn(till, 500, 3)
    second = replace(torn(till, 600, 4), balance_before_fen=Fen(first.balance_before_fen - 500))
    post(ledger_db, before(other, first), first, second)
    post(ledger_db, after(other, second), received=RECEIVED + 50)
    waiting = awaited(ledger_db, now_utc_s=DUE + 49, outage_s=OUTAGE_S, complete=True)
    assert list(waiting.values()) == [Waiting(Awaited.OTHER_TERMINALS, DUE + 50)] * 2
    assert settle(ledger_db, unsettled, DUE + 50) == 0
    waiting = awaited(ledger_db, now_utc_s=DUE + 50, outage_s=OUTAGE_S, complete=True)
    assert list(waiting.values()) == [Waiting(Awaited.PERSON_BALANCE)] * 2


@pytest.mark.parametrize("told_fen", [100_000, 199_999])
def test_till_that_debits_a_fen_and_claims_a_thousand_yuan_is_not_believed(
    ledger_db: Database,
    till: FakeTill,
    other: FakeTill,
    unsettled: Unsettled,
    posted_taps: PostedTaps,
    told_fen: int,
) -> None:
    really = torn(till, 1, 3)
    claimed = replace(really, amount_fen=Fen(100_000), balance_before_fen=Fen(told_fen))
    post(ledger_db, before(other, really), claimed, after(other, really))
    assert settle(ledger_db, unsettled, DUE) == 0
    assert claimed.tap_id not in posted_taps(ledger_db)
    waiting = awaited(ledger_db, now_utc_s=DUE, outage_s=OUTAGE_S, complete=True)
    assert list(waiting.values()) == [Waiting(Awaited.PERSON_AMOUNT)]


def test_till_whose_own_taps_are_around_it_is_not_believed(
    ledger_db: Database, till: FakeTill, unsettled: Unsettled
) -> None:
    tap = torn(till, 500, 3)
    post(ledger_db, before(till, tap), tap, after(till, tap))
    assert settle(ledger_db, unsettled, DUE) == 0
    waiting = awaited(ledger_db, now_utc_s=DUE, outage_s=OUTAGE_S, complete=True)
    assert list(waiting.values()) == [Waiting(Awaited.PERSON_BALANCE)]


def test_rows_from_before_balances_were_kept_are_a_persons(
    ledger_db: Database, till: FakeTill, other: FakeTill, unsettled: Unsettled
) -> None:
    tap = torn(till, 500, 3)
    entry = item(after(other, tap))
    assert isinstance(entry, Entry)
    post(ledger_db, before(other, tap), tap)
    with ledger_db.transaction():
        store.post(ledger_db, [replace(entry, balance_before_fen=None)])
    assert settle(ledger_db, unsettled, DUE) == 0
    waiting = awaited(ledger_db, now_utc_s=DUE, outage_s=OUTAGE_S, complete=True)
    assert list(waiting.values()) == [Waiting(Awaited.PERSON_BALANCE)]


@pytest.mark.parametrize(("resolved", "settled"), [(Resolved.POSTED, 1), (Resolved.VOIDED, 0)])
def test_posted_load_in_between_is_part_of_the_balance(
    ledger_db: Database, till: FakeTill, other: FakeTill, unsettled: Unsettled, resolved: Resolved, settled: int
) -> None:
    tap = torn(till, 500, 3)
    later = replace(after(other, tap), balance_before_fen=Fen(tap.balance_before_fen - 500 + 2_000))
    later = replace(later, opened_at=replace(later.opened_at, utc_s=tap.opened_at.utc_s + 60))
    post(ledger_db, before(other, tap), tap, later)
    load = LoadId(TerminalId(bytes(5) + b"\x09"), 1, 1)
    granted = load_for(
        load,
        tap.card,
        online_counter=0,
        amount_fen=Fen(2_000),
        source=Source("topup", 1),
        granted_at_utc_s=tap.opened_at.utc_s + 30,
    )
    end = LoadEnd(
        source=Source("topup", 2),
        load_id=load,
        resolved=resolved,
        card=tap.card,
        counter=0,
        amount_fen=Fen(2_000),
        happened_at_utc_s=DUE,
    )
    with ledger_db.transaction():
        post_loads(ledger_db, [granted])
    assert settle(ledger_db, unsettled, DUE) == 0
    with ledger_db.transaction():
        post_loads(ledger_db, [end])
    assert settle(ledger_db, unsettled, DUE) == settled


def test_rivals_of_two_terminals_a_parked_claim_and_a_tap_from_before_the_opening_wait_for_a_person(
    ledger_db: Database,
    till: FakeTill,
    make_till: Callable[[int], FakeTill],
    unsettled: Unsettled,
    numbered_card: Callable[[int], CardId],
) -> None:
    one, two = numbered_card(1), numbered_card(2)
    post(ledger_db, torn(till, 500, 3, one), torn(make_till(9), 600, 3, one), till.tap(700, counter=4, card=one))
    with ledger_db.transaction():
        parked = till.tap(100, counter=6, card=two, wrong_tac=True)
        store.post(ledger_db, [item(parked, suspense=Suspense.TAC_WRONG)])
    post(ledger_db, torn(till, 800, 6, two), till.tap(700, counter=7, card=two))
    assert settle(ledger_db, unsettled, DUE) == 0
    waiting = awaited(ledger_db, now_utc_s=DUE, outage_s=OUTAGE_S, complete=True)
    assert [found.awaited for found in waiting.values()] == [Awaited.PERSON] * 3


def test_ledger_that_starts_anew_goes_on_with_what_waits_and_every_item_has_its_turn(
    ledger_db: Database, till: FakeTill, other: FakeTill, posted_taps: PostedTaps
) -> None:
    taps = [torn(till, 500, 10 + 3 * n) for n in range(PORTION_MAX + 20)]
    post(ledger_db, *taps)
    for tap in taps:
        post(ledger_db, before(other, tap), after(other, tap))
    assert settle(ledger_db, Unsettled(outage_s=OUTAGE_S), RECEIVED) == 0
    unsettled = Unsettled(outage_s=OUTAGE_S)
    assert [settle(ledger_db, unsettled, DUE) for _ in range(3)] == [PORTION_MAX, 20, 0]
    assert posted_taps(ledger_db).items() >= {tap.tap_id: 500 for tap in taps}.items()
    assert len(posted_taps(ledger_db)) == 3 * (PORTION_MAX + 20)


@pytest.mark.parametrize("table", ["other_entry", "other_posting", "suspense_resolution"])
def test_failure_at_any_statement_settles_nothing_and_the_next_turn_does(
    ledger_db: Database, till: FakeTill, other: FakeTill, unsettled: Unsettled, table: str, posted_taps: PostedTaps
) -> None:
    tap = torn(till, 500, 3)
    earlier, later = before(other, tap), after(other, tap)
    post(ledger_db, earlier, tap, later)
    ledger_db.execute(f"CREATE TRIGGER disk_fails AFTER INSERT ON {table} BEGIN SELECT RAISE(ABORT, 'full'); END")
    with pytest.raises(RuleBroken, match="full"):
        settle(ledger_db, unsettled, DUE)
    assert posted_taps(ledger_db) == {earlier.tap_id: 100, later.tap_id: 700}
    ledger_db.execute("DROP TRIGGER disk_fails")
    assert settle(ledger_db, unsettled, DUE) == 1


def test_database_itself_refuses_a_resolution_that_the_cards_line_does_not_prove(
    ledger_db: Database, till: FakeTill, numbered_card: Callable[[int], CardId]
) -> None:
    other = till.tap(900, counter=9, card=numbered_card(2))
    post(ledger_db, torn(till, 500, 3), till.tap(700, counter=4), till.tap(800, counter=2), other)
    numbers = ledger_db.query("SELECT id FROM entry WHERE kind = 2 ORDER BY id", into=int)
    resolve = (
        "INSERT INTO suspense_resolution (suspense_item_id, outcome, evidence_id, entry_id, resolved_at_utc_s)"
        " VALUES (1, %s, %s, %s, 1)"
    )
    for outcome, evidence, entry in [
        (2, numbers[0], None),  # another count
        (1, numbers[1], numbers[0]),  # a lower count
        (1, numbers[2], numbers[0]),  # another card
        (1, numbers[0], numbers[0]),  # booked is another tap
        (1, numbers[0], None),  # booked is nothing
    ]:
        with pytest.raises(RuleBroken, match=r"a_cards_line_of_counters_proves_it|what_was_executed_is_booked"):
            ledger_db.execute(resolve, (outcome, evidence, entry))


def test_looking_for_what_waits_reads_by_index(ledger_db: Database, till: FakeTill) -> None:
    post(ledger_db, torn(till, 500, 3))
    rows = {unknown._NEW: 0, unknown._COUNTS: 1, unknown._ITEMS: 2, unknown._LINES: 2, unknown._LOADS: 4}
    plans = []
    for sql, columns in rows.items():
        asked = sql.format(rows=booked.placeholders(columns, 3)) if columns else sql
        plans += ledger_db.query(f"EXPLAIN QUERY PLAN {asked}", [1] * asked.count("%s"), into=lambda *row: str(row[3]))
    scans = {plan for plan in plans if plan.startswith("SCAN") and "CONSTANT" not in plan}
    assert scans == {"SCAN line", "SCAN band"}  # the card and counts that are asked for, and the bands of counts
