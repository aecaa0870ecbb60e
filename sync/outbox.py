"""The outbox: the next batch to send, cut from the till's journal at the acknowledged cursor. Left out: sending."""

from __future__ import annotations

from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sync.store import UplinkStore
from terminal.journal import JournalForeign, JournalReader
from wire.batch import TAPS_MAX, SettlementBatch, SignedBatch, decode_batch, sign_batch
from wire.directory import CodingState, window_start
from wire.errors import CampusError
from wire.fields import FormatError
from wire.receipt import Cursor

BATCH_TAPS: Final = 100  # beyond that the bytes a tap hardly fall, and a lost answer costs more


class JournalForked(CampusError):
    """Server and journal disagree about what was said: cloned or restored storage. A person must settle that."""

    code = "journal-forked"


class JournalCoder:
    """The coding state where the journal was last cut, so that the next cut does not read the journal's past again."""

    def __init__(self, journal: JournalReader) -> None:
        self._journal = journal
        self._kept: tuple[CodingState, bytes] | None = None

    def state(self, cursor: Cursor) -> CodingState:
        """The state at a place of this journal, as a copy: what is cut with it may have to be cut again."""
        if self._kept is None or (self._kept[0].seq, self._kept[1]) != (cursor.next_seq, cursor.head_hash):
            past = self._journal.canonical(window_start(cursor.next_seq), cursor.next_seq)
            self._kept = (CodingState.before(cursor.next_seq, past), cursor.head_hash)
        return self._kept[0].copy()

    def keep(self, state: CodingState, head_hash: bytes) -> None:
        """Where the next cut is likely to begin."""
        self._kept = (state, head_hash)

    def forget(self) -> None:
        """Make the next state of the journal alone."""
        self._kept = None


def next_batch(
    store: UplinkStore,
    journal: JournalReader,
    key: Ed25519PrivateKey,
    coder: JournalCoder,
    *,
    taps_max: int = BATCH_TAPS,
) -> SignedBatch | None:
    """The batch without an answer, in the same bytes, or a new one, kept before it is returned; None: nothing waits.

    Raises `JournalForked`, `JournalForeign`, or what the journal raises.
    """
    assert 0 < taps_max <= TAPS_MAX, f"a batch holds 1 to {TAPS_MAX} taps"
    if (raw := store.unanswered()) is not None:
        try:
            return decode_batch(raw)
        except FormatError:  # another version of this program cut it; a server that has it skips what overlaps
            store.drop_cut()
    cursor = store.cursor()
    check_cursor(journal, cursor)
    records = journal.records(cursor.next_seq, taps_max)
    if not records:
        return None
    batch = SettlementBatch(
        terminal=journal.terminal,
        epoch=journal.epoch,
        hash_before=cursor.head_hash,
        total_before_fen=journal.total_before_fen(cursor.next_seq),
        records=tuple(records),
    )
    state = coder.state(cursor)
    signed = sign_batch(batch, key, state)
    store.save_cut(signed)
    coder.keep(state, batch.head_hash)
    return signed


def check_owner(store: UplinkStore, journal: JournalReader) -> None:
    """Raise `JournalForeign` unless the journal is the one that this terminal is enrolled with."""
    enrolment = store.enrolled()
    if (journal.terminal, journal.epoch) != (enrolment.terminal, enrolment.epoch):
        raise JournalForeign(
            f"the journal is epoch {journal.epoch} of terminal {journal.terminal.hex()}; "
            f"this terminal is enrolled as {enrolment.terminal.hex()}, epoch {enrolment.epoch}"
        )


def check_cursor(journal: JournalReader, cursor: Cursor) -> None:
    """Raise `JournalForked` unless the cursor names a place that this journal has, with the hash it has there."""
    if cursor.epoch != journal.epoch:
        raise JournalForked(f"the server speaks of epoch {cursor.epoch}, the journal is of epoch {journal.epoch}")
    head = journal.head()
    if cursor.next_seq > head.seq + 1:
        raise JournalForked(f"the server has taps up to {cursor.next_seq - 1}, the journal ends at {head.seq}")
    if journal.hash_before(cursor.next_seq) != cursor.head_hash:
        raise JournalForked(f"the server knows another history before tap {cursor.next_seq} than the journal")
