"""Rows: what is ordinary costs little, everything comes back, garbage is refused."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wire.bits import BitReader, golomb, to_bytes
from wire.directory import CodingState
from wire.fields import FormatError
from wire.ids import Asn, CardId, IssuerId, TapId, TerminalId
from wire.money import Fen
from wire.record import ClockQuality, Mac2, Outcome, Refusal, TapKind, TapRecord, TapTime, next_hash
from wire.rows import _RowReader, best_pace, card_after, encode_row, read_card_after, read_rows

TERMINAL = TerminalId(bytes(6))
ISSUER = IssuerId(bytes.fromhex("1000000000000086"))
CARDS = [CardId(ISSUER, Asn(bytes.fromhex(f"{number:020d}"))) for number in (17, 4999, 20, 3000)]
PACE = 4
KNOWN_PRICE_FEN, OTHER_PRICE_FEN = 650, 1_234
LESS_FEN = Fen(10_000 - 2 * KNOWN_PRICE_FEN)


def usual(seq: int, card: CardId, *, balance_fen: int, counter: int, amount_fen: int = KNOWN_PRICE_FEN) -> TapRecord:
    return TapRecord(
        tap_id=TapId(TERMINAL, 1, seq),
        outcome=Outcome.DEBITED,
        reason=None,
        mac2=Mac2.VERIFIED,
        card=card,
        amount_fen=Fen(amount_fen),
        balance_before_fen=Fen(balance_fen),
        counter=counter,
        ttsn=seq,
        tac=b"\1\2\3\4",
        opened_at=TapTime(utc_s=1_767_261_600 + 10 * seq, boot=1, uptime_s=10 * seq, quality=ClockQuality.NETWORK),
    )


PAST = [usual(seq, CARDS[seq % 2], balance_fen=10_000, counter=seq) for seq in (1, 2)]
NEXT = usual(3, CARDS[1], balance_fen=10_000 - KNOWN_PRICE_FEN, counter=2)

REVERSAL = replace(NEXT, kind=TapKind.REVERSAL, amount_fen=Fen(0), credit_fen=Fen(KNOWN_PRICE_FEN), refers_to=2)


def state() -> CodingState:
    return CodingState.before(3, [record.to_bytes() for record in PAST])


def row(record: TapRecord) -> str:
    return encode_row(state(), record, PACE)


def read(bits: str) -> TapRecord:
    [link] = read_rows(state(), to_bytes(bits), 1, bytes(32), terminal=TERMINAL, epoch=1, pace=PACE)
    assert link.record.to_bytes() == link.canonical
    return link.record


@pytest.mark.parametrize(
    ("record", "bits"),
    [
        (NEXT, 1 + 1 + 5 + 3 + 32),
        (
            replace(NEXT, counter=3, balance_before_fen=Fen(10_000 - 2 * KNOWN_PRICE_FEN)),
            2 + 1 + 3 + 1 + 3 + 5 + 3 + 32,
        ),
        (replace(NEXT, balance_before_fen=Fen(60_000)), 2 + 1 + 1 + 1 + 27 + 5 + 3 + 32),
        (replace(NEXT, card=CARDS[2], balance_before_fen=Fen(5_000), counter=9), 3 + 13 + 14 + 9 + 5 + 3 + 32),
        (replace(NEXT, amount_fen=Fen(OTHER_PRICE_FEN)), 1 + 1 + 5 + 6 + 13 + 32),
        (replace(NEXT, opened_at=replace(NEXT.opened_at, uptime_s=4_020, utc_s=1_767_265_620)), 1 + 1 + 30 + 3 + 32),
        (replace(NEXT, amount_fen=Fen(0), subsidy_fen=Fen(KNOWN_PRICE_FEN)), 4 + 1 + 1 + 5 + 3 + 1 + 32),
        (replace(NEXT, amount_fen=Fen(350), subsidy_fen=Fen(300)), 4 + 1 + 1 + 5 + 3 + 1 + 6 + 11 + 32),
        (replace(NEXT, mac2=Mac2.NOT_CHECKED), 5 + 4 + 2 + 1 + 3 + 1 + 33 + 1 + 5),
        (replace(NEXT, opened_at=replace(NEXT.opened_at, boot=2, uptime_s=9)), 5 + 4 + 2 + 1 + 3 + 1 + 33 + 99),
        (replace(NEXT, ttsn=77), 5 + 4 + 2 + 1 + 3 + 34 + 33 + 6),
        (REVERSAL, 5 + 4 + 2 + 2 + 1 + 17 + 17 + 3 + 5 + 1 + 33 + 6),
        (replace(NEXT, kind=TapKind.SIGN_ON, amount_fen=Fen(0)), 5 + 4 + 2 + 2 + 1 + 3 * 17 + 5 + 1 + 33 + 6),
    ],
    ids=[
        "foretold",
        "paid elsewhere",
        "loaded",
        "new card",
        "new price",
        "after hours",
        "all subsidised",
        "partly subsidised",
        "odd",
        "after a boot",
        "ttsn",
        "reversal",
        "sign-on",
    ],
)
def test_row_costs_what_it_does_not_share_with_the_past(record: TapRecord, bits: int) -> None:
    assert len(row(record)) <= bits
    assert read(row(record)) == record


def test_refused_card_that_said_nothing_comes_back() -> None:
    record = replace(
        NEXT,
        outcome=Outcome.REFUSED,
        reason=Refusal.HOTLISTED,
        card=CARDS[3],
        balance_before_fen=Fen(0),
        counter=0,
        ttsn=0,
        tac=bytes(4),
        mac2=Mac2.NOT_CHECKED,
    )
    assert read(row(record)) == record
    assert len(row(record)) < 64


@given(st.lists(st.from_type(TapRecord), min_size=1, max_size=12), st.integers(1, 16), st.booleans())
def test_any_records_come_back(drawn: list[TapRecord], pace: int, same_cards: bool) -> None:
    records = [
        replace(
            record,
            tap_id=TapId(TERMINAL, 1, seq),
            card=CARDS[seq % 4] if same_cards else record.card,
            refers_to=min(record.refers_to, seq - 1),
        )
        for seq, record in enumerate(drawn, start=3)
    ]
    writer, reader = state(), state()
    data = to_bytes("".join(encode_row(writer, record, pace) for record in records))
    links = read_rows(reader, data, len(records), bytes(32), terminal=TERMINAL, epoch=1, pace=pace)
    assert [link.record for link in links] == records
    assert (writer.cards, writer.counters, writer.ranks) == (reader.cards, reader.counters, reader.ranks)


def straight(reader: CodingState, data: bytes, count: int, pace: int) -> list[tuple[bytes, bytes]]:
    """What `read_rows` does, one row after the other, without its short way for usual ones."""
    rows, head, links = _RowReader(reader, data, terminal=TERMINAL, epoch=1, pace=pace), bytes(32), []
    for _ in range(count):
        canonical = rows.next()
        head = next_hash(head, canonical)
        links.append((canonical, head))
    rows.finish()
    return links


def outcome_of(
    read_all: Callable[[], list[tuple[bytes, bytes]]], reader: CodingState
) -> tuple[list[tuple[bytes, ...]], object]:
    """Records and hashes, and the state afterwards; or no records, and the error's words."""
    try:
        links = read_all()
    except FormatError as error:
        return [], str(error)
    return [tuple(link) for link in links], [getattr(reader, name) for name in CodingState.__slots__]


EARLIER = [
    usual(seq, CARDS[seq % 4], balance_fen=200_000 - seq // 4 * KNOWN_PRICE_FEN, counter=seq // 4)
    for seq in range(1, 246)
]


ELSEWHERE = {
    0: (5_000, 1),
    4: (KNOWN_PRICE_FEN, 0),
    5: (-KNOWN_PRICE_FEN, 1),
    6: (-OTHER_PRICE_FEN, 2),
    7: (-777, 5_000),
    8: (0, 3),
}


@st.composite
def later(draw: st.DrawFn) -> list[TapRecord]:
    """Usual taps after `EARLIER`, over the place where prices are ranked anew, with something odd here and there."""
    state = CodingState.before(246, [record.to_bytes() for record in EARLIER])
    records, uptime_s, ttsn = [], state.uptime_s, state.ttsn
    for seq in range(246, 246 + draw(st.integers(1, 20))):
        index, oddity = draw(st.integers(0, 3)), draw(st.integers(0, 15))
        price_fen = draw(st.sampled_from((KNOWN_PRICE_FEN, OTHER_PRICE_FEN, 300)))
        # Loaded with something odd or with a price, or paid elsewhere: an odd sum, a price, or in the end nothing.
        moved_fen, times = ELSEWHERE.get(oddity, (0, 0))
        subsidy_fen = 200 * (oddity == 2)
        uptime_s, ttsn = uptime_s + draw(st.sampled_from((0, 9, 300, 70_000))), ttsn + 1 + (oddity == 1)
        balance_fen = (state.balances[index] + moved_fen) % (1 << 32)
        record = replace(
            usual(seq, CardId.from_bytes(state.cards[index]), balance_fen=balance_fen, counter=0),
            counter=state.counters[index] + times,
            amount_fen=Fen(price_fen - subsidy_fen),
            subsidy_fen=Fen(subsidy_fen),
            ttsn=ttsn,
            outcome=Outcome.UNKNOWN if oddity == 3 else Outcome.DEBITED,
            opened_at=TapTime(utc_s=uptime_s + state.offset_s, boot=1, uptime_s=uptime_s, quality=ClockQuality.NETWORK),
        )
        state.advance_canonical(record.to_bytes())
        records.append(record)
    return records


@given(later(), st.integers(1, 12), st.one_of(st.none(), st.tuples(st.integers(0, 1 << 20), st.integers(0, 7))))
def test_short_way_and_straight_way_give_the_same(
    now: list[TapRecord], pace: int, flip: tuple[int, int] | None
) -> None:
    past = [record.to_bytes() for record in EARLIER]
    writer = CodingState.before(246, past)
    data = bytearray(to_bytes("".join(encode_row(writer, record, pace) for record in now)))
    if flip is not None:
        data[flip[0] % len(data)] ^= 1 << flip[1]
    one, other = CodingState.before(246, past), CodingState.before(246, past)
    short = outcome_of(
        lambda: list(read_rows(one, bytes(data), len(now), bytes(32), terminal=TERMINAL, epoch=1, pace=pace)), one
    )
    assert short == outcome_of(lambda: straight(other, bytes(data), len(now), pace), other)
    assert flip is not None or [canonical for canonical, _ in short[0]] == [record.to_bytes() for record in now]


@given(st.binary(max_size=80), st.integers(1, 20), st.integers(1, 16))
def test_garbage_is_a_format_error_or_records(data: bytes, count: int, pace: int) -> None:
    with suppress(FormatError):
        links = read_rows(state(), data, count, bytes(32), terminal=TERMINAL, epoch=1, pace=pace)
        assert [TapRecord.from_bytes(link.canonical) for link in links] == [link.record for link in links]


def test_every_flipped_bit_is_another_record_or_a_format_error() -> None:
    subsidised = replace(NEXT, amount_fen=Fen(350), subsidy_fen=Fen(300))
    others = (replace(NEXT, card=CARDS[2]), replace(NEXT, ttsn=9), replace(NEXT, counter=7))
    for record in (NEXT, *others, subsidised, REVERSAL):
        bits = row(record)
        for at in range(len(bits)):
            with suppress(FormatError):
                assert read(bits[:at] + str(1 - int(bits[at])) + bits[at + 1 :]) != record


def test_rows_cut_short_anywhere_are_refused() -> None:
    data = to_bytes(row(NEXT))
    for size in range(len(data)):
        with pytest.raises(FormatError):
            read_rows(state(), data[:size], 1, bytes(32), terminal=TERMINAL, epoch=1, pace=PACE)


def test_row_that_refers_to_what_is_not_known_is_refused() -> None:
    for bits in ("0" * 80, "10" + "0" * 80, "110" + "0" * 120):
        with pytest.raises(FormatError):
            read_rows(CodingState(), to_bytes(bits), 1, bytes(32), terminal=TERMINAL, epoch=1, pace=PACE)


def test_subsidy_above_the_price_is_refused() -> None:
    whole = row(replace(NEXT, amount_fen=Fen(0), subsidy_fen=Fen(KNOWN_PRICE_FEN)))
    more = whole[: -32 - 1] + "1" + "1" * 6 + golomb(KNOWN_PRICE_FEN + 1, 10) + whole[-32:]
    with pytest.raises(FormatError, match="out of its bounds"):
        read(more)


def test_odd_row_of_a_tap_that_cannot_be_is_refused() -> None:
    bits = row(REVERSAL)
    kind_at = 5 + 4 + 2
    assert bits[kind_at : kind_at + 3] == "101", "the kind stands where this test puts another"
    for kind in ("00", "11"):  # a sale with a credit, a sign-on with one
        with pytest.raises(FormatError, match="can have these amounts"):
            read(bits[: kind_at + 1] + kind + bits[kind_at + 3 :])


def test_card_told_as_new_that_is_known_is_refused() -> None:
    bits = row(replace(NEXT, card=CARDS[2]))
    with pytest.raises(FormatError, match="as new that is known"):
        read(bits[:3] + card_after(PAST[-1].card.to_bytes(), CARDS[1].to_bytes()) + bits[3 + 13 :] + "0" * 60)


@given(st.from_type(CardId), st.from_type(CardId))
def test_card_comes_back_after_any_other(last: CardId, card: CardId) -> None:
    reader = BitReader(to_bytes(card_after(last.to_bytes(), card.to_bytes())))
    assert read_card_after(last.to_bytes(), reader) == card.to_bytes()


def test_pace_is_the_one_that_makes_the_rows_shortest() -> None:
    records = [replace(NEXT, opened_at=replace(NEXT.opened_at, uptime_s=up)) for up in (21, 22, 24, 25)]
    assert best_pace(state(), records) == 1
    slow = [replace(NEXT, opened_at=replace(NEXT.opened_at, uptime_s=up)) for up in (320, 600, 900)]
    assert best_pace(state(), slow) == 7
