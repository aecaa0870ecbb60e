"""Frames: any portions give the same frames, and damage is an error at once, not a wait."""

from __future__ import annotations

import binascii

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wire.frame import BODY_BYTES_MAX, HEADER_BYTES, FrameCorrupt, FrameDecoder, encode_frame

FRAMES = st.lists(st.tuples(st.integers(0, 255), st.binary(max_size=60)), max_size=5)


@given(FRAMES, st.data())
def test_frames_in_any_portions_come_out_the_same(frames: list[tuple[int, bytes]], data: st.DataObject) -> None:
    stream = b"".join(encode_frame(kind, body) for kind, body in frames)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=6)))
    decoder, read = FrameDecoder(), []
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        read += decoder.feed(stream[start:end])
    assert read == frames


def test_every_flipped_bit_of_a_frame_is_an_error_at_once() -> None:
    frame = encode_frame(7, b"what the server says")
    for bit in range(len(frame) * 8):
        changed = bytearray(frame)
        changed[bit // 8] ^= 1 << (bit % 8)
        with pytest.raises(FrameCorrupt):
            FrameDecoder().feed(bytes(changed))


def test_damaged_header_is_found_without_the_body() -> None:
    header = bytearray(encode_frame(7, bytes(1000))[:HEADER_BYTES])
    header[2] ^= 0x01
    with pytest.raises(FrameCorrupt, match="header"):
        FrameDecoder().feed(bytes(header))


def test_length_over_the_limit_is_refused_from_the_header_alone() -> None:

    head = b"\x07" + (BODY_BYTES_MAX + 1).to_bytes(3, "big")
    with pytest.raises(FrameCorrupt, match="over the limit"):
        FrameDecoder().feed(head + binascii.crc_hqx(head, 0xFFFF).to_bytes(2, "big"))


def test_largest_body_passes_and_a_larger_one_is_a_bug() -> None:
    assert FrameDecoder().feed(encode_frame(1, bytes(BODY_BYTES_MAX))) == [(1, bytes(BODY_BYTES_MAX))]
    with pytest.raises(AssertionError):
        encode_frame(1, bytes(BODY_BYTES_MAX + 1))


@given(st.binary(max_size=200))
def test_garbage_is_frames_or_a_typed_error_and_stays_broken(data: bytes) -> None:
    decoder = FrameDecoder()
    try:
        decoder.feed(data)
    except FrameCorrupt:
        with pytest.raises(FrameCorrupt, match="given up"):
            decoder.feed(encode_frame(1, b""))
