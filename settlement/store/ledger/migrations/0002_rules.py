"""The chart of accounts; what money rests on is insert-only; closed days stay closed; people decide in pairs."""

from __future__ import annotations

from typing import Final

from django.db import migrations

from settlement.store.triggers import ALWAYS, insert_only, never_replaced, never_when

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
    (5003, "subsidies"),
)

CLAIM: Final = (
    "terminal",
    "epoch",
    "seq",
    "source",
    "reason",
    "kind",
    "card",
    "counter",
    "ttsn",
    "amount_fen",
    "subsidy_fen",
    "refers_to",
)
_CLOSED: Final = "EXISTS (SELECT 1 FROM day_close WHERE day >= NEW.{day})"
_POSTED: Final = "EXISTS (SELECT 1 FROM entry_resolution WHERE entry_id = NEW.entry_id AND outcome = 1)"
_LIVE_LOAD_AT_THIS_COUNT: Final = """
    EXISTS (SELECT 1 FROM entry live WHERE live.kind IN (3, 9) AND live.card = NEW.card AND live.counter = NEW.counter
            AND NOT EXISTS (SELECT 1 FROM entry_resolution WHERE entry_id = live.id AND outcome = 2))
"""
_PROVEN: Final = """
    EXISTS (SELECT 1 FROM suspense_item item JOIN entry evidence ON evidence.card = item.card
            WHERE item.id = NEW.suspense_item_id AND item.reason = 3
            AND evidence.id = NEW.evidence_id AND evidence.ttsn IS NOT NULL AND evidence.kind <> 7
            AND (evidence.terminal, evidence.epoch, evidence.seq) <> (item.terminal, item.epoch, item.seq)
            AND (NEW.outcome = 2 AND evidence.counter = item.counter
                 OR NEW.outcome = 1 AND evidence.counter > item.counter))
"""
_BOOKED_FOR_IT: Final = """
    EXISTS (SELECT 1 FROM suspense_item item JOIN entry ON entry.id = NEW.entry_id
            WHERE item.id = NEW.suspense_item_id AND entry.kind = item.kind AND entry.card = item.card
            AND entry.counter = item.counter AND entry.amount_fen = item.amount_fen
            AND (entry.terminal, entry.epoch, entry.seq) = (item.terminal, item.epoch, item.seq))
"""
_ADJUSTED_FOR_IT: Final = """
    EXISTS (SELECT 1 FROM suspense_item item JOIN entry ON entry.id = NEW.entry_id
            WHERE item.id = NEW.suspense_item_id AND entry.kind = 7 AND entry.terminal = item.terminal
            AND entry.amount_fen = item.amount_fen)
"""


class Migration(migrations.Migration):
    """Chart and triggers."""

    dependencies = [("ledger", "0001_tables")]
    operations = [
        *(
            migrations.RunSQL([("INSERT INTO account (number, name) VALUES (%s, %s)", row)], migrations.RunSQL.noop)
            for row in CHART
        ),
        *insert_only(
            account="number",
            entry="id",
            posting="id",
            entry_resolution="entry_id",
            suspense_item="id",
            suspense_resolution="suspense_item_id",
            decision="id",
            finished_journal="id",
            day_close="number",
            day_total="id",
            day_balance="id",
            terminal_day="id",
            statement="id",
            source_checkpoint="id",
        ),
        never_replaced("a_tap_is_posted_once", table="entry", key=("terminal", "epoch", "seq")),
        never_replaced("a_card_counts_each_tap_once", table="entry", key=("card", "counter"), where="ttsn IS NOT NULL"),
        never_replaced("a_tac_pays_for_one_tap", table="entry", key=("terminal", "ttsn"), where="ttsn IS NOT NULL"),
        never_replaced("a_purse_is_opened_in_the_ledger_once", table="entry", key=("card",), where="kind = 1"),
        never_replaced(
            "a_sale_is_reversed_once", table="entry", key=("terminal", "epoch", "refers_to"), where="kind = 4"
        ),
        never_replaced("a_claim_is_suspended_once", table="suspense_item", key=CLAIM),
        never_replaced("an_entry_settles_one_item", table="suspense_resolution", key=("entry_id",)),
        never_replaced("a_decision_is_read_once", table="decision", key=("key",)),
        never_replaced("a_journal_is_finished_once", table="finished_journal", key=("terminal", "epoch")),
        never_replaced("a_day_is_closed_once", table="day_close", key=("day",)),
        never_replaced("a_day_totals_each_kind_once", table="day_total", key=("day", "account_id", "kind")),
        never_replaced("a_day_has_one_balance_each", table="day_balance", key=("day", "account_id")),
        never_replaced(
            "a_terminals_day_is_cleared_once",
            table="terminal_day",
            key=("day", "source", "terminal", "outlet"),
        ),
        never_replaced("a_merchants_statements_are_numbered", table="statement", key=("merchant", "number")),
        never_replaced("a_merchant_has_one_statement_a_day", table="statement", key=("merchant", "day")),
        never_replaced("a_cursor_stands_there_once", table="source_checkpoint", key=("source", "lineage", "position")),
        never_when(
            "nothing_is_booked_on_a_closed_day",
            table="entry",
            event="INSERT",
            condition=_CLOSED.format(day="accounting_day"),
        ),
        never_when(
            "nothing_is_posted_on_a_closed_day",
            table="posting",
            event="INSERT",
            condition=_CLOSED.format(day="accounting_day"),
        ),
        never_when(
            "nothing_ends_on_a_closed_day",
            table="entry_resolution",
            event="INSERT",
            condition=_CLOSED.format(day="accounting_day"),
        ),
        never_when(
            "days_are_closed_in_their_order",
            table="day_close",
            event="INSERT",
            condition=_CLOSED.format(day="day")
            + " OR NEW.number <> (SELECT coalesce(max(number), 0) + 1 FROM day_close)",
        ),
        never_when(
            "a_closed_day_keeps_its_totals",
            table="day_total",
            event="INSERT",
            condition=_CLOSED.format(day="day"),
        ),
        never_when(
            "a_closed_day_keeps_its_balances",
            table="day_balance",
            event="INSERT",
            condition=_CLOSED.format(day="day"),
        ),
        never_when(
            "a_closed_day_keeps_its_clearing",
            table="terminal_day",
            event="INSERT",
            condition=_CLOSED.format(day="day"),
        ),
        never_when(
            "a_closed_day_keeps_its_statements",
            table="statement",
            event="INSERT",
            condition=_CLOSED.format(day="day"),
        ),
        never_when(
            "a_card_counts_each_load_once",
            table="entry",
            event="INSERT",
            condition=f"NEW.kind IN (3, 9) AND {_LIVE_LOAD_AT_THIS_COUNT}",
        ),
        never_when(
            "only_a_pending_entry_is_resolved",
            table="entry_resolution",
            event="INSERT",
            condition="NOT EXISTS (SELECT 1 FROM entry WHERE id = NEW.entry_id AND kind IN (3, 9))",
        ),
        never_when(
            "a_pending_entry_moves_no_money",
            table="posting",
            event="INSERT",
            condition=f"EXISTS (SELECT 1 FROM entry WHERE id = NEW.entry_id AND kind IN (3, 9)) AND NOT {_POSTED}",
        ),
        never_when(
            "a_cards_line_of_counters_proves_it",
            table="suspense_resolution",
            event="INSERT",
            condition=f"NEW.outcome <= 2 AND NOT {_PROVEN} OR NEW.outcome IN (1, 3) AND NOT {_BOOKED_FOR_IT}",
        ),
        never_when(
            "two_people_decide",
            table="suspense_resolution",
            event="INSERT",
            condition=f"NEW.outcome = 4 AND (NEW.proposed_by = NEW.confirmed_by OR NOT {_ADJUSTED_FOR_IT})",
        ),
        never_when(
            "two_people_declare",
            table="finished_journal",
            event="INSERT",
            condition="NEW.proposed_by = NEW.confirmed_by",
        ),
        never_when(
            "source_cursor_moves_forward",
            table="source_cursor",
            event="UPDATE",
            condition="NEW.lineage < OLD.lineage OR NEW.lineage = OLD.lineage AND NEW.position < OLD.position",
        ),
        never_when(
            "source_cursor_is_never_replaced_by_an_earlier_one",
            table="source_cursor",
            event="INSERT",
            condition="EXISTS (SELECT 1 FROM source_cursor WHERE source = NEW.source"
            " AND (lineage > NEW.lineage OR lineage = NEW.lineage AND position > NEW.position))",
        ),
        never_when("source_cursor_is_never_deleted", table="source_cursor", event="DELETE", condition=ALWAYS),
    ]
