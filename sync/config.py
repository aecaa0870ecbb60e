"""Section [uplink] of `terminal.toml`, and what a top-up point needs of the sections that the till reads otherwise."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from drivers.purse import CARD_PROFILES, CardProfile
from wire.errors import CampusError

LINGER_S_MAX: Final = 60.0  # a tap is never older than this before it is sent, given a link
_KEYS: Final = {"host", "port", "server_name", "linger_s", "links"}


class ConfigInvalid(CampusError):
    """`terminal.toml` is missing, cannot be parsed, or has a key or value in [uplink] that means nothing here."""

    code = "config-invalid"


@dataclass(frozen=True, slots=True, kw_only=True)
class UplinkConfig:
    """Where the server is, the name in its certificate, and how long a first tap waits for company."""

    host: str
    port: int
    server_name: str = "settlement.campus"
    linger_s: float = 1.0


@dataclass(frozen=True, slots=True)
class PointConfig:
    """A top-up point's card reader, by its PC/SC name, and which maker's cards it takes."""

    card_reader: str
    profile: CardProfile


def load_point_config(path: Path) -> PointConfig:
    """Read [reader] card and [card] profile; `ConfigInvalid` names what is wrong or missing."""
    document = _document(path)
    reader, card = document.get("reader"), document.get("card", {"profile": "campus"})
    if not isinstance(reader, dict) or not isinstance(reader.get("card"), str):
        raise ConfigInvalid(f"{path.name}: [reader] card is the reader's PC/SC name, in quotes")
    profile = card.get("profile") if isinstance(card, dict) else None
    if not isinstance(profile, str) or profile not in CARD_PROFILES:
        raise ConfigInvalid(f"{path.name}: [card] profile is one of {', '.join(CARD_PROFILES)}")
    return PointConfig(reader["card"], CARD_PROFILES[profile])


def load_config(path: Path) -> UplinkConfig:
    """Read the section; `ConfigInvalid` names the key that is wrong or missing."""
    table = _document(path).get("uplink")
    if not isinstance(table, dict):
        raise ConfigInvalid(f"{path.name}: the section [uplink] is missing")
    if unknown := sorted(set(table) - _KEYS):
        raise ConfigInvalid(f"{path.name}: [uplink] {unknown[0]} means nothing here")
    host, port = table.get("host"), table.get("port")
    server_name, linger_s = table.get("server_name", "settlement.campus"), table.get("linger_s", 1.0)
    if not (isinstance(host, str) and host):
        raise ConfigInvalid(f"{path.name}: [uplink] host is the server's name or address in quotes")
    if not isinstance(port, int) or isinstance(port, bool) or not 0 < port <= 0xFFFF:
        raise ConfigInvalid(f"{path.name}: [uplink] port is a number from 1 to 65535")
    if not (isinstance(server_name, str) and server_name):
        raise ConfigInvalid(f"{path.name}: [uplink] server_name is the name in the server's certificate, in quotes")
    if not isinstance(linger_s, int | float) or isinstance(linger_s, bool) or not 0 <= linger_s <= LINGER_S_MAX:
        raise ConfigInvalid(f"{path.name}: [uplink] linger_s is a number of seconds from 0 to {LINGER_S_MAX:.0f}")
    return UplinkConfig(host=host, port=port, server_name=server_name, linger_s=float(linger_s))


def _document(path: Path) -> dict[str, object]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ConfigInvalid(f"there is no {path}") from error
    except (OSError, ValueError) as error:
        raise ConfigInvalid(f"{path} cannot be read: {error}") from error
