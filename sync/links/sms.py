"""The dearest way to the server: sealed datagrams in short messages, one under way at a time.

A message is sent within a durable budget, in the same bytes until its receipt has come, by message or over data. Left
out: bytes (`wire.sms`), the modem (`drivers.modem`), and whether it is worth it (`sync.policy`).
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import Final

from drivers.modem import SmsArrived
from sync.clock import Clock
from sync.link import LinkDown
from sync.links.modemport import ModemDevice, ModemPort
from sync.links.route import Carried
from sync.outbox import JournalCoder, JournalForked, check_cursor, check_owner
from sync.policy import Repair, SmsLimits
from sync.store import KeptDatagram, UplinkStore
from terminal.journal import JournalReader
from wire.receipt import BatchReceipt, Cursor, Rejected, Rejection
from wire.sms import (
    RECEIPT_TAG_BYTES,
    UP_TAPS_MAX,
    DatagramKind,
    Envelope,
    HotlistDatagram,
    ReceiptDatagram,
    SmsInvalid,
    next_number,
    pack_up,
)

ANSWER_S: Final = 180.0  # up and down again through a message centre that is not in a hurry
POLL_S: Final = 5.0
STORE_READ_S: Final = 3_600.0  # an arrival that was not told is found within this

log = logging.getLogger("campus.sync")


class SmsBudgetSpent(LinkDown):
    """So many messages were sent that the network, or whoever pays, would object to more now."""

    code = "sms-budget-spent"


@dataclass(frozen=True, slots=True)
class SmsCarried:
    """See `Carried`."""

    first_seq: int
    next_seq: int
    total_fen: int
    raw: bytes


class SmsRoute:
    """Carries taps by message to `number`, and takes in what arrives at any time."""

    def __init__(
        self,
        port: ModemPort,
        *,
        number: str,
        sms_key: bytes,
        limits: SmsLimits,
        store: UplinkStore,
        journal: JournalReader,
        coder: JournalCoder,
        clock: Clock,
        answer_s: float = ANSWER_S,
    ) -> None:
        self._port = port
        self._number = number
        self._key = sms_key
        self._limits = limits
        self._store = store
        self._journal = journal
        self._coder = coder
        self._clock = clock
        self._answer_s = answer_s
        self._read_at_s = float("-inf")

    def open(self) -> tuple[SmsRoute, Carried | None]:
        """See `Route`; the first message goes at once if taps wait."""
        check_owner(self._store, self._journal)
        return self, self.upload()

    def repair(self, repair: Repair) -> None:
        """See `Route`."""
        self._port.repair(repair)

    def close(self) -> None:
        """See `Contact`; there is nothing to close."""

    def listen(self, timeout_s: float) -> None:
        """See `Contact`."""
        self.overhear(timeout_s)

    def report(self) -> bool:
        """See `Contact`; messages carry taps alone."""
        return False

    def overhear(self, timeout_s: float = 0.0) -> None:
        """Take in messages that have arrived; the modem is asked for unannounced ones once an hour."""
        told = any(isinstance(event, SmsArrived) for event in self._port.events(timeout_s))
        if told or self._clock.monotonic_s() >= self._read_at_s + STORE_READ_S:
            with self._port.registered() as modem:
                self._read(modem)

    def upload(self) -> Carried | None:
        """See `Contact`; `SmsBudgetSpent` before anything is sent, `LinkDown` when no receipt comes."""
        datagram = self._datagram()
        if datagram is None:
            self.overhear()
            return None
        with self._port.registered() as modem:
            self._read(modem)  # its receipt may have come long since
            if not self._is_answered(datagram):
                self._send(modem, datagram)
                self._await(modem, datagram)
        total_fen = self._journal.total_before_fen(datagram.next_seq) - self._journal.total_before_fen(
            datagram.first_seq
        )
        return SmsCarried(datagram.first_seq, datagram.next_seq, total_fen, datagram.raw)

    def _datagram(self) -> KeptDatagram | None:
        """The one without an answer, or a new one; None: nothing waits."""
        kept = self._store.last_datagram()
        if kept is not None and not self._is_answered(kept):
            return kept
        cursor = self._store.cursor()
        check_cursor(self._journal, cursor)
        records = self._journal.records(cursor.next_seq, UP_TAPS_MAX)
        if not records:
            return None
        packed = pack_up(self._coder.state(cursor), cursor.head_hash, records)
        number = self._next_number(0 if kept is None else kept.number)
        raw = self._envelope(number).seal(packed.to_bytes(), self._key, cursor.epoch)
        datagram = KeptDatagram(number, cursor.next_seq, cursor.next_seq + packed.count, raw)
        self._store.save_datagram(datagram)
        return datagram

    def _forget_cut(self) -> None:
        """What the server cannot read in these bytes it may read in others; the number stays used."""
        self._coder.forget()
        if (kept := self._store.last_datagram()) is not None:
            self._store.save_datagram(replace(kept, first_seq=0, next_seq=1, raw=b""))

    def _envelope(self, number: int) -> Envelope:
        stream = self._store.enrolled().stream
        return Envelope(kind=DatagramKind.UP, stream=stream, terminal=self._journal.terminal, number=number)

    def _next_number(self, last: int) -> int:
        try:
            return next_number(last, now_utc_s=self._clock.utc_s())
        except SmsInvalid as error:  # the other ways to the server go on
            raise LinkDown(str(error)) from error

    def _is_answered(self, datagram: KeptDatagram) -> bool:
        """By message or over data; one that begins elsewhere than the server now stands is of no use any more."""
        return self._store.cursor().next_seq != datagram.first_seq

    def _send(self, modem: ModemDevice, datagram: KeptDatagram) -> None:
        now_utc_s = self._clock.utc_s()
        allowed_at_utc_s = self._limits.allowed_at_utc_s(self._store.sms_sent_at_utc_s(), now_utc_s)
        if allowed_at_utc_s > now_utc_s:
            raise SmsBudgetSpent(f"the next message may go in {allowed_at_utc_s - now_utc_s} s")
        self._store.note_sms_sent(now_utc_s)  # first: a message that was sent and not counted costs twice
        modem.send_sms(self._number, datagram.raw)
        log.info("message %d with taps %d to %d sent", datagram.number, datagram.first_seq, datagram.next_seq - 1)

    def _await(self, modem: ModemDevice, datagram: KeptDatagram) -> None:
        deadline_s = self._clock.monotonic_s() + self._answer_s
        while (left_s := deadline_s - self._clock.monotonic_s()) > 0:
            if any(isinstance(event, SmsArrived) for event in modem.poll(min(POLL_S, left_s))):
                self._read(modem)
                if self._is_answered(datagram):
                    return
        self._read(modem)
        if not self._is_answered(datagram):
            raise LinkDown(f"no receipt came by message within {self._answer_s:.0f} s")

    def _read(self, modem: ModemDevice) -> None:
        """Take in every message of the store; what it means is on the disk before its place is freed."""
        self._read_at_s = self._clock.monotonic_s()
        for stored in modem.read_sms():
            fault: Rejected | JournalForked | None = None
            try:
                self._take(stored.data)
            except SmsInvalid as error:
                log.warning("a message that is none of ours is deleted: %s", error)
            except (Rejected, JournalForked) as error:
                fault = error
            modem.delete_sms(stored)
            if fault is not None:
                raise fault

    def _take(self, data: bytes) -> None:
        envelope = Envelope.of(data)
        enrolment = self._store.enrolled()
        if envelope.terminal != enrolment.terminal or envelope.kind is DatagramKind.UP:
            raise SmsInvalid("the datagram is not for this terminal")
        plain = envelope.unseal(data, self._key, enrolment.epoch)
        if envelope.kind is DatagramKind.RECEIPT:
            self._take_receipt(ReceiptDatagram.from_bytes(plain))
        else:
            self._take_hotlist(HotlistDatagram.from_bytes(plain))

    def _take_receipt(self, receipt: ReceiptDatagram) -> None:
        """Move the cursor; a late receipt moves nothing back."""
        now_utc_s = self._clock.utc_s()
        if receipt.next_seq > self._journal.head().seq + 1:
            raise JournalForked(f"the server has taps up to {receipt.next_seq - 1}, the journal ends before")
        head_hash = self._journal.hash_before(receipt.next_seq)
        if head_hash[:RECEIPT_TAG_BYTES] != receipt.head_tag:
            raise JournalForked(f"the server knows another history before tap {receipt.next_seq} than the journal")
        cursor = Cursor(self._journal.epoch, receipt.next_seq, head_hash)
        if receipt.rejection is Rejection.GAP:
            self._store.follow(cursor, heard_at_utc_s=now_utc_s)
        elif receipt.rejection is not None:
            if receipt.rejection is Rejection.MALFORMED:
                self._forget_cut()
            raise Rejected(receipt.rejection, "said by message")
        else:
            self._store.mark(BatchReceipt(cursor, receipt.suspended), heard_at_utc_s=now_utc_s)

    def _take_hotlist(self, pushed: HotlistDatagram) -> None:
        hotlist = pushed.added_to(self._store.hotlist())
        if hotlist is None:  # of a list between that never came; the next session brings all
            log.warning("hotlist %d came by message, but not what it is an addition to", pushed.version)
            return
        self._store.save_hotlist(hotlist, received_at_utc_s=self._clock.utc_s())
