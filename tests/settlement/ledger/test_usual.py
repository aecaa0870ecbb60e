"""The short way into the ledger leaves exactly what the straight way leaves, whatever a stream brings."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from settlement.ledger.store import Posted
from settlement.ledger.usual import Openings, Taps
from settlement.onecard.keys import FileKeyStore
from settlement.store.database import Database, Value
from settlement.streams.store import IntakeRow
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
        tables = ("entry", "posting", "suspense_item")
        found = results, [db.query(f"SELECT * FROM {table} ORDER BY id", into=lambda *row: row) for table in tables]
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


@given(st.binary(min_size=RECORD_BYTES, max_size=RECORD_BYTES))
def test_garbage_is_a_format_error_or_taps(data: bytes) -> None:
    with suppress(FormatError):
        Taps("canteen", {}).read(IntakeRow(1, 2, data, b"", RECEIVED))
