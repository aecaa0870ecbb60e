"""Frames on a byte stream: a type, a length, a body, and checks that make any flipped bit an error at once.

The header has its own check, so that a damaged length is refused instead of waited for. Layout in `wire/FORMAT.md`.
"""

from __future__ import annotations

import binascii
from typing import Final

from wire.errors import CampusError

BODY_BYTES_MAX: Final = 65_536
HEADER_BYTES: Final = 6
_CHECK_BYTES: Final = 4


class FrameCorrupt(CampusError):
    """A frame's check does not fit its bytes, or its length is beyond the limit: the stream cannot be read on."""

    code = "frame-corrupt"
    retryable = True


def encode_frame(kind: int, body: bytes) -> bytes:
    """kind 1, length 3, CRC-16 of these 4, body, CRC-32 of header and body."""
    assert len(body) <= BODY_BYTES_MAX, f"a frame's body has at most {BODY_BYTES_MAX} bytes"
    head = bytes((kind,)) + len(body).to_bytes(3, "big")
    head += binascii.crc_hqx(head, 0xFFFF).to_bytes(2, "big")
    return head + body + binascii.crc32(head + body).to_bytes(_CHECK_BYTES, "big")


class FrameDecoder:
    """Takes bytes in any portions, gives whole frames as (kind, body); after `FrameCorrupt` it stays broken."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._broken = False

    @property
    def pending(self) -> bool:
        """Whether a frame has begun that is not whole."""
        return bool(self._buffer)

    def feed(self, data: bytes) -> list[tuple[int, bytes]]:
        """All frames that `data` completes, in order."""
        if self._broken:
            raise FrameCorrupt("the stream was given up after a damaged frame")
        self._buffer += data
        frames = []
        while (frame := self._next()) is not None:
            frames.append(frame)
        return frames

    def _next(self) -> tuple[int, bytes] | None:
        buffer = self._buffer
        if len(buffer) < HEADER_BYTES:
            return None
        size = int.from_bytes(buffer[1:4], "big")
        if binascii.crc_hqx(bytes(buffer[:4]), 0xFFFF) != int.from_bytes(buffer[4:6], "big"):
            raise self._give_up("a frame's header does not fit its check")
        if size > BODY_BYTES_MAX:
            raise self._give_up(f"a frame of {size} bytes is over the limit of {BODY_BYTES_MAX}")
        end = HEADER_BYTES + size
        if len(buffer) < end + _CHECK_BYTES:
            return None
        if binascii.crc32(buffer[:end]) != int.from_bytes(buffer[end : end + _CHECK_BYTES], "big"):
            raise self._give_up("a frame's body does not fit its check")
        frame = buffer[0], bytes(buffer[HEADER_BYTES:end])
        del buffer[: end + _CHECK_BYTES]
        return frame

    def _give_up(self, why: str) -> FrameCorrupt:
        self._broken = True
        return FrameCorrupt(why)
