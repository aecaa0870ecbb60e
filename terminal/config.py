"""`terminal.toml` as the till reads it: [reader], [card], [limits] and [devices]; [uplink] is the sync daemon's."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from drivers.purse import CARD_PROFILES, CardProfile
from terminal.devices import NO_DEVICES, DevicesConfig, read_devices
from terminal.rules import Limits
from wire.errors import CampusError
from wire.money import FEN_MAX, Fen

_OTHERS: Final = frozenset({"uplink"})
_USUAL_PROFILE: Final = "campus"


class ConfigInvalid(CampusError):
    """`terminal.toml` is missing, cannot be parsed, or has a key or value that means nothing here."""

    code = "config-invalid"


@dataclass(frozen=True, slots=True)
class TerminalConfig:
    """PC/SC names of the two readers, which maker's cards it takes, and the limits."""

    card_reader: str
    psam_reader: str
    profile: CardProfile
    limits: Limits
    devices: DevicesConfig = NO_DEVICES


def load_config(path: Path) -> TerminalConfig:
    """Read the file; `ConfigInvalid` names the key that is wrong or missing."""
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ConfigInvalid(f"there is no {path}") from error
    except (OSError, ValueError) as error:
        raise ConfigInvalid(f"{path} cannot be read: {error}") from error
    devices = read_devices(document.pop("devices", {}))
    document.setdefault("card", {"profile": _USUAL_PROFILE})
    wanted = {"reader": ("card", "psam"), "card": ("profile",), "limits": ("tap_fen_max",)}
    for section in document:
        if section not in wanted and section not in _OTHERS:
            raise ConfigInvalid(f"{path.name}: [{section}] means nothing here")
    for section, keys in wanted.items():
        table = document.get(section)
        if not isinstance(table, dict) or set(table) != set(keys):
            raise ConfigInvalid(f"{path.name}: [{section}] needs exactly {', '.join(keys)}")
    tap_fen_max = document["limits"]["tap_fen_max"]
    card, psam = document["reader"]["card"], document["reader"]["psam"]
    if not (isinstance(card, str) and isinstance(psam, str)):
        raise ConfigInvalid(f"{path.name}: [reader] takes names in quotes")
    profile = document["card"]["profile"]
    if not isinstance(profile, str) or profile not in CARD_PROFILES:
        raise ConfigInvalid(f"{path.name}: [card] profile is one of {', '.join(CARD_PROFILES)}")
    if not isinstance(tap_fen_max, int) or isinstance(tap_fen_max, bool) or not 0 < tap_fen_max <= FEN_MAX:
        raise ConfigInvalid(f"{path.name}: [limits] tap_fen_max is a number of fen above 0")
    limits = Limits(tap_fen_max=Fen(tap_fen_max))
    return TerminalConfig(card, psam, CARD_PROFILES[profile], limits, devices)
