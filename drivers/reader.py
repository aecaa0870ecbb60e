"""What a card reader tells its owner, and what can be asked of it; `drivers.pcsc` is the real one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from drivers.channel import CardChannel


@dataclass(frozen=True, slots=True)
class CardPresented:
    """A card is in the field or the slot and answers; `atr` is its answer to reset.

    `perhaps_same`: it may be the card from before, which never left, for it came right after `connect` ended, or after
    a lost reader was found. Powering a card down makes contactless readers report it anew.
    """

    atr: bytes
    perhaps_same: bool = False


@dataclass(frozen=True, slots=True)
class CardSilent:
    """Something is there that does not answer: held askew, two cards at once, or no chip; `CardLeft` when it goes."""


@dataclass(frozen=True, slots=True)
class CardLeft:
    """The card that was presented, or silent, is gone."""


@dataclass(frozen=True, slots=True)
class ReaderLost:
    """The reader, or the service that drives it, cannot be reached; `code` is the fault's, as DRIVERS.md lists them."""

    why: str
    code: str


@dataclass(frozen=True, slots=True)
class ReaderFound:
    """The reader is there, at the start or again."""


ReaderEvent = CardPresented | CardSilent | CardLeft | ReaderLost | ReaderFound


class Reader(Protocol):
    """One slot that cards come to."""

    def events(self) -> Iterator[ReaderEvent]:
        """All that happens from now on, `ReaderFound` or `ReaderLost` first; ends after `stop`."""
        ...

    def connect(self) -> AbstractContextManager[CardChannel]:
        """Power the present card and talk to it alone; raises `CardRemoved` or `ReaderFault`, or what is below them."""
        ...

    def stop(self) -> None:
        """End `events` soon, from any thread."""
        ...
