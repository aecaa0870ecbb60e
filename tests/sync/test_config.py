"""Section [uplink] of terminal.toml: what it says, and which key is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from drivers.purse import CARD_PROFILES
from sync.config import ConfigInvalid, PointConfig, UplinkConfig, load_config, load_point_config

GOOD = '[reader]\ncard = "x"\n[uplink]\nhost = "127.0.0.1"\nport = 7402\n'


def test_server_name_and_linger_have_defaults(tmp_path: Path) -> None:
    path = tmp_path / "terminal.toml"
    path.write_text(GOOD)
    assert load_config(path) == UplinkConfig(host="127.0.0.1", port=7402, server_name="settlement.campus", linger_s=1.0)
    path.write_text(GOOD + 'server_name = "a.b"\nlinger_s = 2\n')
    assert load_config(path) == UplinkConfig(host="127.0.0.1", port=7402, server_name="a.b", linger_s=2.0)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (GOOD + "retries = 3\n", "retries means nothing here"),
        (GOOD.replace("7402", "0"), "port"),
        (GOOD.replace("7402", "true"), "port"),
        (GOOD.replace('"127.0.0.1"', "5"), "host"),
        (GOOD + "server_name = 1\n", "server_name"),
        (GOOD + "linger_s = -1\n", "linger_s"),
        (GOOD + "linger_s = 61\n", "linger_s"),
        ("[reader]\n", r"\[uplink\] is missing"),
        ("uplink = 1\n", r"\[uplink\] is missing"),
        ("[uplink\n", "cannot be read"),
    ],
)
def test_wrong_key_or_value_is_named(text: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "terminal.toml").write_text(text)
    with pytest.raises(ConfigInvalid, match=words):
        load_config(tmp_path / "terminal.toml")


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigInvalid, match=r"there is no .*terminal\.toml"):
        load_config(tmp_path / "terminal.toml")


def test_top_up_point_has_a_reader_and_a_makers_cards(tmp_path: Path) -> None:
    path = tmp_path / "terminal.toml"
    path.write_text(GOOD)
    assert load_point_config(path) == PointConfig("x", CARD_PROFILES["campus"])
    path.write_text(GOOD + '[card]\nprofile = "second-maker"\n')
    assert load_point_config(path).profile is CARD_PROFILES["second-maker"]


@pytest.mark.parametrize(
    "text", ["", "[reader]\ncard = 1", "reader = 1", GOOD + "[card]\nprofile = 1", "card = 1\n" + GOOD]
)
def test_wrong_section_of_a_point_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "terminal.toml"
    path.write_text(text)
    with pytest.raises(ConfigInvalid, match=r"\[(reader|card)\]"):
        load_point_config(path)
