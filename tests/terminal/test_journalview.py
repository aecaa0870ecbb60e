"""What people and programs see of the journal: aligned by width, masked, filtered."""

from __future__ import annotations

from dataclasses import replace

import pytest
from rich.cells import cell_len

from terminal.journalview import (
    KIND_WORDS,
    OUTCOME_WORDS,
    Shown,
    Wanted,
    columns,
    evidence,
    list_lines,
    listed,
    parse_since,
    parse_suffix,
    show_lines,
)
from tests.terminal.conftest import INTENT, NOON, TERMINAL
from wire.ids import TapId
from wire.money import Fen
from wire.record import Mac2, Outcome, Refusal, TapKind, TapRecord

SALE = TapRecord(
    tap_id=TapId(TERMINAL, 1, 3),
    outcome=Outcome.DEBITED,
    reason=None,
    mac2=Mac2.VERIFIED,
    card=INTENT.card,
    amount_fen=Fen(950),
    subsidy_fen=Fen(300),
    balance_before_fen=Fen(5_000),
    counter=7,
    ttsn=42,
    tac=b"\1\2\3\4",
    opened_at=NOON,
)
UNDO = replace(
    SALE,
    tap_id=TapId(TERMINAL, 1, 4),
    kind=TapKind.REVERSAL,
    amount_fen=Fen(0),
    credit_fen=Fen(950),
    refers_to=3,
    outcome=Outcome.REFUSED,
    reason=Refusal.REVERSAL_NOT_ALLOWED,
)


def test_columns_are_under_each_other_by_width_not_by_letters() -> None:
    lines = columns([("编号", "名", "钱"), ("1", "米饭套餐", "3.50"), ("12", "rice", "12.00")], frozenset({0, 2}))
    ends = [cell_len(line) for line in lines]
    assert ends == [4 + 2 + 8 + 2 + 5] * 3
    assert lines[1] == "   1  米饭套餐   3.50"


def test_list_names_kind_end_and_money_and_masks_the_card() -> None:
    lines = list_lines([SALE, UNDO], replace(SALE, tap_id=TapId(TERMINAL, 1, 5), outcome=Outcome.UNKNOWN))
    assert len(lines) == 4
    assert "2026-03-02 12:00:00  ••1234" in lines[1]
    assert "消费 sale" in lines[1]
    assert "9.50" in lines[1]
    assert "3.00" in lines[1]
    assert "撤销 undo #3" in lines[2]
    assert "拒绝 REFUSED REVERSAL_NOT_ALLOWED" in lines[2]
    assert "未完 OPEN" in lines[3]
    whole = INTENT.card.asn.hex()
    assert not any(whole in line for line in lines)
    starts = {cell_len(line[: line.index("••")]) for line in lines[1:]}
    assert len(starts) == 1


def test_every_kind_and_outcome_has_its_words() -> None:
    assert set(KIND_WORDS) == set(TapKind)
    assert set(OUTCOME_WORDS) == set(Outcome)


def test_evidence_has_hashes_proofs_and_the_servers_word_and_no_card_number() -> None:
    shown = Shown(record=SALE, chain_hash=bytes(32), hash_before=bytes(range(32)), shift=2, server="accepted")
    facts = evidence(shown)
    assert (facts["mac2"], facts["tac"], facts["shift"], facts["server"]) == ("VERIFIED", "01020304", 2, "accepted")
    assert (facts["hash"], facts["hash_before"]) == (bytes(32).hex(), bytes(range(32)).hex())
    assert facts["card"] == "••1234"
    lines = show_lines(shown)
    assert any(line.startswith("hash_before") for line in lines)
    assert not any("reason" in line for line in lines), "what there is not is left out"
    opened = Shown(record=SALE, chain_hash=None, hash_before=bytes(32), shift=None, server="not acknowledged yet")
    assert (evidence(opened)["outcome"], evidence(opened)["hash"]) == ("OPEN", None)


def test_line_for_programs_names_the_tap_and_what_it_takes_back() -> None:
    assert listed(UNDO, is_open=False) == {
        "tap": str(UNDO.tap_id),
        "seq": 4,
        "opened_at": "2026-03-02T12:00:00+08:00",
        "card": "••1234",
        "kind": "REVERSAL",
        "outcome": "REFUSED",
        "reason": "REVERSAL_NOT_ALLOWED",
        "amount_fen": 0,
        "subsidy_fen": 300,
        "credit_fen": 950,
        "refers_to": 3,
    }


@pytest.mark.parametrize(
    ("wanted", "fits"),
    [
        (Wanted(), True),
        (Wanted(seqs=range(1, 4)), True),
        (Wanted(seqs=range(4, 9)), False),
        (Wanted(since_utc_s=NOON.utc_s), True),
        (Wanted(since_utc_s=NOON.utc_s + 1), False),
        (Wanted(card_suffix="1234"), True),
        (Wanted(card_suffix="4"), True),
        (Wanted(card_suffix="1235"), False),
        (Wanted(seqs=range(1, 4), card_suffix="9"), False),
    ],
)
def test_filters_all_have_to_fit(wanted: Wanted, fits: bool) -> None:
    assert wanted.fits(SALE) is fits


def test_times_are_the_campus_clocks() -> None:
    assert parse_since("2026-03-02T12:00") == NOON.utc_s
    assert parse_since("2026-03-02") == NOON.utc_s - 12 * 3_600
    for text in ("yesterday", "", "2026-13-01"):
        with pytest.raises(ValueError, match=r".+"):
            parse_since(text)


@pytest.mark.parametrize("text", ["12345", "12a4", "-1", "１２"])
def test_suffix_is_four_digits_at_most(text: str) -> None:
    with pytest.raises(ValueError, match="four at most"):
        parse_suffix(text)
