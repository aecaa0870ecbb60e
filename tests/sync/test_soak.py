"""A day of a bad network on a virtual clock: nothing is lost, nothing grows, and the day's budgets are kept."""

from __future__ import annotations

import gc
import os
import threading
import tracemalloc
from collections.abc import Callable, Mapping
from itertools import pairwise
from random import Random
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from drivers.modem import ModemEvent, Registration, RegistrationState, Signal, SimState, SimStatus, StoredSms
from drivers.modemfaults import ModemGone, ModemSilent, SocketDown
from sync.clock import Clock
from sync.daemon import Daemon
from sync.link import Link, LinkDown
from sync.links.modemport import Access, ModemPort
from sync.links.route import Route
from sync.links.sms import SmsRoute
from sync.links.stream import StreamRoute
from sync.outbox import JournalCoder
from sync.policy import DAY_S, HOUR_S, STRAIN_PAUSES_S, LinkKind, SmsLimits
from sync.store import UplinkStore
from terminal.journal import JournalReader
from wire.messages import Challenge
from wire.session import Role, Session

if TYPE_CHECKING:
    from tests.sync.conftest import Server, Till

NOW_UTC_S = 1767261600
SEED = 20_260_101
STEP_S = 5.0  # what a turn of the daemon lasts here; it looks five times a second otherwise
TAP_EVERY_S = 150
CALM_S = 3 * HOUR_S  # at the end, so that everything can be carried


class Day:
    """The virtual clock, what the network is like at any time, and what was done to the modem."""

    def __init__(self, till: Till) -> None:
        self.now_s = 0.0
        self.rng = Random(SEED)
        self.till = till
        self.rounds_at_s: list[float] = []
        self.sms_at_s: list[float] = []
        self.taps = 0
        self._bad = [self.rng.choice(["calm", "dead", "half-dead", "searching", "silent"]) for _ in range(48)]

    @property
    def weather(self) -> str:
        """Another one every half an hour; the last hours are calm."""
        return "calm" if self.now_s > DAY_S - CALM_S else self._bad[int(self.now_s // 1800)]

    def pass_time(self, seconds: float) -> None:
        self.now_s += seconds
        while self.taps < min(self.now_s, DAY_S - HOUR_S) // TAP_EVERY_S:
            self.taps += 1
            self.till.tap()


class Stop(threading.Event):
    """Waiting passes virtual time; set when the day is over."""

    def __init__(self, day: Day) -> None:
        super().__init__()
        self._day = day

    def is_set(self) -> bool:
        return self._day.now_s >= DAY_S

    def wait(self, timeout: float | None = None) -> bool:
        self._day.pass_time(max(STEP_S, timeout or 0.0))
        return self.is_set()


class Loop:
    """A byte link to the server in this process, as bad as the network is; a modem's connection as well."""

    def __init__(self, day: Day, server: Server, fault: type[Exception]) -> None:
        self._day, self._server, self._fault = day, server, fault
        self._session = Session(Role.SERVER)
        self._challenge = Challenge(bytes(16), NOW_UTC_S + int(day.now_s))
        self._inbox = bytearray(self._session.send(self._challenge))

    def sendall(self, data: bytes) -> None:
        """The server's answer; on a half-dead network every third one is lost."""
        if self._day.weather != "half-dead" or self._day.rng.random() < 0.66:
            self._inbox += data

    def send(self, data: bytes) -> None:
        if self._day.weather in ("dead", "searching"):
            raise self._fault("the network has gone")
        for message in self._session.receive(data):
            self._server._handle(self, self._session, message, self._challenge.nonce)  # type: ignore[arg-type] # it only sends to it

    def receive(self, timeout_s: float) -> bytes:
        if not self._inbox:
            self._day.pass_time(max(timeout_s, 1.0))
        data = bytes(self._inbox)
        self._inbox.clear()
        return data

    def close(self) -> None:
        """Nothing to close."""

    def unacknowledged(self) -> int | None:
        return None


class BadModem:
    """A modem in that network: every call takes time, some weather takes its voice; messages never get through."""

    def __init__(self, day: Day, server: Server) -> None:
        self._day, self._server = day, server

    def _speak(self) -> None:
        self._day.pass_time(0.2)
        if self._day.weather == "silent":
            self._day.pass_time(10)
            raise ModemSilent("it says nothing")

    def sim(self) -> SimStatus:
        self._speak()
        return SimStatus(SimState.READY, 3, "8986")

    def enter_pin(self, pin: str) -> None:
        raise AssertionError("no PIN is wanted")

    def registration(self) -> Registration:
        self._speak()
        searching = self._day.weather == "searching"
        return Registration(RegistrationState.SEARCHING if searching else RegistrationState.HOME, "LTE")

    def signal(self) -> Signal:
        self._speak()
        return Signal(-97)

    @property
    def attached(self) -> bool:
        self._speak()
        return True

    def attach(self, *, apn: str, user: str = "", password: str = "") -> None:
        self._speak()

    def detach(self) -> None:
        self._speak()

    def open_socket(self, host: str, port: int, *, timeout_s: float = 60.0) -> Loop:
        self._speak()
        if self._day.weather == "dead":
            self._day.pass_time(timeout_s)
            raise SocketDown("no answer")
        return Loop(self._day, self._server, SocketDown)

    def send_sms(self, number: str, data: bytes) -> int:
        self._speak()
        self._day.sms_at_s.append(self._day.now_s)
        return 1

    def read_sms(self) -> list[StoredSms]:
        self._speak()
        return []

    def delete_sms(self, stored: StoredSms) -> None:
        raise AssertionError("nothing was read")

    def poll(self, timeout_s: float) -> list[ModemEvent]:
        self._day.pass_time(timeout_s)
        return []

    def radio_off_on(self) -> None:
        self._day.rounds_at_s.append(self._day.now_s)
        self._day.pass_time(5)

    def soft_reset(self) -> None:
        self._day.pass_time(20)
        raise ModemGone("it restarts")

    def close(self) -> None:
        """Nothing to close."""


@pytest.fixture
def day(till: Till) -> Day:
    return Day(till)


def _size(store: UplinkStore) -> int:
    tables = [name for (name,) in store._all("SELECT name FROM sqlite_master WHERE type = 'table'")]
    return sum(int(str(store._all(f"SELECT count(*) FROM {table}")[0][0])) for table in tables)


def _budgets_were_kept(day: Day, limits: SmsLimits) -> None:
    gaps = [later - earlier for earlier, later in pairwise(day.rounds_at_s)]
    assert all(gap >= STRAIN_PAUSES_S[1] - 1 for gap in gaps)
    assert 1 <= len(day.rounds_at_s) <= 28
    assert len(day.sms_at_s) <= limits.per_day
    for at_s in day.sms_at_s:
        assert sum(at_s - HOUR_S < other <= at_s for other in day.sms_at_s) <= limits.per_hour


def test_day_of_a_bad_network_loses_nothing_and_grows_nowhere(
    day: Day, server: Server, store: UplinkStore, key: Ed25519PrivateKey
) -> None:
    clock = Clock(utc_s=lambda: NOW_UTC_S + int(day.now_s), monotonic_s=lambda: day.now_s)
    limits = SmsLimits(per_minute=1, per_hour=10, per_day=40)
    port = ModemPort(lambda: BadModem(day, server), Access(apn="internet"), store=store, search_s=0.0)

    def by_host() -> Link:
        if day.weather != "calm" or day.rng.random() < 0.3:
            day.pass_time(10)
            raise LinkDown("the host has no network")
        return Loop(day, server, LinkDown)

    def routes(journal: JournalReader) -> Mapping[LinkKind, Route]:
        coder = JournalCoder(journal)

        def stream(connect: Callable[[], Link], port: ModemPort | None) -> StreamRoute:
            return StreamRoute(connect, store=store, journal=journal, coder=coder, key=key, clock=clock, port=port)

        sms = SmsRoute(
            port,
            number="+8613800000077",
            sms_key=bytes(16),
            limits=limits,
            store=store,
            journal=journal,
            coder=coder,
            clock=clock,
        )
        return {
            LinkKind.IP: stream(by_host, None),
            LinkKind.AT_TCP: stream(lambda: port.connect("server", 1), port),
            LinkKind.SMS: sms,
        }

    gc.collect()  # what other tests left open is not to be closed meanwhile
    threads, files = threading.active_count(), len(os.listdir("/proc/self/fd"))
    tracemalloc.start()
    Daemon(
        store=store,
        open_journal=lambda: day.till.reader,
        open_routes=routes,
        clock=clock,
        stop=Stop(day),
        linger_s=60.0,
        rng=day.rng,
        seen=dict,
    ).run()
    grown, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    print(f"seed {SEED}: {day.taps} taps, {len(day.rounds_at_s)} rounds of resets, {len(day.sms_at_s)} messages")
    assert day.taps == (DAY_S - HOUR_S) // TAP_EVERY_S
    assert store.cursor() == server.cursor
    assert store.cursor().next_seq == day.taps + 1
    assert (threading.active_count(), len(os.listdir("/proc/self/fd"))) == (threads, files)
    assert grown < 5_000_000
    assert _size(store) < 100
    _budgets_were_kept(day, limits)
