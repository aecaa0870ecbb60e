"""Two people decide: what one proposes and another confirms is booked, once."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from settlement.ledger import store
from settlement.ledger.counters import Awaited
from settlement.ledger.decide import (
    Result,
    carry_out,
    close_asked_for,
    find_carried,
    find_item,
    finished_journals,
    objection,
    proposals,
    resolution_of,
)
from settlement.ledger.entries import Entry, Source, entry_for, suspended
from settlement.ledger.store import Posted
from settlement.ledger.unknown import Unsettled, awaited
from settlement.ledger.ways import How
from settlement.office import Action, Decision
from settlement.store.database import Database, RuleBroken
from wire.ids import CardId
from wire.money import Fen
from wire.receipt import Suspense
from wire.record import TapKind, TapRecord

if TYPE_CHECKING:
    from tests.settlement.conftest import FakeTill

AT = 1_764_100_000
pytestmark = pytest.mark.usefixtures("purses")


class Office:
    """Takes decisions as the office does, and has the ledger carry them out."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self.taken: list[Decision] = []

    def decide(self, action: Action, by: str, **facts: str | int) -> tuple[Decision, Result, str]:
        number = len(self.taken) + 1
        body = json.dumps(facts, sort_keys=True, separators=(",", ":"))
        decision = Decision(number, number.to_bytes(16), int(action), body, by, AT)
        self.taken.append(decision)
        with self._db.transaction():
            assert carry_out(self._db, [decision]) == [Posted.CREATED]
        carried = find_carried(self._db, decision.key)
        assert carried is not None
        return decision, Result(carried.result), carried.words

    def resolve(self, how: How, item: int = 1, **facts: str) -> tuple[Result, str]:
        proposal, result, words = self.decide(
            Action.RESOLVE, "Li Na", item=item, how=int(how), because="it was looked into", **facts
        )
        if result is not Result.WAITS:
            return result, words
        _, result, words = self.decide(Action.CONFIRM, "Wang Wei", proposal=proposal.key.hex())
        return result, words


@pytest.fixture
def office(ledger_db: Database) -> Office:
    return Office(ledger_db)


def suspend(db: Database, record: TapRecord, reason: Suspense = Suspense.TAC_WRONG) -> None:
    item = suspended(record, reason=reason, source=Source("canteen", record.tap_id.seq), received_at_utc_s=100)
    with db.transaction():
        store.post(db, [item])


def sums(db: Database) -> dict[int, int]:
    found = db.query(
        "SELECT account_id, CAST(sum(amount_fen) AS bigint) FROM posting GROUP BY account_id",
        into=lambda account, fen: (account, fen),
    )
    return {account: fen for account, fen in found if fen}


@pytest.mark.parametrize(
    ("how", "booked"),
    [
        (How.POST, {5003: 200, 2001: 300, 2002: -500}),
        (How.WRITE_OFF, {5002: 500, 2002: -500}),
        (How.RETURN, {2001: 300, 2006: -300}),
        (How.REJECT, {}),
    ],
)
def test_way_that_two_people_agree_on_is_booked_and_names_its_item(
    ledger_db: Database, till: FakeTill, office: Office, how: How, booked: dict[int, int]
) -> None:
    suspend(ledger_db, replace(till.tap(300), subsidy_fen=Fen(200)), Suspense.MAC2_REFUSED)
    result, words = office.resolve(how)
    assert (result, sums(ledger_db)) == (Result.DONE, booked)
    assert "item 1" in words
    assert store.open_suspense(ledger_db) == []
    told = resolution_of(ledger_db, 1)
    assert told is not None
    assert all(part in told for part in (how.label, "it was looked into", "Li Na", "Wang Wei"))


def test_tap_is_assigned_to_the_purse_that_paid(
    ledger_db: Database,
    till: FakeTill,
    office: Office,
    numbered_card: Callable[[int], CardId],
    purse_balances: Callable[[Database], dict[CardId, Fen]],
) -> None:
    suspend(ledger_db, till.tap(300, card=numbered_card(77)), Suspense.CARD_UNKNOWN)
    unknown = numbered_card(78).to_bytes().hex()
    assert office.resolve(How.ASSIGN, card=unknown)[0] is Result.REFUSED
    assert office.resolve(How.ASSIGN, card=numbered_card(2).to_bytes().hex())[0] is Result.DONE
    assert purse_balances(ledger_db) == {numbered_card(2): -300}


def test_nothing_is_booked_by_one_person_alone_whatever_the_case_of_the_name(
    ledger_db: Database, till: FakeTill, office: Office
) -> None:
    suspend(ledger_db, till.tap(300))
    proposal, result, _ = office.decide(Action.RESOLVE, "Li Na", item=1, how=int(How.POST), because="x")
    assert (result, [waiting.number for waiting in proposals(ledger_db)]) == (Result.WAITS, [1])
    _, result, words = office.decide(Action.CONFIRM, "li na", proposal=proposal.key.hex())
    assert (result, words) == (Result.REFUSED, "another person has to confirm it")
    assert sums(ledger_db) == {}


def test_item_is_resolved_once_and_a_decision_that_is_read_again_changes_nothing(
    ledger_db: Database, till: FakeTill, office: Office
) -> None:
    suspend(ledger_db, till.tap(300))
    assert office.resolve(How.POST)[0] is Result.DONE
    assert office.resolve(How.POST) == (Result.REFUSED, "item 1 is resolved already")
    before = sums(ledger_db)
    with ledger_db.transaction():
        assert set(carry_out(ledger_db, office.taken)) == {Posted.EXISTS}
    assert (sums(ledger_db), proposals(ledger_db)) == (before, [])


def test_way_that_the_reason_does_not_allow_is_refused_with_those_that_it_does(
    ledger_db: Database, till: FakeTill, office: Office
) -> None:
    suspend(ledger_db, till.tap(300), Suspense.CARD_UNKNOWN)
    assert office.resolve(How.POST) == (
        Result.REFUSED,
        "item 1 (CARD_UNKNOWN) can be resolved by: assign, write-off, reject",
    )
    assert office.resolve(How.POST, item=9) == (Result.REFUSED, "there is no item 9")
    assert find_item(ledger_db, 9) is None


def test_database_itself_refuses_a_resolution_that_one_person_proposed_and_confirmed(
    ledger_db: Database, till: FakeTill, office: Office
) -> None:
    suspend(ledger_db, till.tap(300))
    suspend(ledger_db, till.tap(200))
    office.resolve(How.REJECT)
    for first, second in (("a", "a"), ("a", "b")):
        with pytest.raises(RuleBroken, match="two_people_decide"):
            ledger_db.execute(
                "INSERT INTO suspense_resolution (suspense_item_id, outcome, entry_id, resolved_at_utc_s, how, because,"
                f" proposed_by, confirmed_by) VALUES (2, 4, 1, 1, 1, '', '{first}', '{second}')"
            )


def test_journal_that_two_people_declare_finished_is_waited_for_no_more(ledger_db: Database, office: Office) -> None:
    facts: dict[str, str | int] = {"terminal": "000000000101", "epoch": 1, "because": "burnt"}
    proposal, result, _ = office.decide(Action.FINISH, "Li Na", **facts)
    assert (result, finished_journals(ledger_db)) == (Result.WAITS, set())
    assert office.decide(Action.CONFIRM, "Wang Wei", proposal=proposal.key.hex())[1] is Result.DONE
    assert finished_journals(ledger_db) == {(bytes.fromhex("000000000101"), 1)}
    assert office.decide(Action.FINISH, "Li Na", **facts)[1] is Result.REFUSED


def test_day_that_is_asked_for_is_remembered_and_what_is_no_decision_is_refused(
    ledger_db: Database, office: Office
) -> None:
    assert close_asked_for(ledger_db) == 0
    office.decide(Action.CLOSE_DAY, "Li Na", day=20251125)
    assert close_asked_for(ledger_db) == 20251125
    assert office.decide(Action.RESOLVE, "Li Na")[1] is Result.REFUSED
    assert office.decide(Action.CONFIRM, "Li Na", proposal="00")[1] is Result.REFUSED
    assert objection(ledger_db, office.taken[0]) is None


def taken(record: TapRecord) -> Entry:
    """The tap as its stream would have it if it found no doubt in it."""
    found = entry_for(record, suspense=None, source=Source("canteen", 70), received_at_utc_s=200)
    assert isinstance(found, Entry)
    return found


@pytest.mark.parametrize("how", [How.POST, How.RETURN])
def test_later_tap_with_the_count_that_people_said_was_paid_is_suspended(
    ledger_db: Database, till: FakeTill, make_till: Callable[[int], FakeTill], office: Office, how: How
) -> None:
    suspend(ledger_db, till.tap(300, counter=4), Suspense.OUTCOME_UNKNOWN)
    assert office.resolve(how)[0] is Result.DONE
    before = sums(ledger_db)
    with ledger_db.transaction():
        assert store.post(ledger_db, [taken(make_till(300).tap(300, counter=4))]) == [Posted.SUSPENDED]
    assert [item.reason for item in store.open_suspense(ledger_db)] == [Suspense.COUNTER_TAKEN]
    assert sums(ledger_db) == before


@pytest.mark.parametrize("how", [How.POST, How.WRITE_OFF, How.RETURN, How.REJECT])
def test_tap_that_people_decided_about_is_not_booked_as_well_when_its_source_is_read_again(
    ledger_db: Database, till: FakeTill, office: Office, how: How
) -> None:
    tap = till.tap(300)
    suspend(ledger_db, tap, Suspense.OUTCOME_UNKNOWN)
    assert office.resolve(how)[0] is Result.DONE
    before = sums(ledger_db)
    with ledger_db.transaction():
        assert store.post(ledger_db, [taken(tap)]) == [Posted.EXISTS]
        more = replace(tap, amount_fen=Fen(301))
        assert store.post(ledger_db, [taken(more)]) == [Posted.EXISTS_WITH_DIFFERENT_AMOUNT]
    assert sums(ledger_db) == before


def test_taps_that_people_post_at_one_count_are_booked_both_as_they_decided(
    ledger_db: Database, till: FakeTill, make_till: Callable[[int], FakeTill], office: Office
) -> None:
    suspend(ledger_db, till.tap(300, counter=4), Suspense.OUTCOME_UNKNOWN)
    suspend(ledger_db, make_till(300).tap(200, counter=4), Suspense.COUNTER_TAKEN)
    assert [office.resolve(How.POST, item)[0] for item in (1, 2)] == [Result.DONE, Result.DONE]
    assert sums(ledger_db) == {2001: 500, 2002: -500}


def test_refund_that_people_posted_counts_when_its_sale_is_taken_back_later(
    ledger_db: Database, till: FakeTill, office: Office
) -> None:
    sale, refund = till.tap(300), replace(till.tap(0), kind=TapKind.REFUND, credit_fen=Fen(300), refers_to=1)
    suspend(ledger_db, refund, Suspense.CREDIT_UNFOUNDED)
    assert office.resolve(How.POST)[0] is Result.DONE
    again = replace(till.tap(0), kind=TapKind.REFUND, credit_fen=Fen(300), refers_to=1)
    with ledger_db.transaction():
        assert store.post(ledger_db, [taken(sale), taken(again)]) == [Posted.CREATED, Posted.SUSPENDED]
    assert sums(ledger_db) == {2001: 300, 2006: -300}


def test_tap_that_people_posted_proves_nothing_of_an_unknown_one(
    ledger_db: Database, till: FakeTill, make_till: Callable[[int], FakeTill], office: Office
) -> None:
    suspend(ledger_db, till.tap(300, counter=4), Suspense.TAC_WRONG)
    assert office.resolve(How.POST)[0] is Result.DONE
    suspend(ledger_db, make_till(300).tap(300, counter=4), Suspense.OUTCOME_UNKNOWN)
    suspend(ledger_db, make_till(301).tap(300, counter=3), Suspense.OUTCOME_UNKNOWN)
    assert Unsettled(outage_s=0).settle(ledger_db, now_utc_s=AT * 2, complete=True) == 0
    waits = awaited(ledger_db, now_utc_s=AT * 2, outage_s=0, complete=True)
    assert {item: waiting.awaited for item, waiting in waits.items()} == {2: Awaited.PERSON, 3: Awaited.NEXT_USE}
