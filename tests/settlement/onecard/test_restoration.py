"""No number that the registry may have given out before it was restored is given out again."""

from __future__ import annotations

from settlement.onecard.requests import put_request
from settlement.onecard.restoration import note_restoration, numbers_lost
from settlement.onecard.tickets import give_epoch
from settlement.store.database import Database
from wire.downlink import Question
from wire.ids import Stream, TerminalId

TERMINAL, OTHER = TerminalId(bytes.fromhex("000000000101")), TerminalId(bytes.fromhex("000000000102"))
DAY_S = 86_400
BACKUP = 1_764_000_000
RESTORED = BACKUP + DAY_S


def test_nothing_is_left_out_before_a_restore(onecard_db: Database) -> None:
    assert numbers_lost(onecard_db, given_at_utc_s=BACKUP, each_s=1) == 0


def test_epochs_leave_out_what_was_perhaps_given_since_the_backup_and_then_go_on_by_one(onecard_db: Database) -> None:
    assert give_epoch(onecard_db, TERMINAL, stream=Stream.CANTEEN, now_utc_s=BACKUP - DAY_S) == 1
    note_restoration(onecard_db, taken_at_utc_s=BACKUP, now_utc_s=RESTORED)
    assert give_epoch(onecard_db, TERMINAL, stream=Stream.SHOPS, now_utc_s=RESTORED + 1) == 2 + 25
    assert give_epoch(onecard_db, TERMINAL, stream=Stream.SHOPS, now_utc_s=RESTORED + 2) == 2 + 26
    # One that the backup does not know at all may have had tickets, too.
    assert give_epoch(onecard_db, OTHER, stream=Stream.SHOPS, now_utc_s=RESTORED + 3) == 1 + 25


def test_requests_leave_out_what_was_perhaps_asked_since_the_backup(onecard_db: Database) -> None:
    give_epoch(onecard_db, TERMINAL, stream=Stream.CANTEEN, now_utc_s=1)
    first = put_request(onecard_db, TERMINAL, Question.STATUS, now_utc_s=BACKUP)
    note_restoration(onecard_db, taken_at_utc_s=BACKUP, now_utc_s=RESTORED)
    second = put_request(onecard_db, TERMINAL, Question.STATUS, now_utc_s=RESTORED + 1)
    third = put_request(onecard_db, TERMINAL, Question.LOG, now_utc_s=RESTORED + 2)
    assert (first.number, second.number > DAY_S, third.number - second.number) == (1, True, 1)


def test_second_restore_of_the_same_backup_leaves_out_more_than_the_first(onecard_db: Database) -> None:
    lost: list[int] = []
    for restored in (RESTORED, RESTORED + 3 * 3_600):
        # The first one's note is not in the backup, and goes with it.
        onecard_db.execute("DROP TRIGGER restoration_is_never_deleted") if lost else None
        onecard_db.execute("DELETE FROM restoration") if lost else None
        note_restoration(onecard_db, taken_at_utc_s=BACKUP, now_utc_s=restored)
        lost.append(numbers_lost(onecard_db, given_at_utc_s=BACKUP, each_s=3_600))
    assert lost == [25, 28]


def test_backup_from_a_clock_ahead_leaves_out_an_hours_numbers(onecard_db: Database) -> None:
    note_restoration(onecard_db, taken_at_utc_s=BACKUP, now_utc_s=BACKUP - 500)
    assert numbers_lost(onecard_db, given_at_utc_s=BACKUP - 600, each_s=1) == 3_600
