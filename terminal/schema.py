"""The tables of `journal.db`, with the rules that the database keeps: nothing is changed, deleted or left out."""

from __future__ import annotations

from typing import Final

SCHEMA: Final = """
CREATE TABLE journal (
    id INTEGER PRIMARY KEY CONSTRAINT one_journal_a_file CHECK (id = 1),
    terminal BLOB NOT NULL CONSTRAINT terminal_has_six_bytes CHECK (length(terminal) = 6),
    epoch INTEGER NOT NULL CONSTRAINT epoch_starts_at_one CHECK (epoch BETWEEN 1 AND 65535)
) STRICT;

CREATE TABLE boot (
    boot INTEGER PRIMARY KEY,
    boot_id TEXT NOT NULL CONSTRAINT a_boot_is_counted_once UNIQUE
) STRICT;

CREATE TABLE opened (
    seq INTEGER PRIMARY KEY,
    intent BLOB NOT NULL,
    hash BLOB NOT NULL CONSTRAINT intent_hash_has_32_bytes CHECK (length(hash) = 32),
    meals INTEGER NOT NULL CONSTRAINT a_sale_is_one_meal_or_more CHECK (meals > 0)
) STRICT;

CREATE TABLE sealed (
    seq INTEGER PRIMARY KEY,
    record BLOB NOT NULL,
    hash BLOB NOT NULL CONSTRAINT hash_has_32_bytes CHECK (length(hash) = 32),
    total_fen INTEGER NOT NULL CONSTRAINT total_never_falls_below_zero CHECK (total_fen >= 0)
) STRICT;

CREATE TRIGGER opened_follows_the_last_sealed BEFORE INSERT ON opened
WHEN NEW.seq <> (SELECT coalesce(max(seq), 0) FROM sealed) + 1
BEGIN SELECT RAISE(ABORT, 'opened_follows_the_last_sealed'); END;

CREATE TRIGGER sealed_has_no_gap BEFORE INSERT ON sealed
WHEN NEW.seq <> (SELECT coalesce(max(seq), 0) FROM sealed) + 1
BEGIN SELECT RAISE(ABORT, 'sealed_has_no_gap'); END;

-- INSERT OR REPLACE would change the row without firing the triggers below.
CREATE TRIGGER journal_is_named_once BEFORE INSERT ON journal WHEN EXISTS (SELECT 1 FROM journal)
BEGIN SELECT RAISE(ABORT, 'journal_is_named_once'); END;

CREATE TRIGGER journal_is_never_changed BEFORE UPDATE ON journal
BEGIN SELECT RAISE(ABORT, 'journal_is_never_changed'); END;
CREATE TRIGGER journal_is_never_deleted BEFORE DELETE ON journal
BEGIN SELECT RAISE(ABORT, 'journal_is_never_deleted'); END;
CREATE TRIGGER opened_is_never_changed BEFORE UPDATE ON opened
BEGIN SELECT RAISE(ABORT, 'opened_is_never_changed'); END;
CREATE TRIGGER opened_is_never_deleted BEFORE DELETE ON opened
BEGIN SELECT RAISE(ABORT, 'opened_is_never_deleted'); END;
CREATE TRIGGER sealed_is_never_changed BEFORE UPDATE ON sealed
BEGIN SELECT RAISE(ABORT, 'sealed_is_never_changed'); END;
CREATE TRIGGER sealed_is_never_deleted BEFORE DELETE ON sealed
BEGIN SELECT RAISE(ABORT, 'sealed_is_never_deleted'); END;

CREATE TABLE shift_opened (
    number INTEGER PRIMARY KEY CONSTRAINT shift_number_starts_at_one CHECK (number > 0),
    cashier BLOB NOT NULL CONSTRAINT cashier_has_18_bytes CHECK (length(cashier) = 18),
    first_seq INTEGER NOT NULL CONSTRAINT first_seq_starts_at_one CHECK (first_seq > 0),
    opening_cash_fen INTEGER NOT NULL CONSTRAINT opening_cash_is_no_debt CHECK (opening_cash_fen >= 0),
    utc_s INTEGER NOT NULL,
    boot INTEGER NOT NULL,
    uptime_s INTEGER NOT NULL,
    quality INTEGER NOT NULL
) STRICT;

CREATE TABLE cash_sale (
    number INTEGER PRIMARY KEY CONSTRAINT cash_number_starts_at_one CHECK (number > 0),
    shift INTEGER NOT NULL,
    amount_fen INTEGER NOT NULL CONSTRAINT cash_is_positive CHECK (amount_fen > 0),
    utc_s INTEGER NOT NULL
) STRICT;

CREATE TABLE shift_closed (
    number INTEGER PRIMARY KEY,
    next_seq INTEGER NOT NULL,
    report BLOB NOT NULL,
    hash BLOB NOT NULL CONSTRAINT report_hash_has_32_bytes CHECK (length(hash) = 32)
) STRICT;

CREATE TRIGGER a_shift_follows_the_one_that_closed BEFORE INSERT ON shift_opened
WHEN NEW.number <> (SELECT coalesce(max(number), 0) FROM shift_closed) + 1
    OR EXISTS (SELECT 1 FROM shift_opened WHERE number >= NEW.number)
BEGIN SELECT RAISE(ABORT, 'a_shift_follows_the_one_that_closed'); END;

CREATE TRIGGER a_shift_begins_where_the_last_ended BEFORE INSERT ON shift_opened
WHEN NEW.first_seq <> coalesce((SELECT next_seq FROM shift_closed ORDER BY number DESC LIMIT 1), 1)
BEGIN SELECT RAISE(ABORT, 'a_shift_begins_where_the_last_ended'); END;

CREATE TRIGGER only_the_open_shift_is_closed BEFORE INSERT ON shift_closed
WHEN NEW.number <> (SELECT coalesce(max(number), 0) FROM shift_opened)
    OR EXISTS (SELECT 1 FROM shift_closed WHERE number >= NEW.number)
BEGIN SELECT RAISE(ABORT, 'only_the_open_shift_is_closed'); END;

CREATE TRIGGER a_shift_closes_after_the_last_tap BEFORE INSERT ON shift_closed
WHEN NEW.next_seq <> (SELECT coalesce(max(seq), 0) FROM sealed) + 1
BEGIN SELECT RAISE(ABORT, 'a_shift_closes_after_the_last_tap'); END;

CREATE TRIGGER no_shift_closes_over_an_open_tap BEFORE INSERT ON shift_closed
WHEN EXISTS (SELECT 1 FROM opened WHERE seq > (SELECT coalesce(max(seq), 0) FROM sealed))
BEGIN SELECT RAISE(ABORT, 'no_shift_closes_over_an_open_tap'); END;

CREATE TRIGGER cash_is_taken_in_the_open_shift BEFORE INSERT ON cash_sale
WHEN NEW.shift <> (SELECT coalesce(max(number), 0) FROM shift_opened)
    OR EXISTS (SELECT 1 FROM shift_closed WHERE number >= NEW.shift)
BEGIN SELECT RAISE(ABORT, 'cash_is_taken_in_the_open_shift'); END;

CREATE TRIGGER cash_has_no_gap BEFORE INSERT ON cash_sale
WHEN NEW.number <> (SELECT coalesce(max(number), 0) FROM cash_sale) + 1
BEGIN SELECT RAISE(ABORT, 'cash_has_no_gap'); END;

CREATE TRIGGER shift_opened_is_never_changed BEFORE UPDATE ON shift_opened
BEGIN SELECT RAISE(ABORT, 'shift_opened_is_never_changed'); END;
CREATE TRIGGER shift_opened_is_never_deleted BEFORE DELETE ON shift_opened
BEGIN SELECT RAISE(ABORT, 'shift_opened_is_never_deleted'); END;
CREATE TRIGGER cash_sale_is_never_changed BEFORE UPDATE ON cash_sale
BEGIN SELECT RAISE(ABORT, 'cash_sale_is_never_changed'); END;
CREATE TRIGGER cash_sale_is_never_deleted BEFORE DELETE ON cash_sale
BEGIN SELECT RAISE(ABORT, 'cash_sale_is_never_deleted'); END;
CREATE TRIGGER shift_closed_is_never_changed BEFORE UPDATE ON shift_closed
BEGIN SELECT RAISE(ABORT, 'shift_closed_is_never_changed'); END;
CREATE TRIGGER shift_closed_is_never_deleted BEFORE DELETE ON shift_closed
BEGIN SELECT RAISE(ABORT, 'shift_closed_is_never_deleted'); END;
"""
