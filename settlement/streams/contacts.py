"""Terminals that are reached by short message: what each datagram to them says, and its number, which never repeats.

Nobody confirms entries of the hotlist that came by message. They are sent again, ever more seldom, until a session
shows that the terminal has them. Left out: the meaning of taps (`ingest`), and getting messages sent (`sms`).
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from settlement.onecard.keys import KeyStore
from settlement.store.database import Database
from settlement.streams import store
from settlement.streams.smsfile import Message
from wire.hotlist import EMPTY_HOTLIST, Hotlist
from wire.ids import Stream, TerminalId
from wire.messages import Receipt, Refused
from wire.receipt import BatchReceipt
from wire.sms import DatagramKind, Envelope, HotlistDatagram, ReceiptDatagram, SmsInvalid, next_number

PATIENCE_S: Final = 600  # a terminal with data asks for news every 300 s by itself
PUSH_GAPS_S: Final = (
    60,
    240,
    960,
    3_600,
    14_400,
    86_400,
)  # soon made good, yet a dead phone costs little

_CONTACT: Final = """
    SELECT contact.terminal, contact.epoch, phone, heard_number, by_sms, last_number, hotlist_mark, pushed_mark, pushes,
           push_at_utc_s
    FROM sms_contact contact
"""
_FIND: Final = f"{_CONTACT} WHERE contact.terminal = %s AND contact.epoch = %s"
_BEHIND: Final = f"""
    {_CONTACT} WHERE phone IS NOT NULL AND hotlist_mark <> %s
    AND contact.epoch = (SELECT max(epoch) FROM terminal latest WHERE latest.terminal = contact.terminal)
    ORDER BY push_at_utc_s, contact.id
"""
_ADD: Final = """
    INSERT INTO sms_contact (terminal, epoch, phone, heard_number, by_sms, last_number, hotlist_mark, pushed_mark,
                             pushes, push_at_utc_s)
    VALUES (%s, %s, NULL, 0, %s, 0, %s, %s, 0, 0)
"""
_HEARD: Final = """
    UPDATE sms_contact SET phone = %s, heard_number = %s, by_sms = %s,
        push_at_utc_s = CASE WHEN by_sms THEN push_at_utc_s ELSE 0 END
    WHERE terminal = %s AND epoch = %s
"""
_SHOWN: Final = """
    UPDATE sms_contact SET by_sms = %s, hotlist_mark = %s, pushed_mark = %s WHERE terminal = %s AND epoch = %s
"""
_NUMBERED: Final = "UPDATE sms_contact SET last_number = %s WHERE terminal = %s AND epoch = %s"
_PUSHED: Final = """
    UPDATE sms_contact SET pushed_mark = %s, pushes = %s, push_at_utc_s = %s WHERE terminal = %s AND epoch = %s
"""

_log: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Contact:
    """See the table `sms_contact`."""

    terminal: TerminalId
    epoch: int
    phone: str | None
    heard_number: int
    by_sms: bool
    last_number: int
    hotlist_mark: bytes
    pushed_mark: bytes
    pushes: int
    push_at_utc_s: int


def note_session(db: Database, terminal: TerminalId, epoch: int, hotlist_mark: bytes) -> None:
    """The terminal was here over data, and has this hotlist."""
    contact = _find(db, terminal, epoch)
    if contact is not None and not contact.by_sms and contact.hotlist_mark == hotlist_mark:
        return
    with db.transaction():
        if contact is None:
            db.execute(_ADD, (terminal, epoch, False, hotlist_mark, b""))
        else:
            db.execute(_SHOWN, (False, hotlist_mark, b"", terminal, epoch))


def answer(
    db: Database, data: bytes, phone: str, said: Receipt | Refused, *, stream: Stream, keys: KeyStore, now_utc_s: int
) -> Message:
    """The receipt for a datagram that was opened, to the number that it came from, which is learnt.

    A datagram that came before is answered again, if it comes from the same number: whoever overheard one cannot have
    the terminal's messages sent to himself. `SmsInvalid` says so.
    """
    envelope = Envelope.of(data)
    if isinstance(said, Receipt):
        receipt = ReceiptDatagram.of(said.receipt)
    else:
        assert said.cursor is not None, "the terminal is enrolled"
        receipt = ReceiptDatagram.of(BatchReceipt(said.cursor, ()), said.rejection)
    with db.transaction():
        epoch = store.last_epoch(db, envelope.terminal)
        contact = _find(db, envelope.terminal, epoch)
        if contact is None:
            db.execute(_ADD, (envelope.terminal, epoch, False, EMPTY_HOTLIST.mark, b""))
        if contact is None or envelope.number > contact.heard_number:
            db.execute(_HEARD, (phone, envelope.number, True, envelope.terminal, epoch))
        elif phone != contact.phone:
            raise SmsInvalid(f"datagram {envelope.number} came before, from another number")
        contact = _find(db, envelope.terminal, epoch)
        assert contact is not None, "just written"
        return _seal(
            db, contact, DatagramKind.RECEIPT, receipt.to_bytes(), stream=stream, keys=keys, now_utc_s=now_utc_s
        )


def push_hotlist(
    db: Database,
    newest: Hotlist,
    find: Callable[[bytes], Hotlist | None],
    *,
    stream: Stream,
    keys: KeyStore,
    now_utc_s: int,
    count_max: int,
) -> list[Message]:
    """What is due to terminals that lack entries: at once if last heard by message, else after `PATIENCE_S`."""
    messages: list[Message] = []
    for contact in db.query(_BEHIND, (newest.mark,), into=_Contact):
        pushes, push_at_utc_s = contact.pushes, contact.push_at_utc_s
        if contact.pushed_mark != newest.mark:
            pushes, push_at_utc_s = 0, now_utc_s if contact.by_sms else now_utc_s + PATIENCE_S
        due = push_at_utc_s <= now_utc_s
        if due and len(messages) == count_max:
            break
        pushed = _additions(find(contact.hotlist_mark), newest) if due else None
        if due:
            push_at_utc_s = now_utc_s + PUSH_GAPS_S[-1 if pushed is None else min(pushes, len(PUSH_GAPS_S) - 1)]
            pushes += 1
        elif contact.pushed_mark == newest.mark:
            continue
        with db.transaction():
            db.execute(_PUSHED, (newest.mark, pushes, push_at_utc_s, contact.terminal, contact.epoch))
            if pushed is not None:
                plain = pushed.to_bytes()
                messages.append(
                    _seal(db, contact, DatagramKind.HOTLIST, plain, stream=stream, keys=keys, now_utc_s=now_utc_s)
                )
        if due and pushed is None:
            name = contact.terminal.hex()
            _log.info("%s: hotlist %d waits until terminal %s has data", stream.label, newest.version, name)
    return messages


def _additions(old: Hotlist | None, newest: Hotlist) -> HotlistDatagram | None:
    """The cards that came on. Those that came off stay refused there until the next session brings the list itself."""
    if old is None or newest.cards <= old.cards:
        return None
    return HotlistDatagram.between(old, Hotlist(newest.version, old.cards | newest.cards))


def _find(db: Database, terminal: TerminalId, epoch: int) -> _Contact | None:
    return next(iter(db.query(_FIND, (terminal, epoch), into=_Contact)), None)


def _seal(
    db: Database,
    contact: _Contact,
    kind: DatagramKind,
    plain: bytes,
    *,
    stream: Stream,
    keys: KeyStore,
    now_utc_s: int,
) -> Message:
    """Give the next number, in the caller's transaction; nothing leaves before that is kept."""
    assert contact.phone is not None, "it has one once it was heard"
    number = next_number(contact.last_number, now_utc_s=now_utc_s)
    db.execute(_NUMBERED, (number, contact.terminal, contact.epoch))
    envelope = Envelope(kind=kind, stream=stream, terminal=contact.terminal, number=number)
    key = keys.sms_key(contact.terminal, contact.epoch)
    return Message(contact.phone, envelope.seal(plain, key, contact.epoch))
