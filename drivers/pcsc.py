"""A card reader behind PC/SC: presence events and an exclusive channel. The only module that knows pyscard.

pyscard's own monitor thread dies unseen when the reader or pcscd goes away, so events come from SCardGetStatusChange
here, in whatever thread iterates them, and every error is either recovered from or told as `ReaderLost`.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from smartcard import scard

from drivers.channel import CardChannel, CardRemoved, ReaderFault, ResolvingChannel
from drivers.reader import CardLeft, CardPresented, ReaderEvent, ReaderFound, ReaderLost

_STATUS_WAIT_MS: Final = 500  # how long `stop` may go unheard
_HEADER_BYTES: Final = 4
_RETRY_S: Final = 1.0  # between looks for a reader that is not there
_CARD_GONE: Final = frozenset(
    {
        scard.SCARD_W_REMOVED_CARD,
        scard.SCARD_E_NO_SMARTCARD,
        scard.SCARD_W_RESET_CARD,
        scard.SCARD_W_UNPOWERED_CARD,
        scard.SCARD_W_UNRESPONSIVE_CARD,
    }
)


class PcscReader:
    """The reader that PC/SC knows by `name`."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._stopped = threading.Event()

    def events(self) -> Iterator[ReaderEvent]:
        """Presence as PC/SC reports it, through any number of losses of reader or pcscd."""
        told = ""
        while not self._stopped.is_set():
            try:
                with _context() as context:
                    for event in self._watch(context):
                        told = "" if isinstance(event, ReaderFound) else told
                        yield event
            except (ReaderFault, CardRemoved) as fault:
                if str(fault) != told:
                    told = str(fault)
                    yield ReaderLost(told)
                self._stopped.wait(_RETRY_S)

    @contextmanager
    def connect(self) -> Iterator[CardChannel]:
        """The present card, exclusively; it is powered down afterwards, which ends whatever it had begun."""
        with _context() as context:
            hresult, card, protocol = scard.SCardConnect(
                context,
                self._name,
                scard.SCARD_SHARE_EXCLUSIVE,
                scard.SCARD_PROTOCOL_T0 | scard.SCARD_PROTOCOL_T1,
            )
            _check(hresult, "connecting to the card")
            try:
                yield ResolvingChannel(_PcscCard(card, protocol))
            finally:
                scard.SCardDisconnect(card, scard.SCARD_UNPOWER_CARD)

    def stop(self) -> None:
        """End `events` within half a second."""
        self._stopped.set()

    def _watch(self, context: object) -> Iterator[ReaderEvent]:
        """Events until PC/SC fails (`ReaderFault`) or `stop`."""
        state, present, found = scard.SCARD_STATE_UNAWARE, False, False
        changes = 0
        while not self._stopped.is_set():
            hresult, states = scard.SCardGetStatusChange(context, _STATUS_WAIT_MS, [(self._name, state)])
            if hresult == scard.SCARD_E_TIMEOUT:
                continue
            _check(hresult, f"watching {self._name}")
            _, state, atr = states[0]
            if state & (scard.SCARD_STATE_UNKNOWN | scard.SCARD_STATE_UNAVAILABLE):
                raise ReaderFault(f"the reader {self._name!r} is not there")
            if not found:
                found = True
                yield ReaderFound()
            # The upper half counts insertions and removals, so a swap too quick to be seen still shows.
            swapped, changes = present and state >> 16 != changes, state >> 16
            now_present = bool(state & scard.SCARD_STATE_PRESENT) and not state & scard.SCARD_STATE_MUTE
            if present and (swapped or not now_present):
                yield CardLeft()
            if now_present and (swapped or not present):
                yield CardPresented(bytes(atr))
            present = now_present


class _PcscCard:
    """A connected card as raw APDUs."""

    def __init__(self, card: object, protocol: int) -> None:
        self._card = card
        self._pci = scard.SCARD_PCI_T0 if protocol == scard.SCARD_PROTOCOL_T0 else scard.SCARD_PCI_T1

    def transmit_raw(self, apdu: bytes) -> bytes:
        """One APDU there and back; raises `CardRemoved` or `ReaderFault`."""
        command = without_le(apdu) if self._pci == scard.SCARD_PCI_T0 else apdu
        hresult, answer = scard.SCardTransmit(self._card, self._pci, list(command))
        _check(hresult, "talking to the card")
        return bytes(answer)


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


def _check(hresult: int, doing: str) -> None:
    if hresult == scard.SCARD_S_SUCCESS:
        return
    text = f"{doing} failed: {scard.SCardGetErrorMessage(hresult)} ({hresult & 0xFFFFFFFF:08X})"
    raise CardRemoved(text) if hresult in _CARD_GONE else ReaderFault(text)
