"""The model: seeded, valid all through, and as surprising as it says."""

from __future__ import annotations

from itertools import pairwise

from benchmarks.canteen import Canteen, floor_bits
from settlement.streams.ingest import judge
from wire.directory import CodingState
from wire.ids import CardId
from wire.signature import public_bytes


def test_same_seed_gives_the_same_bytes() -> None:
    assert [s.raw for _, s in Canteen(3).batches(2, 5)] == [s.raw for _, s in Canteen(3).batches(2, 5)]
    assert [s.raw for _, s in Canteen(3).batches(1, 5)] != [s.raw for _, s in Canteen(4).batches(1, 5)]


def test_batches_follow_each_other_and_every_tap_is_proven() -> None:
    canteen = Canteen(1)
    first, second = canteen.batches(2, 50)
    (said, signed), (next_said, next_signed) = first, second
    signed.verify(public_bytes(canteen.signing_key))
    assert next_signed.first_seq == signed.next_seq == 51
    assert next_signed.hash_before == said.head_hash
    assert next_signed.total_before_fen == said.total_fen
    state = CodingState()
    records = [record for batch in (signed, next_signed) for record in batch.open(state).records]
    assert records == [*said.records, *next_said.records]
    assert {judge(record, canteen.keys) for record in records} == {None}


def test_floor_is_that_of_the_canteen_it_stands_for() -> None:
    bits = floor_bits()
    assert round(sum(bits.values()) / 8, 1) == 6.8
    assert round(bits["card"], 1) == 11.1
    assert round(bits["amount"], 1) == 4.7


def test_card_that_comes_back_has_paid_in_between() -> None:
    ((batch, _),) = Canteen(1).batches(1, 400)
    counters: dict[CardId, list[int]] = {}
    for record in batch.records:
        assert record.balance_before_fen >= record.amount_fen
        counters.setdefault(record.card, []).append(record.counter)
    assert len(counters) < 400, "some came twice"
    assert all(first < second for seen in counters.values() for first, second in pairwise(seen))
