"""A signed batch becomes rows of the stream's journal, in one transaction with the terminal's cursor; then the receipt.

Nothing sealed is turned away for what it says: a record that cannot be booked is taken in, suspended with its reason.
Refused is only what is not provably the continuation of the journal that this terminal enrolled with.
"""

from __future__ import annotations

from dataclasses import dataclass

from settlement.onecard.keys import KeyStore
from settlement.store.database import Database, Value
from settlement.streams import store
from settlement.streams.door import unknown_journal
from settlement.streams.store import KnownTap, TerminalRow, next_stream_hash
from wire.batch import SettlementBatch, SignedBatch
from wire.ids import Stream
from wire.messages import Receipt, Refused
from wire.receipt import BatchReceipt, Cursor, Rejection, Suspense
from wire.record import Mac2, Outcome, TapRecord, genesis_hash, next_hash
from wire.signature import SignatureInvalid


def accept_batch(
    db: Database, signed: SignedBatch, *, stream: Stream, keys: KeyStore, now_utc_s: int
) -> Receipt | Refused:
    """Take a batch in and commit, or say why not; the answer is true once this returns.

    The same bytes again get the first receipt again. Raises `StoreFault` if the database failed; nothing is kept then.
    """
    with db.transaction():
        known = store.find_receipt(db, signed.digest)
        if known is not None:
            return Receipt(BatchReceipt.from_bytes(known))
        row = _find_sender(db, signed)
        if isinstance(row, Refused):
            return row
        links = _links(signed.batch)
        taps = _compare(db, row, signed, links, now_utc_s)
        if isinstance(taps, Refused):
            return taps
        return _take(db, row, signed, links, taps, stream=stream, keys=keys, now_utc_s=now_utc_s)


def judge(record: TapRecord, keys: KeyStore) -> Suspense | None:
    """Why the record's money cannot be booked, as far as the record itself can tell."""
    if record.outcome not in (Outcome.DEBITED, Outcome.UNKNOWN):
        return None
    if not keys.verify_purchase_tac(record):
        return Suspense.TAC_WRONG if record.outcome is Outcome.DEBITED else Suspense.OUTCOME_UNKNOWN
    # The TAC alone proves a debit whose MAC2 nobody could check any more; one that was refused stays in doubt.
    return Suspense.MAC2_REFUSED if record.mac2 is Mac2.REFUSED else None


@dataclass(frozen=True, slots=True)
class _Link:
    """A record with its canonical bytes and the chain's hash after it, made once for all that needs them."""

    record: TapRecord
    canonical: bytes
    chain_hash: bytes


def _links(batch: SettlementBatch) -> list[_Link]:
    links = []
    chain_hash = batch.hash_before
    for record in batch.records:
        canonical = record.to_bytes()
        chain_hash = next_hash(chain_hash, canonical)
        links.append(_Link(record, canonical, chain_hash))
    return links


def _find_sender(db: Database, signed: SignedBatch) -> TerminalRow | Refused:
    batch = signed.batch
    row = store.find_terminal(db, batch.terminal, batch.epoch)
    if row is None:
        return unknown_journal(store.last_epoch(db, batch.terminal), batch.epoch)
    try:
        signed.verify(row.public_key)
    except SignatureInvalid:
        return Refused(Rejection.SIGNATURE_INVALID, None, "the batch is not signed by this terminal")
    if row.quarantined_because is not None:
        return Refused(Rejection.QUARANTINED, row.cursor, row.quarantined_because)
    return row


def _compare(
    db: Database, row: TerminalRow, signed: SignedBatch, links: list[_Link], now_utc_s: int
) -> list[KnownTap] | Refused:
    """The batch's taps that are known already, after proof that they are the same and that the rest continues them."""
    batch = signed.batch
    if batch.first_seq > row.next_seq:
        _hear_batch(db, row, batch, now_utc_s)
        return Refused(Rejection.GAP, row.cursor, f"{batch.first_seq} came where {row.next_seq} is next")
    # One tap before the batch, too: its hash is where the batch must begin.
    earlier = []
    if batch.first_seq < row.next_seq:
        earlier = store.known_taps(db, row, batch.first_seq - 1, batch.next_seq)
    taps = [tap for tap in earlier if tap.seq >= batch.first_seq]
    forked_at = _first_difference(row, batch, links, earlier)
    if forked_at is not None:
        because = f"tap {forked_at} differs from the one known here"
        store.add_fork(db, row, seq=forked_at, raw=signed.raw, now_utc_s=now_utc_s)
        store.quarantine(db, row, because)
        return Refused(Rejection.FORK, row.cursor, because)
    total_before_fen = row.total_fen - (store.debited_since(db, row, batch.first_seq) if taps else 0)
    if batch.total_before_fen != total_before_fen:
        detail = f"the batch says {batch.total_before_fen} fen went before it, the journal here {total_before_fen}"
        return Refused(Rejection.MALFORMED, row.cursor, detail)
    return taps


def _first_difference(
    row: TerminalRow, batch: SettlementBatch, links: list[_Link], earlier: list[KnownTap]
) -> int | None:
    """The first number from which the two versions are known to differ."""
    ours = {tap.seq: tap.chain_hash for tap in earlier}
    if batch.first_seq == row.next_seq:
        ours[batch.first_seq - 1] = row.head_hash
    if batch.first_seq == 1:
        ours[0] = genesis_hash(row.terminal, row.epoch)
    theirs = enumerate((batch.hash_before, *(link.chain_hash for link in links)), start=batch.first_seq - 1)
    return next((max(seq, 1) for seq, digest in theirs if seq in ours and ours[seq] != digest), None)


def _take(
    db: Database,
    row: TerminalRow,
    signed: SignedBatch,
    links: list[_Link],
    taps: list[KnownTap],
    *,
    stream: Stream,
    keys: KeyStore,
    now_utc_s: int,
) -> Receipt:
    batch = signed.batch
    fresh = links[len(taps) :]
    suspended = list(store.suspended_of(taps))
    next_seq, head_hash, total_fen = row.next_seq, row.head_hash, row.total_fen
    if fresh:
        head = store.journal_head(db, stream)
        position, stream_hash = head.position, head.stream_hash
        rows: list[tuple[Value, ...]] = []
        for link in fresh:
            record = link.record
            suspense = judge(record, keys)
            if suspense is not None:
                suspended.append((record.tap_id.seq, suspense))
            position += 1
            stream_hash = next_stream_hash(stream_hash, link.canonical, suspense, now_utc_s)
            key = (record.tap_id.terminal, record.tap_id.epoch, record.tap_id.seq)
            card, outcome, amount_fen = record.card.to_bytes(), int(record.outcome), int(record.amount_fen)
            why = None if suspense is None else int(suspense)
            purse = (outcome, card, record.counter, amount_fen)
            rows.append((position, *key, link.canonical, link.chain_hash, stream_hash, *purse, why, now_utc_s))
            total_fen += record.debited_fen
        store.add_taps(db, rows)
        next_seq, head_hash = batch.next_seq, fresh[-1].chain_hash
        store.move_cursor(db, row, next_seq=next_seq, head_hash=head_hash, total_fen=total_fen)
        _hear_batch(db, row, batch, now_utc_s)
    receipt = BatchReceipt(Cursor(row.epoch, next_seq, head_hash), tuple(suspended))
    store.add_batch(
        db,
        row,
        digest=signed.digest,
        first_seq=batch.first_seq,
        next_seq=batch.next_seq,
        raw=signed.raw,
        receipt=receipt.to_bytes(),
        now_utc_s=now_utc_s,
    )
    return Receipt(receipt)


def _hear_batch(db: Database, row: TerminalRow, batch: SettlementBatch, now_utc_s: int) -> None:
    """A batch proves that the journal goes at least as far as its last tap."""
    total_fen = batch.total_before_fen + batch.total_fen
    store.hear(db, row, seq=batch.next_seq - 1, total_fen=total_fen, now_utc_s=now_utc_s)
