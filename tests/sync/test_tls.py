"""TLS over any byte pipe: the right server and no other, and every break is a typed error."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sync.clock import Clock
from sync.config import ConfigInvalid
from sync.link import LinkDown, TcpLink
from sync.store import UplinkStore
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
        links.append(TcpLink("127.0.0.1", listener.getsockname()[1]))
        connection, _ = listener.accept()  # here, or an earlier server's thread may get this connection

        def run() -> None:
            with connection:
                behaviour(connection)

        threads.append(threading.Thread(target=run, daemon=True))
        threads[-1].start()
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
                tls.unwrap()  # a session that ends without a goodbye is not resumed
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


@dataclass
class Sessions:
    """A keeper in memory, where a test may spoil what is kept."""

    owner: bytes = b""
    session: bytes | None = None

    def tls_session(self, owner: bytes) -> bytes | None:
        return self.session if owner == self.owner else None

    def save_tls_session(self, owner: bytes, session: bytes | None) -> None:
        self.owner, self.session = owner, session


class Meeting:
    """Conversations of one byte each way with servers of one authority, and how many bytes they took."""

    def __init__(self, serve: Serve, authority: Authority, clock: Clock) -> None:
        self.context = authority.server_context()
        self.client = client_context(authority.ca)
        self.sessions = Sessions()
        self.clock = clock
        self.name = "settlement.campus"
        self._serve = serve

    def meet(self) -> tuple[bool, int]:
        """Whether the session was resumed, and the bytes that went up and down."""
        count = Counting(self._serve(_echo(self.context)))
        link = TlsLink(count, self.client, self.name, clock=self.clock, sessions=self.sessions)
        link.send(b"x")
        assert link.receive(5) == b"x"
        resumed = link.resumed
        link.close()
        return resumed, count.bytes


class Counting:
    """A link that counts."""

    def __init__(self, link: TcpLink) -> None:
        self._link = link
        self.bytes = 0

    def send(self, data: bytes) -> None:
        self.bytes += len(data)
        self._link.send(data)

    def receive(self, timeout_s: float) -> bytes:
        data = self._link.receive(timeout_s)
        self.bytes += len(data)
        return data

    def close(self) -> None:
        self._link.close()


@pytest.fixture
def meeting(serve: Serve, authority: Authority, clock: Clock) -> Meeting:
    return Meeting(serve, authority, clock)


def test_next_connection_resumes_with_far_fewer_bytes(meeting: Meeting) -> None:
    first_resumed, first = meeting.meet()
    later = [meeting.meet() for _ in range(3)]
    assert not first_resumed
    assert all(resumed and size < first - 400 for resumed, size in later)


def test_session_survives_a_restart_of_the_daemon(meeting: Meeting, store: UplinkStore, folder: Path) -> None:
    meeting.sessions = store  # type: ignore[assignment] # the real keeper in place of the test's
    assert not meeting.meet()[0]
    store.close()
    again = UplinkStore.open_or_make(folder / "uplink.db")
    meeting.sessions = again  # type: ignore[assignment] # as above
    assert meeting.meet()[0]
    again.close()


def test_restarted_server_gets_a_whole_handshake(meeting: Meeting, authority: Authority) -> None:
    meeting.meet()
    meeting.context = authority.server_context()  # sessions are in a server's memory
    assert not meeting.meet()[0]
    assert meeting.meet()[0]


@pytest.mark.parametrize("kept", [b"", b"no session", bytes(500)])
def test_kept_bytes_that_are_no_session_cost_a_whole_handshake(kept: bytes, meeting: Meeting) -> None:
    meeting.meet()
    meeting.sessions.session = kept
    assert not meeting.meet()[0]
    assert meeting.meet()[0]


def test_session_is_not_offered_under_another_name(meeting: Meeting) -> None:
    meeting.meet()
    meeting.name = "127.0.0.2"  # which the certificate names, too
    assert not meeting.meet()[0]


def test_session_of_another_authority_is_not_offered(meeting: Meeting, other_authority: Authority) -> None:
    meeting.meet()
    meeting.client = client_context(other_authority.ca)
    with pytest.raises(ServerNotTrusted):
        meeting.meet()


def test_certificate_that_ran_out_is_refused_on_a_resumed_session_too(meeting: Meeting) -> None:
    meeting.meet()
    assert meeting.sessions.session is not None
    meeting.clock = Clock(utc_s=lambda: 4_000_000_000, monotonic_s=meeting.clock.monotonic_s)
    with pytest.raises(ServerNotTrusted, match=r"not good for settlement\.campus"):
        meeting.meet()
    assert meeting.sessions.session is None


def test_server_that_no_longer_speaks_tls_costs_the_session(meeting: Meeting, serve: Serve) -> None:
    meeting.meet()
    tcp = serve(lambda connection: connection.sendall(b"220 mail ready\r\n" * 10))
    with pytest.raises(LinkDown):
        TlsLink(tcp, meeting.client, meeting.name, clock=meeting.clock, sessions=meeting.sessions)
    assert meeting.sessions.session is None


def test_server_that_is_silent_costs_no_session(meeting: Meeting, serve: Serve) -> None:
    meeting.meet()
    done = threading.Event()
    moments = iter([0.0, 30.0])
    clock = Clock(utc_s=meeting.clock.utc_s, monotonic_s=lambda: next(moments))
    with pytest.raises(LinkDown):
        TlsLink(serve(_wait_for(done)), meeting.client, meeting.name, clock=clock, sessions=meeting.sessions)
    done.set()
    assert meeting.meet()[0]
