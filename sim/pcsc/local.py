"""The reader without a daemon: a `CardChannel` straight onto a simulated chip, presence events, and chips that are torn
at a chosen command. Left out: everything that PC/SC adds (`sim.pcsc.private`).
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum, auto
from typing import Final

from drivers.channel import CardChannel, CardMute, CardRemoved, ReaderFault, ReaderStuck, ResolvingChannel
from drivers.reader import CardLeft, CardPresented, CardSilent, ReaderEvent, ReaderFound, ReaderLost
from sim.card.chip import PoweredCard

ATR_BYTES_MAX: Final = 33  # ISO 7816-3: what answers more than this to reset does not answer as a card


class LocalSlot:
    """A slot in this process, a `RawCard` while a chip is in it."""

    def __init__(self) -> None:
        self._card: PoweredCard | None = None

    def insert(self, card: PoweredCard) -> None:
        """Put a chip in and power it."""
        card.reset()
        self._card = card

    def remove(self) -> None:
        """Take the chip out; it forgets its volatile state."""
        if self._card is not None:
            self._card.reset()
        self._card = None

    def transmit_raw(self, apdu: bytes) -> bytes:
        """One APDU to the chip; raises `CardRemoved` when there is none."""
        if self._card is None:
            raise CardRemoved("no card in the slot")
        return self._card.transmit_raw(apdu)


def local_channel(card: PoweredCard) -> ResolvingChannel:
    """A freshly powered chip as a `CardChannel`."""
    slot = LocalSlot()
    slot.insert(card)
    return ResolvingChannel(slot)


class Tear(Enum):
    """How a command is cut short."""

    BEFORE = auto()  # the card is gone before the command reaches it
    AFTER = auto()  # the card carries it out and is gone before its answer
    ANSWER_LOST = auto()  # the card carries it out; the reader fails


class TearableChip:
    """A powered chip that keeps every APDU it is sent and can be torn from the reader at one of them."""

    def __init__(self, chip: PoweredCard) -> None:
        self._chip = chip
        self.received: list[bytes] = []
        self._tear: tuple[int, Tear] | None = None
        self._torn = False

    @property
    def atr(self) -> bytes:
        """The answer to reset."""
        return self._chip.atr

    def tear(self, how: Tear, *, after: int = 0) -> None:
        """Tear the chip out once, at the command that follows `after` more."""
        self._tear = (after, how)

    def reset(self) -> None:
        """Power off, power on; also what brings a torn chip back."""
        self._torn = False
        self._chip.reset()

    def transmit_raw(self, apdu: bytes) -> bytes:
        """One APDU; raises `CardRemoved` or `ReaderFault` at the chosen command and until the next reset."""
        if self._torn:
            raise CardRemoved("the card was torn out")
        self.received.append(apdu)
        if self._tear is None or self._tear[0] > 0:
            self._tear = None if self._tear is None else (self._tear[0] - 1, self._tear[1])
            return self._chip.transmit_raw(apdu)
        how, self._tear, self._torn = self._tear[1], None, True
        if how is not Tear.BEFORE:
            self._chip.transmit_raw(apdu)
        self._chip.reset()
        raise ReaderFault("the answer was lost") if how is Tear.ANSWER_LOST else CardRemoved("the card was torn out")


class _Presentation:
    """One presentation of a chip, a `RawCard` until it ends."""

    def __init__(self, chip: PoweredCard, *, perhaps_same: bool = False) -> None:
        self.chip: Final = chip
        self.perhaps_same: Final = perhaps_same
        self.over = False
        self.stuck = False

    @property
    def silent(self) -> bool:
        return len(self.chip.atr) > ATR_BYTES_MAX

    def transmit_raw(self, apdu: bytes) -> bytes:
        if self.over:
            raise CardRemoved("the card left the reader")
        if self.stuck:
            raise ReaderStuck("the reader carries no command to its card")
        return self.chip.transmit_raw(apdu)


_Seen = tuple[_Presentation | None, ReaderFault | None]


class LocalReader:
    """A `Reader` in this process. Its owner inserts and removes chips, or loses the reader itself, from any thread."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._present: _Presentation | None = None
        self._fault: ReaderFault | None = None
        self._stuck = False
        self._stopped = False
        self._connected = False

    def insert(self, chip: PoweredCard) -> None:
        """Put a chip on the reader, which must be empty."""
        with self._changed:
            assert self._present is None, "a chip is still on the reader"
            chip.reset()
            self._present = _Presentation(chip)
            self._changed.notify_all()

    def remove(self) -> None:
        """Take the chip off, if there is one; open channels to it are finished."""
        with self._changed:
            if self._present is not None:
                self._present.over = True
                self._present.chip.reset()
                self._present = None
            self._changed.notify_all()

    def repower(self) -> None:
        """Report the chip anew though it never left, as contactless readers do after powering it down."""
        with self._changed:
            assert self._present is not None, "no chip on the reader"
            self._present = _Presentation(self._present.chip, perhaps_same=True)
            self._changed.notify_all()

    def stick(self, stuck: bool) -> None:
        """From the next connection on, carry no command to the chip; or carry them again."""
        self._stuck = stuck

    def lose(self, fault: ReaderFault) -> None:
        """The reader cannot be reached until `find`; open channels are finished."""
        with self._changed:
            self._fault = fault
            if self._present is not None:
                self._present.over = True
                self._present = _Presentation(self._present.chip, perhaps_same=True)
            self._changed.notify_all()

    def find(self) -> None:
        """The reader is back."""
        with self._changed:
            self._fault = None
            self._changed.notify_all()

    def events(self) -> Iterator[ReaderEvent]:
        """All that happens from now on, `ReaderFound` or `ReaderLost` first; ends after `stop`."""
        known: _Seen | None = None
        while True:
            with self._changed:
                while not self._stopped and (self._present, self._fault) == known:
                    self._changed.wait()
                if self._stopped:
                    return
                before, known = known, (self._present, self._fault)
            yield from _told(before, known)

    @contextmanager
    def connect(self) -> Iterator[CardChannel]:
        """Power the present card and talk to it alone; raises `CardRemoved` or `ReaderFault`."""
        presentation = self._take()
        try:
            presentation.chip.reset()
            yield ResolvingChannel(presentation)
        finally:
            presentation.chip.reset()
            self._connected = False

    def stop(self) -> None:
        """End `events`, from any thread."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def _take(self) -> _Presentation:
        with self._changed:
            if self._fault is not None:
                raise self._fault
            if self._present is None:
                raise CardRemoved("no card on the reader")
            if self._present.silent:
                raise CardMute("what is on the reader does not answer")
            if self._connected:
                raise ReaderFault("somebody else talks to the card")
            self._connected = True
            self._present.stuck = self._stuck
            return self._present


def _told(before: _Seen | None, now: _Seen) -> Iterator[ReaderEvent]:
    """The events between two states of a reader; the card is told anew when the reader is found again."""
    present, fault = now
    if fault is not None:
        yield ReaderLost(str(fault), fault.code)
        return
    was_there = before is not None and before[1] is None
    if not was_there:
        yield ReaderFound()
    known = before[0] if before is not None and was_there else None
    if known is not None and known is not present:
        yield CardLeft()
    if present is not None and present is not known:
        yield CardSilent() if present.silent else CardPresented(present.chip.atr, present.perhaps_same)
