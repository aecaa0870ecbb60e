"""The simulated printer's inside takes what a printer takes, and nothing else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.printer import Line
from drivers.printer_escpos import blocks
from sim.devices.escpos import EscposEngine
from sim.devices.faults import UnknownCommand

RECEIPT = b"".join(blocks([Line("第一食堂", double=True, centred=True), Line("总计 12.50")]))


@pytest.mark.parametrize(
    "data", [b"\x1bz", b"\x1d!\x22", b"\x07", b"\x10\x05\x01", b"\x10\x04\x09", b"\xff\xff", b"\xb9\xfa"]
)
def test_unknown_command_is_an_error_with_its_bytes(data: bytes) -> None:
    engine = EscposEngine(32)
    with pytest.raises(UnknownCommand, match=r"[0-9a-f]|DLE"):
        _ = engine.feed(data + b"  "), engine.run()


def test_receipt_cut_at_every_byte_comes_out_the_same() -> None:
    whole = EscposEngine(32)
    whole.feed(RECEIPT)
    whole.run()
    for cut in range(len(RECEIPT)):
        engine = EscposEngine(32)
        for piece in (RECEIPT[:cut], RECEIPT[cut:]):
            engine.feed(piece)
            engine.run()
        assert engine.text() == whole.text()


def test_line_that_is_too_long_goes_on_below() -> None:
    engine = EscposEngine(32)
    engine.feed(b"\x1b@" + b"x" * 40 + b"\n")
    engine.run()
    assert [len(line.text) for line in engine.paper] == [32, 8]


def test_questions_in_real_time_are_answered_without_paper() -> None:
    engine = EscposEngine(32)
    engine.lines_left = 0
    assert engine.feed(b"text\n\x10\x04\x01\x10\x04\x02\x10\x04\x03\x10\x04\x04") == b"\x1a\x32\x12\x7e"
    assert engine.run() == b""
    assert engine.paper == []


def test_more_than_its_memory_is_an_error() -> None:
    with pytest.raises(UnknownCommand, match="memory"):
        EscposEngine(32).feed(b"x" * 5_000)


@given(st.binary(max_size=60))
def test_garbage_is_an_error_or_paper(data: bytes) -> None:
    engine = EscposEngine(32)
    try:
        engine.feed(data)
        engine.run()
    except UnknownCommand:
        return
    assert all(len(line.text) <= 32 for line in engine.paper)
