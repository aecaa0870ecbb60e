"""The SMS centre between numbers: it takes a message, keeps it, and tries until it is delivered or too old.

Delay, loss, duplication, reordering, rate limits and empty accounts are set on it and drawn from one seed. Left out:
prices, other operators. A `Phone` is a number without a modem, for tests and for servers.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import Enum
from random import Random
from typing import Final, Protocol

from sim.carrier.tpdu import (
    VALIDITY_S_DEFAULT,
    Content,
    Deliver,
    StatusReport,
    Submit,
    decode_deliver,
    encode_deliver,
    encode_status_report,
    encode_submit,
    octets_content,
    text_content,
)
from sim.timers import Timers

RETRY_S: Final = (
    60.0  # a phone that is full or away is tried again this often, and at once when it says that it is back
)
WAITING_MAX: Final = 1000  # for one number; what comes on top is lost
STATUS_DELIVERED: Final = 0x00
STATUS_EXPIRED: Final = 0x46
STATUS_NOT_OBTAINABLE: Final = 0x43


class Delivery(Enum):
    """What a phone makes of a message."""

    TAKEN = "taken"
    FULL = "full"
    AWAY = "away"


class Refusal(Enum):
    """Why the network does not take a message."""

    NO_CREDIT = "no credit"
    TOO_FAST = "too fast"
    OUT_OF_ORDER = "out of order"


class Subscriber(Protocol):
    """Who has a number."""

    def deliver(self, tpdu: bytes) -> Delivery:
        """Take a DELIVER or STATUS-REPORT TPDU, or say why not."""


@dataclass(slots=True, kw_only=True)
class Conditions:
    """How good the service is; shares are from 0 to 1."""

    delay_s: tuple[float, float] = (0.2, 0.8)
    loss: float = 0.0
    duplication: float = 0.0
    reordering: float = 0.0
    reordered_by_s: float = 20.0
    rate_per_minute: int | None = None  # for one sender
    out_of_order: bool = False


@dataclass(slots=True, kw_only=True)
class Counts:
    """What has happened so far; octets are those of the TPDUs on the air, up and down."""

    submitted: int = 0
    refused: int = 0
    lost: int = 0
    duplicated: int = 0
    delivered: int = 0
    expired: int = 0
    reports: int = 0
    octets_up: int = 0
    octets_down: int = 0


@dataclass(slots=True, kw_only=True)
class _Message:
    recipient: str
    tpdu: bytes
    dies_at_s: float
    report_to: str | None = None
    reference: int = 0
    sent_at_utc_s: float = 0.0
    shown_recipient: str = ""
    is_report: bool = False


@dataclass(slots=True)
class _Account:
    subscriber: Subscriber | None = None
    waiting: deque[_Message] = field(default_factory=deque)
    latest_due_s: float = 0.0
    sent_at_s: deque[float] = field(default_factory=deque)
    credit: int | None = None


class SmsCentre:
    """One centre. Its owner's lock is held around every call."""

    def __init__(self, timers: Timers, rng: Random, *, utc_s: Callable[[], float]) -> None:
        self._timers = timers
        self._rng = rng
        self._utc_s = utc_s
        self._accounts: dict[str, _Account] = {}
        self.conditions = Conditions()
        self.counts = Counts()
        self.zone_quarters = 32

    def join(self, number: str, subscriber: Subscriber) -> None:
        """Give a number to somebody; whoever had it has it no longer."""
        self._account(number).subscriber = subscriber

    def set_credit(self, number: str, messages: int | None) -> None:
        """How many more messages it may send; None: any number."""
        self._account(number).credit = messages

    def submit(self, sender: str, submit: Submit) -> Refusal | None:
        """Take a message, or say why not. What is taken may still be lost."""
        refusal = self._refusal(self._account(sender))
        if refusal is not None:
            self.counts.refused += 1
            return refusal
        self.counts.submitted += 1
        self.counts.octets_up += len(encode_submit(submit))
        validity_s = VALIDITY_S_DEFAULT if submit.validity_s is None else submit.validity_s
        now_utc_s = self._utc_s()
        deliver = Deliver(sender=sender, sent_at_utc_s=now_utc_s, content=submit.content)
        message = _Message(
            recipient=submit.destination,
            tpdu=encode_deliver(deliver, zone_quarters=self.zone_quarters),
            dies_at_s=self._timers.now_s() + validity_s,
            report_to=sender if submit.wants_report else None,
            reference=submit.reference,
            sent_at_utc_s=now_utc_s,
            shown_recipient=submit.destination,
        )
        if self._happens(self.conditions.loss):
            self.counts.lost += 1
            return None
        self._send_off(message)
        if self._happens(self.conditions.duplication):
            self.counts.duplicated += 1
            self._send_off(replace(message, report_to=None))
        return None

    def back(self, number: str) -> None:
        """This phone has coverage or a free place again: what waits for it is tried now."""
        account = self._account(number)
        if account.waiting:
            self._timers.after(0.0, lambda: self._try(account))

    def waiting(self, number: str) -> int:
        """How many messages wait for it."""
        return len(self._account(number).waiting)

    def _refusal(self, account: _Account) -> Refusal | None:
        conditions, now_s = self.conditions, self._timers.now_s()
        if conditions.out_of_order:
            return Refusal.OUT_OF_ORDER
        if conditions.rate_per_minute is not None:
            while account.sent_at_s and account.sent_at_s[0] <= now_s - 60.0:
                account.sent_at_s.popleft()
            if len(account.sent_at_s) >= conditions.rate_per_minute:
                return Refusal.TOO_FAST
            account.sent_at_s.append(now_s)
        if account.credit is not None:
            if account.credit == 0:
                return Refusal.NO_CREDIT
            account.credit -= 1
        return None

    def _send_off(self, message: _Message) -> None:
        """On its way: in order for one recipient, unless it is one that is overtaken."""
        conditions, account = self.conditions, self._account(message.recipient)
        due_s = self._timers.now_s() + self._rng.uniform(*conditions.delay_s)
        if self._happens(conditions.reordering):
            due_s += self._rng.uniform(0.0, conditions.reordered_by_s)
        else:
            due_s = account.latest_due_s = max(due_s, account.latest_due_s)
        self._timers.at(due_s, lambda: self._arrive(account, message))

    def _arrive(self, account: _Account, message: _Message) -> None:
        if account.subscriber is None:
            self._report(message, STATUS_NOT_OBTAINABLE)
            return
        if len(account.waiting) >= WAITING_MAX:
            self.counts.lost += 1
            return
        account.waiting.append(message)
        if len(account.waiting) == 1:
            self._try(account)

    def _try(self, account: _Account) -> None:
        """Deliver what waits, in order, as far as the phone takes it."""
        while account.waiting:
            message = account.waiting[0]
            if message.dies_at_s <= self._timers.now_s():
                account.waiting.popleft()
                self.counts.expired += 1
                self._report(message, STATUS_EXPIRED)
                continue
            assert account.subscriber is not None, "nothing waits for nobody"
            if account.subscriber.deliver(message.tpdu) is not Delivery.TAKEN:
                self._try_later(account, message)
                return
            account.waiting.popleft()
            self.counts.octets_down += len(message.tpdu)
            if message.is_report:
                self.counts.reports += 1
            else:
                self.counts.delivered += 1
                self._report(message, STATUS_DELIVERED)

    def _try_later(self, account: _Account, message: _Message) -> None:
        def again() -> None:
            if account.waiting and account.waiting[0] is message:
                self._try(account)

        self._timers.after(min(RETRY_S, max(0.0, message.dies_at_s - self._timers.now_s())), again)

    def _report(self, message: _Message, status: int) -> None:
        if message.report_to is None:
            return
        report = StatusReport(
            reference=message.reference,
            recipient=message.shown_recipient,
            sent_at_utc_s=message.sent_at_utc_s,
            done_at_utc_s=self._utc_s(),
            status=status,
        )
        tpdu = encode_status_report(report, zone_quarters=self.zone_quarters)
        self._send_off(
            _Message(
                recipient=message.report_to,
                tpdu=tpdu,
                dies_at_s=self._timers.now_s() + VALIDITY_S_DEFAULT,
                is_report=True,
            )
        )

    def _happens(self, share: float) -> bool:
        return share > 0 and self._rng.random() < share

    def _account(self, number: str) -> _Account:
        return self._accounts.setdefault(number.removeprefix("+").removeprefix("00"), _Account())


class Phone:
    """A number without a modem: what it is sent stands in `inbox`."""

    def __init__(self, centre: SmsCentre, number: str) -> None:
        self.number = number
        self.inbox: list[Deliver] = []
        self.on_message: Callable[[Deliver], None] = self.inbox.append
        self._centre = centre
        centre.join(number, self)

    def deliver(self, tpdu: bytes) -> Delivery:
        """See `Subscriber`; reports are not looked at."""
        if tpdu[0] & 3 == 0:
            self.on_message(decode_deliver(tpdu))
        return Delivery.TAKEN

    def send(self, recipient: str, what: str | bytes | Content) -> Refusal | None:
        """Send a text, octets (8-bit, DCS 04) or any content."""
        if isinstance(what, str):
            content = text_content(what)
        else:
            content = octets_content(what) if isinstance(what, bytes) else what
        return self._centre.submit(self.number, Submit(reference=0, destination=recipient, content=content))
