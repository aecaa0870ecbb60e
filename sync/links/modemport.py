"""The one modem behind at-tcp and sms: found, opened, its SIM let in, its bearer up, and repaired when the policy says.

Left out: AT commands (`drivers.modem`), and deciding (`sync.policy`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Final, Protocol

from tenacity import Retrying, retry_if_result, stop_after_delay, wait_fixed

from drivers.modem import (
    ModemEvent,
    Registration,
    RegistrationState,
    Signal,
    SimState,
    SimStatus,
    StoredSms,
)
from drivers.modemfaults import (
    BearerLost,
    ModemFault,
    ModemGone,
    ModemSilent,
    PortMissing,
    RegistrationDenied,
    SimLocked,
)
from drivers.stacks.stack import ModemSocket
from sync.link import LinkDown
from sync.policy import Repair
from sync.store import UplinkStore

CONNECT_S: Final = 60.0
SEARCH_S: Final = 15.0  # a modem that was just switched on, or had its radio off
LOOK_S: Final = 0.5


class NoCoverage(LinkDown):
    """The modem is well and looks for a network."""

    code = "no-coverage"


class ModemDevice(Protocol):
    """What is used of `drivers.modem.Modem`."""

    def sim(self) -> SimStatus:
        """See `drivers.modem.Modem`, as for all below."""

    def enter_pin(self, pin: str) -> None: ...

    def registration(self) -> Registration: ...

    def signal(self) -> Signal: ...

    @property
    def attached(self) -> bool: ...

    def attach(self, *, apn: str, user: str = "", password: str = "") -> None: ...

    def detach(self) -> None: ...

    def open_socket(self, host: str, port: int, *, timeout_s: float = CONNECT_S) -> ModemSocket: ...

    def send_sms(self, number: str, data: bytes) -> int: ...

    def read_sms(self) -> list[StoredSms]: ...

    def delete_sms(self, stored: StoredSms) -> None: ...

    def poll(self, timeout_s: float) -> list[ModemEvent]: ...

    def soft_reset(self) -> None: ...

    def radio_off_on(self) -> None: ...

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """What the operator gave with the SIM; `pin` empty: none is wanted."""

    apn: str = ""
    user: str = ""
    password: str = field(default="", repr=False)
    pin: str = field(default="", repr=False)


class ModemPort:
    """Opens the modem when it is first needed, and again after it went away."""

    def __init__(
        self,
        find: Callable[[], ModemDevice],
        access: Access,
        *,
        store: UplinkStore,
        search_s: float = SEARCH_S,
    ) -> None:
        self._find = find
        self._access = access
        self._store = store
        self._modem: ModemDevice | None = None
        self._attached = False
        self._search_s = search_s

    def close(self) -> None:
        """Let the port go."""
        if self._modem is not None:
            self._modem.close()
        self._modem, self._attached = None, False

    @contextmanager
    def registered(self) -> Iterator[ModemDevice]:
        """The modem, with its SIM open and in a network.

        `SimLocked` and `RegistrationDenied` need a person; `NoCoverage` and other `LinkDown`s heal. A modem that went
        away is forgotten, so that the next use finds it anew, maybe under another name.
        """
        with self._faults():
            modem = self._opened()
            self._let_in(modem)
            state = registered(modem, self._search_s).state
            if state is RegistrationState.DENIED:
                raise RegistrationDenied(
                    "the network refuses this SIM: ask the operator whether it is blocked or unpaid"
                )
            if state not in (RegistrationState.HOME, RegistrationState.ROAMING):
                raise NoCoverage(f"the modem has no network: {state.value}")
            yield modem

    def connect(self, host: str, port: int) -> ModemLink:
        """A TCP connection by the modem's own stack."""
        with self.registered() as modem:
            if not (self._attached and modem.attached):
                modem.attach(apn=self._access.apn, user=self._access.user, password=self._access.password)
                self._attached = True
            return ModemLink(modem.open_socket(host, port, timeout_s=CONNECT_S), self._faults)

    def repair(self, repair: Repair) -> None:
        """Take the bearer down and up, the radio off and on, or restart the modem."""
        with self._faults():
            modem = self._opened()
            self._attached = False
            if repair is Repair.BEARER:
                modem.detach()
            elif repair is Repair.RADIO:
                modem.radio_off_on()
            else:
                modem.soft_reset()

    def events(self, timeout_s: float) -> list[ModemEvent]:
        """What a modem that is open has told since; while it is not, none, and `LinkDown` for who would wait."""
        if self._modem is None:
            if timeout_s > 0:
                raise LinkDown("the modem went away")
            return []
        with self._faults():
            return self._modem.poll(timeout_s)

    def seen(self) -> dict[str, str | int | None]:
        """Signal and SIM for whoever asks; nothing while the modem is not open."""
        if self._modem is None:
            return {}
        with self._faults():
            sim = self._modem.sim()
            registration = self._modem.registration()
            return {
                "signal_dbm": self._modem.signal().dbm,
                "sim": sim.state.value,
                "network": registration.state.value,
                "technology": registration.technology,
            }

    def _opened(self) -> ModemDevice:
        if self._modem is None:
            self._modem = self._find()
        return self._modem

    def _let_in(self, modem: ModemDevice) -> None:
        """Enter the PIN if the SIM wants one: never again what the SIM may have counted as wrong."""
        sim = modem.sim()
        if sim.state is SimState.READY:
            return
        if sim.state is not SimState.PIN:
            raise SimLocked(f"the SIM cannot be used: {sim.state.value}")
        if not self._access.pin:
            raise SimLocked("the SIM wants a PIN: put it into terminal.toml, [modem] pin")
        if sim.iccid is None:
            raise SimLocked("the SIM wants a PIN but does not tell its number: a technician enters it")
        digest = hashlib.sha256(f"{sim.iccid} {self._access.pin}".encode()).digest()
        before = self._store.refused_pin(sim.iccid)
        if before is not None and before[0] == digest and not _is_uncounted(before[1], sim.tries_left):
            raise SimLocked(
                "the SIM did not open with the PIN in terminal.toml before; it is not tried again: "
                "correct it, or switch the SIM's PIN off in a telephone"
            )
        # Before it is tried: a power cut must not try it twice.
        self._store.save_refused_pin(sim.iccid, digest, sim.tries_left)
        modem.enter_pin(self._access.pin)
        self._store.forget_refused_pin(sim.iccid)

    @contextmanager
    def _faults(self) -> Iterator[None]:
        """A modem's fault as the uplink knows faults."""
        try:
            yield
        except (SimLocked, RegistrationDenied):
            raise
        except (ModemGone, PortMissing) as error:
            self.close()
            raise LinkDown(str(error)) from error
        except ModemFault as error:
            if not error.retryable:
                raise
            if isinstance(error, BearerLost | ModemSilent):
                self._attached = False
            raise LinkDown(str(error)) from error


def _is_uncounted(before: int | None, now: int | None) -> bool:
    """Whether the SIM itself says that it has counted no wrong PIN since: the try was cut off, or it was right."""
    return before is not None and now is not None and now >= before


def registered(modem: ModemDevice, search_s: float) -> Registration:
    """How the modem stands with the network, once it had so long to find it."""
    retrying = Retrying(
        retry=retry_if_result(lambda found: found.state in (RegistrationState.SEARCHING, RegistrationState.NONE)),
        wait=wait_fixed(LOOK_S),  # not every modem tells by itself
        stop=stop_after_delay(search_s),
        retry_error_callback=lambda state: state.outcome.result() if state.outcome else modem.registration(),
    )
    found: Registration = retrying(modem.registration)
    return found


class ModemLink:
    """A modem's connection as a byte link, see `sync.link.Link`."""

    def __init__(self, socket: ModemSocket, faults: Callable[[], AbstractContextManager[None]]) -> None:
        self._socket = socket
        self._faults = faults

    @classmethod
    def plain(cls, socket: ModemSocket) -> ModemLink:
        """Without a port that heals itself: a fault is a broken link, and that is all."""
        return cls(socket, _broken)

    def send(self, data: bytes) -> None:
        """Hand `data` to the modem; only the server's receipt says that it arrived."""
        with self._faults():
            self._socket.send(data)

    def receive(self, timeout_s: float) -> bytes:
        """What has come, empty when nothing came in time."""
        with self._faults():
            return self._socket.receive(timeout_s)

    def close(self) -> None:
        """End the connection."""
        self._socket.close()


@contextmanager
def _broken() -> Iterator[None]:
    try:
        yield
    except ModemFault as error:
        raise LinkDown(str(error)) from error
