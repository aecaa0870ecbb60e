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


def _marked(till: FakeTill) -> CodingState:
    """A state that nobody makes of the taps."""
    state = till.state(4)
    state.boot = 77
    return state


def test_state_that_was_kept_is_lent_and_made_from_the_taps_where_it_did_not_come_back(
    canteen: StreamDriver, till: FakeTill
) -> None:
    row, states = _journal(canteen, till), CodingStates()
    wanted = till.state(4)
    states.keep(row, _marked(till), row.head_hash)
    for boot in (77, 1, 1):
        lent = states.lend(canteen.db, row, 4, row.head_hash)
        assert (lent.seq, lent.boot, lent.cards, lent.counters) == (4, boot, wanted.cards, wanted.counters)
        lent.cards.append(b"spoilt")  # the borrower's own


def test_state_of_another_place_or_history_is_not_lent(canteen: StreamDriver, till: FakeTill) -> None:
    row, states = _journal(canteen, till), CodingStates()
    for seq, head_hash in ((4, bytes(32)), (3, row.head_hash)):
        states.keep(row, _marked(till), row.head_hash)
        lent = states.lend(canteen.db, row, seq, head_hash)
        assert (lent.seq, lent.boot) == (seq, 1)


def test_more_cards_than_may_be_kept_throw_out_what_was_not_used_for_longest(
    canteen: StreamDriver, make_till: Callable[[int], FakeTill]
) -> None:
    states = CodingStates(cards_max=2)
    tills = [make_till(number) for number in (1, 2, 3)]
    rows = [_journal(canteen, till) for till in tills]
    for number in (0, 1, 0, 2):  # one card each; the first is used again before the third comes
        states.keep(rows[number], _marked(tills[number]), rows[number].head_hash)
    kept = [states.lend(canteen.db, rows[number], 4, rows[number].head_hash).boot for number in (2, 0, 1)]
    assert kept == [77, 77, 1]
