"""What terminals answered to the operator's requests, for `campus-settlement ask`. Left out: asking."""

from __future__ import annotations

import time
from typing import Final

from settlement.onecard.requests import Asked, requests_of
from settlement.settings import Home
from settlement.store.database import open_reader
from settlement.store.router import ONECARD
from settlement.streams.store import AnswerRow, find_answer
from wire.ids import TerminalId

SHOWN_MAX: Final = 5


def read_answers(home: Home, terminal: TerminalId) -> list[tuple[Asked, AnswerRow | None]]:
    """The terminal's newest requests, oldest first, each with its answer if that came."""
    with open_reader(home.place(ONECARD), ONECARD) as db:
        asked = requests_of(db, terminal, SHOWN_MAX)
    found = []
    for row in reversed(asked):
        with open_reader(home.place(row.stream.label), row.stream.label) as db:
            found.append((row, find_answer(db, row.number, terminal)))
    return found


def answers_json(found: list[tuple[Asked, AnswerRow | None]]) -> list[dict[str, object]]:
    """The same for scripts; `answered_at_utc_s` and `text` are null while no answer came."""
    return [
        {
            "request": asked.number,
            "what": asked.what.name.lower(),
            "asked_at_utc_s": asked.asked_at_utc_s,
            "answered_at_utc_s": None if answer is None else answer.received_at_utc_s,
            "text": None if answer is None else answer.text,
        }
        for asked, answer in found
    ]


def answers_text(found: list[tuple[Asked, AnswerRow | None]], terminal: TerminalId) -> str:
    """The same for people; nothing in an answer moves the cursor of whoever reads it."""
    if not found:
        return f"terminal {terminal.hex()} was not asked for anything yet"
    parts = []
    for asked, answer in found:
        head = f"request {asked.number}: {asked.what.name.lower()}, asked {_when(asked.asked_at_utc_s)}"
        if answer is None:
            parts.append(f"{head}: no answer came yet")
        else:
            shown = "".join(letter if letter.isprintable() or letter == "\n" else " " for letter in answer.text)
            parts.append(f"{head}, answered {_when(answer.received_at_utc_s)}:\n{shown}")
    return "\n".join(parts)


def _when(utc_s: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(utc_s))
