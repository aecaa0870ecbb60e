"""The short way into the ledger leaves exactly what the straight way leaves, whatever a stream brings."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from settlement.ledger import store, unknown
from settlement.ledger.booked import placeholders, purses_of
from settlement.ledger.cardline import read_line
from settlement.ledger.entries import Entry, Source, entry_for, opening_for
from settlement.ledger.store import Posted
from settlement.ledger.usual import Openings, Run, Taps, add_runs, usual_runs
from settlement.onecard.keys import FileKeyStore
from settlement.store.database import Database, RuleBroken, Value
from settlement.streams.store import IntakeRow
from wire.batch import TAPS_MAX
from wire.fields import FormatError
from wire.ids import CardId
from wire.money import Fen
from wire.receipt import Suspense
from wire.record import RECORD_BYTES, Outcome, TapKind, TapRecord

if TYPE_CHECKING:
    from tests.settlement.conftest import FakeTill

RECEIVED = 1_764_000_600
Left = tuple[list[Posted], list[list[tuple[Value, ...]]]]


class _Undo(Exception):
    """Ends a transaction that is not to be kept."""


def left_by(db: Database, post: Callable[[Database], list[Posted]], before: Callable[[Database], object]) -> Left:
    """What posting answers, and what is in the tables then; all of it is undone."""
    found: Left = ([], [])
    with suppress(_Undo), db.transaction():
        before(db)
        results = post(db)
        entries, items = (
            db.query(f"SELECT * FROM {table} ORDER BY id", into=lambda *row: row)
            for table in ("entry", "suspense_item")
        )
        postings = db.query("SELECT * FROM posting ORDER BY entry_id, account_id, amount_fen", into=lambda *row: row)
        found = results, [entries, postings, items]
        raise _Undo
    return found


@st.composite
def sold(draw: st.DrawFn) -> tuple[int, dict[str, int | bool | Outcome]]:
    """A card's number (of which the ledger does not know 7) and how it taps; counts and serials may come twice."""
    odd = draw(st.integers(0, 9))
    how: dict[str, int | bool | Outcome] = {"amount_fen": draw(st.sampled_from((0, 100, 1250)))}
    if odd == 0:
        how["counter"] = draw(st.integers(0, 3))
    if odd == 1:
        how["ttsn"] = draw(st.integers(1, 8))
    if odd == 2:
        how["outcome"] = draw(st.sampled_from((Outcome.REFUSED, Outcome.UNKNOWN, Outcome.VOIDED)))
    return draw(st.sampled_from((1, 2, 3, 4, 1, 2, 3, 7))), how


def intakes_of(records: list[TapRecord], cuts: set[int]) -> list[IntakeRow]:
    """The records in pieces that end before these positions."""
    ends = sorted(cuts & set(range(2, len(records) + 1)) | {len(records) + 1})
    starts = [1, *ends[:-1]]
    return [
        IntakeRow(start, end, b"".join(r.to_bytes() for r in records[start - 1 : end - 1]), b"", RECEIVED + start)
        for start, end in zip(starts, ends, strict=True)
    ]


@pytest.mark.usefixtures("purses")
@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    taps=st.lists(sold(), min_size=1, max_size=12),
    subsidies=st.sets(st.integers(0, 11)),
    suspended=st.dictionaries(st.integers(1, 12), st.sampled_from((Suspense.TAC_WRONG, Suspense.MAC2_REFUSED))),
    reversed_at=st.sets(st.integers(1, 11), max_size=2),
    cuts=st.sets(st.integers(2, 12), max_size=3),
    again=st.booleans(),
)
def test_short_way_and_straight_way_leave_the_same(
    ledger_db: Database,
    make_till: Callable[[int], FakeTill],
    numbered_card: Callable[[int], CardId],
    taps: list[tuple[int, dict[str, int | bool | Outcome]]],
    subsidies: set[int],
    suspended: dict[int, Suspense],
    reversed_at: set[int],
    cuts: set[int],
    again: bool,
) -> None:
    till = make_till(1)
    for number, how in taps:
        till.tap(card=numbered_card(number), **how)  # type: ignore[arg-type] # drawn by `sold`, which knows the fields
    records = list(till.records)
    for at in subsidies & set(range(len(records))):
        records[at] = replace(records[at], subsidy_fen=Fen(250))
    for at in reversed_at & set(range(1, len(records))):
        sale = records[at - 1]
        records[at] = replace(
            records[at],
            kind=TapKind.REVERSAL,
            card=sale.card,
            amount_fen=Fen(0),
            credit_fen=sale.amount_fen,
            subsidy_fen=sale.subsidy_fen,
            refers_to=sale.tap_id.seq,
        )
    reasons = {position: int(reason) for position, reason in suspended.items()}
    both = Taps("canteen", reasons)
    for intake in intakes_of(records, cuts):
        both.read(intake)

    def before(db: Database) -> object:
        return both.post_straight(db) if again else None  # a source that was restored is read a second time

    straight = left_by(ledger_db, both.post_straight, before)
    assert left_by(ledger_db, lambda db: both.post(db, Openings()), before) == straight


@pytest.mark.usefixtures("purses")
def test_card_is_followed_over_all_its_counts(
    ledger_db: Database, till: FakeTill, numbered_card: Callable[[int], CardId]
) -> None:
    card, counts = numbered_card(1), [*range(40), 300, 9_000, 65_535]
    for counter in counts:
        till.tap(100, counter=counter)
        till.tap(100, card=numbered_card(2))
    taps = Taps("canteen", {})
    for intake in intakes_of(list(till.records), {30}):
        taps.read(intake)
    with ledger_db.transaction():
        assert set(taps.post(ledger_db, Openings())) == {Posted.CREATED}
    assert ledger_db.number("SELECT count(*) FROM sale") == len(till.records)
    line = read_line(ledger_db, card, now_utc_s=RECEIVED, outage_s=0)
    assert [step.counter for step in line.steps if step.kind == "PURCHASE"] == counts
    assert line.balance_fen == -100 * len(counts)
    assert nearest_sales(ledger_db, card, (15, 31, 39, 40, 9_000, 65_535)) == {
        15: (15, 16, 14),
        31: (31, 32, 30),
        39: (39, 300, 38),
        40: (None, 300, 39),
        9_000: (9_000, 65_535, None),
        65_535: (65_535, None, None),
    }


def nearest_sales(db: Database, card: CardId, counts: tuple[int, ...]) -> dict[int, tuple[int | None, ...]]:
    """By count, the counts of the sales that have it, come next, and came right before."""
    sql = unknown._LINES.format(rows=placeholders(2, len(counts)))
    counter = dict(db.query("SELECT id, counter FROM sale", into=lambda *row: row))
    params = [value for count in counts for value in (card.to_bytes(), count)]
    return {
        row[1]: tuple(counter.get(row[at]) for at in (2, 4, 5)) for row in db.query(sql, params, into=lambda *row: row)
    }


@pytest.mark.usefixtures("purses")
def test_usual_sales_are_posted_without_asking_for_each(
    ledger_db: Database, keys: FileKeyStore, till: FakeTill, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(3):
        till.tap(100)
    taps = Taps("canteen", {})
    for intake in intakes_of(till.records, set()):
        taps.read(intake)
    monkeypatch.setattr(taps, "post_straight", None)
    with ledger_db.transaction():
        assert taps.post(ledger_db, Openings()) == [Posted.CREATED] * 3


def booked_runs(db: Database, records: list[TapRecord]) -> list[Run]:
    """The records by the short way, in the books."""
    taps = Taps("canteen", {})
    [intake] = intakes_of(records, set())
    taps.read(intake)
    with db.transaction():
        assert taps.post(db, Openings()) == [Posted.CREATED] * len(records)
    return [run for run in usual_runs(intake, frozenset()) if isinstance(run, Run)]


def together(db: Database, *statements: str) -> None:
    """Run these in one transaction."""
    with db.transaction():
        for statement in statements:
            db.execute(statement)


def entry_of(record: TapRecord) -> Entry:
    item = entry_for(record, suspense=None, source=Source("shops", 1), received_at_utc_s=RECEIVED)
    assert isinstance(item, Entry)
    return item


@pytest.mark.usefixtures("purses")
@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"ttsn": 77, "counter": 77}, "no_tap_is_posted_beside_a_run"),
        ({"tap_id": 9, "counter": 77}, "no_serial_pays_beside_a_run"),
        ({"tap_id": 9, "ttsn": 77}, "no_count_is_taken_beside_a_run"),
    ],
)
def test_database_itself_refuses_an_entry_that_claims_what_a_run_has(
    ledger_db: Database, till: FakeTill, changes: dict[str, int], rule: str
) -> None:
    for _ in range(4):
        till.tap(100)
    booked_runs(ledger_db, till.records)
    last = till.records[-1]
    epoch = changes.get("tap_id", 1)
    claim = replace(last, tap_id=replace(last.tap_id, epoch=epoch), ttsn=changes.get("ttsn", last.ttsn))
    with pytest.raises(RuleBroken, match=rule), ledger_db.transaction():
        store.add_entries(ledger_db, [entry_of(replace(claim, counter=changes.get("counter", last.counter)))])


def shifted(run: Run, *, first_seq: int = 500, first_ttsn: int = 500, counts: int = 50) -> Run:
    """The run as another one, whose numbers are so far from its own."""
    return replace(
        run,
        first_seq=run.first_seq + first_seq,
        first_ttsn=run.first_ttsn + first_ttsn,
        counters=[counter + counts for counter in run.counters],
    )


@pytest.mark.usefixtures("purses")
@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"first_seq": 3}, "a_run_takes_no_taps_number"),
        ({"first_seq": -3}, "a_run_takes_no_taps_number"),
        ({"first_ttsn": 3}, "a_run_takes_no_taps_serial"),
        ({"counts": 3}, "a_card_counts_each_sale_once"),
        ({"counts": 20}, "a_run_takes_no_taps_count"),
        ({"counts": -5}, "a_run_is_what_its_sales_are"),
        ({"first_seq": 29}, "a_run_takes_no_taps_number"),
        ({"first_ttsn": 29}, "a_run_takes_no_taps_serial"),
        ({}, None),
    ],
)
def test_database_itself_refuses_a_run_that_claims_what_is_in_the_books(
    ledger_db: Database, make_till: Callable[[int], FakeTill], changes: dict[str, int], rule: str | None
) -> None:
    """Taps 1 to 4 with counts 0 to 3 are a run; tap 31 with count 21 was posted the straight way."""
    till = make_till(1)
    for _ in range(4):
        till.tap(100)
    [run] = booked_runs(ledger_db, till.records)
    tap = till.tap(100, counter=21)
    straight = replace(tap, tap_id=replace(tap.tap_id, seq=31), ttsn=31)
    with ledger_db.transaction():
        store.add_entries(ledger_db, [entry_of(straight)])
    other = shifted(run, **changes)
    purses = purses_of(ledger_db, list(other.cards))
    if rule is None:
        with ledger_db.transaction():
            add_runs(ledger_db, "shops", [other], purses)
        return
    with pytest.raises(RuleBroken, match=rule), ledger_db.transaction():
        add_runs(ledger_db, "shops", [other], purses)


@pytest.mark.usefixtures("purses")
@pytest.mark.parametrize("column", ["taps", "amount_fen", "subsidy_fen"])
def test_database_itself_refuses_a_run_with_other_sums_than_its_sales(
    ledger_db: Database, till: FakeTill, column: str
) -> None:
    for _ in range(3):
        till.tap(100)
    booked_runs(ledger_db, till.records)
    head = {"id": 100, "taps": 1, "epoch": 1, "first_seq": 50, "first_ttsn": 50, "amount_fen": 7, "subsidy_fen": 0}
    rest = "source, source_position, terminal, clock_quality, received_at_utc_s, accounting_day"
    purse = ledger_db.number("SELECT min(id) FROM other_entry")
    with ledger_db.transaction():
        ledger_db.execute("INSERT INTO sale VALUES (100, 100, %s, 90, 7, 0, 0, 0)", (purse,))
    wrong = head | {column: head[column] + 1}
    with pytest.raises(RuleBroken, match="a_run_is_what_its_sales_are"):
        ledger_db.execute(
            f"INSERT INTO sale_run ({', '.join(wrong)}, {rest}) SELECT {', '.join(map(str, wrong.values()))}, {rest}"
            " FROM sale_run"
        )


@pytest.mark.usefixtures("purses")
def test_no_entry_and_no_run_gets_a_number_that_is_taken_or_was_passed(
    ledger_db: Database, make_till: Callable[[int], FakeTill]
) -> None:
    till = make_till(1)
    for _ in range(4):
        till.tap(100)
    booked_runs(ledger_db, till.records)
    first = ledger_db.number("SELECT id FROM sale_run")
    columns = "kind, source, source_position, amount_fen, subsidy_fen, happened_at_utc_s, clock_quality"
    more = "received_at_utc_s, accounting_day"
    for number in (first, first + 3):
        with pytest.raises(RuleBroken, match="no_entry_has_a_sales_number"):
            ledger_db.execute(
                f"INSERT INTO other_entry (id, {columns}, {more}) SELECT {number}, 7, '', 1, 0, 0, 1, 1, {more}"
                " FROM sale_run"
            )
    with ledger_db.transaction():
        store.add_entries(ledger_db, [entry_of(make_till(2).tap(100, counter=90))])
    last = store.last_entry(ledger_db)
    purse = ledger_db.number("SELECT min(id) FROM other_entry")
    sale = f"INSERT INTO sale VALUES ({last}, {last}, {purse}, 91, 7, 0, 0, 0)"
    head = f"INSERT INTO sale_run SELECT {last}, 1, source, 9, terminal, epoch, 90, 90, 1, 1, accounting_day, 7, 0"
    with pytest.raises(RuleBroken, match="runs_are_numbered_on"):
        together(ledger_db, sale, f"{head} FROM sale_run")


@pytest.mark.usefixtures("purses")
def test_sale_outside_of_its_run_is_refused(ledger_db: Database, till: FakeTill) -> None:
    till.tap(100)
    booked_runs(ledger_db, till.records)
    purse = ledger_db.number("SELECT min(id) FROM other_entry")
    with pytest.raises(RuleBroken, match="a_booked_run_gets_no_more_sales"):
        ledger_db.execute(f"INSERT INTO sale VALUES (700, 200, {purse}, 91, 7, 0, 0, 0)")
    head = "INSERT INTO sale_run SELECT 200, 1, source, 9, terminal, epoch, 90, 90, 1, 1, accounting_day, 7, 0"
    with pytest.raises(RuleBroken, match="a_run_is_what_its_sales_are"):
        together(
            ledger_db,
            f"INSERT INTO sale VALUES (200, 200, {purse}, 91, 7, 0, 0, 0)",
            f"INSERT INTO sale VALUES (699, 200, {purse}, 92, 7, 0, 0, 0)",
            f"{head} FROM sale_run",
        )


@pytest.mark.usefixtures("purses")
def test_no_run_is_booked_on_a_closed_day(ledger_db: Database, till: FakeTill) -> None:
    till.tap(100)
    booked_runs(ledger_db, till.records)
    purse = ledger_db.number("SELECT min(id) FROM other_entry")
    ledger_db.execute("INSERT INTO day_close SELECT 1, accounting_day, 1, 1, 1, 1, 1, 1, '', '' FROM sale_run")
    head = "INSERT INTO sale_run SELECT 200, 1, source, 9, terminal, epoch, 90, 90, 1, 1, accounting_day, 7, 0"
    with pytest.raises(RuleBroken, match="nothing_is_sold_on_a_closed_day"):
        together(ledger_db, f"INSERT INTO sale VALUES (200, 200, {purse}, 91, 7, 0, 0, 0)", f"{head} FROM sale_run")


@pytest.mark.usefixtures("purses")
def test_one_odd_tap_sends_only_its_own_intake_the_straight_way(
    ledger_db: Database, till: FakeTill, numbered_card: Callable[[int], CardId]
) -> None:
    for _ in range(6):
        till.tap(100)
    till.tap(100, card=numbered_card(7))  # nobody registered it
    for _ in range(5):
        till.tap(100)
    taps = Taps("canteen", {})
    for intake in intakes_of(till.records, {4, 7, 10}):
        taps.read(intake)
    with ledger_db.transaction():
        results = taps.post(ledger_db, Openings())
    assert results == [Posted.CREATED] * 6 + [Posted.SUSPENDED] + [Posted.CREATED] * 5
    assert ledger_db.number("SELECT count(*) FROM sale") == 9
    assert ledger_db.number("SELECT count(*) FROM other_entry WHERE kind = 2") == 2


def test_purses_of_one_database_are_not_taken_for_those_of_another(
    ledger_db: Database, numbered_card: Callable[[int], CardId]
) -> None:
    """A server that failed over to an older copy may have given the openings other numbers since."""
    cards = [numbered_card(n) for n in (1, 2)]
    with ledger_db.transaction():
        openings = [
            opening_for(card, balance_fen=Fen(0), counter=0, source=Source("onecard", 1), opened_at_utc_s=1)
            for card in cards
        ]
        store.post(ledger_db, openings)
    known = Openings()
    before = dict(known.of(ledger_db, {card.to_bytes() for card in cards}))
    assert len(before) == 2
    assert dict(known.of(Reconnected(ledger_db), {cards[0].to_bytes()})) == {
        cards[0].to_bytes(): before[cards[0].to_bytes()]
    }


class Reconnected(Database):
    """The same database after its connection was lost."""

    def __init__(self, db: Database) -> None:
        super().__init__(db._connection)

    @property
    def session(self) -> int:
        return super().session + 1


@pytest.mark.usefixtures("purses")
def test_a_run_that_is_booked_gets_no_more_sales(ledger_db: Database, till: FakeTill) -> None:
    till.tap(100)
    booked_runs(ledger_db, till.records)
    for run in ("run_id", "run_id - 1"):
        with pytest.raises(RuleBroken, match="a_booked_run_gets_no_more_sales"):
            ledger_db.execute(f"INSERT INTO sale SELECT id + 1, {run}, purse_id, 90, 7, 0, 0, 0 FROM sale")


@pytest.mark.usefixtures("purses")
def test_a_run_takes_what_a_stream_takes_in_at_once_and_no_more(ledger_db: Database, till: FakeTill) -> None:
    till.tap(100)
    [intake] = intakes_of(till.records, set())
    [run] = usual_runs(intake, frozenset())
    assert isinstance(run, Run)
    for count, first in ((TAPS_MAX, 1), (TAPS_MAX + 1, 5_000)):
        long = replace(
            run,
            first_seq=first,
            first_ttsn=first,
            cards=list(run.cards) * count,
            counters=range(first, first + count),
            amounts_fen=[100] * count,
            subsidies_fen=[0] * count,
            balances_fen=[0] * count,
            happened_at_utc_s=[1] * count,
        )
        purses = purses_of(ledger_db, list(run.cards))
        if count <= TAPS_MAX:
            with ledger_db.transaction():
                add_runs(ledger_db, "canteen", [long], purses)
            continue
        with pytest.raises(RuleBroken, match=r"a_run_is_short|a_booked_run_gets_no_more"), ledger_db.transaction():
            add_runs(ledger_db, "canteen", [long], purses)


@given(st.binary(min_size=RECORD_BYTES, max_size=RECORD_BYTES))
def test_garbage_is_a_format_error_or_taps(data: bytes) -> None:
    with suppress(FormatError):
        Taps("canteen", {}).read(IntakeRow(1, 2, data, b"", RECEIVED))


def test_piece_of_a_record_is_a_format_error() -> None:
    with pytest.raises(FormatError):
        Taps("canteen", {}).read(IntakeRow(1, 2, bytes(RECORD_BYTES - 1), b"", RECEIVED))
