"""The doctor names the step that fails and what to do, from the near end to the far one."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from drivers.modem import Modem
from drivers.modemfaults import NotAModem, PortBusy, PortMissing
from sim.carrier.carrier import Carrier, Registration
from sim.modem.modem import SimulatedModem
from sim.modem.profile import EC25, hurried
from sim.modem.simcard import SimCard
from sync.clock import Clock
from sync.config import UplinkConfig
from sync.doctor import Doctor, Finding, finding_lines
from sync.linkconfig import LinksConfig
from sync.links.modemport import Access
from sync.policy import LinkKind
from sync.store import UplinkStore
from wire.receipt import Rejection

if TYPE_CHECKING:
    from tests.sync.conftest import Authority, Server, Till

Ask = Callable[..., list[Finding]]
IP, AT_TCP = (LinkKind.IP,), (LinkKind.AT_TCP,)
NO_ACCESS = Access()


@pytest.fixture
def ask(
    server: Server,
    authority: Authority,
    store: UplinkStore,
    till: Till,
    key: Ed25519PrivateKey,
    folder: Path,
    clock: Clock,
) -> Ask:
    """Have this terminal looked at."""
    (folder / "ca.pem").write_bytes(authority.ca.read_bytes())
    (folder / "terminal.key").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )

    def look(
        links: tuple[LinkKind, ...] = IP,
        server_name: str = "settlement.campus",
        modem: object = None,
        access: Access = NO_ACCESS,
    ) -> list[Finding]:
        def open_modem() -> Modem:
            if isinstance(modem, SimulatedModem):
                return Modem.open(modem.path)
            assert isinstance(modem, Exception)
            raise modem

        config = UplinkConfig(host="127.0.0.1", port=server.port, server_name=server_name)
        chosen = LinksConfig(links=links, access=access)
        doctor = Doctor(config, chosen, folder=folder, clock=clock, open_modem=open_modem)
        return list(doctor.examine())

    return look


@pytest.fixture
def carrier() -> Iterator[Carrier]:
    """An operator on the real clock."""
    carrier = Carrier(Random(1), time.monotonic)
    yield carrier
    carrier.close()


def _faults(findings: list[Finding]) -> list[str]:
    return [finding.step for finding in findings if not finding.is_well]


def test_terminal_that_is_well_is_well_at_every_step(ask: Ask) -> None:
    findings = ask()
    assert [finding.step for finding in findings] == ["ip: DNS", "ip: server", "ip: TLS", "ip: identity"]
    assert _faults(findings) == []
    assert finding_lines(findings[-1]) == ["ok     ip: identity: the server knows terminal 112233445566"]


def test_server_that_is_gone_is_named_with_what_to_do(ask: Ask, server: Server) -> None:
    server.stop()
    findings = ask()
    assert _faults(findings) == ["ip: server"]
    assert len(finding_lines(findings[-1])) == 2
    server.start()


def test_wrong_name_and_a_server_that_does_not_know_the_terminal_are_told_apart(ask: Ask, server: Server) -> None:
    assert _faults(ask(server_name="bank.campus")) == ["ip: TLS"]
    server.unwelcome = Rejection.UNKNOWN_TERMINAL
    findings = ask()
    assert _faults(findings) == ["ip: identity"]
    assert "same ticket" in findings[-1].advice


@pytest.mark.parametrize("fault", [PortMissing("no device"), PortBusy("taken"), NotAModem("a scale answers")])
def test_port_without_a_modem_is_the_first_fault(fault: Exception, ask: Ask) -> None:
    assert _faults(ask(AT_TCP, modem=fault)) == ["modem: port"]


def test_modem_is_walked_through_to_the_server(ask: Ask, carrier: Carrier) -> None:
    with SimulatedModem(profile=EC25, sim=SimCard(), carrier=carrier, rng=Random(2)) as modem:
        findings = ask(AT_TCP, modem=modem)
    assert _faults(findings) == []
    assert [finding.step for finding in findings][-4:] == [
        "at-tcp: DNS",
        "at-tcp: server",
        "at-tcp: TLS",
        "at-tcp: identity",
    ]


@pytest.mark.parametrize(
    ("pin", "tries", "words", "advice"),
    [
        ("", 3, "PIN wanted, 3 tries left", "put its PIN into terminal.toml"),
        ("1111", 2, "PIN wanted, 2 tries left", "that PIN is wrong"),
        ("1111", 1, "PIN wanted, 1 try left", "in a telephone"),
        ("1111", 0, "PUK wanted", "in a telephone"),
    ],
)
def test_locked_sim_is_told_with_what_helps(
    pin: str, tries: int, words: str, advice: str, ask: Ask, carrier: Carrier
) -> None:
    sim = SimCard(pin_enabled=True, pin_tries=tries)
    with SimulatedModem(profile=hurried(EC25), sim=sim, carrier=carrier, rng=Random(2)) as modem:
        last = ask(AT_TCP, modem=modem, access=Access(pin=pin))[-1]
    assert last.words == words
    assert advice in last.advice
    assert sim.pin_tries == tries


def test_authority_that_is_missing_is_not_the_servers_fault(ask: Ask, folder: Path) -> None:
    (folder / "ca.pem").unlink()
    last = ask()[-1]
    assert (last.step, last.is_well) == ("ip: TLS", False)
    assert "ca.pem" in last.advice


def test_locked_sim_and_a_network_that_refuses_end_the_walk(ask: Ask, carrier: Carrier) -> None:
    sim = SimCard(pin_enabled=True)
    with SimulatedModem(profile=EC25, sim=sim, carrier=carrier, rng=Random(2)) as modem:
        assert _faults(ask(AT_TCP, modem=modem)) == ["modem: SIM"]
    assert sim.pin_tries == 3
    carrier.accepts = Registration.DENIED
    with SimulatedModem(profile=EC25, sim=SimCard(), carrier=carrier, rng=Random(2)) as modem:
        assert _faults(ask(AT_TCP, modem=modem)) == ["modem: network"]
