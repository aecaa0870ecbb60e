"""The ledger follows its sources by cursor."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from settlement.ledger import store
from settlement.ledger.pending import pending_loads
from settlement.ledger.pull import (
    LoadSource,
    OpeningSource,
    Portion,
    SourceBroken,
    StreamSource,
    pull_portion,
    pull_round,
)
from settlement.ledger.store import Posted
from settlement.onecard.loads import LoadEvent, LoadEventKind, LoadEvidence, append
from settlement.onecard.registry import PurseOpening, import_cards
from settlement.settings import Home
from settlement.store.database import Database, RuleBroken, SchemaMissing, open_writer
from settlement.streams.coding import CodingStates
from settlement.streams.store import all_terminals
from wire.ids import CardId, LoadId, Stream, TapId, TerminalId
from wire.money import Fen
from wire.receipt import Suspense

if TYPE_CHECKING:
    from tests.settlement.conftest import FakeTill, StreamDriver


@pytest.fixture
def source(home: Home) -> Iterator[StreamSource]:
    source = StreamSource(home.place("canteen"), Stream.CANTEEN)
    yield source
    source.close()


@pytest.fixture
def openings(home: Home) -> Iterator[OpeningSource]:
    openings = OpeningSource(home.place("onecard"))
    yield openings
    openings.close()


def opening(card: CardId, balance_fen: int = 0, counter: int = 0) -> PurseOpening:
    return PurseOpening(card=card, balance_fen=Fen(balance_fen), counter=counter)


def sell(canteen: StreamDriver, till: FakeTill, count: int) -> None:
    if not till.records:
        canteen.enrol(till)
    for _ in range(count):
        till.tap(100)
        canteen.accept(till.batch(len(till.records)))


@pytest.mark.usefixtures("purses")
def test_pull_posts_in_portions_and_goes_on_where_it_stopped(
    canteen: StreamDriver,
    ledger_db: Database,
    till: FakeTill,
    source: StreamSource,
    posted_taps: Callable[[Database], dict[TapId, Fen]],
) -> None:
    sell(canteen, till, 5)
    assert [pull_portion(ledger_db, source, 2)[0] for _ in range(4)] == [2, 2, 1, 0]
    sell(canteen, till, 1)
    assert pull_portion(ledger_db, source, 2) == (1, [Posted.CREATED])
    assert set(posted_taps(ledger_db)) == {record.tap_id for record in till.records}


def test_suspended_tap_reaches_the_ledger_as_an_item_and_not_as_an_entry(
    canteen: StreamDriver,
    ledger_db: Database,
    till: FakeTill,
    source: StreamSource,
    posted_taps: Callable[[Database], dict[TapId, Fen]],
) -> None:
    canteen.enrol(till)
    till.tap(300, wrong_tac=True)
    canteen.accept(till.batch())
    assert pull_portion(ledger_db, source) == (1, [Posted.SUSPENDED])
    (item,) = store.open_suspense(ledger_db)
    assert (item.reason, item.amount_fen) == (Suspense.TAC_WRONG, 300)
    assert posted_taps(ledger_db) == {}


# Where one of the two ways into the books fails alone, the other is taken.
@pytest.mark.parametrize("tables", [("sale", "other_entry"), ("sale_run", "other_posting"), ("source_cursor",)])
@pytest.mark.usefixtures("purses")
def test_failure_at_any_statement_moves_neither_money_nor_cursor(
    canteen: StreamDriver,
    ledger_db: Database,
    till: FakeTill,
    source: StreamSource,
    tables: Sequence[str],
    posted_taps: Callable[[Database], dict[TapId, Fen]],
) -> None:
    sell(canteen, till, 2)
    for table in tables:
        fails = f"CREATE TRIGGER {table}_fails AFTER INSERT ON {table} BEGIN SELECT RAISE(ABORT, 'full'); END"
        ledger_db.execute(fails)
    with pytest.raises(RuleBroken):
        pull_portion(ledger_db, source)
    assert store.read_cursor(ledger_db, "canteen") is None
    assert posted_taps(ledger_db) == {}
    for table in tables:
        ledger_db.execute(f"DROP TRIGGER {table}_fails")
    assert pull_portion(ledger_db, source) == (2, [Posted.CREATED] * 2)


def test_openings_are_pulled_from_the_card_registry(
    onecard_db: Database,
    ledger_db: Database,
    openings: OpeningSource,
    numbered_card: Callable[[int], CardId],
    purse_balances: Callable[[Database], dict[CardId, Fen]],
) -> None:
    import_cards(onecard_db, [opening(numbered_card(n), n * 100, n) for n in range(1, 4)], now_utc_s=1)
    assert [pull_portion(ledger_db, openings, 2)[0] for _ in range(3)] == [2, 1, 0]
    assert purse_balances(ledger_db) == {numbered_card(n): n * 100 for n in range(1, 4)}


def test_every_opening_is_posted_before_the_first_tap_of_a_round(
    canteen: StreamDriver,
    onecard_db: Database,
    ledger_db: Database,
    till: FakeTill,
    source: StreamSource,
    openings: OpeningSource,
    numbered_card: Callable[[int], CardId],
) -> None:
    import_cards(onecard_db, [opening(numbered_card(n)) for n in (7, 5, 3, 2, 1)], now_utc_s=1)
    sell(canteen, till, 2)
    assert pull_round(ledger_db, openings, [source], count_max=2).posted == {Posted.CREATED: 7}
    assert store.open_suspense(ledger_db) == []


def test_card_that_is_registered_and_pays_while_a_round_runs_is_known_in_time(
    canteen: StreamDriver,
    home: Home,
    onecard_db: Database,
    ledger_db: Database,
    till: FakeTill,
    openings: OpeningSource,
    numbered_card: Callable[[int], CardId],
) -> None:
    class LateSource(StreamSource):
        """Whose tap, and the card it was paid with, come when the openings were read already."""

        def portion(self, cursor: store.SourceCursor, count_max: int) -> Portion:
            import_cards(onecard_db, [opening(numbered_card(1))], now_utc_s=1)
            sell(canteen, till, 1)
            return super().portion(cursor, count_max)

    source = LateSource(home.place("canteen"), Stream.CANTEEN)
    assert pull_round(ledger_db, openings, [source]).posted == {Posted.CREATED: 2}
    source.close()


def test_registry_that_was_restored_and_went_another_way_is_followed_from_where_both_agree(
    onecard_db: Database,
    ledger_db: Database,
    openings: OpeningSource,
    numbered_card: Callable[[int], CardId],
    purse_balances: Callable[[Database], dict[CardId, Fen]],
) -> None:
    import_cards(onecard_db, [opening(numbered_card(n), 100) for n in (1, 2)], now_utc_s=1)
    pull_round(ledger_db, openings, [])
    onecard_db.execute("DROP TRIGGER purse_opening_is_never_deleted")
    onecard_db.execute("DELETE FROM purse_opening WHERE position = 2")  # the backup had but one
    import_cards(onecard_db, [opening(numbered_card(n), 700) for n in (3, 4)], now_utc_s=2)
    outcome = pull_round(ledger_db, openings, [])
    assert (outcome.replaced, outcome.faults) == ({"onecard": (2, 0)}, {})
    assert purse_balances(ledger_db) == {
        numbered_card(number): fen for number, fen in ((1, 100), (2, 100), (3, 700), (4, 700))
    }
    assert pull_round(ledger_db, openings, []).replaced == {}


@pytest.mark.usefixtures("purses")
def test_stream_that_was_restored_is_followed_from_where_both_agree_and_what_comes_again_changes_nothing(
    home: Home, canteen: StreamDriver, ledger_db: Database, till: FakeTill, source: StreamSource, tmp_path: Path
) -> None:
    sell(canteen, till, 3)
    assert pull_portion(ledger_db, source)[0] == 3
    with closing(sqlite3.connect(home.database("canteen"))) as live, closing(sqlite3.connect(tmp_path / "b")) as copy:
        live.backup(copy)
    till.tap(100)
    till.tap(100, wrong_tac=True)
    canteen.accept(till.batch(4))
    assert pull_portion(ledger_db, source)[0] == 2
    before = ledger_db.number("SELECT count(*) FROM entry"), len(store.open_suspense(ledger_db))
    canteen.db.close()
    for ending in ("", "-wal", "-shm"):
        Path(f"{home.database('canteen')}{ending}").unlink(missing_ok=True)
    shutil.copy(tmp_path / "b", home.database("canteen"))
    assert pull_round(ledger_db, IdleSource(), [source]).replaced == {"canteen": (5, 3)}
    with open_writer(home.database("canteen"), "canteen") as db:
        restored = replace(canteen, db=db, states=CodingStates())
        till.tap(100)  # sold while the stream was down
        restored.accept(till.batch(4))
        outcome = pull_round(ledger_db, IdleSource(), [source])
    assert (outcome.replaced, outcome.rows) == ({}, 3)
    after = ledger_db.number("SELECT count(*) FROM entry"), len(store.open_suspense(ledger_db))
    assert after == (before[0] + 1, before[1])


class IdleSource:
    """A registry where nothing happens."""

    name = "idle"

    def start(self) -> store.SourceCursor:
        return store.SourceCursor(0, b"")

    def portion(self, cursor: store.SourceCursor, count_max: int) -> Portion:
        return Portion(lambda db: [], cursor, 0)

    def hash_at(self, position: int) -> bytes | None:
        return None

    def close(self) -> None:
        pass


def test_opening_that_was_changed_behind_the_triggers_breaks_the_chain(
    onecard_db: Database,
    ledger_db: Database,
    openings: OpeningSource,
    numbered_card: Callable[[int], CardId],
    purse_balances: Callable[[Database], dict[CardId, Fen]],
) -> None:
    import_cards(onecard_db, [opening(numbered_card(n), 100) for n in (1, 2)], now_utc_s=1)
    onecard_db.execute("DROP TRIGGER purse_opening_is_never_changed")
    onecard_db.execute("UPDATE purse_opening SET opening_balance_fen = 101 WHERE position = 2")
    with pytest.raises(SourceBroken, match="position 2"):
        pull_portion(ledger_db, openings)
    assert purse_balances(ledger_db) == {}


@pytest.mark.usefixtures("purses")
def test_opening_that_differs_from_the_booked_one_stops_its_source_and_moves_nothing(
    onecard_db: Database,
    ledger_db: Database,
    openings: OpeningSource,
    numbered_card: Callable[[int], CardId],
    purse_balances: Callable[[Database], dict[CardId, Fen]],
) -> None:
    import_cards(onecard_db, [opening(numbered_card(9), 50), opening(numbered_card(1), 100)], now_utc_s=1)
    with pytest.raises(SourceBroken, match="0001 otherwise than it is booked"):
        pull_portion(ledger_db, openings)
    assert store.read_cursor(ledger_db, "onecard") is None
    assert purse_balances(ledger_db) == {}


@pytest.mark.parametrize(
    "change", ["records = 99", "records = 'x'", "records = x'00'", "next_position = 9", "received_at_utc_s = -1"]
)
@pytest.mark.usefixtures("purses")
def test_row_that_nobody_here_can_read_stops_its_source_alone(
    home: Home,
    canteen: StreamDriver,
    ledger_db: Database,
    till: FakeTill,
    source: StreamSource,
    openings: OpeningSource,
    change: str,
) -> None:
    sell(canteen, till, 3)
    canteen.db.execute("DROP TRIGGER intake_is_never_changed")
    canteen.db.execute(f"UPDATE intake SET {change} WHERE position = 2")
    shops = StreamSource(home.place("shops"), Stream.SHOPS)
    outcome = pull_round(ledger_db, openings, [source, shops])
    assert {name: type(error) for name, error in outcome.faults.items()} == {"canteen": SourceBroken}
    assert "position 2" in str(outcome.faults["canteen"])
    shops.close()


def test_source_that_is_another_journal_than_before_is_read_again_and_one_that_is_missing_holds_up_nobody(
    home: Home,
    canteen: StreamDriver,
    onecard_db: Database,
    ledger_db: Database,
    till: FakeTill,
    source: StreamSource,
    openings: OpeningSource,
    numbered_card: Callable[[int], CardId],
    posted_taps: Callable[[Database], dict[TapId, Fen]],
) -> None:
    sell(canteen, till, 2)
    with ledger_db.transaction():
        store.set_cursor(ledger_db, "canteen", store.SourceCursor(2, bytes(32)))
    import_cards(onecard_db, [opening(numbered_card(1), 1)], now_utc_s=1)
    missing = StreamSource(home.folder / "nowhere.db", Stream.SHOPS)
    outcome = pull_round(ledger_db, openings, [source, missing])
    assert {name: type(error) for name, error in outcome.faults.items()} == {"shops": SchemaMissing}
    assert (outcome.rows, outcome.drained, outcome.replaced) == (3, False, {"canteen": (2, 0)})
    assert sorted(posted_taps(ledger_db)) == [record.tap_id for record in till.records]


def test_source_that_was_changed_before_the_cursor_is_read_again_up_to_the_change_and_stops_there(
    canteen: StreamDriver, ledger_db: Database, till: FakeTill, source: StreamSource
) -> None:
    sell(canteen, till, 3)
    pull_portion(ledger_db, source)
    canteen.db.execute("DROP TRIGGER intake_is_never_changed")
    canteen.db.execute("UPDATE intake SET stream_hash = x'00' WHERE position = 3")
    for _ in range(2):
        with pytest.raises(SourceBroken, match="position 3"):
            pull_portion(ledger_db, source)


def test_row_that_was_changed_behind_the_triggers_breaks_the_chain(
    canteen: StreamDriver,
    ledger_db: Database,
    till: FakeTill,
    source: StreamSource,
    posted_taps: Callable[[Database], dict[TapId, Fen]],
) -> None:
    sell(canteen, till, 3)
    canteen.db.execute("INSERT INTO suspended_tap VALUES (2, 1)")
    with pytest.raises(SourceBroken, match="position 2"):
        pull_portion(ledger_db, source)
    assert posted_taps(ledger_db) == {}


POINT = TerminalId(bytes.fromhex("000000000901"))
EVIDENCE = {
    LoadEventKind.GRANTED: LoadEvidence.MAC1,
    LoadEventKind.CONFIRMED: LoadEvidence.COUNTER_MOVED,
    LoadEventKind.VOIDED: LoadEvidence.COUNTER_UNCHANGED,
}


@pytest.fixture
def topup_db(home: Home) -> Iterator[Database]:
    with open_writer(home.place("topup"), "topup") as db:
        yield db


@pytest.fixture
def loads(home: Home) -> Iterator[LoadSource]:
    source = LoadSource(home.place("topup"))
    yield source
    source.close()


def tell(db: Database, card: CardId, kind: LoadEventKind, number: int = 1, counter: int = 0) -> None:
    event = LoadEvent(
        kind=kind,
        evidence=EVIDENCE[kind],
        load_id=LoadId(POINT, 1, number),
        card=card,
        online_counter=counter,
        amount_fen=Fen(5_000),
        old_balance_fen=Fen(0),
        terminal=POINT,
        happened_at_utc_s=1_764_000_000,
    )
    with db.transaction():
        append(db, event)


def test_loads_are_pulled_from_the_desk_behind_the_openings_of_their_purses(
    topup_db: Database,
    onecard_db: Database,
    ledger_db: Database,
    openings: OpeningSource,
    loads: LoadSource,
    numbered_card: Callable[[int], CardId],
    purse_balances: Callable[[Database], dict[CardId, Fen]],
) -> None:
    card = numbered_card(7)
    import_cards(onecard_db, [opening(card, 100)], now_utc_s=1)
    tell(topup_db, card, LoadEventKind.GRANTED)
    assert pull_round(ledger_db, openings, [loads]).posted == {Posted.CREATED: 2}
    assert len(pending_loads(ledger_db)) == 1
    tell(topup_db, card, LoadEventKind.CONFIRMED)
    tell(topup_db, card, LoadEventKind.GRANTED, number=2, counter=1)
    tell(topup_db, card, LoadEventKind.VOIDED, number=2, counter=1)
    assert [pull_portion(ledger_db, loads, 2)[1] for _ in range(2)] == [[Posted.CREATED] * 2, [Posted.CREATED]]
    assert purse_balances(ledger_db) == {card: 5_100}
    assert pending_loads(ledger_db) == []


def test_desks_journal_that_was_changed_behind_the_triggers_breaks_the_chain(
    topup_db: Database, ledger_db: Database, loads: LoadSource, numbered_card: Callable[[int], CardId]
) -> None:
    tell(topup_db, numbered_card(1), LoadEventKind.GRANTED)
    topup_db.execute("DROP TRIGGER load_event_is_never_changed")
    topup_db.execute("UPDATE load_event SET event = x'00'")
    with pytest.raises(SourceBroken, match="position 1"):
        pull_portion(ledger_db, loads)
    assert pending_loads(ledger_db) == []


@pytest.mark.usefixtures("purses")
@pytest.mark.parametrize("table", ["other_posting", "entry_resolution", "source_cursor"])
def test_failure_while_a_load_is_posted_moves_neither_money_nor_cursor(
    topup_db: Database,
    ledger_db: Database,
    loads: LoadSource,
    numbered_card: Callable[[int], CardId],
    table: str,
    purse_balances: Callable[[Database], dict[CardId, Fen]],
) -> None:
    tell(topup_db, numbered_card(1), LoadEventKind.GRANTED)
    tell(topup_db, numbered_card(1), LoadEventKind.CONFIRMED)
    ledger_db.execute(f"CREATE TRIGGER disk_fails AFTER INSERT ON {table} BEGIN SELECT RAISE(ABORT, 'full'); END")
    with pytest.raises(RuleBroken):
        pull_portion(ledger_db, loads)
    assert store.read_cursor(ledger_db, "topup") is None
    assert (pending_loads(ledger_db), purse_balances(ledger_db)) == ([], {})
    ledger_db.execute("DROP TRIGGER disk_fails")
    assert pull_portion(ledger_db, loads) == (2, [Posted.CREATED] * 2)


def test_round_is_complete_only_if_every_source_was_read_to_its_end(
    home: Home,
    topup_db: Database,
    ledger_db: Database,
    openings: OpeningSource,
    loads: LoadSource,
    numbered_card: Callable[[int], CardId],
) -> None:
    tell(topup_db, numbered_card(1), LoadEventKind.GRANTED)
    assert [pull_round(ledger_db, openings, [loads], count_max=1).complete for _ in range(2)] == [False, True]
    missing = StreamSource(home.folder / "nowhere.db", Stream.SHOPS)
    assert not pull_round(ledger_db, openings, [missing]).complete


def test_round_is_not_complete_while_a_terminal_is_known_to_have_more_or_is_quarantined(
    canteen: StreamDriver, ledger_db: Database, till: FakeTill, source: StreamSource, openings: OpeningSource
) -> None:
    sell(canteen, till, 1)
    assert pull_round(ledger_db, openings, [source]).complete
    till.tap(100)
    till.tap(100)
    canteen.accept(till.batch(3))  # a gap: refused, but now the server knows how far the journal goes
    assert not pull_round(ledger_db, openings, [source]).complete
    canteen.accept(till.batch(2))
    assert pull_round(ledger_db, openings, [source]).complete
    till.records[-1] = replace(till.records[-1], amount_fen=Fen(1))
    canteen.accept(till.batch(3))
    assert [row.quarantined_because is None for row in all_terminals(canteen.db)] == [False]
    assert not pull_round(ledger_db, openings, [source]).complete
