"""kill -9 of stream and ledger at any of their SQL statements: started anew, and with terminals that send again what
they have no receipt for, the auditor is content: nothing is lost, nothing is doubled.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from random import SystemRandom
from typing import Final

import psycopg
import pytest

from settlement.audit.auditor import findings_text
from settlement.store.place import prefix_of
from settlement.store.postgres import admin_conninfo
from sim.outpost import Outpost
from sim.postgres import PostgresServer
from sim.process import ChildFailed
from sync.clock import Clock
from sync.link import LinkDown
from tests.system.uplinks import Uplinks
from wire.errors import CampusError

CLOCK: Final = Clock(utc_s=lambda: int(time.time()), monotonic_s=time.monotonic)
DIES_S_MAX: Final = 60.0
BOOKED_S_MAX: Final = 30.0
LOOK_S: Final = 0.1
# More than either program needs for its start, a batch of taps and a round of the ledger.
STATEMENTS: Final = 60


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    started = PostgresServer.create()
    yield started
    started.remove()


def walk(post: Outpost, statements: list[tuple[int, bool]]) -> None:
    """Kill stream and ledger at each of these statements of theirs, while taps come in, and then let both live."""
    for name in ("stream", "ledger"):
        post.end(name)
    uplinks = Uplinks(post)
    with closing(uplinks.store):
        for statement, after in statements:
            kill_once(post, uplinks, statement, after=after)
        for name in ("stream", "ledger"):
            post.start(name)
        uplinks.send()
    assert_auditor_is_content(post)


def assert_auditor_is_content(post: Outpost) -> None:
    assert post.wait_until_booked(timeout_s=BOOKED_S_MAX)
    findings = post.audit()
    assert all(finding.holds for finding in findings), findings_text(findings)


def kill_once(post: Outpost, uplinks: Uplinks, statement: int, *, after: bool) -> None:
    children = [post.start_to_be_killed(name, statement, after=after) for name in ("stream", "ledger")]
    deadline_s, pause = time.monotonic() + DIES_S_MAX, threading.Event()
    while any(child.alive for child in children):
        assert time.monotonic() < deadline_s, f"nobody came to statement {statement}"
        post.tap(torn_share=0.0)
        try:
            uplinks.send()
        except (LinkDown, CampusError):
            pause.wait(LOOK_S)  # it is starting, or is dead
    for child in children:
        with pytest.raises(ChildFailed, match="signal 9"):
            child.end()


def put_url(server: PostgresServer, tmp_path: Path) -> str:
    """Databases of its own on the module's server."""
    return server.url.replace("/campus?", f"/t{abs(hash(tmp_path)) % 10**9}?")


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.slow)])
def outpost(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Outpost]:
    url = None
    if request.param == "postgres":
        url = put_url(request.getfixturevalue("server"), tmp_path)
    with Outpost(tmp_path / "home", seed=7, clock=CLOCK, database_url=url) as post:
        yield post


def test_stream_and_ledger_killed_at_random_statements_lose_and_double_nothing(outpost: Outpost) -> None:
    rng = SystemRandom()
    statements = [(rng.randrange(1, STATEMENTS), rng.random() < 0.5) for _ in range(2)]
    print(f"statements: {statements}")
    walk(outpost, statements)


@pytest.mark.slow
def test_stream_and_ledger_killed_at_every_statement_lose_and_double_nothing(outpost: Outpost) -> None:
    walk(outpost, [(statement, after) for statement in range(1, STATEMENTS) for after in (False, True)])


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGQUIT, signal.SIGINT])
def test_database_server_that_dies_and_comes_back_costs_nothing_and_nobody_restarts_a_program(
    server: PostgresServer, tmp_path: Path, how: signal.Signals
) -> None:
    with Outpost(tmp_path / "home", seed=7, clock=CLOCK, database_url=put_url(server, tmp_path)) as post:
        uplinks = Uplinks(post)
        with closing(uplinks.store):
            for _ in range(3):
                post.tap()
                uplinks.send()
                server.stop(how)
                post.tap()
                with suppress(CampusError):
                    uplinks.send()
                server.start()
                send_until_all_is_there(post, uplinks)
            assert_auditor_is_content(post)
            post.check()


@pytest.mark.slow
def test_backends_killed_at_random_moments_cost_nothing(server: PostgresServer, tmp_path: Path) -> None:
    rng = SystemRandom()
    url = put_url(server, tmp_path)
    with (
        Outpost(tmp_path / "home", seed=7, clock=CLOCK, database_url=url) as post,
        closing(psycopg.connect(admin_conninfo(url), autocommit=True)) as admin,
    ):
        uplinks = Uplinks(post)
        with closing(uplinks.store):
            for _ in range(40):
                post.tap()
                with suppress(CampusError):
                    uplinks.send()
                prefix = f"{prefix_of(url)}_%"
                asked = b"SELECT pid FROM pg_stat_activity WHERE datname LIKE %s"
                pids = [pid for (pid,) in admin.execute(asked, (prefix,)).fetchall()]
                admin.execute(b"SELECT pg_terminate_backend(%s)", (rng.choice(pids),))
            send_until_all_is_there(post, uplinks)
            assert_auditor_is_content(post)
            post.check()


def send_until_all_is_there(post: Outpost, uplinks: Uplinks) -> None:
    deadline_s, pause = time.monotonic() + BOOKED_S_MAX, threading.Event()
    while post.status().backlog_taps:
        assert time.monotonic() < deadline_s, "the stream did not find its database again"
        with suppress(CampusError):
            uplinks.send()
        pause.wait(LOOK_S)
