"""The tables of `uplink.db` in numbered steps; a step that was shipped is never edited. Left out: using them."""

from __future__ import annotations

from typing import Final

_FIRST_TABLES: Final = """
CREATE TABLE enrolment (
    id INTEGER PRIMARY KEY CONSTRAINT one_enrolment CHECK (id = 1),
    terminal BLOB NOT NULL CONSTRAINT terminal_has_six_bytes CHECK (length(terminal) = 6),
    epoch INTEGER NOT NULL CONSTRAINT epoch_starts_at_one CHECK (epoch BETWEEN 1 AND 65535),
    stream INTEGER NOT NULL CONSTRAINT stream_is_one_of_four CHECK (stream BETWEEN 1 AND 4),
    enrolled_at_utc_s INTEGER NOT NULL,
    ticket_digest BLOB NOT NULL
) STRICT;

CREATE TABLE cursor (
    id INTEGER PRIMARY KEY CONSTRAINT one_cursor CHECK (id = 1),
    epoch INTEGER NOT NULL,
    next_seq INTEGER NOT NULL CONSTRAINT next_seq_starts_at_one CHECK (next_seq > 0),
    head_hash BLOB NOT NULL CONSTRAINT hash_has_32_bytes CHECK (length(head_hash) = 32),
    heard_at_utc_s INTEGER
) STRICT;

CREATE TABLE batches (
    first_seq INTEGER PRIMARY KEY,
    next_seq INTEGER NOT NULL CONSTRAINT batch_is_not_empty CHECK (next_seq > first_seq),
    raw BLOB NOT NULL,
    receipt BLOB
) STRICT;
CREATE UNIQUE INDEX one_unanswered_batch ON batches (receipt IS NULL) WHERE receipt IS NULL;

CREATE TABLE suspended (seq INTEGER PRIMARY KEY, reason INTEGER NOT NULL) STRICT;

CREATE TABLE hotlist (
    id INTEGER PRIMARY KEY CONSTRAINT one_hotlist CHECK (id = 1),
    body BLOB NOT NULL,
    received_at_utc_s INTEGER NOT NULL
) STRICT;

CREATE TABLE counters (
    id INTEGER PRIMARY KEY CONSTRAINT one_row_of_counters CHECK (id = 1),
    bytes_sent INTEGER NOT NULL,
    bytes_received INTEGER NOT NULL,
    batches INTEGER NOT NULL
) STRICT;
INSERT INTO counters VALUES (1, 0, 0, 0);
"""

_VERDICT_AND_CLOCK: Final = """
CREATE TABLE verdict (
    id INTEGER PRIMARY KEY CONSTRAINT one_verdict CHECK (id = 1),
    code TEXT NOT NULL,
    words TEXT NOT NULL,
    since_utc_s INTEGER NOT NULL
) STRICT;

CREATE TABLE server_clock (
    id INTEGER PRIMARY KEY CONSTRAINT one_server_clock CHECK (id = 1),
    ahead_s INTEGER NOT NULL,
    heard_at_utc_s INTEGER NOT NULL
) STRICT;
"""

_TLS_SESSION: Final = """
CREATE TABLE tls_session (
    id INTEGER PRIMARY KEY CONSTRAINT one_tls_session CHECK (id = 1),
    owner BLOB NOT NULL CONSTRAINT owner_has_32_bytes CHECK (length(owner) = 32),
    session BLOB NOT NULL
) STRICT;
"""

_LOADS: Final = """
CREATE TABLE enrolment_with_any_gateway (
    id INTEGER PRIMARY KEY CONSTRAINT one_enrolment CHECK (id = 1),
    terminal BLOB NOT NULL CONSTRAINT terminal_has_six_bytes CHECK (length(terminal) = 6),
    epoch INTEGER NOT NULL CONSTRAINT epoch_starts_at_one CHECK (epoch BETWEEN 1 AND 65535),
    stream INTEGER NOT NULL CONSTRAINT stream_is_known CHECK (stream BETWEEN 1 AND 5),
    enrolled_at_utc_s INTEGER NOT NULL,
    ticket_digest BLOB NOT NULL
) STRICT;
INSERT INTO enrolment_with_any_gateway
    SELECT id, terminal, epoch, stream, enrolled_at_utc_s, ticket_digest FROM enrolment;
DROP TABLE enrolment;
ALTER TABLE enrolment_with_any_gateway RENAME TO enrolment;

CREATE TABLE loads (
    number INTEGER PRIMARY KEY CONSTRAINT load_number_starts_at_one CHECK (number > 0),
    request BLOB NOT NULL,
    granted BLOB,
    tac BLOB CONSTRAINT tac_needs_a_grant CHECK (tac IS NULL OR granted IS NOT NULL),
    ended INTEGER CONSTRAINT load_end_is_known CHECK (ended BETWEEN 1 AND 3)
) STRICT;
"""

_LINKS: Final = """
CREATE TABLE strain (
    id INTEGER PRIMARY KEY CONSTRAINT one_strain CHECK (id = 1),
    rounds INTEGER NOT NULL CONSTRAINT rounds_are_counted CHECK (rounds >= 0),
    last_at_utc_s INTEGER NOT NULL
) STRICT;

CREATE TABLE sms_sent (at_utc_s INTEGER NOT NULL) STRICT;

CREATE TABLE refused_pins (
    iccid TEXT PRIMARY KEY,
    pin_digest BLOB NOT NULL CONSTRAINT digest_has_32_bytes CHECK (length(pin_digest) = 32)
) STRICT;

CREATE TABLE links_seen (
    id INTEGER PRIMARY KEY CONSTRAINT one_row_of_links CHECK (id = 1),
    body TEXT NOT NULL
) STRICT;
"""

_MESSAGES: Final = """
CREATE TABLE datagrams (
    id INTEGER PRIMARY KEY CONSTRAINT one_row_of_datagrams CHECK (id = 1),
    last_number INTEGER NOT NULL CONSTRAINT numbers_start_at_one CHECK (last_number > 0),
    first_seq INTEGER NOT NULL,
    next_seq INTEGER NOT NULL CONSTRAINT datagram_carries_taps CHECK (next_seq > first_seq),
    raw BLOB NOT NULL
) STRICT;
"""

_PIN_TRIES: Final = "ALTER TABLE refused_pins ADD COLUMN tries_before INTEGER;"

_CONFIGURATION: Final = """
CREATE TABLE configuration (
    id INTEGER PRIMARY KEY CONSTRAINT one_configuration CHECK (id = 1),
    body BLOB NOT NULL
) STRICT;
"""

# An outlet's newest version stays known when the terminal stands in another: an old one is never taken again.
_CONFIGURATION_VERSIONS: Final = """
CREATE TABLE configuration_versions (
    outlet INTEGER PRIMARY KEY CONSTRAINT outlets_start_at_one CHECK (outlet > 0),
    newest INTEGER NOT NULL CONSTRAINT versions_start_at_one CHECK (newest > 0)
) STRICT;
"""

_SHIFTS: Final = """
CREATE TABLE shifts_acknowledged (
    id INTEGER PRIMARY KEY CONSTRAINT one_row_of_shifts CHECK (id = 1),
    number INTEGER NOT NULL CONSTRAINT shifts_are_counted CHECK (number >= 0)
) STRICT;
INSERT INTO shifts_acknowledged VALUES (1, 0);
"""

MIGRATIONS: Final = (
    _FIRST_TABLES,
    _VERDICT_AND_CLOCK,
    _TLS_SESSION,
    _LOADS,
    _LINKS,
    _MESSAGES,
    _PIN_TRIES,
    _CONFIGURATION,
    _SHIFTS,
    _CONFIGURATION_VERSIONS,
)  # PRAGMA user_version counts them; 0 stands for the first
