"""Decisions are insert-only, without a gap."""

from __future__ import annotations

from django.db import migrations

from settlement.store.triggers import insert_only, never_replaced, never_when


class Migration(migrations.Migration):
    """Triggers."""

    dependencies = [("office", "0001_tables")]
    operations = [
        *insert_only(decision="position"),
        never_replaced("a_decision_is_taken_once", table="decision", key=("key",)),
        never_when(
            "decision_positions_have_no_gap",
            table="decision",
            event="INSERT",
            condition="NEW.position <> (SELECT coalesce(max(position), 0) FROM decision) + 1",
        ),
    ]
