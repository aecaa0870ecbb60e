"""A card in words: everything that is on it, its keys only for whoever asks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from sim.card.flaws import Flaw, give_flaw
from sim.card.memory import open_memory, read_fields
from sim.card.show import KEY_FIELDS, card_lines

MakeCardFile = Callable[..., Path]

FRESH = """\
profile     campus, ATR 3B87800143414D505553312E
issuer      6100000000000001
ASN         00006100000000001234
valid       2025-09-01 to 2029-08-31
state       active
balance     50.00 yuan (issued with 50.00)
counters    offline 0 (issued with 0), online 0
tries left  PIN 3, MAC 3
file 0015   610000000000000102010000610000000000123420250901202908310000
file 0016   {holder}
file 0017   01060011223344aa
file 0017   020100"""


def shown(path: Path, *, show_keys: bool = False, **changes: bytes) -> str:
    return "\n".join(card_lines({**read_fields(path), **changes}, show_keys=show_keys))


def test_new_card_is_shown_in_full(make_card_file: MakeCardFile) -> None:
    path = make_card_file(compound=(bytes.fromhex("01060011223344AA"), bytes.fromhex("020100")))
    assert shown(path) == FRESH.format(holder="00" * 55)


def test_log_and_proof_are_told_in_words(make_card_file: MakeCardFile) -> None:
    record = bytes.fromhex("0008 000000 00000064 06 610000000001 20260301 120005")
    proof = bytes.fromhex("06 0007 AABBCCDD 11223344")
    lines = shown(make_card_file(), log=record + record[:9] + b"\x33" + record[10:], proof=proof)
    assert "file 0018   8: purchase 1.00 at 610000000001, 2026-03-01 12:00:05" in lines
    assert "file 0018   8: TTI 33 1.00 at" in lines
    assert "proof       purchase begun at counter 7: MAC aabbccdd, TAC 11223344" in lines


@pytest.mark.parametrize(
    ("flaw", "line"),
    [
        (Flaw.BLOCKED, "state       application blocked"),
        (Flaw.BLOCKED_FOR_GOOD, "state       application blocked for good"),
        (Flaw.CARD_BLOCKED, "state       card blocked"),
        (Flaw.PIN_LOCKED, "tries left  PIN 0, MAC 3"),
        (Flaw.COUNTERS_AT_END, "counters    offline 65535 (issued with 65535), online 65535"),
    ],
)
def test_flaw_can_be_read(make_card_file: MakeCardFile, flaw: Flaw, line: str) -> None:
    path = make_card_file()
    memory = open_memory(path)
    give_flaw(memory, flaw)
    memory.close()
    assert line in shown(path).splitlines()


def test_keys_and_pin_are_shown_on_demand_alone(make_card_file: MakeCardFile) -> None:
    path = make_card_file()
    secrets = {name: read_fields(path)[name].hex() for name in KEY_FIELDS}
    plain, full = shown(path), shown(path, show_keys=True)
    assert not [name for name, secret in secrets.items() if name != "pin" and secret in plain]
    assert all(f": {secret}" in full for secret in secrets.values())
    assert ": 123456" not in plain


def test_card_of_an_older_program_is_shown_as_far_as_it_goes(make_card_file: MakeCardFile) -> None:
    fields = read_fields(make_card_file())
    for name in ("pin", "pin_tries_left", "mac_tries_left", "holder", "compound", "application_key"):
        del fields[name]
    lines = list(card_lines(fields, show_keys=True))
    assert "tries left  PIN 0, MAC 0" in lines
    assert not [line for line in lines if "0017" in line or "maintenance" in line]
