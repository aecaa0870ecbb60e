"""The reader without a daemon: a `CardChannel` straight onto a simulated chip, for fast tests. Left out: presence
events.
"""

from __future__ import annotations

from drivers.channel import CardRemoved, ResolvingChannel
from sim.card.chip import PoweredCard


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
