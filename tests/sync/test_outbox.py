"""The next batch: from the cursor on, provable, and not at all when journal and server disagree."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sync.outbox import BATCH_TAPS, JournalForked, next_batch
from sync.store import UplinkStore
from wire.batch import HEAD_TAG_BYTES
from wire.receipt import BatchReceipt, Cursor
from wire.record import HASH_BYTES
from wire.signature import public_bytes

if TYPE_CHECKING:
    from tests.sync.conftest import Till


def test_nothing_waits_in_an_empty_journal(store: UplinkStore, till: Till, key: Ed25519PrivateKey) -> None:
    assert next_batch(store, till.reader, key, till.coder) is None


def test_batch_continues_the_acknowledged_chain_and_total(
    store: UplinkStore, till: Till, key: Ed25519PrivateKey
) -> None:
    till.tap(3, amount_fen=100)
    first = next_batch(store, till.reader, key, till.coder)
    assert first is not None
    first.verify(public_bytes(key))
    store.mark(BatchReceipt(Cursor(1, 4, till.reader.head().hash), ()), heard_at_utc_s=1)
    till.tap(2, amount_fen=50)
    second = next_batch(store, till.reader, key, till.coder)
    assert second is not None
    assert second.hash_before == till.reader.hash_before(4)
    assert (second.first_seq, second.next_seq) == (4, 6)
    assert (second.total_before_fen, second.total_fen) == (300, 100)
    assert second.head_tag == till.reader.head().hash[:HEAD_TAG_BYTES]


def test_batch_holds_a_hundred_taps_unless_told_otherwise(
    store: UplinkStore, till: Till, key: Ed25519PrivateKey
) -> None:
    till.tap(BATCH_TAPS + 1)
    signed = next_batch(store, till.reader, key, till.coder)
    assert signed is not None
    assert signed.count == BATCH_TAPS
    store.mark(BatchReceipt(Cursor(1, BATCH_TAPS + 1, till.reader.hash_before(BATCH_TAPS + 1)), ()), heard_at_utc_s=1)
    store.follow(Cursor(1, 1, till.reader.hash_before(1)), heard_at_utc_s=2)
    few = next_batch(store, till.reader, key, till.coder, taps_max=7)
    assert few is not None
    assert few.count == 7


@pytest.mark.parametrize(
    ("cursor", "words"),
    [
        (Cursor(1, 2, bytes(HASH_BYTES)), "another history before tap 2"),
        (Cursor(1, 9, bytes(HASH_BYTES)), "taps up to 8, the journal ends at 2"),
        (Cursor(2, 2, bytes(HASH_BYTES)), "epoch 2"),
    ],
)
def test_cursor_that_the_journal_does_not_have_is_a_fork(
    cursor: Cursor, words: str, store: UplinkStore, till: Till, key: Ed25519PrivateKey
) -> None:
    till.tap(2)
    store.follow(cursor, heard_at_utc_s=1)
    with pytest.raises(JournalForked, match=words):
        next_batch(store, till.reader, key, till.coder)
    assert store.unanswered() is None


@pytest.mark.parametrize("raw", [b"damaged", b"\xff coding of another version"])
def test_kept_batch_that_cannot_be_read_is_cut_again_from_the_cursor(
    raw: bytes, store: UplinkStore, till: Till, key: Ed25519PrivateKey
) -> None:
    till.tap(3)
    first = next_batch(store, till.reader, key, till.coder, taps_max=1)
    assert first is not None
    store.mark(BatchReceipt(Cursor(1, 2, till.reader.hash_before(2)), ()), heard_at_utc_s=1)
    before = store.cursor()
    store._write("INSERT INTO batches VALUES (?, ?, ?, NULL)", (2, 3, raw))
    again = next_batch(store, till.reader, key, till.coder)
    assert again is not None
    assert (again.first_seq, again.next_seq) == (2, 4)
    assert store.unanswered() == again.raw
    assert store.cursor() == before
    assert len(store._all("SELECT 1 FROM batches WHERE receipt IS NOT NULL")) == 1
