"""How a database is opened, who may write it, and which of its rules nobody gets around."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from settlement.settings import Home
from settlement.store.database import (
    Database,
    RuleBroken,
    SchemaMissing,
    StoreFault,
    migrate,
    open_reader,
    open_writer,
)
from settlement.store.router import ALIASES, OneAppEach

if TYPE_CHECKING:
    from tests.settlement.conftest import FakeTill, StreamDriver


def fill_ledger(home: Home) -> None:
    with open_writer(home.database("ledger"), "ledger") as db:
        db.execute(
            "INSERT INTO other_entry (id, kind, source, source_position, card, counter, amount_fen, subsidy_fen,"
            " happened_at_utc_s, clock_quality, received_at_utc_s, accounting_day)"
            " VALUES (1, 1, '', 1, '', 1, 1, 0, 1, 1, 1, 20250101)"
        )
        db.execute(
            "INSERT INTO other_entry (id, kind, source, source_position, terminal, epoch, seq, card, counter, ttsn,"
            " amount_fen, subsidy_fen, refers_to, happened_at_utc_s, clock_quality, received_at_utc_s, accounting_day)"
            " VALUES (2, 3, '', 1, x'01', 1, 1, '', 1, NULL, 1, 0, NULL, 1, 1, 1, 20250101),"
            " (3, 2, '', 1, '', 1, 1, '', 1, 1, 1, 0, NULL, 1, 1, 1, 20250101),"
            " (4, 2, '', 1, '', 1, 2, '', 0, 2, 1, 0, NULL, 1, 1, 1, 20250101),"
            " (5, 4, '', 1, '', 1, 3, '', 3, 3, 1, 0, 2, 1, 1, 1, 20250101)"
        )
        db.execute("INSERT INTO sale VALUES (6, 6, 1, 5, 1, 0, 1, 1)")
        db.execute("INSERT INTO sale_run VALUES (6, 1, '', 1, x'02', 1, 1, 1, 1, 1, 20250101, 1, 0)")
        db.execute("INSERT INTO entry_resolution VALUES (2, 1, '', 1, 1, 20250101)")
        db.execute(
            "INSERT INTO other_posting (id, entry_id, account_id, amount_fen, accounting_day) VALUES (1, 1, 1001, 1, 1)"
        )
        db.execute(
            "INSERT INTO suspense_item (id, source, source_position, terminal, epoch, seq, reason, kind, card, counter,"
            " ttsn, amount_fen, subsidy_fen, refers_to, happened_at_utc_s, clock_quality, since_utc_s)"
            " VALUES (1, '', 1, '', 1, 2, 3, 2, '', 0, 1, 1, 0, 0, 1, 1, 1)"
        )
        db.execute(
            "INSERT INTO suspense_resolution (suspense_item_id, outcome, evidence_id, entry_id, resolved_at_utc_s)"
            " VALUES (1, 1, 3, 4, 1)"
        )
        db.execute("INSERT INTO decision VALUES (1, x'01', 1, 1, '', '', 1, 1, '')")
        db.execute("INSERT INTO finished_journal VALUES (1, x'01', 1, '', 'a', 'b', 1)")
        db.execute("INSERT INTO day_total VALUES (1, 20250102, 1, 1, 2, 1001)")
        db.execute("INSERT INTO day_balance VALUES (1, 20250102, 1, 1001)")
        db.execute("INSERT INTO terminal_day VALUES (1, 20250102, '', x'01', 1, 1, 1, 1, 1, 1, 1, 1)")
        db.execute("INSERT INTO statement VALUES (1, 1, 1, 20250102, '', 1, 1, 1, 1, 1, 1, 1, 1)")
        db.execute("INSERT INTO source_checkpoint VALUES (1, '', 1, 1, '')")
        db.execute("INSERT INTO day_close VALUES (1, 20250102, 1, 1, 1, 1, 1, 1, '', '')")


@pytest.fixture
def full_home(home: Home, canteen: StreamDriver, till: FakeTill) -> Home:
    """Every insert-only table has a row."""
    canteen.enrol(till)
    till.tap()
    canteen.accept(till.batch())
    canteen.db.execute("INSERT INTO shift_report VALUES (1, '', 1, 1, 1, 1, '', '', 0, 1)")
    canteen.db.execute("INSERT INTO shift_conflict VALUES (1, '', 1, 1, '', '', 1)")
    canteen.db.execute("INSERT INTO fork (terminal, epoch, seq, raw, received_at_utc_s) VALUES ('', 1, 1, '', 1)")
    canteen.db.execute("INSERT INTO answer VALUES (1, '', '', 1)")
    canteen.db.execute("INSERT INTO suspended_tap VALUES (1, 1)")
    canteen.db.close()
    with open_writer(home.database("onecard"), "onecard") as db:
        db.execute("INSERT INTO card VALUES (1, '', '', 1)")
        db.execute("INSERT INTO purse_opening VALUES (1, 0, 0, 1, '', 1)")
        db.execute("INSERT INTO hotlist_entry VALUES (1, '', '', true, '', 1)")
        db.execute("INSERT INTO ticket VALUES (1, '', 1, 1, 1)")
        db.execute("INSERT INTO configuration VALUES (1, 2, 1, '', 1)")
        db.execute("INSERT INTO assignment VALUES (1, '', 2, 1, 1)")
        db.execute("INSERT INTO request VALUES (1, 2, '', 1, 1)")
        db.execute("INSERT INTO restoration VALUES (1, 1, 2)")
    fill_ledger(home)
    with open_writer(home.database("office"), "office") as db:
        db.execute("INSERT INTO decision VALUES (1, x'01', 1, '', '', 1, '')")
    with open_writer(home.database("topup"), "topup") as db:
        db.execute(
            "INSERT INTO load_event (position, kind, terminal, epoch, number, card, online_counter, event, chain_hash)"
            " VALUES (1, 1, '', 1, 1, '', 1, '', ''), (2, 2, '', 1, 1, '', 1, '', '')"
        )
        db.execute("INSERT INTO load_answer (position, request, answer) VALUES (1, '', '')")
        db.execute(
            "INSERT INTO terminal (id, terminal, epoch, public_key, enrolled_at_utc_s, next_seq, head_hash, total_fen,"
            " heard_seq, heard_total_fen, heard_at_utc_s) VALUES (1, '', 1, '', 1, 1, '', 0, 0, 0, 1)"
        )
    return home


INSERT_ONLY = [
    ("canteen", "intake", "records"),
    ("canteen", "suspended_tap", "reason"),
    ("canteen", "batch", "receipt"),
    ("canteen", "fork", "raw"),
    ("canteen", "shift_report", "raw"),
    ("canteen", "shift_conflict", "raw"),
    ("canteen", "answer", "text"),
    ("onecard", "card", "asn"),
    ("onecard", "purse_opening", "opening_balance_fen"),
    ("onecard", "hotlist_entry", "listed"),
    ("onecard", "ticket", "epoch"),
    ("onecard", "merchant", "name_zh"),
    ("onecard", "outlet", "merchant"),
    ("onecard", "assignment", "outlet"),
    ("onecard", "configuration", "version"),
    ("onecard", "request", "terminal"),
    ("onecard", "restoration", "taken_at_utc_s"),
    ("topup", "load_event", "kind"),
    ("topup", "load_answer", "answer"),
    ("ledger", "account", "name"),
    ("ledger", "other_entry", "amount_fen"),
    ("ledger", "other_posting", "amount_fen"),
    ("ledger", "sale_run", "amount_fen"),
    ("ledger", "sale", "amount_fen"),
    ("ledger", "suspense_item", "amount_fen"),
    ("ledger", "entry_resolution", "outcome"),
    ("ledger", "suspense_resolution", "outcome"),
    ("ledger", "decision", "result"),
    ("ledger", "finished_journal", "epoch"),
    ("ledger", "day_close", "entries"),
    ("ledger", "day_total", "debit_fen"),
    ("ledger", "day_balance", "balance_fen"),
    ("ledger", "terminal_day", "gross_fen"),
    ("ledger", "statement", "net_fen"),
    ("ledger", "source_checkpoint", "position"),
    ("office", "decision", "body"),
]


@pytest.mark.parametrize(("alias", "table", "column"), INSERT_ONLY)
def test_row_of_a_money_table_is_neither_changed_nor_deleted(
    full_home: Home, alias: str, table: str, column: str
) -> None:
    # Past all of our code, as any other program would do it.
    with sqlite3.connect(full_home.database(alias)) as raw:
        for sql, verb in ((f"UPDATE {table} SET {column} = 5", "changed"), (f"DELETE FROM {table}", "deleted")):
            with pytest.raises(sqlite3.IntegrityError, match=f"{table}_is_never_{verb}"):
                raw.execute(sql)
    raw.close()


# Every unique key of every table: how to make a row that collides in it alone, and the rule that then speaks.
_OPEN_DAY = "accounting_day = 20250103"
REPLACED = [
    ("canteen", "intake", "epoch = 9", "(intake_is_never_replaced|positions_have_no_gap|a_journal_is_.*)"),
    ("canteen", "intake", "position = 2, next_position = 3", "a_journal_is_taken_in_without_gap"),
    ("canteen", "suspended_tap", "reason = 9", "suspended_tap_is_never_replaced"),
    ("canteen", "batch", "digest = x'00'", "batch_is_never_replaced"),
    ("canteen", "batch", "id = 9", "a_batch_is_taken_once"),
    ("canteen", "fork", "seq = 9", "fork_is_never_replaced"),
    ("canteen", "shift_report", "number = 9", "shift_report_is_never_replaced"),
    ("canteen", "shift_report", "id = 9", "a_shift_report_is_never_replaced"),
    ("canteen", "shift_conflict", "number = 9", "shift_conflict_is_never_replaced"),
    ("canteen", "shift_conflict", "id = 9", "a_contradiction_is_never_replaced"),
    ("canteen", "terminal", "epoch = 9", "terminal_is_never_replaced"),
    ("canteen", "terminal", "id = 9", "a_terminal_starts_an_epoch_once"),
    ("onecard", "card", "asn = x'00'", "card_is_never_replaced"),
    ("onecard", "card", "id = 9", "a_card_is_registered_once"),
    ("onecard", "purse_opening", "card_id = 9", "purse_opening_(is_never_replaced|positions_have_no_gap)"),
    ("onecard", "purse_opening", "position = 2", "a_purse_is_opened_once"),
    ("onecard", "hotlist_entry", "listed = 0", "hotlist_entry_(is_never_replaced|positions_have_no_gap)"),
    ("onecard", "ticket", "epoch = 9", "ticket_is_never_replaced"),
    ("onecard", "ticket", "id = 9", "an_epoch_is_given_out_once"),
    ("onecard", "merchant", "version = 2", "merchant_(is_never_replaced|versions_have_no_gap)"),
    ("onecard", "merchant", "id = 99", "(a_merchants_version_is_made_once|merchant_versions_have_no_gap)"),
    ("onecard", "outlet", "stream = 1", "outlet_is_never_replaced"),
    ("onecard", "assignment", "outlet = 1", "assignment_is_never_replaced"),
    ("onecard", "configuration", "version = 2", "configuration_is_never_replaced"),
    ("onecard", "configuration", "id = 9", "(a_version_is_made_once|configuration_versions_go_up)"),
    ("onecard", "request", "what = 9", "request_is_never_replaced"),
    ("onecard", "restoration", "taken_at_utc_s = 9", "restoration_is_never_replaced"),
    ("canteen", "answer", "text = 'other'", "answer_is_never_replaced"),
    ("topup", "load_event", "kind = 3", "(load_event_positions_have_no_gap|a_load_ends_once)"),
    ("topup", "load_event", "position = 3", "(a_load_ends_once|a_counter_is_confirmed_once)"),
    ("topup", "load_answer", "request = x'00'", "load_answer_is_never_replaced"),
    ("topup", "terminal", "epoch = 9", "terminal_is_never_replaced"),
    ("topup", "terminal", "id = 9", "a_point_starts_an_epoch_once"),
    ("ledger", "account", "name = 'mine'", "account_is_never_replaced"),
    (
        "ledger",
        "other_entry",
        f"kind = 3, terminal = NULL, ttsn = NULL, {_OPEN_DAY}",
        "(other_entry_is_never_replaced|no_entry_has_.*)",
    ),
    ("ledger", "other_entry", f"id = 9, counter = 9, ttsn = 9, kind = 2, {_OPEN_DAY}", "a_tap_is_posted_once"),
    ("ledger", "other_entry", f"id = 9, seq = 9, ttsn = 9, kind = 2, {_OPEN_DAY}", "a_card_counts_each_tap_once"),
    ("ledger", "other_entry", f"id = 9, seq = 9, counter = 9, kind = 2, {_OPEN_DAY}", "a_tac_pays_for_one_tap"),
    ("ledger", "other_entry", f"id = 9, seq = 9, counter = 9, ttsn = 9, {_OPEN_DAY}", "a_sale_is_reversed_once"),
    (
        "ledger",
        "other_entry",
        f"id = 9, kind = 1, terminal = NULL, ttsn = NULL, {_OPEN_DAY}",
        "a_purse_is_opened_in_the_ledger_once",
    ),
    ("ledger", "other_posting", f"amount_fen = 9, {_OPEN_DAY}", "other_posting_is_never_replaced"),
    ("ledger", "sale_run", f"first_seq = 900, first_ttsn = 900, {_OPEN_DAY}", "(sale_run_is_.*|runs_are_numbered_on)"),
    ("ledger", "sale_run", f"id = 11, {_OPEN_DAY}", "(a_run_begins_once|a_run_is_what_.*|a_run_takes_.*)"),
    ("ledger", "sale", "counter = 9", "a_booked_run_gets_no_more_sales"),
    ("ledger", "sale", "id = 11, run_id = 11", "a_card_counts_each_sale_once"),
    ("ledger", "suspense_item", "amount_fen = 9", "suspense_item_is_never_replaced"),
    ("ledger", "suspense_item", "id = 9", "a_claim_is_suspended_once"),
    ("ledger", "entry_resolution", f"outcome = 2, {_OPEN_DAY}", "entry_resolution_is_never_replaced"),
    ("ledger", "suspense_resolution", "entry_id = NULL", "(suspense_resolution_is_never_replaced|a_cards_.*)"),
    ("ledger", "suspense_resolution", "suspense_item_id = 9", "(an_entry_settles_one_item|a_cards_.*)"),
    ("ledger", "decision", "key = x'02'", "decision_is_never_replaced"),
    ("ledger", "decision", "id = 9", "a_decision_is_read_once"),
    ("ledger", "finished_journal", "epoch = 9", "finished_journal_is_never_replaced"),
    ("ledger", "finished_journal", "id = 9", "a_journal_is_finished_once"),
    ("ledger", "day_close", "day = 20250103", "(day_close_is_never_replaced|days_are_closed_in_their_order)"),
    ("ledger", "day_close", "number = 2", "(a_day_is_closed_once|days_are_closed_in_their_order)"),
    ("ledger", "day_total", "day = 20250103", "day_total_is_never_replaced"),
    ("ledger", "day_total", "id = 9", "(a_day_totals_each_kind_once|a_closed_day_keeps_its_totals)"),
    ("ledger", "day_balance", "day = 20250103", "day_balance_is_never_replaced"),
    ("ledger", "day_balance", "id = 9", "(a_day_has_one_balance_each|a_closed_day_keeps_its_balances)"),
    ("ledger", "terminal_day", "day = 20250103", "terminal_day_is_never_replaced"),
    ("ledger", "terminal_day", "id = 9", "(a_terminals_day_is_cleared_once|a_closed_day_keeps_its_clearing)"),
    ("ledger", "statement", "day = 20250103, number = 9", "statement_is_never_replaced"),
    ("ledger", "statement", "id = 9, day = 20250103", "a_merchants_statements_are_numbered"),
    (
        "ledger",
        "statement",
        "id = 9, number = 9",
        "(a_merchant_has_one_statement_a_day|a_closed_day_keeps_its_statements)",
    ),
    ("ledger", "source_checkpoint", "position = 9", "source_checkpoint_is_never_replaced"),
    ("ledger", "source_checkpoint", "id = 9", "a_cursor_stands_there_once"),
    ("office", "decision", "key = x'02'", "decision_(is_never_replaced|positions_have_no_gap)"),
    ("office", "decision", "position = 2", "a_decision_is_taken_once"),
]


@pytest.mark.parametrize(("alias", "table", "changes", "rule"), REPLACED)
def test_row_of_a_money_table_is_not_replaced_through_any_of_its_keys(
    full_home: Home, alias: str, table: str, changes: str, rule: str
) -> None:
    with sqlite3.connect(full_home.database(alias)) as raw:
        changed = dict(change.split(" = ") for change in changes.split(", "))
        columns = [name for _, name, *_ in raw.execute(f"PRAGMA table_info({table})")]
        values = ", ".join(changed.get(column, column) for column in columns)
        copy = f"SELECT {values} FROM {table} ORDER BY {columns[0]} DESC LIMIT 1"
        with pytest.raises(sqlite3.IntegrityError, match=rf"\A{rule}\Z"):
            raw.execute(f"INSERT OR REPLACE INTO {table} ({', '.join(columns)}) {copy}")
    raw.close()


def test_every_unique_key_is_tried_with_a_replacement(full_home: Home) -> None:
    for alias in ("canteen", "onecard", "ledger", "office"):
        raw = sqlite3.connect(full_home.database(alias))
        tables = {table for one, table, *_ in REPLACED if one == alias}
        assert tables >= {table for one, table, _ in INSERT_ONLY if one == alias}
        keys = {
            table: 1 + sum(unique for _, _, unique, *_ in raw.execute(f"PRAGMA index_list({table})"))
            for table in tables
        }
        raw.close()
        assert keys == {table: sum(case[:2] == (alias, table) for case in REPLACED) for table in tables}


def test_cursor_of_a_source_is_not_replaced_by_an_earlier_one(ledger_db: Database) -> None:
    columns = "source_cursor (source, lineage, position, head_hash)"
    ledger_db.execute(f"INSERT INTO {columns} VALUES ('x', 1, 5, '')")
    for verb in ("INSERT OR REPLACE", "REPLACE"):
        with pytest.raises(RuleBroken, match="source_cursor_is_never_replaced_by_an_earlier_one"):
            ledger_db.execute(f"{verb} INTO {columns} VALUES ('x', 1, 4, '')")
    ledger_db.execute("UPDATE source_cursor SET lineage = 2, position = 4")
    with pytest.raises(RuleBroken, match="source_cursor_moves_forward"):
        ledger_db.execute("UPDATE source_cursor SET lineage = 1, position = 9")


def test_every_table_but_the_named_ones_is_insert_only(home: Home) -> None:
    changing = {"terminal", "sms_contact", "source_cursor", "django_migrations", "sqlite_sequence"}
    changing |= {"pending_load", "purse_balance"}  # which follow from the others
    tables = set()
    for alias in ("canteen", "onecard", "ledger", "topup", "office"):
        with open_reader(home.database(alias), alias) as db:
            names = db.query("SELECT name FROM sqlite_master WHERE type = 'table'", into=str)
            tables |= {(alias, name) for name in names if name not in changing}
    assert tables == {(alias, table) for alias, table, _ in INSERT_ONLY}


def test_datagram_number_never_moves_back(canteen: StreamDriver) -> None:
    canteen.db.execute("INSERT INTO sms_contact VALUES (1, x'010203040506', 1, '861', 1, 1, 7, x'00', x'', 0, 0)")
    for number in (8, 8):
        canteen.db.execute("UPDATE sms_contact SET last_number = %s", (number,))
    with pytest.raises(RuleBroken, match="datagram_number_moves_forward"):
        canteen.db.execute("UPDATE sms_contact SET last_number = 7")
    with pytest.raises(RuleBroken, match="sms_contact_is_never_deleted"):
        canteen.db.execute("DELETE FROM sms_contact")


def test_cursor_of_a_terminal_never_moves_back(canteen: StreamDriver, till: FakeTill) -> None:
    canteen.enrol(till)
    till.tap()
    canteen.accept(till.batch())
    with pytest.raises(RuleBroken, match="cursor_moves_forward"):
        canteen.db.execute("UPDATE terminal SET next_seq = 1")
    with pytest.raises(RuleBroken, match="terminal_keeps_its_identity"):
        canteen.db.execute("UPDATE terminal SET public_key = ''")
    with pytest.raises(RuleBroken, match="terminal_keeps_its_identity"):
        canteen.db.execute("UPDATE OR REPLACE terminal SET rowid = 9")
    with pytest.raises(RuleBroken, match="terminal_is_never_deleted"):
        canteen.db.execute("DELETE FROM terminal")


def test_position_that_leaves_a_gap_is_refused(canteen: StreamDriver, till: FakeTill) -> None:
    canteen.enrol(till)
    till.tap()
    canteen.accept(till.batch())
    columns = "records, hash_before, stream_hash, received_at_utc_s"
    insert = f"INSERT INTO intake (position, next_position, terminal, epoch, first_seq, next_seq, {columns}) SELECT"
    with pytest.raises(RuleBroken, match="positions_have_no_gap"):
        canteen.db.execute(f"{insert} 3, 4, terminal, epoch, 2, 3, {columns} FROM intake")
    for first_seq in (1, 3):
        with pytest.raises(RuleBroken, match="a_journal_is_taken_in_without_gap"):
            canteen.db.execute(f"{insert} 2, 3, terminal, epoch, {first_seq}, {first_seq + 1}, {columns} FROM intake")
    with pytest.raises(RuleBroken, match="an_intake_has_all_its_records"):
        canteen.db.execute(f"{insert} 2, 4, terminal, epoch, 2, 4, {columns} FROM intake")


def test_broken_rule_is_named(ledger_db: Database) -> None:
    ledger_db.execute(
        "INSERT INTO other_entry (id, kind, source, source_position, card, counter, amount_fen, subsidy_fen,"
        " happened_at_utc_s, clock_quality, received_at_utc_s, accounting_day)"
        " VALUES (1, 1, '', 1, '', 1, 1, 0, 1, 1, 1, 20250101)"
    )
    with pytest.raises(RuleBroken, match="a_posting_moves_money"):
        ledger_db.execute(
            "INSERT INTO other_posting (id, entry_id, account_id, amount_fen, accounting_day) VALUES (1, 1, 1001, 0, 1)"
        )


def test_writer_is_durable_and_bound_to_foreign_keys(ledger_db: Database) -> None:
    assert ledger_db.query("PRAGMA journal_mode", into=str) == ["wal"]
    assert ledger_db.number("PRAGMA synchronous") == 2
    assert ledger_db.number("PRAGMA foreign_keys") == 1
    with pytest.raises(RuleBroken):
        ledger_db.execute("INSERT INTO other_posting (entry_id, account_id, amount_fen) VALUES (99, 1001, 1)")


def test_reader_reads_beside_the_writer_and_cannot_write(home: Home, ledger_db: Database) -> None:
    with open_reader(home.database("ledger"), "ledger") as reader:
        ledger_db.execute("INSERT INTO source_cursor VALUES ('x', 1, 1, '')")
        assert reader.number("SELECT count(*) FROM source_cursor") == 1
        with pytest.raises(StoreFault, match="readonly"):
            reader.execute("INSERT INTO source_cursor VALUES ('y', 1, 1, '')")


def test_failed_transaction_leaves_nothing_and_the_next_one_works(ledger_db: Database) -> None:
    def fail() -> None:
        with ledger_db.transaction():
            ledger_db.execute("INSERT INTO source_cursor VALUES ('x', 1, 1, '')")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    with ledger_db.transaction():
        assert ledger_db.number("SELECT count(*) FROM source_cursor") == 0


def test_migrate_makes_a_database_once(tmp_path: Path) -> None:
    path = tmp_path / "new" / "canteen.db"
    assert migrate(path, "canteen")
    assert not migrate(path, "canteen")


def test_database_that_was_never_made_is_named(tmp_path: Path) -> None:
    with pytest.raises(SchemaMissing, match="init"):
        open_reader(tmp_path / "canteen.db", "canteen")


@pytest.mark.parametrize("open_it", [open_reader, open_writer])
def test_database_of_another_version_is_refused(tmp_path: Path, home: Home, open_it: type) -> None:
    with sqlite3.connect(home.database("ledger")) as raw:
        raw.execute("INSERT INTO django_migrations (app, name, applied) VALUES ('ledger', '0099_later', '')")
    raw.close()
    with pytest.raises(SchemaMissing, match="other tables"):
        open_it(home.database("ledger"), "ledger")


def test_file_that_is_no_database_is_a_typed_fault(tmp_path: Path) -> None:
    path = tmp_path / "canteen.db"
    path.write_bytes(b"this is text and no database at all" * 100)
    with pytest.raises((StoreFault, SchemaMissing)):
        open_reader(path, "canteen")


def test_each_database_holds_the_tables_of_one_app() -> None:
    router = OneAppEach()
    held = {
        alias: [app for app in ("stream", "ledger", "onecard", "topup", "office") if router.allow_migrate(alias, app)]
        for alias in ALIASES
    }
    assert held == {
        "canteen": ["stream"],
        "shops": ["stream"],
        "supermarket": ["stream"],
        "tuition": ["stream"],
        "ledger": ["ledger"],
        "onecard": ["onecard"],
        "topup": ["topup"],
        "office": ["office"],
    }
