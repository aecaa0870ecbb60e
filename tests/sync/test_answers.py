"""What the daemon answers: how things stand as JSON, and the end of its log in an answer's measure."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

from sync.answers import LINE_LETTERS_MAX, LINES_MAX, Answers, LogRing
from sync.clock import Clock
from sync.store import UplinkStore
from wire.downlink import ANSWER_BYTES_MAX, Answer, Question


@pytest.fixture
def ring() -> LogRing:
    return LogRing()


def log(ring: LogRing, words: str) -> None:
    ring.handle(logging.LogRecord("campus", logging.INFO, __file__, 1, words, None, None))


def test_status_is_the_json_of_the_status_command(
    folder: Path, store: UplinkStore, ring: LogRing, clock: Clock
) -> None:
    said = json.loads(Answers(folder, ring, clock).answer(Question.STATUS))
    assert said["enrolment"]["terminal"] == "112233445566"
    assert said["next_seq"] == store.cursor().next_seq


def test_status_that_cannot_be_read_is_answered_with_the_fault(folder: Path, ring: LogRing, clock: Clock) -> None:
    (folder / "uplink.db").write_bytes(b"no database, but of its length" * 100)
    said = Answers(folder, ring, clock).answer(Question.STATUS)
    assert said.endswith("]")


def test_log_is_the_last_lines_in_their_order(folder: Path, ring: LogRing, clock: Clock) -> None:
    for number in range(LINES_MAX + 1):
        log(ring, f"line {number}")
    lines = Answers(folder, ring, clock).answer(Question.LOG).splitlines()
    assert lines[-1].endswith(f"INFO line {LINES_MAX}")
    assert lines[0].endswith("INFO line 1")


def test_log_that_is_too_long_loses_its_oldest_lines_and_long_lines_their_ends(ring: LogRing) -> None:
    for number in range(LINES_MAX):
        log(ring, f"{number} " + "饭" * LINE_LETTERS_MAX)
    text = ring.text()
    assert 0 < len(text.encode()) <= ANSWER_BYTES_MAX
    assert f"INFO {LINES_MAX - 1} " in text.splitlines()[-1]
    assert all(len(line) == LINE_LETTERS_MAX for line in text.splitlines())


def test_line_that_is_no_text_is_sent_with_its_letters_replaced(ring: LogRing) -> None:
    log(ring, "a file named \udcff")
    assert Answer.from_bytes(Answer(1, ring.text()).to_bytes()).text.endswith("a file named ?")
