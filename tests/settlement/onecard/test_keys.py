"""The sealed key file, and what its keys prove."""

from __future__ import annotations

import stat
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from settlement.onecard.keys import (
    FileKeyStore,
    KeysUnreadable,
    PassphraseWrong,
)
from settlement.secretfile import SecretExists
from wire import pboc
from wire.ids import CardId
from wire.money import Fen
from wire.purse_keys import KeyHalvesEqual, PurseKeys, strong_key
from wire.record import TapRecord

if TYPE_CHECKING:
    from tests.settlement.conftest import FakeTill

MASTERS = PurseKeys(bytes(range(16)), bytes(range(16, 32)), bytes(range(32, 48)))


def test_sealed_keys_open_with_their_passphrase_alone(tmp_path: Path, numbered_card: Callable[[int], CardId]) -> None:
    path = tmp_path / "keys.sealed"
    made = FileKeyStore.create(path, b"right")
    opened = FileKeyStore.open(path, b"right")
    assert opened.card_keys(numbered_card(1)) == made.card_keys(numbered_card(1))
    assert opened.purchase_master() == made.purchase_master()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with pytest.raises(PassphraseWrong):
        FileKeyStore.open(path, b"wrong")


def test_key_file_is_never_replaced(tmp_path: Path) -> None:
    path = tmp_path / "keys.sealed"
    FileKeyStore.create(path, b"one")
    before = path.read_bytes()
    with pytest.raises(SecretExists):
        FileKeyStore.create(path, b"two")
    assert path.read_bytes() == before


def test_changed_key_file_does_not_open(tmp_path: Path) -> None:
    path = tmp_path / "keys.sealed"
    FileKeyStore.create(path, b"one")
    text = path.read_text()
    at = text.index('"sealed": "') + len('"sealed": "')
    path.write_text(text[:at] + ("1" if text[at] == "0" else "0") + text[at + 1 :])
    with pytest.raises(PassphraseWrong):
        FileKeyStore.open(path, b"one")


@pytest.mark.parametrize("content", [None, "", "{}", "[]", '{"version": 1, "salt": 5, "nonce": "", "sealed": ""}'])
def test_what_is_no_key_file_is_named_so(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "keys.sealed"
    if content is not None:
        path.write_text(content)
    with pytest.raises(KeysUnreadable):
        FileKeyStore.open(path, b"one")


def test_masters_with_equal_halves_are_refused_and_no_file_is_left(tmp_path: Path) -> None:
    path = tmp_path / "keys.sealed"
    with pytest.raises(KeyHalvesEqual):
        FileKeyStore.create(path, b"one", masters=replace(MASTERS, tac=b"8 bytes!" * 2))
    assert not path.exists()


def test_halves_that_differ_in_parity_alone_are_equal() -> None:
    with pytest.raises(KeyHalvesEqual):
        strong_key(bytes(8) + bytes([1] * 8))


def test_two_level_keys_descend_by_issuer_then_asn(tmp_path: Path, numbered_card: Callable[[int], CardId]) -> None:
    card = numbered_card(77)
    one = FileKeyStore.create(tmp_path / "one", b"p", masters=MASTERS)
    two = FileKeyStore.create(tmp_path / "two", b"p", masters=MASTERS, two_level=True)
    factor = card.asn[-8:]
    assert one.card_keys(card).purchase == pboc.diversify(MASTERS.purchase, factor)
    by_issuer = pboc.diversify(MASTERS.tac, card.issuer)
    assert two.card_keys(card).tac == pboc.diversify(by_issuer, factor)
    assert FileKeyStore.open(tmp_path / "two", b"p").card_keys(card) == two.card_keys(card)


def test_tac_is_right_for_this_debit_and_for_no_other(till: FakeTill, numbered_card: Callable[[int], CardId]) -> None:
    def verified(record: TapRecord) -> bool:
        [right] = till.keys.verify_purchase_tacs([record.to_bytes()])
        return right

    record = till.tap(500)
    assert verified(record)
    assert not verified(replace(record, amount_fen=Fen(501)))
    assert not verified(replace(record, ttsn=record.ttsn + 1))
    assert not verified(replace(record, card=numbered_card(2)))
    assert not verified(replace(record, tac=bytes(4)))
    assert verified(record), "what was checked before leaves nothing behind"


def test_tac_key_that_made_room_for_others_is_made_again(
    till: FakeTill, numbered_card: Callable[[int], CardId], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("settlement.onecard.keys._CARDS_CACHED", 2)
    keys = FileKeyStore(till.keys._masters, two_level=False)
    taps = [till.tap(500 + number, card=numbered_card(number)).to_bytes() for number in (1, 2, 3)]
    assert keys.verify_purchase_tacs([*taps, *taps]) == [True] * 6
    assert len(keys._purchase_tac_keys) == 2


def test_keys_are_not_shown_in_text(keys: FileKeyStore, numbered_card: Callable[[int], CardId]) -> None:
    assert repr(keys.card_keys(numbered_card(1))) == "PurseKeys()"
