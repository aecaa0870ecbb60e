"""The states of a stream's journals: lent, kept, thrown out, and made again from the taps."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from settlement.streams import store
from settlement.streams.coding import CodingStates
from settlement.streams.store import TerminalRow
from wire.directory import CodingState

if TYPE_CHECKING:
    from tests.settlement.conftest import FakeTill, StreamDriver


def _journal(canteen: StreamDriver, till: FakeTill, taps: int = 3) -> TerminalRow:
    canteen.enrol(till)
    for _ in range(taps):
        till.tap()
    canteen.accept(till.batch())
    row = store.find_terminal(canteen.db, till.terminal, till.epoch)
    assert row is not None
    return row


def test_state_that_was_kept_is_lent_once_and_then_made_from_the_taps(canteen: StreamDriver, till: FakeTill) -> None:
    row, states = _journal(canteen, till), CodingStates()
    kept = till.state(4)
    states.keep(row, kept, row.head_hash)
    assert states.lend(canteen.db, row, 4, row.head_hash) is kept
    again = states.lend(canteen.db, row, 4, row.head_hash)
    assert again is not kept
    assert (again.seq, again.cards, again.counters, again.prices) == (4, kept.cards, kept.counters, kept.prices)


def test_state_of_another_place_or_history_is_not_lent(canteen: StreamDriver, till: FakeTill) -> None:
    row, states = _journal(canteen, till), CodingStates()
    kept = till.state(4)
    for seq, head_hash in ((4, bytes(32)), (3, row.head_hash)):
        states.keep(row, kept, row.head_hash)
        lent = states.lend(canteen.db, row, seq, head_hash)
        assert lent is not kept
        assert lent.seq == seq


def test_more_cards_than_may_be_kept_throw_out_what_was_not_used_for_longest(
    canteen: StreamDriver, make_till: Callable[[int], FakeTill]
) -> None:
    states = CodingStates(cards_max=2)
    tills = [make_till(number) for number in (1, 2, 3)]
    rows = [_journal(canteen, till) for till in tills]
    kept: list[CodingState] = [till.state(4) for till in tills]
    for number in (0, 1, 0, 2):  # one card each; the first is used again before the third comes
        states.keep(rows[number], kept[number], rows[number].head_hash)
    lent = [states.lend(canteen.db, row, 4, row.head_hash) for row in rows]
    assert [one is other for one, other in zip(lent, kept, strict=True)] == [True, False, True]
