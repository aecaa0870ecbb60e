"""One session with the server over a link: the terminal proves itself, uploads batches, and takes in what comes down.

Nothing is decided here about when to talk (`sync.daemon`); every wait has a deadline, and whatever ends a session early
leaves the store such that the next session carries on.
"""

from __future__ import annotations

import hashlib
import logging
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sync.clock import Clock
from sync.link import Link, LinkDown
from sync.outbox import JournalCoder, JournalForked, check_cursor, check_owner, next_batch
from sync.shiftreports import next_report
from sync.store import Enrolment, UplinkStore, Verdict
from terminal.journal import JournalReader
from wire.batch import SignedBatch
from wire.configuration import Configuration
from wire.downlink import Answer, DeltaUnfit, HotlistDelta, Question, Request
from wire.enrolment import Ticket
from wire.errors import CampusError
from wire.messages import (
    Challenge,
    Enrol,
    Enrolled,
    Identify,
    Message,
    News,
    Receipt,
    Refused,
    Upload,
    Welcome,
)
from wire.receipt import RETRYABLE_REJECTIONS, BatchReceipt, Cursor, Rejected, Rejection
from wire.session import ProtocolViolation, Role, Session
from wire.shift import ShiftReceipt
from wire.signature import KeyUnreadable, public_bytes

ANSWER_S: Final = 20.0  # a loaded server on a slow mobile network; beyond that the link is half dead
GAPS_MAX: Final = 2  # one gap is a restored server; a server that keeps finding gaps contradicts itself

# What a technician is told when asking again soon would change nothing.
ADVICE: Final[dict[Rejection, str]] = {
    Rejection.MALFORMED: "the server cannot read what this terminal sends; their versions may differ",
    Rejection.UNKNOWN_TERMINAL: "the server does not know this terminal; enrol it again with the same ticket",
    Rejection.SIGNATURE_INVALID: "the server has another key for this terminal; enrol it again with a new ticket",
    Rejection.WRONG_EPOCH: "the server expects another journal of this terminal; enrol it again with a new ticket",
    Rejection.GAP: "the server keeps asking for other taps than it says it lacks; report it to the operator",
    Rejection.FORK: "the server has other taps under the same numbers; do not touch the terminal, call the operator",
    Rejection.QUARANTINED: "the server has set this terminal aside; call the operator",
    Rejection.BUSY: "the server is busy; it is asked again",
    Rejection.TICKET_INVALID: "the ticket is not from this server's operator",
    Rejection.TICKET_SPENT: "the ticket was used for another terminal's key; ask for a new one",
    Rejection.TICKET_EXPIRED: "the ticket is too old; ask for a new one",
    Rejection.WRONG_STREAM: "the ticket is for another stream than the server at this port",
}

# What the till hears of, too: the server will take nothing more from this terminal until a person has helped.
VERDICTS: Final = frozenset(
    {
        Rejection.FORK,
        Rejection.QUARANTINED,
        Rejection.UNKNOWN_TERMINAL,
        Rejection.WRONG_EPOCH,
        Rejection.SIGNATURE_INVALID,
    }
)


log = logging.getLogger("campus.sync")


def may_pass(error: Rejected) -> bool:
    """Whether the same request may succeed soon."""
    return error.rejection in RETRYABLE_REJECTIONS


class Exchange:
    """A session's messages over a link: what is sent, what is waited for and no longer than until a deadline."""

    def __init__(self, link: Link, clock: Clock, *, answer_s: float = ANSWER_S) -> None:
        self._link = link
        self._clock = clock
        self._answer_s = answer_s
        self._inbox: deque[Message] = deque()
        self.session = Session(Role.CLIENT)

    def send(self, *messages: Message) -> None:
        """Send messages in one go."""
        self._link.send(b"".join(self.session.send(message) for message in messages))

    def answer(self) -> Message:
        """The next message; `LinkDown` when none comes in time, a typed error when nonsense comes."""
        deadline_s = self._clock.monotonic_s() + self._answer_s
        while (left_s := deadline_s - self._clock.monotonic_s()) > 0:
            if (message := self.poll(left_s)) is not None:
                return message
        raise LinkDown(f"the server did not answer within {self._answer_s:.0f} s")

    def poll(self, timeout_s: float) -> Message | None:
        """The next message if there is one by then."""
        if not self._inbox:
            self._inbox.extend(self.session.receive(self._link.receive(timeout_s)))
        return self._inbox.popleft() if self._inbox else None

    def challenge(self) -> Challenge:
        """The server's first message."""
        message = self.answer()
        if isinstance(message, Refused):
            raise rejected(message)
        assert isinstance(message, Challenge), "the session's table allows nothing else first"
        return message


class Uplink:
    """One identified session, open for as long as there is something to carry."""

    def __init__(
        self,
        link: Link,
        *,
        store: UplinkStore,
        journal: JournalReader,
        key: Ed25519PrivateKey,
        operator_key: bytes | None = None,
        answer: Callable[[Question], str] | None = None,
        coder: JournalCoder | None = None,
        clock: Clock,
        answer_s: float = ANSWER_S,
    ) -> None:
        self._link = link
        self._store = store
        self._journal = journal
        self._key = key
        self._operator_key = operator_key
        self._answer = answer
        self._coder = coder or JournalCoder(journal)
        self._clock = clock
        self._exchange = Exchange(link, clock, answer_s=answer_s)
        self._counted = (0, 0)
        self._gaps = 0
        self._reports_put_off = False

    def open(self) -> SignedBatch | None:
        """Identify, with the next batch right behind if there is one; returns it once it has its receipt.

        A verdict is kept before it is raised, and cleared by a receipt, or by a welcome when nothing waits for one.
        Raises `Rejected`, `LinkDown`, `JournalForked`, or what the server's nonsense deserves.
        """
        check_owner(self._store, self._journal)
        with self._verdict_kept():
            challenge = self._exchange.challenge()
            now_utc_s = self._clock.utc_s()
            self._store.save_server_clock(ahead_s=challenge.utc_s - now_utc_s, heard_at_utc_s=now_utc_s)
            try:
                signed = next_batch(self._store, self._journal, self._key, self._coder)
            except JournalForked as error:
                self._keep_verdict(error.code, str(error))  # now: the link may fail while the server is told
                self._identify(challenge, None)  # so that the server learns how far this journal goes
                raise
            welcome = self._identify(challenge, signed)
            if isinstance(welcome, Refused):
                raise rejected(welcome)
            if welcome.shifts != self._store.shifts_acknowledged():
                self._store.mark_shifts(welcome.shifts)
            if signed is not None:
                return signed if self._settle(signed) else None
            self._follow(welcome.cursor)
            self._count()
            return None

    def upload(self) -> SignedBatch | None:
        """Carry one batch; returns it once it has its receipt, None when nothing waits or it has to be cut again."""
        with self._verdict_kept():
            signed = next_batch(self._store, self._journal, self._key, self._coder)
            if signed is None:
                return None
            self._exchange.send(Upload(signed))
            return signed if self._settle(signed) else None

    def report(self) -> bool:
        """Carry the next report of a closed shift once its taps have their receipt; whether the server has it now.

        One that the server did not take is left for the next session.
        """
        if self._reports_put_off:
            return False
        report = next_report(self._store, self._journal)
        if report is None:
            return False
        self._exchange.send(report.signed(self._key))
        while isinstance(message := self._exchange.answer(), News):
            self._take_news(message)
        assert isinstance(message, ShiftReceipt), "the session's table allows nothing else here"
        self._store.mark_shifts(message.number)
        self._reports_put_off = message.number < report.number
        self._count()
        return not self._reports_put_off

    def listen(self, timeout_s: float) -> None:
        """Take in what the server says unasked; `LinkDown` as soon as it has gone."""
        message = self._exchange.poll(timeout_s)
        if message is not None:
            assert isinstance(message, News), "without a batch under way nothing else may come"
            self._take_news(message)
            self._count()

    def close(self) -> None:
        """End the session."""
        self._link.close()

    def _identify(self, challenge: Challenge, signed: SignedBatch | None) -> Welcome | Refused:
        """Say who this is, with a batch right behind if there is one, and wait for the answer to the first."""
        head = self._journal.head()
        identify = Identify(
            terminal=self._journal.terminal,
            epoch=self._journal.epoch,
            head_seq=head.seq,
            total_fen=head.total_fen,
            hotlist_mark=self._store.hotlist_mark(),
            configuration_mark=self._store.configuration_mark(),
        ).signed(self._key, challenge.nonce)
        self._exchange.send(identify, *([Upload(signed)] if signed else []))
        message = self._exchange.answer()
        assert isinstance(message, Welcome | Refused), "the session's table allows nothing else here"
        return message

    @contextmanager
    def _verdict_kept(self) -> Iterator[None]:
        """Whatever verdict ends what is done in here is on the disk before anybody hears of it."""
        try:
            yield
        except JournalForked as error:
            self._keep_verdict(error.code, str(error))
            raise
        except Rejected as error:
            if error.rejection in VERDICTS:
                self._keep_verdict(error.rejection.name, f"{error}: {ADVICE[error.rejection]}")
            raise

    def _keep_verdict(self, code: str, words: str) -> None:
        self._store.save_verdict(Verdict(code, words, self._clock.utc_s()))

    def _settle(self, signed: SignedBatch) -> bool:
        """Wait for a batch's answer and commit it; False when the server wants another batch instead."""
        while True:
            message = self._exchange.answer()
            if isinstance(message, News):
                self._take_news(message)
            elif isinstance(message, Receipt):
                self._mark(signed, message.receipt)
                self._count(batches=1)
                return True
            else:
                assert isinstance(message, Refused), "the session's table allows nothing else here"
                self._count()
                if message.rejection is Rejection.MALFORMED:  # nothing of it was kept there; cut anew it may be right
                    self._coder.forget()
                    self._store.drop_cut()
                if message.rejection is not Rejection.GAP or message.cursor is None or self._gaps == GAPS_MAX:
                    raise rejected(message)
                self._gaps += 1
                self._follow(message.cursor)
                return False

    def _mark(self, signed: SignedBatch, receipt: BatchReceipt) -> None:
        if receipt.cursor.next_seq < signed.next_seq:
            raise ProtocolViolation("the receipt ends before its batch")
        check_cursor(self._journal, receipt.cursor)
        self._store.mark(receipt, heard_at_utc_s=self._clock.utc_s())
        self._gaps = 0

    def _follow(self, cursor: Cursor) -> None:
        check_cursor(self._journal, cursor)
        self._store.follow(cursor, heard_at_utc_s=self._clock.utc_s())

    def _take_news(self, message: News) -> None:
        """Keep what came down; what does not fit what is here stays out, and taps go on."""
        if isinstance(message, Configuration):
            self._take_configuration(message)
            return
        if isinstance(message, Request):
            if self._answer is not None:
                self._exchange.send(Answer(message.number, self._answer(message.what)))
            return
        try:
            hotlist = message.apply(self._store.hotlist()) if isinstance(message, HotlistDelta) else message.hotlist
        except DeltaUnfit as error:
            log.warning("%s [%s]; the whole list is asked for", error, error.code)
            self._store.wants_whole_hotlist = True
            return
        self._store.save_hotlist(hotlist, received_at_utc_s=self._clock.utc_s())

    def _take_configuration(self, message: Configuration) -> None:
        try:
            if self._operator_key is None:
                raise KeyUnreadable("there is no operator.pub; campus-syncd enrol with the same ticket fetches it")
            message.verify(self._operator_key)
            if message.stream is not self._store.enrolled().stream:
                raise ProtocolViolation(f"the configuration is for {message.stream.label}")
            if message.version < (newest := self._store.newest_version(message.outlet)):
                raise ProtocolViolation(f"outlet {message.outlet} had version {newest} here already")
        except CampusError as error:
            log.error("configuration %d is not taken: %s [%s]", message.version, error, error.code)
            return
        self._store.save_configuration(message)
        log.info("configuration %d came down", message.version)

    def _count(self, batches: int = 0) -> None:
        session = self._exchange.session
        sent, received = self._counted
        self._counted = session.bytes_sent, session.bytes_received
        self._store.count(
            bytes_sent=session.bytes_sent - sent, bytes_received=session.bytes_received - received, batches=batches
        )


def present_ticket(
    link: Link,
    ticket: bytes,
    *,
    key: Ed25519PrivateKey,
    keep: Callable[[Enrolled], None],
    clock: Clock,
    answer_s: float = ANSWER_S,
) -> Ticket:
    """Have the server let this terminal in, and return what the ticket says; `Rejected` when it does not take it.

    The keys that come with the answer are on the disk before this returns.

    Presenting the same ticket with the same key again gets the same answer, so a lost one costs nothing, and a server
    that was restored from an older backup learns of the terminal anew.
    """
    says = Ticket.read(ticket)
    exchange = Exchange(link, clock, answer_s=answer_s)
    request = Enrol(public_key=public_bytes(key), ticket=ticket).signed(key, exchange.challenge().nonce)
    exchange.send(request)
    message = exchange.answer()
    if isinstance(message, Refused):
        raise rejected(message)
    assert isinstance(message, Enrolled), "the session's table allows nothing else here"
    if (message.terminal, message.epoch) != (says.terminal, says.epoch):
        raise ProtocolViolation("the server enrolled another terminal or epoch than the ticket names")
    keep(message)
    return says


def enrol(
    link: Link,
    ticket: bytes,
    *,
    store: UplinkStore,
    key: Ed25519PrivateKey,
    keep: Callable[[Enrolled], None],
    clock: Clock,
    answer_s: float = ANSWER_S,
) -> Enrolment:
    """Present a terminal's first ticket and keep who it is from now on."""
    says = present_ticket(link, ticket, key=key, keep=keep, clock=clock, answer_s=answer_s)
    enrolment = Enrolment(
        terminal=says.terminal,
        epoch=says.epoch,
        stream=says.stream,
        enrolled_at_utc_s=clock.utc_s(),
        ticket_digest=ticket_digest(ticket),
    )
    store.enrol(enrolment)
    return enrolment


def ticket_digest(ticket: bytes) -> bytes:
    """What is kept of a ticket, to know it again."""
    return hashlib.sha256(ticket).digest()


def rejected(message: Refused) -> Rejected:
    """The fault that a rejection is, with the server's words made fit to print."""
    words = "".join(letter if letter.isprintable() else " " for letter in message.detail)
    return Rejected(message.rejection, words)
