"""Days are closed in their order, keep their totals, and never change."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from settlement.ledger import store
from settlement.ledger.clearing import Owner, statements, takings_of
from settlement.ledger.days import BooksUnbalanced, Close, close_days, closes, is_open, last_close, wrong_closes
from settlement.ledger.entries import Entry, Source, entry_for, next_day
from settlement.ledger.trial import roll_forward, trial_balance
from settlement.store.database import Database, Row, RuleBroken, Value
from wire.ids import CardId
from wire.money import Fen
from wire.record import TapKind, TapRecord

if TYPE_CHECKING:
    from tests.settlement.conftest import FakeTill

DAY, NEXT, AFTER = 20251125, 20251126, 20251127
NOON = 1_764_043_200  # of DAY, campus time
A_DAY_S = 86_400
_POSTING = "(id, entry_id, account_id, purse, amount_fen, accounting_day) VALUES"

pytestmark = pytest.mark.usefixtures("purses")


class TwoMerchants:
    """What the first terminal sells before noon is merchant 1's, later merchant 2's."""

    def owner_of(self, source: str, terminal: bytes, utc_s: int) -> Owner:
        number = 1 if utc_s < NOON else 2
        return Owner(10 + number, number, f"merchant {number}")

    def is_same(self, source: str, terminal: bytes, first_utc_s: int, last_utc_s: int) -> bool:
        return (first_utc_s < NOON) == (last_utc_s < NOON)


def entry(record: TapRecord, received_at_utc_s: int) -> Entry:
    item = entry_for(
        record,
        suspense=None,
        source=Source("canteen", record.tap_id.seq),
        received_at_utc_s=received_at_utc_s,
    )
    assert isinstance(item, Entry)
    return item


def sell(db: Database, till: FakeTill, fen: int, *, received_at_utc_s: int, subsidy_fen: int = 0) -> TapRecord:
    record = replace(till.tap(fen), subsidy_fen=Fen(subsidy_fen))
    with db.transaction():
        assert store.post(db, [entry(record, received_at_utc_s)]) == [store.Posted.CREATED]
    return record


def take_back(db: Database, till: FakeTill, sale: TapRecord, *, received_at_utc_s: int) -> None:
    record = replace(
        till.tap(0),
        kind=TapKind.REVERSAL,
        credit_fen=sale.amount_fen,
        subsidy_fen=sale.subsidy_fen,
        refers_to=sale.tap_id.seq,
    )
    with db.transaction():
        assert store.post(db, [entry(record, received_at_utc_s)]) == [store.Posted.CREATED]


def close(db: Database, through: int, fee_per_10000: int = 0) -> list[Close]:
    return close_days(
        db, through=through, now_utc_s=NOON + 9 * A_DAY_S, owners=TwoMerchants(), fee_per_10000=fee_per_10000
    )


def test_books_are_closed_with_their_totals_and_what_comes_later_is_booked_on_the_open_day(
    ledger_db: Database, till: FakeTill
) -> None:
    close(ledger_db, 20250101)  # the purses were taken over long before
    sell(ledger_db, till, 500, received_at_utc_s=NOON)
    sell(ledger_db, till, 700, received_at_utc_s=NOON + A_DAY_S)
    (first,) = close(ledger_db, DAY)
    assert (first.day, first.entries, is_open(ledger_db, DAY), is_open(ledger_db, NEXT)) == (DAY, 1, False, True)
    late = sell(ledger_db, till, 30, received_at_utc_s=NOON)
    (second,) = close(ledger_db, NEXT)
    assert (second.number, second.entries) == (first.number + 1, 2)
    found = ledger_db.query(
        "SELECT accounting_day, received_at_utc_s FROM entry WHERE seq = %s",
        (late.tap_id.seq,),
        into=lambda *row: row,
    )
    assert found == [(NEXT, NOON)]
    lines = {line.account: line for line in trial_balance(ledger_db, NEXT, NEXT)}
    assert (lines[2002].opening_fen, lines[2002].credit_fen, lines[2002].closing_fen) == (-500, 730, -1230)
    assert all(line.is_right for line in lines.values())
    assert wrong_closes(ledger_db) == []


def test_close_of_several_days_makes_one_for_each_that_has_something_and_the_last(
    ledger_db: Database, till: FakeTill
) -> None:
    close(ledger_db, 20250101)
    for day in range(2):
        sell(ledger_db, till, 500, received_at_utc_s=NOON + day * A_DAY_S)
    assert [made.day for made in close(ledger_db, 20251130)] == [DAY, NEXT, 20251130]
    assert close(ledger_db, 20251130) == []
    assert [made.day for made in closes(ledger_db, NEXT, NEXT)] == [NEXT]


def test_database_itself_refuses_what_would_change_a_closed_day(ledger_db: Database, till: FakeTill) -> None:
    sell(ledger_db, till, 500, received_at_utc_s=NOON)
    close(ledger_db, DAY)
    columns = "happened_at_utc_s, clock_quality, received_at_utc_s, accounting_day"
    with pytest.raises(RuleBroken, match="nothing_is_booked_on_a_closed_day"):
        ledger_db.execute(
            "INSERT INTO other_entry (id, kind, source, source_position, card, counter, amount_fen, subsidy_fen,"
            f" {columns}) VALUES (99, 7, '', 1, NULL, NULL, 1, 0, 1, 1, 1, {DAY})"
        )
    with pytest.raises(RuleBroken, match="nothing_is_posted_on_a_closed_day"):
        ledger_db.execute(f"INSERT INTO other_posting {_POSTING} (99, 1, 1001, NULL, 1, {DAY})")
    last = last_close(ledger_db)
    assert last is not None
    with pytest.raises(RuleBroken, match="days_are_closed_in_their_order"):
        ledger_db.execute(
            "INSERT INTO day_close (number, day, closed_at_utc_s, entries, entries_seen, postings_seen, entries_last,"
            " postings_last, entries_hash, chain_hash)"
            f" SELECT number + 2, {AFTER}, 1, 1, 1, 1, 1, 1, entries_hash, chain_hash FROM day_close"
        )


def test_entry_that_was_changed_behind_the_triggers_is_found_in_its_day(ledger_db: Database, till: FakeTill) -> None:
    for day in range(2):
        sell(ledger_db, till, 500, received_at_utc_s=NOON + day * A_DAY_S)
    close(ledger_db, NEXT)
    ledger_db.execute("DROP TRIGGER other_entry_is_never_changed")
    ledger_db.execute(f"UPDATE other_entry SET amount_fen = 499 WHERE accounting_day = {DAY}")
    wrong = wrong_closes(ledger_db)
    assert wrong
    assert all(words.startswith(str(DAY)) for words in wrong)


def test_books_that_do_not_balance_are_not_closed(ledger_db: Database, till: FakeTill) -> None:
    sell(ledger_db, till, 500, received_at_utc_s=NOON)
    ledger_db.execute(f"INSERT INTO other_posting {_POSTING} (99, 6, 1001, NULL, 5, {DAY})")
    with pytest.raises(BooksUnbalanced):
        close(ledger_db, DAY)
    assert not closes(ledger_db, DAY, DAY)


def test_float_rolls_forward_and_the_purses_sum_to_it(
    ledger_db: Database, till: FakeTill, numbered_card: Callable[[int], CardId]
) -> None:
    close(ledger_db, 20250101)
    sale = sell(ledger_db, till, 500, received_at_utc_s=NOON, subsidy_fen=300)
    sell(ledger_db, till, 200, received_at_utc_s=NOON)
    take_back(ledger_db, till, sale, received_at_utc_s=NOON)
    close(ledger_db, DAY)
    roll = roll_forward(ledger_db, DAY, DAY)
    assert (roll.opening_fen, roll.subsidies_fen, roll.purchases_fen, roll.closing_fen) == (0, 300, 1000, -700)
    assert (roll.purses_fen, roll.overdrawn, roll.overdrawn_fen) == (-700, 1, -700)
    assert (roll.refunds_payable_fen, roll.is_right) == (500, True)
    assert not replace(roll, purses_fen=-699).is_right
    close(ledger_db, NEXT)
    assert roll_forward(ledger_db, DAY, DAY).purses_fen is None


def test_merchant_gets_a_numbered_statement_of_what_the_terminals_sold_in_his_time_less_the_fee(
    ledger_db: Database, till: FakeTill
) -> None:
    sale = sell(ledger_db, till, 500, received_at_utc_s=NOON, subsidy_fen=300)
    sell(ledger_db, till, 1_000, received_at_utc_s=NOON)
    close(ledger_db, DAY)
    take_back(ledger_db, till, sale, received_at_utc_s=NOON + A_DAY_S)
    sell(ledger_db, till, 2_000, received_at_utc_s=NOON + A_DAY_S)
    close(ledger_db, NEXT, fee_per_10000=50)
    one, two = statements(ledger_db, DAY, NEXT)
    assert (one.merchant, one.number, one.taps, one.gross_fen, one.subsidy_fen, one.net_fen) == (
        1,
        1,
        2,
        1800,
        300,
        1800,
    )
    assert (two.merchant, two.number, two.reversed_fen, two.subsidy_fen) == (1, 2, 800, -300)
    assert (two.fee_fen, two.net_fen) == (6, 1_194)
    assert [item.net_fen for item in takings_of(ledger_db, NEXT, NEXT)] == [1_200]
    payable = {line.account: -line.closing_fen for line in trial_balance(ledger_db, NEXT, NEXT)}
    assert (payable[2002], payable[4002]) == (one.net_fen + two.net_fen, 6)


def test_tap_that_happened_under_another_merchant_is_his(ledger_db: Database, till: FakeTill) -> None:
    record = till.tap(500)
    early = replace(record, opened_at=replace(record.opened_at, utc_s=NOON - 60))
    later = replace(till.tap(700), opened_at=replace(record.opened_at, utc_s=NOON + 60))
    with ledger_db.transaction():
        store.post(ledger_db, [entry(tap, NOON + A_DAY_S) for tap in (early, later)])
    close(ledger_db, NEXT)
    assert [(made.merchant, made.net_fen) for made in statements(ledger_db, NEXT, NEXT)] == [(1, 500), (2, 700)]


def test_balances_are_the_last_snapshot_and_what_was_posted_since(ledger_db: Database, till: FakeTill) -> None:
    def balance() -> int:
        return next(account.balance_fen for account in store.balances(ledger_db) if account.number == 2002)

    sell(ledger_db, till, 500, received_at_utc_s=NOON)
    sell(ledger_db, till, 70, received_at_utc_s=NOON + A_DAY_S)
    assert balance() == -570
    close(ledger_db, DAY)
    assert balance() == -570
    sell(ledger_db, till, 3, received_at_utc_s=NOON)
    assert balance() == -573
    close(ledger_db, next_day(NEXT))
    assert balance() == -573


class Died(BaseException):
    """The process ends here."""


class Dying(Database):
    """Ends at its n-th statement."""

    def __init__(self, db: Database, at: int) -> None:
        super().__init__(db._connection)
        self._left = at

    def _count(self) -> None:
        self._left -= 1
        if self._left == 0:
            raise Died

    def execute(self, sql: str, params: Sequence[Value] = ()) -> int:
        self._count()
        return super().execute(sql, params)

    def append(self, table: str, columns: Sequence[str], rows: Iterable[Sequence[Value]]) -> None:
        self._count()
        super().append(table, columns, rows)

    def query(self, sql: str, params: Sequence[Value] = (), *, into: Callable[..., Row]) -> list[Row]:
        self._count()
        return super().query(sql, params, into=into)


def test_close_that_ends_at_any_statement_leaves_the_day_open_and_the_next_one_closes_it_whole(
    ledger_db: Database, till: FakeTill
) -> None:
    close(ledger_db, 20250101)  # the purses were taken over long before
    sell(ledger_db, till, 500, received_at_utc_s=NOON)
    tables = ("day_close", "day_total", "day_balance", "purse_balance", "terminal_day", "statement", "entry", "posting")
    counts = [f"SELECT count(*) FROM {table}" for table in tables]
    before = [ledger_db.number(sql) for sql in counts]
    made: list[Close] = []
    deaths = 0
    while not made:
        try:
            made = close(Dying(ledger_db, deaths + 1), DAY, fee_per_10000=100)
        except Died:
            deaths += 1
            assert [ledger_db.number(sql) for sql in counts] == before
    assert deaths > 15
    assert [one.day for one in made][-1] == DAY
    assert (wrong_closes(ledger_db), roll_forward(ledger_db, DAY, DAY).is_right) == ([], True)
