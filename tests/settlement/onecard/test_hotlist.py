"""The hotlist follows from its journal."""

from __future__ import annotations

from collections.abc import Callable

from settlement.onecard.hotlist import PAST_VERSIONS, find_hotlist, list_card, read_hotlist, read_last_change
from settlement.store.database import Database
from wire.hotlist import EMPTY_HOTLIST, Hotlist
from wire.ids import CardId


def test_hotlist_counts_its_changes_and_a_repeat_is_none(
    onecard_db: Database, numbered_card: Callable[[int], CardId]
) -> None:
    def change(number: int, *, listed: bool) -> bool:
        return list_card(onecard_db, numbered_card(number), listed=listed, reason="lost", now_utc_s=1)

    assert read_hotlist(onecard_db) == EMPTY_HOTLIST
    assert [change(1, listed=True), change(1, listed=True), change(2, listed=True)] == [True, False, True]
    assert read_hotlist(onecard_db) == Hotlist(2, frozenset({numbered_card(1), numbered_card(2)}))
    assert [change(1, listed=False), change(1, listed=False)] == [True, False]
    assert read_hotlist(onecard_db) == Hotlist(3, frozenset({numbered_card(2)}))
    assert change(1, listed=True)
    assert read_hotlist(onecard_db) == Hotlist(4, frozenset({numbered_card(1), numbered_card(2)}))


def test_last_change_tells_apart_two_lists_of_the_same_version(
    onecard_db: Database, numbered_card: Callable[[int], CardId]
) -> None:
    assert read_last_change(onecard_db) == ()
    list_card(onecard_db, numbered_card(1), listed=True, reason="lost", now_utc_s=1)
    one = read_last_change(onecard_db)
    onecard_db.execute("DROP TRIGGER hotlist_entry_is_never_deleted")
    onecard_db.execute("DELETE FROM hotlist_entry")  # as a restore would
    list_card(onecard_db, numbered_card(2), listed=True, reason="lost", now_utc_s=1)
    assert read_last_change(onecard_db) != one


def test_earlier_list_is_found_by_its_mark_among_the_newest_ones(
    onecard_db: Database, numbered_card: Callable[[int], CardId]
) -> None:
    lists = [read_hotlist(onecard_db)]
    for number in range(1, PAST_VERSIONS + 10):  # every fifth change takes a card off that was put on two before
        listed = number % 5 != 0
        card = numbered_card(number if listed else number - 2)
        assert list_card(onecard_db, card, listed=listed, reason="lost", now_utc_s=1)
        lists.append(read_hotlist(onecard_db))
    assert [find_hotlist(onecard_db, one.mark) for one in lists[-PAST_VERSIONS:]] == lists[-PAST_VERSIONS:]
    assert find_hotlist(onecard_db, lists[-PAST_VERSIONS - 1].mark) is None
    assert find_hotlist(onecard_db, EMPTY_HOTLIST.mark) == EMPTY_HOTLIST
