"""What both ends of a journal know before its record n, and what the coding of record n may refer to.

A pure function of the records in [`window_start(n)`, n): the cards in the order in which they first came, each with the
balance and counter that it should have next, the prices by how often they were paid, and where serial number and clock
stand. Terminal and server come to the same state from different places: by going on record by record, or from the
window's records alone. How a record refers to it is `wire.rows`' matter.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Final, Self

from wire.record import LAYOUT, Outcome

WINDOW_TAPS: Final = 16_384  # one to two of these count: weeks of a canteen, read again in a tenth of a second
PRICES_MAX: Final = 252  # as many as the code for a price's rank has numbers
RANKED_TAPS: Final = 256  # prices are put in order anew before each multiple of this, and at the window's step

_DEBITED: Final = int(Outcome.DEBITED)


def window_start(seq: int) -> int:
    """The first record that the state before record `seq` depends on."""
    return max(1, seq - seq % WINDOW_TAPS - WINDOW_TAPS)


class CodingState:
    """The state before record `seq`; begins at a journal's record 1.

    `cards[i]` (issuer and ASN) should come next with `balances[i]` and `counters[i]`, and has come since the window's
    last step if `i` is in `fresh`, in which the first to come is first; `prices[r]` is the r-th most frequent one. The
    rest is what the record before said: `ttsn` (the last that was drawn), boot, uptime, quality, and the wall clock's
    offset to the uptime.
    """

    __slots__ = (
        "_paid",
        "_paid_fresh",
        "_ttsn_seq",
        "balances",
        "boot",
        "cards",
        "counters",
        "fresh",
        "index",
        "offset_s",
        "prices",
        "quality",
        "ranks",
        "seq",
        "ttsn",
        "uptime_s",
    )

    def __init__(self, seq: int = 1) -> None:
        self.seq = seq
        self.cards: list[bytes] = []
        self.balances: list[int] = []
        self.counters: list[int] = []
        self.index: dict[bytes, int] = {}
        self.prices: list[int] = []
        self.ranks: dict[int, int] = {}
        self.ttsn = self.boot = self.uptime_s = self.offset_s = self.quality = 0
        self._ttsn_seq = 0
        self._paid: dict[int, int] = {}
        # What will be left when the window takes its next step, of the records since the last one.
        self.fresh: dict[int, None] = {}
        self._paid_fresh: dict[int, int] = {}

    @classmethod
    def before(cls, seq: int, window: Iterable[bytes]) -> Self:
        """The state before record `seq`, from the canonical records `window_start(seq)` up to it."""
        state = cls(window_start(seq))
        for canonical in window:
            state.advance_canonical(canonical)
        assert state.seq == seq, f"the window ends before record {state.seq}, not {seq}"
        return state

    def copy(self) -> Self:
        """The same state, to go on from without this one."""
        twin = type(self)(self.seq)
        for name in self.__slots__:
            value = getattr(self, name)
            setattr(twin, name, value.copy() if isinstance(value, list | dict) else value)
        return twin

    def advance_canonical(self, canonical: bytes) -> None:
        """Go on by one record, given as its canonical bytes."""
        _, _, _, _, _, outcome, _, _, card, amount_fen, subsidy_fen, _, *rest = LAYOUT.unpack(canonical)
        balance_fen, counter, ttsn, _, _, utc_s, boot, uptime_s, quality = rest
        self.advance(
            outcome,
            card,
            self.index.get(card, -1),
            amount_fen,
            subsidy_fen,
            balance_fen,
            counter,
            ttsn,
            utc_s,
            boot,
            uptime_s,
            quality,
        )

    def advance(
        self,
        outcome: int,
        card: bytes,
        index: int,
        amount_fen: int,
        subsidy_fen: int,
        balance_fen: int,
        counter: int,
        ttsn: int,
        utc_s: int,
        boot: int,
        uptime_s: int,
        quality: int,
    ) -> None:
        """Go on by one record, given by its fields; `index` is the card's, -1 if it is new. Once for every record."""
        if index < 0:
            index = len(self.cards)
            self.index[card] = index
            self.cards.append(card)
            self.balances.append(balance_fen)
            self.counters.append(counter)
        elif balance_fen != (foretold_fen := self.balances[index]):
            self._count(abs(balance_fen - foretold_fen), fresh=index in self.fresh)
        if outcome == _DEBITED:
            self.balances[index] = (balance_fen - amount_fen) & 0xFFFF_FFFF
            self.counters[index] = (counter + 1) & 0xFFFF
        else:
            self.balances[index] = balance_fen
            self.counters[index] = counter
        self.fresh[index] = None
        self._count(amount_fen + subsidy_fen, fresh=True)
        if subsidy_fen and amount_fen:
            self._count(subsidy_fen, fresh=True)
        if ttsn:
            self.ttsn, self._ttsn_seq = ttsn, self.seq
        self.boot, self.uptime_s, self.offset_s, self.quality = boot, uptime_s, utc_s - uptime_s, quality
        self.seq += 1
        if not self.seq % RANKED_TAPS:
            if not self.seq % WINDOW_TAPS:
                self._step()
            self._rank()

    def advance_run(self, taps: int, uptime_s: int, paid_fen: list[int], stale_fen: list[int]) -> None:
        """What `advance` does after so many usual taps, whose cards and prices were known, before the next ranking.

        `balances`, `counters` and `fresh` are as after them already. `paid_fen` are the prices that were paid, here or
        elsewhere, in their order; `stale_fen` those that were paid elsewhere by cards that were not fresh.
        """
        if not taps:
            return
        self.seq += taps
        self.ttsn += taps
        self._ttsn_seq, self.uptime_s = self.seq - 1, uptime_s
        paid, paid_fresh = self._paid, self._paid_fresh
        for amount_fen in stale_fen:
            paid[amount_fen] += 1
        for amount_fen, times in Counter(paid_fen).items():
            paid[amount_fen] += times
            if amount_fen in paid_fresh:
                paid_fresh[amount_fen] += times
            elif len(paid_fresh) < PRICES_MAX:
                paid_fresh[amount_fen] = times

    def _count(self, amount_fen: int, *, fresh: bool) -> None:
        paid = self._paid
        if amount_fen in paid:
            paid[amount_fen] += 1
        elif len(paid) < PRICES_MAX:
            paid[amount_fen] = 1
            self.ranks[amount_fen] = len(self.prices)
            self.prices.append(amount_fen)
        if fresh:
            paid = self._paid_fresh
            if amount_fen in paid:
                paid[amount_fen] += 1
            elif len(paid) < PRICES_MAX:
                paid[amount_fen] = 1

    def _step(self) -> None:
        """Forget what came before the window, which starts later now."""
        if self.seq > WINDOW_TAPS:
            self.cards = [self.cards[index] for index in self.fresh]
            self.balances = [self.balances[index] for index in self.fresh]
            self.counters = [self.counters[index] for index in self.fresh]
            self.index = {card: index for index, card in enumerate(self.cards)}
            self._paid = self._paid_fresh
            if self._ttsn_seq < self.seq - WINDOW_TAPS:
                self.ttsn = 0
        self.fresh = {}
        self._paid_fresh = {}

    def _rank(self) -> None:
        paid = self._paid
        self.prices = sorted(paid, key=lambda amount_fen: (-paid[amount_fen], amount_fen))
        self.ranks = {amount_fen: rank for rank, amount_fen in enumerate(self.prices)}
