"""A purse's three keys: masters, and a card's own that descend from them; a weak key is never given out.

Left out: computing with keys (`wire.pboc`, which takes weak ones too, since cards that hold one
exist) and keeping them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from wire.errors import CampusError
from wire.ids import CardId
from wire.pboc import BLOCK_BYTES, KEY_BYTES, diversify

_DES_PARITY: Final = 0x01


class KeyHalvesEqual(CampusError):
    """A key's two halves are equal: 3DES would be single DES, and the TAC key zero."""

    code = "key-halves-equal"


@dataclass(frozen=True, slots=True)
class PurseKeys:
    """Purchase, load and TAC key, 16 bytes each, of an issuer (masters) or of one card; never shown."""

    purchase: bytes = field(repr=False)
    load: bytes = field(repr=False)
    tac: bytes = field(repr=False)

    def checked(self) -> PurseKeys:
        """These keys; `KeyHalvesEqual` if one of them is weak."""
        return PurseKeys(strong_key(self.purchase), strong_key(self.load), strong_key(self.tac))

    def of_card(self, card: CardId, *, two_level: bool) -> PurseKeys:
        """A card's keys below these masters, by its ASN, or by issuer and then ASN; `KeyHalvesEqual` if any is weak."""
        masters = self.checked()
        derived = (
            card_key(master, card, two_level=two_level) for master in (masters.purchase, masters.load, masters.tac)
        )
        return PurseKeys(*derived).checked()


def card_key(master: bytes, card: CardId, *, two_level: bool) -> bytes:
    """One card's key below `master`, weak or not: whoever issues it checks."""
    above = diversify(master, card.issuer) if two_level else master
    return diversify(above, card.asn[-BLOCK_BYTES:])


def strong_key(key: bytes) -> bytes:
    """The key itself; `KeyHalvesEqual` for one that must not be issued."""
    assert len(key) == KEY_BYTES, "a key has 16 bytes"
    # DES ignores each byte's lowest bit: halves that differ only there are equal.
    left, right = (bytes(byte & ~_DES_PARITY for byte in half) for half in (key[:8], key[8:]))
    if left == right:
        raise KeyHalvesEqual("the key's two halves are equal; no card is issued with it")
    return key
