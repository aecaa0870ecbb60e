"""Every page, as a browser gets it: only with the token, nothing from elsewhere, no card number in full."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import ssl
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass, replace
from threading import Event, Thread
from typing import Any, cast

import pytest
from asgiref.typing import ASGI3Application
from django.urls import URLPattern

from settlement.authority import load_ticket_key
from settlement.ledger.entries import Source, suspended
from settlement.ledger.store import post
from settlement.onecard.campusfile import parse_campus
from settlement.onecard.configuration import put_changes
from settlement.onecard.outlets import assign
from settlement.onecard.tickets import give_epoch
from settlement.serve import Event as Happened
from settlement.serve import Logbook, Notice
from settlement.settings import Home
from settlement.store.database import Database, open_writer
from settlement.streams import store
from settlement.web import urls
from settlement.web.guard import HEADERS
from settlement.web.reading import read_standing
from settlement.web.server import make_app, serve_pages
from settlement.web.site import Site
from settlement.web.words import LANGUAGES
from tests.settlement.conftest import NOW, FakeTill, StreamDriver, card_number
from tests.settlement.onecard.test_campusfile import CAMPUS
from wire.ids import Stream
from wire.receipt import Suspense

TOKEN = "a-token-of-the-operator"
PAGES = ("overview", "terminals", "suspense", "days")
CARD = card_number(9_876_543)
DEADLINE_S = 20
CONNECTION_S = 1.0


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    text: str


def basic(password: str) -> str:
    return "Basic " + b64encode(f"operator:{password}".encode()).decode()


def ask(app: ASGI3Application, path: str, authorization: str | None = basic(TOKEN), method: str = "GET") -> Answer:
    headers = [(b"host", b"127.0.0.1")]
    if authorization is not None:
        headers.append((b"authorization", authorization.encode()))
    scope = {
        "type": "http", "http_version": "1.1", "method": method, "path": path, "query_string": b"", "headers": headers,
    }  # fmt: skip
    asked: list[object] = [{"type": "http.request", "body": b""}]
    said: list[dict[str, Any]] = []

    async def receive() -> object:
        if not asked:
            await asyncio.Event().wait()  # whoever asks stays until it is answered
        return asked.pop()

    async def send(event: dict[str, Any]) -> None:
        said.append(event)

    asyncio.run(asyncio.wait_for(call(app)(scope, receive, send), DEADLINE_S))
    kept = {name.decode().lower(): value.decode() for name, value in said[0]["headers"]}
    return Answer(said[0]["status"], kept, b"".join(part.get("body", b"") for part in said[1:]).decode())


def call(app: ASGI3Application) -> Callable[..., Coroutine[None, None, None]]:
    """The same for plain dictionaries."""
    return cast(Callable[..., Coroutine[None, None, None]], app)


def paths() -> list[str]:
    """Every address that there is, with every language and page in its places."""
    found = []
    for pattern in urls.urlpatterns:
        assert isinstance(pattern, URLPattern), "an included list of addresses would have to be walked, too"
        route = str(pattern.pattern)
        if "<" not in route:
            found.append(f"/{route}")
            continue
        assert route == "<str:language>/<str:name>"
        found += [f"/{language}/{name}" for language in LANGUAGES for name in PAGES]
    return found


@pytest.fixture
def troubled(home: Home, canteen: StreamDriver, ledger_db: Database, till: FakeTill) -> Home:
    """A home with something on every page: a quarantined terminal, suspense, a process that keeps ending."""
    with open_writer(home.place("onecard"), "onecard") as onecard:
        put_changes(onecard, parse_campus(CAMPUS), load_ticket_key(home.ticket_key), now_utc_s=NOW)
        give_epoch(onecard, till.terminal, stream=Stream.CANTEEN, now_utc_s=NOW)
        assign(onecard, till.terminal, 21, from_utc_s=NOW, now_utc_s=NOW)
    canteen.enrol(till)
    row = store.find_terminal(canteen.db, till.terminal, 1)
    assert row is not None
    with canteen.db.transaction():
        store.hear(canteen.db, row, seq=7, total_fen=8350, now_utc_s=NOW)
        store.quarantine(canteen.db, row, "<b>fork</b> at 8")
    tap = till.tap(card=CARD)
    item = suspended(tap, reason=Suspense.TAC_WRONG, source=Source("canteen", 1), received_at_utc_s=NOW - 90)
    with ledger_db.transaction():
        post(ledger_db, [item])
    points = [{"point": 3, "says": "books are complete", "holds": False}, {"point": 4, "says": "x", "holds": True}]
    home.last_audit.write_text(json.dumps({"at_utc_s": NOW - 3600, "points": points}))
    logbook = Logbook(home.supervised)
    logbook.note(Notice(Happened.READY, "ledger ready", "ledger", 1), NOW - 60)
    logbook.note(Notice(Happened.KEEPS_ENDING, "keeps ending, 4 times in a row now", "shops", 2), NOW - 5)
    return home


def site_of(home: Home) -> Site:
    return Site(token=TOKEN, read=lambda: read_standing(home, now_utc_s=NOW, outage_s=604_800), monotonic_s=lambda: 0.0)


@pytest.fixture
def app(troubled: Home) -> ASGI3Application:
    return make_app(site_of(troubled))


def test_every_address_needs_the_token_and_only_reads(app: ASGI3Application) -> None:
    assert len(paths()) == 2 + 2 * len(PAGES)
    for path in [*paths(), "/zh/none", "/xx/overview", "/admin", "/style.css/"]:
        for wrong in (None, basic("other"), basic(""), "Basic !", f"Bearer {TOKEN}", basic(TOKEN + "x")):
            answer = ask(app, path, wrong)
            assert (answer.status, answer.text) == (401, "token wanted\n")
            assert answer.headers["www-authenticate"].startswith("Basic ")
        for method in ("POST", "PUT", "DELETE", "OPTIONS"):
            assert ask(app, path, method=method).status == 405


def test_every_page_loads_nothing_from_elsewhere_and_has_the_headers(app: ASGI3Application) -> None:
    for path in paths():
        answer = ask(app, path)
        assert answer.status == (302 if path == "/" else 200), path
        assert {name: answer.headers.get(name.lower()) for name in HEADERS} == HEADERS
        assert not re.search(r"<script|\son\w+=|\sstyle=|<style|https?://|//\w|url\(|@import", answer.text), path
        for reference in re.findall(r'(?:href|src)="([^"]*)"', answer.text):
            assert ask(app, reference).status == 200, f"{path} leads to {reference}"
    assert "unsafe" not in HEADERS["Content-Security-Policy"]


def test_pages_that_do_not_exist_are_not_found(app: ASGI3Application) -> None:
    for path in ("/zh/none", "/xx/overview", "/admin", "/style.css/"):
        assert ask(app, path).status == 404
        assert ask(app, path).headers["content-security-policy"] == HEADERS["Content-Security-Policy"]


def test_no_page_shows_a_card_number_or_takes_words_for_markup(app: ASGI3Application) -> None:
    texts = [ask(app, path).text for path in paths()]
    assert any(str(CARD) in text for text in texts)
    for text in texts:
        assert CARD.asn.hex() not in text
        assert CARD.asn.hex().lstrip("0") not in text
        assert "<b>fork" not in text
    assert any("&lt;b&gt;fork" in text for text in texts)


def test_trouble_is_told_on_every_page_in_both_languages(app: ASGI3Application) -> None:
    for page in PAGES:
        chinese, english = ask(app, f"/zh/{page}").text, ask(app, f"/en/{page}").text
        assert "终端 000000000101: 已隔离" in chinese
        assert "进程反复结束: shops" in chinese
        assert "terminal 000000000101: quarantined" in english
        assert "a process keeps ending: shops" in english
        assert "the audit objects: 3. books are complete" in english
        assert "4. x" not in english
    assert "21 第一食堂" in ask(app, "/zh/terminals").text
    assert re.search(r'warn">7</td><td data-label="yuan" class="number">83\.50<', ask(app, "/en/terminals").text)
    assert "Last audit: 2025-11-24 23:00:00" in ask(app, "/en/overview").text
    assert "交易验证码错误" in ask(app, "/zh/suspense").text
    assert "1 min" in ask(app, "/en/suspense").text


def test_database_that_cannot_be_read_is_told_with_its_code(home: Home) -> None:
    home.database("ledger").unlink()
    answer = ask(make_app(site_of(home)), "/en/overview")
    assert answer.status == 503
    assert "[store-schema-missing]" in answer.text


def test_server_of_the_databases_that_does_not_answer_is_told_with_its_code(home: Home) -> None:
    nobody = replace(home, database_url="postgresql://campus@127.0.0.1:1/campus")
    answer = ask(make_app(site_of(nobody)), "/zh/overview")
    assert (answer.status, "[store-fault]" in answer.text, "现在读不到数据" in answer.text) == (503, True, True)


def test_stream_without_a_database_is_told_as_that(home: Home, ledger_db: Database) -> None:
    app = make_app(site_of(home))
    assert "not run on this host" not in ask(app, "/en/overview").text
    home.database("shops").unlink()
    row = 'shops</td><td data-label="taps here" class="number">not run on this host<'
    assert row in ask(make_app(site_of(home)), "/en/overview").text


@pytest.fixture
def served(home: Home) -> Iterator[str]:
    """The pages on a port of their own."""
    loops: list[asyncio.AbstractEventLoop] = []
    stops: list[asyncio.Event] = []
    told: list[str] = []
    listening = Event()

    def ready(host: str, port: int) -> None:
        told.append(f"http://{host}:{port}")
        listening.set()

    async def run() -> None:
        loops.append(asyncio.get_running_loop())
        stops.append(asyncio.Event())
        await serve_pages(
            site_of(home), host="127.0.0.1", port=0, stop=stops[0], ready=ready, connection_s=CONNECTION_S
        )

    thread = Thread(target=lambda: asyncio.run(run()))
    thread.start()
    assert listening.wait(DEADLINE_S)
    yield told[0]
    loops[0].call_soon_threadsafe(stops[0].set)
    thread.join(DEADLINE_S)
    assert not thread.is_alive()


def test_pages_are_served_over_http_until_they_are_stopped(served: str) -> None:
    request = urllib.request.Request(f"{served}/zh/overview", headers={"Authorization": basic(TOKEN)})
    with urllib.request.urlopen(request, timeout=DEADLINE_S, context=ssl.create_default_context()) as answer:
        assert "没有警报" in answer.read().decode()
        assert answer.headers["Server"] is None
    with pytest.raises(urllib.error.HTTPError, match="401"):
        urllib.request.urlopen(served, timeout=DEADLINE_S)


@pytest.mark.parametrize("said", [b"", b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: "], ids=["nothing", "half a request"])
def test_clients_that_only_hold_connections_lose_them(said: bytes, served: str) -> None:
    address = ("127.0.0.1", int(served.rpartition(":")[2]))
    held = [socket.create_connection(address, timeout=DEADLINE_S) for _ in range(70)]
    try:
        for one in held:
            one.sendall(said)
        for one in held:
            while one.recv(4096):
                pass  # 503 for those that were too many, then the end
    finally:
        for one in held:
            one.close()
    with pytest.raises(urllib.error.HTTPError, match="401"):
        urllib.request.urlopen(served, timeout=DEADLINE_S)
