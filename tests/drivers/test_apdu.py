"""Every command byte for byte, as JR/T 0025.2-2010 and the PSAM's manual print them."""

from __future__ import annotations

import pytest

from drivers import apdu
from drivers.apdu import Sw, describe_sw
from tests.drivers.conftest import AID
from wire.ids import TerminalId
from wire.money import Fen

TERMINAL = TerminalId(bytes.fromhex("610000000001"))
DATE, TIME = bytes.fromhex("20260302"), bytes.fromhex("120000")


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (apdu.select_by_aid(AID), "00A40400 09 A00000000386980701"),
        (apdu.select_by_fid(0x3F00), "00A40000 02 3F00"),
        (apdu.read_binary(0x16, 6), "00B09600 06"),
        (apdu.read_binary(0x17, 1), "00B09700 01"),
        (apdu.get_balance(), "805C0002 04"),
        (
            apdu.initialize_for_purchase(key_index=1, amount_fen=Fen(1200), terminal=TERMINAL),
            "80500102 0B 01 000004B0 610000000001 0F",
        ),
        (
            apdu.debit_for_purchase(ttsn=42, date=DATE, time=TIME, mac1=bytes.fromhex("D45737C5")),
            "80540100 0F 0000002A 20260302 120000 D45737C5 08",
        ),
        (apdu.get_transaction_prove(0x0102), "805A0006 02 0102 08"),
        (
            apdu.init_sam_for_purchase(
                random=bytes.fromhex("584633C9"),
                counter=7,
                amount_fen=Fen(1200),
                date=DATE,
                time=TIME,
                key_version=1,
                algorithm=0,
                factors=bytes.fromhex("6100000000001234"),
            ),
            "80700000 1C 584633C9 0007 000004B0 06 20260302 120000 01 00 6100000000001234 08",
        ),
        (
            apdu.init_sam_for_purchase(
                random=bytes(4),
                counter=0xFFFF,
                amount_fen=Fen(0xFFFF_FFFF),
                date=DATE,
                time=TIME,
                key_version=2,
                algorithm=1,
                factors=bytes.fromhex("61000000000012346100000000000001"),
            ),
            "80700000 24 00000000 FFFF FFFFFFFF 06 20260302 120000 02 01 61000000000012346100000000000001 08",
        ),
        (apdu.credit_sam_for_purchase(bytes.fromhex("66B54A6B")), "80720000 04 66B54A6B"),
    ],
)
def test_command_is_the_standards_bytes(command: bytes, expected: str) -> None:
    assert command == bytes.fromhex(expected)


def test_status_words_are_shown_by_name_or_digits() -> None:
    assert describe_sw(Sw.BALANCE_INSUFFICIENT) == "9401 BALANCE_INSUFFICIENT"
    assert describe_sw(0x6A86) == "6A86"
