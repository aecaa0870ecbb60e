"""`terminal.toml`: what is taken, and that everything else is named."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.purse import CAMPUS_CARD, CARD_PROFILES
from terminal.config import ConfigInvalid, TerminalConfig, load_config
from terminal.rules import Limits
from wire.money import Fen

GOOD = """
[reader]
card = "Campus Reader 00 00"
psam = "Campus Reader 00 01"
[limits]
tap_fen_max = 10000
[uplink]
host = "127.0.0.1"
"""


def load(tmp_path: Path, text: str) -> TerminalConfig:
    (tmp_path / "terminal.toml").write_text(text)
    return load_config(tmp_path / "terminal.toml")


def test_good_file_is_read_and_the_daemons_section_left_alone(tmp_path: Path) -> None:
    assert load(tmp_path, GOOD) == TerminalConfig(
        "Campus Reader 00 00", "Campus Reader 00 01", CAMPUS_CARD, Limits(tap_fen_max=Fen(10_000))
    )


def test_other_makers_cards_are_taken_where_the_file_says_so(tmp_path: Path) -> None:
    for name, profile in CARD_PROFILES.items():
        assert load(tmp_path, f'[card]\nprofile = "{name}"\n{GOOD}').profile == profile


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ("[reader]", "[readers]", "readers"),
        ("card =", "crad =", "reader"),
        ("card =", "extra = 1\ncard =", "reader"),
        ('"Campus Reader 00 00"', "7", "reader"),
        ("[limits]\ntap_fen_max = 10000", "", "limits"),
        ("10000", "0", "tap_fen_max"),
        ("10000", "-1", "tap_fen_max"),
        ("10000", "100.0", "tap_fen_max"),
        ("10000", "true", "tap_fen_max"),
        ("10000", "4294967296", "tap_fen_max"),
        ("10000", '"100"', "tap_fen_max"),
        ("[uplink]", "[downlink]", "downlink"),
        ("[limits]", '[card]\nprofile = "third"\n[limits]', "profile is one of campus, second-maker"),
        ("[limits]", "[card]\nprofile = 2\n[limits]", "profile"),
        ("[limits]", '[card]\nmaker = "campus"\n[limits]', "card"),
        ("[reader]", "[reader", "terminal.toml"),
    ],
)
def test_wrong_key_or_value_is_named(tmp_path: Path, old: str, new: str, named: str) -> None:
    assert old in GOOD
    with pytest.raises(ConfigInvalid, match=named):
        load(tmp_path, GOOD.replace(old, new))


def test_missing_file_and_folder_are_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigInvalid, match="there is no"):
        load_config(tmp_path / "terminal.toml")
    with pytest.raises(ConfigInvalid, match="cannot be read"):
        load_config(tmp_path)


@given(garbage=st.binary(max_size=200))
def test_garbage_is_invalid(tmp_path_factory: pytest.TempPathFactory, garbage: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "garbage.toml"
    path.write_bytes(garbage)
    with pytest.raises(ConfigInvalid):
        load_config(path)
