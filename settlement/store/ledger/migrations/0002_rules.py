"""The chart of accounts; entries, postings and suspense items are insert-only."""

from __future__ import annotations

from typing import Final

from django.db import migrations

from settlement.store.triggers import insert_only, never_replaced, never_when

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

CLAIM: Final = (
    "source",
    "source_position",
    "terminal",
    "epoch",
    "seq",
    "reason",
    "card",
    "counter",
    "ttsn",
    "amount_fen",
    "since_utc_s",
)


class Migration(migrations.Migration):
    """Chart and triggers."""

    dependencies = [("ledger", "0001_tables")]
    operations = [
        *(
            migrations.RunSQL([("INSERT INTO account (number, name) VALUES (%s, %s)", row)], migrations.RunSQL.noop)
            for row in CHART
        ),
        *insert_only(account="number", entry="id", posting="id", suspense_item="id"),
        never_replaced("a_tap_is_posted_once", table="entry", key=("terminal", "epoch", "seq")),
        never_replaced("a_card_counts_each_purchase_once", table="entry", key=("card", "counter"), where="kind = 2"),
        never_replaced("a_tac_pays_for_one_purchase", table="entry", key=("terminal", "ttsn"), where="kind = 2"),
        never_replaced("a_purse_is_opened_in_the_ledger_once", table="entry", key=("card",), where="kind = 1"),
        never_replaced("a_claim_is_suspended_once", table="suspense_item", key=CLAIM),
        never_when(
            "source_cursor_moves_forward",
            table="source_cursor",
            event="UPDATE",
            condition="NEW.position < OLD.position",
        ),
        never_when(
            "source_cursor_is_never_replaced_by_an_earlier_one",
            table="source_cursor",
            event="INSERT",
            condition="EXISTS (SELECT 1 FROM source_cursor WHERE source = NEW.source AND position > NEW.position)",
        ),
    ]
