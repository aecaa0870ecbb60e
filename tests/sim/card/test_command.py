"""`campus-sim card`: what it makes and shows, and what it refuses to."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from settlement.onecard.keys import FileKeyStore
from settlement.settings import Home
from sim.card.command import MastersUnreadable, add_parser, run
from sim.card.memory import ChipExists, MemoryFault, read_fields
from wire.ids import Asn, CardId, IssuerId
from wire.money import AmountUnreadable
from wire.purse_keys import KeyHalvesEqual, PurseKeys

ISSUER, ASN = "6100000000000001", "00006100000000001234"
CARD = CardId(IssuerId(bytes.fromhex(ISSUER)), Asn(bytes.fromhex(ASN)))
PURSE = """\
purchase = "101112131415161718191A1B1C1D1E1F"
load = "202122232425262728292A2B2C2D2E2F"
tac = "303132333435363738393A3B3C3D3E3F"
"""
MAINTENANCE = """\
application = "404142434445464748494A4B4C4D4E4F"
pin_unblock = "505152535455565758595A5B5C5D5E5F"
pin_reload = "606162636465666768696A6B6C6D6E6F"
"""


def no_pause(_: float) -> None:
    raise AssertionError("nothing here waits")


def card(*words: str | Path) -> list[str]:
    """Run `campus-sim card`; what it says."""
    parser = argparse.ArgumentParser()
    add_parser(parser.add_subparsers())
    said: list[str] = []
    arguments = parser.parse_args(["card", *map(str, words)])
    assert run(arguments, rng=Random(1), clock=lambda: 0.0, pause=no_pause, say=said.append) == 0
    return said


@pytest.fixture
def masters(tmp_path: Path) -> Path:
    path = tmp_path / "masters.toml"
    path.write_text(PURSE + MAINTENANCE)
    return path


def test_card_with_given_masters_is_issued_and_shown(
    tmp_path: Path, masters: Path, make_card_file: Callable[..., Path]
) -> None:
    file = tmp_path / "my.card"
    options = ("--masters", masters, "--issuer", ISSUER, "--asn", ASN, "--balance", "50.00")
    assert card("issue", file, *options) == [f"{file}: a new campus card with 50.00 yuan"]
    made, same = read_fields(file), read_fields(make_card_file())
    assert {name: made[name] for name in made if name != "public"} == {n: same[n] for n in same if n != "public"}
    assert f"ASN         {ASN}" in card("show", file)
    assert not [line for line in card("show", file) if line.startswith("key")]
    assert len([line for line in card("show", file, "--show-keys") if line.startswith("key")]) == 7


def test_card_of_an_installation_has_its_issuers_keys_and_none_for_upkeep(tmp_path: Path) -> None:
    server = Home(tmp_path)
    server.folder.mkdir()
    server.passphrase.write_text("open\n")
    keys = FileKeyStore.create(server.sealed_keys, b"open").card_keys(CARD)
    card("issue", tmp_path / "my.card", "--home", tmp_path, "--issuer", ISSUER, "--asn", ASN)
    fields = read_fields(tmp_path / "my.card")
    assert PurseKeys(fields["dpk"], fields["dlk"], fields["dtk"]) == keys
    assert "application_key" not in fields


def test_profile_pin_and_flaw_are_taken(tmp_path: Path, masters: Path) -> None:
    file = tmp_path / "my.card"
    options = ("--masters", masters, "--issuer", ISSUER, "--asn", ASN)
    card("issue", file, *options, "--profile", "prove-before", "--pin", "9876", "--flaw", "blocked")
    shown = card("show", file, "--show-keys")
    assert shown[0].startswith("profile     prove-before")
    assert "state       application blocked" in shown
    assert shown[-1] == "key         PIN: 9876"


def test_card_is_never_issued_over_another(tmp_path: Path, masters: Path) -> None:
    options = (tmp_path / "my.card", "--masters", masters, "--issuer", ISSUER, "--asn", ASN)
    card("issue", *options)
    with pytest.raises(ChipExists):
        card("issue", *options)


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ("", MastersUnreadable),
        ("purchase = 1\n", MastersUnreadable),
        ("purchase = [", MastersUnreadable),
        (PURSE.replace("10111213", "zz"), MastersUnreadable),
        (PURSE.replace("10111213", ""), MastersUnreadable),
        (PURSE + 'application = "404142434445464748494A4B4C4D4E4F"\n', MastersUnreadable),
        (PURSE.replace("101112131415161718191A1B1C1D1E1F", "34" * 16), KeyHalvesEqual),
        (PURSE + MAINTENANCE.replace("404142434445464748494A4B4C4D4E4F", "34" * 16), KeyHalvesEqual),
    ],
)
def test_bad_masters_make_no_card(tmp_path: Path, masters: Path, content: str, fault: type[Exception]) -> None:
    masters.write_text(content)
    with pytest.raises(fault):
        card("issue", tmp_path / "my.card", "--masters", masters, "--issuer", ISSUER, "--asn", ASN)
    assert not (tmp_path / "my.card").exists()


def test_missing_home_amount_or_card_is_a_typed_fault(tmp_path: Path, masters: Path, psam_file: Path) -> None:
    identity = ("--issuer", ISSUER, "--asn", ASN)
    with pytest.raises(MastersUnreadable):
        card("issue", tmp_path / "my.card", "--home", tmp_path, *identity)
    with pytest.raises(AmountUnreadable):
        card("issue", tmp_path / "my.card", "--masters", masters, *identity, "--balance", "much")
    with pytest.raises(MemoryFault):
        card("show", tmp_path / "my.card")
    with pytest.raises(MemoryFault):
        card("show", psam_file)
    with pytest.raises(MemoryFault):
        card("serve", psam_file)


@pytest.mark.parametrize(
    "words",
    [
        ("issue", "f", "--issuer", ISSUER, "--asn", ASN),
        ("issue", "f", "--masters", "m", "--issuer", "61", "--asn", ASN),
        ("issue", "f", "--masters", "m", "--issuer", ISSUER, "--asn", "number"),
        ("issue", "f", "--masters", "m", "--issuer", ISSUER, "--asn", ASN, "--pin", "123"),
        ("issue", "f", "--masters", "m", "--issuer", ISSUER, "--asn", ASN, "--pin", "12ab"),
        ("issue", "f", "--masters", "m", "--issuer", ISSUER, "--asn", ASN, "--flaw", "ugly"),
        ("serve", "f", "--tear", "DEBIT"),
        ("serve", "f", "--tear", "PAY:after"),
        ("serve", "f", "--tear", "DEBIT:never"),
        ("paint", "f"),
    ],
)
def test_unusable_words_are_a_usage_error(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        card(*words)
    assert ended.value.code == 2
    assert "usage:" in capsys.readouterr().err
