"""The ledger's turn: days are closed by themselves, or when people ask, once everything of them is here."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

from settlement.ledger.clearing import Owners
from settlement.ledger.days import last_close
from settlement.ledger.keeper import Keeper
from settlement.ledger.owners import RegistryOwners
from settlement.ledger.pull import JournalSource, OfficeSource, OpeningSource, StreamSource
from settlement.office import Action, new_decision, put_decision
from settlement.onecard.registry import PurseOpening, import_cards
from settlement.settings import Home
from settlement.store.database import Database, open_reader, open_writer
from wire.ids import CardId, Stream
from wire.money import Fen

if TYPE_CHECKING:
    from tests.settlement.conftest import FakeTill, StreamDriver

MIDNIGHT = 1_764_000_000  # 2025-11-25 on campus
CLOSE_AT_S = 3 * 3_600
DAY = 20251125


@pytest.fixture
def make_keeper(home: Home) -> Iterator[Callable[..., Keeper]]:
    made: list[Keeper] = []

    def owners() -> Owners:
        with open_reader(home.place("onecard"), "onecard") as db:
            return RegistryOwners.read(db)

    def make(*more: JournalSource) -> Keeper:
        sources: list[JournalSource] = [
            StreamSource(home.place("canteen"), Stream.CANTEEN),
            OfficeSource(home.place("office")),
        ]
        sources += more
        openings = OpeningSource(home.place("onecard"))
        keeper = Keeper(openings, sources, outage_s=0, close_at_s=CLOSE_AT_S, fee_per_10000=0, owners=owners)
        made.append(keeper)
        return keeper

    yield make
    for keeper in made:
        keeper.close()


@pytest.fixture
def sold(canteen: StreamDriver, onecard_db: Database, till: FakeTill, numbered_card: Callable[[int], CardId]) -> None:
    opening = PurseOpening(card=numbered_card(1), balance_fen=Fen(9_000), counter=0)
    import_cards(onecard_db, [opening], now_utc_s=MIDNIGHT + 1)
    canteen.enrol(till)
    till.tap(500)
    canteen.accept(till.batch())


@pytest.mark.usefixtures("sold")
def test_day_is_closed_by_itself_at_its_hour_and_the_stream_is_its_own_merchant(
    ledger_db: Database, make_keeper: Callable[..., Keeper]
) -> None:
    keeper = make_keeper()
    assert keeper.turn(ledger_db, now_utc_s=MIDNIGHT + 86_400 + CLOSE_AT_S - 1).closed == []
    (close,) = keeper.turn(ledger_db, now_utc_s=MIDNIGHT + 86_400 + CLOSE_AT_S).closed
    assert (close.day, close.entries) == (DAY, 2)
    found = ledger_db.query("SELECT merchant, number, net_fen FROM statement", into=lambda *row: row)
    assert found == [(int(Stream.CANTEEN), 1, 500)]
    assert keeper.turn(ledger_db, now_utc_s=MIDNIGHT + 86_400 + CLOSE_AT_S).closed == []


@pytest.mark.usefixtures("sold")
def test_day_is_not_closed_while_a_stream_cannot_be_read(
    home: Home, ledger_db: Database, make_keeper: Callable[..., Keeper]
) -> None:
    missing = StreamSource(home.folder / "nowhere.db", Stream.SHOPS)
    turn = make_keeper(missing).turn(ledger_db, now_utc_s=MIDNIGHT + 2 * 86_400)
    assert (turn.closed, set(turn.round.faults)) == ([], {"shops"})
    assert last_close(ledger_db) is None


@pytest.mark.usefixtures("sold")
def test_day_that_people_ask_for_is_closed_soon_after_midnight_and_no_day_that_is_not_over(
    home: Home, ledger_db: Database, make_keeper: Callable[..., Keeper]
) -> None:
    with open_writer(home.place("office"), "office") as office:
        decision = new_decision(
            office, key=bytes(16), action=Action.CLOSE_DAY, facts={"day": 20251231}, by="Li Na", now_utc_s=MIDNIGHT
        )
        put_decision(office, decision)
    keeper = make_keeper()
    assert keeper.turn(ledger_db, now_utc_s=MIDNIGHT + 86_400 + 59).closed == []
    assert [close.day for close in keeper.turn(ledger_db, now_utc_s=MIDNIGHT + 86_400 + 60).closed] == [DAY]
