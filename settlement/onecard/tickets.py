"""The journal of epochs that were given out, one for each ticket. Left out: the ticket itself (`wire.enrolment`)."""

from __future__ import annotations

from typing import Final

from settlement.store.database import Database
from wire.errors import CampusError
from wire.ids import EPOCH_MAX, Stream, TerminalId

_LAST: Final = "SELECT coalesce(max(epoch), 0) FROM ticket WHERE terminal = %s"
_ADD: Final = "INSERT INTO ticket (terminal, epoch, stream, issued_at_utc_s) VALUES (%s, %s, %s, %s)"


class EpochsExhausted(CampusError):
    """This terminal number was given its last epoch."""

    code = "epochs-exhausted"


def give_epoch(db: Database, terminal: TerminalId, *, stream: Stream, now_utc_s: int) -> int:
    """The next epoch of a terminal, over all streams; kept before it is told. Raises `EpochsExhausted`."""
    with db.transaction():
        epoch = db.number(_LAST, (terminal,)) + 1
        if epoch > EPOCH_MAX:
            raise EpochsExhausted(f"terminal {terminal.hex()} has used up its epochs; it needs another number")
        db.execute(_ADD, (terminal, epoch, int(stream), now_utc_s))
    return epoch
