"""Reading and writing bounded binary fields; every shortfall is a typed error, every number has one spelling."""

from __future__ import annotations

from typing import Final

from wire.errors import CampusError

VARINT_BITS: Final = 64  # unless a field says otherwise


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

    def varint(self, bits: int = VARINT_BITS) -> int:
        """An unsigned LEB128 integer of at most `bits` bits in its shortest spelling."""
        data, start = self._data, self._position
        value = shift = 0
        for at in range(start, min(start + -(-bits // 7), len(data))):
            byte = data[at]
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                if byte == 0 and at > start:
                    raise FormatError("an integer has a needless last byte")
                if value >> bits:
                    break
                self._position = at + 1
                return value
            shift += 7
        else:
            if len(data) - start < -(-bits // 7):
                raise FormatError("an integer is cut short")
        raise FormatError(f"an integer exceeds {bits} bits")

    def finish(self) -> None:
        """Raise `FormatError` unless everything was read."""
        if self.remaining:
            raise FormatError(f"{self.remaining} bytes too many")


def varint(value: int, bits: int = VARINT_BITS) -> bytes:
    """Unsigned LEB128, shortest spelling, at most `bits` bits."""
    assert 0 <= value < 1 << bits, f"this varint holds {bits} bits"
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
