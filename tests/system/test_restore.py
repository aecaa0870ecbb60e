"""Last night's backup is put back while terminals went on selling: they send again what is missing, by themselves."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Final

import pytest

from settlement.__main__ import main
from settlement.audit.auditor import findings_text
from sim.outpost import Outpost
from sim.postgres import PostgresServer
from sync.clock import Clock
from tests.system.uplinks import Uplinks

CLOCK: Final = Clock(utc_s=lambda: int(time.time()), monotonic_s=time.monotonic)
BOOKED_S_MAX: Final = 30.0


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.slow)])
def outpost(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Outpost]:
    server = PostgresServer.create() if request.param == "postgres" else None
    try:
        url = None if server is None else server.url
        with Outpost(tmp_path / "home", seed=7, clock=CLOCK, database_url=url) as post:
            yield post
    finally:
        if server is not None:
            server.remove()


def sell(post: Outpost, uplinks: Uplinks, taps: int) -> None:
    for _ in range(taps):
        post.tap(torn_share=0.1)
    uplinks.send()


def put_back(post: Outpost, folder: Path, *names: str) -> None:
    for name in ("stream", "ledger"):
        post.end(name)
    assert main(["restore", str(folder), *names, "--home", str(post.home)]) == 0
    for name in ("stream", "ledger"):
        post.start(name)


def assert_auditor_is_content(post: Outpost) -> None:
    assert post.wait_until_booked(timeout_s=BOOKED_S_MAX)
    findings = post.audit()
    assert all(finding.holds for finding in findings), findings_text(findings)


@pytest.mark.parametrize(
    "names",
    [
        pytest.param(("canteen",), id="the stream, whose ledger has read on"),
        pytest.param((), id="all", marks=pytest.mark.slow),
        pytest.param(("ledger",), id="the ledger", marks=pytest.mark.slow),
    ],
)
def test_terminals_send_again_what_the_restored_databases_lack(
    outpost: Outpost, tmp_path: Path, names: tuple[str, ...]
) -> None:
    uplinks = Uplinks(outpost)
    with closing(uplinks.store):
        sell(outpost, uplinks, 8)
        assert outpost.wait_until_booked(timeout_s=BOOKED_S_MAX)
        assert main(["backup", str(tmp_path / "backup"), "--home", str(outpost.home)]) == 0
        sell(outpost, uplinks, 8)
        assert outpost.wait_until_booked(timeout_s=BOOKED_S_MAX)
        put_back(outpost, tmp_path / "backup", *names)
        sell(outpost, uplinks, 4)
        assert_auditor_is_content(outpost)
