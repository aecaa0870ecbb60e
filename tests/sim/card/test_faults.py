"""Faults by seed: each kind does what it says, a plan is the same for the same seed, and money stays whole."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.channel import CardRemoved
from sim.card.faults import SLOW_S, Fault, FaultPlan, FaultyChip, OneCommand, PlannedFault, plan_faults
from sim.card.memory import SLOT_BYTES, Memory, RamFile, encode_slot, read_fields
from sim.card.profile import PROVE_BEFORE
from sim.card.purse import Purse
from wire.ids import Asn

SELECT = "00A4040009A00000000386980701"
BALANCE = "805C000204"
OTHER_ASN = Asn(bytes.fromhex("00006100000000009999"))

MakeCard = Callable[..., Purse]


def send(card: FaultyChip, apdu: str) -> str:
    return card.transmit_raw(bytes.fromhex(apdu)).hex().upper()


class Reader:
    """A faulty card beside another, and the pauses it made."""

    def __init__(self, make_card: MakeCard, *faults: PlannedFault) -> None:
        self.pauses: list[float] = []
        self.card = FaultyChip(
            make_card("card"),
            FaultPlan(0, faults),
            other=make_card("other", asn=OTHER_ASN, profile=PROVE_BEFORE),
            pause=self.pauses.append,
        )


@pytest.mark.parametrize(("fault", "wrong_tries"), [(Fault.REMOVED_BEFORE, 0), (Fault.ANSWER_LOST, 1)])
def test_removal_before_or_during_decides_whether_it_was_carried_out(
    make_card: MakeCard, fault: Fault, wrong_tries: int
) -> None:
    card = Reader(make_card, PlannedFault(1, fault)).card
    send(card, SELECT)
    for _ in range(2):
        with pytest.raises(CardRemoved):
            send(card, "0020000003999999")
    card.reset()
    send(card, SELECT)
    assert send(card, "0020000003999999") == f"63C{2 - wrong_tries}"


def test_removal_after_an_answer_is_felt_by_the_next_command(make_card: MakeCard) -> None:
    card = Reader(make_card, PlannedFault(0, Fault.REMOVED_AFTER)).card
    assert send(card, SELECT).endswith("9000")
    with pytest.raises(CardRemoved):
        send(card, BALANCE)
    card.reset()
    assert send(card, BALANCE) == "6985"


def test_one_bit_of_a_corrupted_answer_is_wrong(make_card: MakeCard) -> None:
    reader = Reader(make_card, *(PlannedFault(apdu, Fault.CORRUPTED, bit) for apdu, bit in enumerate((1, 50, 416))))
    sound = "6F2E8409A00000000386980701A5219F0C1E610000000000000102010000610000000000123420250901202908310000" + "9000"
    for _ in range(3):
        answer = send(reader.card, SELECT)
        assert (int(answer, 16) ^ int(sound, 16)).bit_count() == 1
    assert send(reader.card, SELECT) == sound


def test_slow_card_pauses_and_then_answers(make_card: MakeCard) -> None:
    reader = Reader(make_card, PlannedFault(1, Fault.SLOW))
    send(reader.card, SELECT)
    assert reader.pauses == []
    assert send(reader.card, BALANCE) == "000013889000"
    assert reader.pauses == [SLOW_S]


def test_swapped_card_is_the_other_until_swapped_again(make_card: MakeCard) -> None:
    card = Reader(make_card, PlannedFault(1, Fault.SWAPPED), PlannedFault(3, Fault.SWAPPED)).card
    first_atr = card.atr
    seen = []
    for _ in range(2):
        seen.append(send(card, SELECT)[56:76])
        with pytest.raises(CardRemoved):
            send(card, BALANCE)
        card.reset()
    seen.append(send(card, SELECT)[56:76])
    assert seen == ["00006100000000001234", "00006100000000009999", "00006100000000001234"]
    assert card.atr == first_atr


def test_plan_is_the_same_for_the_same_seed_and_can_be_read() -> None:
    assert plan_faults(7, apdus=20, count=4) == plan_faults(7, apdus=20, count=4)
    assert plan_faults(7, apdus=20, count=4) != plan_faults(8, apdus=20, count=4)
    plan = FaultPlan(7, (PlannedFault(2, Fault.ANSWER_LOST), PlannedFault(5, Fault.CORRUPTED, 9)))
    assert str(plan) == "seed 7: removed during APDU 2; answer corrupted at APDU 5, bit 9"
    assert str(FaultPlan(1, ())) == "seed 1: no faults"


def test_every_kind_of_fault_is_planned_by_some_seed() -> None:
    planned = {fault.fault for seed in range(20) for fault in plan_faults(seed, apdus=10, count=3).faults}
    assert planned == set(Fault)


def test_one_command_is_struck_once(make_card: MakeCard) -> None:
    pauses: list[float] = []
    plan = OneCommand(bytes.fromhex("805C"), Fault.ANSWER_LOST)
    card = FaultyChip(make_card("card"), plan, other=make_card("other"), pause=pauses.append)
    send(card, SELECT)
    assert not plan.struck
    with pytest.raises(CardRemoved):
        send(card, BALANCE)
    card.reset()
    send(card, SELECT)
    assert send(card, BALANCE) == "000013889000"
    assert plan.struck


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory, make_session_card: Callable[[Path], Path]) -> bytes:
    path = make_session_card(tmp_path_factory.mktemp("card"))
    return encode_slot(0, read_fields(path)).ljust(2 * SLOT_BYTES, b"\0")


@given(seed=st.integers(0, 10_000), count=st.integers(0, 12))
def test_any_plan_ends_and_pulls_the_card_or_answers(image: bytes, seed: int, count: int) -> None:
    pauses: list[float] = []
    plan = plan_faults(seed, apdus=12, count=count)
    cards = [Purse(Memory(RamFile(image)), Random(number)) for number in range(2)]
    chip = FaultyChip(cards[0], plan, other=cards[1], pause=pauses.append)
    removals = 0
    while chip.apdus < 12:
        try:
            assert len(chip.transmit_raw(bytes.fromhex(SELECT))) == 50
        except CardRemoved:
            removals += 1
            chip.reset()
    kinds = [planned.fault for planned in plan.faults]
    silent = sum(fault not in (Fault.CORRUPTED, Fault.SLOW) for fault in kinds)
    assert silent - 1 <= removals <= silent
    assert math.isclose(sum(pauses), SLOW_S * kinds.count(Fault.SLOW))
