"""The in-process slot, and the channel's 61xx and 6Cxx over scripted cards."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from drivers.channel import FETCHES_MAX, CardRemoved, ReaderFault, ResolvingChannel
from sim.card.purse import Purse
from sim.pcsc.local import LocalSlot, local_channel


class Script:
    """A raw card that answers in order and keeps what it was sent."""

    def __init__(self, *answers: str) -> None:
        self._answers = [bytes.fromhex(answer) for answer in answers]
        self.sent: list[str] = []

    def transmit_raw(self, apdu: bytes) -> bytes:
        self.sent.append(apdu.hex().upper())
        return self._answers[len(self.sent) - 1]


@pytest.mark.parametrize(
    ("apdu", "answers", "sent", "result"),
    [
        pytest.param("00A40000023F00", ["019000"], [], ("01", 0x9000), id="direct"),
        pytest.param("00A40000023F00", ["6102", "0A0B9000"], ["00C0000002"], ("0A0B", 0x9000), id="61xx"),
        pytest.param(
            "00A40000023F00",
            ["6100", "0A6101", "0B9000"],
            ["00C0000000", "00C0000001"],
            ("0A0B", 0x9000),
            id="61xx twice",
        ),
        pytest.param("805C0002", ["6C04", "000000019000"], ["805C000204"], ("00000001", 0x9000), id="6Cxx, no Le"),
        pytest.param("805C000200", ["6C04", "000000019000"], ["805C000204"], ("00000001", 0x9000), id="6Cxx"),
        pytest.param("805A000602000108", ["6C09", "6985"], ["805A000602000109"], ("", 0x6985), id="6Cxx after data"),
        pytest.param("805A0006020001", ["6C09", "6985"], ["805A000602000109"], ("", 0x6985), id="6Cxx, data, no Le"),
        pytest.param("805C000200", ["6C04", "6C05"], ["805C000204"], ("", 0x6C05), id="6Cxx only once"),
        pytest.param("805C000200", ["6C04", "6101", "FF9000"], ["805C000204", "00C0000001"], ("FF", 0x9000), id="both"),
    ],
)
def test_channel_resolves(apdu: str, answers: list[str], sent: list[str], result: tuple[str, int]) -> None:
    card = Script(*answers)
    assert ResolvingChannel(card).transmit(bytes.fromhex(apdu)) == (bytes.fromhex(result[0]), result[1])
    assert card.sent == [apdu, *sent]


def test_answer_without_a_status_word_is_a_fault() -> None:
    with pytest.raises(ReaderFault):
        ResolvingChannel(Script("90")).transmit(b"\x00\xa4\x00\x00")


def test_card_that_never_ends_is_a_fault() -> None:
    card = Script(*["006110"] * 20)
    with pytest.raises(ReaderFault):
        ResolvingChannel(card).transmit(b"\x00\xa4\x00\x00")
    assert len(card.sent) == 1 + FETCHES_MAX


def test_empty_slot_raises_and_a_new_insertion_resets(make_card: Callable[..., Purse]) -> None:
    card, slot = make_card(), LocalSlot()
    channel = ResolvingChannel(slot)
    with pytest.raises(CardRemoved):
        channel.transmit(b"\x00\xa4\x00\x00")
    slot.insert(card)
    assert channel.transmit(bytes.fromhex("00A4040009A00000000386980701"))[1] == 0x9000
    slot.remove()
    assert local_channel(card).transmit(bytes.fromhex("805C000204"))[1] == 0x6985
