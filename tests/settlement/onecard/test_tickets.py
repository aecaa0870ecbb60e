"""Epochs are given out once."""

from __future__ import annotations

import pytest

from settlement.onecard.tickets import EpochsExhausted, give_epoch
from settlement.store.database import Database, RuleBroken
from wire.ids import EPOCH_MAX, Stream, TerminalId

ONE, OTHER = TerminalId(bytes(5) + b"\1"), TerminalId(bytes(5) + b"\2")


def test_epochs_of_a_terminal_go_up_by_one_over_all_streams(onecard_db: Database) -> None:
    given = [give_epoch(onecard_db, ONE, stream=stream, now_utc_s=1) for stream in (Stream.CANTEEN, Stream.SHOPS)]
    assert given == [1, 2]
    assert give_epoch(onecard_db, OTHER, stream=Stream.CANTEEN, now_utc_s=1) == 1
    assert give_epoch(onecard_db, ONE, stream=Stream.CANTEEN, now_utc_s=1) == 3


def test_epoch_is_not_given_out_twice_by_anybody(onecard_db: Database) -> None:
    give_epoch(onecard_db, ONE, stream=Stream.CANTEEN, now_utc_s=1)
    with pytest.raises(RuleBroken, match="an_epoch_is_given_out_once"):
        onecard_db.execute("INSERT INTO ticket VALUES (9, %s, 1, 1, 1)", (ONE,))


def test_last_epoch_is_followed_by_a_typed_fault(onecard_db: Database) -> None:
    onecard_db.execute("INSERT INTO ticket VALUES (9, %s, %s, 1, 1)", (ONE, EPOCH_MAX))
    with pytest.raises(EpochsExhausted):
        give_epoch(onecard_db, ONE, stream=Stream.CANTEEN, now_utc_s=1)
