"""A stream's journal is insert-only and has no gap; a cursor moves forward only."""

from __future__ import annotations

from django.db import migrations

from settlement.store.triggers import insert_only, never_when


class Migration(migrations.Migration):
    """Triggers."""

    dependencies = [("stream", "0001_tables")]
    operations = [
        *insert_only("tap", "batch", "fork"),
        never_when(
            "tap_positions_have_no_gap",
            table="tap",
            event="INSERT",
            condition="NEW.position <> (SELECT coalesce(max(position), 0) FROM tap) + 1",
        ),
        never_when("terminal_is_never_deleted", table="terminal", event="DELETE", condition="1"),
        never_when(
            "cursor_moves_forward",
            table="terminal",
            event="UPDATE",
            condition="NEW.next_seq < OLD.next_seq OR NEW.total_fen < OLD.total_fen",
        ),
        never_when(
            "terminal_keeps_its_identity",
            table="terminal",
            event="UPDATE OF terminal, epoch, public_key",
            condition="1",
        ),
    ]
