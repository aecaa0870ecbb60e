"""Terminals at the door of a stream: enrolment with a ticket, identification, and what is known and missing of each."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Final

from settlement.onecard.keys import KeyStore
from settlement.store.database import Database
from settlement.streams import store
from settlement.streams.door import unknown_journal
from settlement.streams.store import TerminalRow
from wire.enrolment import Ticket
from wire.ids import TerminalId
from wire.messages import Enrolled, Identify, Refused, Welcome
from wire.receipt import Rejection
from wire.record import genesis_hash

_log: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """What the stream has of one journal (all numbers up to `last_seq`) and what the terminal ever said is beyond."""

    terminal: TerminalId
    epoch: int
    last_seq: int
    total_fen: int
    missing: range
    missing_fen: int
    heard_at_utc_s: int
    quarantined_because: str | None
    rolled_back_to_seq: int | None


def enrol(
    db: Database, ticket: Ticket, public_key: bytes, *, keys: KeyStore, operator_key: bytes, now_utc_s: int
) -> Enrolled | Refused:
    """Let a terminal in with its own key and the ticket's epoch; the same ticket and key again get the same answer.

    Ticket and key were checked at the `Door`. A ticket is known by terminal and epoch, so it is good again after this
    database was restored from a time before it was used.
    """
    enrolled = Enrolled(ticket.terminal, ticket.epoch, keys.sms_key(ticket.terminal, ticket.epoch), operator_key)
    with db.transaction():
        spent = store.find_terminal(db, ticket.terminal, ticket.epoch)
        if spent is not None:
            if spent.public_key != public_key:
                return Refused(Rejection.TICKET_SPENT, None, "another key was enrolled with this ticket")
            return enrolled
        if ticket.expires_utc_s < now_utc_s:
            return Refused(Rejection.TICKET_EXPIRED, None, "the ticket is too old; ask for a new one")
        store.add_terminal(
            db,
            terminal=ticket.terminal,
            epoch=ticket.epoch,
            public_key=public_key,
            genesis=genesis_hash(ticket.terminal, ticket.epoch),
            now_utc_s=now_utc_s,
        )
    return enrolled


def identify(db: Database, message: Identify, *, now_utc_s: int, has_shifts: bool = True) -> Welcome | Refused:
    """Note that a terminal which the `Door` let in was heard, with what it claims; say where the stream stands.

    A top-up point has no shifts, and its desk's database no table for them.
    """
    with db.transaction():
        row = store.find_terminal(db, message.terminal, message.epoch)
        if row is None:
            return unknown_journal(store.last_epoch(db, message.terminal), message.epoch)
        # A quarantined terminal is heard, too: what it still holds is money that somebody has to look for.
        store.hear(db, row, seq=message.head_seq, total_fen=message.total_fen, now_utc_s=now_utc_s)
        _watch_for_roll_back(db, row, message.head_seq)
        last_shift = store.last_shift(db, row) if has_shifts else None
    if row.quarantined_because is not None:
        return Refused(Rejection.QUARANTINED, row.cursor, row.quarantined_because)
    return Welcome(row.cursor, 0 if last_shift is None else last_shift.number)


def _watch_for_roll_back(db: Database, row: TerminalRow, head_seq: int) -> None:
    """A journal that ends before what it sent was put back to an older state, or lost its end: an alarm, no barrier.

    The terminal may go on: what it writes next contradicts what is here, and is found as a fork then.
    """
    if head_seq >= row.next_seq - 1:
        return
    _log.error(
        "ALARM: terminal %s epoch %d: its journal ends with tap %d, but %d taps of it are here: rolled-back storage",
        row.terminal.hex(),
        row.epoch,
        head_seq,
        row.next_seq - 1,
    )
    if row.rolled_back_to_seq is None or head_seq < row.rolled_back_to_seq:
        store.note_roll_back(db, row, head_seq)


def coverage(db: Database) -> list[Coverage]:
    """For every journal which numbers the stream has, which are missing, and the money between."""
    return [
        Coverage(
            terminal=TerminalId(row.terminal),
            epoch=row.epoch,
            last_seq=row.next_seq - 1,
            total_fen=row.total_fen,
            missing=range(row.next_seq, row.heard_seq + 1),
            missing_fen=row.heard_total_fen - row.total_fen if row.heard_seq >= row.next_seq else 0,
            heard_at_utc_s=row.heard_at_utc_s,
            quarantined_because=row.quarantined_because,
            rolled_back_to_seq=row.rolled_back_to_seq,
        )
        for row in store.all_terminals(db)
    ]
