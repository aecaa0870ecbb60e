"""One resolution each, insert-only; pending money is in no balance; a card's own line of counters settles its taps."""

from __future__ import annotations

from typing import Final

from django.db import migrations

from settlement.store.triggers import insert_only, never_replaced, never_when

_POSTED: Final = "EXISTS (SELECT 1 FROM entry_resolution WHERE entry_id = NEW.entry_id AND outcome = 1)"
_LIVE_LOAD_AT_THIS_COUNT: Final = """
    EXISTS (SELECT 1 FROM entry live WHERE live.kind = 3 AND live.card = NEW.card AND live.counter = NEW.counter
            AND NOT EXISTS (SELECT 1 FROM entry_resolution WHERE entry_id = live.id AND outcome = 2))
"""
_PROVEN: Final = """
    EXISTS (SELECT 1 FROM suspense_item item JOIN entry evidence ON evidence.card = item.card
            WHERE item.id = NEW.suspense_item_id AND item.reason = 3
            AND evidence.id = NEW.evidence_id AND evidence.kind = 2
            AND (evidence.terminal, evidence.epoch, evidence.seq) <> (item.terminal, item.epoch, item.seq)
            AND (NEW.outcome = 2 AND evidence.counter = item.counter
                 OR NEW.outcome = 1 AND evidence.counter > item.counter))
"""
_BOOKED_FOR_IT: Final = """
    EXISTS (SELECT 1 FROM suspense_item item JOIN entry ON entry.id = NEW.entry_id
            WHERE item.id = NEW.suspense_item_id AND entry.kind = 2 AND entry.card = item.card
            AND entry.counter = item.counter AND entry.amount_fen = item.amount_fen
            AND (entry.terminal, entry.epoch, entry.seq) = (item.terminal, item.epoch, item.seq))
"""


class Migration(migrations.Migration):
    """Triggers."""

    dependencies = [("ledger", "0003_resolutions")]
    operations = [
        *insert_only(entry_resolution="entry_id", suspense_resolution="suspense_item_id"),
        never_replaced("an_entry_settles_one_item", table="suspense_resolution", key=("entry_id",)),
        never_when(
            "a_card_counts_each_load_once",
            table="entry",
            event="INSERT",
            condition=f"NEW.kind = 3 AND {_LIVE_LOAD_AT_THIS_COUNT}",
        ),
        never_when(
            "only_a_pending_entry_is_resolved",
            table="entry_resolution",
            event="INSERT",
            condition="NOT EXISTS (SELECT 1 FROM entry WHERE id = NEW.entry_id AND kind = 3)",
        ),
        never_when(
            "a_pending_entry_moves_no_money",
            table="posting",
            event="INSERT",
            condition=f"EXISTS (SELECT 1 FROM entry WHERE id = NEW.entry_id AND kind = 3) AND NOT {_POSTED}",
        ),
        never_when(
            "a_cards_line_of_counters_proves_it",
            table="suspense_resolution",
            event="INSERT",
            condition=f"NOT {_PROVEN} OR NEW.outcome = 1 AND NOT {_BOOKED_FOR_IT}",
        ),
    ]
