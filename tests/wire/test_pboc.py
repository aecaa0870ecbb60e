"""The purse's cryptography against published traces of real cards, every value of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wire import pboc
from wire.money import Fen

VECTORS = json.loads((Path(__file__).parent.parent / "vectors" / "pboc_real_cards.json").read_text())
Trace = dict[str, str]

TRACES: list[Trace] = VECTORS["real_card"] + VECTORS["walk_through"]
INPUTS = {
    "src",
    "kind",
    "key",
    "random",
    "atc",
    "ttsn",
    "old_balance",
    "amount",
    "tti",
    "terminal",
    "datetime",
    "dtk",
}


def _number(trace: Trace, field: str) -> int:
    return int(trace[field], 16)


def _fen(trace: Trace, field: str) -> Fen:
    return Fen(_number(trace, field))


def _purchase(trace: Trace) -> dict[str, bytes]:
    amount_fen, terminal = _fen(trace, "amount"), bytes.fromhex(trace["terminal"])
    date_time_bcd, tti, ttsn = bytes.fromhex(trace["datetime"]), _number(trace, "tti"), _number(trace, "ttsn")
    session = pboc.purchase_session_key(
        dpk=bytes.fromhex(trace["key"]),
        random=bytes.fromhex(trace["random"]),
        counter=_number(trace, "atc"),
        ttsn=ttsn,
    )
    computed = {
        "session": session,
        "mac1": pboc.purchase_mac1(
            session_key=session,
            amount_fen=amount_fen,
            terminal=terminal,
            date_time_bcd=date_time_bcd,
            tti=tti,
        ),
        "mac2": pboc.purchase_mac2(session_key=session, amount_fen=amount_fen),
    }
    if "dtk" in trace:
        computed["tac_key"] = pboc.tac_key(bytes.fromhex(trace["dtk"]))
        computed["tac"] = pboc.purchase_tac(
            tac_key=computed["tac_key"],
            amount_fen=amount_fen,
            terminal=terminal,
            ttsn=ttsn,
            date_time_bcd=date_time_bcd,
            tti=tti,
        )
    return computed


def _load(trace: Trace) -> dict[str, bytes]:
    amount_fen, old_balance_fen = _fen(trace, "amount"), _fen(trace, "old_balance")
    date_time_bcd, tti = bytes.fromhex(trace["datetime"]), _number(trace, "tti")
    terminal, online_counter = bytes.fromhex(trace["terminal"]), _number(trace, "atc")
    session = pboc.load_session_key(
        dlk=bytes.fromhex(trace["key"]), random=bytes.fromhex(trace["random"]), online_counter=online_counter
    )
    computed = {
        "session": session,
        "mac1": pboc.load_mac1(
            session_key=session,
            old_balance_fen=old_balance_fen,
            amount_fen=amount_fen,
            terminal=terminal,
            tti=tti,
        ),
        "mac2": pboc.load_mac2(
            session_key=session,
            amount_fen=amount_fen,
            terminal=terminal,
            date_time_bcd=date_time_bcd,
            tti=tti,
        ),
        # The log record numbers the load by the counter after it (this card's habit).
        "log_record": (online_counter + 1).to_bytes(2)
        + bytes(3)
        + amount_fen.to_bytes(4)
        + bytes((tti,))
        + terminal
        + date_time_bcd,
    }
    if "dtk" in trace:
        computed["tac_key"] = pboc.tac_key(bytes.fromhex(trace["dtk"]))
        computed["tac"] = pboc.load_tac(
            tac_key=computed["tac_key"],
            new_balance_fen=Fen(old_balance_fen + amount_fen),
            online_counter=online_counter,
            amount_fen=amount_fen,
            terminal=terminal,
            date_time_bcd=date_time_bcd,
            tti=tti,
        )
    return computed


PUBLISHED = [
    pytest.param(trace, field, id=f"{index}-{trace['kind']}-{field}")
    for index, trace in enumerate(TRACES)
    for field in trace
    if field not in INPUTS
]


@pytest.mark.parametrize(("trace", "field"), PUBLISHED)
def test_published_value_of_a_card_is_computed(trace: Trace, field: str) -> None:
    computed = _purchase(trace) if trace["kind"] == "purchase" else _load(trace)
    assert computed[field] == bytes.fromhex(trace[field])


def test_every_trace_publishes_its_session_key_and_mac1() -> None:
    assert len(TRACES) == 6
    assert len(PUBLISHED) == 25
    assert all("session" in trace and "mac1" in trace for trace in TRACES)


def test_one_level_diversification_is_the_published_key() -> None:
    published = VECTORS["diversification"][0]
    derived = pboc.diversify(bytes.fromhex(published["master"]), bytes.fromhex(published["factor"]))
    assert derived == bytes.fromhex(published["derived"])


def test_two_level_diversification_takes_the_issuer_first() -> None:
    published = VECTORS["diversification"][1]
    level1 = pboc.diversify(bytes.fromhex(published["master"]), bytes.fromhex(published["factor_issuer"]))
    assert level1 == bytes.fromhex(published["level1"])
    assert pboc.diversify(level1, bytes.fromhex(published["factor_asn8"])) == bytes.fromhex(published["derived"])


@given(half=st.binary(min_size=8, max_size=8))
def test_key_with_equal_halves_gives_a_zero_tac_key_and_still_computes(half: bytes) -> None:
    assert pboc.tac_key(half + half) == bytes(8)
    assert pboc.session_key(half + half, bytes(8)) == pboc.diversify(half + half, bytes(8))[:8]
    assert len(pboc.mac(half, b"")) == pboc.MAC_BYTES


@given(key=st.binary(min_size=8, max_size=8), block=st.binary(min_size=8, max_size=8))
def test_whole_block_is_padded_with_another_block(key: bytes, block: bytes) -> None:
    first = pboc.session_key(key + key, block)  # equal halves: single DES
    second = pboc.session_key(key + key, bytes((first[0] ^ 0x80,)) + first[1:])
    assert pboc.mac(key, block) == second[:4]


def test_session_uses_only_the_low_two_bytes_of_ttsn() -> None:
    low = pboc.purchase_session_key(dpk=bytes(range(16)), random=b"abcd", counter=7, ttsn=0x0102)
    assert low == pboc.purchase_session_key(dpk=bytes(range(16)), random=b"abcd", counter=7, ttsn=0xFFFF0102)


_DEBITS = st.tuples(
    st.integers(0, 0xFFFF_FFFF),
    st.binary(min_size=6, max_size=6),
    st.integers(0, 0xFFFF_FFFF),
    st.binary(min_size=7, max_size=7),
)


@given(key=st.binary(min_size=8, max_size=8), debits=st.lists(_DEBITS, min_size=1, max_size=4))
def test_key_at_hand_makes_the_same_tacs_one_after_the_other(
    key: bytes, debits: list[tuple[int, bytes, int, bytes]]
) -> None:
    at_hand = pboc.TacKey(key)
    for amount_fen, terminal, ttsn, date_time_bcd in debits:
        assert at_hand.purchase_tac(amount_fen, terminal, ttsn, date_time_bcd) == pboc.purchase_tac(
            tac_key=key, amount_fen=Fen(amount_fen), terminal=terminal, ttsn=ttsn, date_time_bcd=date_time_bcd
        )
