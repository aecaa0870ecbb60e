"""What one stream answers to its terminals, with the databases it needs; and the one thread that may use them.

Left out: connections and bytes (`gateway`), the meaning of a batch (`ingest`).
"""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Final, Generic, TypeVar

from settlement.onecard.configuration import InForce
from settlement.onecard.hotlist import PAST_VERSIONS, find_hotlist, read_hotlist, read_last_change
from settlement.onecard.keys import KeyStore
from settlement.onecard.requests import find_request, recent_requests
from settlement.store.database import Collision, Database, RuleBroken, StoreFault
from settlement.streams import contacts, ingest, shifts, store, terminals
from settlement.streams.coding import CodingStates
from settlement.streams.door import Door
from settlement.streams.journalimport import Standing, standing_of
from settlement.streams.smsfile import Message
from wire.batch import SignedBatch
from wire.configuration import Configuration
from wire.downlink import NO_MARK, Answer, HotlistDelta, Request
from wire.enrolment import Ticket
from wire.errors import CampusError
from wire.fields import FormatError
from wire.hotlist import EMPTY_HOTLIST, Hotlist
from wire.ids import Stream, TerminalId
from wire.load import (
    LoadGrant,
    LoadOutcome,
    LoadRefusal,
    LoadRefused,
    LoadRequest,
    LoadResult,
    RefundQuestion,
    RefundsOwed,
)
from wire.messages import Enrolled, HotlistUpdate, Identify, News, Receipt, Refused, Welcome
from wire.shift import ShiftReceipt, ShiftReport

Clock = Callable[[], int]  # UTC seconds
Outcome = TypeVar("Outcome")

_COLLISIONS_MAX: Final = 3  # then the terminal is told to come again, which is the same with more patience
_GROUP_MAX: Final = 64  # jobs for one sync
_GROUP_S: Final = 0.02  # about what a sync takes: the first to come does not wait much longer than alone
_FOUND_MAX: Final = 2 * PAST_VERSIONS

_log: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class MarkedHotlist:
    """A hotlist with its mark, made once for all connections: it hashes the whole list."""

    hotlist: Hotlist
    mark: bytes


@dataclass(frozen=True, slots=True)
class Held:
    """What a terminal has of what comes down, by its mark."""

    hotlist_mark: bytes
    configuration_mark: bytes


@dataclass(frozen=True, slots=True)
class Tidings:
    """What brings a terminal from `before` to `after`."""

    before: Held
    after: Held
    messages: tuple[News, ...]


class Desk:
    """One stream's answers; belongs to the thread that made it."""

    def __init__(
        self, *, stream: Stream, db: Database, onecard: Database, keys: KeyStore, door: Door, clock: Clock
    ) -> None:
        self._stream = stream
        self._db = db
        self._onecard = onecard
        self._keys = keys
        self._door = door
        self._clock = clock
        self._states = CodingStates()
        self._hotlist = MarkedHotlist(EMPTY_HOTLIST, EMPTY_HOTLIST.mark)
        self._in_force = InForce()
        self._last_change: tuple[object, ...] = ()
        self._found: dict[bytes, Hotlist | None] = {}
        for row in store.all_terminals(db):
            door.add(row.terminal, row.epoch, row.public_key)

    def enrol(self, ticket: Ticket, public_key: bytes) -> Enrolled | Refused:
        """See `terminals.enrol`."""
        answer = terminals.enrol(
            self._db,
            ticket,
            public_key,
            keys=self._keys,
            operator_key=self._door.ticket_key,
            now_utc_s=self._clock(),
        )
        if isinstance(answer, Enrolled):
            self._door.add(answer.terminal, answer.epoch, public_key)
        return answer

    def identify(self, message: Identify) -> Welcome | Refused:
        """See `terminals.identify`."""
        has_shifts = self._stream is not Stream.TOP_UP
        return terminals.identify(self._db, message, now_utc_s=self._clock(), has_shifts=has_shifts)

    def accept(self, signed: SignedBatch) -> Receipt | Refused:
        """See `ingest.accept_batch`."""
        return ingest.accept_batch(
            self._db, signed, states=self._states, stream=self._stream, keys=self._keys, now_utc_s=self._clock()
        )

    def load(
        self, message: LoadRequest | LoadResult | RefundQuestion, point: Identify
    ) -> LoadGrant | LoadOutcome | LoadRefused | RefundsOwed:
        """A stream loads no cards; the top-up desk does (`settlement.onecard.desk`)."""
        return LoadRefused(
            LoadRefusal.LOAD_UNKNOWN, f"{self._stream.label} loads no cards, as {point.terminal.hex()} asks for"
        )

    def standing(self, terminal: TerminalId, epoch: int) -> Standing:
        """See `journalimport.standing_of`."""
        return standing_of(self._db, terminal, epoch)

    def take_shift(self, report: ShiftReport) -> ShiftReceipt:
        """See `shifts.accept_report`."""
        return shifts.accept_report(self._db, report, now_utc_s=self._clock())

    def accept_datagram(self, data: bytes) -> Receipt | Refused:
        """See `ingest.accept_datagram`."""
        return ingest.accept_datagram(
            self._db, data, states=self._states, stream=self._stream, keys=self._keys, now_utc_s=self._clock()
        )

    def answer_datagram(self, message: Message) -> Message:
        """Take in taps that came by message, and say so. Raises `SmsInvalid` when that calls for no answer."""
        said = self.accept_datagram(message.data)
        return contacts.answer(
            self._db,
            message.data,
            message.phone,
            said,
            stream=self._stream,
            keys=self._keys,
            now_utc_s=self._clock(),
        )

    def push_hotlist(self, count_max: int) -> list[Message]:
        """See `contacts.push_hotlist`."""
        return contacts.push_hotlist(
            self._db,
            self.hotlist().hotlist,
            self._find_hotlist,
            stream=self._stream,
            keys=self._keys,
            now_utc_s=self._clock(),
            count_max=count_max,
        )

    def note_session(self, message: Identify) -> None:
        """Note which hotlist the terminal has: the one that it names, or the newest, which it is told, in its place."""
        newest = self.hotlist()
        known = self._find_hotlist(message.hotlist_mark) is not None
        mark = message.hotlist_mark if known else newest.mark
        contacts.note_session(self._db, message.terminal, message.epoch, mark)

    def hotlist(self) -> MarkedHotlist:
        """The newest hotlist that could be read: the registry's trouble is not the stream's."""
        try:
            # Read before the list: a change in between is seen again the next time.
            last_change = read_last_change(self._onecard)
            if last_change != self._last_change:
                hotlist = read_hotlist(self._onecard)
                self._hotlist, self._last_change = MarkedHotlist(hotlist, hotlist.mark), last_change
                self._found.clear()
        except StoreFault as error:
            _log.warning("%s: hotlist %d stays: %s", self._stream.label, self._hotlist.hotlist.version, error)
        return self._hotlist

    def newest(self, terminals: Iterable[TerminalId]) -> dict[TerminalId, Held]:
        """What each of these terminals has when it has all."""
        hotlist_mark, now_utc_s = self.hotlist().mark, self._clock()
        self._refresh_configurations()
        marks = {terminal: self._in_force.mark_for(terminal, self._stream, now_utc_s) for terminal in terminals}
        return {terminal: Held(hotlist_mark, mark or NO_MARK) for terminal, mark in marks.items()}

    def tidings(self, held: Held, newest: Held) -> Tidings:
        """What a terminal with `held` has to be told so that it has the configuration of `newest` and the hotlist."""
        messages: list[News] = []
        if held.hotlist_mark != self.hotlist().mark:
            messages.append(self._hotlist_news(held.hotlist_mark))
        if held.configuration_mark != newest.configuration_mark:
            messages += self._configuration_news(newest.configuration_mark)
        # The hotlist as it is by now, which the message is about, too.
        return Tidings(held, Held(self.hotlist().mark, newest.configuration_mark), tuple(messages))

    def tidings_for(self, terminal: TerminalId, held: Held) -> Tidings:
        """What this terminal has to be told."""
        return self.tidings(held, self.newest((terminal,))[terminal])

    def open_requests(self) -> dict[TerminalId, list[Request]]:
        """What the operator asked and nobody answered yet, oldest first."""
        try:
            asked = recent_requests(self._onecard, self._stream, now_utc_s=self._clock())
            answered = store.answered_since(self._db, asked[-1].number) if asked else set()
        except StoreFault as error:
            _log.warning("%s: requests cannot be read: %s", self._stream.label, error)
            return {}
        found: dict[TerminalId, list[Request]] = {}
        for row in reversed(asked):
            if row.number not in answered:
                found.setdefault(row.terminal, []).append(row.request)
        return found

    def keep_answer(self, answer: Answer, terminal: TerminalId) -> bool:
        """Keep what a terminal answered to a request of its own; False for anything else, and for a second answer."""
        asked = find_request(self._onecard, answer.number)
        if asked is None or (asked.stream, asked.terminal) != (self._stream, terminal):
            return False
        with self._db.transaction():
            if answer.number in store.answered_since(self._db, answer.number):
                return False
            store.add_answer(self._db, answer.number, terminal, answer.text, now_utc_s=self._clock())
        return True

    def _refresh_configurations(self) -> None:
        """See what is in force for the stream's terminals, as far as it can be read."""
        try:
            self._in_force.refresh(self._onecard)
        except StoreFault as error:
            _log.warning("%s: the configurations stay: %s", self._stream.label, error)

    def _configuration_news(self, mark: bytes) -> list[Configuration]:
        """The configuration with this mark, if there is one that can be read."""
        try:
            found = self._in_force.with_mark(mark)
        except FormatError as error:
            _log.error("%s: ALARM: a configuration in the card registry is damaged: %s", self._stream.label, error)
            return []
        return [] if found is None else [found]

    def _hotlist_news(self, mark: bytes) -> HotlistUpdate | HotlistDelta:
        """The changes since the list with this mark if that is known here and they are shorter, else the list whole."""
        whole = HotlistUpdate(self.hotlist().hotlist)
        if (known := self._find_hotlist(mark)) is None:
            return whole
        changes = HotlistDelta.between(known, whole.hotlist)
        return changes if len(changes.to_bytes()) < len(whole.to_bytes()) else whole

    def _find_hotlist(self, mark: bytes) -> Hotlist | None:
        """See `find_hotlist`; many terminals have the same one."""
        if mark == NO_MARK:
            return None
        if mark not in self._found:
            if len(self._found) >= _FOUND_MAX:
                self._found.clear()
            try:
                self._found[mark] = find_hotlist(self._onecard, mark)
            except StoreFault as error:
                _log.warning("%s: earlier hotlists cannot be read: %s", self._stream.label, error)
                return None
        return self._found[mark]

    def group(self) -> AbstractContextManager[None]:
        """See `Database.group`."""
        return self._db.group()

    def close(self) -> None:
        """Close the databases."""
        self._db.close()
        self._onecard.close()


def _nothing() -> None:
    """A job that was not done has nothing to tell."""


class TooBusy(CampusError):
    """The queue is full, or the job waited beyond its deadline; it was not begun."""

    code = "too-busy"
    retryable = True


class _Job(Generic[Outcome]):
    def __init__(self, work: Callable[[Desk], Outcome], deadline_s: float) -> None:
        self.work = work
        self.deadline_s = deadline_s
        self.answer: Future[Outcome] = Future()
        self.tell: Callable[[], None] = _nothing

    def run(self, desk: Desk, now_s: float) -> None:
        """Do it by itself, and tell whoever waits."""
        try:
            for _ in range(_COLLISIONS_MAX):
                with suppress(Collision):  # nothing of it was kept
                    self.do(desk, now_s)
                    break
            else:
                self.do(desk, now_s)
        except StoreFault as error:
            self.tell = partial(self.answer.set_exception, error)
        self.tell()

    def do(self, desk: Desk, now_s: float) -> None:
        """Do it, and keep what to `tell`; raises `StoreFault` alone."""
        try:
            if now_s > self.deadline_s:
                raise TooBusy("the queue did not reach this in time")
            self.tell = partial(self.answer.set_result, self.work(desk))
        except StoreFault:
            raise
        except BaseException as error:  # noqa: BLE001 - handed on to whoever waits for the answer
            self.tell = partial(self.answer.set_exception, error)


class WriterThread:
    """The thread that owns a `Desk`, with a bounded queue before it: what cannot be done in time is refused."""

    def __init__(
        self, open_desk: Callable[[], Desk], *, queue_max: int, deadline_s: float, monotonic: Callable[[], float]
    ) -> None:
        self._open_desk = open_desk
        self._deadline_s = deadline_s
        self._monotonic = monotonic
        self._jobs: queue.Queue[_Job[object] | None] = queue.Queue(queue_max)
        self._opened: Future[None] = Future()
        self._thread = threading.Thread(target=self._run, name="writer")

    def start(self) -> None:
        """Open the databases; raises what went wrong with that."""
        self._thread.start()
        self._opened.result()

    async def ask(self, work: Callable[[Desk], Outcome]) -> Outcome:
        """The answer to one job; raises `TooBusy`, or what the job raised."""
        job = _Job(work, self._monotonic() + self._deadline_s)
        try:
            self._jobs.put_nowait(job)  # type: ignore[arg-type] # the queue never looks at an answer
        except queue.Full as error:
            raise TooBusy("the queue is full") from error
        # Shielded: a connection that goes away does not undo what was begun for it.
        return await asyncio.shield(asyncio.wrap_future(job.answer))

    def finish(self) -> None:
        """Do what is queued, close the databases, end the thread."""
        self._jobs.put(None)
        self._thread.join()

    def _run(self) -> None:
        try:
            desk = self._open_desk()
        except BaseException as error:  # noqa: BLE001 - `start` raises it
            self._opened.set_exception(error)
            return
        self._opened.set_result(None)
        try:
            go_on = True
            while go_on and (job := self._jobs.get()) is not None:
                if self._jobs.empty():
                    job.run(desk, self._monotonic())
                else:
                    go_on = self._run_group(desk, job)
        finally:
            desk.close()

    def _run_group(self, desk: Desk, first: _Job[object]) -> bool:
        """Do this job and those that wait behind it, for one sync of the disk; False if the last was to finish.

        Nobody is told anything before all of it is committed. After a fault each is done again by itself.
        """
        jobs: list[_Job[object]] = []
        until_s = self._monotonic() + _GROUP_S
        job: _Job[object] | None = first
        try:
            with desk.group():
                while job is not None:
                    jobs.append(job)
                    job.do(desk, self._monotonic())
                    if len(jobs) == _GROUP_MAX or self._monotonic() > until_s or self._jobs.empty():
                        break
                    job = self._jobs.get()
        except (StoreFault, RuleBroken):
            for done in jobs or [first]:
                done.run(desk, self._monotonic())
        else:
            for done in jobs:
                done.tell()
        return job is not None
