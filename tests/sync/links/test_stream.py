"""One contract for every way that is a byte stream: the host's network, and the connections of three modem families."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sim.modem.modem import SimulatedModem
from sim.modem.profile import EC25, SIM800, SIM7600, Profile
from sync.clock import Clock
from sync.link import Link, LinkDown, TcpLink
from sync.links.modemport import ModemPort
from sync.links.stream import StreamRoute
from sync.outbox import JournalCoder
from sync.policy import Repair
from sync.store import UplinkStore
from sync.tls import TlsLink, client_context
from wire.hotlist import Hotlist

if TYPE_CHECKING:
    from tests.sync.conftest import Authority, Server, Till


@pytest.fixture(params=[None, EC25, SIM7600, SIM800], ids=["ip", "quectel", "sim7600", "sim800"])
def route(
    request: pytest.FixtureRequest,
    server: Server,
    authority: Authority,
    store: UplinkStore,
    till: Till,
    key: Ed25519PrivateKey,
    clock: Clock,
    plug_in: Callable[..., SimulatedModem],
    port_of: Callable[..., ModemPort],
) -> StreamRoute:
    profile: Profile | None = request.param
    port = None if profile is None else port_of(plug_in(profile))
    context = client_context(authority.ca)

    def connect() -> Link:
        tcp: Link = TcpLink("127.0.0.1", server.port) if port is None else port.connect("127.0.0.1", server.port)
        return TlsLink(tcp, context, "settlement.campus", clock=clock, sessions=store)

    coder = JournalCoder(till.reader)
    return StreamRoute(connect, store=store, journal=till.reader, coder=coder, key=key, clock=clock, port=port)


def test_taps_go_up_and_news_comes_down(route: StreamRoute, server: Server, store: UplinkStore, till: Till) -> None:
    server.hotlist = Hotlist(3, frozenset())
    till.tap(2)
    contact, carried = route.open()
    assert carried is not None
    assert (carried.first_seq, carried.next_seq, carried.total_fen) == (1, 3, 1300)
    till.tap(120)
    while contact.upload() is not None:
        pass
    contact.close()
    contact.close()
    assert store.cursor() == server.cursor
    assert store.cursor().next_seq == 123
    assert store.hotlist() == server.hotlist
    till.tap()
    contact, _ = route.open()  # resumed
    contact.close()
    assert store.cursor() == server.cursor


def test_lost_answer_ends_the_contact_and_the_same_bytes_go_again(
    route: StreamRoute, server: Server, store: UplinkStore, till: Till
) -> None:
    server.spoil("LOSE_ANSWER")
    till.tap(2)
    with pytest.raises(LinkDown):
        route.open()
    contact, carried = route.open()
    contact.close()
    assert carried is not None
    assert server.uploads == [carried.raw] * 2
    assert store.cursor() == server.cursor


def test_server_that_is_gone_is_a_fault_that_heals(route: StreamRoute, server: Server, till: Till) -> None:
    till.tap()
    server.stop()
    with pytest.raises(LinkDown):
        route.open()
    server.start()
    contact, carried = route.open()
    contact.close()
    assert carried is not None


@pytest.mark.slow
@pytest.mark.parametrize("repair", list(Repair))
def test_modem_carries_again_after_each_repair(
    repair: Repair, route: StreamRoute, store: UplinkStore, server: Server, till: Till
) -> None:
    if route._port is None:
        return  # the host's network is the host's
    till.tap()
    contact, _ = route.open()
    contact.close()
    route.repair(repair)
    till.tap()
    contact, _ = route.open()
    contact.close()
    assert store.cursor() == server.cursor
