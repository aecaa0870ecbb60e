"""Identifiers: their bytes, their bounds, and that a card's number never shows whole."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wire.ids import Asn, CardId, IssuerId, Stream, TapId, TerminalId, mask_asn


@given(st.from_type(CardId))
def test_card_id_bytes_give_it_back(card: CardId) -> None:
    assert CardId.from_bytes(card.to_bytes()) == card


@given(st.from_type(CardId))
def test_card_id_as_text_shows_four_digits_at_most(card: CardId) -> None:
    assert str(card) == mask_asn(card.asn)
    assert len(str(card).replace("\N{BULLET}", "")) == 4


@pytest.mark.parametrize(("epoch", "seq"), [(0, 1), (1, 0), (0x1_0000, 1), (1, 0x1_0000_0000)])
def test_tap_id_out_of_bounds_is_a_bug(epoch: int, seq: int) -> None:
    with pytest.raises(AssertionError):
        TapId(TerminalId(bytes(6)), epoch, seq)


def test_card_id_of_wrong_size_is_a_bug() -> None:
    with pytest.raises(AssertionError):
        CardId(IssuerId(bytes(8)), Asn(bytes(9)))


def test_tap_id_reads_as_terminal_epoch_number() -> None:
    assert str(TapId(TerminalId(bytes.fromhex("112233445566")), 3, 41)) == "112233445566-3-41"


def test_streams_have_the_labels_that_commands_use() -> None:
    assert [stream.label for stream in Stream] == ["tuition", "canteen", "supermarket", "shops", "top-up"]
