"""Loads: pending, posted, voided; whatever does not fit is suspended."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from settlement.ledger import store
from settlement.ledger.entries import Account, Entry, LoadEnd, Resolved, Source, load_for
from settlement.ledger.pending import pending_loads, post_loads
from settlement.ledger.store import Posted
from settlement.store.database import Database, RuleBroken
from wire.ids import CardId, LoadId, TerminalId
from wire.money import Fen
from wire.receipt import Suspense

CREATED, EXISTS, SUSPENDED = Posted.CREATED, Posted.EXISTS, Posted.SUSPENDED
DIFFERS = Posted.EXISTS_WITH_DIFFERENT_AMOUNT
POINT = TerminalId(bytes.fromhex("000000000901"))
GRANTED_UTC_S = 1_764_000_000

pytestmark = pytest.mark.usefixtures("purses")


@pytest.fixture
def card(numbered_card: Callable[[int], CardId]) -> CardId:
    return numbered_card(1)


def grant(card: CardId, amount_fen: int = 5_000, *, counter: int = 0, number: int = 1) -> Entry:
    source = Source("topup", 10 * number)
    load_id = LoadId(POINT, 1, number)
    return load_for(
        load_id,
        card,
        online_counter=counter,
        amount_fen=Fen(amount_fen),
        source=source,
        granted_at_utc_s=GRANTED_UTC_S,
    )


def end(load: Entry, resolved: Resolved = Resolved.POSTED, *, later_s: int = 5) -> LoadEnd:
    assert isinstance(load.origin, LoadId)
    assert load.card is not None
    assert load.counter is not None
    return LoadEnd(
        source=Source("topup", load.source.position + 1),
        load_id=load.origin,
        resolved=resolved,
        card=load.card,
        counter=load.counter,
        amount_fen=load.amount_fen,
        happened_at_utc_s=load.received_at_utc_s + later_s,
    )


def post(db: Database, *items: Entry | LoadEnd) -> list[Posted]:
    with db.transaction():
        return post_loads(db, items)


def float_and_cash(db: Database) -> tuple[int, int]:
    found = {account.number: account.balance_fen for account in store.balances(db)}
    return found[Account.CARD_FLOAT], found[Account.CASH_POINTS]


def reasons(db: Database) -> list[Suspense]:
    return [item.reason for item in store.open_suspense(db)]


def test_granted_load_is_on_its_way_and_in_no_balance(ledger_db: Database, card: CardId) -> None:
    load = grant(card)
    assert post(ledger_db, load) == [CREATED]
    assert float_and_cash(ledger_db) == (0, 0)
    (pending,) = pending_loads(ledger_db)
    assert (pending.load_id, pending.card, pending.amount_fen) == (load.origin, card, 5_000)
    assert pending.since_utc_s == GRANTED_UTC_S


def test_confirmed_load_moves_money_from_the_cash_points_to_the_purse(
    ledger_db: Database, card: CardId, purse_balances: Callable[[Database], dict[CardId, Fen]]
) -> None:
    load = grant(card)
    assert post(ledger_db, load, end(load)) == [CREATED, CREATED]
    assert float_and_cash(ledger_db) == (-5_000, 5_000)
    assert purse_balances(ledger_db) == {card: 5_000}
    assert pending_loads(ledger_db) == []
    assert store.unbalanced_entries(ledger_db) == []


def test_voided_load_moves_nothing_and_leaves_its_count_to_the_next(ledger_db: Database, card: CardId) -> None:
    first, second = grant(card), grant(card, 700, number=2)
    assert post(ledger_db, first, end(first, Resolved.VOIDED), second, end(second)) == [CREATED] * 4
    assert float_and_cash(ledger_db) == (-700, 700)
    assert pending_loads(ledger_db) == []


@pytest.mark.parametrize("resolved", Resolved)
def test_repeat_of_a_load_and_of_its_end_changes_nothing(ledger_db: Database, card: CardId, resolved: Resolved) -> None:
    load = grant(card)
    post(ledger_db, load, end(load, resolved))
    before = float_and_cash(ledger_db)
    assert post(ledger_db, load, end(load, resolved), load) == [EXISTS] * 3
    assert float_and_cash(ledger_db) == before
    assert reasons(ledger_db) == []


def test_load_that_comes_again_with_another_amount_card_or_count_is_an_alarm(
    ledger_db: Database, card: CardId, numbered_card: Callable[[int], CardId]
) -> None:
    load = grant(card)
    post(ledger_db, load)
    others = [replace(load, amount_fen=Fen(1)), replace(load, card=numbered_card(2)), replace(load, counter=3)]
    assert post(ledger_db, *others, end(replace(load, amount_fen=Fen(2)))) == [DIFFERS] * 4
    assert reasons(ledger_db) == [Suspense.TAP_DIFFERS] * 4
    assert [pending.amount_fen for pending in pending_loads(ledger_db)] == [5_000]


def test_confirmed_load_that_was_never_granted_is_suspended_and_never_dropped(
    ledger_db: Database, card: CardId
) -> None:
    load = grant(card)
    confirmed, voided = end(load), end(grant(card, number=2), Resolved.VOIDED)
    assert post(ledger_db, confirmed, confirmed, voided) == [SUSPENDED] * 3
    assert reasons(ledger_db) == [Suspense.CONFIRMED_NOT_PENDING, Suspense.VOIDED_NOT_PENDING]
    assert [item.origin for item in store.open_suspense(ledger_db)] == [load.origin, LoadId(POINT, 1, 2)]
    assert float_and_cash(ledger_db) == (0, 0)


@pytest.mark.parametrize(("first", "then"), [tuple(Resolved), tuple(Resolved)[::-1]])
def test_load_that_ended_otherwise_is_suspended(
    ledger_db: Database, card: CardId, first: Resolved, then: Resolved
) -> None:
    load = grant(card)
    assert post(ledger_db, load, end(load, first), end(load, then)) == [CREATED, CREATED, SUSPENDED]
    assert float_and_cash(ledger_db)[1] == (5_000 if first is Resolved.POSTED else 0)
    (reason,) = reasons(ledger_db)
    confirmed = then is Resolved.POSTED
    assert reason is (Suspense.CONFIRMED_NOT_PENDING if confirmed else Suspense.VOIDED_NOT_PENDING)


@pytest.mark.parametrize("confirmed", [True, False])
def test_second_load_with_a_count_of_the_card_that_is_taken_is_suspended(
    ledger_db: Database, card: CardId, confirmed: bool
) -> None:
    first, second = grant(card), grant(card, number=2)
    post(ledger_db, first, *([end(first)] if confirmed else []))
    assert post(ledger_db, second) == [SUSPENDED]
    assert reasons(ledger_db) == [Suspense.COUNTER_TAKEN]


def test_load_of_a_purse_without_opening_is_suspended(
    ledger_db: Database, numbered_card: Callable[[int], CardId]
) -> None:
    assert post(ledger_db, grant(numbered_card(77))) == [SUSPENDED]
    assert reasons(ledger_db) == [Suspense.CARD_UNKNOWN]


def test_load_that_is_confirmed_on_a_later_day_is_booked_on_that_day(ledger_db: Database, card: CardId) -> None:
    load = grant(card)
    post(ledger_db, load, end(load, later_s=86_400))
    days = ledger_db.query("SELECT accounting_day FROM entry_resolution", into=int)
    assert days == [20251126]


@pytest.mark.parametrize("resolved", [None, Resolved.VOIDED])
def test_database_itself_refuses_postings_of_a_load_that_is_not_confirmed(
    ledger_db: Database, card: CardId, resolved: Resolved | None
) -> None:
    load = grant(card)
    post(ledger_db, load, *([] if resolved is None else [end(load, resolved)]))
    number = ledger_db.number("SELECT id FROM entry WHERE kind = 3")
    with pytest.raises(RuleBroken, match="a_pending_entry_moves_no_money"):
        ledger_db.execute(
            "INSERT INTO other_posting (entry_id, account_id, amount_fen) VALUES (%s, 1010, 1)", (number,)
        )


def test_database_itself_refuses_a_second_end_an_end_of_no_load_and_a_second_load_at_a_count(
    ledger_db: Database, card: CardId
) -> None:
    load = grant(card)
    post(ledger_db, load, end(load))
    number = ledger_db.number("SELECT id FROM entry WHERE kind = 3")
    resolve = "INSERT INTO entry_resolution VALUES (%s, 2, 'topup', 1, 1, 20250101)"
    with pytest.raises(RuleBroken, match="entry_resolution_is_never_replaced"):
        ledger_db.execute(resolve, (number,))
    with pytest.raises(RuleBroken, match="only_a_pending_entry_is_resolved"):
        ledger_db.execute(resolve, (ledger_db.number("SELECT min(id) FROM entry WHERE kind = 1"),))
    with pytest.raises(RuleBroken, match="a_card_counts_each_load_once"):
        store.add_entries(ledger_db, [grant(card, number=2)])


@pytest.mark.parametrize("table", ["other_entry", "other_posting", "entry_resolution"])
def test_failure_at_any_statement_keeps_nothing(ledger_db: Database, card: CardId, table: str) -> None:
    load = grant(card)
    ledger_db.execute(f"CREATE TRIGGER disk_fails AFTER INSERT ON {table} BEGIN SELECT RAISE(ABORT, 'full'); END")
    with pytest.raises(RuleBroken, match="full"):
        post(ledger_db, load, end(load))
    assert ledger_db.number("SELECT count(*) FROM entry WHERE kind = 3") == 0
    assert ledger_db.number("SELECT count(*) FROM entry_resolution") == 0
    assert float_and_cash(ledger_db) == (0, 0)
    ledger_db.execute("DROP TRIGGER disk_fails")
    assert post(ledger_db, load, end(load)) == [CREATED, CREATED]


STEPS = st.lists(
    st.tuples(st.sampled_from(("grant", "confirm", "void")), st.integers(1, 4), st.integers(0, 2), st.integers(1, 3)),
    max_size=25,
)


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
def test_whatever_comes_in_whatever_order_the_books_are_those_of_a_plain_model(
    ledger_db: Database, card: CardId, steps: list[tuple[str, int, int, int]]
) -> None:
    base = 1_000 * (1 + ledger_db.number("SELECT coalesce(max(seq), 0) FROM entry") // 1_000)
    cash_before = float_and_cash(ledger_db)[1]
    live: dict[int, tuple[int, int, str]] = {}  # number: (counter, amount, state)
    for what, number, counter, amount_fen in steps:
        load = grant(card, amount_fen, counter=base + counter, number=base + number)
        state = live.get(number)
        if what == "grant":
            (result,) = post(ledger_db, load)
            held = {c for c, _, how in live.values() if how != "void"}
            if state is None and counter not in held:
                assert result is CREATED
                live[number] = (counter, amount_fen, "pending")
            elif state is None:
                assert result is SUSPENDED
            else:
                assert result is (EXISTS if state[:2] == (counter, amount_fen) else DIFFERS)
            continue
        (result,) = post(ledger_db, end(load, Resolved.POSTED if what == "confirm" else Resolved.VOIDED))
        if state is not None and state[:2] != (counter, amount_fen):
            assert result is DIFFERS
        elif state is not None and state[2] == "pending":
            assert result is CREATED
            live[number] = (counter, amount_fen, what)
        else:
            assert result is (EXISTS if state is not None and state[2] == what else SUSPENDED)
    loaded = sum(amount for _, amount, how in live.values() if how == "confirm")
    assert float_and_cash(ledger_db)[1] - cash_before == loaded
    numbers = [load.load_id.number - base for load in pending_loads(ledger_db) if load.load_id.number > base]
    assert sorted(numbers) == sorted(n for n, (_, _, how) in live.items() if how == "pending")
