"""The journal of loads: its bytes, its chain, and the rules that its database holds."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from settlement.onecard.loads import (
    EVENT_BYTES,
    LoadEvent,
    LoadEventKind,
    LoadEvidence,
    append,
    loads_after,
    loads_genesis,
    next_load_hash,
)
from settlement.store.database import Database, RuleBroken, migrate, open_writer
from settlement.store.router import TOPUP
from wire.fields import FormatError
from wire.ids import Asn, CardId, IssuerId, LoadId, TerminalId
from wire.money import Fen

_POINT = TerminalId(bytes.fromhex("000000000501"))
_CARD = CardId(IssuerId(bytes.fromhex("1000000000000001")), Asn(bytes.fromhex("00000000000000000042")))
_GRANTED = LoadEvent(
    kind=LoadEventKind.GRANTED,
    evidence=LoadEvidence.MAC1,
    load_id=LoadId(_POINT, 1, 1),
    card=_CARD,
    online_counter=7,
    amount_fen=Fen(5000),
    old_balance_fen=Fen(120),
    terminal=_POINT,
    happened_at_utc_s=1_790_000_000,
)
_CONFIRMED = replace(_GRANTED, kind=LoadEventKind.CONFIRMED, evidence=LoadEvidence.TAC, tac=b"\x01\x02\x03\x04")
_VOIDED = replace(_GRANTED, kind=LoadEventKind.VOIDED, evidence=LoadEvidence.COUNTER_UNCHANGED)


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    path = tmp_path / "topup.db"
    migrate(path, TOPUP)
    with open_writer(path, TOPUP) as database:
        yield database


def _append(db: Database, *events: LoadEvent) -> None:
    for event in events:
        with db.transaction():
            append(db, event)


def _other_load(event: LoadEvent, number: int) -> LoadEvent:
    return replace(event, load_id=LoadId(_POINT, 1, number))


@pytest.mark.parametrize("event", [_GRANTED, _CONFIRMED, _VOIDED])
def test_an_event_is_read_back_from_its_bytes(event: LoadEvent) -> None:
    assert len(event.to_bytes()) == EVENT_BYTES
    assert LoadEvent.from_bytes(event.to_bytes()) == event


@given(st.binary(max_size=80) | st.binary(min_size=EVENT_BYTES, max_size=EVENT_BYTES))
def test_garbage_is_an_event_or_a_typed_error(data: bytes) -> None:
    with suppress(FormatError):
        assert LoadEvent.from_bytes(data).to_bytes() == data


@given(at=st.integers(0, EVENT_BYTES - 1), value=st.integers(0, 255))
def test_a_changed_byte_gives_another_event_or_a_typed_error(at: int, value: int) -> None:
    data = bytearray(_CONFIRMED.to_bytes())
    data[at] = value
    with suppress(FormatError):
        assert LoadEvent.from_bytes(bytes(data)).to_bytes() == bytes(data)


def test_an_event_does_not_name_the_card_in_full() -> None:
    assert _CARD.asn.hex() not in repr(_GRANTED)


def test_the_journal_is_read_in_order_and_its_chain_holds(db: Database) -> None:
    _append(db, _GRANTED, _VOIDED, _other_load(_GRANTED, 2), _other_load(_CONFIRMED, 2))

    rows = loads_after(db, 0, 10)

    assert [row.position for row in rows] == [1, 2, 3, 4]
    head = loads_genesis()
    for row in rows:
        head = next_load_hash(head, row.event)
        assert row.chain_hash == head
    assert loads_after(db, 3, 10) == rows[3:]


@pytest.mark.parametrize(
    ("before", "event", "rule"),
    [
        ([_GRANTED], _other_load(_GRANTED, 2), "a_card_has_one_open_load"),
        ([_GRANTED, _VOIDED], _GRANTED, "a_load_is_granted_once"),
        ([_GRANTED, _VOIDED], _CONFIRMED, "a_load_ends_once"),
        ([], _CONFIRMED, "a_load_ends_as_it_was_granted"),
        ([_GRANTED], replace(_CONFIRMED, online_counter=8), "a_load_ends_as_it_was_granted"),
        (
            [_GRANTED, _CONFIRMED, _other_load(_GRANTED, 2)],
            _other_load(_CONFIRMED, 2),
            "a_counter_is_confirmed_once",
        ),
    ],
)
def test_the_database_refuses_an_event_that_breaks_a_rule(
    db: Database, before: list[LoadEvent], event: LoadEvent, rule: str
) -> None:
    _append(db, *before)
    with pytest.raises(RuleBroken, match=rule):
        _append(db, event)
    assert len(loads_after(db, 0, 10)) == len(before)


@pytest.mark.parametrize("statement", ["UPDATE load_event SET kind = 3", "DELETE FROM load_event"])
def test_the_journal_is_insert_only(db: Database, statement: str) -> None:
    _append(db, _GRANTED)
    with pytest.raises(RuleBroken, match="load_event_is_never"):
        db.execute(statement)
