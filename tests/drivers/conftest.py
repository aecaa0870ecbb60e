"""What cards answer in the tests of this folder."""

from __future__ import annotations

from typing import Final

import pytest

from drivers.purse import PsamIdentity
from wire.ids import TerminalId
from wire.record import ClockQuality, TapTime

FILE_0015: Final = bytes.fromhex("6100000000000001 02 01 00006100000000001234 20250901 20290831 0000")
AID: Final = bytes.fromhex("A00000000386980701")
FCI: Final = bytes.fromhex("6F2E 8409 A00000000386980701 A521 9F0C1E") + FILE_0015
INIT_ANSWER: Final = bytes.fromhex("00001388 0007 000000 01 00 C903814D")
MAC1_ANSWER: Final = bytes.fromhex("0000002A 11223344")
DEBIT_ANSWER: Final = bytes.fromhex("AABBCCDD 55667788")
PSAM: Final = PsamIdentity(terminal=TerminalId(bytes.fromhex("610000000001")), key_index=1)
NOON: Final = TapTime(utc_s=1_772_424_000, boot=1, uptime_s=5, quality=ClockQuality.NETWORK)  # 2026-03-02 12:00


@pytest.fixture(autouse=True)
def _quick_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pseudo-terminal pauses for less within an answer than a modem at 115200 Bd."""
    monkeypatch.setattr("drivers.line.QUIET_S", 0.08)
