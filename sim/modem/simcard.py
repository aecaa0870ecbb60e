"""A SIM card as the modem sees it: who it is, PIN and PUK with tries, messages. Left out: the card's own APDUs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from sim.carrier.bearer import Subscription

PIN_TRIES: Final = 3
PUK_TRIES: Final = 10
MESSAGES_MAX: Final = 20  # a small SIM of the field; full stores are what it is for


class SimState(Enum):
    """What +CPIN? answers."""

    READY = "READY"
    PIN = "SIM PIN"
    PUK = "SIM PUK"
    DEAD = "SIM failure"  # the PUK's tries are used up
    ABSENT = "absent"


class Status(Enum):
    """A stored message's state, as (number in PDU mode, word in text mode)."""

    REC_UNREAD = (0, "REC UNREAD")
    REC_READ = (1, "REC READ")
    STO_UNSENT = (2, "STO UNSENT")
    STO_SENT = (3, "STO SENT")


@dataclass(slots=True)
class Stored:
    """A message in a store: the service centre's address as 27.005 puts it first, and the TPDU."""

    status: Status
    smsc: bytes
    tpdu: bytes


class Store:
    """Messages by index from 1 (SM) on; a free place is used again."""

    def __init__(self, capacity: int, first: int = 1) -> None:
        self.capacity = capacity
        self.first = first
        self.messages: dict[int, Stored] = {}
        self.on_free: Callable[[], None] = lambda: None

    @property
    def used(self) -> int:
        """How many there are."""
        return len(self.messages)

    def put(self, message: Stored) -> int | None:
        """The index it got; None: the store is full."""
        for index in range(self.first, self.first + self.capacity):
            if index not in self.messages:
                self.messages[index] = message
                return index
        return None

    def delete(self, index: int) -> bool:
        """Whether it was there."""
        found = self.messages.pop(index, None) is not None
        if found:
            self.on_free()
        return found


@dataclass(slots=True)
class SimCard:
    """A SIM; what it holds survives the modem's restarts. `number` is None on cards that do not know their own."""

    number: str = "+8613900000001"
    iccid: str = "89860012345678901234"
    imsi: str = "460001234567890"
    pin: str = "1234"
    puk: str = "12345678"
    pin_enabled: bool = False
    smsc: str = "+8613800100500"
    smsc_known: bool = True
    knows_number: bool = True
    operator_plmn: str = "46000"
    pin_tries: int = PIN_TRIES
    puk_tries: int = PUK_TRIES
    verified: bool = False  # since power-on
    subscription: Subscription = field(default_factory=Subscription)
    store: Store = field(default_factory=lambda: Store(MESSAGES_MAX))

    @property
    def state(self) -> SimState:
        """What it asks for now."""
        if self.puk_tries == 0:
            return SimState.DEAD
        if self.pin_tries == 0:
            return SimState.PUK
        return SimState.PIN if self.pin_enabled and not self.verified else SimState.READY

    def verify(self, pin: str) -> bool:
        """Try a PIN; a wrong one costs a try."""
        if self.pin_tries == 0:
            return False
        if pin != self.pin:
            self.pin_tries -= 1
            return False
        self.pin_tries, self.verified = PIN_TRIES, True
        return True

    def unblock(self, puk: str, pin: str) -> bool:
        """Try a PUK, and set a new PIN; a wrong one costs one of ten tries."""
        if self.puk_tries == 0:
            return False
        if puk != self.puk:
            self.puk_tries -= 1
            return False
        self.pin, self.pin_tries, self.puk_tries = pin, PIN_TRIES, PUK_TRIES
        self.pin_enabled = self.verified = True
        return True
