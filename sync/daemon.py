"""When to talk to the server: watches the journal, keeps a contact while there is traffic, obeys the policy."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from random import Random
from threading import Event
from types import MappingProxyType
from typing import Final

from sync.clock import Clock
from sync.links.modemport import NoCoverage
from sync.links.route import Carried, Contact, Route
from sync.policy import Attempt, LinkKind, Pause, Policy, Trouble, is_due, is_urgent
from sync.shiftreports import reports_wait
from sync.store import UplinkStore
from sync.storefile import StoreUnwritable
from sync.tls import ServerNotTrusted
from sync.uplink import ADVICE, may_pass
from terminal.journal import JournalMissing, JournalReader
from wire.errors import CampusError
from wire.money import Fen, format_fen
from wire.receipt import Rejected

POLL_S: Final = 0.2  # a look at the journal costs one indexed read
IDLE_S: Final = 30.0  # a handshake costs more than half a minute of silence on an open link
REFRESH_S: Final = 300.0  # a till without customers still learns of lost cards
HOPELESS_S: Final = 300.0  # what needs a person is not asked for every few seconds
DEAF_S: Final = 300.0  # a modem that cannot be used is left to the policy
SCAN_TAPS: Final = 500  # looked at for urgency at once, so that a long backlog holds up nothing

# The modem's own faults that only a technician ends; everything else of that kind needs the operator.
TECHNICIAN: Final = frozenset({"sim-locked", "registration-denied", "not-a-modem"})

log = logging.getLogger("campus.sync")


class Daemon:
    """Runs until `stop` is set. `beat` is called at every turn; `overhear` takes in what comes without a contact."""

    def __init__(
        self,
        *,
        store: UplinkStore,
        open_journal: Callable[[], JournalReader],
        open_routes: Callable[[JournalReader], Mapping[LinkKind, Route]],
        clock: Clock,
        stop: Event,
        linger_s: float,
        rng: Random,
        overhear: Callable[[], None] = lambda: None,
        seen: Callable[[], Mapping[str, object]] = dict,
        beat: Callable[[], None] = lambda: None,
    ) -> None:
        self._store = store
        self._open_journal = open_journal
        self._open_routes = open_routes
        self._clock = clock
        self._stop = stop
        self._linger_s = linger_s
        self._rng = rng
        self._overhear = overhear
        self._seen = seen
        self._beat = beat
        self._waiting_since_s: float | None = None
        self._refreshed_at_s = float("-inf")
        self._deaf_until_s = float("-inf")
        self._scanned_seq = 0
        self._urgent_seq = 0
        self._hotlist_mark = store.hotlist().mark

    def run(self) -> None:
        """Carry taps until told to stop. Faults that need a person do not end it, but are asked about seldom."""
        journal = None
        while not self._stop.is_set():
            try:
                journal = journal or self._journal()
                if journal is not None:
                    self._serve(journal)
            except CampusError as error:
                log.error("%s; trying again in %.0f s", words_for(error), HOPELESS_S)
                self._beat()  # the attempt took its time, and so does this
                self._stop.wait(HOPELESS_S)

    def _journal(self) -> JournalReader | None:
        """The till's journal, waited for if the till has never run; None when told to stop before."""
        said = False
        while not self._stop.is_set():
            try:
                return self._open_journal()
            except JournalMissing:
                if not said:
                    log.info("the till has no journal yet; waiting for its first start")
                    said = True
                self._beat()
                self._stop.wait(POLL_S)
        return None

    def _serve(self, journal: JournalReader) -> None:
        """Reach the server whenever there is a reason, by the way that the policy says."""
        routes = self._open_routes(journal)
        policy = Policy(list(routes), strain=self._store.strain())
        while not self._stop.is_set():
            self._beat()
            due, reports = self._due(journal), self._reports_due(journal)
            if due or reports or self._clock.monotonic_s() >= self._refreshed_at_s + REFRESH_S:
                step = policy.next(
                    now_s=self._clock.monotonic_s(), now_utc_s=self._clock.utc_s(), urgent=due and self._urgent()
                )
                # A report alone is worth no message: none can carry it.
                if not isinstance(step, Pause) and (due or not reports or step.link is not LinkKind.SMS):
                    self._attempt(step, policy, routes[step.link], journal)
                    continue
            self._listen_aside()
            self._stop.wait(POLL_S)

    def _listen_aside(self) -> None:
        """Take in what comes without a contact; a fault there is no reason to stop carrying."""
        if self._clock.monotonic_s() < self._deaf_until_s:
            return
        try:
            self._overhear()
            self._say_hotlist()
        except CampusError as error:
            log.warning("messages are not heard: %s", words_for(error))
            self._deaf_until_s = self._clock.monotonic_s() + DEAF_S

    def _attempt(self, step: Attempt, policy: Policy, route: Route, journal: JournalReader) -> None:
        """One try, and what follows from it; raises what needs the operator."""
        if policy.begun(step, now_utc_s=self._clock.utc_s()):
            self._store.save_strain(policy.strain)  # first: a reset that fells this machine is counted, too
        try:
            if step.repair is not None:
                log.warning("%s: %s is made anew", step.link.value, step.repair.value)
                route.repair(step.repair)
            contact, carried = route.open()
        except CampusError as error:
            self._failed(step.link, policy, error)
            return
        try:
            if policy.worked(step.link, now_utc_s=self._clock.utc_s()):
                self._store.save_strain(policy.strain)
            self._say_seen(step.link, policy)
            _say_sent(carried)
            log.info("connected by %s; the server has every tap up to %d", step.link.value, self._before())
            self._answered()
            self._keep(contact, journal)
        except CampusError as error:
            self._failed(step.link, policy, error)
        finally:
            contact.close()

    def _failed(self, link: LinkKind, policy: Policy, error: CampusError) -> None:
        """Tell the policy, or raise what no link can help."""
        trouble = Trouble.BROKEN
        if error.code in TECHNICIAN:
            trouble = Trouble.NEEDS_PERSON
        elif isinstance(error, NoCoverage):
            trouble = Trouble.SEARCHING
        elif isinstance(error, ServerNotTrusted) and link is LinkKind.IP and policy.has_dearer(link):
            pass  # a network that wants its guests to log in answers in everybody's name; the modem's may be better
        elif not heals(error):
            self._say_seen(None, policy, {link.value: words_for(error)})
            raise error
        now_s = self._clock.monotonic_s()
        ready_s = policy.failed(link, trouble, words_for(error), now_s=now_s, spread=self._rng.random())
        log.warning("%s: %s; trying again in %.1f s", link.value, words_for(error), ready_s - now_s)
        self._say_seen(None, policy)

    def _keep(self, contact: Contact, journal: JournalReader) -> None:
        """Send what becomes due, until told to stop or silent for long."""
        quiet_since_s = self._clock.monotonic_s()
        while not self._stop.is_set():
            self._beat()
            if self._upload_due(contact, journal):
                quiet_since_s = self._clock.monotonic_s()
            elif self._clock.monotonic_s() - quiet_since_s >= IDLE_S:
                log.info("nothing to carry; disconnected")
                return
            contact.listen(POLL_S)
            self._say_hotlist()

    def _upload_due(self, contact: Contact, journal: JournalReader) -> bool:
        """Upload for as long as batches are due, then the reports of shifts; whether there were any."""
        sent = False
        while not self._stop.is_set() and self._due(journal):
            _say_sent(contact.upload())
            self._answered()
            sent = True
        while not self._stop.is_set() and self._reports_due(journal) and contact.report():
            log.info("receipt for the report of shift %d", self._store.shifts_acknowledged())
            self._answered()
            sent = True
        return sent

    def _answered(self) -> None:
        self._waiting_since_s = None
        self._refreshed_at_s = self._clock.monotonic_s()
        self._say_hotlist()

    def _before(self) -> int:
        return self._store.cursor().next_seq - 1

    def _say_hotlist(self) -> None:
        hotlist = self._store.hotlist()
        if hotlist.mark != self._hotlist_mark:  # a restored server may give another list the same version
            self._hotlist_mark = hotlist.mark
            log.info("hotlist %d came down, %d cards", hotlist.version, len(hotlist.cards))

    def _say_seen(
        self, link: LinkKind | None, policy: Policy, hopeless: Mapping[str, str] = MappingProxyType({})
    ) -> None:
        """Write down how the links stand, for `status`; `hopeless` is what no other link would help."""
        body = {
            "at_utc_s": self._clock.utc_s(),
            "link": None if link is None else link.value,
            "failing": {kind.value: words for kind, words in policy.words().items()},
            "technician": {kind.value: words for kind, words in policy.needs_person().items()} | dict(hopeless),
            **self._seen(),
        }
        with suppress(StoreUnwritable):  # a full disk has other worries
            self._store.save_links_seen(json.dumps(body, sort_keys=True))

    def _due(self, journal: JournalReader) -> bool:
        """Whether there are enough taps, one that is urgent, or a first one that has waited long enough."""
        head_seq = journal.head().seq
        waiting = head_seq + 1 - self._store.cursor().next_seq
        if waiting <= 0:
            self._waiting_since_s = None
            return False
        now_s = self._clock.monotonic_s()
        if self._waiting_since_s is None:
            self._waiting_since_s = now_s
        self._scan(journal, head_seq)
        waited_s = now_s - self._waiting_since_s
        urgent = self._urgent() or self._reports_due(journal)
        return is_due(waiting=waiting, urgent=urgent, waited_s=waited_s, linger_s=self._linger_s)

    def _reports_due(self, journal: JournalReader) -> bool:
        """Whether a shift has closed that the server has no report of; that of it waits for the taps before it."""
        return reports_wait(self._store, journal)

    def _scan(self, journal: JournalReader, head_seq: int) -> None:
        """Look at each new tap once for urgency."""
        self._scanned_seq = max(self._scanned_seq, self._before())
        if self._scanned_seq < head_seq:
            records = journal.records(self._scanned_seq + 1, SCAN_TAPS)
            urgent = [record.tap_id.seq for record in records if is_urgent(record)]
            self._urgent_seq = max([self._urgent_seq, *urgent])
            self._scanned_seq += len(records)

    def _urgent(self) -> bool:
        return self._urgent_seq > self._before()


def words_for(error: CampusError) -> str:
    """What a technician reads: the stable code, and what to do where the server said no."""
    if isinstance(error, Rejected):
        return f"{error}: {ADVICE[error.rejection]} [{error.code}]"
    return f"{error} [{error.code}]"


def heals(error: BaseException) -> bool:
    """Whether the same may succeed soon without anybody's help."""
    return isinstance(error, CampusError) and (error.retryable or (isinstance(error, Rejected) and may_pass(error)))


def _say_sent(carried: Carried | None) -> None:
    if carried is not None:
        log.info(
            "receipt for taps %d to %d, %s yuan, %d bytes",
            carried.first_seq,
            carried.next_seq - 1,
            format_fen(Fen(carried.total_fen)),
            len(carried.raw),
        )
