"""Cards, openings, hotlist entries and tickets are insert-only; the two journals have no gap."""

from __future__ import annotations

from django.db import migrations

from settlement.store.triggers import insert_only, never_when


class Migration(migrations.Migration):
    """Triggers."""

    dependencies = [("onecard", "0001_tables")]
    operations = [
        *insert_only("card", "purse_opening", "hotlist_entry", "ticket"),
        *(
            never_when(
                f"{table}_positions_have_no_gap",
                table=table,
                event="INSERT",
                condition=f"NEW.position <> (SELECT coalesce(max(position), 0) FROM {table}) + 1",
            )
            for table in ("purse_opening", "hotlist_entry")
        ),
    ]
