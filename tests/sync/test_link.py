"""The TCP link: bytes, silence, and the end, told apart."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from sync.link import LinkDown, TcpLink


@pytest.fixture
def ends() -> Iterator[tuple[TcpLink, socket.socket]]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        link = TcpLink("127.0.0.1", listener.getsockname()[1])
        far, _ = listener.accept()
        with far:
            yield link, far
        link.close()


def test_bytes_go_both_ways(ends: tuple[TcpLink, socket.socket]) -> None:
    link, far = ends
    link.send(b"up")
    assert far.recv(10) == b"up"
    far.sendall(b"down")
    assert link.receive(5) == b"down"


def test_silence_is_no_bytes(ends: tuple[TcpLink, socket.socket]) -> None:
    assert ends[0].receive(0.01) == b""
    assert ends[0].receive(0) == b""


def test_far_end_that_closes_is_a_broken_link(ends: tuple[TcpLink, socket.socket]) -> None:
    link, far = ends
    far.close()
    with pytest.raises(LinkDown, match="closed the connection") as caught:
        link.receive(5)
    assert caught.value.retryable


def test_closed_link_takes_nothing_and_closes_again(ends: tuple[TcpLink, socket.socket]) -> None:
    link, _ = ends
    link.close()
    link.close()
    with pytest.raises(LinkDown, match="while sending"):
        link.send(b"x")
    with pytest.raises(LinkDown, match="while receiving"):
        link.receive(1)


def test_nobody_listening_is_a_broken_link() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(LinkDown, match=f"port {port}"):
        TcpLink("127.0.0.1", port)
