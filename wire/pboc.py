"""The PBOC purse's cryptography: key diversification, session keys, MAC1, MAC2 and TAC of purchase and load (JR/T
0025.2-2010).

Left out: APDUs, secure messaging, and which keys may be issued (`wire.purse_keys`): a weak one is computed here like
any other, because cards that hold one exist.
"""

from __future__ import annotations

import struct
from typing import Final

from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives.ciphers import Cipher, modes

from wire.money import Fen

TTI_LOAD: Final = 0x02
TTI_PURCHASE: Final = 0x06

KEY_BYTES: Final = 16  # a card key: two DES keys
SESSION_KEY_BYTES: Final = 8  # a session key or TAC key: one DES key
BLOCK_BYTES: Final = 8
MAC_BYTES: Final = 4

_ZERO_BLOCK: Final = bytes(BLOCK_BYTES)
_ECB: Final = modes.ECB()
_CBC_FROM_ZERO: Final = modes.CBC(_ZERO_BLOCK)
_INVERTED: Final = bytes(0xFF - value for value in range(256))
_LOAD_SESSION_TAIL: Final = b"\x80\x00"
_PADDING: Final = b"\x80\x00"
_THREE_BLOCKS: Final = struct.Struct(">QQQ")  # what a purchase's TAC is made over, padded
_THIRD_BLOCK: Final = struct.Struct(">16xQ")
_TAC_SHIFT: Final = 8 * (BLOCK_BYTES - MAC_BYTES)


def diversify(master: bytes, factor: bytes) -> bytes:
    """The 16-byte key below `master` for an 8-byte factor; twice for two levels, the issuer's factor first, then the
    ASN's low 8 bytes.
    """
    assert len(master) == KEY_BYTES, "a master key has 16 bytes"
    assert len(factor) == BLOCK_BYTES, "a factor has 8 bytes"
    cipher = Cipher(TripleDES(master + master[:8]), _ECB).encryptor()
    return cipher.update(factor + factor.translate(_INVERTED))


def session_key(key: bytes, data: bytes) -> bytes:
    """The 8-byte session key: 3DES with a 16-byte card key over 8 bytes of random, counter and tail."""
    assert len(key) == KEY_BYTES, "a card key has 16 bytes"
    assert len(data) == BLOCK_BYTES, "session data is one block"
    return Cipher(TripleDES(key + key[:8]), _ECB).encryptor().update(data)


def mac(key: bytes, data: bytes) -> bytes:
    """The 4-byte MAC with an 8-byte key: DES in CBC from zero, padded with 80 00.. always, left half of the last
    block.
    """
    assert len(key) == SESSION_KEY_BYTES, "a session key has 8 bytes"
    padded = data + b"\x80" + bytes(-(len(data) + 1) % BLOCK_BYTES)
    # Three equal keys make 3DES single DES; the library has no DES of its own.
    last_block = Cipher(TripleDES(key * 3), _CBC_FROM_ZERO).encryptor().update(padded)[-BLOCK_BYTES:]
    return last_block[:MAC_BYTES]


def tac_key(dtk: bytes) -> bytes:
    """The 8-byte TAC key: left half of the card's 16-byte DTK xor the right half."""
    assert len(dtk) == KEY_BYTES, "a DTK has 16 bytes"
    return (int.from_bytes(dtk[:8]) ^ int.from_bytes(dtk[8:])).to_bytes(8)


def purchase_session_key(*, dpk: bytes, random: bytes, counter: int, ttsn: int) -> bytes:
    """SESPK: the card's DPK over its 4-byte random, its offline counter and the low 2 bytes of the PSAM's TTSN."""
    return session_key(dpk, random + counter.to_bytes(2) + (ttsn & 0xFFFF).to_bytes(2))


def purchase_mac1(
    *, session_key: bytes, amount_fen: Fen, terminal: bytes, date_time_bcd: bytes, tti: int = TTI_PURCHASE
) -> bytes:
    """MAC1, by which the PSAM proves itself to the card."""
    return mac(session_key, _amount(amount_fen) + bytes((tti,)) + terminal + date_time_bcd)


def purchase_mac2(*, session_key: bytes, amount_fen: Fen) -> bytes:
    """MAC2, by which the card proves to the PSAM that it debited."""
    return mac(session_key, _amount(amount_fen))


def purchase_tac(
    *,
    tac_key: bytes,
    amount_fen: Fen,
    terminal: bytes,
    ttsn: int,
    date_time_bcd: bytes,
    tti: int = TTI_PURCHASE,
) -> bytes:
    """TAC of a purchase, by which the card proves the debit to its issuer."""
    return mac(tac_key, _amount(amount_fen) + bytes((tti,)) + terminal + ttsn.to_bytes(4) + date_time_bcd)


class TacKey:
    """One card's TAC key, set up for many purchases: one then costs a fifth of `purchase_tac`. Belongs to one thread.

    The library's cipher goes on from block to block, so what is left from the purchase before is taken out again by
    adding it to the next one's first block.
    """

    __slots__ = ("_encrypt", "_left")

    def __init__(self, tac_key: bytes) -> None:
        assert len(tac_key) == SESSION_KEY_BYTES, "a TAC key has 8 bytes"
        self._encrypt = Cipher(TripleDES(tac_key * 3), _CBC_FROM_ZERO).encryptor().update
        self._left = 0

    def purchase_tac(self, amount_fen: int, terminal: bytes, ttsn: int, date_time_bcd: bytes) -> bytes:
        """As `purchase_tac` makes it."""
        head = _amount(Fen(amount_fen)) + bytes((TTI_PURCHASE,)) + terminal + ttsn.to_bytes(4)
        return self.tac_of_blocks(*_THREE_BLOCKS.unpack(head + date_time_bcd + _PADDING)).to_bytes(MAC_BYTES)

    def tac_of_blocks(self, first: int, second: int, third: int) -> int:
        """The TAC, as a number, over a purchase that fills three blocks with its padding (`wire.tacs` fills them)."""
        left: int
        (left,) = _THIRD_BLOCK.unpack(self._encrypt(_THREE_BLOCKS.pack(first ^ self._left, second, third)))
        self._left = left
        return left >> _TAC_SHIFT


def load_session_key(*, dlk: bytes, random: bytes, online_counter: int) -> bytes:
    """SESLK: the card's DLK over its 4-byte random, its online counter and 8000."""
    return session_key(dlk, random + online_counter.to_bytes(2) + _LOAD_SESSION_TAIL)


def load_mac1(
    *, session_key: bytes, old_balance_fen: Fen, amount_fen: Fen, terminal: bytes, tti: int = TTI_LOAD
) -> bytes:
    """Load MAC1, by which the card asks its issuer for a load."""
    return mac(session_key, _amount(old_balance_fen) + _amount(amount_fen) + bytes((tti,)) + terminal)


def load_mac2(
    *, session_key: bytes, amount_fen: Fen, terminal: bytes, date_time_bcd: bytes, tti: int = TTI_LOAD
) -> bytes:
    """Load MAC2, by which the issuer grants the load to the card."""
    return mac(session_key, _amount(amount_fen) + bytes((tti,)) + terminal + date_time_bcd)


def load_tac(
    *,
    tac_key: bytes,
    new_balance_fen: Fen,
    online_counter: int,
    amount_fen: Fen,
    terminal: bytes,
    date_time_bcd: bytes,
    tti: int = TTI_LOAD,
) -> bytes:
    """TAC of a load; `online_counter` is the number before it was raised, as INITIALIZE FOR LOAD answered it."""
    head = _amount(new_balance_fen) + online_counter.to_bytes(2) + _amount(amount_fen)
    return mac(tac_key, head + bytes((tti,)) + terminal + date_time_bcd)


def _amount(amount_fen: Fen) -> bytes:
    return amount_fen.to_bytes(4)
