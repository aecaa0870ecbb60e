"""The port is found by what the device is, and every failure to open it is told in words."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from drivers.modemfaults import PortBusy, PortMissing
from drivers.serialport import find_port, open_port

MODEM = "usb-Quectel_EC25-if02-port0"


@pytest.fixture
def by_id(tmp_path: Path) -> Path:
    folder = tmp_path / "by-id"
    folder.mkdir()
    for number in (0, 2, 3):
        (folder / f"usb-Quectel_EC25-if0{number}-port0").symlink_to(f"../ttyUSB{number}")
    return folder


@pytest.fixture
def terminal() -> Iterator[Path]:
    master, slave = os.openpty()
    yield Path(os.ttyname(slave))
    os.close(slave)
    os.close(master)


def test_port_is_found_by_glob_and_by_name(by_id: Path) -> None:
    assert find_port(f"{by_id}/*-if02-port0") == by_id / MODEM
    assert find_port(f"{by_id}/{MODEM}") == by_id / MODEM


def test_modem_that_came_back_under_another_number_is_found_again(by_id: Path, terminal: Path) -> None:
    port = find_port(f"{by_id}/*-if02-port0")
    with pytest.raises(PortMissing, match="plugged in"):
        open_port(port)
    port.unlink()
    with pytest.raises(PortMissing, match="there are usb-Quectel_EC25-if00-port0"):
        find_port(f"{by_id}/*-if02-port0")
    port.symlink_to(terminal)
    open_port(find_port(f"{by_id}/*-if02-port0")).close()


def test_two_modems_are_no_choice(by_id: Path) -> None:
    (by_id / "usb-SimTech-if02-port0").symlink_to("../ttyUSB7")
    with pytest.raises(PortMissing, match="2 devices"):
        find_port(f"{by_id}/*-if02-port0")


@pytest.mark.parametrize("number", ["/dev/ttyUSB2", "/dev/ttyACM0"])
def test_number_is_refused(number: str) -> None:
    with pytest.raises(PortMissing, match="by-id"):
        find_port(number)


def test_port_that_is_no_terminal_is_said_to_be_none(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(PortMissing, match="cannot be opened"):
        open_port(file)


def test_port_that_another_program_holds_is_told(terminal: Path) -> None:
    first = open_port(terminal)
    with pytest.raises(PortBusy, match="another program"):
        open_port(terminal)
    first.close()
    open_port(terminal).close()
