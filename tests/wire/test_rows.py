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
from wire.rows import Links, _known, _RowReader, best_pace, card_after, encode_row, read_card_after, read_rows

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
    links = read_rows(state(), to_bytes(bits), 1, bytes(32), terminal=TERMINAL, epoch=1, pace=PACE)
    [record] = links.records
    assert [record.to_bytes()] == links.canonicals
    return record


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
    assert links.records == records
    assert (writer.cards, writer.counters, writer.ranks) == (reader.cards, reader.counters, reader.ranks)


def straight(reader: CodingState, data: bytes, count: int, pace: int) -> Links:
    """What `read_rows` does, one row after the other, without its short way for usual ones."""
    rows, links = _RowReader(reader, data, terminal=TERMINAL, epoch=1, pace=pace), Links([], [bytes(32)])
    for _ in range(count):
        links.canonicals.append(rows.next())
        links.chain_hashes.append(next_hash(links.chain_hashes[-1], links.canonicals[-1]))
    rows.finish()
    return Links(links.canonicals, links.chain_hashes[1:])


def outcome_of(read_all: Callable[[], Links], reader: CodingState) -> tuple[Links, object]:
    """Records and hashes, and the state afterwards; or no records, and the error's words."""
    try:
        links = read_all()
    except FormatError as error:
        return Links([], []), str(error)
    return links, [getattr(reader, name) for name in CodingState.__slots__]


# Six, so that their numbers have two bits or three. One is nearly empty, and one's counter near its end.
REGULARS = [*CARDS, *(CardId(ISSUER, Asn(bytes.fromhex(f"{number:020d}"))) for number in (21, 22))]
EARLIER = [
    usual(
        seq,
        REGULARS[seq % 6],
        balance_fen=(27_300 if seq % 6 == 3 else 200_000) - seq // 6 * KNOWN_PRICE_FEN,
        counter=(0xFFFF - 43 if seq % 6 == 4 else 0) + seq // 6,
    )
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
        index, oddity = draw(st.integers(0, 5)), draw(st.integers(0, 15))
        price_fen = draw(st.sampled_from((KNOWN_PRICE_FEN, OTHER_PRICE_FEN, 300)))
        # Loaded with something odd or with a price, or paid elsewhere: an odd sum, a price, or in the end nothing.
        moved_fen, times = ELSEWHERE.get(oddity, (0, 0))
        subsidy_fen = 200 * (oddity == 2)
        uptime_s, ttsn = uptime_s + draw(st.sampled_from((0, 9, 300, 70_000))), ttsn + 1 + (oddity == 1)
        balance_fen = (state.balances[index] + moved_fen) % (1 << 32)
        record = replace(
            usual(seq, CardId.from_bytes(state.cards[index]), balance_fen=balance_fen, counter=0),
            counter=(state.counters[index] + times) & 0xFFFF,
            amount_fen=Fen(price_fen - subsidy_fen),
            subsidy_fen=Fen(subsidy_fen),
            ttsn=ttsn,
            outcome=Outcome.UNKNOWN if oddity == 3 else Outcome.DEBITED,
            opened_at=TapTime(utc_s=uptime_s + state.offset_s, boot=1, uptime_s=uptime_s, quality=ClockQuality.NETWORK),
        )
        state.advance_canonical(record.to_bytes())
        records.append(record)
    return records


@given(
    later(),
    st.integers(1, 12),
    st.one_of(st.none(), st.tuples(st.integers(0, 1 << 20), st.integers(0, 7))),
    st.booleans(),
)
def test_short_way_and_straight_way_give_the_same(
    now: list[TapRecord], pace: int, flip: tuple[int, int] | None, after_a_step: bool
) -> None:
    past = [record.to_bytes() for record in EARLIER]
    writer = CodingState.before(246, past)
    data = bytearray(to_bytes("".join(encode_row(writer, record, pace) for record in now)))
    if flip is not None:
        data[flip[0] % len(data)] ^= 1 << flip[1]
    one, other = CodingState.before(246, past), CodingState.before(246, past)
    if after_a_step:  # the window's first: what came before it is known still, but no card has come since
        one._step()
        other._step()
    short = outcome_of(
        lambda: read_rows(one, bytes(data), len(now), bytes(32), terminal=TERMINAL, epoch=1, pace=pace), one
    )
    assert short == outcome_of(lambda: straight(other, bytes(data), len(now), pace), other)
    assert flip is not None or short[0].canonicals == [record.to_bytes() for record in now]


@pytest.mark.parametrize(
    ("times", "load", "price", "words"),
    [(1, "0", "000", None), (2, "0", "001", None), (3, "0", "000", "out of its bounds"), (1, "1", "001", "of nothing")],
)
def test_what_a_card_cannot_have_done_elsewhere_is_refused(
    times: int, load: str, price: str, words: str | None
) -> None:
    nothing = replace(EARLIER[-1], amount_fen=Fen(0)).to_bytes()
    past = [*(record.to_bytes() for record in EARLIER[:-1]), nothing]
    one, other = CodingState.before(246, past), CodingState.before(246, past)
    index = one.cards.index(REGULARS[4].to_bytes())
    assert (one.prices[:2], one.counters[index]) == ([KNOWN_PRICE_FEN, 0], 0xFFFF - 2), "what the row refers to"
    row = "10" + _known(one, index) + golomb(times, 0) + load + price + "0" + "1" * PACE + "000" + "1" * 32
    data = to_bytes(row)
    short = outcome_of(lambda: read_rows(one, data, 1, bytes(32), terminal=TERMINAL, epoch=1, pace=PACE), one)
    assert short == outcome_of(lambda: straight(other, data, 1, PACE), other)
    assert len(short[0].canonicals) == (words is None)
    assert words is None or words in str(short[1])


@given(st.integers(0, 300), st.integers(0, 300), st.integers(1, 16))
def test_both_ways_give_the_same_up_to_the_last_second_and_serial_number(to_end_s: int, to_end: int, pace: int) -> None:
    last = EARLIER[-1]
    uptime_s, ttsn = 0xFFFF_FFFF - to_end_s - last.opened_at.utc_s + last.opened_at.uptime_s, 0xFFFF_FFFF - to_end
    late = replace(last.opened_at, uptime_s=uptime_s, utc_s=0xFFFF_FFFF - to_end_s)
    past = [record.to_bytes() for record in (*EARLIER[:-1], replace(last, ttsn=ttsn, opened_at=late))]
    one, other = CodingState.before(246, past), CodingState.before(246, past)
    row_of_zeros = "0" + "00" + "0" + "0" * (pace - 1) + "1" + "000" + "0" * 32  # a second later
    data = to_bytes(9 * row_of_zeros)
    short = outcome_of(lambda: read_rows(one, data, 9, bytes(32), terminal=TERMINAL, epoch=1, pace=pace), one)
    assert short == outcome_of(lambda: straight(other, data, 9, pace), other)
    assert bool(short[0].canonicals) == (min(to_end_s, to_end) >= 9)


@given(st.binary(max_size=80), st.integers(1, 20), st.integers(1, 16))
def test_garbage_is_a_format_error_or_records(data: bytes, count: int, pace: int) -> None:
    with suppress(FormatError):
        links = read_rows(state(), data, count, bytes(32), terminal=TERMINAL, epoch=1, pace=pace)
        assert [record.to_bytes() for record in links.records] == links.canonicals


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
