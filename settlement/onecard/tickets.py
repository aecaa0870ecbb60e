"""The journal of epochs that were given out, one for each ticket. Left out: the ticket itself (`wire.enrolment`)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from settlement.onecard.outlets import note_ticket
from settlement.store.database import Database
from wire.errors import CampusError
from wire.ids import EPOCH_MAX, Stream, TerminalId

_LAST: Final = "SELECT coalesce(max(epoch), 0) FROM ticket WHERE terminal = %s"
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

    Raises `EpochsExhausted`.
    """
    with db.transaction():
        epoch = db.number(_LAST, (terminal,)) + 1
        if epoch > EPOCH_MAX:
            raise EpochsExhausted(f"terminal {terminal.hex()} has used up its epochs; it needs another number")
        db.execute(_ADD, (terminal, epoch, int(stream), now_utc_s))
        note_ticket(db, terminal, stream, outlet, now_utc_s=now_utc_s)
    return epoch


def read_last_tickets(db: Database) -> list[LastTicket]:
    """Every terminal that was ever given a ticket, with its newest."""
    return db.query(
        _NEWEST,
        into=lambda terminal, epoch, stream, issued: LastTicket(
            TerminalId(bytes(terminal)), epoch, Stream(stream), issued
        ),
    )
