"""Cards, openings, hotlist entries and tickets are insert-only; the two journals have no gap."""

from __future__ import annotations

from django.db import migrations

from settlement.store.triggers import insert_only, never_replaced, never_when


class Migration(migrations.Migration):
    """Triggers."""

    dependencies = [("onecard", "0001_tables")]
    operations = [
        *insert_only(card="id", purse_opening="position", hotlist_entry="position", ticket="id"),
        never_replaced("a_card_is_registered_once", table="card", key=("issuer", "asn")),
        never_replaced("a_purse_is_opened_once", table="purse_opening", key=("card_id",)),
        never_replaced("an_epoch_is_given_out_once", table="ticket", key=("terminal", "epoch")),
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
