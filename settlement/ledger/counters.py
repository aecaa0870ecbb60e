"""What a card's line of counters proves about taps whose outcome nobody saw: pure.

A card moves balance and counter together, so each count belongs to at most one debit. Left out: reading and booking
(`settlement.ledger.unknown`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto


@dataclass(frozen=True, slots=True, kw_only=True)
class UnknownTap:
    """A tap with an unknown outcome: its suspense item, the journal it is from (terminal and epoch), its place there.

    `claimed` says that the books have its number or its PSAM's serial for something else already, or that its count was
    settled for another tap before this one was there to contradict.
    """

    item: int
    journal: tuple[bytes, int]
    seq: int
    claimed: bool = False


@dataclass(frozen=True, slots=True)
class Later:
    """A proven purchase of the same card with a higher count, and when the server received it."""

    entry: int
    received_at_utc_s: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """What the books have of one card around one count.

    `same`: the purchase with this very count; `later`: the next proven one; `contested`: something else in suspense
    claims this count, too, or the purse was taken over with a higher one.
    """

    same: int | None
    later: Later | None
    contested: bool = False


class Awaited(Enum):
    """What has to come before a tap can be settled."""

    NEXT_USE = auto()  # any later purchase with the card
    OTHER_TERMINALS = auto()  # time enough for every terminal to bring this count, if it has it
    PERSON = auto()  # counters alone cannot tell


@dataclass(frozen=True, slots=True)
class NotExecuted:
    """None of the taps took money: the entry `evidence` has their count."""

    evidence: int


@dataclass(frozen=True, slots=True)
class Executed:
    """Tap `item` took its money: the card went on to the count in entry `evidence`, and nobody else has this one."""

    item: int
    evidence: int


@dataclass(frozen=True, slots=True)
class Waiting:
    """Nothing is proven; `until_utc_s` where time alone is awaited."""

    awaited: Awaited
    until_utc_s: int | None = None


Decision = NotExecuted | Executed | Waiting


def decide(taps: Sequence[UnknownTap], line: Line, *, now_utc_s: int, outage_s: int) -> Decision:
    """What is proven about all unsettled unknown taps of one card at one count.

    A terminal that is cut off for `outage_s` at the most has brought whatever it has of this count by the time that the
    later purchase, which came after it, has been here so long. Of several taps in one journal only the last can have
    been executed, for the card showed it the same count again; of several journals nobody can tell.
    """
    if any(tap.claimed for tap in taps):
        return Waiting(Awaited.PERSON)
    if line.same is not None:
        return NotExecuted(line.same)
    if line.contested or len({tap.journal for tap in taps}) > 1:
        return Waiting(Awaited.PERSON)
    if line.later is None:
        return Waiting(Awaited.NEXT_USE)
    until_utc_s = line.later.received_at_utc_s + outage_s
    if now_utc_s < until_utc_s:
        return Waiting(Awaited.OTHER_TERMINALS, until_utc_s)
    return Executed(max(taps, key=lambda tap: tap.seq).item, line.later.entry)
