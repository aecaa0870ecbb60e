"""Serves the pages: Django's views behind uvicorn, which is asyncio like the gateways and bounds what it takes on."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import uvicorn
from asgiref.typing import ASGI3Application, ASGIReceiveCallable, ASGISendCallable, Scope
from django.conf import settings
from django.core.handlers.asgi import ASGIHandler
from uvicorn.protocols.http.h11_impl import H11Protocol

from settlement.store.database import configure
from settlement.web.guard import Guard
from settlement.web.site import Site

_CONNECTIONS_MAX: Final = 64  # some operators with some windows
_KEEP_ALIVE_S: Final = 5
_CONNECTION_S: Final = 10.0  # a page is asked for and answered in less; who only holds a connection gives it back
_STOP_S: Final = 5
_HEAD_BYTES_MAX: Final = 16_384
_BACKLOG: Final = 64


def make_app(site: Site) -> ASGI3Application:
    """The pages of this site."""
    configure()
    settings.ROOT_URLCONF = "settlement.web.urls"
    settings.MIDDLEWARE = [f"{Guard.__module__}.{Guard.__qualname__}"]
    settings.ALLOWED_HOSTS = ["*"]  # no page names its own address, and none is shown without the token
    settings.APPEND_SLASH = False
    settings.TEMPLATES = [
        {
            "BACKEND": "django.template.backends.django.DjangoTemplates",
            "DIRS": [str(Path(__file__).parent / "templates")],
        }
    ]
    pages = ASGIHandler()

    async def app(scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        await pages({**scope, "site": site}, receive, send)  # type: ignore[arg-type]  # django-stubs: send takes a dict

    return app


class _Server(uvicorn.Server):
    """Tells when it listens, and leaves signals to whoever started it."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, then say so."""
        await super().startup(sockets)
        self._ready()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """None of them."""
        yield


def _protocol(connection_s: float) -> type[H11Protocol]:
    """HTTP in which no connection lasts longer: uvicorn itself waits without end for the rest of a request's head."""

    class Protocol(H11Protocol):
        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as its parent
            super().connection_made(transport)
            self.loop.call_later(connection_s, self.shutdown)  # after the answer that is being made
            self.loop.call_later(2 * connection_s, transport.abort)  # nobody reads that answer

    return Protocol


async def serve_pages(
    site: Site,
    *,
    host: str,
    port: int,
    stop: asyncio.Event,
    ready: Callable[[str, int], None],
    connection_s: float = _CONNECTION_S,
) -> None:
    """Serve until `stop`; `ready` is told address and port. Raises `OSError` if the port is taken."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as door:
        door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        door.bind((host, port))
        taken: int = door.getsockname()[1]
        config = uvicorn.Config(
            make_app(site),
            lifespan="off",
            loop="asyncio",
            http=_protocol(connection_s),
            ws="none",
            log_config=None,
            access_log=False,
            log_level="warning",
            server_header=False,
            proxy_headers=False,
            limit_concurrency=_CONNECTIONS_MAX,
            timeout_keep_alive=_KEEP_ALIVE_S,
            timeout_graceful_shutdown=_STOP_S,
            h11_max_incomplete_event_size=_HEAD_BYTES_MAX,
            backlog=_BACKLOG,
        )
        server = _Server(config, lambda: ready(host, taken))
        serving = asyncio.create_task(server.serve([door]))
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
        server.should_exit = True
        stopping.cancel()
        await serving
