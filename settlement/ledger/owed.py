"""What the books ever credited to a card's holder on refunds payable, and which loads collected of it, for the desk.

What is not posted yet is not owed yet. What the desk granted since is the desk's to subtract: left out here.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Final

from settlement.onecard.desk import Credited
from settlement.store.database import Database, StoreFault, open_reader
from settlement.store.place import Place
from settlement.store.router import LEDGER
from wire.errors import CampusError
from wire.ids import CardId, LoadId, TerminalId
from wire.money import Fen

# Sales taken back, and suspense that was resolved by owing the holder; the way out of a collection that waited there
# is the collecting load's own matter, which the desk knows.
_CREDITED: Final = """
    SELECT CAST(coalesce(sum(-posting.amount_fen), 0) AS bigint) FROM (
        SELECT id FROM other_entry entry WHERE ttsn IS NOT NULL AND card = %s AND kind IN (4, 5)
        UNION ALL
        SELECT id FROM other_entry entry WHERE kind = 7 AND card = %s AND NOT EXISTS (
            SELECT 1 FROM suspense_resolution CROSS JOIN suspense_item item
            WHERE suspense_resolution.entry_id = entry.id AND item.id = suspense_item_id AND item.kind = 9)
    ) credit JOIN other_posting posting ON posting.entry_id = credit.id WHERE posting.account_id = 2006
"""
_COLLECTED: Final = """
    SELECT terminal, epoch, seq, amount_fen FROM other_entry entry WHERE kind IN (3, 9) AND kind = 9 AND card = %s
    AND NOT EXISTS (SELECT 1 FROM entry_resolution WHERE entry_id = entry.id AND outcome = 2)
"""


def credited(db: Database, card: CardId) -> Credited:
    """As of what is posted."""
    key = card.to_bytes()
    rows = db.query(_COLLECTED, (key,), into=lambda *row: row)
    return Credited(
        Fen(db.number(_CREDITED, (key, key))),
        {LoadId(TerminalId(terminal), epoch, number): Fen(amount_fen) for terminal, epoch, number, amount_fen in rows},
    )


class LedgerBooks:
    """The books as the desk reads them: opened when they are first asked, and again after a fault."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._db: Database | None = None

    def credited(self, card: CardId) -> Credited:
        """See `Books` of the desk."""
        try:
            if self._db is None:
                self._db = open_reader(self._place, LEDGER)
            return credited(self._db, card)
        except CampusError:
            self.close()
            raise

    def close(self) -> None:
        """See `Books` of the desk."""
        db, self._db = self._db, None
        if db is not None:
            with suppress(StoreFault):  # given up, or ending
                db.close()
