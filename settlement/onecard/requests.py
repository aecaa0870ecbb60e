"""What the operator asks terminals for: each request a numbered row.

Left out: bringing it to the terminal, and the answers (`settlement.streams`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from settlement.onecard.restoration import numbers_lost
from settlement.store.database import Database
from wire.downlink import Question, Request
from wire.errors import CampusError
from wire.ids import CONSUMPTION_STREAMS, Stream, TerminalId

OPEN_S: Final = 7 * 86_400  # what was not answered by then nobody waits for any more
OPEN_MAX: Final = 200  # the newest ones; the watch reads them every second

_COLUMNS: Final = "number, stream, terminal, what, asked_at_utc_s"
_ADD: Final = f"""
    INSERT INTO request ({_COLUMNS})
    VALUES (%s, %s, %s, %s, %s)
"""
_SINCE: Final = f"""
    SELECT {_COLUMNS} FROM request WHERE stream = %s AND asked_at_utc_s > %s ORDER BY number DESC LIMIT {OPEN_MAX}
"""
_FIND: Final = f"SELECT {_COLUMNS} FROM request WHERE number = %s"
_OF_TERMINAL: Final = f"SELECT {_COLUMNS} FROM request WHERE terminal = %s ORDER BY number DESC LIMIT %s"
_LAST: Final = f"SELECT {_COLUMNS} FROM request ORDER BY number DESC LIMIT 1"
_STREAM: Final = "SELECT stream FROM ticket WHERE terminal = %s ORDER BY epoch DESC LIMIT 1"


class TerminalNotAsked(CampusError):
    """The terminal was never given a ticket, or is none that can be asked."""

    code = "terminal-not-asked"


@dataclass(frozen=True, slots=True)
class Asked:
    """A request with its terminal, and the stream that it was enrolled with last."""

    number: int
    stream: Stream
    terminal: TerminalId
    what: Question
    asked_at_utc_s: int

    @property
    def request(self) -> Request:
        """What goes down."""
        return Request(self.number, self.what)


def put_request(db: Database, terminal: TerminalId, what: Question, *, now_utc_s: int) -> Asked:
    """Put a request where the stream finds it. Raises `TerminalNotAsked`."""
    with db.transaction():
        streams = db.query(_STREAM, (terminal,), into=Stream)
        if not streams:
            raise TerminalNotAsked(f"terminal {terminal.hex()} was never given a ticket")
        if streams[0] not in CONSUMPTION_STREAMS:
            raise TerminalNotAsked(f"terminal {terminal.hex()} is a top-up point; it has no daemon that answers")
        last = next(iter(db.query(_LAST, into=_asked)), None)
        number, given_at_utc_s = (0, 0) if last is None else (last.number, last.asked_at_utc_s)
        # A terminal may still answer one that was asked before a restore: its number stays its own.
        number += 1 + numbers_lost(db, given_at_utc_s=given_at_utc_s, each_s=1)
        db.execute(_ADD, (number, int(streams[0]), terminal, int(what), now_utc_s))
    return Asked(number, streams[0], terminal, what, now_utc_s)


def find_request(db: Database, number: int) -> Asked | None:
    """One request."""
    return next(iter(db.query(_FIND, (number,), into=_asked)), None)


def recent_requests(db: Database, stream: Stream, *, now_utc_s: int) -> list[Asked]:
    """A stream's requests that may still be answered, newest first."""
    return db.query(_SINCE, (int(stream), now_utc_s - OPEN_S), into=_asked)


def requests_of(db: Database, terminal: TerminalId, count_max: int) -> list[Asked]:
    """A terminal's requests, newest first."""
    return db.query(_OF_TERMINAL, (terminal, count_max), into=_asked)


def _asked(number: int, stream: int, terminal: bytes, what: int, asked_at_utc_s: int) -> Asked:
    return Asked(number, Stream(stream), TerminalId(terminal), Question(what), asked_at_utc_s)
