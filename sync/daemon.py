"""When to talk to the server: watches the journal, keeps a session while there is traffic, reconnects after faults."""

from __future__ import annotations

import logging
from collections.abc import Callable
from threading import Event
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from tenacity import (
    RetryCallState,
    RetryError,
    Retrying,
    retry_if_exception,
    stop_when_event_set,
    wait_random_exponential,
)
from tenacity.nap import sleep_using_event

from sync.clock import Clock
from sync.link import Link
from sync.store import UplinkStore
from sync.uplink import ADVICE, Uplink, may_pass
from terminal.journal import JournalMissing, JournalReader
from wire.batch import SignedBatch
from wire.errors import CampusError
from wire.money import format_fen
from wire.receipt import Rejected

POLL_S: Final = 0.2  # a look at the journal costs one indexed read
BATCH_DUE_TAPS: Final = 50  # so many taps do not wait for more
IDLE_S: Final = 30.0  # a handshake costs more than half a minute of silence on an open link
REFRESH_S: Final = 300.0  # a till without customers still learns of lost cards
RETRY_S_MAX: Final = 30.0  # a healed network is noticed within this
HOPELESS_S: Final = 300.0  # what needs a person is not asked for every few seconds

log = logging.getLogger("campus.sync")


class Daemon:
    """Runs until `stop` is set; `connect` makes a link, or raises what keeps it from doing so."""

    def __init__(
        self,
        *,
        store: UplinkStore,
        open_journal: Callable[[], JournalReader],
        connect: Callable[[], Link],
        key: Ed25519PrivateKey,
        clock: Clock,
        stop: Event,
        linger_s: float,
    ) -> None:
        self._store = store
        self._open_journal = open_journal
        self._connect = connect
        self._key = key
        self._clock = clock
        self._stop = stop
        self._linger_s = linger_s
        self._waiting_since_s: float | None = None
        self._refreshed_at_s = float("-inf")
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
                self._stop.wait(POLL_S)
        return None

    def _serve(self, journal: JournalReader) -> None:
        """Wait until there is a reason to connect, then stay connected while there is traffic."""
        while not (self._due(journal) or self._clock.monotonic_s() >= self._refreshed_at_s + REFRESH_S):
            if self._stop.wait(POLL_S):
                return
        retrying = Retrying(
            retry=retry_if_exception(heals),
            wait=wait_random_exponential(multiplier=0.5, max=RETRY_S_MAX),
            stop=stop_when_event_set(self._stop),
            sleep=sleep_using_event(self._stop),
            before_sleep=_say_why,
        )
        try:
            uplink = retrying(self._open, journal)
        except RetryError:
            return  # told to stop
        try:
            self._keep(uplink, journal)
        except CampusError as error:
            if not heals(error):
                raise
            log.warning("%s; connecting again as soon as there is something to carry", words_for(error))
        finally:
            uplink.close()

    def _open(self, journal: JournalReader) -> Uplink:
        """Connect, identify and send what is due; a fault closes the link."""
        link = self._connect()
        uplink = Uplink(link, store=self._store, journal=journal, key=self._key, clock=self._clock)
        try:
            _say_sent(uplink.open())
            log.info("connected; the server has every tap up to %d", self._store.cursor().next_seq - 1)
            self._refreshed_at_s = self._clock.monotonic_s()
            self._waiting_since_s = None
            self._say_hotlist()
            self._upload_due(uplink, journal)
        except BaseException:
            link.close()
            raise
        return uplink

    def _keep(self, uplink: Uplink, journal: JournalReader) -> None:
        """Send what becomes due, until told to stop or silent for long."""
        quiet_since_s = self._clock.monotonic_s()
        while not self._stop.is_set():
            if self._upload_due(uplink, journal):
                quiet_since_s = self._clock.monotonic_s()
            elif self._clock.monotonic_s() - quiet_since_s >= IDLE_S:
                log.info("nothing to carry; disconnected")
                return
            uplink.listen(POLL_S)
            self._say_hotlist()

    def _upload_due(self, uplink: Uplink, journal: JournalReader) -> bool:
        """Upload for as long as batches are due; whether there were any."""
        sent = False
        while not self._stop.is_set() and self._due(journal):
            _say_sent(uplink.upload())
            self._waiting_since_s = None
            self._refreshed_at_s = self._clock.monotonic_s()
            sent = True
        return sent

    def _say_hotlist(self) -> None:
        hotlist = self._store.hotlist()
        if hotlist.mark != self._hotlist_mark:  # a restored server may give another list the same version
            self._hotlist_mark = hotlist.mark
            log.info("hotlist %d came down, %d cards", hotlist.version, len(hotlist.cards))

    def _due(self, journal: JournalReader) -> bool:
        """Whether there are enough taps, or the first has waited long enough."""
        waiting = journal.head().seq + 1 - self._store.cursor().next_seq
        if waiting <= 0:
            self._waiting_since_s = None
            return False
        now_s = self._clock.monotonic_s()
        if self._waiting_since_s is None:
            self._waiting_since_s = now_s
        return waiting >= BATCH_DUE_TAPS or now_s - self._waiting_since_s >= self._linger_s


def words_for(error: CampusError) -> str:
    """What a technician reads: the stable code, and what to do where the server said no."""
    if isinstance(error, Rejected):
        return f"{error}: {ADVICE[error.rejection]} [{error.code}]"
    return f"{error} [{error.code}]"


def heals(error: BaseException) -> bool:
    """Whether the same may succeed soon without anybody's help."""
    return isinstance(error, CampusError) and (error.retryable or (isinstance(error, Rejected) and may_pass(error)))


def _say_why(state: RetryCallState) -> None:
    error = state.outcome.exception() if state.outcome else None
    if isinstance(error, CampusError) and state.next_action is not None:
        log.warning("%s; trying again in %.1f s", words_for(error), state.next_action.sleep)


def _say_sent(signed: SignedBatch | None) -> None:
    if signed is not None:
        log.info(
            "receipt for taps %d to %d, %s yuan, %d bytes",
            signed.first_seq,
            signed.next_seq - 1,
            format_fen(signed.total_fen),
            len(signed.raw),
        )
