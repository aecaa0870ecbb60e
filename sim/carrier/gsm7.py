"""The 7-bit alphabet of GSM (23.038): text to septets and back, packed or not. Left out: national language tables.

Written apart from the drivers' codec on purpose: two that agree are worth more than one that agrees with itself.
"""

from __future__ import annotations

from typing import Final

_BASIC: Final = (
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞ\x1bÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
_EXTENSION: Final = {0x0A: "\f", 0x14: "^", 0x28: "{", 0x29: "}", 0x2F: "\\", 0x3C: "[", 0x3D: "~", 0x3E: "]"} | {
    0x40: "|",
    0x65: "€",
}
_ESCAPE: Final = 0x1B
_SEPTET_OF: Final = {character: bytes((index,)) for index, character in enumerate(_BASIC) if index != _ESCAPE} | {
    character: bytes((_ESCAPE, index)) for index, character in _EXTENSION.items()
}


def to_septets(text: str) -> bytes | None:
    """One byte a septet; None if the alphabet lacks a character."""
    septets = [_SEPTET_OF.get(character) for character in text]
    return None if None in septets else b"".join(septet for septet in septets if septet is not None)


def from_septets(septets: bytes) -> str:
    """The text; an unknown extension is its basic character (23.038 6.2.1.1), a last escape a space."""
    text, escaped = [], False
    for septet in (octet & 0x7F for octet in septets):
        if escaped:
            text.append(_EXTENSION.get(septet, " " if septet == _ESCAPE else _BASIC[septet]))
            escaped = False
        elif septet == _ESCAPE:
            escaped = True
        else:
            text.append(_BASIC[septet])
    return "".join(text) + (" " if escaped else "")


def pack(septets: bytes, *, fill_bits: int = 0) -> bytes:
    """Septets as octets, low bits first, after `fill_bits` of padding."""
    value, length = 0, fill_bits
    for septet in septets:
        value |= (septet & 0x7F) << length
        length += 7
    return value.to_bytes((length + 7) // 8, "little")


def unpack(octets: bytes, count: int, *, fill_bits: int = 0) -> bytes:
    """`count` septets of them; fewer if there are not that many."""
    value = int.from_bytes(octets, "little") >> fill_bits
    count = max(0, min(count, (len(octets) * 8 - fill_bits) // 7))
    return bytes((value >> (7 * index)) & 0x7F for index in range(count))
