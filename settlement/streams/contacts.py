"""Terminals that are reached by short message: what each datagram to them says, and its number, which never repeats.

Left out: the meaning of taps (`ingest`), and getting messages sent (`sms`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from settlement.onecard.keys import KeyStore
from settlement.store.database import Database
from settlement.streams import store
from wire.hotlist import EMPTY_HOTLIST, Hotlist
from wire.ids import Stream, TerminalId
from wire.messages import Receipt, Refused
from wire.receipt import BatchReceipt
from wire.sms import DatagramKind, Envelope, HotlistDatagram, ReceiptDatagram

_COLUMNS: Final = "terminal, epoch, phone, last_number, hotlist_mark"
_FIND: Final = f"SELECT {_COLUMNS} FROM sms_contact WHERE terminal = %s AND epoch = %s"
_BEHIND: Final = f"SELECT {_COLUMNS} FROM sms_contact WHERE by_sms AND phone IS NOT NULL AND hotlist_mark <> %s"
_HEARD: Final = """
    INSERT INTO sms_contact (terminal, epoch, phone, by_sms, last_number, hotlist_mark) VALUES (%s, %s, %s, 1, 0, %s)
    ON CONFLICT (terminal, epoch) DO UPDATE SET phone = excluded.phone, by_sms = 1
"""
_TOLD: Final = """
    INSERT INTO sms_contact (terminal, epoch, phone, by_sms, last_number, hotlist_mark) VALUES (%s, %s, NULL, 0, 0, %s)
    ON CONFLICT (terminal, epoch) DO UPDATE SET by_sms = 0, hotlist_mark = excluded.hotlist_mark
"""
_NUMBERED: Final = "UPDATE sms_contact SET last_number = %s WHERE terminal = %s AND epoch = %s"
_PUSHED: Final = "UPDATE sms_contact SET hotlist_mark = %s WHERE terminal = %s AND epoch = %s"


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A datagram and the number that it goes to."""

    phone: str
    data: bytes


@dataclass(frozen=True, slots=True)
class _Contact:
    terminal: TerminalId
    epoch: int
    phone: str
    last_number: int
    hotlist_mark: bytes


def note_told(db: Database, terminal: TerminalId, epoch: int, hotlist_mark: bytes) -> None:
    """The terminal was here over data, and has this hotlist now."""
    with db.transaction():
        db.execute(_TOLD, (terminal, epoch, hotlist_mark))


def answer(
    db: Database, data: bytes, phone: str, said: Receipt | Refused, *, stream: Stream, keys: KeyStore
) -> Outgoing | None:
    """The receipt for a datagram that was opened; None when there is nothing to say about its journal."""
    envelope = Envelope.of(data)
    if isinstance(said, Receipt):
        receipt = ReceiptDatagram.of(said.receipt)
    elif said.cursor is not None:
        receipt = ReceiptDatagram.of(BatchReceipt(said.cursor, ()), said.rejection)
    else:
        return None
    with db.transaction():
        epoch = store.last_epoch(db, envelope.terminal)
        db.execute(_HEARD, (envelope.terminal, epoch, phone, EMPTY_HOTLIST.mark))
        contact = _find(db, envelope.terminal, epoch)
        return _seal(db, contact, DatagramKind.RECEIPT, receipt.to_bytes(), stream=stream, keys=keys)


def push_hotlist(
    db: Database, newest: Hotlist, find: Callable[[bytes], Hotlist | None], *, stream: Stream, keys: KeyStore
) -> list[Outgoing]:
    """What brings the terminals that were last heard by message up to date, where one message is enough."""
    outgoing = []
    for contact in db.query(_BEHIND, (newest.mark,), into=_row):
        old = find(contact.hotlist_mark)
        pushed = None if old is None else HotlistDatagram.between(old, newest)
        if pushed is None:  # cards came off, or too many came on: the next session brings the list
            continue
        with db.transaction():
            db.execute(_PUSHED, (newest.mark, contact.terminal, contact.epoch))
            outgoing.append(_seal(db, contact, DatagramKind.HOTLIST, pushed.to_bytes(), stream=stream, keys=keys))
    return outgoing


def _find(db: Database, terminal: TerminalId, epoch: int) -> _Contact:
    [contact] = db.query(_FIND, (terminal, epoch), into=_row)
    return contact


def _row(terminal: bytes, epoch: int, phone: str, last_number: int, hotlist_mark: bytes) -> _Contact:
    return _Contact(TerminalId(terminal), epoch, phone, last_number, hotlist_mark)


def _seal(
    db: Database, contact: _Contact, kind: DatagramKind, plain: bytes, *, stream: Stream, keys: KeyStore
) -> Outgoing:
    """Give the next number, in the caller's transaction, and seal with it once that is certain to be kept."""
    number = contact.last_number + 1
    db.execute(_NUMBERED, (number, contact.terminal, contact.epoch))
    envelope = Envelope(kind=kind, stream=stream, terminal=contact.terminal, number=number)
    key = keys.sms_key(contact.terminal, contact.epoch)
    return Outgoing(contact.phone, envelope.seal(plain, key, contact.epoch))
