"""The PIN: right, wrong, locked; what it opens, and for how long."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.card.memory import SLOT_BYTES, Memory, PowerCut, RamFile, encode_slot, read_fields
from sim.card.profile import PROVE_BEFORE
from sim.card.purse import Purse

SELECT = "00A4040009A00000000386980701"
RIGHT = "0020000003123456"
WRONG = "0020000003123457"
INIT_LOAD = "805000020B 01 00000064 610000000001 10"

MakeCard = Callable[..., Purse]
MakeCardFile = Callable[..., Path]


def send(card: Purse, apdu: str) -> str:
    return card.transmit_raw(bytes.fromhex(apdu)).hex().upper()


def test_third_wrong_pin_locks_it_for_good(make_card: MakeCard) -> None:
    card = make_card()
    send(card, SELECT)
    assert [send(card, WRONG) for _ in range(4)] == ["63C2", "63C1", "63C0", "6983"]
    assert send(card, RIGHT) == "6983"
    card.reset()
    send(card, SELECT)
    assert send(card, RIGHT) == "6983"
    assert send(card, INIT_LOAD) == "6982"


def test_locked_pin_leaves_purchase_alone(make_card: MakeCard) -> None:
    card = make_card()
    send(card, SELECT)
    for _ in range(3):
        send(card, WRONG)
    assert send(card, "805001020B 01 00000064 610000000001 0F").endswith("9000")


def test_right_pin_gives_all_tries_back(make_card: MakeCard) -> None:
    card = make_card()
    send(card, SELECT)
    assert [send(card, pin) for pin in (WRONG, WRONG, RIGHT, WRONG)] == ["63C2", "63C1", "9000", "63C2"]


@pytest.mark.parametrize("end", [WRONG, "00A40000023F01", "reset"])
def test_pin_holds_until(make_card: MakeCard, end: str) -> None:
    card = make_card()
    send(card, SELECT)
    assert send(card, RIGHT) == "9000"
    assert send(card, INIT_LOAD).endswith("9000")
    if end == "reset":
        card.reset()
        send(card, SELECT)
    else:
        send(card, end)
    assert send(card, INIT_LOAD) == "6982"


@pytest.mark.parametrize(
    ("apdu", "answer"),
    [
        ("002000000112", "6700"),
        ("0020000007" + "12" * 7, "6700"),
        ("00200000", "6700"),
        ("002000000312345600", "6700"),
        ("0020000103123456", "6A86"),
        ("00200000021234", "63C2"),
        ("0020000006123456FFFFFF", "63C2"),
    ],
)
def test_pin_of_another_shape_is_not_the_pin(make_card: MakeCard, apdu: str, answer: str) -> None:
    card = make_card()
    send(card, SELECT)
    assert send(card, apdu) == answer
    assert send(card, INIT_LOAD) == "6982"


def test_pin_belongs_to_the_purse(make_card: MakeCard) -> None:
    assert send(make_card(), RIGHT) == "6985"


def test_log_needs_the_pin_by_profile(make_card_file: MakeCardFile) -> None:
    for name, profile, answer in (("a", None, "6982"), ("b", PROVE_BEFORE, "6A83")):
        path = make_card_file(name, **({} if profile is None else {"profile": profile}))
        card = Purse(Memory(RamFile(image(path))), Random(1))
        send(card, SELECT)
        assert send(card, "00B201C417") == answer
        assert send(card, RIGHT) == "9000"
        assert send(card, "00B201C417") == "6A83"


@pytest.mark.parametrize(("options", "length"), [({}, 55), ({"profile": PROVE_BEFORE}, 39)])
def test_holder_file_is_as_long_as_the_profile_says(
    make_card: MakeCard, options: dict[str, object], length: int
) -> None:
    card = make_card(**options)
    send(card, SELECT)
    assert send(card, "00B0960000") == "00" * length + "9000"
    assert send(card, f"00B09600{length + 1:02X}") == f"6C{length:02X}"


def test_challenge_is_four_bytes_and_never_the_same(make_card: MakeCard) -> None:
    card = make_card()
    first, second = send(card, "0084000004"), send(card, "0084000004")
    assert first.endswith("9000")
    assert len(first) == len(second) == 12
    assert first != second
    assert send(card, "0084000008") == "6C04"
    assert send(card, "0084010004") == "6A86"


def test_partial_name_selects_and_next_finds_no_other(make_card: MakeCard) -> None:
    card = make_card()
    assert send(card, "00A4040005A000000003").startswith("6F2E8409A00000000386980701")
    assert send(card, "00A4040205A000000003") == "6A82"
    assert send(card, "00A404000531504159 2E").startswith("6F15840E")
    assert send(card, "00A4040205A000000003").startswith("6F2E")


def image(path: Path) -> bytes:
    return encode_slot(0, read_fields(path)).ljust(2 * SLOT_BYTES, b"\0")


def test_power_cut_during_a_wrong_pin_never_gives_a_try_back(make_card_file: MakeCardFile) -> None:
    start = image(make_card_file())
    steps = 0
    while True:
        file = RamFile(start, steps_left=steps)
        card = Purse(Memory(file), Random(1))
        send(card, SELECT)
        told = True
        try:
            assert send(card, WRONG) == "63C2"
        except PowerCut:
            told = False
        again = Purse(Memory(RamFile(bytes(file.image))), Random(1))
        send(again, SELECT)
        left = send(again, WRONG)
        assert left in ({"63C1"} if told else {"63C1", "63C2"})
        if told:
            break
        steps += 1
    assert steps > 300


@given(pins=st.lists(st.sampled_from([RIGHT, WRONG, SELECT]), max_size=12))
def test_tries_follow_a_plain_counter(image_in_ram: bytes, pins: list[str]) -> None:
    card = Purse(Memory(RamFile(image_in_ram)), Random(1))
    send(card, SELECT)
    tries, verified = 3, False
    for pin in pins:
        if pin == SELECT:
            send(card, SELECT)
            verified = False
        elif tries == 0:
            assert send(card, pin) == "6983"
        elif pin == RIGHT:
            assert send(card, pin) == "9000"
            tries, verified = 3, True
        else:
            tries, verified = tries - 1, False
            assert send(card, pin) == f"63C{tries}"
        assert send(card, INIT_LOAD)[-4:] == ("9000" if verified else "6982")


@pytest.fixture(scope="module")
def image_in_ram(tmp_path_factory: pytest.TempPathFactory, make_session_card: Callable[[Path], Path]) -> bytes:
    return image(make_session_card(tmp_path_factory.mktemp("card")))
