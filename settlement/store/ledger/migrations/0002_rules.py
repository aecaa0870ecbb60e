"""The chart of accounts; what money rests on is insert-only; closed days stay closed; people decide in pairs.

Usual sales lie in two dense tables, whatever else there is in two others: what one of them holds the other refuses.
The views `entry` and `posting` show all of it, a row for each, as it is told.
"""

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
    EXISTS (SELECT 1 FROM other_entry live
            WHERE live.kind IN (3, 9) AND live.card = NEW.card AND live.counter = NEW.counter
            AND NOT EXISTS (SELECT 1 FROM entry_resolution WHERE entry_id = live.id AND outcome = 2))
"""
_EVIDENCE: Final = """
    EXISTS (SELECT 1 FROM suspense_item item JOIN {table} evidence ON evidence.card = item.card
            WHERE item.id = NEW.suspense_item_id AND item.reason = 3
            AND evidence.id = NEW.evidence_id AND evidence.ttsn IS NOT NULL AND evidence.kind <> 7
            AND (evidence.terminal, evidence.epoch, evidence.seq) <> (item.terminal, item.epoch, item.seq)
            AND (NEW.outcome = 2 AND evidence.counter = item.counter
                 OR NEW.outcome = 1 AND evidence.counter > item.counter))
"""
_PROVEN: Final = f"({_EVIDENCE.format(table='other_entry')} OR {_EVIDENCE.format(table='sale_entry')})"
_BOOKED_FOR_IT: Final = """
    EXISTS (SELECT 1 FROM suspense_item item JOIN other_entry entry ON entry.id = NEW.entry_id
            WHERE item.id = NEW.suspense_item_id AND entry.kind = item.kind AND entry.card = item.card
            AND entry.counter = item.counter AND entry.amount_fen = item.amount_fen
            AND (entry.terminal, entry.epoch, entry.seq) = (item.terminal, item.epoch, item.seq))
"""
_ADJUSTED_FOR_IT: Final = """
    EXISTS (SELECT 1 FROM suspense_item item JOIN other_entry entry ON entry.id = NEW.entry_id
            WHERE item.id = NEW.suspense_item_id AND entry.kind = 7 AND entry.terminal = item.terminal
            AND entry.amount_fen = item.amount_fen)
"""

# A run is at most 500 taps long, so those that may hold a number begin within 500 before it.
_IN_A_RUN: Final = """
    EXISTS (SELECT 1 FROM sale_run WHERE sale_run.terminal = NEW.terminal AND sale_run.epoch = NEW.epoch
            AND first_seq <= NEW.seq AND first_seq > NEW.seq - 500 AND first_seq + taps > NEW.seq)
"""
_SERIAL_IN_A_RUN: Final = """
    EXISTS (SELECT 1 FROM sale_run WHERE sale_run.terminal = NEW.terminal
            AND first_ttsn <= NEW.ttsn AND first_ttsn > NEW.ttsn - 500 AND first_ttsn + taps > NEW.ttsn)
"""
# By the index of sales, whose first column is an expression. BETWEEN, since SQLite puts the value of an equality in the
# expression's place, and then does not know it again.
_THIS_COUNT: Final = "sale.counter / 16 = NEW.counter / 16 AND sale.counter BETWEEN NEW.counter AND NEW.counter"
_COUNT_IN_A_RUN: Final = f"""
    EXISTS (SELECT 1 FROM other_entry opening CROSS JOIN sale WHERE opening.kind = 1 AND opening.card = NEW.card
            AND sale.purse_id = opening.id AND {_THIS_COUNT})
"""
_NUMBERS_ARE_TAKEN: Final = """
    EXISTS (SELECT 1 FROM sale_run run WHERE run.terminal = NEW.terminal AND run.epoch = NEW.epoch
            AND run.first_seq < NEW.first_seq + NEW.taps AND run.first_seq > NEW.first_seq - 500
            AND run.first_seq + run.taps > NEW.first_seq)
    OR EXISTS (SELECT 1 FROM other_entry WHERE other_entry.terminal = NEW.terminal AND other_entry.epoch = NEW.epoch
               AND seq >= NEW.first_seq AND seq < NEW.first_seq + NEW.taps)
"""
_SERIALS_ARE_TAKEN: Final = """
    EXISTS (SELECT 1 FROM sale_run run WHERE run.terminal = NEW.terminal
            AND run.first_ttsn < NEW.first_ttsn + NEW.taps AND run.first_ttsn > NEW.first_ttsn - 500
            AND run.first_ttsn + run.taps > NEW.first_ttsn)
    OR EXISTS (SELECT 1 FROM other_entry WHERE other_entry.terminal = NEW.terminal AND ttsn IS NOT NULL
               AND ttsn >= NEW.first_ttsn AND ttsn < NEW.first_ttsn + NEW.taps)
"""
_ITS_SALES: Final = "FROM sale WHERE sale.id >= NEW.id AND sale.id < NEW.id + NEW.taps"
_COUNTS_ARE_TAKEN: Final = """
    EXISTS (SELECT 1 FROM sale CROSS JOIN other_entry opening CROSS JOIN other_entry other
            WHERE sale.id >= NEW.id AND sale.id < NEW.id + NEW.taps AND opening.id = sale.purse_id
            AND other.ttsn IS NOT NULL AND other.card = opening.card AND other.counter = sale.counter)
"""
# Each sale is of a purse that was opened before, from its count on, and their sums are the run's.
_NOT_WHAT_ITS_SALES_ARE: Final = f"""
    (SELECT count(*) FROM sale CROSS JOIN other_entry opening
     WHERE sale.id >= NEW.id AND sale.id < NEW.id + NEW.taps AND sale.run_id = NEW.id
     AND opening.id = sale.purse_id AND opening.kind = 1 AND opening.counter <= sale.counter) <> NEW.taps
    OR (SELECT coalesce(sum(amount_fen), 0) {_ITS_SALES}) <> NEW.amount_fen
    OR (SELECT coalesce(sum(subsidy_fen), 0) {_ITS_SALES}) <> NEW.subsidy_fen
    OR EXISTS (SELECT 1 FROM sale WHERE sale.id >= NEW.id + NEW.taps AND sale.id < NEW.id + 500
               AND sale.run_id = NEW.id)
"""
_BOOKED_UP_TO: Final = "coalesce((SELECT id + taps - 1 FROM sale_run ORDER BY id DESC LIMIT 1), 0)"

# A usual sale with all columns that an entry has.
_SALE_ENTRY: Final = """
    CREATE VIEW sale_entry AS
    SELECT sale.id, CAST(2 AS smallint) AS kind, run.source, run.source_position + sale.id - run.id AS source_position,
           run.terminal, run.epoch, run.first_seq + sale.id - run.id AS seq, opening.card, sale.counter,
           run.first_ttsn + sale.id - run.id AS ttsn, sale.amount_fen, sale.subsidy_fen,
           CAST(NULL AS bigint) AS refers_to, sale.balance_before_fen, sale.happened_at_utc_s, run.clock_quality,
           run.received_at_utc_s, run.accounting_day
    FROM sale JOIN sale_run run ON run.id = sale.run_id
    JOIN other_entry opening ON opening.id = sale.purse_id AND opening.kind = 1
"""
_ENTRY_COLUMNS: Final = """
    id, kind, source, source_position, terminal, epoch, seq, card, counter, ttsn, amount_fen, subsidy_fen, refers_to,
    balance_before_fen, happened_at_utc_s, clock_quality, received_at_utc_s, accounting_day
"""
_ENTRY: Final = f"""
    CREATE VIEW entry AS
    SELECT {_ENTRY_COLUMNS} FROM other_entry UNION ALL SELECT {_ENTRY_COLUMNS} FROM sale_entry
"""
# The school's part of a sale goes through the purse.
_POSTING: Final = """
    CREATE VIEW posting AS
    SELECT entry_id, account_id, purse, amount_fen, accounting_day FROM other_posting
    UNION ALL SELECT id, 5003, NULL, subsidy_fen, accounting_day FROM sale_entry WHERE subsidy_fen > 0
    UNION ALL SELECT id, 2001, card, -subsidy_fen, accounting_day FROM sale_entry WHERE subsidy_fen > 0
    UNION ALL SELECT id, 2001, card, amount_fen + subsidy_fen, accounting_day FROM sale_entry
              WHERE amount_fen + subsidy_fen > 0
    UNION ALL SELECT id, 2002, NULL, -(amount_fen + subsidy_fen), accounting_day FROM sale_entry
              WHERE amount_fen + subsidy_fen > 0
"""


class Migration(migrations.Migration):
    """Chart and triggers."""

    dependencies = [("ledger", "0001_tables")]
    operations = [
        *(
            migrations.RunSQL([("INSERT INTO account (number, name) VALUES (%s, %s)", row)], migrations.RunSQL.noop)
            for row in CHART
        ),
        *(migrations.RunSQL(sql, migrations.RunSQL.noop) for sql in (_SALE_ENTRY, _ENTRY, _POSTING)),
        *insert_only(
            account="number",
            other_entry="id",
            other_posting="id",
            sale_run="id",
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
        never_replaced("a_tap_is_posted_once", table="other_entry", key=("terminal", "epoch", "seq")),
        never_replaced(
            "a_card_counts_each_tap_once", table="other_entry", key=("card", "counter"), where="ttsn IS NOT NULL"
        ),
        never_replaced(
            "a_tac_pays_for_one_tap", table="other_entry", key=("terminal", "ttsn"), where="ttsn IS NOT NULL"
        ),
        never_replaced("a_purse_is_opened_in_the_ledger_once", table="other_entry", key=("card",), where="kind = 1"),
        never_replaced(
            "a_sale_is_reversed_once", table="other_entry", key=("terminal", "epoch", "refers_to"), where="kind = 4"
        ),
        # Not `insert_only`: by another rule a sale's number is beyond all booked ones, so none is ever replaced.
        never_when("sale_is_never_changed", table="sale", event="UPDATE", condition=ALWAYS),
        never_when("sale_is_never_deleted", table="sale", event="DELETE", condition=ALWAYS),
        never_replaced("a_run_begins_once", table="sale_run", key=("terminal", "epoch", "first_seq")),
        never_replaced(
            "a_card_counts_each_sale_once",
            table="sale",
            key=("purse_id", "counter"),
            same=f"sale.purse_id = NEW.purse_id AND {_THIS_COUNT}",
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
            table="other_entry",
            event="INSERT",
            condition=_CLOSED.format(day="accounting_day"),
        ),
        never_when(
            "nothing_is_posted_on_a_closed_day",
            table="other_posting",
            event="INSERT",
            condition=_CLOSED.format(day="accounting_day"),
        ),
        never_when(
            "nothing_is_sold_on_a_closed_day",
            table="sale_run",
            event="INSERT",
            condition=_CLOSED.format(day="accounting_day"),
        ),
        never_when(
            "a_booked_run_gets_no_more_sales",
            table="sale",
            event="INSERT",
            condition=f"NEW.id < NEW.run_id OR NEW.id >= NEW.run_id + 500 OR NEW.run_id <= {_BOOKED_UP_TO}",
        ),
        never_when(
            "runs_are_numbered_on",
            table="sale_run",
            event="INSERT",
            condition=f"NEW.id <= {_BOOKED_UP_TO} OR NEW.id <= (SELECT coalesce(max(id), 0) FROM other_entry)",
        ),
        never_when(
            "no_entry_has_a_sales_number",
            table="other_entry",
            event="INSERT",
            condition=f"NEW.id <= {_BOOKED_UP_TO}",
        ),
        never_when("a_run_is_what_its_sales_are", table="sale_run", event="INSERT", condition=_NOT_WHAT_ITS_SALES_ARE),
        never_when("a_run_takes_no_taps_number", table="sale_run", event="INSERT", condition=_NUMBERS_ARE_TAKEN),
        never_when("a_run_takes_no_taps_serial", table="sale_run", event="INSERT", condition=_SERIALS_ARE_TAKEN),
        never_when("a_run_takes_no_taps_count", table="sale_run", event="INSERT", condition=_COUNTS_ARE_TAKEN),
        never_when(
            "no_tap_is_posted_beside_a_run",
            table="other_entry",
            event="INSERT",
            condition=f"NEW.seq IS NOT NULL AND {_IN_A_RUN}",
        ),
        never_when(
            "no_serial_pays_beside_a_run",
            table="other_entry",
            event="INSERT",
            condition=f"NEW.ttsn IS NOT NULL AND {_SERIAL_IN_A_RUN}",
        ),
        never_when(
            "no_count_is_taken_beside_a_run",
            table="other_entry",
            event="INSERT",
            condition=f"NEW.ttsn IS NOT NULL AND {_COUNT_IN_A_RUN}",
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
            table="other_entry",
            event="INSERT",
            condition=f"NEW.kind IN (3, 9) AND {_LIVE_LOAD_AT_THIS_COUNT}",
        ),
        never_when(
            "only_a_pending_entry_is_resolved",
            table="entry_resolution",
            event="INSERT",
            condition="NOT EXISTS (SELECT 1 FROM other_entry WHERE id = NEW.entry_id AND kind IN (3, 9))",
        ),
        never_when(
            "a_pending_entry_moves_no_money",
            table="other_posting",
            event="INSERT",
            condition=f"EXISTS (SELECT 1 FROM other_entry WHERE id = NEW.entry_id AND kind IN (3, 9))"
            f" AND NOT {_POSTED}",
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
