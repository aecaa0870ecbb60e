"""A 4G or GSM modem at a serial port: who it is, its SIM, its network, short messages, connections.

Left out: when to do what, and what to do about a fault (the uplink's policy); the till's own records. A PUK is never
entered, by nobody's order; nothing is sent to a device that has not said that it is one of the modems known here.
"""

from __future__ import annotations

import re
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from pathlib import Path
from typing import Final, TypeVar

from gsmmodem.exceptions import CommandError
from gsmmodem.modem import GsmModem

from drivers import at, sms_pdu
from drivers.line import CTRL_Z, Line
from drivers.modemfaults import (
    AtError,
    BearerLost,
    ModemFault,
    ModemGarbled,
    ModemSilent,
    NotAModem,
    RegistrationDenied,
    SimLocked,
)
from drivers.stacks.quectel import QuectelStack
from drivers.stacks.sim800 import Sim800Stack
from drivers.stacks.sim7600 import Sim7600Stack
from drivers.stacks.stack import ModemSocket, PdpLost, SocketClosed, Stack

__all__ = [
    "Identity",
    "Modem",
    "ModemEvent",
    "ModemRestarted",
    "ModemSocket",
    "PdpLost",
    "Registration",
    "RegistrationState",
    "Signal",
    "SimState",
    "SimStatus",
    "SmsArrived",
    "SocketClosed",
    "StoredSms",
]

T = TypeVar("T")

IDENTIFY_S: Final = 2.0
IDENTIFY_TRIES: Final = 3  # a modem that still starts loses the first characters
SIM_S: Final = 15.0  # +CPIN? and +CPIN= while the SIM is read
RADIO_S: Final = 20.0
RESTART_S: Final = 60.0
SMS_PROMPT_S: Final = 5.0
SMS_SENT_S: Final = 60.0  # the network's word on a message
USSD_S: Final = 30.0
CONNECT_S: Final = 60.0
EVENTS_MAX: Final = 256  # that nobody has fetched; the oldest go first
LAST_TRY: Final = 1  # of the PIN is a technician's: the next wrong one locks the SIM

STACKS: Final[dict[str, type[Stack]]] = {"quectel": QuectelStack, "sim7600": Sim7600Stack, "sim800": Sim800Stack}

# What a modem calls itself in its answer to ATI, and the family whose commands it takes.
_MODELS: Final = (
    (re.compile(r"\b(?:EC2[015]|EC200|EG2[15]|EG9[15]|EG915|EG12|BG9[56])"), "quectel"),
    (re.compile(r"\b(?:SIMCOM_)?SIM7[56]\d\d", re.IGNORECASE), "sim7600"),
    (re.compile(r"\b(?:SIMCOM_)?SIM(?:8[0-9]{2}|900)(?!\d)", re.IGNORECASE), "sim800"),
)
_MAKERS: Final = re.compile(r"\b(?:Quectel|SIMCOM)", re.IGNORECASE)
_CMS_INVALID_INDEX: Final = 321
_CME_INVALID_INDEX: Final = 21
_ZONE_COMMANDS: Final = {"quectel": "AT+CTZU=3", "sim7600": "AT+CTZU=1", "sim800": "AT+CLTS=1"}
_TRIES_COMMANDS: Final = {
    "quectel": ('AT+QPINC="SC"', 'AT+CPINR="SIM PIN"'),
    "sim7600": ('AT+CPINR="SIM PIN"', "AT+SPIC"),
    "sim800": ("AT+SPIC", 'AT+CPINR="SIM PIN"'),
}
_ICCID_COMMANDS: Final = {"quectel": "AT+QCCID", "sim7600": "AT+CICCID", "sim800": "AT+CCID"}


@dataclass(frozen=True, slots=True)
class Identity:
    """What the modem says of itself."""

    maker: str
    model: str
    revision: str
    imei: str
    stack: str


class SimState(Enum):
    """What the SIM waits for."""

    READY = "ready"
    PIN = "PIN wanted"
    PUK = "PUK wanted"
    ABSENT = "no SIM"
    BROKEN = "SIM does not work"
    OTHER = "another code wanted"


_CPIN: Final = {"READY": SimState.READY, "SIM PIN": SimState.PIN, "SIM PUK": SimState.PUK}
_CME_SIM: Final = {
    5: SimState.PIN,
    10: SimState.ABSENT,
    11: SimState.PIN,
    12: SimState.PUK,
    13: SimState.BROKEN,
    15: SimState.BROKEN,
}


@dataclass(frozen=True, slots=True)
class SimStatus:
    """The SIM's state; `tries_left` of the PIN and `iccid` are None when the modem does not tell."""

    state: SimState
    tries_left: int | None
    iccid: str | None


class RegistrationState(Enum):
    """How the modem stands with the network."""

    HOME = "at home"
    ROAMING = "roaming"
    SEARCHING = "searching"
    DENIED = "denied"
    NONE = "not searching"


# Of several answers the first in this order counts.
_PREFERENCE: Final = (
    RegistrationState.HOME,
    RegistrationState.ROAMING,
    RegistrationState.DENIED,
    RegistrationState.SEARCHING,
    RegistrationState.NONE,
)
_REGISTRATION: Final = {
    at.Registration27007.NOT_SEARCHING: RegistrationState.NONE,
    at.Registration27007.HOME: RegistrationState.HOME,
    at.Registration27007.SEARCHING: RegistrationState.SEARCHING,
    at.Registration27007.DENIED: RegistrationState.DENIED,
    at.Registration27007.UNKNOWN: RegistrationState.SEARCHING,
    at.Registration27007.ROAMING: RegistrationState.ROAMING,
    at.Registration27007.SMS_ONLY_HOME: RegistrationState.HOME,
    at.Registration27007.SMS_ONLY_ROAMING: RegistrationState.ROAMING,
    at.Registration27007.EMERGENCY: RegistrationState.SEARCHING,
}


@dataclass(frozen=True, slots=True)
class Registration:
    """The best that any of the three registrations says; technology is empty when not told."""

    state: RegistrationState
    technology: str

    @property
    def registered(self) -> bool:
        """Whether there is service."""
        return self.state in (RegistrationState.HOME, RegistrationState.ROAMING)


@dataclass(frozen=True, slots=True)
class Signal:
    """Received power; None when the modem knows none."""

    dbm: int | None


@dataclass(frozen=True, slots=True)
class StoredSms:
    """A message in the modem's store. `data` is empty unless it is binary; `sender` if it cannot be read at all."""

    index: int
    memory: str
    sender: str
    data: bytes
    at: datetime | None
    part: sms_pdu.Part | None = None


@dataclass(frozen=True, slots=True)
class SmsArrived:
    """There is something new to read."""

    memory: str
    index: int


@dataclass(frozen=True, slots=True)
class ModemRestarted:
    """The modem has forgotten everything: connections are finished, the bearer has to be attached anew."""


ModemEvent = SmsArrived | SocketClosed | PdpLost | ModemRestarted


class _Gsm(GsmModem, Line):  # type: ignore[misc]  # the library has no types
    """The library on our line layer. Its connect() is not used: it talks before it has asked who is there."""

    def open(self) -> None:
        """Open the port."""
        Line.connect(self)

    def write(  # type: ignore[override]  # the library's two classes differ in this too
        self,
        data: str,
        waitForResponse: bool = True,  # noqa: N803  the library's names
        timeout: float = 10,
        parseError: bool = True,  # noqa: N803
        writeTerm: str = "\r",  # noqa: N803
        expectedResponseTermSeq: str | None = None,  # noqa: N803
    ) -> list[str] | None:
        """The library's own would ask a busy modem again for ever. A refusal is `AtError`, with `parseError` or not."""
        return Line.write(self, data + writeTerm, waitForResponse, timeout, expectedResponseTermSeq)


class Modem:
    """One modem, and nobody else at its port. Any thread may call; one request is under way at a time."""

    def __init__(self, gsm: _Gsm, identity: Identity) -> None:
        self._gsm = gsm
        self.identity = identity
        self._lock: threading.RLock = gsm.lock
        self._stack = STACKS[identity.stack](gsm)
        self._events: deque[ModemEvent] = deque(maxlen=EVENTS_MAX)
        self._needs_setup = True
        self._echoes = 0
        self._sms_ready = False
        self._memory = ""
        self._memories: list[str] = []
        gsm.listener = self._hear

    @classmethod
    def open(cls, port: Path, *, stack: str | None = None) -> Modem:
        """Open the port, ask who is there, and set the modem up if it is one of ours.

        `PortMissing`, `PortBusy`; `NotAModem`: then nothing but ATI was sent; other `ModemFault`s. `stack` names the
        family whose commands to use, for a known maker's model that is not in the list.
        """
        gsm = _Gsm(str(port))
        try:
            gsm.open()
            modem = cls(gsm, _identify(gsm, stack))
            with modem._ready():
                return modem
        except BaseException:
            gsm.close()
            raise

    def close(self) -> None:
        """Let the port go."""
        self._gsm.close()

    def sim(self) -> SimStatus:
        """The SIM's state; never changes it."""
        with self._ready():
            state = self._sim_state()
            tries = (
                None
                if state is SimState.ABSENT
                else self._first_of(_TRIES_COMMANDS[self.identity.stack], at.parse_tries)
            )
            iccid = self._iccid() if state not in (SimState.ABSENT, SimState.BROKEN) else None
            return SimStatus(state, tries, iccid)

    def enter_pin(self, pin: str) -> None:
        """One try. `SimLocked` when it is wrong, when a PUK is wanted, or untried when it would be the last one.

        Whoever calls remembers durably that a PIN was wrong for this SIM, and does not try it again.
        """
        if not re.fullmatch(r"\d{4,8}", pin, re.ASCII):
            raise SimLocked("a PIN is four to eight digits")
        with self._ready():
            status = self.sim()
            if status.state is SimState.READY:
                return
            if status.state is not SimState.PIN:
                raise SimLocked(f"no PIN helps here: {status.state.value}")
            if status.tries_left is not None and status.tries_left <= LAST_TRY:
                raise SimLocked(f"the PIN has {status.tries_left} try left: a technician enters it")
            try:
                self._gsm.exchange(f'AT+CPIN="{pin}"', SIM_S, shown="AT+CPIN=...")
            except AtError as error:
                raise SimLocked(f"the PIN was refused: {error.words}") from error

    def registration(self) -> Registration:
        """The best of circuit, GPRS and LTE registration, each asked for: a modem may know only some of them."""
        with self._ready():
            found = []
            for name in ("+CEREG", "+CGREG", "+CREG"):
                try:
                    state, technology = at.parse_registration(self._gsm.exchange(f"AT{name}?"), name)
                except AtError:
                    continue
                found.append(Registration(_REGISTRATION[state], technology))
            none = Registration(RegistrationState.NONE, "")
            return min(found, key=lambda registration: _PREFERENCE.index(registration.state), default=none)

    def signal(self) -> Signal:
        """The received power now."""
        with self._ready():
            try:
                return Signal(at.dbm_of(self._gsm.signalStrength))
            except CommandError as error:
                raise ModemGarbled("the modem does not tell the signal") from error

    def operator(self) -> str:
        """The network's name, empty when there is none."""
        with self._ready():
            return at.parse_cops(self._gsm.exchange("AT+COPS?"))

    def network_clock(self) -> datetime | None:
        """The network's time in UTC; None before the modem has heard one, or while it has no network."""
        if not self.registration().registered:
            return None
        with self._ready():
            try:
                return at.parse_clock(self._gsm.exchange("AT+CCLK?"))
            except AtError:
                return None

    @property
    def attached(self) -> bool:
        """Whether the data bearer is up, as far as the modem has told; a restart or the network may have ended it."""
        with self._ready():
            return self._stack.attached

    def attach(self, *, apn: str, user: str = "", password: str = "") -> None:
        """Make the data bearer anew; `RegistrationDenied`, `BearerLost` or another `ModemFault`."""
        if self.registration().state is RegistrationState.DENIED:
            raise RegistrationDenied("the network refuses this SIM or this modem: ask the operator, do not try on")
        with self._ready():
            self._stack.attach(apn, user, password)

    def detach(self) -> None:
        """Give the data bearer up; connections are finished."""
        with self._ready():
            self._stack.detach()

    def resolve(self, host: str) -> str:
        """The IPv4 address of `host` by the network's DNS; `SocketDown` when it has none."""
        with self._ready():
            return self._stack.resolve(host)

    def open_socket(self, host: str, port: int, *, timeout_s: float = CONNECT_S) -> ModemSocket:
        """A TCP connection over the bearer; `BearerLost`, `SocketDown` or another `ModemFault`."""
        with self._ready():
            return self._stack.open(host, port, timeout_s)

    def send_sms(self, number: str, data: bytes) -> int:
        """Send one binary message: the reference that its status report would carry.

        `AtError` when modem or network refuse it. After `ModemSilent` it may or may not have been sent.
        """
        submit = sms_pdu.encode_submit(number, data)
        with self._ready():
            self._prepare_sms()
            command = f"AT+CMGS={submit.length}"
            self._gsm.exchange(command, SMS_PROMPT_S, prompt=True)
            answer = self._gsm.deliver(f"{submit.pdu}{CTRL_Z}".encode("ascii"), SMS_SENT_S, command=command)
            return at.number(at.answer(answer, "+CMGS")[0])

    def read_sms(self) -> list[StoredSms]:
        """Every message in the modem's stores. Nothing is deleted: store first what you need, then `delete_sms`."""
        with self._ready():
            self._prepare_sms()
            found: list[StoredSms] = []
            for memory in self._memories:
                self._select(memory)
                listing = at.parse_cmgl(self._gsm.exchange("AT+CMGL=4", RADIO_S))
                found.extend(_stored(listed, memory) for listed in listing)
            return found

    def delete_sms(self, stored: StoredSms) -> None:
        """Free the place of a message that was read; one that is gone already is no error."""
        with self._ready():
            self._select(stored.memory)
            try:
                self._gsm.exchange(f"AT+CMGD={stored.index}")
            except AtError as error:
                if error.number not in (_CMS_INVALID_INDEX, _CME_INVALID_INDEX):
                    raise

    def ussd(self, code: str) -> str:
        """The network's answer to a code like *100#."""
        if not re.fullmatch(r"[0-9*#+]{1,40}", code, re.ASCII):
            raise ModemGarbled("a USSD code is digits, * and #")
        with self._ready():
            answer = self._gsm.exchange(f'AT+CUSD=1,"{code}",15', USSD_S)
            _, text = at.parse_cusd(self._gsm.await_line(r"\+CUSD: ?\d", USSD_S, answer).string)
            return text

    def poll(self, timeout_s: float) -> list[ModemEvent]:
        """What has happened, waiting for the first event up to `timeout_s`; `ModemGone` when the port is gone."""
        if not self._events:
            self._gsm.wait_for_line(timeout_s)
        with self._lock:
            self._gsm.pump()
            events = list(self._events)
            self._events.clear()
            return events

    def soft_reset(self) -> None:
        """Restart the modem and set it up; `ModemGone` when the port goes with it: find and open it anew."""
        with self._ready():
            self._forget("the modem was restarted")
            with suppress(ModemSilent):  # it may be quicker to restart than to say OK
                self._gsm.exchange("AT+CFUN=1,1", RADIO_S)
            self._gsm.await_line(at.RESTART, RESTART_S)
        with self._ready():
            return

    def radio_off_on(self) -> None:
        """Leave the network and come back: the step below a restart."""
        with self._ready():
            self._stack.forget(BearerLost("the radio was switched off"))
            self._gsm.exchange("AT+CFUN=0", RADIO_S)
            self._gsm.exchange("AT+CFUN=1", RADIO_S)
            self._sms_ready = False

    @contextmanager
    def _ready(self) -> Iterator[None]:
        """The port for one request, with all that the modem has said taken notice of, and the modem set up."""
        with self._lock:
            self._gsm.pump()
            if self._gsm.echoes != self._echoes and not self._needs_setup:
                self._hear("RDY")  # it echoes again, so it has restarted
            if self._needs_setup:
                self._set_up()
            yield

    def _set_up(self) -> None:
        """What a modem has to be told after each start."""
        self._needs_setup = False  # before, so that a restart in between sets it again
        try:
            self._gsm.exchange("ATE0")
            self._echoes = self._gsm.echoes
            self._gsm.exchange("AT+CMEE=1")
            for command in ("AT+CREG=2", "AT+CGREG=2", "AT+CEREG=2", _ZONE_COMMANDS[self.identity.stack]):
                self._stack.try_command(command)
            with suppress(AtError):  # without a SIM, or before its PIN; tried again when there is a message to handle
                self._prepare_sms()
        except ModemFault:
            self._needs_setup = True
            raise

    def _prepare_sms(self) -> None:
        """PDU mode, one store for what arrives, and a word for each arrival; the message itself stays in the store."""
        if self._sms_ready:
            return
        self._gsm.exchange("AT+CMGF=0")
        there = at.parse_memories(self._gsm.exchange("AT+CPMS=?"))
        self._memories = [memory for memory in ("ME", "SM") if memory in there] or there[:1]
        self._memory = self._memories[0]
        self._gsm.exchange("AT+CPMS=" + ",".join([f'"{self._memory}"'] * 3))
        self._gsm.exchange("AT+CNMI=2,1,0,0,0")
        self._sms_ready = True

    def _select(self, memory: str) -> None:
        if memory != self._memory:
            self._gsm.exchange(f"AT+CPMS={at.quoted(memory)}")
            self._memory = memory

    def _hear(self, line: str) -> None:
        """One line that the modem said by itself."""
        event: ModemEvent | None
        if at.is_restart(line):
            self._forget("the modem restarted")
            event = ModemRestarted()
        elif found := re.match(r'\+CMTI: ?"(\w+)", ?(\d{1,5})$', line, re.ASCII):
            event = SmsArrived(found[1], int(found[2]))
        else:
            event = self._stack.heard(line)
        if event:
            self._events.append(event)

    def _forget(self, why: str) -> None:
        self._needs_setup = True
        self._gsm.lose_step()  # half an answer from before may still come
        self._sms_ready = False
        self._stack.forget(BearerLost(why))

    def _sim_state(self) -> SimState:
        try:
            waits_for = at.parse_cpin(self._gsm.exchange("AT+CPIN?", SIM_S))
        except AtError as error:
            if error.kind == "CME" and error.number in _CME_SIM:
                return _CME_SIM[error.number]
            raise
        return _CPIN.get(waits_for, SimState.OTHER)

    def _iccid(self) -> str | None:
        found = self._first_of((_ICCID_COMMANDS[self.identity.stack],), lambda lines: at.parse_iccid(" ".join(lines)))
        return found or self._first_of(("AT+CRSM=176,12258,0,0,10",), at.parse_crsm_iccid)

    def _first_of(self, commands: tuple[str, ...], parse: Callable[[list[str]], T | None]) -> T | None:
        """What the first command tells that the modem knows and answers to the point; None if none does."""
        for command in commands:
            with suppress(AtError, ModemGarbled):
                if (found := parse(self._gsm.exchange(command))) is not None:
                    return found
        return None


def _identify(gsm: _Gsm, stack: str | None) -> Identity:
    """Ask who is there, and nothing more unless it is one of ours."""
    for tries_left in reversed(range(IDENTIFY_TRIES)):
        try:
            said = " ".join(gsm.probe("ATI", IDENTIFY_S)[:-1])
            break
        except AtError as error:
            raise NotAModem(f"the device does not say what it is ({error.words})") from error
        except ModemSilent:
            if not tries_left:
                raise
    else:
        raise AssertionError("the last try raises")
    family = next((family for pattern, family in _MODELS if pattern.search(said)), None)
    if family is None and _MAKERS.search(said):
        family = stack
    if family is None:
        raise NotAModem(f"the device is none of the modems known here; it says {said[:80]!r}")
    revision = re.sub(r"^(?:\+CGMR|Revision): ?", "", str(gsm.revision))
    return Identity(str(gsm.manufacturer), str(gsm.model), revision, str(gsm.imei), stack or family)


def _stored(listed: at.Listed, memory: str) -> StoredSms:
    """A message as far as it can be read; one that cannot is told too, or nobody would ever free its place."""
    try:
        message = sms_pdu.decode(listed.pdu)
    except sms_pdu.PduError:
        return StoredSms(listed.index, memory, "", b"", None)
    if not isinstance(message, sms_pdu.Deliver):
        return StoredSms(listed.index, memory, "", b"", None)
    data = message.data if message.coding is sms_pdu.Coding.OCTETS else b""
    return StoredSms(listed.index, memory, message.sender, data, message.at, message.part)
