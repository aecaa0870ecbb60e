"""A batch or datagram becomes rows of the stream's journal, in one transaction with the cursor; then the receipt.

Nothing sealed is turned away for what it says: a record that cannot be booked is taken in, suspended with its reason.
Refused is only what is not provably the continuation of the journal that this terminal enrolled with.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Final

from settlement.onecard.keys import KeyStore
from settlement.store.database import Database
from settlement.streams import store
from settlement.streams.coding import CodingStates
from settlement.streams.door import unknown_journal
from settlement.streams.store import KnownTap, TerminalRow
from wire.batch import SignedBatch
from wire.fields import FormatError
from wire.ids import Stream
from wire.messages import Receipt, Refused
from wire.receipt import BatchReceipt, Cursor, Rejection, Suspense
from wire.record import MAC2_AT, OUTCOME_AT, RECORD_BYTES, Mac2, Outcome, TapRecord, debited_fen
from wire.rows import Links
from wire.signature import SignatureInvalid
from wire.sms import DatagramKind, Envelope, SmsInvalid, UpDatagram

_DEBITED: Final = int(Outcome.DEBITED)
_PROVED_BY_TAC: Final = (_DEBITED, int(Outcome.UNKNOWN))
_MAC2_REFUSED: Final = int(Mac2.REFUSED)


def accept_batch(
    db: Database, signed: SignedBatch, *, states: CodingStates, stream: Stream, keys: KeyStore, now_utc_s: int
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
        hash_before = _place(db, row, signed, now_utc_s)  # nothing is opened before the two histories are one
        if isinstance(hash_before, Refused):
            return hash_before
        state = states.lend(db, row, signed.first_seq, hash_before)
        try:
            links = signed.open(state)
        except FormatError as error:
            return Refused(Rejection.MALFORMED, row.cursor, str(error))
        taps = _compare(db, row, signed, links, now_utc_s)
        if isinstance(taps, Refused):
            return taps
        receipt = _take(
            db,
            row,
            links,
            taps,
            first_seq=signed.first_seq,
            total_fen=signed.total_before_fen + signed.total_fen,
            raw=signed.raw,
            digest=signed.digest,
            stream=stream,
            keys=keys,
            now_utc_s=now_utc_s,
        )
    if state.seq == receipt.cursor.next_seq:
        states.keep(row, state, receipt.cursor.head_hash)
    return Receipt(receipt)


def accept_datagram(
    db: Database, data: bytes, *, states: CodingStates, stream: Stream, keys: KeyStore, now_utc_s: int
) -> Receipt | Refused:
    """Take in taps that came by SMS, by the same rules and in the same way as a batch's; the next batch signs for them.

    The sealed bytes are kept as a batch's are; their first byte tells them apart. Nothing here proves a fork: what does
    not continue the journal is refused as MALFORMED, and a batch has to say more. Raises `SmsInvalid`, which calls for
    no answer, when nothing shows that a terminal of this stream sent it; `StoreFault` as `accept_batch`.
    """
    envelope = Envelope.of(data)
    if (envelope.kind, envelope.stream) != (DatagramKind.UP, stream):
        raise SmsInvalid(f"{envelope.kind.name} for {envelope.stream.label} is not for this stream to take in")
    with db.transaction():
        row = store.find_terminal(db, envelope.terminal, store.last_epoch(db, envelope.terminal))
        if row is None:
            raise SmsInvalid("the terminal is not enrolled with this stream")
        datagram = UpDatagram.from_bytes(envelope.unseal(data, keys.sms_key(row.terminal, row.epoch), row.epoch))
        digest = hashlib.sha256(data).digest()
        if (known := store.find_receipt(db, digest)) is not None:
            return Receipt(BatchReceipt.from_bytes(known))
        if row.quarantined_because is not None:
            return Refused(Rejection.QUARANTINED, row.cursor, row.quarantined_because)
        first_seq = datagram.first_seq(row.next_seq)
        if first_seq > row.next_seq:
            return Refused(Rejection.GAP, row.cursor, f"{first_seq} came where {row.next_seq} is next")
        hash_before = store.hash_before(db, row, first_seq)
        state = states.lend(db, row, first_seq, hash_before)
        try:
            links = datagram.open(state, hash_before, terminal=row.terminal, epoch=row.epoch)
        except SmsInvalid as error:
            return Refused(Rejection.MALFORMED, row.cursor, str(error))
        taps = store.known_taps(db, row, first_seq, state.seq)
        if (differs_at := _first_difference(taps, links)) is not None:
            return Refused(Rejection.MALFORMED, row.cursor, f"tap {differs_at} differs from the one known here")
        receipt = _take(
            db,
            row,
            links,
            taps,
            first_seq=first_seq,
            total_fen=row.total_fen + debited_fen(links.canonicals[len(taps) :]),
            raw=data,
            digest=digest,
            stream=stream,
            keys=keys,
            now_utc_s=now_utc_s,
        )
    if state.seq == receipt.cursor.next_seq:
        states.keep(row, state, receipt.cursor.head_hash)
    return Receipt(receipt)


def judge(record: TapRecord, keys: KeyStore) -> Suspense | None:
    """Why the record's money cannot be booked, as far as the record itself can tell."""
    reasons = [reason for _, reason in _judge([record.to_bytes()], keys)]
    return reasons[0] if reasons else None


def _judge(records: Sequence[bytes], keys: KeyStore) -> list[tuple[int, Suspense]]:
    """Which of these canonical records cannot be booked, by their places, and why. Once for every tap that comes."""
    joined = b"".join(records)
    outcomes, mac2s = joined[OUTCOME_AT::RECORD_BYTES], joined[MAC2_AT::RECORD_BYTES]
    places: Sequence[int] = range(len(records))
    if outcomes.count(_DEBITED) < len(records):
        places = [place for place, outcome in enumerate(outcomes) if outcome in _PROVED_BY_TAC]
        records = [records[place] for place in places]
    proofs = keys.verify_purchase_tacs(records)
    if False not in proofs and _MAC2_REFUSED not in mac2s:  # most batches
        return []
    found: list[tuple[int, Suspense]] = []
    for place, proved in zip(places, proofs, strict=True):
        if not proved:
            debited = outcomes[place] == _DEBITED
            found.append((place, Suspense.TAC_WRONG if debited else Suspense.OUTCOME_UNKNOWN))
        elif mac2s[place] == _MAC2_REFUSED:
            # The TAC alone proves a debit whose MAC2 nobody could check; one that was refused stays in doubt.
            found.append((place, Suspense.MAC2_REFUSED))
    return found


def _find_sender(db: Database, signed: SignedBatch) -> TerminalRow | Refused:
    row = store.find_terminal(db, signed.terminal, signed.epoch)
    if row is None:
        return unknown_journal(store.last_epoch(db, signed.terminal), signed.epoch)
    try:
        signed.verify(row.public_key)
    except SignatureInvalid:
        return Refused(Rejection.SIGNATURE_INVALID, None, "the batch is not signed by this terminal")
    if row.quarantined_because is not None:
        return Refused(Rejection.QUARANTINED, row.cursor, row.quarantined_because)
    return row


def _place(db: Database, row: TerminalRow, signed: SignedBatch, now_utc_s: int) -> bytes | Refused:
    """The chain's hash where the batch begins, after proof that both sides have the same history before it.

    Without that the rows mean nothing here: they refer to what came before them.
    """
    if signed.first_seq > row.next_seq:
        total_fen = signed.total_before_fen + signed.total_fen
        store.hear(db, row, seq=signed.next_seq - 1, total_fen=total_fen, now_utc_s=now_utc_s)
        return Refused(Rejection.GAP, row.cursor, f"{signed.first_seq} came where {row.next_seq} is next")
    ours = store.hash_before(db, row, signed.first_seq)
    if ours != signed.hash_before:
        return _fork(db, row, signed, max(signed.first_seq - 1, 1), now_utc_s)
    return ours


def _compare(
    db: Database, row: TerminalRow, signed: SignedBatch, links: Links, now_utc_s: int
) -> list[KnownTap] | Refused:
    """The batch's taps that are known already, after proof that they are the same, and that the totals agree."""
    overlaps = signed.first_seq < row.next_seq
    taps = store.known_taps(db, row, signed.first_seq, signed.next_seq) if overlaps else []
    if (differs_at := _first_difference(taps, links)) is not None:
        return _fork(db, row, signed, differs_at, now_utc_s)
    total_fen = signed.total_before_fen + debited_fen(links.canonicals[: len(taps)])
    if signed.next_seq >= row.next_seq and total_fen != row.total_fen:
        detail = f"the batch comes to {total_fen} fen before tap {row.next_seq}, the journal here to {row.total_fen}"
        return Refused(Rejection.MALFORMED, row.cursor, detail)
    return taps


def _first_difference(taps: list[KnownTap], links: Links) -> int | None:
    pairs = zip(taps, links.chain_hashes, strict=False)  # some of what came is known, or all of it
    return next((tap.seq for tap, chain_hash in pairs if tap.chain_hash != chain_hash), None)


def _fork(db: Database, row: TerminalRow, signed: SignedBatch, seq: int, now_utc_s: int) -> Refused:
    """The terminal signed another history than it signed before; from `seq` on the two are known to differ."""
    because = f"tap {seq} differs from the one known here"
    store.add_fork(db, row, seq=seq, raw=signed.raw, now_utc_s=now_utc_s)
    store.quarantine(db, row, because)
    return Refused(Rejection.FORK, row.cursor, because)


def _take(
    db: Database,
    row: TerminalRow,
    links: Links,
    taps: list[KnownTap],
    *,
    first_seq: int,
    total_fen: int,
    raw: bytes,
    digest: bytes,
    stream: Stream,
    keys: KeyStore,
    now_utc_s: int,
) -> BatchReceipt:
    """What is new goes into the stream's journal; `total_fen` are this journal's debits with it."""
    suspended, cursor = list(store.suspended_of(taps)), row.cursor
    next_seq = first_seq + len(links.canonicals)
    if records := links.canonicals[len(taps) :]:
        fresh_seq = first_seq + len(taps)
        found = _judge(records, keys)
        store.add_intake(
            db,
            row,
            store.journal_head(db, stream),
            first_seq=fresh_seq,
            records=records,
            hash_before=row.head_hash,
            suspended=found,
            now_utc_s=now_utc_s,
        )
        suspended += [(fresh_seq + place, reason) for place, reason in found]
        cursor = Cursor(row.epoch, next_seq, links.chain_hashes[-1])
        store.move_cursor(db, row, cursor, total_fen=total_fen, now_utc_s=now_utc_s)
    receipt = BatchReceipt(cursor, tuple(suspended))
    store.add_batch(
        db,
        row,
        digest=digest,
        first_seq=first_seq,
        next_seq=next_seq,
        raw=raw,
        receipt=receipt.to_bytes(),
        now_utc_s=now_utc_s,
    )
    return receipt
