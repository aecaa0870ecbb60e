"""Requests to terminals: numbered, for the stream of the terminal's last ticket, never changed."""

from __future__ import annotations

import pytest

from settlement.onecard.requests import OPEN_S, TerminalNotAsked, find_request, put_request, recent_requests
from settlement.onecard.tickets import give_epoch
from settlement.settings import Home
from settlement.store.database import RuleBroken, open_writer
from wire.downlink import Question
from wire.ids import Stream, TerminalId

TERMINAL = TerminalId(bytes(range(6)))


def test_request_is_numbered_and_found_by_the_stream_of_the_last_ticket(home: Home) -> None:
    with open_writer(home.place("onecard"), "onecard") as db:
        for stream in (Stream.SHOPS, Stream.CANTEEN):
            give_epoch(db, TERMINAL, stream=stream, now_utc_s=1)
        asked = [put_request(db, TERMINAL, what, now_utc_s=100) for what in Question]
        assert [row.number for row in asked] == [1, 2]
        assert recent_requests(db, Stream.CANTEEN, now_utc_s=100) == asked[::-1]
        assert recent_requests(db, Stream.SHOPS, now_utc_s=100) == []
        assert recent_requests(db, Stream.CANTEEN, now_utc_s=100 + OPEN_S) == []
        assert find_request(db, 2) == asked[1]
        assert find_request(db, 3) is None
        with pytest.raises(RuleBroken, match="request_is_never_changed"):
            db.execute("UPDATE request SET what = 1")


def test_terminal_without_a_ticket_and_top_up_point_are_not_asked(home: Home) -> None:
    with open_writer(home.place("onecard"), "onecard") as db:
        with pytest.raises(TerminalNotAsked, match="never given a ticket"):
            put_request(db, TERMINAL, Question.LOG, now_utc_s=1)
        give_epoch(db, TERMINAL, stream=Stream.TOP_UP, now_utc_s=1)
        with pytest.raises(TerminalNotAsked, match="top-up point"):
            put_request(db, TERMINAL, Question.LOG, now_utc_s=1)
