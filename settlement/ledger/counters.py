"""What a card's line of counters proves about taps whose outcome nobody saw: pure.

A card moves balance and counter together, so each count belongs to at most one debit, and the balances before and after
it say of how much. Left out: reading and booking (`settlement.ledger.unknown`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto


@dataclass(frozen=True, slots=True, kw_only=True)
class UnknownTap:
    """A tap with an unknown outcome: its suspense item, the journal it is from (terminal and epoch), its place there.

    `claimed` says that the books have its number or its PSAM's serial for something else already, or that its count was
    settled for another tap before this one was there to contradict. Amount, balance before it and time are its
    terminal's word.
    """

    item: int
    journal: tuple[bytes, int]
    seq: int
    amount_fen: int
    balance_fen: int | None
    at_utc_s: int
    claimed: bool = False


@dataclass(frozen=True, slots=True)
class Held:
    """What the purse held at a time, on the word of `terminal`; None: of the registry, which took the purse over."""

    fen: int
    at_utc_s: int
    terminal: bytes | None


@dataclass(frozen=True, slots=True)
class Load:
    """Money that came on the purse."""

    fen: int
    at_utc_s: int


@dataclass(frozen=True, slots=True)
class Later:
    """A proven purchase of the same card with a higher count, when the server received it, and the balance before."""

    entry: int
    received_at_utc_s: int
    counter: int
    held: Held | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """What the books have of one card around one count.

    `same`: the purchase with this very count; `later`: the next proven one; `before`: what was left after the proven
    purchase with the count before, or what the purse was taken over with at this one; `loads`: the posted ones
    from then on; `contested`: something else in suspense claims this count, too, or the purse was taken over with a
    higher one.
    """

    counter: int
    same: int | None
    later: Later | None
    before: Held | None = None
    loads: tuple[Load, ...] = ()
    contested: bool = False

    def loaded_fen(self, after_utc_s: int, until_utc_s: int) -> int:
        """What was loaded in between."""
        return sum(load.fen for load in self.loads if after_utc_s < load.at_utc_s <= until_utc_s)


class Awaited(Enum):
    """What has to come before a tap can be settled."""

    NEXT_USE = auto()  # any later purchase with the card
    OTHER_TERMINALS = auto()  # time enough for every terminal to bring this count, if it has it
    MISSING_TAPS = auto()  # what terminals are known to have, and what is not taken of a quarantined one
    PERSON = auto()  # counters alone cannot tell
    PERSON_BALANCE = auto()  # no other terminal tells the balance right before or right after
    PERSON_AMOUNT = auto()  # the claimed amount does not fit these balances


@dataclass(frozen=True, slots=True)
class NotExecuted:
    """None of the taps took money: the entry `evidence` has their count."""

    evidence: int


@dataclass(frozen=True, slots=True)
class Executed:
    """Tap `item` took its money: the card went on to the count in entry `evidence` with so much less."""

    item: int
    evidence: int


@dataclass(frozen=True, slots=True)
class Waiting:
    """Nothing is proven; `until_utc_s` where time alone is awaited."""

    awaited: Awaited
    until_utc_s: int | None = None


Decision = NotExecuted | Executed | Waiting


def decide(taps: Sequence[UnknownTap], line: Line, *, now_utc_s: int, outage_s: int, complete: bool) -> Decision:
    """What is proven about all unsettled unknown taps of one card at one count.

    A terminal that is cut off for `outage_s` at the most has brought whatever it has of this count by the time that the
    later purchase, which came after it, has been here so long. Of several taps in one journal only the last can have
    been executed, for the card showed it the same count again; of several journals nobody can tell. `complete`: no
    journal is known to hold taps that are not in the books.
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
    if not complete:
        return Waiting(Awaited.MISSING_TAPS)
    last = max(taps, key=lambda tap: tap.seq)
    doubt = _doubt(last, line, line.later)
    return Executed(last.item, line.later.entry) if doubt is None else Waiting(doubt)


def _doubt(tap: UnknownTap, line: Line, later: Later) -> Awaited | None:
    """What speaks against the claimed amount, or leaves it without proof.

    No TAC covers a balance: a terminal that lies about an amount can lie about the balances that it reads, too, so its
    own proves nothing for it. Nor does its own time, which chooses the loads.
    """
    before, after, terminal = line.before, later.held, tap.journal[0]
    if later.counter != line.counter + 1 or before is None or after is None or tap.balance_fen is None:
        return Awaited.PERSON_BALANCE
    if terminal in (before.terminal, after.terminal):
        return Awaited.PERSON_BALANCE
    by_others = before.fen + line.loaded_fen(before.at_utc_s, after.at_utc_s) - tap.amount_fen
    by_itself = tap.balance_fen + line.loaded_fen(tap.at_utc_s, after.at_utc_s) - tap.amount_fen
    return None if by_others == by_itself == after.fen else Awaited.PERSON_AMOUNT
