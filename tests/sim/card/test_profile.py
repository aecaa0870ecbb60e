"""What makers do differently: every choice of the second maker's card is another than the campus card's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from functools import reduce
from operator import xor
from pathlib import Path
from random import Random

from sim.card.memory import open_memory, read_fields
from sim.card.profile import CAMPUS, PROFILES, SECOND_MAKER, contact_atr, contactless_atr
from sim.card.purse import Purse
from wire import pboc

SELECT = "00A4040008A000000632010105"


def send(card: Purse, apdu: str) -> str:
    return card.transmit_raw(bytes.fromhex(apdu)).hex().upper()


def test_second_maker_shares_no_choice_with_the_campus_card() -> None:
    same = {field.name for field in fields(CAMPUS) if getattr(CAMPUS, field.name) == getattr(SECOND_MAKER, field.name)}
    # A T=0 card is a profile of its own; the log's number is the standard's second open question, not the first.
    assert same == {"t0", "log_numbering"}


def test_second_makers_card_is_reached_by_its_own_names(make_card: Callable[..., Purse]) -> None:
    card = make_card(profile=SECOND_MAKER)
    assert send(card, "00A4040009A00000000386980701") == "6A82"
    assert send(card, "00A40000023F01") == "6A82"
    fci = "6F318408A000000632010105A5259F0801029F0C1E610000000000000102010000610000000000123420250901202908310000"
    assert send(card, SELECT) == fci + "9000"
    assert send(card, "00A4000002DF01") == fci + "9000"
    assert send(card, "00B0960027") == "00" * 39 + "9000"
    assert send(card, "805401000F 00000001 20260301 120000 00000000 08") == "6901"


def test_second_makers_keys_descend_by_issuer_and_then_asn(make_card_file: Callable[..., Path]) -> None:
    path = make_card_file(profile=SECOND_MAKER)
    master = bytes.fromhex("101112131415161718191A1B1C1D1E1F")
    above = pboc.diversify(master, bytes.fromhex("6100000000000001"))
    assert read_fields(path)["dpk"] == pboc.diversify(above, bytes.fromhex("6100000000001234"))


def test_second_maker_proves_by_n_and_logs_by_n_plus_1(make_card_file: Callable[..., Path]) -> None:
    path = make_card_file(profile=SECOND_MAKER, opening_counter=7)
    card = Purse(open_memory(path), Random(1))
    send(card, SELECT)
    init = bytes.fromhex(send(card, "805001020B 01 00000064 610000000001 0F"))
    key = pboc.purchase_session_key(dpk=read_fields(path)["dpk"], random=init[11:15], counter=7, ttsn=1)
    mac1 = pboc.mac(key, bytes.fromhex("00000064 06 610000000001 20260301120000"))
    debit = send(card, f"805401000F 00000001 20260301120000 {mac1.hex()} 08")
    assert debit.endswith("9000")
    assert send(card, "805A0006020008 08") == "9406"
    assert send(card, "805A0006020007 08") == debit[8:16] + debit[:8] + "9000"
    assert send(card, "00B201C417")[:4] == "0008"


def test_answer_to_reset_tells_the_makers_apart() -> None:
    assert len({profile.atr for profile in PROFILES.values()}) == len(PROFILES)


def test_made_up_atr_ends_with_its_checksum() -> None:
    atr = contactless_atr(b"ABC")
    assert atr.hex() == "3b83800141424342"
    assert reduce(xor, atr[1:]) == 0
    assert contact_atr(b"AB").hex() == "3b6200004142"
