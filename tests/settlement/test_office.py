"""The office's journal of decisions."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from settlement.office import (
    NAME_MAX,
    Action,
    Decision,
    DecisionInvalid,
    decisions_after,
    decisions_genesis,
    find_decision,
    new_decision,
    next_decision_hash,
    put_decision,
)
from settlement.settings import Home
from settlement.store.database import Database, open_writer


@pytest.fixture
def office_db(home: Home) -> Iterator[Database]:
    with open_writer(home.place("office"), "office") as db:
        yield db


def decide(db: Database, key: int, by: str = "Li Na", because: str = "why not") -> Decision:
    facts: dict[str, str | int] = {"item": 7, "because": because}
    decision = new_decision(db, key=key.to_bytes(16), action=Action.RESOLVE, facts=facts, by=by, now_utc_s=5)
    put_decision(db, decision)
    return decision


def test_decisions_are_kept_in_their_order_and_chained(office_db: Database) -> None:
    taken = [decide(office_db, key) for key in (1, 2)]
    kept = decisions_after(office_db, 0, 9)
    assert [(row.position, row.key, row.by, row.number("item")) for row in kept] == [
        (decision.position, decision.key, "Li Na", 7) for decision in taken
    ]
    head = decisions_genesis()
    for row in kept:
        head = next_decision_hash(head, row)
        assert row.chain_hash == head
    assert find_decision(office_db, 2) == kept[1]
    assert find_decision(office_db, 3) is None


@pytest.mark.parametrize("by", ["", "  ", "x" * (NAME_MAX + 1), "a\nb"])
def test_name_that_is_none_is_refused(office_db: Database, by: str) -> None:
    with pytest.raises(DecisionInvalid, match="--by"):
        decide(office_db, 1, by=by)


def test_decision_without_reason_is_refused(office_db: Database) -> None:
    with pytest.raises(DecisionInvalid, match="--reason"):
        decide(office_db, 1, because=" ")


@pytest.mark.parametrize("body", ["[]", "7", "{", '{"item":null}', '{"item":"x"}'])
def test_body_that_is_none_gives_a_typed_error(body: str) -> None:
    with pytest.raises(ValueError, match=r"decision 1|invalid|Expecting"):
        Decision(1, b"", 1, body, "", 0).number("item")
