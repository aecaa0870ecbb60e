"""Chips that are wrong in themselves answer as a till has to expect it; a replaying one fools nobody with keys."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from sim.card.flaws import Flaw, Replay, give_flaw
from sim.card.memory import SLOT_BYTES, Memory, RamFile, encode_slot, read_fields
from sim.card.purse import Purse
from sim.psam.psam import Psam

SELECT = "00A4040009A00000000386980701"
VERIFY = "0020000003123456"
INIT = "805001020B 01 00000064 610000000001 0F"
INIT_LOAD = "805000020B 01 00000064 610000000001 10"

MakeCardFile = Callable[..., Path]


@pytest.fixture
def flawed(make_card_file: MakeCardFile) -> Callable[[Flaw | None], Purse]:
    def make(flaw: Flaw | None) -> Purse:
        memory = Memory(RamFile(encode_slot(0, read_fields(make_card_file())).ljust(2 * SLOT_BYTES, b"\0")))
        if flaw is not None:
            give_flaw(memory, flaw)
        return Purse(memory, Random(1))

    return make


def status(card: Purse | Replay, apdu: str) -> str:
    return card.transmit_raw(bytes.fromhex(apdu))[-2:].hex().upper()


def debit(card: Purse | Replay, psam: Psam) -> tuple[str, bytes]:
    """A whole purchase of one yuan: the card's last status word, and the PSAM's verdict on its MAC2."""
    status(card, SELECT)
    init = card.transmit_raw(bytes.fromhex(INIT))
    psam.transmit_raw(bytes.fromhex("00A40000023F01"))
    ask = init[11:15] + init[4:6] + bytes.fromhex("00000064 06 20260301120000") + init[9:11]
    mac1 = psam.transmit_raw(b"\x80\x70\x00\x00\x1c" + ask + bytes.fromhex("6100000000001234") + b"\x08")
    answer = card.transmit_raw(
        bytes.fromhex("805401000F") + mac1[:4] + bytes.fromhex("20260301120000") + mac1[4:8] + b"\x08"
    )
    verdict = psam.transmit_raw(b"\x80\x72\x00\x00\x04" + answer[4:8]) if len(answer) > 2 else b""
    return answer[-2:].hex(), verdict


@pytest.mark.parametrize(
    ("flaw", "answers"),
    [
        (None, ("9000", "9000", "9000", "9000")),
        (Flaw.COUNTERS_AT_END, ("9000", "9000", "9402", "9402")),
        (Flaw.PIN_LOCKED, ("9000", "6983", "9000", "6982")),
        (Flaw.BLOCKED, ("6283", "6985", "6985", "6985")),
        (Flaw.BLOCKED_FOR_GOOD, ("9303", "9303", "9303", "9303")),
        (Flaw.CARD_BLOCKED, ("6A81", "6A81", "6A81", "6A81")),
        (Flaw.WRONG_KEYS, ("9000", "9000", "9000", "9000")),
    ],
)
def test_flawed_card_answers_select_pin_purchase_and_load(
    flawed: Callable[[Flaw | None], Purse], flaw: Flaw | None, answers: tuple[str, ...]
) -> None:
    card = flawed(flaw)
    assert tuple(status(card, apdu) for apdu in (SELECT, VERIFY, INIT, INIT_LOAD)) == answers


def test_card_with_wrong_keys_refuses_a_genuine_psam(flawed: Callable[[Flaw | None], Purse], psam: Psam) -> None:
    card = flawed(Flaw.WRONG_KEYS)
    assert debit(card, psam) == ("9302", b"")
    assert card.balance_fen == 5000


def test_replaying_card_takes_any_mac1_and_is_caught_by_its_mac2(
    flawed: Callable[[Flaw | None], Purse], psam: Psam
) -> None:
    genuine = flawed(None)
    card = Replay(genuine)
    assert debit(card, psam) == ("9000", b"\x90\x00")
    card.forge()
    card.reset()
    assert debit(card, psam) == ("9000", b"\x93\x02")
    assert genuine.balance_fen == 4900
    assert status(card, "00B201C417") == "6D00"
    assert card.atr == genuine.atr
