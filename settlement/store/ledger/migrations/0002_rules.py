"""The chart of accounts; entries, postings and suspense items are insert-only."""

from __future__ import annotations

from typing import Final

from django.db import migrations

from settlement.store.triggers import insert_only, never_when

# The chart as of this migration; `settlement.ledger.entries.Account` names the ones that the code posts to.
CHART: Final = (
    (1001, "bank"),
    (1002, "bank clearing"),
    (1010, "cash points"),
    (1101, "tuition receivable"),
    (1102, "card arrears"),
    (1190, "suspense debit"),
    (2001, "card float"),
    (2002, "merchant payable"),
    (2003, "tuition due to treasury"),
    (2004, "card deposits"),
    (2005, "leavers' unclaimed balances"),
    (2006, "refunds payable"),
    (2190, "suspense credit"),
    (4001, "card fees"),
    (4002, "service fees"),
    (5001, "bank fees"),
    (5002, "write-off"),
)


class Migration(migrations.Migration):
    """Chart and triggers."""

    dependencies = [("ledger", "0001_tables")]
    operations = [
        *(
            migrations.RunSQL([("INSERT INTO account (number, name) VALUES (%s, %s)", row)], migrations.RunSQL.noop)
            for row in CHART
        ),
        *insert_only("account", "entry", "posting", "suspense_item"),
        never_when(
            "source_cursor_moves_forward",
            table="source_cursor",
            event="UPDATE",
            condition="NEW.position < OLD.position",
        ),
    ]
