"""The ledger follows its sources by cursor."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

from settlement.ledger import store
from settlement.ledger.pull import OpeningSource, SourceBroken, StreamSource, pull_portion, pull_round
from settlement.ledger.store import Posted
from settlement.onecard.registry import PurseOpening, import_cards
from settlement.settings import Home
from settlement.store.database import Database, RuleBroken, SchemaMissing
from wire.ids import CardId, Stream
from wire.money import Fen
from wire.receipt import Suspense

if TYPE_CHECKING:
    from tests.settlement.conftest import FakeTill, StreamDriver


@pytest.fixture
def source(home: Home) -> Iterator[StreamSource]:
    source = StreamSource(home.database("canteen"), Stream.CANTEEN)
    yield source
    source.close()


def sell(canteen: StreamDriver, till: FakeTill, count: int) -> None:
    if not till.records:
        canteen.enrol(till)
    first = len(till.records) + 1
    for _ in range(count):
        till.tap(100)
    canteen.accept(till.batch(first))


def test_pull_posts_in_portions_and_goes_on_where_it_stopped(
    canteen: StreamDriver, ledger_db: Database, till: FakeTill, source: StreamSource
) -> None:
    sell(canteen, till, 5)
    assert [pull_portion(ledger_db, source, 2)[0] for _ in range(4)] == [2, 2, 1, 0]
    sell(canteen, till, 1)
    assert pull_portion(ledger_db, source, 2) == (1, [Posted.CREATED])
    assert set(store.posted_taps(ledger_db)) == {record.tap_id for record in till.records}


def test_suspended_tap_reaches_the_ledger_as_an_item_and_not_as_an_entry(
    canteen: StreamDriver, ledger_db: Database, till: FakeTill, source: StreamSource
) -> None:
    canteen.enrol(till)
    till.tap(300, wrong_tac=True)
    canteen.accept(till.batch())
    assert pull_portion(ledger_db, source) == (1, [Posted.SUSPENDED])
    (item,) = store.open_suspense(ledger_db)
    assert (item.reason, item.amount_fen) == (Suspense.TAC_WRONG, 300)
    assert store.posted_taps(ledger_db) == {}


@pytest.mark.parametrize("statement", ["INSERT ON entry", "INSERT ON posting", "INSERT ON source_cursor"])
def test_failure_at_any_statement_moves_neither_money_nor_cursor(
    canteen: StreamDriver, ledger_db: Database, till: FakeTill, source: StreamSource, statement: str
) -> None:
    sell(canteen, till, 2)
    ledger_db.execute(f"CREATE TRIGGER disk_fails AFTER {statement} BEGIN SELECT RAISE(ABORT, 'full'); END")
    with pytest.raises(RuleBroken):
        pull_portion(ledger_db, source)
    assert store.read_cursor(ledger_db, "canteen") is None
    assert store.posted_taps(ledger_db) == {}
    ledger_db.execute("DROP TRIGGER disk_fails")
    assert pull_portion(ledger_db, source) == (2, [Posted.CREATED] * 2)


def test_openings_are_pulled_from_the_card_registry(
    home: Home, onecard_db: Database, ledger_db: Database, numbered_card: Callable[[int], CardId]
) -> None:
    openings = [PurseOpening(card=numbered_card(n), balance_fen=Fen(n * 100), counter=n) for n in range(1, 4)]
    import_cards(onecard_db, openings, now_utc_s=1)
    source = OpeningSource(home.database("onecard"))
    assert [pull_portion(ledger_db, source, 2)[0] for _ in range(3)] == [2, 1, 0]
    assert store.purse_balances(ledger_db) == {numbered_card(n): n * 100 for n in range(1, 4)}
    source.close()


def test_source_that_is_another_journal_than_before_is_reported_and_holds_up_nobody(
    home: Home,
    canteen: StreamDriver,
    onecard_db: Database,
    ledger_db: Database,
    till: FakeTill,
    source: StreamSource,
    numbered_card: Callable[[int], CardId],
) -> None:
    sell(canteen, till, 2)
    with ledger_db.transaction():
        store.set_cursor(ledger_db, "canteen", store.SourceCursor(2, bytes(32)))
    import_cards(onecard_db, [PurseOpening(card=numbered_card(1), balance_fen=Fen(1), counter=0)], now_utc_s=1)
    missing = StreamSource(home.folder / "nowhere.db", Stream.SHOPS)
    openings = OpeningSource(home.database("onecard"))
    outcome = pull_round(ledger_db, [source, missing, openings])
    assert {name: type(error) for name, error in outcome.faults.items()} == {
        "canteen": SourceBroken,
        "shops": SchemaMissing,
    }
    assert outcome.rows == 1
    assert store.posted_taps(ledger_db) == {}
    openings.close()


def test_source_that_lost_rows_which_were_read_is_reported(
    canteen: StreamDriver, ledger_db: Database, till: FakeTill, source: StreamSource
) -> None:
    sell(canteen, till, 2)
    with ledger_db.transaction():
        store.set_cursor(ledger_db, "canteen", store.SourceCursor(9, bytes(32)))
    with pytest.raises(SourceBroken):
        pull_portion(ledger_db, source)


def test_row_that_was_changed_behind_the_triggers_breaks_the_chain(
    canteen: StreamDriver, ledger_db: Database, till: FakeTill, source: StreamSource
) -> None:
    sell(canteen, till, 3)
    canteen.db.execute("DROP TRIGGER tap_is_never_changed")
    canteen.db.execute("UPDATE tap SET suspense = 1 WHERE position = 2")
    with pytest.raises(SourceBroken, match="position 2"):
        pull_portion(ledger_db, source)
    assert store.posted_taps(ledger_db) == {}
