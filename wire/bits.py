"""Bits as text: a row's fields as strings of 0 and 1, which are easy to cut and to search; and as words, to be quick.

Left out: what the fields mean (`wire.rows`).
"""

from __future__ import annotations

from typing import Final

from wire.fields import FormatError

# Zeros behind the last bit, so that a field can be read before it is known whether it ended in time: the longest run
# of ones is refused long before, and no row has as many bits.
_BEYOND: Final = "0" * 800
_BEYOND_WORDS: Final = bytes(32)  # as much as `wire.rows` may look at behind a usual row that was cut short


def fixed(value: int, width: int) -> str:
    """Exactly `width` bits, highest first."""
    return f"{value:0{width}b}"


def golomb(value: int, order: int) -> str:
    """Exponential Golomb code: as many ones as the group's number, a zero, then `order` + that number of bits."""
    group = ((value >> order) + 1).bit_length() - 1
    return "1" * group + "0" + fixed(value - (((1 << group) - 1) << order), order + group) if order + group else "0"


def to_bytes(bits: str) -> bytes:
    """The bits in as few bytes as hold them, zeros behind."""
    size = -(-len(bits) // 8)
    return int(bits.ljust(8 * size, "0"), 2).to_bytes(size, "big") if size else b""


def each_bit_first(data: bytes) -> list[bytes]:
    """The data eight times, so that what begins at bit n begins with byte n // 8 of copy n % 8. Zeros are behind it."""
    number, size = int.from_bytes(data + _BEYOND_WORDS, "big"), len(data) + len(_BEYOND_WORDS)
    return [(number << shift).to_bytes(size + 1, "big")[1:] for shift in range(8)]


class BitReader:
    """Takes fields off the front; whoever reads calls `check` before the values count."""

    def __init__(self, data: bytes) -> None:
        self.size = 8 * len(data)
        self.bits = bin(int.from_bytes(b"\1" + data, "big"))[3:] + _BEYOND
        self.at = 0

    def fixed(self, width: int) -> int:
        """`width` bits, at least one."""
        start = self.at
        self.at = start + width
        if self.at > self.size:
            raise FormatError("the rows are cut short")
        return int(self.bits[start : self.at], 2)

    def golomb(self, order: int, width_max: int) -> int:
        """An exponential Golomb code for a value of at most `width_max` bits."""
        stop = self.bits.find("0", self.at)
        group = stop - self.at
        if group > width_max:
            raise FormatError(f"a number in the rows exceeds {width_max} bits")
        self.at = stop + 1
        value = ((1 << group) - 1) << order
        if order + group:
            value += self.fixed(order + group)
        if value >> width_max:
            raise FormatError(f"a number in the rows exceeds {width_max} bits")
        return value

    def finish(self) -> None:
        """Raise `FormatError` unless all was read but the zeros that fill the last byte."""
        if self.at > self.size:
            raise FormatError("the rows are cut short")
        if self.size - self.at >= 8 or "1" in self.bits[self.at : self.size]:
            raise FormatError("bits are left over behind the last row")
