"""Personalisation: weak keys are refused, cards of one issuer differ, the auditor reads what was issued."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from sim.card.issue import issue_card, read_card_image
from sim.card.memory import ChipExists, MemoryFault
from wire.ids import Asn, CardId, IssuerId
from wire.money import Fen
from wire.purse_keys import KeyHalvesEqual, PurseKeys

CARD = CardId(IssuerId(bytes.fromhex("6100000000000001")), Asn(bytes.fromhex("00006100000000001234")))
MakeCardFile = Callable[..., Path]


@pytest.mark.parametrize("field", ["purchase", "load", "tac"])
@pytest.mark.parametrize("weak", ["34" * 16, "3F013F013F013F013F003F003F003F00"])
def test_card_key_with_equal_halves_issues_no_card(tmp_path: Path, masters: PurseKeys, field: str, weak: str) -> None:
    changed = {
        "purchase": replace(masters, purchase=bytes.fromhex(weak)),
        "load": replace(masters, load=bytes.fromhex(weak)),
        "tac": replace(masters, tac=bytes.fromhex(weak)),
    }[field]
    with pytest.raises(KeyHalvesEqual):
        issue_card(
            tmp_path / "card",
            keys=changed,
            card=CARD,
            valid_from_bcd=bytes(4),
            valid_to_bcd=bytes(4),
            opening_balance_fen=Fen(0),
        )
    assert list(tmp_path.iterdir()) == []


def test_auditor_reads_a_card_without_powering_it(make_card_file: MakeCardFile) -> None:
    image = read_card_image(make_card_file(opening_balance_fen=Fen(123), opening_counter=9))
    assert (image.card, image.profile_name) == (CARD, "campus")
    assert (image.opening_balance_fen, image.opening_counter) == (123, 9)
    assert (image.balance_fen, image.counter, image.log) == (123, 9, ())


def test_no_text_shows_a_key_or_a_whole_card_number(make_card_file: MakeCardFile, masters: PurseKeys) -> None:
    path = make_card_file()
    shown = repr(masters) + repr(read_card_image(path))
    assert "1234" not in shown
    assert repr(masters.purchase)[2:-1] not in shown
    assert path.stat().st_mode & 0o077 == 0


def test_card_is_never_issued_over_another(make_card_file: MakeCardFile) -> None:
    make_card_file(opening_balance_fen=Fen(77))
    with pytest.raises(ChipExists):
        make_card_file(opening_balance_fen=Fen(0))


def test_file_that_is_no_card_is_a_typed_fault(tmp_path: Path) -> None:
    (tmp_path / "card").write_bytes(b"nothing of the kind")
    with pytest.raises(MemoryFault):
        read_card_image(tmp_path / "card")
