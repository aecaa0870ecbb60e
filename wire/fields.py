"""Reading and writing bounded binary fields; every shortfall is a typed error, every number has one spelling."""

from __future__ import annotations

from typing import Final

from wire.errors import CampusError

VARINT_BYTES_MAX: Final = 10  # 64 bits in groups of seven
_U64_MAX: Final = 0xFFFF_FFFF_FFFF_FFFF


class FormatError(CampusError):
    """Bytes that do not follow `wire/FORMAT.md`: too short, too long, or with a value that the format excludes."""

    code = "format-invalid"


class FieldReader:
    """Takes fields off the front of `data`; `FormatError` when there is not enough left."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._position = 0

    @property
    def remaining(self) -> int:
        """Bytes not read yet."""
        return len(self._data) - self._position

    def take(self, size: int) -> bytes:
        """The next `size` bytes."""
        if size > self.remaining:
            raise FormatError(f"{size} bytes wanted, {self.remaining} left")
        start = self._position
        self._position += size
        return self._data[start : self._position]

    def uint(self, size: int) -> int:
        """An unsigned big-endian integer of `size` bytes."""
        return int.from_bytes(self.take(size), "big")

    def varint(self) -> int:
        """An unsigned LEB128 integer of at most 64 bits in its shortest spelling."""
        value = 0
        for index in range(VARINT_BYTES_MAX):
            byte = self.uint(1)
            value |= (byte & 0x7F) << (7 * index)
            if byte < 0x80:
                if byte == 0 and index > 0:
                    raise FormatError("an integer has a needless last byte")
                if value > _U64_MAX:
                    raise FormatError("an integer exceeds 64 bits")
                return value
        raise FormatError("an integer exceeds 64 bits")

    def delta(self) -> int:
        """A signed integer, zigzag-coded in a `varint`."""
        raw = self.varint()
        return (raw >> 1) ^ -(raw & 1)

    def finish(self) -> None:
        """Raise `FormatError` unless everything was read."""
        if self.remaining:
            raise FormatError(f"{self.remaining} bytes too many")


def varint(value: int) -> bytes:
    """Unsigned LEB128, shortest spelling, at most 64 bits."""
    assert 0 <= value <= _U64_MAX, "a varint holds 0 to 2^64-1"
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def delta(value: int) -> bytes:
    """A signed integer as zigzag `varint`: 0, -1, 1, -2 become 0, 1, 2, 3."""
    return varint(value << 1 if value >= 0 else (-value << 1) - 1)
