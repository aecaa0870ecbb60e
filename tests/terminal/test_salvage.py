"""What is found in the bytes of a damaged journal: everything the chain proves, whatever else is gone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from terminal.journal import Journal
from terminal.salvage import Salvaged, debits_fen, salvage
from tests.terminal.conftest import INTENT, TERMINAL
from wire.money import Fen
from wire.record import Mac2, Refusal, TapRecord, VoidReason, genesis_hash, next_hash

TAPS = 200


@pytest.fixture
def files(open_journal: Callable[[], Journal], tmp_path: Path) -> tuple[list[bytes], list[TapRecord]]:
    """The bytes of a journal with every kind of end, and its sealed taps; the last tap is open."""
    journal = open_journal()
    with journal._db:  # one commit for all
        for count in range(1, TAPS + 1):
            if count % 10 == 3:
                journal.refuse_tap(INTENT, Refusal.EXPIRED)
                continue
            tap = journal.open_tap(replace(INTENT, amount_fen=Fen(count)))
            match count % 10:
                case 4:
                    journal.void_tap(tap, VoidReason.NOT_EXECUTED)
                case 5:
                    journal.seal_unknown(tap)
                case _:
                    journal.seal_tap(tap, tac=b"TAC!", mac2=Mac2.VERIFIED)
        journal.open_tap(INTENT)
    taps = journal.records(1, TAPS + 1)
    journal.close()
    return [(tmp_path / "journal.db").read_bytes()], taps


def salvaged(pieces: list[bytes]) -> Salvaged:
    return salvage(pieces, TERMINAL, 1)


def test_whole_journal_is_proven_to_its_end_and_the_open_tap_is_evidence(
    files: tuple[list[bytes], list[TapRecord]],
) -> None:
    pieces, taps = files
    found = salvaged(pieces)
    assert found.proven == taps
    assert found.total_fen == sum(tap.debited_fen for tap in taps)
    assert [tap.tap_id.seq for tap in found.beyond] == [TAPS + 1]
    assert debits_fen(found.beyond) == (0, INTENT.amount_fen)


def test_lost_header_hides_nothing(files: tuple[list[bytes], list[TapRecord]]) -> None:
    [content], taps = files
    assert salvaged([bytes(100) + content[100:]]).proven == taps


@pytest.mark.parametrize("at", range(0, TAPS, 17))
def test_changed_record_ends_what_is_proven(files: tuple[list[bytes], list[TapRecord]], at: int) -> None:
    [content], taps = files
    raw = taps[at].to_bytes()
    broken = content.replace(raw, raw[:40] + bytes((raw[40] ^ 1,)) + raw[41:])  # in every copy that SQLite left
    assert broken != content
    found = salvaged([broken])
    assert found.proven == taps[:at]
    seqs = {tap.tap_id.seq for tap in found.beyond_from(at + 2)}
    assert seqs == set(range(at + 2, TAPS + 2))


def test_another_terminal_or_epoch_has_no_row_in_it(files: tuple[list[bytes], list[TapRecord]]) -> None:
    assert salvage(files[0], TERMINAL, 2) == Salvaged([], [], [])


@given(st.binary(max_size=2_000), st.integers(0, 2_000))
def test_garbage_proves_nothing(content: bytes, at: int) -> None:
    name = b"\x02" + TERMINAL + b"\x00\x01"
    assert salvaged([content[:at] + name + content[at:]]).proven == []


def test_of_two_rows_that_follow_the_one_is_taken_that_goes_on(files: tuple[list[bytes], list[TapRecord]]) -> None:
    """A commit that a power cut left in the -wal, and the one that came in its place."""
    pieces, taps = files
    other = replace(taps[0], tac=b"ELSE")
    row = row_of(other, genesis_hash(TERMINAL, 1))
    assert salvaged([*pieces, row]).proven == taps
    end = replace(taps[0], tac=b"LAST")
    assert salvaged([row, row_of(end, genesis_hash(TERMINAL, 1))]).proven == []
    assert salvaged([row]).proven == [other]


def row_of(record: TapRecord, before: bytes) -> bytes:
    """A row of `sealed` as SQLite keeps it, with a total of less than 128."""
    raw = record.to_bytes()
    return bytes((6, 0, 0x81, 0x28, 0x4C, 1)) + raw + next_hash(before, raw) + bytes((record.debited_fen,))
