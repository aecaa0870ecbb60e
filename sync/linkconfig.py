"""Which ways to the server there are: `links` of [uplink], and section [modem] of `terminal.toml`."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from drivers.modem import STACKS
from drivers.serialport import BY_ID
from sync.config import ConfigInvalid
from sync.links.modemport import Access
from sync.policy import LinkKind, SmsLimits

_TEXTS: Final = {"port": BY_ID, "stack": "", "apn": "", "user": "", "password": "", "pin": "", "sms_number": ""}
_LIMITS: Final = ("sms_per_minute", "sms_per_hour", "sms_per_day")
_NUMBER: Final = re.compile(r"\+[0-9]{5,15}", re.ASCII)
_PIN: Final = re.compile(r"[0-9]{4,8}", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class LinksConfig:
    """`links` in the order of their cost; the rest matters for those of them that need the modem."""

    links: tuple[LinkKind, ...] = (LinkKind.IP,)
    port: str = BY_ID
    stack: str | None = None
    access: Access = field(default_factory=Access)
    sms_number: str = ""
    sms_limits: SmsLimits = field(default_factory=SmsLimits)

    @property
    def needs_modem(self) -> bool:
        """Whether any way leads over the modem."""
        return any(link is not LinkKind.IP for link in self.links)


def load_links(path: Path) -> LinksConfig:
    """Read both; `ConfigInvalid` names the key that is wrong or missing. The rest of [uplink] was checked before."""
    document = tomllib.loads(path.read_text(encoding="utf-8"))
    links = _links(path, document["uplink"].get("links", ["ip"]))
    modem = document.get("modem", {})
    if not isinstance(modem, dict):
        raise ConfigInvalid(f"{path.name}: [modem] is not a section")
    if unknown := sorted(set(modem) - set(_TEXTS) - set(_LIMITS)):
        raise ConfigInvalid(f"{path.name}: [modem] {unknown[0]} means nothing here")
    texts = {}
    for key, default in _TEXTS.items():
        value = texts[key] = modem.get(key, default)
        if not isinstance(value, str):
            raise ConfigInvalid(f"{path.name}: [modem] {key} is a text in quotes")
    if texts["stack"] and texts["stack"] not in STACKS:
        raise ConfigInvalid(f"{path.name}: [modem] stack is one of {', '.join(STACKS)}")
    if texts["pin"] and not _PIN.fullmatch(texts["pin"]):
        raise ConfigInvalid(f"{path.name}: [modem] pin is four to eight digits, in quotes")
    if LinkKind.SMS in links and not _NUMBER.fullmatch(texts["sms_number"]):
        raise ConfigInvalid(f"{path.name}: [modem] sms_number is the server's number, as +8613912345678")
    limits = []
    for key, default_limit in zip(_LIMITS, (6, 100, 500), strict=True):
        value = modem.get(key, default_limit)
        if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= 10_000:
            raise ConfigInvalid(f"{path.name}: [modem] {key} is a number from 1 to 10000")
        limits.append(value)
    return LinksConfig(
        links=links,
        port=texts["port"],
        stack=texts["stack"] or None,
        access=Access(apn=texts["apn"], user=texts["user"], password=texts["password"], pin=texts["pin"]),
        sms_number=texts["sms_number"],
        sms_limits=SmsLimits(per_minute=limits[0], per_hour=limits[1], per_day=limits[2]),
    )


def _links(path: Path, listed: object) -> tuple[LinkKind, ...]:
    """In the order of their cost, whatever order they are written in."""
    known = [link.value for link in LinkKind]
    if not isinstance(listed, list) or not listed or any(link not in known for link in listed):
        raise ConfigInvalid(f"{path.name}: [uplink] links is a list of {', '.join(known)}")
    return tuple(link for link in LinkKind if link.value in listed)
