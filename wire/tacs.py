"""The TACs of many canonical records at once: the server checks one for every debit that comes.

Left out: the cryptography (`wire.pboc`), and where cards' keys come from.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from wire.pboc import TTI_PURCHASE, TacKey
from wire.record import BCD_IN_HOUR, HOUR_S, UNDER_TAC, card_hour

_BLOCK_BITS: Final = 64
_HALF_TERMINAL_BITS: Final = 24  # a terminal's number lies across the first two blocks
_END_OF_TERMINAL: Final = (1 << _HALF_TERMINAL_BITS) - 1
_PADDING: Final = 0x8000


def are_purchase_tacs(records: bytes, keys: Mapping[bytes, TacKey]) -> list[bool]:
    """Whether each of these records, one behind the other, has its card's TAC over its own debit; zeros are none.

    Three blocks go under the TAC: amount, type and half the terminal; the other half, serial number and century; the
    rest of date and time, and the padding. What taps share, terminal and hour, is put in its place once for them all.
    """
    found: list[bool] = []
    last_terminal, last_hour = b"", -1
    kind_and_terminal = terminal_and_century = date_hour = 0
    for terminal, card, amount_fen, ttsn, tac, utc_s in UNDER_TAC.iter_unpack(records):
        hour = utc_s // HOUR_S
        if hour != last_hour or terminal != last_terminal:
            last_terminal, last_hour = terminal, hour
            number = int.from_bytes(terminal, "big")
            century, date_hour = divmod(card_hour(hour), 1 << 32)
            kind_and_terminal = TTI_PURCHASE << _HALF_TERMINAL_BITS | number >> _HALF_TERMINAL_BITS
            terminal_and_century = (number & _END_OF_TERMINAL) << _BLOCK_BITS - _HALF_TERMINAL_BITS | century
            date_hour = date_hour << 32 | _PADDING
        right = keys[card].tac_of_blocks(
            amount_fen << 32 | kind_and_terminal,
            ttsn << 8 | terminal_and_century,
            BCD_IN_HOUR[utc_s % HOUR_S] << 16 | date_hour,
        )
        found.append(tac != 0 and not right ^ tac)  # all bits at once: time does not tell how many are right
    return found
