"""A card reader behind PC/SC: presence events and an exclusive channel. The only module that knows pyscard.

pyscard's own monitor thread dies unseen when the reader or pcscd goes away, so events come from SCardGetStatusChange
here, in whatever thread iterates them, and every error is either recovered from or told as `ReaderLost`.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, Self

from smartcard import scard

from drivers.channel import (
    CardChannel,
    CardMute,
    CardRemoved,
    ReaderFault,
    ReaderMissing,
    ReaderServiceDown,
    ReaderStuck,
    ResolvingChannel,
)
from drivers.reader import CardLeft, CardPresented, CardSilent, ReaderEvent, ReaderFound, ReaderLost
from wire.errors import CampusError

_STATUS_WAIT_MS: Final = 500  # how long `stop` may go unheard
_SETTLING_WAITS: Final = 2  # quiet waits until a card that was powered down has been reported anew, or never will be
_HEADER_BYTES: Final = 4
_STATUS_WORD_BYTES: Final = 2
_RETRY_S: Final = 1.0  # between looks for a reader that is not there
_PROTOCOLS: Final = scard.SCARD_PROTOCOL_T0 | scard.SCARD_PROTOCOL_T1
_NOT_CARRIED_MAX: Final = 2  # one may be a card that moved; a second one with a powered card is the reader

_FAULTS: Final[dict[int, type[CampusError]]] = {
    scard.SCARD_W_REMOVED_CARD: CardRemoved,
    scard.SCARD_E_NO_SMARTCARD: CardRemoved,
    scard.SCARD_W_RESET_CARD: CardRemoved,
    scard.SCARD_W_UNPOWERED_CARD: CardMute,
    scard.SCARD_W_UNRESPONSIVE_CARD: CardMute,
    scard.SCARD_E_PROTO_MISMATCH: CardMute,  # an ATR that names no protocol, as two cards at once make it up
    scard.SCARD_E_UNKNOWN_READER: ReaderMissing,
    scard.SCARD_E_READER_UNAVAILABLE: ReaderMissing,
    scard.SCARD_E_NO_READERS_AVAILABLE: ReaderMissing,
    scard.SCARD_E_NO_SERVICE: ReaderServiceDown,
    scard.SCARD_E_SERVICE_STOPPED: ReaderServiceDown,
    scard.SCARD_F_COMM_ERROR: ReaderServiceDown,
}


class PcscReader:
    """The reader that PC/SC knows by `name`."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._stopped = threading.Event()
        # Set by whoever connects, counted down by whoever iterates `events`; a wait more or less does no harm.
        self._settling = 0
        self._not_carried = _NotCarried()

    def events(self) -> Iterator[ReaderEvent]:
        """Presence as PC/SC reports it, through any number of losses of reader or pcscd."""
        told = ""
        while not self._stopped.is_set():
            try:
                with _context() as context:
                    for event in self._watch(context):
                        if isinstance(event, ReaderFound):
                            self._settling = _SETTLING_WAITS if told else 0
                            told = ""
                        yield event
            except (ReaderFault, CardRemoved) as fault:
                if str(fault) != told:
                    told = str(fault)
                    yield ReaderLost(told, fault.code)
                self._stopped.wait(_RETRY_S)

    @contextmanager
    def connect(self) -> Iterator[CardChannel]:
        """The present card, exclusively; it is powered down afterwards, which ends whatever it had begun."""
        with _context() as context:
            hresult, handle, protocol = scard.SCardConnect(context, self._name, scard.SCARD_SHARE_EXCLUSIVE, _PROTOCOLS)
            _check(hresult, "connecting to the card")
            card = _PcscCard(handle, protocol, self._not_carried)
            try:
                yield ResolvingChannel(card)
            finally:
                scard.SCardDisconnect(handle, scard.SCARD_UNPOWER_CARD)
                self._settling = _SETTLING_WAITS if card.fault is None else 0

    def stop(self) -> None:
        """End `events` within half a second."""
        self._stopped.set()

    def _watch(self, context: object) -> Iterator[ReaderEvent]:
        """Events until PC/SC fails (`ReaderFault`) or `stop`."""
        state, before, found = scard.SCARD_STATE_UNAWARE, _Presence(), False
        while not self._stopped.is_set():
            hresult, states = scard.SCardGetStatusChange(context, _STATUS_WAIT_MS, [(self._name, state)])
            if hresult == scard.SCARD_E_TIMEOUT:
                self._settling = max(0, self._settling - 1)
                continue
            _check(hresult, f"watching {self._name}")
            _, state, atr = states[0]
            if state & (scard.SCARD_STATE_UNKNOWN | scard.SCARD_STATE_UNAVAILABLE):
                raise ReaderMissing(f"the reader {self._name!r} is not there; {_readers(context)}")
            if not found:
                found = True
                yield ReaderFound()
            now = _Presence.of(state, bytes(atr))
            yield from now.told_after(before, perhaps_same=self._settling > 0)
            before = now


@dataclass(frozen=True, slots=True)
class _Presence:
    """What lies on a reader. The upper half of PC/SC's state counts insertions and removals, so that a swap too quick
    to be seen still shows; another ATR is another card, or two.
    """

    changes: int = 0
    present: bool = False
    silent: bool = False
    atr: bytes = b""

    @classmethod
    def of(cls, state: int, atr: bytes) -> Self:
        """As SCardGetStatusChange tells it."""
        present = bool(state & scard.SCARD_STATE_PRESENT)
        return cls(state >> 16, present, present and bool(state & scard.SCARD_STATE_MUTE), atr)

    def told_after(self, before: _Presence, *, perhaps_same: bool) -> Iterator[ReaderEvent]:
        """The events between that moment and this one."""
        if before.present and self != before:
            yield CardLeft()
        if self.present and self != before:
            yield CardSilent() if self.silent else CardPresented(self.atr, perhaps_same)


@dataclass(slots=True)
class _NotCarried:
    """How many commands in a row the reader did not carry to a card that was there, over all connections."""

    in_a_row: int = 0


class _PcscCard:
    """A connected card as raw APDUs; `fault` is what ended it."""

    def __init__(self, handle: object, protocol: int, not_carried: _NotCarried) -> None:
        self._handle = handle
        self._pci = scard.SCARD_PCI_T0 if protocol == scard.SCARD_PROTOCOL_T0 else scard.SCARD_PCI_T1
        self._not_carried = not_carried
        self.fault: CampusError | None = None

    def transmit_raw(self, apdu: bytes) -> bytes:
        """One APDU there and back; raises `CardRemoved` or `ReaderFault`, and the same ever after."""
        if self.fault is not None:
            raise self.fault
        command = without_le(apdu) if self._pci == scard.SCARD_PCI_T0 else apdu
        hresult, answer = scard.SCardTransmit(self._handle, self._pci, list(command))
        if hresult == scard.SCARD_S_SUCCESS and len(answer) < _STATUS_WORD_BYTES:
            hresult = scard.SCARD_E_NOT_TRANSACTED  # drivers differ in how they report silence
        if hresult != scard.SCARD_S_SUCCESS:
            self.fault = self._explain(hresult)
            raise self.fault
        self._not_carried.in_a_row = 0
        return bytes(answer)

    def _explain(self, hresult: int) -> CampusError:
        """80100016 may be a card on its way out or a reader that sticks; only powering the card anew tells."""
        doing = "talking to the card"
        if hresult != scard.SCARD_E_NOT_TRANSACTED:
            return _fault(hresult, doing)
        again, _ = scard.SCardReconnect(self._handle, scard.SCARD_SHARE_EXCLUSIVE, _PROTOCOLS, scard.SCARD_UNPOWER_CARD)
        if again != scard.SCARD_S_SUCCESS:
            fault = _fault(again, doing)
            return CardRemoved(str(fault)) if isinstance(fault, CardRemoved) else fault
        self._not_carried.in_a_row += 1
        if self._not_carried.in_a_row < _NOT_CARRIED_MAX:
            return _fault(hresult, doing)
        return ReaderStuck(f"the reader does not carry commands to a card that is there ({_hex(hresult)})")


def without_le(apdu: bytes) -> bytes:
    """The APDU as T=0 carries it (ISO 7816-3, 12.2.4): a command with data has no Le, its answer is fetched."""
    if len(apdu) <= _HEADER_BYTES + 1:
        return apdu
    return apdu[: _HEADER_BYTES + 1 + apdu[_HEADER_BYTES]]


@contextmanager
def _context() -> Iterator[object]:
    hresult, context = scard.SCardEstablishContext(scard.SCARD_SCOPE_SYSTEM)
    _check(hresult, "reaching the smart card service pcscd")
    try:
        yield context
    finally:
        scard.SCardReleaseContext(context)


def _readers(context: object) -> str:
    """What a technician needs to put the right name into the configuration."""
    hresult, names = scard.SCardListReaders(context, [])
    if hresult != scard.SCARD_S_SUCCESS or not names:
        return "no reader is plugged in"
    return f"there is {', '.join(map(repr, names))}"


def _check(hresult: int, doing: str) -> None:
    if hresult != scard.SCARD_S_SUCCESS:
        raise _fault(hresult, doing)


def _fault(hresult: int, doing: str) -> CampusError:
    text = f"{doing} failed: {scard.SCardGetErrorMessage(hresult)} ({_hex(hresult)})"
    return _FAULTS.get(hresult, ReaderFault)(text)


def _hex(hresult: int) -> str:
    return f"{hresult & 0xFFFFFFFF:08X}"
