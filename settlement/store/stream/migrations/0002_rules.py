"""A stream's journal is insert-only and has no gap; a cursor moves forward only."""

from __future__ import annotations

from django.db import migrations

from settlement.store.triggers import ALWAYS, insert_only, never_replaced, never_when


class Migration(migrations.Migration):
    """Triggers."""

    dependencies = [("stream", "0001_tables")]
    operations = [
        *insert_only(tap="position", batch="id", fork="id"),
        never_replaced("a_tap_is_taken_in_once", table="tap", key=("terminal", "epoch", "seq")),
        never_replaced("a_batch_is_taken_once", table="batch", key=("digest",)),
        never_when(
            "tap_positions_have_no_gap",
            table="tap",
            event="INSERT",
            condition="NEW.position <> (SELECT coalesce(max(position), 0) FROM tap) + 1",
        ),
        never_when("terminal_is_never_deleted", table="terminal", event="DELETE", condition=ALWAYS),
        never_replaced("terminal_is_never_replaced", table="terminal", key=("id",)),
        never_replaced("a_terminal_starts_an_epoch_once", table="terminal", key=("terminal", "epoch")),
        never_when(
            "cursor_moves_forward",
            table="terminal",
            event="UPDATE",
            condition="NEW.next_seq < OLD.next_seq OR NEW.total_fen < OLD.total_fen",
        ),
        never_when(
            "terminal_keeps_its_identity",
            table="terminal",
            event="UPDATE",
            condition="NEW.id <> OLD.id OR NEW.terminal <> OLD.terminal OR NEW.epoch <> OLD.epoch"
            " OR NEW.public_key <> OLD.public_key",
        ),
    ]
