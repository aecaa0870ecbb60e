"""Money as whole fen (hundredths of a yuan), and its only way to and from text. No rounding happens anywhere."""

from __future__ import annotations

import re
from typing import Final, NewType

from wire.errors import CampusError

Fen = NewType("Fen", int)

FEN_MAX: Final = 0xFFFF_FFFF  # amounts are four bytes on the card (JR/T 0025.2-2010)

_YUAN = re.compile(r"(\d{1,8})(?:[.](\d{1,2}))?", re.ASCII)


class AmountUnreadable(CampusError):
    """The text is not an amount of yuan with at most two decimals."""

    code = "amount-unreadable"


def parse_yuan(text: str) -> Fen:
    """Read `12`, `12.5` or `12.50` as fen; raise `AmountUnreadable` for anything else, signs and spaces included."""
    match = _YUAN.fullmatch(text)
    if match is None:
        raise AmountUnreadable(f"{text[:20]!r} is not an amount such as 12.50")
    fen = int(match[1]) * 100 + int((match[2] or "").ljust(2, "0"))
    if fen > FEN_MAX:
        raise AmountUnreadable(f"{text[:20]!r} is more than a card can hold")
    return Fen(fen)


def format_fen(amount_fen: int) -> str:
    """Write fen as yuan with two decimals: 1250 -> `12.50`, -5 -> `-0.05`."""
    sign = "-" if amount_fen < 0 else ""
    yuan, fen = divmod(abs(amount_fen), 100)
    return f"{sign}{yuan}.{fen:02d}"
