"""T=0's two-part answers when they go wrong; the regular ones are in tests/sim/pcsc/test_local.py."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.channel import ReaderFault, ResolvingChannel, with_le
from drivers.pcsc import without_le

DEBIT = bytes.fromhex("805401000F 00000001 20260301 120000 00000000 08")


class Script:
    """A raw card that answers in order and keeps what it was sent."""

    def __init__(self, *answers: str) -> None:
        self._answers = [bytes.fromhex(answer) for answer in answers]
        self.sent: list[str] = []

    def transmit_raw(self, apdu: bytes) -> bytes:
        self.sent.append(apdu.hex().upper())
        return self._answers[len(self.sent) - 1]


@pytest.mark.parametrize("error", ["6985", "6D00", "6700", "6901", "9302", "9401", "6F00"])
def test_error_instead_of_the_announced_answer_is_no_verdict_on_the_command(error: str) -> None:
    card = Script("6108", error)
    with pytest.raises(ReaderFault, match=error):
        ResolvingChannel(card).transmit(DEBIT)
    assert len(card.sent) == 2


def test_announced_length_that_was_wrong_is_corrected_without_a_second_execution() -> None:
    card = Script("6100", "6C08", "0102030405060708 9000")
    assert ResolvingChannel(card).transmit(DEBIT) == (bytes(range(1, 9)), 0x9000)
    assert card.sent == [DEBIT.hex().upper(), "00C0000000", "00C0000008"]


def test_warning_beside_a_fetched_answer_is_passed_on() -> None:
    assert ResolvingChannel(Script("6102", "6F00 6283")).transmit(DEBIT) == (b"\x6f\x00", 0x6283)


@given(st.lists(st.binary(min_size=0, max_size=6), min_size=8, max_size=8))
def test_any_answers_give_a_status_word_or_a_fault(answers: list[bytes]) -> None:
    card = Script(*(answer.hex() for answer in answers))
    try:
        _, sw = ResolvingChannel(card).transmit(DEBIT)
    except ReaderFault:
        return
    assert sw >> 8 != 0x61
    # Only 6Cxx, with which a card says that it has done nothing, may bring the command a second time.
    again = [apdu for apdu in card.sent[1:] if apdu.startswith("8054")]
    assert len(again) == (answers[0][-2:][:1] == b"\x6c")


@pytest.mark.parametrize(
    ("apdu", "t0"),
    [
        ("00A40000", "00A40000"),
        ("805C000204", "805C000204"),
        ("00A40000023F00", "00A40000023F00"),
        ("00A40000023F0000", "00A40000023F00"),
        ("805A000602000108", "805A0006020001"),
    ],
)
def test_t0_carries_no_le_behind_data(apdu: str, t0: str) -> None:
    assert without_le(bytes.fromhex(apdu)).hex().upper() == t0


@pytest.mark.parametrize(
    ("apdu", "expected"),
    [("805C0002", "805C000210"), ("805C000204", "805C000210"), ("805A0006020001", "805A000602000110")],
)
def test_le_is_set_whether_there_was_one_or_not(apdu: str, expected: str) -> None:
    assert with_le(bytes.fromhex(apdu), 0x10).hex().upper() == expected
