"""What is said of a server that does not come up, and which ports its streams get."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from benchmarks.service import NotServing, Server, make_home, serving, set_streams
from settlement.settings import Home


def heard(*told: tuple[str, str | None, str]) -> Server:
    """A server whose supervisor told this and ended; it has come up, or raised why not."""

    async def hear() -> Server:
        server, lines = Server(Home(Path("home"))), asyncio.StreamReader()
        for event, process, words in told:
            line = {"event": event, "process": process, "pid": process and 7, "words": words}
            lines.feed_data(json.dumps(line).encode() + b"\n")
        lines.feed_eof()
        await server.hear(lines)
        await server.come_up()
        return server

    return asyncio.run(hear())


def test_process_that_keeps_ending_is_named_with_its_reason_and_the_others_are_not() -> None:
    with pytest.raises(NotServing) as caught:
        heard(
            ("started", "canteen", "process 7 started"),
            ("started", "ledger", "process 8 started"),
            ("ready", "canteen", "listening on 127.0.0.1:7402"),
            ("keeps-ending", "ledger", "keeps ending. It ended with status 1: no such table"),
        )
    words = "the server did not come up: ledger: keeps ending. It ended with status 1: no such table"
    assert str(caught.value) == words


def test_server_whose_processes_all_became_ready_has_come_up() -> None:
    server = heard(
        ("started", "ledger", "process 7 started"), ("ready", "ledger", "ledger ready"), ("all-ready", None, "all run")
    )
    assert server.pids == {"ledger": 7}


def test_supervisor_that_ends_at_once_is_not_waited_for(tmp_path: Path) -> None:
    home = make_home(tmp_path / "home")
    home.settings.write_text("no TOML at all")

    async def start() -> None:
        async with serving(home):
            pass

    with pytest.raises(NotServing, match="it told of no process"):
        asyncio.run(start())
    assert "settings-invalid" in (home.root / "serve.log").read_text()


def test_ports_are_none_that_the_system_gives_to_callers(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.folder.mkdir()
    given_from = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    ports = set(set_streams(home).values())
    assert len(ports) == 4
    assert max(ports) < max(given_from, 10_100)
