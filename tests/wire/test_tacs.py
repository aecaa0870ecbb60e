"""TACs of many records at once: the same answer as one after the other, and a real card's."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wire import pboc
from wire.ids import Asn, CardId, IssuerId, TapId, TerminalId
from wire.money import Fen
from wire.record import CAMPUS_ZONE, NO_TAC, ClockQuality, Mac2, Outcome, TapRecord, TapTime, card_date_time
from wire.tacs import are_purchase_tacs

TRACES = json.loads((Path(__file__).parent.parent / "vectors" / "pboc_real_cards.json").read_text())
CARDS = {bytes(17) + bytes((number,)): bytes((number, *range(7))) for number in range(3)}
TERMINALS = (bytes(6), b"\0\1\2\3\4\5", b"\xff" * 6)
HOUR_S = 3_600


def tac_of(record: TapRecord, key: bytes) -> bytes:
    """The straight way."""
    return pboc.purchase_tac(
        tac_key=key,
        amount_fen=record.amount_fen,
        terminal=record.tap_id.terminal,
        ttsn=record.ttsn,
        date_time_bcd=card_date_time(record.opened_at.utc_s),
    )


@st.composite
def checked(draw: st.DrawFn) -> tuple[TapRecord, bool]:
    """A tap of one of few cards, often in the hour of another, with the right TAC or another; and which."""
    u32 = st.integers(0, 0xFFFF_FFFF)
    utc_s = draw(st.one_of(u32, st.integers(494_444 * HOUR_S - 3, 494_444 * HOUR_S + 3)))
    card = draw(st.sampled_from(sorted(CARDS)))
    record = TapRecord(
        tap_id=TapId(TerminalId(draw(st.sampled_from(TERMINALS))), draw(st.integers(1, 9)), draw(st.integers(1, 99))),
        outcome=draw(st.sampled_from((Outcome.DEBITED, Outcome.UNKNOWN))),
        reason=None,
        mac2=Mac2.VERIFIED,
        card=CardId.from_bytes(card),
        amount_fen=Fen(draw(u32)),
        balance_before_fen=Fen(draw(u32)),
        counter=draw(st.integers(0, 0xFFFF)),
        ttsn=draw(u32),
        tac=NO_TAC,
        opened_at=TapTime(utc_s=utc_s, boot=1, uptime_s=2, quality=ClockQuality.SERVER),
    )
    right = tac_of(record, CARDS[card])
    flipped = (int.from_bytes(right, "big") ^ 1 << draw(st.integers(0, 31))).to_bytes(4, "big")
    tac = draw(st.sampled_from((right, flipped, NO_TAC)))
    return replace(record, tac=tac), tac == right != NO_TAC


@given(st.lists(st.lists(checked(), max_size=8), max_size=3))
def test_many_at_once_are_judged_as_one_after_the_other(batches: list[list[tuple[TapRecord, bool]]]) -> None:
    keys = {card: pboc.TacKey(key) for card, key in CARDS.items()}
    for batch in batches:
        records = b"".join(record.to_bytes() for record, _ in batch)
        assert are_purchase_tacs(records, keys) == [right for _, right in batch]


def test_zeros_are_no_tac_even_where_they_are_right() -> None:
    class Zeros(pboc.TacKey):
        """A card whose every TAC is zeros."""

        def tac_of_blocks(self, first: int, second: int, third: int) -> int:
            return 0

    record = replace(_real(), tac=NO_TAC).to_bytes()
    assert are_purchase_tacs(record, {record[17:35]: Zeros(bytes(8))}) == [False]


def _real() -> TapRecord:
    """The published purchase of a real card."""
    [trace] = [trace for trace in TRACES["real_card"] if trace["kind"] == "purchase" and "tac" in trace]
    return TapRecord(
        tap_id=TapId(TerminalId(bytes.fromhex(trace["terminal"])), 1, 1),
        outcome=Outcome.DEBITED,
        reason=None,
        mac2=Mac2.VERIFIED,
        card=CardId(IssuerId(bytes(8)), Asn(bytes(10))),
        amount_fen=Fen(int(trace["amount"], 16)),
        balance_before_fen=Fen(int(trace["old_balance"], 16)),
        counter=0,
        ttsn=int(trace["ttsn"], 16),
        tac=bytes.fromhex(trace["tac"]),
        opened_at=TapTime(
            utc_s=int(datetime.strptime(trace["datetime"], "%Y%m%d%H%M%S").replace(tzinfo=CAMPUS_ZONE).timestamp()),
            boot=1,
            uptime_s=1,
            quality=ClockQuality.SERVER,
        ),
    )


@pytest.mark.parametrize("off_by_fen", [0, 1])
def test_real_cards_tac_is_right_over_its_own_debit_alone(off_by_fen: int) -> None:
    [trace] = [trace for trace in TRACES["real_card"] if trace["kind"] == "purchase" and "tac" in trace]
    record = _real()
    canonical = replace(record, amount_fen=Fen(record.amount_fen + off_by_fen)).to_bytes()
    key = pboc.TacKey(pboc.tac_key(bytes.fromhex(trace["dtk"])))
    assert are_purchase_tacs(canonical, {canonical[17:35]: key}) == [not off_by_fen]
