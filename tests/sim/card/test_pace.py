"""Real chips' time: each command's own, and a PSAM's by the characters on its line."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sim.card.pace import BAUD_AT_RESET, BAUD_BY_PPS, PacedChip, card_pace, psam_pace
from sim.card.purse import Purse


@pytest.mark.parametrize(
    ("apdu", "milliseconds"),
    [
        ("00A4040009A00000000386980701", 20),
        ("805001020B 01 00000064 610000000001 0F", 15),
        ("805401000F", 78),
        ("805000020B 01 00000064 610000000001 10", 31),
        ("805200000B", 47),
        ("805C000204", 15),
        ("", 15),
    ],
)
def test_card_takes_what_was_measured(apdu: str, milliseconds: int) -> None:
    assert card_pace(bytes.fromhex(apdu), b"\x90\x00") == milliseconds / 1000


def test_psam_at_9600_baud_needs_75_ms_for_two_level_mac1_and_a_quarter_after_pps() -> None:
    apdu, answer = bytes.fromhex("8070000024") + bytes(36) + b"\x08", bytes(10)
    assert psam_pace(BAUD_AT_RESET)(apdu, answer) == pytest.approx(0.075)
    assert psam_pace(BAUD_BY_PPS)(apdu, answer) == pytest.approx(0.075 / 4)
    assert psam_pace(BAUD_AT_RESET)(bytes.fromhex("8072000004") + bytes(4), b"\x90\x00") == pytest.approx(0.015)
    assert psam_pace(BAUD_AT_RESET)(b"", b"\x67\x00") == pytest.approx(0.010)


def test_chip_pauses_before_each_answer_and_is_otherwise_itself(make_card: Callable[..., Purse]) -> None:
    pauses: list[float] = []
    purse = make_card()
    card = PacedChip(purse, card_pace, pauses.append)
    select = bytes.fromhex("00A4040009A00000000386980701")
    assert card.transmit_raw(select)[-2:] == b"\x90\x00"
    card.reset()
    assert card.transmit_raw(bytes.fromhex("805C000204")).hex() == "6985"
    assert pauses == [0.020, 0.015]
    assert card.atr == purse.atr
