"""`campus-syncd doctor`: walks each way to the server from the near end to the far one, and says what to do at a fault.

It changes nothing and enters no PIN. Left out: healing, which is the daemon's.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from drivers.modem import LAST_TRY, Modem, RegistrationState, SimState, SimStatus
from drivers.modemfaults import ModemFault, PortBusy
from drivers.serialport import find_port
from sync.clock import Clock
from sync.config import ConfigInvalid, UplinkConfig
from sync.daemon import words_for
from sync.identity import load_key
from sync.link import Link, LinkDown, TcpLink
from sync.linkconfig import LinksConfig
from sync.links.modemport import SEARCH_S, ModemLink, registered
from sync.policy import LinkKind
from sync.store import UplinkReader
from sync.tls import ServerNotTrusted, TlsLink, client_context
from sync.uplink import ADVICE, Exchange
from terminal.journal import JournalReader
from wire.errors import CampusError
from wire.messages import Identify, Refused

WEAK_DBM: Final = -105  # below that data comes in spells
SOCKET_S: Final = 30.0


class NotWell(CampusError):
    """The doctor found something that a person has to do."""

    code = "not-well"


@dataclass(frozen=True, slots=True)
class Finding:
    """One step: what was found, and what to do if that is not well."""

    step: str
    words: str
    advice: str = ""

    @property
    def is_well(self) -> bool:
        """Whether nothing has to be done."""
        return not self.advice


class Doctor:
    """Looks at one terminal; each way ends at its first fault, since what is behind it cannot be seen."""

    def __init__(
        self,
        config: UplinkConfig,
        links: LinksConfig,
        *,
        folder: Path,
        clock: Clock,
        open_modem: Callable[[], Modem] | None = None,
    ) -> None:
        self._config = config
        self._links = links
        self._folder = folder
        self._clock = clock
        self._open_modem = open_modem or (lambda: Modem.open(find_port(links.port), stack=links.stack))

    def examine(self) -> Iterator[Finding]:
        """Every finding, as it is found."""
        if LinkKind.IP in self._links.links:
            yield from self._host()
        if self._links.needs_modem:
            yield from self._modem()

    def _host(self) -> Iterator[Finding]:
        host, port = self._config.host, self._config.port
        try:
            [(*_, address), *_] = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except OSError as error:
            yield Finding("ip: DNS", f"{host} has no address: {error}", "check the host's network and [uplink] host")
            return
        yield Finding("ip: DNS", f"{host} is {address[0]}")
        try:
            link = TcpLink(host, port)
        except LinkDown as error:
            yield Finding("ip: server", str(error), "check network and firewall, and that the server runs at this port")
            return
        yield Finding("ip: server", f"port {port} answers")
        yield from self._server("ip", link)

    def _modem(self) -> Iterator[Finding]:
        try:
            modem = self._open_modem()
        except PortBusy as error:
            yield Finding("modem: port", str(error), "if campus-syncd runs, stop it while the doctor looks")
            return
        except ModemFault as error:
            yield Finding("modem: port", words_for(error), "check plug and power, and [modem] port in terminal.toml")
            return
        with closing(modem):
            who = modem.identity
            yield Finding("modem: port", f"{who.maker} {who.model}, {who.revision}, IMEI ...{who.imei[-4:]}")
            try:
                yield from self._radio(modem)
            except CampusError as error:
                yield Finding("modem", words_for(error), "unplug the modem for ten seconds, then look again")

    def _radio(self, modem: Modem) -> Iterator[Finding]:
        sim = modem.sim()
        if sim.state is not SimState.READY:
            yield Finding("modem: SIM", _sim_words(sim), _sim_advice(sim, has_pin=bool(self._links.access.pin)))
            return
        yield Finding("modem: SIM", "ready")
        registration, dbm = registered(modem, SEARCH_S), modem.signal().dbm
        if registration.state is RegistrationState.DENIED:
            yield Finding(
                "modem: network", "denied", "the operator refuses this SIM: ask whether it is blocked or unpaid"
            )
            return
        if not registration.registered:
            yield Finding("modem: network", registration.state.value, "check the antenna; after an outage wait an hour")
            return
        weak = dbm is None or dbm < WEAK_DBM
        signal = "signal unknown" if dbm is None else f"{dbm} dBm"
        advice = "the signal is weak: move the antenna" if weak else ""
        yield Finding("modem: network", f"{registration.state.value} {registration.technology}, {signal}", advice)
        if LinkKind.AT_TCP in self._links.links:
            yield from self._data(modem)

    def _data(self, modem: Modem) -> Iterator[Finding]:
        access, host, port = self._links.access, self._config.host, self._config.port
        try:
            modem.attach(apn=access.apn, user=access.user, password=access.password)
        except ModemFault as error:
            yield Finding("at-tcp: data", words_for(error), "check [modem] apn, user and password with the operator")
            return
        yield Finding("at-tcp: data", f"a bearer of {access.apn or 'the default APN'} is up")
        try:
            address = modem.resolve(host)
        except ModemFault as error:
            yield Finding("at-tcp: DNS", words_for(error), "check [uplink] host, or write the server's address there")
            return
        yield Finding("at-tcp: DNS", f"{host} is {address}")
        try:
            connection = modem.open_socket(address, port, timeout_s=SOCKET_S)
        except ModemFault as error:
            yield Finding("at-tcp: server", words_for(error), "check that the server can be reached from outside")
            return
        yield Finding("at-tcp: server", f"port {port} answers")
        yield from self._server("at-tcp", ModemLink.plain(connection))

    def _server(self, way: str, link: Link) -> Iterator[Finding]:
        """TLS, then who we are to each other."""
        try:
            context = client_context(self._folder / "ca.pem")
            tls = TlsLink(link, context, self._config.server_name, clock=self._clock)
        except ServerNotTrusted as error:
            link.close()
            yield Finding(
                f"{way}: TLS", str(error), "compare ca.pem and server_name with the operator; check the clock"
            )
            return
        except ConfigInvalid as error:
            link.close()
            yield Finding(f"{way}: TLS", str(error), "put the operator's ca.pem into the terminal's folder")
            return
        except CampusError as error:
            link.close()
            yield Finding(f"{way}: TLS", words_for(error), "something else than the settlement server answers there")
            return
        with closing(tls):
            yield Finding(f"{way}: TLS", f"the server is {self._config.server_name}, by our authority")
            try:
                yield self._identity(way, tls)
            except CampusError as error:
                yield Finding(f"{way}: identity", words_for(error), "see the error's code in SYNC.md")

    def _identity(self, way: str, link: TlsLink) -> Finding:
        with closing(UplinkReader.open(self._folder / "uplink.db")) as store:
            mark, ahead = store.hotlist().mark, store.enrolled()
        with closing(JournalReader.open(self._folder / "journal.db")) as journal:
            head = journal.head()
            exchange = Exchange(link, self._clock)
            challenge = exchange.challenge()
            identify = Identify(
                terminal=ahead.terminal,
                epoch=ahead.epoch,
                head_seq=head.seq,
                total_fen=head.total_fen,
                hotlist_mark=mark,
            )
            exchange.send(identify.signed(load_key(self._folder / "terminal.key"), challenge.nonce))
            answer = exchange.answer()
        if isinstance(answer, Refused):
            return Finding(f"{way}: identity", answer.rejection.name, ADVICE[answer.rejection])
        return Finding(f"{way}: identity", f"the server knows terminal {ahead.terminal.hex()}")


_NEW_SIM: Final = "take the SIM out and look at it, or try another one"
_SIM_ADVICE: Final = {
    SimState.PUK: "a technician enters the PUK in a telephone; nothing here ever does",
    SimState.ABSENT: "put a SIM in, contacts down, and switch the modem off and on",
}


def finding_lines(finding: Finding) -> list[str]:
    """For people: well or not, and what to do."""
    head = f"{'ok    ' if finding.is_well else 'FAULT '} {finding.step}: {finding.words}"
    return [head] if finding.is_well else [head, f"       -> {finding.advice}"]


def _sim_words(sim: SimStatus) -> str:
    if sim.state is not SimState.PIN or sim.tries_left is None:
        return sim.state.value
    return f"{sim.state.value}, {sim.tries_left} {'try' if sim.tries_left == 1 else 'tries'} left"


def _sim_advice(sim: SimStatus, *, has_pin: bool) -> str:
    if sim.state is not SimState.PIN:
        return _SIM_ADVICE.get(sim.state, _NEW_SIM)
    if sim.tries_left is not None and sim.tries_left <= LAST_TRY:
        return "a technician enters the PIN in a telephone; nothing here ever uses up the last try"
    if has_pin:
        return "the daemon enters the PIN of terminal.toml once; if it ran since, that PIN is wrong: correct it"
    return "put its PIN into terminal.toml, [modem] pin; the daemon enters it once"
