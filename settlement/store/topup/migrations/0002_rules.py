"""The journal of loads is insert-only without a gap; a load is granted once, ends once, a card has one at a time."""

from __future__ import annotations

from django.db import migrations

from settlement.store.triggers import ALWAYS, insert_only, never_replaced, never_when

_SAME_LOAD = "terminal = NEW.terminal AND epoch = NEW.epoch AND number = NEW.number"
_OPEN_LOAD = """
    EXISTS (SELECT 1 FROM load_event granted WHERE granted.card = NEW.card AND granted.kind = 1 AND NOT EXISTS (
        SELECT 1 FROM load_event ended WHERE ended.kind > 1 AND ended.terminal = granted.terminal
        AND ended.epoch = granted.epoch AND ended.number = granted.number))
"""


class Migration(migrations.Migration):
    """Triggers."""

    dependencies = [("topup", "0001_tables")]
    operations = [
        *insert_only(load_event="position", load_answer="position"),
        never_when(
            "load_event_positions_have_no_gap",
            table="load_event",
            event="INSERT",
            condition="NEW.position <> (SELECT coalesce(max(position), 0) FROM load_event) + 1",
        ),
        never_replaced(
            "a_load_is_granted_once", table="load_event", key=("terminal", "epoch", "number"), where="kind = 1"
        ),
        never_replaced("a_load_ends_once", table="load_event", key=("terminal", "epoch", "number"), where="kind > 1"),
        never_replaced(
            "a_counter_is_confirmed_once", table="load_event", key=("card", "online_counter"), where="kind = 2"
        ),
        never_when(
            "a_card_has_one_open_load", table="load_event", event="INSERT", condition=f"NEW.kind = 1 AND {_OPEN_LOAD}"
        ),
        never_when(
            "a_load_ends_as_it_was_granted",
            table="load_event",
            event="INSERT",
            condition=f"NEW.kind > 1 AND NOT EXISTS (SELECT 1 FROM load_event WHERE {_SAME_LOAD} AND kind = 1"
            " AND card = NEW.card AND online_counter = NEW.online_counter)",
        ),
        never_when("terminal_is_never_deleted", table="terminal", event="DELETE", condition=ALWAYS),
        never_replaced("terminal_is_never_replaced", table="terminal", key=("id",)),
        never_replaced("a_point_starts_an_epoch_once", table="terminal", key=("terminal", "epoch")),
        never_when(
            "terminal_keeps_its_identity",
            table="terminal",
            event="UPDATE",
            condition="NEW.id <> OLD.id OR NEW.terminal <> OLD.terminal OR NEW.epoch <> OLD.epoch"
            " OR NEW.public_key <> OLD.public_key",
        ),
    ]
