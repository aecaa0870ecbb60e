"""The journal of epochs that were given out, one for each ticket. Left out: the ticket itself (`wire.enrolment`)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from settlement.onecard.outlets import note_ticket
from settlement.onecard.restoration import numbers_lost
from settlement.store.database import Database
from wire.errors import CampusError
from wire.ids import EPOCH_MAX, Stream, TerminalId

_LAST: Final = "SELECT epoch, issued_at_utc_s FROM ticket WHERE terminal = %s ORDER BY epoch DESC LIMIT 1"
_EACH_S: Final = 3_600  # no terminal is given tickets more often, on the average
_NEWEST: Final = """
    SELECT terminal, epoch, stream, issued_at_utc_s FROM ticket AS newest
    WHERE epoch = (SELECT max(epoch) FROM ticket WHERE terminal = newest.terminal) ORDER BY terminal
"""
_ADD: Final = "INSERT INTO ticket (terminal, epoch, stream, issued_at_utc_s) VALUES (%s, %s, %s, %s)"


@dataclass(frozen=True, slots=True)
class LastTicket:
    """The newest ticket of a terminal."""

    terminal: TerminalId
    epoch: int
    stream: Stream
    issued_at_utc_s: int


class EpochsExhausted(CampusError):
    """This terminal number was given its last epoch."""

    code = "epochs-exhausted"


def give_epoch(db: Database, terminal: TerminalId, *, stream: Stream, outlet: int | None = None, now_utc_s: int) -> int:
    """The next epoch of a terminal, over all streams, kept with its outlet before it is told. None: see `note_ticket`.

    None that was given out and lost by a restore is given out again (`settlement.onecard.restoration`).
    Raises `EpochsExhausted`.
    """
    with db.transaction():
        last, given_at_utc_s = next(iter(db.query(_LAST, (terminal,), into=_numbers)), (0, 0))
        epoch = last + 1 + numbers_lost(db, given_at_utc_s=given_at_utc_s, each_s=_EACH_S)
        if epoch > EPOCH_MAX:
            raise EpochsExhausted(f"terminal {terminal.hex()} has used up its epochs; it needs another number")
        db.execute(_ADD, (terminal, epoch, int(stream), now_utc_s))
        note_ticket(db, terminal, stream, outlet, now_utc_s=now_utc_s)
    return epoch


def _numbers(epoch: int, issued_at_utc_s: int) -> tuple[int, int]:
    return epoch, issued_at_utc_s


def read_last_tickets(db: Database) -> list[LastTicket]:
    """Every terminal that was ever given a ticket, with its newest."""
    return db.query(
        _NEWEST,
        into=lambda terminal, epoch, stream, issued: LastTicket(
            TerminalId(bytes(terminal)), epoch, Stream(stream), issued
        ),
    )
