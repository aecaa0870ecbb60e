"""The simulated customer display takes CD5220's commands, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.devices.display import SimulatedDisplay
from sim.devices.faults import UnknownCommand


def test_lines_cut_at_every_byte_come_out_the_same() -> None:
    data = b"\x1b@\x1bQAPRICE\r\x1bQB12.50\r"
    for cut in range(len(data)):
        display = SimulatedDisplay(Path("unplugged"))
        display.receive(data[:cut])
        display.receive(data[cut:])
        assert display.shown == [("PRICE", "12.50")]


@pytest.mark.parametrize("data", [b"\x1bz", b"\x1bQC ", b"\x1bQA" + b"x" * 21, b"\x01", b"\x80", b"\x1bQA\x07\r"])
def test_unknown_command_is_an_error_with_its_bytes(data: bytes) -> None:
    with pytest.raises(UnknownCommand, match=r"[0-9a-f]{2}"):
        SimulatedDisplay(Path("unplugged")).receive(data)


@given(st.binary(max_size=50))
def test_garbage_is_an_error_or_two_lines(data: bytes) -> None:
    display = SimulatedDisplay(Path("unplugged"))
    try:
        display.receive(data)
    except UnknownCommand:
        return
    assert [len(line) for line in display.lines] == [20, 20]
