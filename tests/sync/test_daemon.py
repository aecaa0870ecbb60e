"""The daemon: when it sends, how it outlives faults, and what it stops asking about."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Iterator
from random import Random
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sync.clock import Clock
from sync.daemon import HOPELESS_S, Daemon
from sync.link import Link, TcpLink
from sync.links.route import Route
from sync.links.stream import StreamRoute
from sync.outbox import JournalCoder
from sync.policy import BATCH_DUE_TAPS, LinkKind
from sync.store import UplinkReader, UplinkStore
from sync.tls import ServerNotTrusted, TlsLink, client_context
from terminal.journal import JournalMissing, JournalReader
from wire.batch import decode_batch
from wire.hotlist import Hotlist
from wire.ids import Asn, CardId, IssuerId
from wire.receipt import Rejection

if TYPE_CHECKING:
    from pathlib import Path

    from tests.sync.conftest import Authority, Server, Till

WaitUntil = Callable[[Callable[[], bool]], None]


class Running:
    """A daemon in a thread, with a linger that a test chooses."""

    def __init__(self, folder: Path, connect: Callable[[], Link], key: Ed25519PrivateKey, clock: Clock) -> None:
        self.stop = threading.Event()
        self.reader = UplinkReader.open(folder / "uplink.db")
        self.open_journal: Callable[[], JournalReader] = lambda: JournalReader.open(folder / "journal.db")
        self.linger_s = 0.05
        self.connect = connect
        self.dearer: Callable[[], Link] | None = None
        self._parts = (folder, key, clock)
        self._thread = threading.Thread(target=self._run)

    def start(self) -> None:
        self._thread.start()

    def end(self) -> None:
        self.stop.set()
        self._thread.join(10)
        assert not self._thread.is_alive()
        self.reader.close()

    def _run(self) -> None:
        folder, key, clock = self._parts
        store = UplinkStore.open_or_make(folder / "uplink.db")

        def routes(journal: JournalReader) -> dict[LinkKind, Route]:
            coder = JournalCoder(journal)
            ip = StreamRoute(self.connect, store=store, journal=journal, coder=coder, key=key, clock=clock)
            if self.dearer is None:
                return {LinkKind.IP: ip}
            dearer = StreamRoute(self.dearer, store=store, journal=journal, coder=coder, key=key, clock=clock)
            return {LinkKind.IP: ip, LinkKind.AT_TCP: dearer}

        Daemon(
            store=store,
            open_journal=self.open_journal,
            open_routes=routes,
            clock=clock,
            stop=self.stop,
            linger_s=self.linger_s,
            rng=Random(1),
        ).run()
        store.close()


@pytest.fixture
def daemon(
    server: Server,
    authority: Authority,
    store: UplinkStore,
    folder: Path,
    key: Ed25519PrivateKey,
    clock: Clock,
    caplog: pytest.LogCaptureFixture,
) -> Iterator[Running]:
    store.close()  # enrolled; the daemon's thread opens it as its own
    caplog.set_level(logging.INFO)
    context = client_context(authority.ca)
    running = Running(
        folder,
        lambda: TlsLink(TcpLink("127.0.0.1", server.port), context, "settlement.campus", clock=clock),
        key,
        clock,
    )
    yield running
    running.end()


def _acknowledged(daemon: Running, seq: int) -> Callable[[], bool]:
    return lambda: daemon.reader.cursor().next_seq == seq + 1


def test_taps_go_up_on_one_session_while_there_is_traffic(
    daemon: Running, server: Server, till: Till, wait_until: WaitUntil
) -> None:
    daemon.start()
    for count in (1, 2, 3):
        till.tap()
        wait_until(_acknowledged(daemon, count))
    assert len(server.identified) == 1


def test_first_tap_waits_for_company_but_fifty_do_not_wait(
    daemon: Running, server: Server, till: Till, wait_until: WaitUntil
) -> None:
    daemon.linger_s = 60.0
    daemon.start()
    wait_until(lambda: len(server.identified) == 1)
    till.tap(BATCH_DUE_TAPS)
    wait_until(_acknowledged(daemon, BATCH_DUE_TAPS))
    assert [decode_batch(raw).count for raw in server.uploads] == [BATCH_DUE_TAPS]


def test_hotlist_comes_down_without_any_tap(
    daemon: Running, server: Server, till: Till, wait_until: WaitUntil, caplog: pytest.LogCaptureFixture
) -> None:
    server.hotlist = Hotlist(3, frozenset())
    daemon.start()
    wait_until(lambda: "hotlist 3 came down, 0 cards" in caplog.text)
    assert daemon.reader.hotlist() == server.hotlist


def test_other_hotlist_of_the_same_version_is_told_too(
    daemon: Running, server: Server, till: Till, wait_until: WaitUntil, caplog: pytest.LogCaptureFixture
) -> None:
    server.hotlist = Hotlist(3, frozenset())
    daemon.start()
    wait_until(lambda: "hotlist 3 came down, 0 cards" in caplog.text)
    server.stop()  # restored from a backup, it counts its lists anew
    server.hotlist = Hotlist(3, frozenset({CardId(IssuerId(bytes(8)), Asn(bytes(10)))}))
    server.start()
    till.tap()
    wait_until(lambda: "hotlist 3 came down, 1 cards" in caplog.text)


def test_daemon_waits_for_the_tills_first_start(
    daemon: Running, server: Server, till: Till, wait_until: WaitUntil, caplog: pytest.LogCaptureFixture
) -> None:
    opened, real = [JournalMissing("none yet")] * 2, daemon.open_journal

    def open_journal() -> JournalReader:
        if opened:
            raise opened.pop()
        return real()

    daemon.open_journal = open_journal
    till.tap()
    daemon.start()
    wait_until(_acknowledged(daemon, 1))
    assert caplog.text.count("waiting for its first start") == 1


@pytest.mark.parametrize("quirk", ["LOSE_ANSWER", "LOSE_UPLOAD", "GARBAGE"])
def test_mishap_is_followed_by_the_same_bytes(
    quirk: str, daemon: Running, server: Server, till: Till, wait_until: WaitUntil
) -> None:
    server.spoil(quirk)
    till.tap(2)
    daemon.start()
    wait_until(_acknowledged(daemon, 2))
    assert len(set(server.uploads)) == 1
    assert len(server.uploads) == 2


def test_busy_server_is_asked_again(
    daemon: Running, server: Server, till: Till, wait_until: WaitUntil, caplog: pytest.LogCaptureFixture
) -> None:
    server.refusals.append(Rejection.BUSY)
    till.tap()
    daemon.start()
    wait_until(_acknowledged(daemon, 1))
    assert "BUSY: " in caplog.text
    assert "[rejected]" in caplog.text


def test_server_that_restarts_is_found_again(
    daemon: Running, server: Server, till: Till, wait_until: WaitUntil
) -> None:
    daemon.start()
    till.tap()
    wait_until(_acknowledged(daemon, 1))
    server.stop()
    till.tap()
    server.start()
    wait_until(_acknowledged(daemon, 2))


@pytest.mark.parametrize("rejection", [Rejection.QUARANTINED, Rejection.UNKNOWN_TERMINAL, Rejection.FORK])
def test_rejection_that_needs_a_person_is_said_and_seldom_asked_about(
    rejection: Rejection,
    daemon: Running,
    server: Server,
    till: Till,
    wait_until: WaitUntil,
    caplog: pytest.LogCaptureFixture,
) -> None:
    server.refusals.append(rejection)
    till.tap()
    daemon.start()
    wait_until(lambda: f"trying again in {HOPELESS_S:.0f} s" in caplog.text)
    assert f"{rejection.name}: " in caplog.text
    assert "[rejected]" in caplog.text
    assert (verdict := daemon.reader.verdict()) is not None
    assert verdict.code == rejection.name
    assert (seen := daemon.reader.links_seen()) is not None
    assert rejection.name in json.loads(seen)["technician"]["ip"]
    daemon.stop.set()
    assert len(server.uploads) == 1


def test_server_that_is_not_trusted_is_seldom_asked(
    daemon: Running, server: Server, till: Till, wait_until: WaitUntil, caplog: pytest.LogCaptureFixture
) -> None:
    def connect() -> Link:
        raise ServerNotTrusted("another authority")

    daemon.connect = connect
    till.tap()
    daemon.start()
    wait_until(lambda: "another authority [server-not-trusted]; trying again in 300 s" in caplog.text)
    assert server.uploads == []


def test_network_that_answers_in_the_servers_name_does_not_keep_taps_from_the_modem(
    daemon: Running, till: Till, wait_until: WaitUntil, monkeypatch: pytest.MonkeyPatch
) -> None:
    def portal() -> Link:
        raise ServerNotTrusted("a certificate of the guest network")

    monkeypatch.setattr("sync.policy.RECONNECTS", 1)
    daemon.dearer, daemon.connect = daemon.connect, portal
    till.tap()
    daemon.start()
    wait_until(_acknowledged(daemon, 1))


def test_closing_a_shift_sends_its_taps_and_its_report_at_once(
    daemon: Running, till: Till, server: Server, wait_until: WaitUntil
) -> None:
    daemon.linger_s = 3_600.0
    daemon.start()
    till.tap(2)
    report = till.close_shift()
    wait_until(lambda: daemon.reader.shifts_acknowledged() == 1)
    assert [shift.hash for shift in server.shifts] == [report.hash]
    assert daemon.reader.cursor().next_seq == 3


def test_shift_that_closes_without_taps_is_a_reason_to_reach_the_server(
    daemon: Running, till: Till, server: Server, wait_until: WaitUntil
) -> None:
    daemon.start()
    wait_until(lambda: bool(server.identified))
    till.close_shift()
    till.close_shift()
    wait_until(lambda: daemon.reader.shifts_acknowledged() == 2)
