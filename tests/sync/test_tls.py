"""TLS over any byte pipe: the right server and no other, and every break is a typed error."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sync.clock import Clock
from sync.config import ConfigInvalid
from sync.link import LinkDown, TcpLink
from sync.tls import ServerNotTrusted, TlsLink, client_context

if TYPE_CHECKING:
    from tests.sync.conftest import Authority

Serve = Callable[[Callable[[socket.socket], None]], TcpLink]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Connect to a server that does one thing with its one connection."""
    threads, links = [], []
    listener = socket.create_server(("127.0.0.1", 0))

    def start(behaviour: Callable[[socket.socket], None]) -> TcpLink:
        def run() -> None:
            connection, _ = listener.accept()
            with connection:
                behaviour(connection)

        threads.append(threading.Thread(target=run, daemon=True))
        threads[-1].start()
        links.append(TcpLink("127.0.0.1", listener.getsockname()[1]))
        return links[-1]

    yield start
    for link in links:
        link.close()
    for thread in threads:
        thread.join(5)
    listener.close()


def _echo(context: ssl.SSLContext) -> Callable[[socket.socket], None]:
    def behave(connection: socket.socket) -> None:
        try:
            with context.wrap_socket(connection, server_side=True) as tls:
                while data := tls.recv(65536):
                    tls.sendall(data)
        except OSError:
            return  # the client did not trust us, or has gone

    return behave


def _hang_up(connection: socket.socket) -> None:
    connection.recv(1)


def _wait_for(done: threading.Event) -> Callable[[socket.socket], None]:
    def behave(_connection: socket.socket) -> None:
        done.wait(5)

    return behave


def _drain(link: TlsLink) -> None:
    while link.receive(5):
        pass


def test_bytes_go_both_ways_whatever_their_number(serve: Serve, authority: Authority, clock: Clock) -> None:
    link = TlsLink(
        serve(_echo(authority.server_context())), client_context(authority.ca), "settlement.campus", clock=clock
    )
    sent = bytes(range(256)) * 1000
    link.send(sent)
    got = b""
    while len(got) < len(sent):
        got += link.receive(5)
    assert got == sent
    assert link.receive(0.05) == b""
    link.close()


def test_server_of_another_authority_is_not_trusted(
    serve: Serve, authority: Authority, other_authority: Authority, clock: Clock
) -> None:
    tcp = serve(_echo(other_authority.server_context()))
    with pytest.raises(ServerNotTrusted) as caught:
        TlsLink(tcp, client_context(authority.ca), "settlement.campus", clock=clock)
    assert not caught.value.retryable


def test_server_of_another_name_is_not_trusted(serve: Serve, authority: Authority, clock: Clock) -> None:
    tcp = serve(_echo(authority.server_context()))
    with pytest.raises(ServerNotTrusted, match=r"bank\.campus"):
        TlsLink(tcp, client_context(authority.ca), "bank.campus", clock=clock)


def test_server_without_tls_is_a_broken_link(serve: Serve, authority: Authority, clock: Clock) -> None:
    tcp = serve(lambda connection: connection.sendall(b"220 mail ready\r\n" * 10))
    with pytest.raises(LinkDown, match=r"TLS 1\.3"):
        TlsLink(tcp, client_context(authority.ca), "settlement.campus", clock=clock)


def test_server_with_old_tls_only_is_a_broken_link(serve: Serve, authority: Authority, clock: Clock) -> None:
    context = authority.server_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises(LinkDown, match=r"TLS 1\.3"):
        TlsLink(serve(_echo(context)), client_context(authority.ca), "settlement.campus", clock=clock)


def test_server_that_hangs_up_in_the_handshake_is_a_broken_link(
    serve: Serve, authority: Authority, clock: Clock
) -> None:
    tcp = serve(_hang_up)
    with pytest.raises(LinkDown):
        TlsLink(tcp, client_context(authority.ca), "settlement.campus", clock=clock)


def test_silent_server_is_given_up_at_the_handshake_deadline(serve: Serve, authority: Authority) -> None:
    done = threading.Event()
    tcp = serve(_wait_for(done))
    moments = iter([0.0, 14.9, 30.0])  # the deadline is at 15
    clock = Clock(utc_s=lambda: 0, monotonic_s=lambda: next(moments))
    with pytest.raises(LinkDown, match="handshake within 15 s"):
        TlsLink(tcp, client_context(authority.ca), "settlement.campus", clock=clock)
    done.set()


def test_garbage_after_the_handshake_is_a_broken_link(serve: Serve, authority: Authority, clock: Clock) -> None:
    def behave(connection: socket.socket) -> None:
        tls = authority.server_context().wrap_socket(connection, server_side=True)
        raw = socket.socket(fileno=tls.detach())
        raw.sendall(b"\x17\x03\x03\x00\x20" + bytes(32))
        raw.close()

    link = TlsLink(serve(behave), client_context(authority.ca), "settlement.campus", clock=clock)
    with pytest.raises(LinkDown, match="while receiving"):
        _drain(link)


def test_server_that_says_goodbye_ends_the_link(serve: Serve, authority: Authority, clock: Clock) -> None:
    def behave(connection: socket.socket) -> None:
        with authority.server_context().wrap_socket(connection, server_side=True) as tls:
            tls.recv(1)

    link = TlsLink(serve(behave), client_context(authority.ca), "settlement.campus", clock=clock)
    link.send(b"x")
    with pytest.raises(LinkDown):
        _drain(link)
    link.close()
    link.close()


@pytest.mark.parametrize("content", [None, b"", b"no certificate"])
def test_unusable_authority_is_a_configuration_fault(content: bytes | None, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "ca.pem").write_bytes(content)
    with pytest.raises(ConfigInvalid, match=r"ca\.pem"):
        client_context(tmp_path / "ca.pem")
