"""`uplink.db`: each method one commit, nothing lost by reopening, and a cursor that late receipts cannot move back."""

from __future__ import annotations

import resource
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sync.outbox import next_batch
from sync.policy import Strain
from sync.store import (
    ANSWERED_KEPT,
    Counters,
    Enrolment,
    KeptLoad,
    LoadEnd,
    NotEnrolled,
    UplinkReader,
    UplinkStore,
    Verdict,
)
from sync.storefile import StoreDamaged, StoreInUse, StoreMissing, StoreUnwritable
from sync.tables import MIGRATIONS
from wire.hotlist import EMPTY_HOTLIST, Hotlist
from wire.ids import Asn, CardId, IssuerId
from wire.load import LoadGrant, LoadInit, LoadRequest
from wire.money import Fen
from wire.receipt import BatchReceipt, Cursor, Suspense
from wire.record import genesis_hash

if TYPE_CHECKING:
    from tests.sync.conftest import Till

CARD = CardId(IssuerId(bytes(8)), Asn(bytes(10)))
# What the first version did not have.
LATER_TABLES = (
    "verdict",
    "server_clock",
    "tls_session",
    "loads",
    "strain",
    "sms_sent",
    "refused_pins",
    "links_seen",
    "datagrams",
    "configuration",
    "configuration_versions",
    "shifts_acknowledged",
)


def _receipt(till: Till, next_seq: int, *suspended: tuple[int, Suspense]) -> BatchReceipt:
    return BatchReceipt(Cursor(1, next_seq, till.reader.hash_before(next_seq)), suspended)


def _rows(store: UplinkStore, sql: str) -> list[tuple[object, ...]]:
    return store._all(sql)


def test_new_enrolment_starts_at_the_journals_start(store: UplinkStore, enrolment: Enrolment) -> None:
    assert store.enrolment() == enrolment
    assert store.cursor() == Cursor(1, 1, genesis_hash(enrolment.terminal, 1))
    assert store.heard_at_utc_s() is None
    assert (store.unanswered(), store.suspended(), store.hotlist()) == (None, [], EMPTY_HOTLIST)
    assert store.counters() == Counters(0, 0, 0)


def test_terminal_without_enrolment_says_so(folder: Path) -> None:
    store = UplinkStore.open_or_make(folder / "uplink.db")
    assert store.enrolment() is None
    for ask in (store.enrolled, store.cursor):
        with pytest.raises(NotEnrolled, match="run campus-syncd enrol"):
            ask()
    store.close()


def test_second_writer_is_refused_and_a_reader_is_not(store: UplinkStore, folder: Path) -> None:
    with pytest.raises(StoreInUse):
        UplinkStore.open_or_make(folder / "uplink.db")
    reader = UplinkReader.open(folder / "uplink.db")
    store.save_hotlist(Hotlist(4, frozenset({CARD})), received_at_utc_s=5)
    assert reader.hotlist() == Hotlist(4, frozenset({CARD}))
    reader.close()


def test_cut_survives_the_process_until_its_receipt(
    store: UplinkStore, till: Till, key: Ed25519PrivateKey, folder: Path
) -> None:
    till.tap(2)
    signed = next_batch(store, till.reader, key, till.coder)
    assert signed is not None
    store.close()  # as a killed process leaves it: cut, perhaps sent, not marked
    till.tap(1)
    again = UplinkStore.open_or_make(folder / "uplink.db")
    assert next_batch(again, till.reader, key, till.coder) == signed
    assert again.mark(_receipt(till, 3), heard_at_utc_s=9)
    assert again.unanswered() is None
    assert (again.cursor().next_seq, again.heard_at_utc_s()) == (3, 9)
    again.close()


def test_same_receipt_twice_changes_nothing(store: UplinkStore, till: Till, key: Ed25519PrivateKey) -> None:
    till.tap(2)
    next_batch(store, till.reader, key, till.coder)
    receipt = _receipt(till, 3, (1, Suspense.TAC_WRONG))
    assert store.mark(receipt, heard_at_utc_s=9)
    assert not store.mark(receipt, heard_at_utc_s=99)
    assert (store.cursor().next_seq, store.heard_at_utc_s()) == (3, 9)
    assert store.suspended() == [(1, Suspense.TAC_WRONG)]


def test_late_receipt_never_moves_the_cursor_back_nor_answers_a_newer_batch(
    store: UplinkStore, till: Till, key: Ed25519PrivateKey
) -> None:
    till.tap(1)
    next_batch(store, till.reader, key, till.coder)
    early = _receipt(till, 2)
    store.mark(early, heard_at_utc_s=1)
    till.tap(1)
    newer = next_batch(store, till.reader, key, till.coder)
    assert newer is not None
    assert not store.mark(early, heard_at_utc_s=2)
    assert store.unanswered() == newer.raw
    store.mark(_receipt(till, 3), heard_at_utc_s=3)
    assert not store.mark(early, heard_at_utc_s=4)
    assert store.cursor().next_seq == 3


def test_server_that_is_behind_is_followed_and_its_later_answers_forgotten(
    store: UplinkStore, till: Till, key: Ed25519PrivateKey
) -> None:
    for next_seq in (2, 3, 4):
        till.tap(1)
        next_batch(store, till.reader, key, till.coder)
        store.mark(_receipt(till, next_seq, (next_seq - 1, Suspense.TAC_WRONG)), heard_at_utc_s=1)
    till.tap(1)
    next_batch(store, till.reader, key, till.coder)
    store.follow(_receipt(till, 2).cursor, heard_at_utc_s=7)
    assert store.cursor() == _receipt(till, 2).cursor
    assert store.unanswered() is None
    assert store.suspended() == [(1, Suspense.TAC_WRONG)]
    again = next_batch(store, till.reader, key, till.coder)
    assert again is not None
    assert (again.first_seq, again.next_seq) == (2, 5)


def test_only_the_last_answered_batches_are_kept(store: UplinkStore, till: Till, key: Ed25519PrivateKey) -> None:
    for next_seq in range(2, ANSWERED_KEPT + 5):
        till.tap(1)
        next_batch(store, till.reader, key, till.coder)
        store.mark(_receipt(till, next_seq), heard_at_utc_s=1)
    kept = [row[0] for row in _rows(store, "SELECT first_seq FROM batches")]
    assert kept == list(range(4, ANSWERED_KEPT + 4))


def test_fault_inside_a_commit_leaves_all_as_it_was(store: UplinkStore, till: Till, key: Ed25519PrivateKey) -> None:
    till.tap(1)
    next_batch(store, till.reader, key, till.coder)
    wrong = BatchReceipt(Cursor(1, 2, b"short"), ())
    with pytest.raises(sqlite3.IntegrityError, match="hash_has_32_bytes"):
        store.mark(wrong, heard_at_utc_s=1)
    assert store.cursor().next_seq == 1
    assert store.unanswered() is not None
    assert store.mark(_receipt(till, 2), heard_at_utc_s=1)


@contextmanager
def _full_disk() -> Iterator[None]:
    """No file of this process takes another byte."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_commit_on_a_full_disk_is_a_typed_fault_that_leaves_all_as_it_was(
    store: UplinkStore, till: Till, key: Ed25519PrivateKey
) -> None:
    till.tap(1)
    with _full_disk(), pytest.raises(StoreUnwritable, match=r"uplink\.db cannot be written") as caught:
        next_batch(store, till.reader, key, till.coder)
    assert caught.value.retryable
    assert store.unanswered() is None
    assert next_batch(store, till.reader, key, till.coder) is not None
    assert store.mark(_receipt(till, 2), heard_at_utc_s=1)


def test_statement_that_finds_no_room_is_a_typed_fault_and_the_next_one_succeeds(store: UplinkStore) -> None:
    [(pages,)] = _rows(store, "PRAGMA page_count")
    big = Hotlist(1, frozenset(CardId(IssuerId(bytes(8)), Asn(number.to_bytes(10, "big"))) for number in range(900)))
    store._write(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(StoreUnwritable, match="full"):
        store.save_hotlist(big, received_at_utc_s=1)
    assert store.hotlist() == EMPTY_HOTLIST
    store._write(f"PRAGMA max_page_count = {1000}")
    store.save_hotlist(big, received_at_utc_s=1)
    assert store.hotlist() == big


def test_database_that_another_process_holds_is_a_typed_fault(store: UplinkStore, folder: Path) -> None:
    store._write("PRAGMA busy_timeout = 1")
    with closing(sqlite3.connect(folder / "uplink.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreUnwritable, match="locked"):
            store.count(bytes_sent=1, bytes_received=1, batches=0)
    store.count(bytes_sent=1, bytes_received=1, batches=0)


def test_database_cannot_be_made_on_a_full_disk_nor_where_there_is_no_folder(folder: Path) -> None:
    with _full_disk(), pytest.raises(StoreUnwritable):
        UplinkStore.open_or_make(folder / "uplink.db")
    assert not (folder / "uplink.db").exists()
    with pytest.raises(StoreUnwritable):
        UplinkStore.open_or_make(folder / "none" / "uplink.db")
    UplinkStore.open_or_make(folder / "uplink.db").close()


def test_two_batches_without_answer_are_impossible_in_the_file_itself(
    store: UplinkStore, till: Till, key: Ed25519PrivateKey
) -> None:
    till.tap(1)
    next_batch(store, till.reader, key, till.coder)
    with pytest.raises(sqlite3.IntegrityError):
        store._write("INSERT INTO batches VALUES (?, ?, ?, NULL)", (5, 6, b"raw"))


def test_counters_add_up(store: UplinkStore) -> None:
    store.count(bytes_sent=5, bytes_received=7, batches=0)
    store.count(bytes_sent=1, bytes_received=1, batches=1)
    assert store.counters() == Counters(6, 8, 1)


def test_wal_and_full_sync_are_in_force(store: UplinkStore) -> None:
    assert _rows(store, "PRAGMA journal_mode") == [("wal",)]
    assert _rows(store, "PRAGMA synchronous") == [(2,)]


def test_file_not_in_wal_mode_is_refused(store: UplinkStore, folder: Path) -> None:
    store.close()
    connection = sqlite3.connect(folder / "uplink.db")
    connection.execute("PRAGMA journal_mode = DELETE")
    connection.close()
    with pytest.raises(StoreDamaged, match="mode delete"):
        UplinkStore.open_or_make(folder / "uplink.db")


def test_file_that_is_no_database_is_refused(folder: Path) -> None:
    (folder / "uplink.db").write_bytes(b"this is no database, but long enough to be read as one" * 20)
    with pytest.raises(StoreDamaged):
        UplinkStore.open_or_make(folder / "uplink.db")
    with pytest.raises(StoreDamaged):
        UplinkReader.open(folder / "uplink.db")


def test_same_verdict_again_stands_since_it_first_came_and_another_one_anew(store: UplinkStore) -> None:
    store.save_verdict(Verdict("FORK", "first words", 10))
    store.save_verdict(Verdict("FORK", "other words", 20))
    assert store.verdict() == Verdict("FORK", "other words", 10)
    store.save_verdict(Verdict("QUARANTINED", "set aside", 30))
    assert store.verdict() == Verdict("QUARANTINED", "set aside", 30)


def test_receipt_and_welcome_clear_the_verdict_with_their_commit(store: UplinkStore, till: Till) -> None:
    till.tap(1)
    store.save_verdict(Verdict("FORK", "words", 10))
    store.mark(_receipt(till, 1), heard_at_utc_s=1)  # a repeated one, too: it does not move the cursor
    assert store.verdict() is None
    store.save_verdict(Verdict("FORK", "words", 10))
    store.follow(_receipt(till, 2).cursor, heard_at_utc_s=1)
    assert store.verdict() is None


def test_file_of_the_first_version_is_read_as_it_is_and_brought_up_to_date_by_the_writer(
    store: UplinkStore, enrolment: Enrolment, folder: Path
) -> None:
    for table in LATER_TABLES:
        store._write(f"DROP TABLE {table}")
    store._write("PRAGMA user_version = 0")
    store.close()
    reader = UplinkReader.open(folder / "uplink.db")
    assert (reader.enrolment(), reader.verdict(), reader.server_ahead_s()) == (enrolment, None, None)
    for _ in range(2):
        again = UplinkStore.open_or_make(folder / "uplink.db")
        again.save_verdict(Verdict("FORK", "words", 10))
        again.save_server_clock(ahead_s=-5, heard_at_utc_s=1)
        assert (again.enrolment(), _rows(again, "PRAGMA user_version")) == (enrolment, [(len(MIGRATIONS),)])
        again.close()
    assert (reader.verdict(), reader.server_ahead_s()) == (Verdict("FORK", "words", 10), -5)
    reader.close()


def test_missing_file_is_not_made_by_a_reader(folder: Path) -> None:
    with pytest.raises(StoreMissing):
        UplinkReader.open(folder / "uplink.db")
    assert not (folder / "uplink.db").exists()


def test_loads_are_kept_until_their_end(tmp_path: Path) -> None:
    store = UplinkStore.open_or_make(tmp_path / "uplink.db")
    init = LoadInit(
        balance_fen=Fen(1),
        amount_fen=Fen(2),
        online_counter=3,
        key_version=1,
        algorithm=0,
        random=b"rand",
        mac1=b"mac1",
    )
    requests = [LoadRequest(number=number, card=CARD, init=init) for number in (1, 2, 3)]
    for request in requests:
        store.begin_load(request)
    assert (store.last_load_number(), store.open_loads()) == (3, [])
    for number in (1, 2):
        store.save_grant(LoadGrant(number=number, granted_at_utc_s=5, mac2=b"mac2"))
    store.save_tac(2, b"tac2")
    store.close()
    store = UplinkStore.open_or_make(tmp_path / "uplink.db")
    assert store.open_loads() == [KeptLoad(requests[0], None), KeptLoad(requests[1], b"tac2")]
    store.end_load(1, LoadEnd.VOIDED)
    store.end_load(2, LoadEnd.POSTED)
    store.end_load(2, LoadEnd.VOIDED)
    assert store.open_loads() == []
    assert _rows(store, "SELECT ended FROM loads") == [(2,), (1,), (None,)]
    store.close()


def test_budgets_are_kept_and_old_messages_forgotten(store: UplinkStore, folder: Path) -> None:
    assert (store.strain(), store.sms_sent_at_utc_s()) == (Strain(), [])
    store.save_strain(Strain(2, 1_000))
    for at_utc_s in (1_000, 2_000, 90_000, 80_000):  # the last by a clock that was set back
        store.note_sms_sent(at_utc_s)
    store.close()
    again = UplinkStore.open_or_make(folder / "uplink.db")
    assert (again.strain(), again.sms_sent_at_utc_s()) == (Strain(2, 1_000), [80_000])
    again.close()


def test_refused_pin_is_remembered_for_its_sim(store: UplinkStore) -> None:
    store.save_refused_pin("8986001", bytes(32), 3)
    assert store.refused_pin("8986001") == (bytes(32), 3)
    store.save_refused_pin("8986001", bytes(32), None)
    assert store.refused_pin("8986001") == (bytes(32), None)
    assert store.refused_pin("8986002") is None
