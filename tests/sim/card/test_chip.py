"""The framing of short APDUs: the four cases, and everything else refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.card.chip import LE_ANY, Command, parse_command

BYTE = st.integers(0, 255)


@pytest.mark.parametrize(
    ("apdu", "command"),
    [
        ("00A40000", Command(0, 0xA4, 0, 0, b"", None)),
        ("00B095001E", Command(0, 0xB0, 0x95, 0, b"", 0x1E)),
        ("00B0950000", Command(0, 0xB0, 0x95, 0, b"", LE_ANY)),
        ("00A40000023F00", Command(0, 0xA4, 0, 0, b"\x3f\x00", None)),
        ("805A00060200010A", Command(0x80, 0x5A, 0, 6, b"\x00\x01", 0x0A)),
        ("805A000602000100", Command(0x80, 0x5A, 0, 6, b"\x00\x01", LE_ANY)),
    ],
)
def test_each_case_is_read(apdu: str, command: Command) -> None:
    assert parse_command(bytes.fromhex(apdu)) == command


@pytest.mark.parametrize("apdu", ["", "00A400", "00A400000012", "00A40000033F00", "00A40000023F000000"])
def test_contradicting_lengths_are_no_command(apdu: str) -> None:
    assert parse_command(bytes.fromhex(apdu)) is None


@given(header=st.tuples(BYTE, BYTE, BYTE, BYTE), data=st.binary(min_size=1, max_size=255), le=st.integers(1, 256))
def test_command_with_data_and_le_is_read_back(header: tuple[int, int, int, int], data: bytes, le: int) -> None:
    apdu = bytes(header) + bytes((len(data),)) + data + bytes((le & 0xFF,))
    assert parse_command(apdu) == Command(*header, data, le)
