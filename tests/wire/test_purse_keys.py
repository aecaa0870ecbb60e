"""Keys below a master: one level or two, and the weak ones that are never given out."""

from __future__ import annotations

from dataclasses import replace

import pytest

from wire.ids import Asn, CardId, IssuerId
from wire.pboc import diversify
from wire.purse_keys import KeyHalvesEqual, PurseKeys, card_key, strong_key

CARD = CardId(IssuerId(bytes.fromhex("6100000000000001")), Asn(bytes.fromhex("00006100000000001234")))
MASTERS = PurseKeys(bytes(range(16)), bytes(range(16, 32)), bytes(range(32, 48)))
WEAK = bytes.fromhex("3F013F013F013F013F003F003F003F00")  # equal but for the parity bits


def test_keys_descend_by_asn_or_by_issuer_and_then_asn() -> None:
    one, two = MASTERS.of_card(CARD, two_level=False), MASTERS.of_card(CARD, two_level=True)
    assert one.purchase == diversify(MASTERS.purchase, CARD.asn[2:])
    assert two.tac == diversify(diversify(MASTERS.tac, CARD.issuer), CARD.asn[2:])
    assert two.load == card_key(MASTERS.load, CARD, two_level=True)
    assert len({one.purchase, one.load, one.tac, two.purchase, two.load, two.tac}) == 6


def test_key_with_different_halves_is_strong() -> None:
    assert strong_key(bytes(range(16))) == bytes(range(16))


@pytest.mark.parametrize("weak", [bytes(16), b"4" * 16, WEAK], ids=["zero", "same", "parity"])
def test_key_with_equal_halves_is_refused(weak: bytes) -> None:
    with pytest.raises(KeyHalvesEqual):
        strong_key(weak)
    for changed in (replace(MASTERS, purchase=weak), replace(MASTERS, load=weak), replace(MASTERS, tac=weak)):
        with pytest.raises(KeyHalvesEqual):
            changed.checked()
        with pytest.raises(KeyHalvesEqual):
            changed.of_card(CARD, two_level=False)


def test_no_text_shows_a_key() -> None:
    assert repr(MASTERS) == "PurseKeys()"
