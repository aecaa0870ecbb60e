"""Which links there are, and what the modem needs: read, or named as wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from drivers.serialport import BY_ID
from sync.config import ConfigInvalid
from sync.linkconfig import LinksConfig, load_links
from sync.policy import LinkKind, SmsLimits


def _load(tmp_path: Path, text: str) -> LinksConfig:
    path = tmp_path / "terminal.toml"
    path.write_text(text)
    return load_links(path)


def test_host_alone_is_the_default(tmp_path: Path) -> None:
    config = _load(tmp_path, "[uplink]")
    assert (config.links, config.port, config.needs_modem) == ((LinkKind.IP,), BY_ID, False)
    assert config.sms_limits == SmsLimits()


def test_links_stand_in_the_order_of_their_cost(tmp_path: Path) -> None:
    text = """
        [uplink]
        links = ["sms", "at-tcp", "ip"]
        [modem]
        port = "/dev/serial/by-id/usb-x-if02-port0"
        stack = "quectel"
        apn = "internet"
        pin = "0042"
        sms_number = "+8613800000077"
        sms_per_day = 20
    """
    config = _load(tmp_path, text)
    assert config.links == (LinkKind.IP, LinkKind.AT_TCP, LinkKind.SMS)
    assert (config.stack, config.access.apn, config.access.pin) == ("quectel", "internet", "0042")
    assert config.sms_limits == SmsLimits(per_day=20)


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("[uplink]\nlinks = 'ip'", "links"),
        ("[uplink]\nlinks = []", "links"),
        ("[uplink]\nlinks = ['wifi']", "links"),
        ("[uplink]\nlinks = [[1]]", "links"),
        ("modem = 1\n[uplink]", "modem"),
        ("[uplink]\n[modem]\nspeed = 9600", "speed"),
        ("[uplink]\n[modem]\napn = 1", "apn"),
        ("[uplink]\n[modem]\nstack = 'hayes'", "stack"),
        ("[uplink]\n[modem]\npin = '12'", "pin"),
        ("[uplink]\nlinks = ['sms']", "sms_number"),
        ("[uplink]\nlinks = ['sms']\n[modem]\nsms_number = '110'", "sms_number"),
        ("[uplink]\n[modem]\nsms_per_hour = 0", "sms_per_hour"),
        ("[uplink]\n[modem]\nsms_per_hour = true", "sms_per_hour"),
    ],
)
def test_wrong_key_is_named(text: str, key: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigInvalid, match=key):
        _load(tmp_path, text)
