"""How Hypothesis draws the values that cross the wire: `st.from_type` of each class gives valid ones only."""

from __future__ import annotations

from hypothesis import strategies as st

from wire.batch import SettlementBatch
from wire.enrolment import Ticket
from wire.hotlist import Hotlist
from wire.ids import (
    ASN_BYTES,
    EPOCH_MAX,
    ISSUER_ID_BYTES,
    SEQ_MAX,
    TERMINAL_ID_BYTES,
    Asn,
    CardId,
    IssuerId,
    LoadId,
    Stream,
    TapId,
    TerminalId,
)
from wire.load import LoadGrant, LoadInit, LoadOutcome, LoadState
from wire.money import FEN_MAX, Fen
from wire.receipt import BatchReceipt, Cursor, Suspense
from wire.record import (
    HASH_BYTES,
    NO_TAC,
    TAC_BYTES,
    ClockQuality,
    Mac2,
    Outcome,
    Refusal,
    TapKind,
    TapRecord,
    TapTime,
    VoidReason,
)
from wire.shift import ShiftReport, add_up
from wire.signature import SIGNATURE_BYTES


def _bytes(size: int) -> st.SearchStrategy[bytes]:
    return st.binary(min_size=size, max_size=size)


_TERMINALS = _bytes(TERMINAL_ID_BYTES).map(TerminalId)
_EPOCHS = st.integers(1, EPOCH_MAX)
_SEQS = st.integers(1, SEQ_MAX)
_U32 = st.integers(0, 0xFFFF_FFFF)
_U16 = st.integers(0, 0xFFFF)
_FEN = st.integers(0, FEN_MAX).map(Fen)
_HASHES = _bytes(HASH_BYTES)
_CARDS = st.builds(CardId, _bytes(ISSUER_ID_BYTES).map(IssuerId), _bytes(ASN_BYTES).map(Asn))
_TIMES = st.builds(
    TapTime,
    utc_s=_U32,
    boot=_U32,
    uptime_s=_U32,
    quality=st.sampled_from(ClockQuality),
)
_INITS = st.builds(
    LoadInit,
    balance_fen=_FEN,
    amount_fen=_FEN,
    online_counter=_U16,
    key_version=st.integers(0, 0xFF),
    algorithm=st.integers(0, 0xFF),
    random=_bytes(4),
    mac1=_bytes(4),
)
_ENDS = st.one_of(
    st.just((Outcome.DEBITED, None)),
    st.just((Outcome.UNKNOWN, None)),
    st.tuples(st.just(Outcome.REFUSED), st.sampled_from(Refusal)),
    st.tuples(st.just(Outcome.VOIDED), st.sampled_from(VoidReason)),
)


@st.composite
def _records(
    draw: st.DrawFn,
    tap_ids: st.SearchStrategy[TapId],
    cards: st.SearchStrategy[CardId] = _CARDS,
) -> TapRecord:
    outcome, reason = draw(_ENDS)
    tap = draw(tap_ids)
    # The first tap has none before it that it could take back.
    kind = draw(st.sampled_from([kind for kind in TapKind if kind is not TapKind.REVERSAL or tap.seq > 1]))
    sale, back = kind is TapKind.SALE, kind in (TapKind.REVERSAL, TapKind.REFUND)
    amount_fen = draw(_FEN) if sale else Fen(0)
    subsidies = {TapKind.SALE: FEN_MAX - amount_fen, TapKind.REVERSAL: FEN_MAX}
    return TapRecord(
        tap_id=tap,
        kind=kind,
        outcome=outcome,
        reason=reason,
        mac2=draw(st.sampled_from(Mac2)),
        card=draw(cards),
        amount_fen=amount_fen,
        subsidy_fen=draw(st.integers(0, subsidies.get(kind, 0)).map(Fen)),
        credit_fen=draw(st.integers(kind is TapKind.REFUND, FEN_MAX).map(Fen)) if back else Fen(0),
        balance_before_fen=draw(_FEN),
        counter=draw(st.integers(0, 0xFFFF)),
        ttsn=draw(_U32),
        tac=draw(st.one_of(st.just(NO_TAC), _bytes(TAC_BYTES))),
        refers_to=draw(st.integers(kind is TapKind.REVERSAL, tap.seq - 1)) if back else 0,
        opened_at=draw(_TIMES),
    )


@st.composite
def _batches(draw: st.DrawFn) -> SettlementBatch:
    terminal, epoch, count = draw(_TERMINALS), draw(_EPOCHS), draw(st.integers(1, 8))
    first_seq = draw(st.integers(1, SEQ_MAX - count))
    cards = st.sampled_from(draw(st.lists(_CARDS, min_size=1, max_size=3)))
    return SettlementBatch(
        terminal=terminal,
        epoch=epoch,
        hash_before=draw(_HASHES),
        total_before_fen=draw(st.integers(0, 1 << 48)),
        records=tuple(
            draw(_records(st.just(TapId(terminal, epoch, first_seq + index)), cards)) for index in range(count)
        ),
    )


@st.composite
def _receipts(draw: st.DrawFn) -> BatchReceipt:
    cursor = draw(st.builds(Cursor, _EPOCHS, _SEQS, _HASHES))
    seqs = st.sets(st.integers(max(1, cursor.next_seq - 600), cursor.next_seq - 1), max_size=5)
    suspended = sorted(draw(seqs)) if cursor.next_seq > 1 else []
    return BatchReceipt(cursor, tuple((seq, draw(st.sampled_from(Suspense))) for seq in suspended))


@st.composite
def _shift_reports(draw: st.DrawFn) -> ShiftReport:
    terminal, epoch, first_seq = draw(_TERMINALS), draw(_EPOCHS), draw(st.integers(2, SEQ_MAX - 8))
    seqs = range(first_seq, first_seq + draw(st.integers(0, 6)))
    cash = draw(st.lists(st.integers(1, FEN_MAX), max_size=3))
    return ShiftReport(
        terminal=terminal,
        epoch=epoch,
        number=draw(_SEQS),
        hash_before=draw(_HASHES),
        first_seq=first_seq,
        next_seq=seqs.stop,
        journal_hash=draw(_HASHES),
        opened_at_utc_s=draw(_U32),
        closed_at_utc_s=draw(_U32),
        cashier=draw(_CARDS),
        opening_cash_fen=draw(_FEN),
        counted_cash_fen=draw(_FEN),
        cash_count=len(cash),
        cash_fen=sum(cash),
        taps=add_up(draw(_records(st.just(TapId(terminal, epoch, seq)))) for seq in seqs),
        proof=draw(_bytes(SIGNATURE_BYTES)),
    )


st.register_type_strategy(CardId, _CARDS)
st.register_type_strategy(TapId, st.builds(TapId, _TERMINALS, _EPOCHS, _SEQS))
st.register_type_strategy(LoadId, st.builds(LoadId, _TERMINALS, _EPOCHS, _SEQS))
st.register_type_strategy(LoadInit, _INITS)
st.register_type_strategy(LoadGrant, st.builds(LoadGrant, number=_U32, granted_at_utc_s=_U32, mac2=_bytes(4)))
st.register_type_strategy(
    LoadOutcome,
    st.builds(
        LoadOutcome,
        load_id=st.from_type(LoadId),
        state=st.sampled_from(LoadState),
        online_counter=_U16,
        amount_fen=_FEN,
        old_balance_fen=_FEN,
        challenge=_TERMINALS,
    ),
)
st.register_type_strategy(TapRecord, _records(st.builds(TapId, _TERMINALS, _EPOCHS, _SEQS)))
st.register_type_strategy(SettlementBatch, _batches())
st.register_type_strategy(ShiftReport, _shift_reports())
st.register_type_strategy(Cursor, st.builds(Cursor, _EPOCHS, _SEQS, _HASHES))
st.register_type_strategy(BatchReceipt, _receipts())
st.register_type_strategy(Hotlist, st.builds(Hotlist, _U32, st.frozensets(_CARDS, max_size=6)))
st.register_type_strategy(
    Ticket,
    st.builds(
        Ticket,
        terminal=_TERMINALS,
        stream=st.sampled_from(Stream),
        expires_utc_s=_U32,
        epoch=st.integers(1, EPOCH_MAX),
    ),
)
