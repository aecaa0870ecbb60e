"""The coding states of a stream's journals, so that the next batch of each is opened without reading its past again.

A batch is opened with the kept one itself, which is kept again once the batch is committed. A batch that its terminal
signed and that cannot be read all the same spoils it: one that is not here is made from the journal. Left out: what is
done with a batch (`ingest`).
"""

from __future__ import annotations

from typing import Final

from settlement.store.database import Database
from settlement.streams import store
from settlement.streams.store import TerminalRow
from wire.directory import CodingState, window_start
from wire.ids import TerminalId

CARDS_KEPT: Final = 500_000  # over all states, about 160 MB; a state of a busy till knows 5,000


class CodingStates:
    """One state for each journal, where its cursor stands; those not used for longest go first."""

    def __init__(self, cards_max: int = CARDS_KEPT) -> None:
        self._cards_max = cards_max
        self._cards = 0
        self._kept: dict[tuple[TerminalId, int], tuple[CodingState, bytes]] = {}

    def lend(self, db: Database, row: TerminalRow, seq: int, hash_before: bytes) -> CodingState:
        """The state before record `seq`, where this stream's chain has `hash_before`: the caller's own from now on."""
        key = (row.terminal, row.epoch)
        kept = self._kept.get(key)
        if kept is not None and (kept[0].seq, kept[1]) == (seq, hash_before):
            self._drop(key)
            return kept[0]
        return CodingState.before(seq, store.records_between(db, row, window_start(seq), seq))

    def keep(self, row: TerminalRow, state: CodingState, head_hash: bytes) -> None:
        """Keep a state that stands where the journal's committed cursor stands, with the chain's hash there."""
        key = (row.terminal, row.epoch)
        if key in self._kept:
            self._drop(key)
        self._kept[key] = (state, head_hash)
        self._cards += len(state.cards)
        while self._cards > self._cards_max:
            self._drop(next(iter(self._kept)))

    def _drop(self, key: tuple[TerminalId, int]) -> None:
        self._cards -= len(self._kept.pop(key)[0].cards)
