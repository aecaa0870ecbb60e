"""The operator's requests reach terminals on a real socket, and what the operator reads of the answers."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from settlement.onecard.requests import Asked, put_request
from settlement.settings import Home
from settlement.store.database import open_reader, open_writer
from settlement.streams.answers import answers_json, answers_text, read_answers
from settlement.streams.store import AnswerRow
from wire.downlink import Answer, Question
from wire.ids import Stream, TerminalId
from wire.messages import Receipt, Upload, Welcome

if TYPE_CHECKING:
    from tests.settlement.conftest import FakeTill
    from tests.settlement.streams.conftest import Port, Serve

NOW = 1_764_000_000

TERMINAL = TerminalId(bytes(range(6)))


def test_answer_cannot_move_the_readers_cursor_and_a_missing_one_is_said_in_words() -> None:
    asked = [Asked(number, Stream.CANTEEN, TERMINAL, Question.LOG, 100) for number in (1, 2)]
    text = answers_text([(asked[0], AnswerRow("one\n\x1b[2Jtwo", 101)), (asked[1], None)], TERMINAL)
    assert "one\n [2Jtwo" in text
    assert text.endswith("no answer came yet")
    assert "not asked for anything" in answers_text([], TERMINAL)
    rows = answers_json([(asked[0], AnswerRow("one\n\x1b[2Jtwo", 101)), (asked[1], None)])
    assert [(row["request"], row["answered_at_utc_s"], row["text"]) for row in rows] == [
        (asked[0].number, 101, "one\n\x1b[2Jtwo"),
        (asked[1].number, None, None),
    ]


TICKET = "INSERT INTO ticket (terminal, epoch, stream, issued_at_utc_s) VALUES (%s, 1, %s, 0)"


def test_request_reaches_the_terminal_its_answer_is_kept_and_nobody_elses(
    serve: Serve, enrolled: FakeTill, home: Home
) -> None:
    def ask(what: Question, terminal: TerminalId = enrolled.terminal) -> Asked:
        with open_writer(home.place("onecard"), "onecard") as db:
            if not db.number("SELECT count(*) FROM ticket WHERE terminal = %s", (terminal,)):
                db.execute(TICKET, (terminal, int(Stream.CANTEEN)))
            return put_request(db, terminal, what, now_utc_s=NOW)

    def answers() -> list[str | None]:
        return [None if row is None else row.text for _, row in read_answers(home, enrolled.terminal)]

    elses = ask(Question.LOG, TerminalId(bytes(6)))
    first = ask(Question.STATUS)

    async def scenario(port: Port) -> None:
        async with port.connect() as client:
            assert isinstance(await client.identify(enrolled), Welcome)
            assert await client.hear() == first.request
        async with port.connect() as client:  # it did not answer, so it is asked again
            assert isinstance(await client.identify(enrolled), Welcome)
            assert await client.hear() == first.request
            client.say(Answer(elses.number, "not mine"), Answer(99, "nobody asked"), Answer(first.number, "well"))
            client.say(Answer(first.number, "another"))
            second = await asyncio.to_thread(ask, Question.LOG)
            assert await client.hear() == second.request
            assert await asyncio.to_thread(answers) == ["well", None]
        async with port.connect() as client:
            assert isinstance(await client.identify(enrolled), Welcome)
            assert await client.hear() == second.request
            enrolled.tap()
            client.say(Answer(second.number, "lines"), Upload(enrolled.batch(1)))
            assert isinstance(await client.hear(), Receipt)
        assert await asyncio.to_thread(answers) == ["well", "lines"]

    serve(scenario)
    with open_reader(home.place("canteen"), "canteen") as db:
        assert db.number("SELECT count(*) FROM answer") == 2


def test_answer_that_cannot_be_kept_costs_the_terminal_nothing(
    serve: Serve, enrolled: FakeTill, home: Home, caplog: pytest.LogCaptureFixture
) -> None:
    with open_writer(home.place("onecard"), "onecard") as db:
        db.execute(TICKET, (enrolled.terminal, int(Stream.CANTEEN)))
        asked = put_request(db, enrolled.terminal, Question.LOG, now_utc_s=NOW)
    with open_writer(home.place("canteen"), "canteen") as db:
        db.execute("CREATE TRIGGER a_rule BEFORE INSERT ON answer BEGIN SELECT RAISE(ABORT, 'a_rule'); END")

    async def scenario(port: Port) -> None:
        async with port.connect() as client:
            assert isinstance(await client.identify(enrolled), Welcome)
            assert await client.hear() == asked.request
            enrolled.tap()
            client.say(Answer(asked.number, "lines"), Upload(enrolled.batch(1)))
            assert isinstance(await client.hear(), Receipt)

    with caplog.at_level("INFO"):
        serve(scenario)
    assert "answer 1: not kept: store-rule-broken" in caplog.text
